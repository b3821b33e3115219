"""Duplicates: pairs of records that may be one, why, and what people said to it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery
from msgspec import UNSET, Meta
from sqlalchemy.dialects.postgresql import JSONB

from service import alike, jobs, pairing
from service import columns as c
from service.access import Actor, guard, hidden, require
from service.alike import KINDS, Candidate
from service.db import INSTANT, Database, Params, Tx, metadata
from service.domains import accounts, contacts, leads
from service.errors import BadRequest, Invalid, NotFound
from service.query import decode_cursor, encode_cursor
from service.shapes import Given, Line
from service.wire import answer, body
from service.worker import Handler

Row = dict[str, Any]
Entity = Literal["accounts", "contacts", "leads"]
Status = Literal["open", "dismissed"]

# Tables --------------------------------------------------------------------------------------------

pairs = sa.Table(
    "duplicate_pairs",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    c.word("entity", Entity, required=True),
    sa.Column("first_id", sa.Uuid, nullable=False),
    sa.Column("second_id", sa.Uuid, nullable=False),
    c.number("score", required=True),
    sa.Column("reasons", JSONB, nullable=False),
    c.word("status", Status, default="open"),
    c.text("note"),
    c.loose("decided_by_id"),
    c.instant("decided_at"),
    sa.Column("found_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.CheckConstraint("first_id < second_id", name="order"),
    sa.Index("uq_duplicate_pairs_records", "entity", "first_id", "second_id", unique=True),
    sa.Index("ix_duplicate_pairs_second_id", "second_id"),
    sa.Index("ix_duplicate_pairs_score", "status", "score", "id"),
)
"""Derived, but for what people decided: `dismissed` is the memory that these two are not the same."""

# Shapes --------------------------------------------------------------------------------------------


class Reason(msgspec.Struct, kw_only=True):
    """`weight` below zero speaks against it."""

    field: str
    text: str
    weight: float


class Like(msgspec.Struct, kw_only=True):
    id: UUID
    title: str
    score: float
    reasons: list[Reason]


class Pair(msgspec.Struct, kw_only=True):
    """Two records, `first_id` the older one, with how likely they are one and why."""

    id: UUID
    entity: Entity
    first_id: UUID
    second_id: UUID
    first_title: str
    second_title: str
    score: float
    reasons: list[Reason]
    status: Status
    note: str | None
    decided_by_id: UUID | None
    decided_at: datetime | None
    found_at: datetime


class Pairs(msgspec.Struct, kw_only=True):
    """The likeliest first."""

    items: list[Pair]
    next: str | None


class Draft(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`values` are members of the record's own draft, as far as they are known; or `id` names a record that is there."""

    entity: Entity
    id: Given[UUID] = UNSET
    values: Given[dict[str, Any]] = UNSET


class Found(msgspec.Struct, kw_only=True):
    items: list[Like]


