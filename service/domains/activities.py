"""Activities: mails, calls, meetings, demos and tasks, done or planned, with the people who took part."""

from typing import Literal

from service import columns as c
from service.db import business_table

Type = Literal["email", "call", "meeting", "demo", "task", "note"]
Direction = Literal["inbound", "outbound"]
Status = Literal["planned", "completed", "canceled", "no_show"]
Outcome = Literal["connected", "voicemail", "no_answer", "replied", "bounced", "held", "rescheduled", "other"]

# --- tables ------------------------------------------------------------------------------------------------------

activities = business_table(
    "activities",
    c.word("type", Type, required=True),
    c.instant("occurred_at", required=True),
    c.instant("due_at"),
    c.text("subject"),
    c.text("body"),
    c.word("direction", Direction),
    c.word("status", Status, default="completed"),
    c.word("outcome", Outcome),
    c.whole("duration_seconds"),
    c.reference("owner_id", "users"),
    c.reference("account_id", "accounts"),
    c.reference("opportunity_id", "opportunities"),
    c.reference("lead_id", "leads"),
    c.reference("contact_id", "contacts"),
    c.loose("recommendation_id"),
    c.text("thread_id"),
    c.items("participants"),
    c.text("source"),
    c.text("source_id"),
    c.index("uq_activities_source", "source", "source_id", unique=True, where="source_id IS NOT NULL"),
    c.index("ix_activities_opportunity_id", "opportunity_id", "occurred_at", where="opportunity_id IS NOT NULL"),
    c.index("ix_activities_account_id", "account_id", "occurred_at", where="account_id IS NOT NULL"),
    c.index("ix_activities_lead_id", "lead_id", "occurred_at", where="lead_id IS NOT NULL"),
    c.index("ix_activities_owner_id", "owner_id", "occurred_at"),
    c.external("activities"),
)
