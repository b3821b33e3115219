"""Opportunities: deals, from the first talk to won or lost. Only the stage verb moves one."""

from typing import Literal

import sqlalchemy as sa

from service import columns as c
from service.db import MONEY, business_table
from service.domains.pipelines import Category, Status

Type = Literal["new_business", "expansion", "renewal"]
LossReason = Literal[
    "price", "product", "competitor", "no_budget", "no_decision", "timing", "relationship", "disqualified", "other"
]
CategorySource = Literal["stage", "user"]

# --- tables ------------------------------------------------------------------------------------------------------

opportunities = business_table(
    "opportunities",
    c.text("name", required=True),
    c.reference("account_id", "accounts"),
    c.reference("owner_id", "users", required=True),
    c.reference("pipeline_id", "pipelines", required=True),
    c.text("stage", required=True),
    c.word("status", Status, default="open"),
    c.reference("primary_contact_id", "contacts"),
    c.money("amount"),
    c.currency(),
    c.money("amount_home"),
    sa.Column(
        "expected_revenue", MONEY, sa.Computed("round(amount * probability::numeric, 4)", persisted=True), nullable=True
    ),
    c.day("close_date"),
    c.text("next_step"),
    c.day("next_step_due"),
    c.instant("closed_at"),
    c.day("closed_on"),
    c.word("forecast_category", Category, required=True),
    c.word("forecast_category_source", CategorySource, default="stage"),
    sa.Column("probability", sa.Double, sa.CheckConstraint("probability BETWEEN 0 AND 1", name="probability"), nullable=False),
    c.word("type", Type),
    c.text("lead_source"),
    c.loose("campaign_id"),
    c.text("description"),
    c.word("loss_reason", LossReason),
    c.text("closed_note"),
    c.reference("competitor_id", "competitors"),
    c.ids("competitor_ids"),
    c.reference("territory_id", "territories"),
    c.instant("stage_entered_at", required=True),
    sa.CheckConstraint("(status = 'open') = (closed_at IS NULL)", name="closed_at"),
    c.index("ix_opportunities_owner_id", "owner_id", "status"),
    c.index("ix_opportunities_account_id", "account_id"),
    c.index("ix_opportunities_board", "pipeline_id", "stage", "id"),
    c.index("ix_opportunities_close_date", "close_date", where="status = 'open'"),
    c.index("ix_opportunities_closed_at", "closed_at", where="closed_at IS NOT NULL"),
    c.index("ix_opportunities_amount_home", "amount_home", "id"),
    c.sorted_by("opportunities", "name"),
    c.external("opportunities"),
)
