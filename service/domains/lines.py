"""Lines of a deal: products with quantity and price. Where there are lines, their total is the deal's amount."""

from datetime import date
from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
from msgspec import UNSET, Meta

from service import columns as c
from service.access import Actor
from service.crud import crud
from service.db import MONEY, Tx, business_table
from service.domains import price_books
from service.domains.opportunities import lines_total
from service.domains.opportunities import resource as opportunities
from service.resource import Resource, Row
from service.rules import amounts, refuse
from service.shapes import Draft, Maybe, Money, Percent, Text, item_of, patch_of
from service.writes import locked, update

# Tables --------------------------------------------------------------------------------------------

TOTAL = "round(quantity::numeric * unit_price * (1 - coalesce(discount_percent, 0)::numeric / 100), 4)"

lines = business_table(
    "lines",
    c.reference("opportunity_id", "opportunities", required=True),
    c.reference("product_id", "products", required=True),
    c.number("quantity", required=True),
    c.money("unit_price"),
    c.number("discount_percent"),
    sa.Column("total_price", MONEY, sa.Computed(TOTAL, persisted=True), nullable=True),
    c.day("start_date"),
    c.whole("term_months"),
    c.text("description"),
    c.whole("position"),
    c.index("ix_lines_opportunity_id", "opportunity_id"),
    c.external("lines"),
)

# Shapes --------------------------------------------------------------------------------------------


class LineDraft(Draft, kw_only=True):
    """Without a price of its own a line takes that of the deal's price book, else the product's list price, in the deal's currency."""

    product_id: UUID
    quantity: Annotated[float, Meta(gt=0, le=1_000_000_000)]
    unit_price: Maybe[Money] = UNSET
    discount_percent: Maybe[Percent] = UNSET
    start_date: Maybe[date] = UNSET
    term_months: Maybe[Annotated[int, Meta(ge=1, le=1200)]] = UNSET
    description: Maybe[Text] = UNSET
    position: Maybe[Annotated[int, Meta(ge=0, le=100_000)]] = UNSET


LinePatch = patch_of(LineDraft)
Line = item_of(lines, LineDraft)

# Rules ---------------------------------------------------------------------------------------------


def check(new: Row, old: Row | None) -> None:
    """Prices are not negative."""
    refuse(amounts(new, "unit_price"))


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Locks the deal, so that two lines never add up to half of the truth; fills the price of its book."""
    deal = await locked(tx, opportunities, actor, new["opportunity_id"])
    if new.get("unit_price") is not None or (old and new["product_id"] == old["product_id"]):
        return
    day = deal["close_date"] or deal["created_at"].date()
    new["unit_price"] = await price_books.unit_price(tx, deal, new["product_id"], day)


async def after(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """The deal's amount follows its lines, in the same transaction; without any it stays as it was."""
    deal = await locked(tx, opportunities, actor, new["opportunity_id"])
    total = await lines_total(tx, deal["id"])
    if total is not None:
        await update(tx, opportunities, actor, deal, {"amount": total})


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/opportunities/{parent_id:uuid}/lines",
    name="line",
    table=lines,
    draft=LineDraft,
    patch=LinePatch,
    item=Line,
    nested="opportunity_id",
    references={"opportunity_id": "opportunities", "product_id": "products"},
    text=("description",),
    check=check,
    prepare=prepare,
    after=after,
)

routes = crud(resource)
