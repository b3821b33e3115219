"""A record's timeline: field by field what each version changed, when it could be known, by whom, by which door."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from service import history
from service.access import Actor, guard, hidden
from service.db import Database, Params
from service.errors import BadRequest, NotFound
from service.query import encode_cursor, instant

Row = dict[str, Any]

ABOUT_THE_VERSION = frozenset(
    ("id version created_at updated_at created_by_id updated_by_id " + " ".join(history.KEEPING)).split()
)
"""Columns that describe the version, not the record."""


class Change(msgspec.Struct, kw_only=True):
    field: str
    old: Any
    new: Any


class Version(msgspec.Struct, kw_only=True):
    """What one change did, when it could be known and when it was recorded, by whom and by which door."""

    version: int
    known_from: datetime
    recorded_at: datetime
    kind: str | None
    actor_id: UUID | None
    door: str | None
    change_id: UUID | None
    changes: list[Change]


class Timeline(msgspec.Struct, kw_only=True):
    """Newest first."""

    items: list[Version]
    next: str | None


_TOLD = ("known_from", "recorded_at", "kind", "actor_id", "door", "change_id")


def _told(row: Row) -> Row:
    """The row with each custom value as a field of its own, `cf.region`."""
    told = {name: value for name, value in row.items() if name != "cf"}
    return told | {f"cf.{key}": value for key, value in (row.get("cf") or {}).items()}


def changes_between(before: Row | None, after: Row, unseen: frozenset[str] = frozenset()) -> list[Row]:
    """Field by field, what a version changed; at creation, all that was given."""
    old, new = _told(before or {}), _told(after)
    return [
        {"field": name, "old": old.get(name), "new": value}
        for name, value in (dict.fromkeys(old) | new).items()
        if name not in ABOUT_THE_VERSION
        and name not in unseen
        and old.get(name) != value
        and (before or value not in (None, [], {}))
    ]


def items(versions: list[Any], unseen: frozenset[str] = frozenset()) -> list[Row]:
    """Versions, newest first, as what each changed; what was before the last one is taken to be nothing."""
    return [
        {name: row[name] for name in _TOLD}
        | {
            "version": row["row"]["version"],
            "changes": changes_between(before and before["row"], row["row"], unseen),
        }
        for row, before in zip(versions, [*versions[1:], None], strict=True)
    ]


def _position(cursor: list[Any] | None) -> tuple[datetime | None, int | None]:
    if cursor is None:
        return None, None
    try:
        at, version = cursor
        if not isinstance(version, int) or not 0 < version < 2**31:
            raise ValueError("no version")
        return instant(str(at)), version
    except (ValueError, TypeError):
        raise BadRequest("cursor: this is not a cursor of this list.") from None


_VERSIONS = """
SELECT to_jsonb(h) AS row, h.known_from, h.recorded_at, h.change_id, h.event_id, e.kind, e.actor_id, e.door
FROM history.{table} h LEFT JOIN ledger.events e ON e.id = h.event_id
WHERE h.id = $1 AND ($2::timestamptz IS NULL OR (h.known_from, h.version) < ($2, $3::int)) AND EXISTS ({seen})
ORDER BY h.known_from DESC, h.version DESC LIMIT $4"""


async def timeline(
    database: Database,
    actor: Actor,
    table: str,
    record_id: UUID,
    limit: int,
    cursor: list[Any] | None = None,
    fixed: Row | None = None,
) -> Row:
    """One page of a record's changes, for who may see the record now, a deleted one too; hidden fields are left out."""
    at, version = _position(cursor)
    params = Params([record_id, at, version, limit + 1])
    seen = f"SELECT 1 FROM {table} t WHERE t.id = h.id AND {guard(actor, table, 't', params)}" + "".join(
        f' AND t."{name}" = {params.add(value)}' for name, value in (fixed or {}).items()
    )
    rows = await database.fetch(_VERSIONS.format(table=table, seen=seen), *params)
    if not rows and cursor is None:
        raise NotFound("There is no such record.")
    told, following = items(rows, hidden(actor, table)), None
    if len(rows) > limit:
        told.pop()
        last = rows[limit - 1]
        following = encode_cursor([last["known_from"], last["row"]["version"]])
    return {"items": told, "next": following}
