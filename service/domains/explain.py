"""`GET /access/explain`: why a person can or cannot see or change a record, or one of its fields."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency

from service import explaining
from service.access import Actor, hidden, may, read_only, require
from service.auth import actor_of_user
from service.db import Database
from service.errors import BadRequest, NotFound, Unauthorized
from service.explaining import Step
from service.query import columns
from service.wire import answer

# --- shapes ------------------------------------------------------------------------------------------------------


class Who(msgspec.Struct, kw_only=True):
    id: UUID
    name: str
    role: str


class What(msgspec.Struct, kw_only=True):
    resource: str
    id: UUID


class FieldAccess(msgspec.Struct, kw_only=True):
    name: str
    can_read: bool
    can_write: bool


class Explanation(msgspec.Struct, kw_only=True):
    """`chain` holds every rule that was asked, in order; one that allows is enough, but for role and field."""

    user: Who
    record: What
    can_read: bool
    can_write: bool
    chain: list[Step]
    field: FieldAccess | None = None


# --- rules -------------------------------------------------------------------------------------------------------


async def subject_of(database: Database, actor: Actor, user: str | None) -> Actor:
    """Whom the question is about: oneself, or for operations and administrators anybody.

    Raises `NotFound` where there is no such active user.
    """
    if user is None or user == str(actor.id):
        return actor
    require(actor, "access", "explain")
    try:
        return await actor_of_user(database, UUID(user))
    except ValueError:
        raise BadRequest(f"user: {user[:80]!r} is not an id.") from None
    except Unauthorized:
        raise NotFound("There is no such active user.") from None


async def explained(
    database: Database, asker: Actor, subject: Actor, record: str, field: str | None
) -> Explanation:
    """The verdict and its chain."""
    assert subject.id is not None
    place = await explaining.find(database, asker, record)
    table = place.table
    if field is not None:
        explaining.known_field(asker, table, field)
    seen = await explaining.holds(database, subject, place, write=False)
    writable = await explaining.holds(database, subject, place, write=True)
    can_read = seen and may(subject, table, "read")
    can_write = can_read and writable and may(subject, table, "update")
    chain = [explaining.role_step(subject, table, action) for action in ("read", "update")]
    chain += await explaining.row_steps(database, subject, place)
    chain += explaining.field_steps(subject, table, field) if field else ()
    return Explanation(
        user=Who(id=subject.id, name=subject.name, role=subject.role),
        record=What(resource=table, id=place.row["id"]),
        can_read=can_read,
        can_write=can_write,
        chain=chain,
        field=_field(subject, table, field, can_read, can_write) if field else None,
    )


def _field(subject: Actor, table: str, field: str, can_read: bool, can_write: bool) -> FieldAccess:
    shown = can_read and field in columns(table) and field not in hidden(subject, table)
    return FieldAccess(
        name=field, can_read=shown, can_write=shown and can_write and field not in read_only(subject, table)
    )


# --- routes ------------------------------------------------------------------------------------------------------


@get("/access/explain", opt={"answer": Explanation, "query": ("user", "record", "field")})
async def explain(
    request: Request[Any, Any, Any], actor: NamedDependency[Actor], database: NamedDependency[Database]
) -> Response[bytes]:
    """Why a user can or cannot see or change a record (`record=resource:id`), or a `field` of it."""
    require(actor, "access", "read")
    asked = request.query_params
    if not asked.get("record"):
        raise BadRequest("record: name one, as `resource:id`.")
    subject = await subject_of(database, actor, asked.get("user"))
    return answer(await explained(database, actor, subject, str(asked["record"]), asked.get("field")))


routes: list[Any] = [explain]
