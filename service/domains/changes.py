"""Change sets: what one write, job or import did, whether it can be undone, and its undo."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from service import changes, past, sight
from service.access import Actor, hidden, may, require, require_scope
from service.changes import Row
from service.db import Database, Params
from service.domains import jobs
from service.errors import BadRequest, Conflict, Forbidden, NotFound, Problem
from service.query import decode_cursor, encode_cursor
from service.wire import answer

# Shapes ------------------------------------------------------------------------------------------------------------


class Undone(msgspec.Struct, kw_only=True):
    """`counts` by resource; `change_id` is the undo's own change set, which can be undone in turn."""

    change_id: UUID
    undone: UUID
    counts: dict[str, int]


class ChangeSet(msgspec.Struct, kw_only=True):
    """`kind`, record and `data` are those of its first event; `events` counts to 1,000."""

    id: UUID
    at: datetime
    kind: str
    entity_type: str
    entity_id: UUID | None
    actor_id: UUID | None
    door: str
    data: dict[str, Any]
    events: int
    undone_by: UUID | None


class ChangeList(msgspec.Struct, kw_only=True):
    """Newest first."""

    items: list[ChangeSet]
    next: str | None


class Counts(msgspec.Struct, kw_only=True):
    created: int
    updated: int
    deleted: int


class Touched(msgspec.Struct, kw_only=True):
    resource: str
    id: UUID
    version: int
    changes: list[past.Change]


class Undoable(msgspec.Struct, kw_only=True):
    """Whether you may undo the set now; if not, why, and which fields stand in the way."""

    is_possible: bool
    reason: str | None
    conflicts: list[dict[str, Any]]


class WholeChangeSet(ChangeSet, kw_only=True):
    """`counts` by resource; `records` are the first hundred of those that you see; `undoes` where it is an undo."""

    counts: dict[str, Counts]
    records: list[Touched]
    undoes: UUID | None
    undo: Undoable


# Rules -------------------------------------------------------------------------------------------------------------

MOST_RECORDS = 100
MOST_EVENTS = 1_000


def _theirs(actor: Actor, alias: str, params: Params) -> str:
    """Whose change sets one sees: one's own and those of one's people; everybody's for who may undo everybody's."""
    if may(actor, "changes", "undo"):
        return "TRUE"
    return f"{alias}.actor_id = ANY({params.add(list({actor.id, *(actor.owners or ())}))}::uuid[])"


async def require_seen(database: Database, actor: Actor, change_id: UUID) -> None:
    """Raises `NotFound` for a set of somebody whose changes this actor does not see."""
    params = Params([change_id])
    if not await database.fetchval(
        f"SELECT bool_and({_theirs(actor, 'e', params)}) FROM ledger.events e WHERE e.change_id = $1", *params
    ):
        raise NotFound("There is no such change set.")


async def require_own(database: Database, actor: Actor, change_id: UUID) -> None:
    """Who may undo anything may; all others what they themselves did."""
    await require_seen(database, actor, change_id)
    if not may(actor, "changes", "undo") and not await _is_own(database, actor, change_id):
        raise Forbidden("You may undo what you did yourself.")


async def _is_own(database: Database, actor: Actor, change_id: UUID) -> bool:
    own: bool = await database.fetchval(
        "SELECT bool_and(actor_id = $2) FROM ledger.events WHERE change_id = $1", change_id, actor.id
    )
    return own


_SETS = """
SELECT e.change_id AS id, e.id AS event, e.recorded_at AS at, e.kind, e.entity_type, e.entity_id, e.actor_id, e.door, e.data,
    (SELECT count(*) FROM (SELECT 1 FROM ledger.events n WHERE n.change_id = e.change_id LIMIT {most}) c) AS events
FROM ledger.events e
WHERE (e.entity_version IS NOT NULL OR e.entity_id IS NULL OR e.kind = 'change.undone')
    AND NOT EXISTS (SELECT 1 FROM ledger.events p WHERE p.change_id = e.change_id AND p.id < e.id)
    AND {conditions}
ORDER BY e.id DESC LIMIT {limit}"""


async def _sets(database: Database, conditions: str, params: Params, limit: int) -> list[Row]:
    rows = await database.fetch(_SETS.format(most=MOST_EVENTS, conditions=conditions, limit=limit), *params)
    return [dict(row) | {"undone_by": await changes.undone_by(database, row["id"])} for row in rows]


_COUNTS = """
SELECT '{table}' AS resource, count(*) FILTER (WHERE p.first = 1) AS created,
    count(*) FILTER (WHERE p.first > 1 AND a.deleted_at IS NOT NULL AND b.deleted_at IS NULL) AS deleted,
    count(*) AS touched
FROM (SELECT id, min(version) AS first, max(version) AS last FROM history.{table} WHERE change_id = $1 GROUP BY id) p
JOIN history.{table} a ON a.id = p.id AND a.version = p.last
LEFT JOIN history.{table} b ON b.id = p.id AND b.version = p.first - 1 /* access:{table} */"""

_RECORDS = """
SELECT h.id, h.version, to_jsonb(h) AS new, to_jsonb(b) AS old
FROM history.{table} h LEFT JOIN history.{table} b ON b.id = h.id AND b.version = h.version - 1
WHERE h.change_id = $1 AND h.id IN (SELECT DISTINCT id FROM history.{table} WHERE change_id = $1 LIMIT {most})
ORDER BY h.id, h.version LIMIT {most} /* access:{table} */"""
"""Shown as far as `sight.visible_ids` lets through."""


