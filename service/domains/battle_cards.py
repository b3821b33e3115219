"""Battle cards: what to say when a competitor is in the deal."""

from typing import Literal
from uuid import UUID

from msgspec import UNSET

from service import columns as c
from service.access import Actor
from service.crud import crud
from service.db import Tx, business_table
from service.resource import Resource, Row
from service.rules import exist
from service.shapes import Body, Draft, Given, Ids, Instant, Maybe, Name, Words, item_of, patch_of

Status = Literal["draft", "published", "archived"]

# Tables --------------------------------------------------------------------------------------------

battle_cards = business_table(
    "battle_cards",
    c.reference("competitor_id", "competitors", required=True),
    c.text("title", required=True),
    c.text("body", required=True),
    c.ids("product_ids", "products"),
    c.texts("tags"),
    c.word("status", Status, default="draft"),
    c.reference("owner_id", "users"),
    c.instant("reviewed_at"),
    c.index("ix_battle_cards_competitor_id", "competitor_id"),
    c.external("battle_cards"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------


class BattleCardDraft(Draft, kw_only=True):
    """`body` is Markdown."""

    competitor_id: UUID
    title: Name
    body: Body
    product_ids: Given[Ids] = UNSET
    tags: Given[Words] = UNSET
    status: Given[Status] = UNSET
    owner_id: Maybe[UUID] = UNSET
    reviewed_at: Maybe[Instant] = UNSET


BattleCardPatch = patch_of(BattleCardDraft)
BattleCard = item_of(battle_cards, BattleCardDraft)

# Rules ---------------------------------------------------------------------------------------------


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """The products that a card is about exist."""
    if old is None or new["product_ids"] != old["product_ids"]:
        await exist(tx, actor, "products", "product_ids", new.get("product_ids") or ())


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/battle-cards",
    name="battle_card",
    table=battle_cards,
    draft=BattleCardDraft,
    patch=BattleCardPatch,
    item=BattleCard,
    references={"competitor_id": "competitors", "owner_id": "users"},
    text=("title", "body"),
    prepare=prepare,
)

routes = crud(resource)
