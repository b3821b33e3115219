"""Stakeholders: which contact plays which part in a deal."""

from typing import Literal

from service import columns as c
from service.db import business_table

Part = Literal[
    "economic_buyer", "decision_maker", "champion", "influencer", "technical_evaluator", "end_user",
    "executive_sponsor", "procurement", "legal", "other",
]
Influence = Literal["low", "medium", "high"]
Sentiment = Literal["supporter", "neutral", "opponent", "unknown"]

# --- tables ------------------------------------------------------------------------------------------------------

stakeholders = business_table(
    "stakeholders",
    c.reference("opportunity_id", "opportunities", required=True),
    c.reference("contact_id", "contacts", required=True),
    c.word("role", Part, required=True),
    c.flag("is_primary"),
    c.word("influence", Influence),
    c.word("sentiment", Sentiment),
    c.reference("reports_to_id", "stakeholders"),
    c.text("notes"),
    c.index("ix_stakeholders_opportunity_id", "opportunity_id"),
    c.index("ix_stakeholders_contact_id", "contact_id"),
    c.external("stakeholders"),
)
