"""Bulk: the records that a filter finds are changed, handed over or deleted as a job; a thousand are created at once."""

import base64
import binascii
import hashlib
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Request, Response, post
from litestar.di import NamedDependency
from msgspec import UNSET, Meta

from service import filtering, jobs, many, query
from service.access import Actor, hidden, read_only, require
from service.auth import actor_of_user
from service.db import Database, Tx, metadata, to_json
from service.domains.assignment import hand_over, may_own
from service.errors import BadRequest, Conflict, Forbidden, Invalid, Problem
from service.filtering import Filter
from service.idempotency import idempotent
from service.ids import new_id
from service.jobs import Job
from service.refusals import REFUSALS, problem
from service.resource import Resource, plain
from service.resources import RESOURCES
from service.shapes import Given
from service.wire import answer, body, decode
from service.worker import Handler
from service.writes import locked, remove, update

Row = dict[str, Any]
Action = Literal["update", "assign", "delete", "create"]
MOST_CREATED = 1_000
MOST_CHANGED = 50_000

# Tables --------------------------------------------------------------------------------------------

rows = sa.Table(
    "bulk_rows",
    metadata,
    sa.Column("job_id", sa.Uuid, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("record_id", sa.Uuid, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
)
"""What a job has still to do: the records as its filter found them when it was asked for."""

# Shapes --------------------------------------------------------------------------------------------


class Bulk(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`set` holds what a Patch of the resource may hold, `owner_id` for assign; `items` are drafts, for create alone.

    `token` is a preview's: the job starts only where the filter finds what it found then.
    """

    resource: Annotated[str, Meta(max_length=64)]
    action: Action
    filter: Given[Filter] = UNSET
    set: Given[dict[str, Any]] = UNSET
    items: Given[Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MOST_CREATED)]] = UNSET
    token: Given[Annotated[str, Meta(max_length=500)]] = UNSET


class Queued(msgspec.Struct, kw_only=True):
    job: UUID


class Preview(msgspec.Struct, kw_only=True):
    """How many records the filter finds, the first of them, and the token that binds a job to just these."""

    count: int
    sample: list[dict[str, Any]]
    token: str


class Made(msgspec.Struct, kw_only=True):
    """The ids of the new records, in the order of `items`."""

    ids: list[UUID]
    change_id: UUID


# Rules: what is asked --------------------------------------------------------------------------------

SAMPLE = 5


def resource_of(actor: Actor, asked: Bulk) -> Resource:
    """The resource, if this actor may do that to its records at all. Raises `Invalid` for parts that do not fit."""
    require(actor, "bulk", "create")
    resource = RESOURCES.get(asked.resource)
    if resource is None or resource.nested:
        names = sorted(name for name, one in RESOURCES.items() if not one.nested)
        raise Invalid.at("/resource", f"is none of {', '.join(names)}")
    require(actor, asked.resource, asked.action)
    needed = {"create": ("items",), "delete": ("filter",)}.get(asked.action, ("filter", "set"))
    for name in ("filter", "set", "items", "token"):
        given = getattr(asked, name) is not UNSET
        if given and name not in (*needed, *(() if asked.action == "create" else ("token",))):
            raise Invalid.at(f"/{name}", f"does not belong to {asked.action}")
        if not given and name in needed:
            raise Invalid.at(f"/{name}", f"Object missing required field `{name}`")
    return resource


def wish(resource: Resource, actor: Actor, asked: Bulk) -> Row:
    """What is to be set, judged by the shape of a Patch. Raises `Invalid` with pointers under `/set`."""
    values = asked.set or {}
    if asked.action == "delete":
        return {}
    if asked.action == "assign":
        if set(values) != {"owner_id"}:
            raise Invalid.at("/set", "assign takes owner_id and nothing else")
        try:
            return {"owner_id": UUID(str(values["owner_id"]))}
        except ValueError:
            raise Invalid.at("/set/owner_id", "is not an id") from None
    unseen = hidden(actor, resource.key)
    for name in values:
        if name in unseen:
            raise Invalid.at(f"/set/{name}", "Object contains unknown field")
        if name in read_only(actor, resource.key):
            raise Forbidden(f"The field {name} is read only for your role.")
    try:
        found = plain(decode(to_json(values).encode(), resource.patch))
    except Invalid as error:
        raise Invalid(error.detail, errors=many.under("/set", error)) from None
    if not found:
        raise Invalid.at("/set", "names no field")
    return found


# Rules: what it finds ----------------------------------------------------------------------------------


async def _found(
    run: Tx | Database, resource: Resource, actor: Actor, filters: list[tuple[str, str, str]]
) -> tuple[str, list[Any]]:
    """The records as (id, version), of those that the actor sees."""
    builder = await query.prepared(run, resource.source, actor, query.Request(filters=filters))
    where = builder.where({})
    return (
        f"SELECT t.id, t.version FROM {resource.key} t WHERE {where} ORDER BY t.id LIMIT {MOST_CHANGED + 1}",
        builder.params,
    )


async def state(
    run: Tx | Database, resource: Resource, actor: Actor, filters: list[tuple[str, str, str]]
) -> tuple[int, str]:
    """How many records the filter finds, and a digest of which, in which versions."""
    found, params = await _found(run, resource, actor, filters)
    row = await run.fetchrow(
        "SELECT count(*) AS number, coalesce(md5(string_agg(id::text || ':' || version, ',' ORDER BY id)), '') AS digest"
        f" FROM ({found}) found",
        *params,
    )
    if row["number"] > MOST_CHANGED:
        raise Invalid.at("/filter", f"finds more than {MOST_CHANGED} records: narrow it down")
    return row["number"], row["digest"]


def _fingerprint(asked: Bulk) -> str:
    said = to_json([asked.resource, asked.action, msgspec.to_builtins(asked.filter), asked.set or {}])
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def token(asked: Bulk, count: int, digest: str) -> str:
    return base64.urlsafe_b64encode(to_json([_fingerprint(asked), count, digest]).encode()).decode()


def check_token(asked: Bulk, count: int, digest: str) -> None:
    """Raises `Conflict` where the filter does not find what it found for the preview."""
    if asked.token is UNSET:
        return
    try:
        parts = msgspec.json.decode(base64.urlsafe_b64decode(asked.token), type=tuple[str, int, str])
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise Invalid.at("/token", "is no preview's token") from None
    if parts[0] != _fingerprint(asked):
        raise Invalid.at("/token", "belongs to another request")
    if parts[2] != digest:
        raise Conflict(
            f"The records that this filter finds have changed since the preview: {parts[1]} then, {count} now.",
            previewed=parts[1],
            found=count,
        )


# Rules: the job ------------------------------------------------------------------------------------------

CHUNK = 200
_NEXT = "SELECT position, record_id, version FROM bulk_rows WHERE job_id = $1 ORDER BY position LIMIT $2"
_DONE = """
WITH gone AS (DELETE FROM bulk_rows WHERE job_id = $1 AND position <= $2)
UPDATE jobs SET processed = processed + $3, counts = $4, errors = $5 WHERE id = $1"""


async def work(job: Job) -> Row:
    """Changes the rows that are left, a chunk a transaction: what was done stays done if the worker is killed."""
    said = job.payload
    assert job.actor_id is not None, "somebody asked for it"
    scopes = frozenset(said["scopes"]) if said["scopes"] is not None else None
    actor = await actor_of_user(job.database, job.actor_id, scopes=scopes, door="job")
    resource = RESOURCES[said["resource"]]
    require(actor, resource.key, said["action"])
    values = _typed(resource, said)
    while True:
        async with job.database.begin(job.change_id) as tx:
            before = await tx.fetchrow(
                "SELECT status, counts, errors FROM jobs WHERE id = $1 FOR UPDATE", job.id
            )
            chunk = await tx.fetch(_NEXT, job.id, CHUNK) if before["status"] == "running" else []
            if not chunk:
                return {**before["counts"], "change_id": job.change_id}
            counts, errors = dict(before["counts"]), list(before["errors"])
            for row in chunk:
                what = await _each(tx, resource, actor, said["action"], values, row, errors)
                counts[what] = counts.get(what, 0) + 1
            await tx.execute(
                _DONE, job.id, chunk[-1]["position"], len(chunk), counts, errors[: jobs.MOST_ERRORS]
            )


def _typed(resource: Resource, said: Row) -> Row:
    if said["action"] == "assign":
        return {"owner_id": UUID(said["values"]["owner_id"])}
    return plain(decode(to_json(said["values"]).encode(), resource.patch))


async def _each(
    tx: Tx, resource: Resource, actor: Actor, action: str, values: Row, row: Any, errors: list[Row]
) -> str:
    """One record, by the rules of its kind; what does not go is told and hinders nobody else."""
    try:
        async with tx.savepoint():
            old = await locked(tx, resource, actor, row["record_id"])
            if old["version"] != row["version"]:
                raise Conflict(f"was changed meanwhile: version {row['version']} then, {old['version']} now")
            return await _change(tx, resource, actor, action, values, old)
    except (Problem, *REFUSALS) as error:
        said = error if isinstance(error, Problem) else problem(error)
        first = said.errors[0] if said.errors else {"pointer": "", "detail": said.detail}
        errors.append(
            {
                "id": str(row["record_id"]),
                "column": first["pointer"].strip("/").split("/")[0],
                "detail": first["detail"],
            }
        )
        return "failed"


async def _change(tx: Tx, resource: Resource, actor: Actor, action: str, values: Row, old: Row) -> str:
    if action == "delete":
        await remove(tx, resource, actor, old)
        return "deleted"
    if action == "assign":
        if old["owner_id"] == values["owner_id"]:
            return "unchanged"
        stamp = {"assigned_at": await tx.fetchval("SELECT now()")} if "assigned_at" in old else {}
        await hand_over(tx, resource, actor, old, values["owner_id"], {"reason": "bulk"}, **stamp)
        return "updated"
    return "unchanged" if await update(tx, resource, actor, old, dict(values)) is old else "updated"


handlers: dict[str, Handler] = {"bulk": work}

# Routes --------------------------------------------------------------------------------------------


@post("/bulk/preview", status_code=200, opt={"body": Bulk, "answer": Preview})
async def preview(
    request: Request[Any, Any, Any], database: NamedDependency[Database], actor: NamedDependency[Actor]
) -> Response[bytes]:
    """How many records a job would change, without changing any."""
    return answer(await foreseen(database, actor, await body(request, Bulk)))


async def foreseen(database: Database, actor: Actor, asked: Bulk) -> Preview:
    """What a job would change."""
    resource = resource_of(actor, asked)
    if asked.action == "create":
        raise Invalid.at("/action", "a create needs no preview")
    wish(resource, actor, asked)
    filters = filtering.conditions(asked.filter or [])
    count, digest = await state(database, resource, actor, filters)
    page = await query.run(
        database, resource.source, actor, query.Request(filters=filters, limit=SAMPLE, sort=[("id", False)])
    )
    sample = msgspec.json.decode(page.body)["items"]
    return Preview(count=count, sample=sample, token=token(asked, count, digest))


@post("/bulk", status_code=202, opt={"body": Bulk, "answer": Queued, "also": {201: Made}, "statuses": (409,)})
@idempotent
async def start(
    request: Request[Any, Any, Any],
    tx: NamedDependency[Tx],
    database: NamedDependency[Database],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Changes all that a filter finds, as a job (202); or creates up to a thousand records, all or none (201)."""
    asked = await body(request, Bulk)
    resource = resource_of(actor, asked)
    if asked.action == "create":
        return await _create(tx, database, resource, actor, asked.items or [])
    return answer({"job": await started(tx, actor, asked)}, 202)


async def started(tx: Tx, actor: Actor, asked: Bulk) -> UUID:
    """Queues the job that changes what the filter finds now."""
    resource = resource_of(actor, asked)
    values = wish(resource, actor, asked)
    if asked.action == "assign":
        await may_own(tx, actor, values["owner_id"])
    filters = filtering.conditions(asked.filter or [])
    count, digest = await state(tx, resource, actor, filters)
    check_token(asked, count, digest)
    return await _enqueue(tx, resource, actor, asked, filters)


async def _enqueue(
    tx: Tx, resource: Resource, actor: Actor, asked: Bulk, filters: list[tuple[str, str, str]]
) -> UUID:
    payload = {
        "resource": resource.key,
        "action": asked.action,
        "values": asked.set or {},
        "filter": filters,
        "scopes": sorted(actor.scopes) if actor.scopes is not None else None,
    }
    job_id = await jobs.enqueue(tx, "bulk", payload, actor=actor, change_id=new_id())
    found, params = await _found(tx, resource, actor, filters)
    place = f"${len(params) + 1}"
    await tx.execute(
        "WITH frozen AS (INSERT INTO bulk_rows (job_id, position, record_id, version)"
        f" SELECT {place}::uuid, row_number() OVER (ORDER BY id), id, version FROM ({found}) found RETURNING 1)"
        f" UPDATE jobs SET total = (SELECT count(*) FROM frozen) WHERE id = {place}::uuid",
        *params,
        job_id,
    )
    return job_id


async def _create(
    tx: Tx, database: Database, resource: Resource, actor: Actor, items: list[msgspec.Raw]
) -> Response[bytes]:
    drafts, faults = [], []
    for index, item in enumerate(items):
        try:
            drafts.append(plain(decode(bytes(item), resource.draft)))
        except (Invalid, BadRequest) as error:
            faults += many.under(f"/items/{index}", error)
    many.refuse(faults)
    ids = await many.create(tx, database, resource, actor, drafts)
    return answer({"ids": ids, "change_id": tx.change_id}, 201)


routes: list[Any] = [preview, start]
