"""Leads: people or companies who may become customers, from the first word to conversion."""

from typing import Literal

from service import columns as c
from service.db import business_table

Status = Literal["new", "working", "nurturing", "qualified", "unqualified", "converted"]
Rating = Literal["hot", "warm", "cold"]
LeadSource = Literal["web", "inbound_call", "referral", "event", "partner", "outbound", "marketing", "other"]

# --- tables ------------------------------------------------------------------------------------------------------

leads = business_table(
    "leads",
    c.text("last_name"),
    c.text("first_name"),
    c.text("company"),
    c.text("email"),
    c.text("title"),
    c.text("phone"),
    c.text("website"),
    c.text("industry"),
    c.whole("number_of_employees"),
    c.money("annual_revenue"),
    c.currency(),
    c.document("address"),
    c.word("status", Status, default="new"),
    c.word("rating", Rating),
    c.text("unqualified_reason"),
    c.word("lead_source", LeadSource),
    c.loose("campaign_id"),
    c.instant("mql_at"),
    c.number("mql_score"),
    c.flag("email_opt_out"),
    c.flag("do_not_call"),
    c.reference("owner_id", "users"),
    c.loose("pool_id"),
    c.instant("assigned_at"),
    c.instant("response_due_at"),
    c.instant("first_response_at"),
    c.instant("converted_at"),
    c.reference("converted_account_id", "accounts"),
    c.reference("converted_contact_id", "contacts"),
    c.reference("converted_opportunity_id", "opportunities"),
    c.index("ix_leads_owner_id", "owner_id"),
    c.index("ix_leads_status", "status", "id"),
    c.index("ix_leads_email", "lower(email)", where="email IS NOT NULL"),
    c.sorted_by("leads", "company"),
    c.external("leads"),
)
