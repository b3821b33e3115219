"""Change sets: what one write, job or import did, and its undo."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from service import changes
from service.access import Actor, may, require
from service.db import Database
from service.domains import jobs
from service.errors import Conflict, Forbidden
from service.wire import answer

# Shapes ------------------------------------------------------------------------------------------------------------


class Undone(msgspec.Struct, kw_only=True):
    """`counts` by resource; `change_id` is the undo's own change set, which can be undone in turn."""

    change_id: UUID
    undone: UUID
    counts: dict[str, int]


# Rules -------------------------------------------------------------------------------------------------------------


async def require_own(database: Database, actor: Actor, change_id: UUID) -> None:
    """Who may undo anything may; all others what they themselves did."""
    if may(actor, "changes", "undo"):
        return
    row = await database.fetchrow(
        "SELECT bool_and(actor_id = $2) AS own FROM ledger.events WHERE change_id = $1", change_id, actor.id
    )
    if not row["own"]:
        raise Forbidden("You may undo what you did yourself.")


# Routes ------------------------------------------------------------------------------------------------------------


@post("/changes/{change_id:uuid}/undo", status_code=200, opt={"answer": Undone, "statuses": (409,)})
async def undo_change(
    database: NamedDependency[Database], actor: NamedDependency[Actor], change_id: FromPath[UUID]
) -> Response[bytes]:
    """Undoes a change set; 409 with the list when a field was changed since."""
    await require_own(database, actor, change_id)
    return answer(await changes.undo(database, actor, change_id))


@post("/jobs/{job_id:uuid}/undo", status_code=200, opt={"answer": Undone, "statuses": (409,)})
async def undo_job(
    database: NamedDependency[Database], actor: NamedDependency[Actor], job_id: FromPath[UUID]
) -> Response[bytes]:
    """Undoes what a job changed."""
    require(actor, "jobs", "read")
    job = await jobs.find(database, actor, job_id)
    if job["change_id"] is None or job["status"] in ("queued", "running"):
        raise Conflict("This job has changed nothing that could be undone.")
    return answer(await changes.undo(database, actor, job["change_id"]))


routes: list[Any] = [undo_change, undo_job]
