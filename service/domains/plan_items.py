"""Plan items: the mutual action plan of a deal, each with an owner on our side or on theirs."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Literal
from uuid import UUID

import sqlalchemy as sa
from msgspec import UNSET

from service import columns as c
from service import mentions
from service.access import SYSTEM, Actor, visible
from service.crud import crud
from service.db import Database, Params, Tx, business_table
from service.errors import Pointer
from service.levels import require_write
from service.resource import Resource, Row
from service.rules import fault, refuse
from service.shapes import Count, Draft, Given, Maybe, Name, Text, item_of, patch_of

Status = Literal["open", "done"]
Side = Literal["ours", "theirs"]

# Tables --------------------------------------------------------------------------------------------

plan_items = business_table(
    "plan_items",
    c.reference("opportunity_id", "opportunities", required=True),
    c.text("title", required=True),
    c.text("description"),
    c.reference("user_id", "users"),
    c.reference("contact_id", "contacts"),
    c.day("due_date"),
    c.word("status", Status, default="open"),
    sa.Column("position", sa.Integer, nullable=False, server_default="0"),
    c.flag("is_shared", default=True),
    c.instant("completed_at"),
    c.word("completed_side", Side),
    c.index("ix_plan_items_opportunity_id", "opportunity_id", "position", "id"),
    c.index("ix_plan_items_user_id", "user_id", "due_date", where="status = 'open'"),
    c.external("plan_items"),
)

# Shapes --------------------------------------------------------------------------------------------


class PlanItemDraft(Draft, kw_only=True):
    """Its owner is ours (`user_id`) or theirs (`contact_id`), not both. Unshared items stay out of the guests' sight."""

    opportunity_id: UUID
    title: Name
    description: Maybe[Text] = UNSET
    user_id: Maybe[UUID] = UNSET
    contact_id: Maybe[UUID] = UNSET
    due_date: Maybe[date] = UNSET
    status: Given[Status] = UNSET
    position: Given[Count] = UNSET
    is_shared: Given[bool] = UNSET


PlanItemPatch = patch_of(PlanItemDraft, "opportunity_id")
PlanItem = item_of(plan_items, PlanItemDraft)

# Rules ---------------------------------------------------------------------------------------------


def _one_owner(row: Row) -> Iterator[Pointer]:
    if row.get("user_id") is not None and row.get("contact_id") is not None:
        yield fault("contact_id", "an item has one owner: a user_id or a contact_id")


def check(new: Row, old: Row | None) -> None:
    """An item has at most one owner."""
    refuse(_one_owner(new))


def completion(new: Row, old: Row | None, actor: Actor, now: datetime) -> Row:
    """When, and on which side, an item was done; nothing when its status stays."""
    before = old["status"] if old else "open"
    if new.get("status", "open") == before:
        return {}
    done = new["status"] == "done"
    side = "theirs" if actor.door == "room" else "ours"
    return {"completed_at": now if done else None, "completed_side": side if done else None}


async def prepare(run: Tx | Database, actor: Actor, new: Row, old: Row | None) -> None:
    """Who may change the deal adds to its plan. A new item stands last; its owner on our side sees the deal."""
    if old is None:
        await require_write(run, actor, "opportunities", new["opportunity_id"])
    new |= completion(new, old, actor, datetime.now(UTC))
    if new.get("user_id") and (old is None or old["user_id"] != new["user_id"]):
        await mentions.must_see(run, [new["user_id"]], "opportunity", new["opportunity_id"], ["/user_id"])
    if old is None and "position" not in new:
        seen = visible(SYSTEM, "plan_items", "p", Params())
        new["position"] = await run.fetchval(
            "SELECT least(coalesce(max(p.position) + 1, 0), 2000000000) FROM plan_items p"
            f" WHERE p.opportunity_id = $1 AND p.deleted_at IS NULL AND {seen}",
            new["opportunity_id"],
        )


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/plan-items",
    name="plan_item",
    table=plan_items,
    draft=PlanItemDraft,
    patch=PlanItemPatch,
    item=PlanItem,
    references={"opportunity_id": "opportunities", "user_id": "users", "contact_id": "contacts"},
    text=("title", "description"),
    check=check,
    prepare=prepare,
    prepare_reads=True,
)

routes = crud(resource)
