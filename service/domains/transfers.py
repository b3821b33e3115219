"""People who leave: what they hold, to whom it goes, and the end of their access."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET, Meta

from service import filtering, transferring
from service.access import Actor, require
from service.db import Database, Tx
from service.domains.users import User
from service.domains.users import resource as users
from service.errors import Invalid, NotFound
from service.filtering import Filter
from service.idempotency import idempotent
from service.resource import Row
from service.resources import RESOURCES
from service.shapes import Given
from service.transferring import Moved, Rule
from service.wire import answer, body, check_version, expected_version
from service.writes import document, locked

# Shapes --------------------------------------------------------------------------------------------


class Handing(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What of one resource goes to whom; without a filter all of it."""

    resource: Annotated[str, Meta(max_length=64)]
    to: UUID
    filter: Given[Filter] = UNSET


class Transfer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The first of `rules` that finds a record says to whom it goes; what none finds goes `to`, or stays without it."""

    to: Given[UUID] = UNSET
    rules: Given[Annotated[list[Handing], Meta(max_length=50)]] = UNSET
    deactivate: bool = False


class Holdings(msgspec.Struct, kw_only=True):
    items: list[Moved]


class Plan(msgspec.Struct, kw_only=True):
    """`left` is what they still hold."""

    moved: list[Moved]
    left: list[Moved]
    deactivate: bool


class Transferred(Plan, kw_only=True):
    change_id: UUID


class Deactivated(msgspec.Struct, kw_only=True):
    """`holdings` is what waits for somebody else."""

    user: User  # type: ignore[valid-type]  # made from the Draft
    holdings: list[Moved]
    change_id: UUID


# Rules ---------------------------------------------------------------------------------------------


def rules_of(asked: Transfer) -> list[Rule]:
    """The rules in order. Raises `Invalid` with pointers for those that are none."""
    tables = {reference.table.name for reference in transferring.handed()}
    found = []
    for index, each in enumerate(asked.rules or []):
        if each.resource not in tables:
            raise Invalid.at(f"/rules/{index}/resource", f"is none of {', '.join(sorted(tables))}")
        conditions = []
        if each.filter is not UNSET:
            if each.resource not in RESOURCES:
                raise Invalid.at(f"/rules/{index}/filter", f"{each.resource} go as a whole")
            conditions = filtering.conditions(each.filter, f"/rules/{index}/filter")
        found.append(Rule(to=each.to, table=each.resource, conditions=tuple(conditions)))
    if asked.to is not UNSET:
        found.append(Rule(to=asked.to))
    if not found:
        raise Invalid.at("/to", "name to whom it goes, or rules")
    return found


async def carry_out(tx: Tx, actor: Actor, user_id: UUID, asked: Transfer, expected: int | None) -> Row:
    """The transfer as an answer."""
    leaver = await locked(tx, users, actor, user_id)
    check_version(expected, leaver["version"])
    moved = await transferring.transfer(tx, actor, RESOURCES, leaver, rules_of(asked))
    if asked.deactivate:
        await transferring.deactivate(tx, actor, users, await locked(tx, users, actor, user_id))
    left = await transferring.holdings(tx, user_id)
    return {"moved": moved, "left": left, "deactivate": asked.deactivate}


class _Previewed(Exception):
    """Rolls a preview back."""


# Routes --------------------------------------------------------------------------------------------


@get("/users/{record_id:uuid}/holdings", opt={"answer": Holdings})
async def holdings(
    tx: NamedDependency[Tx], actor: NamedDependency[Actor], record_id: FromPath[UUID]
) -> Response[bytes]:
    """What somebody holds that would have to go to others: open deals and leads, accounts, planned tasks, teams, reports."""
    require(actor, "users", "transfer")
    if not await tx.fetchval("SELECT 1 FROM users WHERE id = $1 AND deleted_at IS NULL", record_id):
        raise NotFound("There is no such user.")
    return answer({"items": await transferring.holdings(tx, record_id)})


@post(
    "/users/{record_id:uuid}/transfer/preview",
    status_code=200,
    opt={"body": Transfer, "answer": Plan, "statuses": (409, 412)},
)
async def preview(
    request: Request[Any, Any, Any],
    database: NamedDependency[Database],
    actor: NamedDependency[Actor],
    record_id: FromPath[UUID],
) -> Response[bytes]:
    """What a transfer would move: the transfer itself, taken back before anybody sees it."""
    require(actor, "users", "transfer")
    asked = await body(request, Transfer)
    plan: Row = {}
    try:
        async with database.begin() as tx:
            plan = await carry_out(tx, actor, record_id, asked, expected_version(request))
            raise _Previewed
    except _Previewed:
        return answer(plan)


@post(
    "/users/{record_id:uuid}/transfer",
    status_code=200,
    opt={"body": Transfer, "answer": Transferred, "statuses": (409, 412)},
)
@idempotent
async def transfer(
    request: Request[Any, Any, Any],
    tx: NamedDependency[Tx],
    actor: NamedDependency[Actor],
    record_id: FromPath[UUID],
) -> Response[bytes]:
    """Hands over what somebody holds, as one change set; the undo of `change_id` gives it back."""
    require(actor, "users", "transfer")
    asked = await body(request, Transfer)
    done = await carry_out(tx, actor, record_id, asked, expected_version(request))
    return answer(done | {"change_id": tx.change_id})


@post(
    "/users/{record_id:uuid}/deactivate",
    status_code=200,
    opt={"answer": Deactivated, "statuses": (409, 412)},
)
@idempotent
async def deactivate(
    request: Request[Any, Any, Any],
    tx: NamedDependency[Tx],
    actor: NamedDependency[Actor],
    record_id: FromPath[UUID],
) -> Response[bytes]:
    """Ends somebody's access at once, and tells what waits for somebody else."""
    require(actor, "users", "update")
    person = await locked(tx, users, actor, record_id)
    check_version(expected_version(request), person["version"])
    await transferring.deactivate(tx, actor, users, person)
    text, _ = await document(tx, users, actor, record_id)
    waiting = await transferring.holdings(tx, record_id)
    return answer({"user": msgspec.Raw(text.encode()), "holdings": waiting, "change_id": tx.change_id})


routes: list[Any] = [holdings, preview, transfer, deactivate]