async def _counts(database: Database, tables: list[Any], change_id: UUID) -> Row:
    found = {}
    for table in tables:
        row = await database.fetchrow(_COUNTS.format(table=table.name), change_id)
        updated = row["touched"] - row["created"] - row["deleted"]
        found[row["resource"]] = {
            "created": row["created"], "updated": updated, "deleted": row["deleted"]
        }  # fmt: skip
    return found


async def _records(database: Database, actor: Actor, tables: list[Any], change_id: UUID) -> list[Row]:
    found: list[Row] = []
    for table in tables:
        rows = await database.fetch(_RECORDS.format(table=table.name, most=MOST_RECORDS), change_id)
        ids = [row["id"] for row in rows]
        seen = await sight.visible_ids(database, actor, sight.entity_of(table.name), ids)
        found += [
            {
                "resource": str(table.name),
                "id": row["id"],
                "version": row["version"],
                "changes": past.changes_between(row["old"], row["new"], hidden(actor, table.name)),
            }
            for row in rows
            if row["id"] in seen
        ]
    return found[:MOST_RECORDS]


async def _undoable(database: Database, actor: Actor, tables: list[Any], change_id: UUID) -> Row:
    """The very tests of the undo, without the undo."""
    refused: Exception | None = None
    if not tables:
        refused = Conflict("It changed no record that has a history.")
    elif not may(actor, "changes", "undo") and not await _is_own(database, actor, change_id):
        refused = Forbidden("You may undo what you did yourself.")
    else:
        refused = await changes.refusal(database, actor, tables, change_id)
    found = [] if refused else await changes.conflicts(database, actor, tables, change_id)
    if found:
        refused = Conflict(f"{changes.reason(found)}.")
    reason = refused.detail if isinstance(refused, Problem) else None
    return {"is_possible": reason is None, "reason": reason, "conflicts": found}


# Routes ------------------------------------------------------------------------------------------------------------


@get("/changes", opt={"answer": ChangeList, "query": ("limit", "cursor", "actor_id")})
async def many(
    database: NamedDependency[Database],
    actor: NamedDependency[Actor],
    limit: FromQuery[int] = 50,
    cursor: FromQuery[str | None] = None,
    actor_id: FromQuery[UUID | None] = None,
) -> Response[bytes]:
    """Change sets, newest first: your own and your people's, or everybody's for who may undo everybody's."""
    require(actor, "changes", "read")
    require_scope(actor, "changes", "read")
    size, params = max(1, min(200, limit)), Params()
    conditions = [_theirs(actor, "e", params)]
    if actor_id is not None:
        conditions.append(f"e.actor_id = {params.add(actor_id)}")
    if cursor is not None:
        conditions.append(f"e.id < {params.add(_position(cursor))}")
    rows = await _sets(database, " AND ".join(conditions), params, size + 1)
    following = encode_cursor([rows[size - 1]["event"]]) if len(rows) > size else None
    items = [{name: row[name] for name in ChangeSet.__struct_fields__} for row in rows[:size]]
    return answer({"items": items, "next": following})


def _position(cursor: str) -> UUID:
    try:
        (event,) = decode_cursor(cursor)
        return UUID(event)
    except (ValueError, TypeError, AttributeError):
        raise BadRequest("cursor: this is not a cursor of this list.") from None


@get("/changes/{change_id:uuid}", opt={"answer": WholeChangeSet})
async def one(
    database: NamedDependency[Database], actor: NamedDependency[Actor], change_id: FromPath[UUID]
) -> Response[bytes]:
    """What a change set did, by whom, and whether it can be undone."""
    require(actor, "changes", "read")
    require_scope(actor, "changes", "read")
    await require_seen(database, actor, change_id)
    rows = await _sets(database, "e.change_id = $1", Params([change_id]), 1)
    if not rows:
        raise NotFound("There is no such change set.")
    row = {name: rows[0][name] for name in ChangeSet.__struct_fields__}
    tables = await changes.touched_tables(database, change_id)
    whole = row | {
        "counts": await _counts(database, tables, change_id),
        "records": await _records(database, actor, tables, change_id),
        "undoes": row["entity_id"] if row["kind"] == "change.undone" else None,
        "undo": await _undoable(database, actor, tables, change_id),
    }
    return answer(whole)


@post("/changes/{change_id:uuid}/undo", status_code=200, opt={"answer": Undone, "statuses": (409,)})
async def undo_change(
    database: NamedDependency[Database], actor: NamedDependency[Actor], change_id: FromPath[UUID]
) -> Response[bytes]:
    """Undoes a change set; 409 with the list when a field was changed since."""
    require_scope(actor, "changes", "undo")
    await require_own(database, actor, change_id)
    return answer(await changes.undo(database, actor, change_id))


@post("/jobs/{job_id:uuid}/undo", status_code=200, opt={"answer": Undone, "statuses": (409,)})
async def undo_job(
    database: NamedDependency[Database], actor: NamedDependency[Actor], job_id: FromPath[UUID]
) -> Response[bytes]:
    """Undoes what a job changed."""
    require_scope(actor, "changes", "undo")
    require(actor, "jobs", "read")
    job = await jobs.find(database, actor, job_id)
    if job["change_id"] is None or job["status"] in ("queued", "running"):
        raise Conflict("This job has changed nothing that could be undone.")
    return answer(await changes.undo(database, actor, job["change_id"]))


routes: list[Any] = [many, one, undo_change, undo_job]
