"""Splits: who else is credited with a deal, and with how much of it.

Revenue splits share out the deal once, so together they are at most all of it; overlay splits credit those who helped,
on top, as freely as one likes. A split is credit, not a key: whom it names sees the deal by the ordinary rules alone.
"""

from typing import Annotated, Literal
from uuid import UUID

import sqlalchemy as sa
from msgspec import UNSET, Meta

from service import columns as c
from service.access import SYSTEM, Actor, visible
from service.crud import crud
from service.db import Params, Tx, business_table
from service.domains.opportunities import resource as opportunities
from service.errors import Conflict
from service.resource import Resource, Row
from service.rules import fault
from service.shapes import Draft, Given, Maybe, Text, item_of, patch_of
from service.writes import locked

Type = Literal["revenue", "overlay"]

# Tables --------------------------------------------------------------------------------------------

splits = business_table(
    "splits",
    c.reference("opportunity_id", "opportunities", required=True),
    c.reference("user_id", "users", required=True),
    sa.Column(
        "percent",
        sa.Double,
        sa.CheckConstraint("percent > 0 AND percent <= 100", name="percent"),
        nullable=False,
    ),
    c.word("type", Type, default="revenue"),
    c.text("note"),
    c.index("uq_splits_person", "opportunity_id", "user_id", "type", unique=True),
    c.index("ix_splits_user_id", "user_id"),
    c.external("splits"),
)

# Shapes --------------------------------------------------------------------------------------------


class SplitDraft(Draft, kw_only=True):
    """One person's share; the same person may have one of each type."""

    user_id: UUID
    percent: Annotated[float, Meta(gt=0, le=100)]
    type: Given[Type] = UNSET
    note: Maybe[Text] = UNSET


SplitPatch = patch_of(SplitDraft)
Split = item_of(splits, SplitDraft)

# Rules ---------------------------------------------------------------------------------------------

ALL = 100 + 1e-6
"""Three thirds of 33.333333 are all; what is beyond is not a matter of rounding."""


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Locks the deal, so that two splits are judged one after the other."""
    await locked(tx, opportunities, actor, new["opportunity_id"])


async def after(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Revenue is shared out once: also when a split comes back."""
    if new["type"] != "revenue" or new["deleted_at"] is not None:
        return
    await locked(tx, opportunities, actor, new["opportunity_id"])
    seen = visible(SYSTEM, "splits", "t", Params())
    total = await tx.fetchval(
        "SELECT sum(t.percent) FROM splits t WHERE t.opportunity_id = $1 AND t.type = 'revenue'"
        f" AND t.deleted_at IS NULL AND {seen}",
        new["opportunity_id"],
    )
    if total > ALL:
        raise Conflict(
            f"The deal's revenue splits would add up to {total:g} percent.",
            errors=[fault("percent", f"leaves {max(0.0, 100 - (total - new['percent'])):g} percent at most")],
        )


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/opportunities/{parent_id:uuid}/splits",
    name="split",
    table=splits,
    draft=SplitDraft,
    patch=SplitPatch,
    item=Split,
    nested="opportunity_id",
    references={"opportunity_id": "opportunities", "user_id": "users"},
    prepare=prepare,
    after=after,
)

routes = crud(resource)
