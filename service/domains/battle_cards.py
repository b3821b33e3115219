"""Battle cards: what to say when a competitor is in the deal."""

from typing import Literal

from service import columns as c
from service.db import business_table

Status = Literal["draft", "published", "archived"]

# --- tables ------------------------------------------------------------------------------------------------------

battle_cards = business_table(
    "battle_cards",
    c.reference("competitor_id", "competitors", required=True),
    c.text("title", required=True),
    c.text("body", required=True),
    c.ids("product_ids"),
    c.texts("tags"),
    c.word("status", Status, default="draft"),
    c.reference("owner_id", "users"),
    c.instant("reviewed_at"),
    c.index("ix_battle_cards_competitor_id", "competitor_id"),
    c.external("battle_cards"),
    guarded=False,
)
