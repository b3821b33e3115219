"""What a board may be grouped by: any choice field of a deal, who has it, or a custom field; and the columns that follow."""

from functools import cache
from typing import Any, Literal, get_args, get_origin

import msgspec

from service import query
from service.access import Actor, hidden
from service.db import Database, Params
from service.domains.opportunities import Opportunity, opportunities
from service.domains.pipelines import Status
from service.errors import BadRequest
from service.shapes import bare

MOST_COLUMNS = 50
NOBODY = "none"
"""The key of the column of those without a value."""
NAMED = {
    "owner_id": "users",
    "competitor_id": "competitors",
    "territory_id": "territories",
    "campaign_id": "campaigns",
}
"""References that are open to all who are signed in: their names stand over the columns."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A field to group by: its key as SQL over `t`, its words in their order, or the table that names its values."""

    field: str
    sql: str
    words: tuple[str, ...] = ()
    table: str | None = None


class Head(msgspec.Struct, kw_only=True):
    """A column's key and name."""

    key: str
    name: str


@cache
def _words() -> dict[str, tuple[str, ...]]:
    """The choice fields of a deal with their words."""
    found: dict[str, tuple[str, ...]] = {"status": get_args(Status)}
    for field in msgspec.structs.fields(Opportunity):
        kind, _ = bare(field.type)
        if get_origin(kind) is Literal:
            found[field.name] = tuple(get_args(kind))
    return found


def choices() -> list[str]:
    """The fields of a deal, its stage apart, that a board may be grouped by."""
    return sorted([*_words(), *NAMED])


def group_of(actor: Actor, field: str, params: Params) -> Group:
    """The group of a field. Raises `BadRequest` for one that does not exist, is hidden, or is no choice."""
    if field.startswith("cf."):
        key = params.add(field[3:103])
        return Group(field=field, sql=f"coalesce(nullif(t.cf ->> {key}::text, ''), '{NOBODY}')")
    if field not in query.columns("opportunities") or field in hidden(actor, "opportunities"):
        raise query.unknown(field)
    sql = f"coalesce(t.\"{field}\"::text, '{NOBODY}')"
    if field in _words():
        return Group(field=field, sql=sql, words=_words()[field])
    if field in NAMED and field in opportunities.c:
        return Group(field=field, sql=sql, table=NAMED[field])
    known = ", ".join(sorted(["stage", *choices()]))
    raise BadRequest(f"group: {field[:80]!r} is no choice; there are {known} and cf.<key>.")


async def heads(database: Database, group: Group, found: dict[str, Any]) -> list[Head]:
    """The columns in their order: all words of a choice, else the values that there are by name; nobody's last."""
    keys = [key for key in found if key != NOBODY]
    if group.words:
        made = [Head(key=word, name=word.replace("_", " ").capitalize()) for word in group.words]
    elif group.table:
        rows = await database.fetch(
            f"SELECT r.id::text AS key, r.name FROM {group.table} r WHERE r.id = ANY($1::uuid[])"
            ' ORDER BY lower(r.name) COLLATE "C", r.id',
            keys,
        )
        made = [Head(key=row["key"], name=row["name"]) for row in rows]
    else:
        made = [Head(key=key, name=key) for key in sorted(keys)]
    if NOBODY in found:
        made.append(Head(key=NOBODY, name="None"))
    return made
