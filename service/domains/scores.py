"""Scores: what a model says of each open deal and lead, with its reasons; the newest one, and all before."""

from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service import columns as c
from service.db import metadata

Grade = Literal["a", "b", "c", "d"]
Tier = Literal["baseline", "logistic", "gbm"]
Trend = Literal["improving", "steady", "declining", "not_enough_information"]

# --- tables ------------------------------------------------------------------------------------------------------


def _columns() -> list[sa.Column[Any]]:
    """What a score says, in both tables."""
    return [
        c.word("entity_type", Literal["opportunity", "lead"], required=True),
        c.loose("opportunity_id"),
        c.loose("lead_id"),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("model_version", sa.Integer),
        sa.Column("feature_set", sa.Text, nullable=False),
        c.word("tier", Tier, required=True),
        c.instant("as_of", required=True),
        c.instant("known_at", required=True),
        c.instant("watermark", required=True),
        c.instant("scored_at", required=True),
        sa.Column(
            "score", sa.Integer, sa.CheckConstraint("score BETWEEN 1 AND 99", name="score"), nullable=False
        ),
        c.word("grade", Grade, required=True),
        c.number("win_probability"),
        c.number("win_in_period_probability"),
        c.number("slip_probability"),
        c.day("likely_close_week"),
        c.money("amount_p10"),
        c.money("amount_p50"),
        c.money("amount_p90"),
        c.number("convert_30d_probability"),
        c.number("convert_60d_probability"),
        c.number("convert_90d_probability"),
        c.word("trend", Trend, required=True),
        c.number("base_value", required=True),
        c.items("reasons"),
        sa.Column("gate", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("calibration", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("missing", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("won_by_week", ARRAY(sa.REAL), nullable=False, server_default=sa.text("'{}'")),
    ]


scores = sa.Table(
    "scores",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    *_columns(),
    sa.Column("features", JSONB, nullable=False),
    sa.Index(
        "ix_scores_opportunity_id",
        "opportunity_id",
        "as_of",
        postgresql_where=sa.text("opportunity_id IS NOT NULL"),
    ),
    sa.Index("ix_scores_lead_id", "lead_id", "as_of", postgresql_where=sa.text("lead_id IS NOT NULL")),
    sa.CheckConstraint("num_nonnulls(opportunity_id, lead_id) = 1", name="entity"),
    info={"guarded": True},
)
"""Every score ever made, never changed. `features` is the vector that the model read (name → value): with the model's
version it replays the score. `missing` says for each null field why it is null. `won_by_week[k]` is the chance to be
won within k weeks of `as_of` (PostgreSQL counts from 1). At or below `watermark` no older change was in flight."""

current_scores = sa.Table(
    "current_scores",
    metadata,
    sa.Column("entity_id", sa.Uuid, primary_key=True),
    sa.Column("score_id", sa.Uuid, nullable=False),
    *_columns(),
    sa.Index("ix_current_scores_opportunity_id", "opportunity_id", unique=True),
    sa.Index("ix_current_scores_lead_id", "lead_id", unique=True),
    sa.CheckConstraint("num_nonnulls(opportunity_id, lead_id) = 1", name="entity"),
    info={"guarded": True},
)
"""The newest score of each deal and lead."""
