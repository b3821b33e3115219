"""Jobs as people see them: what they started, how far it is, and why it failed."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from service.access import Actor, require
from service.db import Database, Params, Tx
from service.errors import Conflict, NotFound
from service.wire import answer

# Shapes ------------------------------------------------------------------------------------------------------------


class JobItem(msgspec.Struct, kw_only=True):
    """`counts` holds created, updated, unchanged, skipped, failed; `errors` the first thousand, by line and column."""

    id: UUID
    type: str
    status: str
    total: int | None
    processed: int
    counts: dict[str, int]
    errors: list[dict[str, Any]]
    result: dict[str, Any] | None
    result_url: str | None
    change_id: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobList(msgspec.Struct, kw_only=True):
    items: list[JobItem]
    next: str | None


# Rules -------------------------------------------------------------------------------------------------------------

_FIELDS = "id, type, status, total, processed, counts, errors, result, result_url, change_id, created_at, started_at, finished_at"


def _mine(actor: Actor, params: Params) -> str:
    """One's own jobs; operations and administrators see everybody's, the schedule's included."""
    if actor.role in ("admin", "ops"):
        return "TRUE"
    return f"actor_id = {params.add(actor.id)}"


async def find(database: Database | Tx, actor: Actor, job_id: UUID) -> dict[str, Any]:
    """The job, if this actor may see it."""
    params = Params([job_id])
    row = await database.fetchrow(
        f"SELECT {_FIELDS} FROM jobs WHERE id = $1 AND {_mine(actor, params)}", *params
    )
    if row is None:
        raise NotFound("There is no such job.")
    return dict(row)


# Routes ------------------------------------------------------------------------------------------------------------


@get("/jobs", opt={"answer": JobList})
async def many(
    database: NamedDependency[Database], actor: NamedDependency[Actor], limit: FromQuery[int] = 50
) -> Response[bytes]:
    """The newest jobs that people or the schedule started; reactions to events are not among them unless they failed."""
    require(actor, "jobs", "read")
    params = Params([max(1, min(200, limit))])
    rows = await database.fetch(
        f"SELECT {_FIELDS} FROM jobs WHERE (event_id IS NULL OR status = 'failed') AND {_mine(actor, params)}"
        " ORDER BY id DESC LIMIT $1",
        *params,
    )
    return answer({"items": [dict(row) for row in rows], "next": None})


@get("/jobs/{job_id:uuid}", opt={"answer": JobItem})
async def one(
    database: NamedDependency[Database], actor: NamedDependency[Actor], job_id: FromPath[UUID]
) -> Response[bytes]:
    require(actor, "jobs", "read")
    return answer(await find(database, actor, job_id))


STOPPABLE = ("import", "export", "bulk")
"""Types that look, between their transactions, whether somebody stopped them."""

_MOVES = {
    "cancel": (
        "UPDATE jobs SET status = 'canceled', finished_at = now() WHERE id = $1"
        " AND (status IN ('queued', 'paused') OR status = 'running' AND type = ANY($2::text[]))",
        "Only a job that waits can be canceled, and an import, an export or a bulk job that runs.",
    ),
    "pause": (
        "UPDATE jobs SET status = 'paused' WHERE id = $1 AND status IN ('queued', 'running') AND type = ANY($2::text[])",
        "Only an import, an export or a bulk job can be paused, while it waits or runs.",
    ),
    "resume": (
        "UPDATE jobs SET status = 'queued', run_at = now() WHERE id = $1 AND status = 'paused' AND type = ANY($2::text[])",
        "Only a job that is paused can be resumed.",
    ),
}
"""Verb → the statement that does it where it can be done, and what is said where not."""


def _verb(name: str, summary: str) -> Any:
    statement, refusal = _MOVES[name]

    @post(
        "/jobs/{job_id:uuid}/" + name,
        name=f"{name} job",
        status_code=200,
        opt={"answer": JobItem, "statuses": (409,), "summary": summary},
    )
    async def verb(
        request: Request[Any, Any, Any],
        tx: NamedDependency[Tx],
        actor: NamedDependency[Actor],
        job_id: FromPath[UUID],
    ) -> Response[bytes]:
        require(actor, "jobs", "read")
        job = await find(tx, actor, job_id)
        if await tx.execute(statement, job_id, list(STOPPABLE)) == "UPDATE 0":
            raise Conflict(refusal)
        if name == "resume":
            tx.after_commit.append(job["type"])
        return answer(await find(tx, actor, job_id))

    return verb


routes: list[Any] = [
    many,
    one,
    _verb(
        "cancel", "Ends a job: one that waits at once, one that runs behind its present chunk, which stays."
    ),
    _verb("pause", "Stops a job behind its present chunk; resume goes on from there."),
    _verb("resume", "Lets a paused job go on where it stood."),
]
