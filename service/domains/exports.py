"""Exports: any list as a file of CSV, NDJSON or Parquet, made by a job and fetched as a stream."""

import contextlib
import tempfile
import time
from typing import Annotated, Any
from uuid import UUID

import msgspec
import obstore
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import UNSET, Meta

from service import jobs, ledger, objects, query
from service.access import Actor, require
from service.auth import actor_of_user
from service.db import Database, Tx
from service.domains import jobs as job_routes
from service.errors import Conflict, Invalid
from service.exporting import streams
from service.exporting.streams import Format, Selection
from service.filtering import Filter, conditions
from service.idempotency import idempotent
from service.jobs import Job
from service.resource import Resource
from service.resources import RESOURCES
from service.settings import Settings
from service.shapes import Given, Instant
from service.wire import answer, body
from service.worker import Handler

KEPT_DAYS = 7
LOOK_SECONDS = 1.0
"""How often a running export tells how far it is, and looks whether somebody stopped it."""

# Shapes ------------------------------------------------------------------------------------------------------------

FieldName = Annotated[str, Meta(min_length=1, max_length=100)]


class Export(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`filter`: criteria, a list's query string, or an object of `"field[op]": value`; without it all that one sees.

    `fields` in their order, `cf.key` among them; without them all that are stored. `sort` as in lists: `-amount,name`.
    """

    resource: Annotated[str, Meta(max_length=64)]
    format: Format = "csv"
    filter: Given[Filter] = UNSET
    fields: Given[Annotated[list[FieldName], Meta(min_length=1, max_length=200)]] = UNSET
    sort: Given[Annotated[str, Meta(max_length=500)]] = UNSET
    as_of: Given[Instant] = UNSET


class Accepted(msgspec.Struct, kw_only=True):
    job: UUID


# Rules -------------------------------------------------------------------------------------------------------------


class Stopped(Exception):
    """Somebody canceled or paused the export."""


def resource_of(actor: Actor, name: str) -> Resource:
    """The resource, if this actor may read and export it."""
    require(actor, "exports", "create")
    resource = RESOURCES.get(name.replace("-", "_"))
    if resource is None:
        raise Invalid.at("/resource", f"is none of {', '.join(sorted(RESOURCES))}")
    require(actor, resource.key, "read")
    return resource


def request_of(asked: Export) -> query.Request:
    """The request of a list that asks the same."""
    request = query.Request(filters=conditions(asked.filter) if asked.filter else [])
    request.fields = list(asked.fields) if asked.fields else None
    if asked.sort:
        query.reserved(request, "sort", asked.sort)
    request.as_of = asked.as_of or None
    return request


def file_key(job_id: UUID) -> str:
    return f"exports/{job_id}"


def handlers(settings: Settings) -> dict[str, Handler]:
    async def work(job: Job) -> dict[str, Any] | None:
        try:
            return await _work(settings.objects_url, job)
        except Stopped:
            await job.database.execute("UPDATE jobs SET lease_until = NULL WHERE id = $1", job.id)
            return None

    return {"export": work}


async def _work(url: str, job: Job) -> dict[str, Any]:
    """Writes the file anew, whoever began it, with what the person who asked may see now."""
    asked = msgspec.convert(job.payload, Export)
    assert job.actor_id is not None
    actor = await actor_of_user(job.database, job.actor_id, door="job")
    resource = resource_of(actor, asked.resource)
    builder = await query.prepared(job.database, resource.source, actor, request_of(asked))
    selection = Selection(resource, builder)
    total = await job.database.fetchval(selection.count, *selection.count_params)
    await job.progress(0, total)
    last = time.monotonic()

    async def told(rows: int) -> None:
        nonlocal last
        if time.monotonic() - last < LOOK_SECONDS:
            return
        last = time.monotonic()
        await job.progress(rows)
        if await job.database.fetchval("SELECT status FROM jobs WHERE id = $1", job.id) != "running":
            raise Stopped

    with tempfile.TemporaryFile(prefix="sales-export-") as file:
        rows = await streams.write(job.database, selection, asked.format, file, told)
        size = file.tell()
        await objects.keep(url, file_key(job.id), file)
    await job.progress(rows, rows)
    await _sweep(url, job.database)
    return {"rows": rows, "bytes": size, "format": asked.format, "resource": resource.key}


async def _sweep(url: str, database: Database) -> None:
    """Files of old exports go: they hold what nobody guards any more."""
    rows = await database.fetch(
        "UPDATE jobs SET result_url = NULL WHERE type = 'export' AND result_url IS NOT NULL"
        " AND finished_at < now() - make_interval(days => $1) RETURNING id",
        KEPT_DAYS,
    )
    for row in rows:
        with contextlib.suppress(FileNotFoundError):
            await obstore.delete_async(objects.store_at(url), file_key(row["id"]))


async def started(tx: Tx, actor: Actor, asked: Export) -> UUID:
    """Queues the job of an export that this actor may ask for."""
    resource = resource_of(actor, asked.resource)
    builder = await query.prepared(tx, resource.source, actor, request_of(asked))
    Selection(resource, builder)  # what it names is there, for this actor
    job_id = await jobs.enqueue(tx, "export", msgspec.to_builtins(asked), actor=actor)
    await tx.execute(
        "UPDATE jobs SET result_url = $2 WHERE id = $1", job_id, f"/api/v1/exports/{job_id}/file"
    )
    said = {"resource": resource.key, "format": asked.format, "filters": request_of(asked).filters}
    await ledger.record(tx, actor, "export.requested", "export", job_id, data=said)
    return job_id


# Routes ------------------------------------------------------------------------------------------------------------


@post("/exports", status_code=202, opt={"body": Export, "answer": Accepted})
@idempotent
async def begin(
    request: Request[Any, Any, Any], tx: NamedDependency[Tx], actor: NamedDependency[Actor]
) -> Response[bytes]:
    """Writes what a list would show into a file, in a job; its `result_url` is the file."""
    require(actor, "exports", "create")
    job_id = await started(tx, actor, await body(request, Export))
    return answer({"job": job_id}, 202, {"Location": f"/api/v1/jobs/{job_id}"})


@get("/exports/{job_id:uuid}/file", opt={"file": True, "statuses": (409,)})
async def file(
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
    job_id: FromPath[UUID],
) -> Stream:
    """The file of an export that is done, as a stream."""
    require(actor, "exports", "read")
    job = await job_routes.find(database, actor, job_id)
    if job["type"] != "export" or job["status"] != "done":
        raise Conflict("This job has made no file, or not yet.")
    result = job["result"]
    require(actor, result["resource"], "read")
    name = f"{result['resource']}-{job_id}.{result['format']}"
    return Stream(
        await objects.stream(settings.objects_url, file_key(job_id)),
        media_type=streams.MEDIA[result["format"]],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


routes: list[Any] = [begin, file]
