"""Territory models and the territories that they hold: one model is active, others are drafts or the past."""

from typing import Literal

from service import columns as c
from service.db import business_table

ModelStatus = Literal["draft", "active", "archived"]
Type = Literal["geographic", "account_based", "industry", "mixed"]
Match = Literal["all", "any"]

# --- tables ------------------------------------------------------------------------------------------------------

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
    c.ids("member_ids"),
    c.word("type", Type),
    c.items("criteria"),
    c.word("match", Match, default="all"),
    c.ids("account_ids"),
    c.whole("priority"),
    c.index("ix_territories_model_id", "model_id"),
    c.external("territories"),
    guarded=False,
)
