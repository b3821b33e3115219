"""Pools: the people among whom leads and accounts are shared out, and how."""

from collections.abc import Iterator
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from service import columns as c
from service.access import Actor
from service.crud import crud
from service.db import Database, Tx, business_table
from service.errors import Pointer
from service.resource import Resource, Row
from service.rules import exist, refuse
from service.shapes import Draft, Given, Maybe, Name, Text, item_of, patch_of

Method = Literal["round_robin", "weighted", "capacity", "best_score"]

# Tables --------------------------------------------------------------------------------------------

pools = business_table(
    "pools",
    c.text("name", required=True),
    c.text("description"),
    c.word("method", Method, required=True),
    c.items("members"),
    c.flag("respect_working_hours"),
    c.flag("is_active", default=True),
    c.index("uq_pools_name", "lower(name)", unique=True),
    c.external("pools"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------


class Member(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`weight`: this person's part beside the others'; `capacity`: how many open records they take at most."""

    user_id: UUID
    weight: Annotated[float, Meta(gt=0, le=1000)] = 1
    capacity: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    is_active: bool = True


class PoolDraft(Draft, kw_only=True):
    name: Name
    method: Method
    description: Maybe[Text] = UNSET
    members: Given[Annotated[list[Member], Meta(max_length=1000)]] = UNSET
    respect_working_hours: Given[bool] = UNSET
    is_active: Given[bool] = UNSET


PoolPatch = patch_of(PoolDraft)
Pool = item_of(pools, PoolDraft)

# Rules ---------------------------------------------------------------------------------------------


def _members(row: Row) -> Iterator[Pointer]:
    seen: set[str] = set()
    for number, member in enumerate(row.get("members") or ()):
        if str(member["user_id"]) in seen:
            yield {"pointer": f"/members/{number}/user_id", "detail": "is a member already"}
        if row.get("method") == "capacity" and member.get("capacity") is None:
            yield {"pointer": f"/members/{number}/capacity", "detail": "a pool by capacity needs it"}
        seen.add(str(member["user_id"]))


def check(new: Row, old: Row | None) -> None:
    """Each member once; where capacity decides, everybody has one."""
    refuse(_members(new))


async def prepare(run: Tx | Database, actor: Actor, new: Row, old: Row | None) -> None:
    """Members are people of the company."""
    if "members" not in new:
        return
    new["members"] = [member | {"user_id": str(member["user_id"])} for member in new["members"]]
    if old is None or new["members"] != old["members"]:
        named = [UUID(member["user_id"]) for member in new["members"]]
        await exist(run, actor, "users", "members", named, member="user_id")


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/pools",
    name="pool",
    table=pools,
    draft=PoolDraft,
    patch=PoolPatch,
    item=Pool,
    text=("name",),
    check=check,
    prepare=prepare,
    prepare_reads=True,
)

routes = crud(resource)
