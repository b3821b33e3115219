"""Recommendations: the next best actions of a deal, each with its reason, and what people say to them."""

from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from service import columns as c
from service.db import metadata

Action = Literal[
    "call",
    "email",
    "meeting",
    "demo",
    "executive_sponsor",
    "add_stakeholder",
    "send_battle_card",
    "send_proposal",
    "mutual_action_plan",
    "re_engage",
    "correct_close_date",
    "offer",
    "hand_over",
    "disqualify",
]
Source = Literal["model", "rule", "exploration"]
Status = Literal["open", "done", "dismissed", "snoozed", "expired"]

# Tables --------------------------------------------------------------------------------------------

recommendations = sa.Table(
    "recommendations",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("created_at", c.INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", c.INSTANT, nullable=False, server_default=sa.func.now()),
    c.instant("deleted_at"),
    c.loose("opportunity_id"),
    c.loose("lead_id"),
    c.word("action", Action, required=True),
    c.text("title", required=True),
    c.text("reason", required=True),
    c.word("source", Source, required=True),
    c.text("rule"),
    sa.Column("rank", sa.Integer, nullable=False),
    c.number("expected_lift"),
    c.number("lift_low"),
    c.number("lift_high"),
    c.money("expected_value"),
    sa.Column("missing", JSONB, nullable=False, server_default=sa.text("'{}'")),
    c.word("status", Status, default="open"),
    c.instant("snoozed_until"),
    c.text("feedback_reason"),
    c.loose("battle_card_id"),
    sa.Column("model_version", sa.Integer),
    c.instant("expires_at", required=True),
    sa.Index("ix_recommendations_opportunity_id", "opportunity_id", "status", "rank"),
    sa.Index(
        "uq_recommendations_open",
        "opportunity_id",
        "action",
        unique=True,
        postgresql_where=sa.text("status IN ('open', 'snoozed')"),
    ),
    sa.CheckConstraint("num_nonnulls(opportunity_id, lead_id) = 1", name="entity"),
    info={"guarded": True},
)
"""`missing` says for each null figure why it is null."""

action_log = sa.Table(
    "action_log",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("recommendation_id", sa.Uuid, nullable=False, index=True),
    sa.Column("opportunity_id", sa.Uuid, nullable=False),
    sa.Column("logged_at", c.INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("policy", sa.Text, nullable=False),
    c.word("action", Action, required=True),
    sa.Column("propensity", sa.Double, nullable=False),
    sa.Column("candidates", JSONB, nullable=False),
    sa.Column("context", JSONB, nullable=False),
    sa.CheckConstraint("propensity > 0 AND propensity <= 1", name="propensity"),
)
"""Which action the policy put first, with what chance among which candidates: what off-policy evaluation needs."""
