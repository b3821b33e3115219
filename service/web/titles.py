"""What records are called: the names that stand for ids, asked table by table, for the eyes of one actor."""

import asyncio
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec

from service import query
from service.access import guard, hidden, may
from service.conditions import escaped
from service.db import Params
from service.web.frame import Visit
from service.web.words import plain

PARTS: dict[str, tuple[str, ...]] = {
    "contacts": ("first_name last_name",),
    "leads": ("first_name last_name", "company"),
    "activities": ("subject", "type"),
    "notes": ("body",),
    "comments": ("body",),
    "battle_cards": ("title",),
    "plan_items": ("title",),
    "reminders": ("text",),
    "periods": ("name", "key"),
    "quotes": ("number",),
    "exchange_rates": ("currency",),
    "fields": ("label",),
    "lines": ("product.name", "description"),
    "stakeholders": ("contact.first_name contact.last_name",),
    "splits": ("user.name",),
    "quotas": ("period.key measure",),
    "relationships": ("type",),
    "shares": ("resource",),
}
"""Table → columns whose words are the title; where they are empty, the next ones. Elsewhere it is the name."""

JOINED = {"product": "products", "contact": "contacts", "user": "users", "period": "periods"}
WORD = frozenset({"measure", "resource"})
SHORT = frozenset(
    {"teams", "pipelines", "stages", "periods", "pools", "price_books", "territory_models", "territories"}
)
"""Tables with so few rows that a form lists them all."""
LONGEST, MOST_CHOICES, MOST_FOUND, MOST_RANKED = 90, 200, 8, 200


def _column(visit: Visit, table: str, name: str, params: Params) -> str:
    """One column of a title as SQL; NULL for what this actor may not see."""
    other, _, column = name.rpartition(".")
    target = JOINED[other] if other else table
    if column in hidden(visit.actor, target):
        return "NULL"
    if not other:
        return f"replace(t.{column}::text, '_', ' ')" if column in ("type", *WORD) else f"t.{column}::text"
    seen = guard(visit.actor, target, "o", params)
    return (
        f"(SELECT o.{column} FROM {target} o WHERE o.id = t.{other}_id AND o.deleted_at IS NULL AND {seen})"
    )


def sql(visit: Visit, table: str, params: Params) -> str:
    """The title of a row `t` of a table."""
    choices = []
    for columns in PARTS.get(table, ("name",)):
        words = ", ".join(_column(visit, table, name, params) for name in columns.split())
        choices.append(f"nullif(concat_ws(' ', {words}), '')")
    return f"left(coalesce({', '.join(choices)}), {LONGEST})"


def told(table: str, title: str | None) -> str:
    """A title as it stands on a page; of a record without a name, what it is."""
    if table == "quotes" and title:
        return f"Quote {title}"
    return (title or "").strip() or f"Unnamed {plain(table).lower().removesuffix('s')}"


async def _of_table(visit: Visit, table: str, ids: set[UUID]) -> dict[str, str]:
    params = Params([list(ids)])
    title = sql(visit, table, params)
    seen = guard(visit.actor, table, "t", params)
    rows = await visit.database.fetch(
        f"SELECT t.id, {title} AS title FROM {table} t WHERE t.id = ANY($1::uuid[]) AND {seen}", *params
    )
    return {str(row["id"]): told(table, row["title"]) for row in rows}


async def of(visit: Visit, wanted: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Id → title of the records (table, id) that this actor sees; the others are not in it."""
    tables: dict[str, set[UUID]] = {}
    for table, record_id in wanted:
        if table and record_id and may(visit.actor, table, "read"):
            tables.setdefault(table, set()).add(UUID(str(record_id)))
    found = await asyncio.gather(*(_of_table(visit, table, ids) for table, ids in tables.items()))
    return {key: title for each in found for key, title in each.items()}


class Option(msgspec.Struct, kw_only=True):
    """A record to choose."""

    id: str
    title: str
    more: str = ""


ORDER = {"contacts": "last_name", "leads": "last_name", "activities": "subject", "quotes": "number"}
"""Table → the field by which its titles are ordered, where it is not the first word of `PARTS`."""


def order_field(table: str) -> str:
    """The field by which a list is ordered by title; empty where a title is put together from other records."""
    first = PARTS.get(table, ("name",))[0].split()[0]
    return ORDER.get(table, "" if "." in first else first)


BESIDE = {"contacts": "account_id", "opportunities": "account_id"}
"""Table → the reference whose name tells two records of one name apart."""


async def options(
    visit: Visit, table: str, text: str, most: int = MOST_FOUND, *, exactly: bool = False
) -> list[Option]:
    """Records whose title holds `text` (or is it), those that begin with it first."""
    if not may(visit.actor, table, "read"):
        return []
    params: Params = Params()
    title, beside = sql(visit, table, params), BESIDE.get(table)
    more = "NULL::uuid" if beside is None or beside in hidden(visit.actor, table) else f"t.{beside}"
    seen = guard(visit.actor, table, "t", params)
    live = " AND t.is_active" if table == "users" else ""
    pattern = params.add(escaped(text) if exactly else f"%{escaped(text)}%")
    first = params.add(f"{escaped(text)}%")
    rows = await visit.database.fetch(
        f"SELECT * FROM (SELECT * FROM (SELECT t.id, {title} AS title, {more} AS more FROM {table} t"
        f" WHERE t.deleted_at IS NULL{live} AND {seen}) x WHERE title ILIKE {pattern} LIMIT {MOST_RANKED}) y"
        f' ORDER BY NOT title ILIKE {first}, lower(title) COLLATE "C", id LIMIT {most}',
        *params,
    )
    names = await of(visit, [("accounts", row["more"]) for row in rows if row["more"]])
    return [
        Option(id=str(row["id"]), title=told(table, row["title"]), more=names.get(str(row["more"]), ""))
        for row in rows
    ]


def is_short(table: str) -> bool:
    """Whether a form offers all rows of a table at once."""
    return table in SHORT


async def choices(visit: Visit, table: str) -> list[Option]:
    """All rows of a short table."""
    return await options(visit, table, "", MOST_CHOICES)


async def find(visit: Visit, source: query.Source, text: str, most: int) -> list[Option]:
    """Records of one resource whose words hold `text`, as its list would find them."""
    known = query.all_fields(source, hidden(visit.actor, source.table))
    fields = ["id", *(name for name in [BESIDE.get(source.table)] if name in known)]
    asked = query.Request(text=text, limit=most, fields=[name for name in fields if name])
    rows = msgspec.json.decode((await query.run(visit.database, source, visit.actor, asked)).body)["items"]
    beside = BESIDE.get(source.table, "")
    names = await of(visit, [(source.table, row["id"]) for row in rows])
    others = await of(visit, [("accounts", row.get(beside)) for row in rows])
    return [
        Option(id=row["id"], title=names[row["id"]], more=others.get(row.get(beside) or "", ""))
        for row in rows
        if row["id"] in names
    ]
