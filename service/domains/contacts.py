"""Contacts: people at accounts."""

from service import columns as c
from service.db import business_table

# --- tables ------------------------------------------------------------------------------------------------------

contacts = business_table(
    "contacts",
    c.text("last_name", required=True),
    c.text("first_name"),
    c.reference("account_id", "accounts"),
    c.text("email"),
    c.text("phone"),
    c.text("mobile_phone"),
    c.text("title"),
    c.text("department"),
    c.reference("reports_to_id", "contacts"),
    c.reference("owner_id", "users"),
    c.flag("email_opt_out"),
    c.flag("do_not_call"),
    c.instant("consent_at"),
    c.text("lead_source"),
    c.document("mailing_address"),
    c.text("time_zone"),
    c.index("ix_contacts_account_id", "account_id"),
    c.index("ix_contacts_owner_id", "owner_id"),
    c.index("ix_contacts_email", "lower(email)", where="email IS NOT NULL"),
    c.sorted_by("contacts", "last_name"),
    c.external("contacts"),
)
