"""Territory models and the territories that they hold: one model is active, others are drafts or the past."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta

from service import columns as c
from service.access import Actor
from service.crud import crud
from service.db import Tx, business_table
from service.resource import Resource, Row
from service.rules import exist, not_itself
from service.shapes import Criteria, Draft, Given, Ids, Maybe, Name, item_of, patch_of
from service.trees import tree

ModelStatus = Literal["draft", "active", "archived"]
Type = Literal["geographic", "account_based", "industry", "mixed"]
Match = Literal["all", "any"]

# Tables --------------------------------------------------------------------------------------------

territory_models = business_table(
    "territory_models",
    c.text("name", required=True),
    c.word("status", ModelStatus, default="draft"),
    c.day("effective_from"),
    c.reference("based_on_id", "territory_models"),
    c.instant("activated_at"),
    c.index("uq_territory_models_active", "status", unique=True, where="status = 'active'"),
    c.external("territory_models"),
    guarded=False,
)

territories = business_table(
    "territories",
    c.reference("model_id", "territory_models", required=True),
    c.text("name", required=True),
    c.reference("parent_id", "territories"),
    c.reference("owner_id", "users"),
    c.ids("member_ids", "users"),
    c.word("type", Type),
    c.items("criteria"),
    c.word("match", Match, default="all"),
    c.ids("account_ids", "accounts"),
    c.whole("priority"),
    c.index("ix_territories_model_id", "model_id"),
    c.external("territories"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------


class TerritoryModelDraft(Draft, kw_only=True):
    """A model begins as a draft; activation is a verb."""

    name: Name
    effective_from: Maybe[date] = UNSET
    based_on_id: Maybe[UUID] = UNSET


TerritoryModelPatch = patch_of(TerritoryModelDraft)
TerritoryModel = item_of(territory_models, TerritoryModelDraft)


class TerritoryDraft(Draft, kw_only=True):
    """Accounts belong by `criteria` (all or any of them), or because `account_ids` names them."""

    model_id: UUID
    name: Name
    parent_id: Maybe[UUID] = UNSET
    owner_id: Maybe[UUID] = UNSET
    member_ids: Given[Ids] = UNSET
    type: Maybe[Type] = UNSET
    criteria: Given[Criteria] = UNSET
    match: Given[Match] = UNSET
    account_ids: Given[Ids] = UNSET
    priority: Maybe[Annotated[int, Meta(ge=0, le=1_000_000)]] = UNSET


TerritoryPatch = patch_of(TerritoryDraft)
Territory = item_of(territories, TerritoryDraft)

# Rules ---------------------------------------------------------------------------------------------


def check_model(new: Row, old: Row | None) -> None:
    """A model is based on another one."""
    not_itself(new, "based_on_id")


def check(new: Row, old: Row | None) -> None:
    """A territory is not its own parent."""
    not_itself(new, "parent_id")


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Members and accounts exist."""
    before = old or {
        "member_ids": [],
        "account_ids": [],
    }
    for name, table in (("member_ids", "users"), ("account_ids", "accounts")):
        if new.get(name, []) != before[name]:
            await exist(tx, actor, table, name, new[name])


# Routes --------------------------------------------------------------------------------------------

models = Resource(
    path="/territory-models",
    name="territory_model",
    table=territory_models,
    draft=TerritoryModelDraft,
    patch=TerritoryModelPatch,
    item=TerritoryModel,
    references={"based_on_id": "territory_models"},
    text=("name",),
    tree="based_on_id",
    check=check_model,
)

resource = Resource(
    path="/territories",
    name="territory",
    table=territories,
    draft=TerritoryDraft,
    patch=TerritoryPatch,
    item=Territory,
    references={"model_id": "territory_models", "parent_id": "territories", "owner_id": "users"},
    text=("name",),
    tree="parent_id",
    check=check,
    prepare=prepare,
)

routes = [*crud(models), *crud(resource), tree(resource, "model_id", "owner_id", "type")]