class Decision(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    entity: Entity
    ids: Annotated[list[UUID], Meta(min_length=2, max_length=2)]
    note: Given[Line] = UNSET


class Scan(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    entity: Entity


class Queued(msgspec.Struct, kw_only=True):
    job: UUID


# Rules ---------------------------------------------------------------------------------------------

DRAFTS: dict[str, Any] = {
    "accounts": accounts.AccountDraft,
    "contacts": contacts.ContactDraft,
    "leads": leads.LeadDraft,
}


def _condition(actor: Actor, entity: str, params: Params) -> str:
    """Both records of a pair of `entity` are there, and this actor sees them."""
    both = " AND ".join(
        f"EXISTS (SELECT 1 FROM {entity} r WHERE r.id = p.{side} AND r.deleted_at IS NULL"
        f" AND {guard(actor, entity, 'r', params)})"
        for side in ("first_id", "second_id")
    )
    return f"(p.entity = '{entity}' AND {both})"


async def _known(run: Database | Tx, actor: Actor, entity: str, ids: Sequence[UUID]) -> None:
    """Raises `NotFound` unless the actor sees all of these records."""
    params = Params([list(ids)])
    seen = guard(actor, entity, "t", params)
    found = await run.fetchval(
        f"SELECT count(*) FROM {entity} t WHERE t.id = ANY($1::uuid[]) AND t.deleted_at IS NULL AND {seen}",
        *params,
    )
    if found != len(set(ids)):
        raise NotFound("There is no such record.")


async def _shown(run: Database | Tx, actor: Actor, items: list[Row]) -> list[Row]:
    """Pairs with their titles; who does not see all fields gets the judgement of those that they see."""
    shown = []
    for entity in {item["entity"] for item in items}:
        mine = [item for item in items if item["entity"] == entity]
        ids = {item[side] for item in mine for side in ("first_id", "second_id")}
        rows = await pairing.rows_of(run, entity, sorted(ids))
        seen = {key: alike.told(actor, entity, row) for key, row in rows.items()}
        for item in mine:
            if not {item["first_id"], item["second_id"]} <= set(seen):
                continue  # deleted a moment ago
            first, second = seen[item["first_id"]], seen[item["second_id"]]
            names = {"first_title": KINDS[entity].name(first), "second_title": KINDS[entity].name(second)}
            judged = alike.score(entity, first, second) if hidden(actor, entity) else None
            shown.append(item | names | ({"score": judged[0], "reasons": judged[1]} if judged else {}))
    order = {item["id"]: number for number, item in enumerate(items)}
    return sorted(shown, key=lambda item: order[item["id"]])


async def listed(
    database: Database,
    actor: Actor,
    entities: Sequence[str],
    status: str,
    size: int,
    *,
    least: float = 0.0,
    record_id: UUID | None = None,
    cursor: str | None = None,
) -> tuple[list[Row], str | None]:
    """A page of the pairs that this actor sees, the likeliest first, and the cursor of the next one."""
    params = Params([status, least])
    conditions = ["(" + " OR ".join(_condition(actor, entity, params) for entity in entities) + ")"]
    if record_id is not None:
        conditions.append(f"{params.add(record_id)}::uuid IN (p.first_id, p.second_id)")
    if cursor is not None:
        points, last = _position(cursor)
        conditions.append(f"(p.score, p.id) < ({params.add(points)}::float8, {params.add(last)}::uuid)")
    rows = await database.fetch(
        f"SELECT p.* FROM duplicate_pairs p WHERE p.status = $1 AND p.score >= $2::float8"
        f" AND {' AND '.join(conditions)} ORDER BY p.score DESC, p.id DESC LIMIT {size + 1}",
        *params,
    )
    following = encode_cursor([rows[size - 1]["score"], rows[size - 1]["id"]]) if len(rows) > size else None
    return await _shown(database, actor, [dict(row) for row in rows[:size]]), following


async def decide(
    tx: Tx, actor: Actor, entity: str, ids: Sequence[UUID], status: Status, note: str | None
) -> Row:
    """Keeps what somebody said of two records that they see."""
    first, second = sorted(ids)
    if first == second:
        raise Invalid.at("/ids/1", "must be another record")
    await _known(tx, actor, entity, [first, second])
    rows = await pairing.rows_of(tx, entity, [first, second])
    points, reasons = alike.score(entity, rows[first], rows[second])
    await pairing.keep(tx, entity, [(first, second, points, reasons)])
    pair = await tx.fetchrow(
        "UPDATE duplicate_pairs SET status = $4, note = $5, decided_by_id = $6, decided_at = now()"
        " WHERE entity = $1 AND first_id = $2 AND second_id = $3 RETURNING *",
        *(entity, first, second, status, note, actor.id),
    )
    return (await _shown(tx, actor, [dict(pair)]))[0]


handlers: dict[str, Handler] = {"duplicates.look": pairing.look, "duplicates.scan": pairing.scan}

# Routes --------------------------------------------------------------------------------------------


@get(
    "/duplicates", opt={"answer": Pairs, "query": ("entity", "id", "status", "min_score", "limit", "cursor")}
)
async def many(
    database: NamedDependency[Database],
    actor: NamedDependency[Actor],
    entity: FromQuery[str | None] = None,
    id: FromQuery[UUID | None] = None,  # the name in the query string
    status: FromQuery[str] = "open",
    min_score: FromQuery[float] = 0.0,
    limit: FromQuery[int] = 50,
    cursor: FromQuery[str | None] = None,
) -> Response[bytes]:
    """Pairs that may be one record, the likeliest first: of one entity, of one record, open or dismissed."""
    require(actor, "duplicates", "read")
    if entity is not None and entity not in KINDS:
        raise BadRequest(f"entity: there are {', '.join(KINDS)}.")
    if status not in ("open", "dismissed"):
        raise BadRequest("status: there are open and dismissed.")
    items, following = await listed(
        database, actor, [entity] if entity else list(KINDS), status, max(1, min(200, limit)),
        least=min_score, record_id=id, cursor=cursor,
    )  # fmt: skip
    return answer({"items": items, "next": following})


def _position(cursor: str) -> tuple[float, UUID]:
    try:
        points, last = decode_cursor(cursor)
        return float(points), UUID(last)
    except (ValueError, TypeError, AttributeError):
        raise BadRequest("cursor: this is not a cursor of this list.") from None


@post("/duplicates/check", status_code=200, opt={"body": Draft, "answer": Found})
async def check(
    request: Request[Any, Any, Any], database: NamedDependency[Database], actor: NamedDependency[Actor]
) -> Response[bytes]:
    """Records like a draft, or like one that is there: as new as the database itself."""
    require(actor, "duplicates", "read")
    asked = await body(request, Draft)
    require(actor, asked.entity, "read")
    if (asked.id is UNSET) == (asked.values is UNSET):
        raise Invalid.at("/values", "name either id or values")
    if asked.id is not UNSET:
        await _known(database, actor, asked.entity, [asked.id])
        row = (await pairing.rows_of(database, asked.entity, [asked.id]))[asked.id]
        without = await pairing.dismissed(database, asked.entity, asked.id)
    else:
        row, without = _typed(asked.entity, asked.values or {}), set()
    found: list[Candidate] = await alike.candidates(database, actor, asked.entity, row)
    return answer({"items": [one for one in found if one.id not in without]})


def _typed(entity: Entity, values: Row) -> Row:
    """The members of a draft that may be unfinished: each typed by the draft's own shape."""
    hints = {field.name: field.type for field in msgspec.structs.fields(DRAFTS[entity])}
    for name, value in values.items():
        if name not in hints:
            raise Invalid.at(f"/values/{name}", "Object contains unknown field")
        try:
            values[name] = msgspec.convert(value, hints[name])
        except msgspec.ValidationError as error:
            raise Invalid.at(f"/values/{name}", str(error)) from None
    return values


@post("/duplicates/scan", status_code=202, opt={"body": Scan, "answer": Queued})
async def start(
    request: Request[Any, Any, Any], tx: NamedDependency[Tx], actor: NamedDependency[Actor]
) -> Response[bytes]:
    """Looks through all records of one entity, as a job."""
    require(actor, "duplicates", "scan")
    asked = await body(request, Scan)
    payload = {"entity": asked.entity}
    return answer(
        {"job": await jobs.enqueue(tx, "duplicates.scan", payload, actor=actor, key=asked.entity)}, 202
    )


async def _decide(request: Request[Any, Any, Any], tx: Tx, actor: Actor, status: Status) -> Response[bytes]:
    require(actor, "duplicates", "update")
    asked = await body(request, Decision)
    note = None if asked.note is UNSET else asked.note
    return answer(await decide(tx, actor, asked.entity, asked.ids, status, note))


@post("/duplicates/dismiss", status_code=200, opt={"body": Decision, "answer": Pair})
async def dismiss(
    request: Request[Any, Any, Any], tx: NamedDependency[Tx], actor: NamedDependency[Actor]
) -> Response[bytes]:
    """Says that two records are not the same: neither a scan nor a change brings the pair up again."""
    return await _decide(request, tx, actor, "dismissed")


@post("/duplicates/reopen", status_code=200, opt={"body": Decision, "answer": Pair})
async def reopen(
    request: Request[Any, Any, Any], tx: NamedDependency[Tx], actor: NamedDependency[Actor]
) -> Response[bytes]:
    """Takes that back."""
    return await _decide(request, tx, actor, "open")


routes: list[Any] = [many, check, start, dismiss, reopen]
