"""Cloning: a new record with the values of one that is there, but for what is told otherwise; a deal also with its lines."""

from typing import Any, Union
from uuid import UUID

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from msgspec import UNSET, UnsetType

from service import custom, query
from service.access import Actor, read_only, require
from service.db import Tx
from service.domains.accounts import resource as accounts
from service.domains.campaigns import resource as campaigns
from service.domains.contacts import resource as contacts
from service.domains.leads import resource as leads
from service.domains.lines import resource as lines
from service.domains.opportunities import resource as opportunities
from service.domains.products import resource as products
from service.idempotency import idempotent
from service.resource import Resource, Row, plain
from service.wire import Web, answer, body, etag, from_msgspec
from service.writes import document, insert

# Shapes --------------------------------------------------------------------------------------------


def shape_of(resource: Resource) -> type[msgspec.Struct]:
    """The members of the Draft, each left out as one likes: left out, it is the original's. For deals also `with_lines`."""
    fields: list[Any] = [
        (field.name, Union[field.type, UnsetType], UNSET)  # noqa: UP007  # a hint held in a variable
        for field in msgspec.structs.fields(resource.draft)
    ]
    if resource is opportunities:
        fields.append(("with_lines", bool, False))
    name = resource.draft.__name__.replace("Draft", "Clone")
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True, module=__name__)


# Rules ---------------------------------------------------------------------------------------------

ITS_OWN: dict[str, frozenset[str]] = {
    "leads": frozenset(["status", "unqualified_reason"]),
    "opportunities": frozenset(["stage", "forecast_category", "loss_reason", "closed_note", "competitor_id"]),
    "products": frozenset(["code"]),
}
"""What a clone does not take over, beside ids and the owner: it begins anew, and belongs to who makes it."""
NEVER = frozenset(["external_ids", "owner_id"])


async def copied(tx: Tx, resource: Resource, actor: Actor, original: Row) -> Row:
    """The members of a record's Draft as far as this actor sees them and may set them."""
    without = NEVER | ITS_OWN.get(resource.key, frozenset()) | read_only(actor, resource.key)
    names = [name for name in resource.draft.__struct_fields__ if name not in without]
    values = {name: original[name] for name in names if original.get(name) is not None}
    fields = await custom.of(tx, resource.key)
    values["cf"] = {
        key: value
        for key, value in (original.get("cf") or {}).items()
        if (field := fields.get(key)) and not field.is_unique and actor.role not in field.read_only_for
    }
    return values


def judged(resource: Resource, values: Row) -> Row:
    """The Draft of a clone; a member that is wrong, or missing where the original has none to give, is named."""
    try:
        return plain(msgspec.convert(values, resource.draft))
    except msgspec.ValidationError as error:
        raise from_msgspec(str(error)) from None


async def copy_lines(tx: Tx, actor: Actor, deal_id: UUID, clone_id: UUID) -> None:
    """The lines that the actor sees, in their order, at their prices."""
    request = query.Request(limit=query.MOST, sort=[("position", False), ("created_at", False)])
    while True:
        page = await query.run(tx, lines.source, actor, request, {"opportunity_id": deal_id})
        for line in msgspec.json.decode(page.body)["items"]:
            values = judged(lines, await copied(tx, lines, actor, line))
            await insert(tx, lines, actor, values | {"opportunity_id": clone_id})
        if page.next is None:
            return
        request.cursor = query.decode_cursor(page.next)


# Routes --------------------------------------------------------------------------------------------


def clone(resource: Resource) -> HTTPRouteHandler:
    """The verb for one resource."""
    shape = shape_of(resource)

    @post(
        resource.path + "/{record_id:uuid}/clone",
        name=f"clone {resource.path}",
        opt={"body": shape, "answer": resource.item, "statuses": (409,)},
    )
    @idempotent
    async def handler(
        request: Web, tx: NamedDependency[Tx], actor: NamedDependency[Actor], record_id: FromPath[UUID]
    ) -> Response[bytes]:
        """Makes a new record of this one; what the body names is the clone's own."""
        require(actor, resource.key, "read")
        require(actor, resource.key, "create")
        told: Row = msgspec.to_builtins(await body(request, shape))
        with_lines = told.pop("with_lines", False)
        text, _ = await document(tx, resource, actor, record_id)
        values = await copied(tx, resource, actor, msgspec.json.decode(text))
        made = await insert(tx, resource, actor, judged(resource, values | told))
        if with_lines:
            await copy_lines(tx, actor, record_id, made["id"])
        text, version = await document(tx, resource, actor, made["id"])
        headers = {"Location": f"/api/v1{resource.path}/{made['id']}", "ETag": etag(version)}
        if resource.warn:
            headers |= await resource.warn(tx, actor, made)
        return answer(text, 201, headers)

    return handler


routes = [clone(resource) for resource in (accounts, contacts, leads, campaigns, products, opportunities)]
