"""Which column goes into which field: guessed from names, synonyms and the shape of the values, each with a confidence."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from rapidfuzz import fuzz

from service.errors import Invalid
from service.importing import cells
from service.importing.lines import Sheet
from service.importing.targets import EXTERNAL, Target, target_of

SURE = 0.6
"""From this confidence on a guess is taken without a question."""
SAMPLES = 200

SYNONYMS: dict[str, tuple[str, ...]] = {
    EXTERNAL: ("id", "record_id", "external", "ext_id", "object_id", "crm_id", "source_id"),
    "name": (
        "title",
        "full_name",
        "deal_name",
        "account_name",
        "company_name",
        "opportunity_name",
        "product_name",
    ),
    "last_name": ("surname", "family_name", "nachname", "nom"),
    "first_name": ("given_name", "forename", "vorname", "prenom"),
    "company": ("company_name", "organization", "organisation", "account_name", "firm"),
    "email": ("e_mail", "email_address", "mail", "work_email"),
    "phone": ("telephone", "phone_number", "tel", "work_phone", "telefon"),
    "mobile_phone": ("mobile", "cell", "cell_phone", "mobile_number", "handy"),
    "title": ("job_title", "position", "role"),
    "website": ("url", "web", "homepage", "web_site", "company_url"),
    "domain": ("company_domain_name", "company_domain", "email_domain"),
    "industry": ("sector", "branch", "vertical"),
    "number_of_employees": ("employees", "headcount", "company_size", "staff"),
    "annual_revenue": ("revenue", "turnover", "sales_volume"),
    "amount": ("value", "deal_value", "deal_amount", "price", "opportunity_amount", "tcv", "acv"),
    "currency": ("currency_iso_code", "currency_code", "deal_currency_code"),
    "close_date": ("closing_date", "expected_close", "expected_close_date", "close", "closed_date"),
    "closed_at": ("won_at", "lost_at", "close_time"),
    "stage": ("stage_name", "deal_stage", "sales_stage", "pipeline_stage", "status"),
    "loss_reason": ("lost_reason", "closed_lost_reason", "reason_lost"),
    "next_step": ("next_action", "next_steps"),
    "lead_source": ("source", "original_source", "origin", "channel"),
    "description": ("notes", "comments", "details", "comment"),
    "owner.email": (
        "owner",
        "deal_owner",
        "contact_owner",
        "sales_rep",
        "rep",
        "assigned_to",
        "owner_email",
        "account_manager",
    ),
    "owner.name": (
        "owner_name",
        "deal_owner",
        "contact_owner",
        "company_owner",
        "owner_full_name",
        "sales_agent",
    ),
    "account.name": (
        "account",
        "company",
        "customer",
        "client",
        "organization",
        "company_name",
        "account_name",
    ),
    "primary_contact.email": ("contact", "contact_email", "primary_contact"),
    "pipeline.key": ("pipeline",),
    "product.code": ("product", "sku", "product_code", "item"),
    "code": ("sku", "product_code", "item_number", "product_id"),
    "list_price": ("price", "unit_price", "sales_price"),
    "created_at": ("created", "created_date", "create_date", "date_created", "creation_date", "added_on"),
    "occurred_at": ("date", "activity_date", "timestamp", "start_time", "activity_time", "when"),
    "due_at": ("due", "due_date", "deadline"),
    "subject": ("title", "activity_name", "topic"),
    "body": ("text", "content", "description", "notes", "message"),
    "billing_address.street": ("street", "address", "street_address", "billing_street"),
    "billing_address.city": ("city", "town", "billing_city"),
    "billing_address.state": ("state", "region", "province", "state_region", "billing_state"),
    "billing_address.postal_code": (
        "zip",
        "zip_code",
        "postal_code",
        "postcode",
        "plz",
        "billing_postal_code",
    ),
    "billing_address.country": ("country", "country_code", "billing_country"),
}
for _kind in ("mailing_address", "address", "shipping_address"):
    SYNONYMS |= {
        f"{_kind}.{part}": tuple(name.replace("billing", _kind.removesuffix("_address")) for name in SYNONYMS[f"billing_address.{part}"])
        for part in ("street", "city", "state", "postal_code", "country")
    }  # fmt: skip


class Match(msgspec.Struct, kw_only=True):
    """Where a column goes (null: nowhere), how sure that is from 0 to 1, and how its dates are written."""

    column: str
    field: str | None
    confidence: float
    format: str | None = None
    samples: list[str] = []


class Wanted(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One column of a mapping: a field, and `dmy` or `mdy` where its dates could be read both ways."""

    field: str | None
    format: str | None = None


