"""Quotas: what a person, a team or a territory is to bring in within a period."""

from collections.abc import Iterator
from typing import Annotated, Literal
from uuid import UUID

import sqlalchemy as sa
from msgspec import UNSET, Meta

from service import columns as c
from service.crud import crud
from service.db import business_table
from service.errors import Pointer
from service.resource import Resource, Row
from service.rules import amounts, fault, not_itself, refuse
from service.shapes import Currency, Draft, Given, Maybe, Money, item_of, patch_of

Measure = Literal["bookings", "new_business", "expansion", "renewal", "units", "meetings"]
Status = Literal["draft", "published"]

# Tables --------------------------------------------------------------------------------------------

quotas = business_table(
    "quotas",
    c.reference("period_id", "periods", required=True),
    c.reference("user_id", "users"),
    c.reference("team_id", "teams"),
    c.reference("territory_id", "territories"),
    c.money("amount", required=True),
    c.currency(),
    c.word("measure", Measure, default="bookings"),
    c.number("ramp_percent"),
    c.reference("parent_id", "quotas"),
    c.word("status", Status, default="published"),
    sa.CheckConstraint("num_nonnulls(user_id, team_id, territory_id) = 1", name="node"),
    c.index("uq_quotas_user", "period_id", "user_id", "measure", unique=True, where="user_id IS NOT NULL"),
    c.index("uq_quotas_team", "period_id", "team_id", "measure", unique=True, where="team_id IS NOT NULL"),
    c.index(
        "uq_quotas_territory",
        "period_id",
        "territory_id",
        "measure",
        unique=True,
        where="territory_id IS NOT NULL",
    ),
    c.external("quotas"),
)

# Shapes --------------------------------------------------------------------------------------------


class QuotaDraft(Draft, kw_only=True):
    """`ramp_percent` is the part of the amount that a newcomer is measured by."""

    period_id: UUID
    amount: Money
    currency: Currency
    user_id: Maybe[UUID] = UNSET
    team_id: Maybe[UUID] = UNSET
    territory_id: Maybe[UUID] = UNSET
    measure: Given[Measure] = UNSET
    ramp_percent: Maybe[Annotated[float, Meta(ge=0, le=100)]] = UNSET
    parent_id: Maybe[UUID] = UNSET
    status: Given[Status] = UNSET


QuotaPatch = patch_of(QuotaDraft)
Quota = item_of(quotas, QuotaDraft)

# Rules ---------------------------------------------------------------------------------------------

NODES = ("user_id", "team_id", "territory_id")


def _one_node(row: Row) -> Iterator[Pointer]:
    named = [name for name in NODES if row.get(name) is not None]
    if len(named) != 1:
        yield fault(named[1] if named else "user_id", "name exactly one of user_id, team_id and territory_id")


def check(new: Row, old: Row | None) -> None:
    """A quota is somebody's, exactly one's, and not negative."""
    refuse(_one_node(new), amounts(new, "amount"))
    not_itself(new, "parent_id")


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/quotas",
    name="quota",
    table=quotas,
    draft=QuotaDraft,
    patch=QuotaPatch,
    item=Quota,
    references={
        "period_id": "periods",
        "user_id": "users",
        "team_id": "teams",
        "territory_id": "territories",
        "parent_id": "quotas",
    },
    tree="parent_id",
    check=check,
)

routes = crud(resource)
