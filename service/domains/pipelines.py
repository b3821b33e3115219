"""Pipelines and their stages: the steps of a deal, the chance that each stands for, and what one must have to leave it."""

from typing import Literal

import sqlalchemy as sa

from service import columns as c
from service.db import business_table

Status = Literal["open", "won", "lost"]
Category = Literal["omitted", "pipeline", "best_case", "commit", "closed"]

# --- tables ------------------------------------------------------------------------------------------------------

pipelines = business_table(
    "pipelines",
    c.text("key", required=True),
    c.text("name", required=True),
    c.flag("is_default"),
    c.flag("is_active", default=True),
    c.index("uq_pipelines_key", "key", unique=True),
    c.index("uq_pipelines_default", "is_default", unique=True, where="is_default"),
    c.external("pipelines"),
    guarded=False,
)

stages = business_table(
    "stages",
    c.reference("pipeline_id", "pipelines", required=True),
    c.text("key", required=True),
    c.text("name", required=True),
    c.whole("position", required=True),
    c.word("status", Status, required=True),
    sa.Column("probability", sa.Double, sa.CheckConstraint("probability BETWEEN 0 AND 1", name="probability"), nullable=False),
    c.word("forecast_category", Category, required=True),
    c.items("exit_criteria"),
    c.whole("rotting_days"),
    c.index("uq_stages_key", "pipeline_id", "key", unique=True),
    c.external("stages"),
    guarded=False,
)
