"""The feed of events: everything that happened, in an order in which none is missed, with what changed.

Numbers of a sequence commit out of order, so a reader of `id > last` misses events. The feed goes by the transaction's
number and ends before the oldest transaction that is still open: what is shown stays complete for ever.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get
from litestar.params import FromQuery

from service import history, sight
from service.access import Actor, hidden, require
from service.db import Database, metadata, table_named
from service.errors import BadRequest
from service.query import decode_cursor, encode_cursor
from service.wire import answer

# Tables --------------------------------------------------------------------------------------------
# `ledger.events` stands in `service/ledger.py`; what changed is read from history.

# Shapes --------------------------------------------------------------------------------------------


class Change(msgspec.Struct, kw_only=True):
    field: str
    old: Any
    new: Any


class Event(msgspec.Struct, kw_only=True):
    """Who did what to which record, by which door; `data` is the event's own, `changes` come from history."""

    id: UUID
    kind: str
    occurred_at: datetime
    recorded_at: datetime
    entity_type: str
    entity_id: UUID | None
    entity_version: int | None
    actor_id: UUID | None
    door: str
    change_id: UUID
    data: dict[str, Any]
    changes: list[Change]


class Feed(msgspec.Struct, kw_only=True):
    """`next` is where to go on, now or later: it is never null."""

    items: list[Event]
    next: str


# Rules ---------------------------------------------------------------------------------------------

PAGE, MOST_PAGES = 500, 20
_SILENT = frozenset([*history.KEEPING, "version", "updated_at", "updated_by_id"])

# The number goes out under another name: ORDER BY would take an alias `xid` for the text, where 1000 is before 999.
_NEXT = """
SELECT id, kind, occurred_at, recorded_at, entity_type, entity_id, entity_version, actor_id, door, change_id, data,
    xid::text AS transaction, position
FROM ledger.events
WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) AND (xid, position) > ($1::text::xid8, $2::bigint)
    AND ($3::text[] IS NULL OR kind = ANY($3)) AND ($4::uuid IS NULL OR entity_id = $4)
ORDER BY xid, position LIMIT $5"""

_VERSIONS = """
SELECT e.id AS event_id, to_jsonb(h) AS new, to_jsonb(p) AS old
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[]) AS e(entity, id, change, version)
JOIN history.{table} h ON h.id = e.entity AND (h.event_id = e.id OR h.change_id = e.change AND h.version = e.version
    AND NOT EXISTS (SELECT 1 FROM ledger.events m WHERE m.id = h.event_id AND m.entity_id = h.id))
LEFT JOIN LATERAL (SELECT * FROM history.{table} p WHERE p.id = h.id AND p.version = h.version - 1 LIMIT 1) p ON TRUE
/* access:{table} */"""
"""Asked for records only that `visible_rows` has let through. A set-based write has one event that was meant, and one
beside it for each record, which names its version."""


def position(after: str | None) -> tuple[str, int]:
    """The transaction and the number behind which to go on."""
    if after is None:
        return "0", 0
    try:
        xid, number = decode_cursor(after)
        return str(int(xid)), int(number)
    except (ValueError, TypeError):
        raise BadRequest("after: this is not a position of this feed.") from None


def differences(old: dict[str, Any] | None, new: dict[str, Any], unseen: frozenset[str]) -> list[Change]:
    """What a version changed; at creation, all that was given."""
    before = old or {}
    names = [name for name in new if name not in _SILENT and name not in unseen]
    return [
        Change(field=name, old=before.get(name), new=new[name])
        for name in names
        if before.get(name) != new[name] and not (old is None and new[name] in (None, {}, []))
    ]


async def changes(database: Database, actor: Actor, rows: list[Any]) -> dict[UUID, list[Change]]:
    """Event id → what it changed in its record."""
    found: dict[UUID, list[Change]] = {}
    for entity_type in {row["entity_type"] for row in rows}:
        table = table_named(entity_type)
        mine = [row for row in rows if row["entity_type"] == entity_type]
        if table is None or not metadata.tables[table].info.get("business"):
            continue  # what is derived, such as a recommendation, has no history to read changes from
        columns = [[row[name] for row in mine] for name in ("entity_id", "id", "change_id", "entity_version")]
        versions = await database.fetch(_VERSIONS.format(table=table), *columns)
        unseen = hidden(actor, table)
        found |= {v["event_id"]: differences(v["old"], v["new"], unseen) for v in versions}
    return found


async def visible_rows(database: Database, actor: Actor, rows: list[Any]) -> list[Any]:
    """The events whose record the actor may see; events without a record are for those who see all."""
    seen: dict[str, set[UUID]] = {}
    for entity_type in {row["entity_type"] for row in rows}:
        ids = [row["entity_id"] for row in rows if row["entity_type"] == entity_type and row["entity_id"]]
        seen[entity_type] = await sight.visible_ids(database, actor, entity_type, ids)
    return [
        row
        for row in rows
        if row["entity_id"] in seen[row["entity_type"]]
        or (actor.sees_all and (row["entity_id"] is None or table_named(row["entity_type"]) is None))
    ]


async def read(
    database: Database,
    actor: Actor,
    after: tuple[str, int],
    limit: int,
    kinds: list[str] | None,
    entity: UUID | None,
) -> tuple[list[Any], tuple[str, int]]:
    """Up to `limit` visible events behind `after`, and the position of the last one looked at."""
    found: list[Any] = []
    for _ in range(MOST_PAGES):
        rows = await database.fetch(_NEXT, *after, kinds, entity, PAGE)
        for row in await visible_rows(database, actor, rows):
            found.append(row)
            if len(found) == limit:
                return found, (row["transaction"], row["position"])
        if rows:
            after = (rows[-1]["transaction"], rows[-1]["position"])
        if len(rows) < PAGE:
            break
    return found, after


# Routes --------------------------------------------------------------------------------------------


@get("/events", opt={"answer": Feed, "query": ("after", "limit", "kind", "entity_id")})
async def feed(
    request: Request[Any, Any, Any],
    after: FromQuery[str | None] = None,
    limit: FromQuery[int] = 50,
    kind: FromQuery[str | None] = None,
    entity_id: FromQuery[UUID | None] = None,
) -> Response[bytes]:
    """Events behind `after`, oldest first; `kind` may name several with commas between."""
    actor: Actor = request.scope["actor"]  # type: ignore[typeddict-item]  # set by the middleware
    database: Database = request.app.state.database
    require(actor, "events", "read")
    if kind and "\0" in kind:
        raise BadRequest("kind: this is no kind.")
    size = max(1, min(200, limit))
    rows, last = await read(
        database, actor, position(after), size, kind.split(",") if kind else None, entity_id
    )
    changed = await changes(database, actor, rows)
    items = [
        Event(
            **{name: row[name] for name in Event.__struct_fields__[:-1]}, changes=changed.get(row["id"], [])
        )
        for row in rows
    ]
    return answer(Feed(items=items, next=encode_cursor(list(map(str, last)))))


routes: list[Any] = [feed]
