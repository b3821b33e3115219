"""Playbooks: which steps to take in which situation."""

from service import columns as c
from service.db import business_table
from service.domains.battle_cards import Status

# --- tables ------------------------------------------------------------------------------------------------------

playbooks = business_table(
    "playbooks",
    c.text("name", required=True),
    c.text("description"),
    c.reference("pipeline_id", "pipelines"),
    c.text("stage"),
    c.items("criteria"),
    c.items("steps"),
    c.word("status", Status, default="draft"),
    c.index("ix_playbooks_stage", "pipeline_id", "stage"),
    c.external("playbooks"),
    guarded=False,
)
