"""The rules of quotes: pure, without a session; and the page that is printed. Only `domains/quotes.py` calls them."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import jinja2

from service import money
from service.errors import Conflict, Pointer
from service.rules import Row, amounts, fault

PATH = {
    "draft": ("sent",),
    "sent": ("accepted", "rejected", "expired"),
    "accepted": (),
    "rejected": (),
    "expired": (),
}
"""Status → where it may go from there. What was sent is not taken back: it is revised."""

FROZEN = ("name", "contact_id", "lines", "terms")
"""What the customer has in hand once a quote is sent."""


def priced(row: Row) -> Iterator[Pointer]:
    """Prices of lines are amounts of money."""
    for number, line in enumerate(row.get("lines") or ()):
        for error in amounts({"unit_price": Decimal(line["unit_price"])}, "unit_price"):
            yield error | {"pointer": f"/lines/{number}/unit_price"}


def began(row: Row) -> Iterator[Pointer]:
    if row.get("status", "draft") not in ("draft", "sent"):
        yield fault("status", "a quote begins as draft or sent")


def reckoned(lines: Sequence[Row]) -> list[dict[str, Any]]:
    """The lines as they are kept: money as text of four places, each with its total, in their order."""
    return [_kept(line, number) for number, line in enumerate(lines, 1)]


def _kept(line: Row, position: int) -> dict[str, Any]:
    price = money.kept(Decimal(line["unit_price"]))
    share = 1 - Decimal(str(line.get("discount_percent") or 0)) / 100
    told = {
        name: str(value) if name in ("product_id", "start_date") else value
        for name, value in line.items()
        if value is not None
    }
    return told | {
        "position": position,
        "unit_price": format(price, "f"),
        "total_price": format(money.kept(Decimal(str(line["quantity"])) * price * share), "f"),
    }


def title(quote: Row) -> str:
    """`Q-000017`, and from the second revision on `Q-000017-2`."""
    return str(quote["number"]) + (f"-{quote['revision']}" if quote["revision"] > 1 else "")


def total(lines: Sequence[Row]) -> Decimal:
    return sum((Decimal(line["total_price"]) for line in lines), Decimal(0))


def changed(new: Row, old: Row | None, now: datetime, today: date) -> dict[str, Any]:
    """What follows from a change of status. Raises `Conflict` for one that the path does not have, with the reason."""
    before = old["status"] if old else "draft"
    if old and before != "draft":
        _refuse_edits(new, old)
    status = new["status"]
    if status == before:
        return {}
    if status not in PATH[before]:
        may = ", ".join(PATH[before]) or "nothing else: revise it"
        raise _conflict("status", f"a quote that is {before} becomes {may}")
    if status == "sent" and not new["lines"]:
        raise _conflict("lines", "a quote without lines is not sent")
    if status in ("sent", "accepted") and new.get("valid_until") is not None and new["valid_until"] < today:
        raise _conflict("valid_until", f"was the last day of this offer: it is not {status} after it")
    return {"sent_at": now} if status == "sent" else {"closed_at": now}


def _refuse_edits(new: Row, old: Row) -> None:
    edited = [name for name in FROZEN if new[name] != old[name]]
    if old["status"] != "sent" and new["valid_until"] != old["valid_until"]:
        edited.append("valid_until")
    if edited:
        raise Conflict(
            f"The quote is {old['status']}: revise it instead.",
            errors=[fault(name, "is fixed once the quote is sent") for name in edited],
        )


def _conflict(name: str, detail: str) -> Conflict:
    return Conflict(f"/{name}: {detail}", errors=[fault(name, detail)])


def revision(old: Row, known: Sequence[Row]) -> dict[str, Any]:
    """The draft of the next revision. Raises `Conflict` where one was accepted, or where the next is drawn up already."""
    if any(row["status"] == "accepted" for row in known):
        raise Conflict(f"{old['number']} is accepted: make another quote.")
    newest = max(known, key=lambda row: row["revision"])
    if newest["status"] == "draft":
        raise Conflict(f"Revision {newest['revision']} of {old['number']} is a draft still: change that.")
    kept = {
        name: old[name] for name in ("opportunity_id", "name", "contact_id", "valid_until", "terms", "number")
    }
    return kept | {"revision": newest["revision"] + 1, "revises_id": old["id"]}


# --- the page ----------------------------------------------------------------------------------------------------

STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #111; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } table { width: 100%; border-collapse: collapse; margin: 1.5rem 0; }
th, td { text-align: left; padding: .4rem .5rem; border-bottom: 1px solid #ccc; vertical-align: top; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; } tfoot td { font-weight: 600; }
.quiet { color: #555; } .terms { white-space: pre-wrap; } dl { display: grid; grid-template-columns: 8rem 1fr; }
dt { color: #555; } dd { margin: 0; } @media print { body { margin: 0; max-width: none; } @page { margin: 2cm; } }
"""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    f" style-src 'sha256-{b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""The page stands alone, so its one style sheet is within it, allowed by its digest; nothing else is."""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ quote.number }} · {{ company }}</title><style>{{ style|safe }}</style></head>
<body>
<p class="quiet">{{ company }}</p>
<h1>Quote {{ quote.number }}{% if quote.revision > 1 %}, revision {{ quote.revision }}{% endif %}</h1>
<p>{{ quote.name or deal.name }}</p>
<dl>
{% if to.account %}<dt>For</dt><dd>{{ to.account }}{% if to.contact %}, {{ to.contact }}{% endif %}</dd>{% endif %}
{% if to.owner %}<dt>From</dt><dd>{{ to.owner }}</dd>{% endif %}
<dt>Date</dt><dd>{{ (quote.sent_at or quote.updated_at)[:10] }}</dd>
{% if quote.valid_until %}<dt>Valid until</dt><dd>{{ quote.valid_until }}</dd>{% endif %}
<dt>Status</dt><dd>{{ quote.status }}</dd>
</dl>
<table>
<thead><tr><th>Item</th><th class="n">Quantity</th><th class="n">Unit price</th><th class="n">Discount</th>
<th class="n">Total</th></tr></thead>
<tbody>
{% for line in quote.lines %}
<tr><td>{{ line.name }}{% if line.code %} <span class="quiet">{{ line.code }}</span>{% endif %}
{% if line.term_months %}<br><span class="quiet">{{ line.term_months }} months</span>{% endif %}
{% if line.start_date %}<br><span class="quiet">from {{ line.start_date }}</span>{% endif %}
{% if line.description %}<br><span class="quiet">{{ line.description }}</span>{% endif %}</td>
<td class="n">{{ "%g"|format(line.quantity) }}</td><td class="n">{{ line.unit_price|sum }}</td>
<td class="n">{% if line.discount_percent %}{{ "%g"|format(line.discount_percent) }} %{% endif %}</td>
<td class="n">{{ line.total_price|sum }}</td></tr>
{% endfor %}
</tbody>
<tfoot><tr><td colspan="4">Total, {{ quote.currency }}</td><td class="n">{{ quote.total|sum }}</td></tr></tfoot>
</table>
{% if quote.terms %}<p class="terms">{{ quote.terms }}</p>{% endif %}
</body></html>
"""


def _sum(text: str) -> str:
    """`1234.5000` as `1,234.50`, `0.0025` as it is."""
    whole, _, rest = f"{Decimal(text):,.4f}".partition(".")
    return f"{whole}.{rest[:2]}{rest[2:].rstrip('0')}"


_environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
_environment.filters["sum"] = _sum
_template = _environment.from_string(_PAGE)


def page(quote: Row, deal: Row, to: Row, company: str) -> str:
    """The quote as HTML that needs nothing from elsewhere; every value is escaped."""
    return _template.render(quote=quote, deal=deal, to=to, company=company, style=STYLE)
