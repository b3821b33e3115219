"""Campaigns: what was done to be found, what it cost, and which leads and deals name it."""

from datetime import date
from typing import Literal
from uuid import UUID

from msgspec import UNSET

from service import columns as c
from service.crud import crud
from service.db import business_table
from service.resource import Resource, Row
from service.rules import amounts, in_order, not_itself, refuse
from service.shapes import Currency, Draft, Given, Line, Maybe, Money, Name, Text, item_of, patch_of
from service.trees import tree

Status = Literal["planned", "active", "completed", "aborted"]

# Tables --------------------------------------------------------------------------------------------

campaigns = business_table(
    "campaigns",
    c.text("name", required=True),
    c.text("type"),
    c.word("status", Status, default="planned"),
    c.text("description"),
    c.day("start_date"),
    c.day("end_date"),
    c.money("budget"),
    c.money("cost"),
    c.money("expected_revenue"),
    c.currency(),
    c.reference("parent_id", "campaigns"),
    c.reference("owner_id", "users"),
    c.index("ix_campaigns_parent_id", "parent_id", where="parent_id IS NOT NULL"),
    c.sorted_by("campaigns", "name"),
    c.external("campaigns"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------


class CampaignDraft(Draft, kw_only=True):
    """`type` in the company's own words: an event, a webinar, a mailing. `parent_id` makes a hierarchy."""

    name: Name
    type: Maybe[Line] = UNSET
    status: Given[Status] = UNSET
    description: Maybe[Text] = UNSET
    start_date: Maybe[date] = UNSET
    end_date: Maybe[date] = UNSET
    budget: Maybe[Money] = UNSET
    cost: Maybe[Money] = UNSET
    expected_revenue: Maybe[Money] = UNSET
    currency: Maybe[Currency] = UNSET
    parent_id: Maybe[UUID] = UNSET
    owner_id: Maybe[UUID] = UNSET


CampaignPatch = patch_of(CampaignDraft)
Campaign = item_of(campaigns, CampaignDraft)

# Rules ---------------------------------------------------------------------------------------------


def check(new: Row, old: Row | None) -> None:
    """Sums are not negative; it does not end before it starts; a campaign is not its own parent."""
    refuse(amounts(new, "budget", "cost", "expected_revenue"), in_order(new, "start_date", "end_date"))
    not_itself(new, "parent_id")


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/campaigns",
    name="campaign",
    table=campaigns,
    draft=CampaignDraft,
    patch=CampaignPatch,
    item=Campaign,
    references={"parent_id": "campaigns", "owner_id": "users"},
    text=("name", "type"),
    tree="parent_id",
    check=check,
)

routes = [*crud(resource), tree(resource, "type", "status", "start_date", "cost", "currency")]