def guess(sheet: Sheet, fields: Mapping[str, Target]) -> list[Match]:
    """A field for each column, the best pairs first; no field twice."""
    samples = _samples(sheet)
    pairs = sorted(
        (
            (score, -index, name)
            for index, column in enumerate(sheet.columns)
            for name, target in fields.items()
            if (score := _score(column, target, samples.get(column, ()))) > 0.3
        ),
        reverse=True,
    )
    chosen: dict[int, tuple[str, float]] = {}
    taken: set[str] = set()
    for score, index, name in pairs:
        base = _base(fields[name])
        if -index not in chosen and base not in taken:
            chosen[-index] = (name, score)
            taken.add(base)
    return [
        Match(
            column=column, field=chosen.get(index, (None, 0.0))[0], confidence=round(chosen.get(index, ("", 0.0))[1], 2),
            format=cells.order_of(samples.get(column, ())), samples=list(samples.get(column, ()))[:3],
        )
        for index, column in enumerate(sheet.columns)
    ]  # fmt: skip


def _base(target: Target) -> str:
    """A reference is one field, by whatever key it is named."""
    return (
        target.name if target.kind != "reference" else target.name.split(".")[0].removesuffix("_id") + "_id"
    )


def _samples(sheet: Sheet) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {column: [] for column in sheet.columns}
    for number, line in enumerate(sheet.rows()):
        if number >= SAMPLES:
            break
        if isinstance(line, tuple):
            for column, cell in line[1].items():
                if isinstance(cell, str) and cell and column in found:
                    found[column].append(cell[:200])
    return found


def _score(column: str, target: Target, samples: Sequence[str]) -> float:
    name = cells.slug(column.removesuffix("__c"))
    by_name = _by_name(name, target)
    fits = fit(target, samples)
    if fits is None:
        return by_name
    if column.endswith("__c") and by_name < 1:
        by_name *= 0.6  # somebody's own field, which only resembles one of ours
    if by_name == 0:
        return 0.45 * fits if target.kind == "email" and fits > 0.9 else 0.0
    return by_name * (0.35 + 0.65 * fits)


def _by_name(name: str, target: Target) -> float:
    own = {cells.slug(target.name), cells.slug(target.label)} - {""}
    if target.kind == "reference" and target.by == "id":
        own = {target.name}
    if name in own:
        return 1.0
    synonyms = SYNONYMS.get(target.name, ())
    if name in synonyms:
        return 0.92 - 0.01 * synonyms.index(name)
    best = max(
        (fuzz.token_sort_ratio(name.replace("_", " "), other.replace("_", " ")) for other in own), default=0
    )
    return 0.75 * best / 100 if best >= 80 else 0.0


_PATTERNS = {
    "email": r"[^@\s]+@[^@\s]+\.[^@\s]+",
    "url": r"(https?://)?[\w-]+(\.[\w-]+)+(/\S*)?",
    "domain": r"[\w-]+(\.[\w-]+)+",
    "phone": r"[+(]?[\d\s()./-]{5,}(x\d+)?",
    "currency": r"[A-Za-z]{3}",
    "boolean": r"(?i)(true|false|yes|no|y|n|0|1|x)",
    "integer": r"[-+]?\d[\d.,']*",
    "uuid": r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}",
}


def fit(target: Target, samples: Iterable[str]) -> float | None:
    """Which share of the values looks like what the field takes; None where there is nothing to tell by."""
    found = [text for text in samples if text][:SAMPLES]
    kind = "uuid" if target.by == "id" else target.by if target.by in ("email", "domain") else target.kind
    if found and target.by == "name":
        return sum("@" not in text for text in found) / len(found)
    if not found or kind in ("text", "reference", "list", "json"):
        return None
    return sum(_fits(kind, target, text) for text in found) / len(found)


def _fits(kind: str, target: Target, text: str) -> bool:
    if kind in _PATTERNS:
        return re.fullmatch(_PATTERNS[kind], text) is not None
    if kind == "choice":
        return text in target.choices or cells.slug(text) in target.choices
    if kind in ("date", "instant"):
        return (
            re.match(r"\d{4}-\d{2}-\d{2}", cells.instant(text, cells.order_of([text]) or "dmy")) is not None
        )
    return re.fullmatch(r"-?\d+(\.\d+)?", cells.number(text)) is not None


def settled(
    sheet: Sheet, fields: Mapping[str, Target], asked: Mapping[str, Any] | None
) -> dict[str, tuple[Target, str | None]]:
    """Column → (target, format): as asked, or as guessed where the guess is sure. Raises `Invalid` for what cannot be."""
    if asked is None:
        return {
            match.column: (fields[match.field], match.format)
            for match in guess(sheet, fields)
            if match.field and match.confidence >= SURE
        }
    found: dict[str, tuple[Target, str | None]] = {}
    formats = {match.column: match.format for match in guess(sheet, fields)}
    for column, wish in asked.items():
        wanted = wish if isinstance(wish, Wanted) else Wanted(field=wish)
        if column not in sheet.columns:
            raise Invalid.at(f"/mapping/{column}", f"is no column of {sheet.name}")
        if wanted.field is None:
            continue
        target = target_of(wanted.field, fields)
        if target is None:
            raise Invalid.at(f"/mapping/{column}", f"there is no field {wanted.field[:80]!r}")
        if wanted.field in {target.name for target, _ in found.values()}:
            raise Invalid.at(f"/mapping/{column}", f"another column goes into {wanted.field} already")
        found[column] = (target, wanted.format or formats.get(column))
    return found
