"""Accounts: the companies that one sells to, with or beside."""

from typing import Literal

from service import columns as c
from service.db import business_table

Type = Literal["prospect", "customer", "partner", "competitor", "former_customer"]
Segment = Literal["smb", "mid_market", "enterprise"]

# --- tables ------------------------------------------------------------------------------------------------------

accounts = business_table(
    "accounts",
    c.text("name", required=True),
    c.text("domain"),
    c.text("website"),
    c.text("phone"),
    c.text("description"),
    c.reference("parent_id", "accounts"),
    c.text("industry"),
    c.word("type", Type),
    c.word("segment", Segment),
    c.whole("number_of_employees"),
    c.money("annual_revenue"),
    c.currency(),
    c.reference("owner_id", "users"),
    c.reference("territory_id", "territories"),
    c.document("billing_address"),
    c.document("shipping_address"),
    c.text("lead_source"),
    c.number("health_score"),
    c.index("ix_accounts_owner_id", "owner_id"),
    c.index("ix_accounts_parent_id", "parent_id", where="parent_id IS NOT NULL"),
    c.index("ix_accounts_domain", "lower(domain)", where="domain IS NOT NULL"),
    c.sorted_by("accounts", "name"),
    c.external("accounts"),
)
