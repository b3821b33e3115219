"""Who owns a record: the verb `assign` of accounts, leads and opportunities."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from msgspec import UNSET

from service.access import Actor, require
from service.db import Tx
from service.errors import Invalid
from service.idempotency import idempotent
from service.resource import Resource, Row
from service.rules import refuse, scope
from service.shapes import Given, Line
from service.wire import answer, body, check_version, etag, expected_version
from service.writes import document, locked, update

# Shapes --------------------------------------------------------------------------------------------


class Assignment(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Without `owner_id` a lead is routed; other records need a name."""

    owner_id: Given[UUID] = UNSET
    reason: Given[Line] = UNSET


# Rules ---------------------------------------------------------------------------------------------

Choice = Callable[[Tx, Actor, Row], Awaitable[tuple[UUID, list[str]]]]
"""Finds an owner, and says in sentences why this one."""


async def may_own(tx: Tx, actor: Actor, owner_id: UUID) -> None:
    """Raises `Invalid` unless this is an active person within the actor's reach."""
    refuse(scope(actor, {"owner_id": owner_id}))
    active = await tx.fetchval("SELECT is_active FROM users WHERE id = $1 AND deleted_at IS NULL", owner_id)
    if not active:
        raise Invalid.at("/owner_id", "is not an active user")


async def hand_over(
    tx: Tx, resource: Resource, actor: Actor, old: Row, owner_id: UUID, data: Row, **changes: Any
) -> Row:
    """Gives a locked record to another person, as `{name}.assigned`."""
    await may_own(tx, actor, owner_id)
    said = {"owner_id": str(owner_id), "from_id": str(old["owner_id"]) if old["owner_id"] else None} | data
    return await update(
        tx,
        resource,
        actor,
        old,
        {"owner_id": owner_id} | changes,
        kind=f"{resource.name}.assigned",
        data=said,
    )


# Routes --------------------------------------------------------------------------------------------


def assign(resource: Resource, choose: Choice | None = None, stamp: str | None = None) -> HTTPRouteHandler:
    """The verb for one resource; `stamp` is the column that keeps the instant."""

    @post(
        resource.path + "/{record_id:uuid}/assign",
        name=f"assign {resource.path}",
        status_code=200,
        opt={"body": Assignment, "answer": resource.item, "statuses": (409, 412)},
    )
    @idempotent
    async def handler(
        request: Request[Any, Any, Any],
        tx: NamedDependency[Tx],
        actor: NamedDependency[Actor],
        record_id: FromPath[UUID],
    ) -> Response[bytes]:
        """Gives the record to another person."""
        require(actor, resource.key, "assign")
        asked = await body(request, Assignment)
        old = await locked(tx, resource, actor, record_id)
        check_version(expected_version(request), old["version"])
        trace: list[str] = []
        if asked.owner_id is not UNSET:
            owner_id = asked.owner_id
        elif choose is not None:
            owner_id, trace = await choose(tx, actor, old)
        else:
            raise Invalid.at("/owner_id", "Object missing required field `owner_id`")
        data = {"reason": None if asked.reason is UNSET else asked.reason, "trace": trace}
        changes = {stamp: datetime.now(UTC)} if stamp and owner_id != old["owner_id"] else {}
        await hand_over(tx, resource, actor, old, owner_id, data, **changes)
        text, version = await document(tx, resource, actor, record_id)
        return answer(text, headers={"ETag": etag(version)})

    return handler
