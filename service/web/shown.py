"""Values of records as a page shows them: words for keys, names for ids, the reader's figures and days."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import msgspec

from service.web import catalogue
from service.web.fields import Field
from service.web.words import Words

Row = dict[str, Any]
EMPTY: tuple[Any, ...] = (None, "", [], {})
TONES = {
    "good": ("won", "accepted", "active", "published", "qualified", "converted", "supporter"),
    "bad": ("lost", "rejected", "unqualified", "opponent", "aborted", "no_show"),
}
_TONE = {word: tone for tone, words in TONES.items() for word in words}
TONED = frozenset({"status", "sentiment"})


class Shown(msgspec.Struct, kw_only=True):
    """A value for the eye: its words, where they lead, what is said on hover, and how it stands."""

    text: str = ""
    href: str = ""
    title: str = ""
    tone: str = ""
    """Of a badge: good, bad, warning, plain; empty without a badge."""
    parts: list["Shown"] = []
    rows: list[list["Shown"]] = []


def value(row: Row, name: str) -> Any:
    """The value of a field, a company's own included."""
    if name.startswith("cf.") and name not in row:
        return (row.get("cf") or {}).get(name[3:])
    return row.get(name)


def ids(rows: Iterable[Row], fields: Iterable[Field]) -> list[tuple[str, Any]]:
    """(table, id) of all records that these rows name in these fields."""
    found: list[tuple[str, Any]] = []
    for row in rows:
        for field in fields:
            held = value(row, field.name)
            if held in EMPTY:
                continue
            if field.kind == "reference":
                found.append((field.target, held))
            elif field.kind == "references":
                found += [(field.target, each) for each in held]
            elif field.kind in ("group", "rows"):
                found += ids(held if isinstance(held, list) else [held], field.parts)
    return found


def _number(w: Words, held: Any) -> str:
    text = f"{float(held):.6f}".rstrip("0").rstrip(".")
    return w.number(held, len(text.partition(".")[2]))


def _money(w: Words, held: Any, currency: str | None) -> str:
    cents = 0 if float(held) == int(float(held)) else 2
    if cents:
        return f"{w.number(held, cents)} {currency or ''}".strip()
    return w.money(held, currency) if currency else w.number(held, 0)


def _moment(w: Words, held: Any) -> Shown:
    moment = held if isinstance(held, datetime) else datetime.fromisoformat(str(held).replace("Z", "+00:00"))
    return Shown(text=w.ago(moment), title=w.instant(moment))


def _reference(field: Field, held: Any, names: dict[str, str]) -> Shown:
    name = names.get(str(held))
    if name is None:
        return Shown(text="–", title="Not there any more, or not yours to see")
    return Shown(text=name, href=catalogue.record_href(field.target, held))


def shown(w: Words, field: Field, held: Any, names: dict[str, str], row: Row | None = None) -> Shown:
    """One value; `row` is the record around it, for the currency of an amount."""
    if held in EMPTY:
        return Shown()
    match field.kind:
        case "flag":
            return Shown(text="Yes" if held else "No")
        case "number" | "whole":
            return Shown(text=_number(w, held))
        case "money":
            currency = w.currency if field.name == "amount_home" else (row or {}).get("currency")
            return Shown(text=_money(w, held, currency))
        case "date":
            return Shown(text=w.day(date.fromisoformat(str(held)[:10])), title=str(held))
        case "instant":
            return _moment(w, held)
        case "choice":
            tone = _TONE.get(str(held), "plain") if field.name in TONED else ""
            return Shown(text=field.told(held), tone=tone)
        case "reference":
            return _reference(field, held, names)
        case _:
            return _several(w, field, held, names)


def _several(w: Words, field: Field, held: Any, names: dict[str, str]) -> Shown:
    match field.kind:
        case "references":
            return Shown(parts=[_reference(field, each, names) for each in held])
        case "choices":
            return Shown(text=", ".join(field.told(each) for each in held))
        case "words":
            return Shown(text=", ".join(map(str, held)))
        case "group":
            parts = [(part, held.get(part.name)) for part in field.parts]
            texts = [shown(w, part, each, names, held).text for part, each in parts if each not in EMPTY]
            return Shown(text=", ".join(text for text in texts if text) or str(next(iter(held.values()), "")))
        case "rows":
            return Shown(
                rows=[
                    [shown(w, part, each.get(part.name), names, each) for part in field.parts]
                    for each in held
                ]
            )
        case "url":
            safe = str(held).startswith(("https://", "http://", "/api/v1/"))
            return Shown(text=str(held), href=str(held) if safe else "")
        case "email":
            return Shown(text=str(held), href=f"mailto:{held}")
        case "text" if field.name == "stage":
            return Shown(text=field.told(held))
        case _:
            return Shown(text=held if isinstance(held, str) else msgspec.json.encode(held).decode())
