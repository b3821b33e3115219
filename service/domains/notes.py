"""Notes: text about a deal, an account, a contact or a lead; `win_loss` ones say why a deal ended as it did."""

from typing import Literal

from service import columns as c
from service.db import business_table

Kind = Literal["note", "win_loss"]

# --- tables ------------------------------------------------------------------------------------------------------

notes = business_table(
    "notes",
    c.text("body", required=True),
    c.word("kind", Kind, default="note"),
    c.reference("opportunity_id", "opportunities"),
    c.reference("account_id", "accounts"),
    c.reference("contact_id", "contacts"),
    c.reference("lead_id", "leads"),
    c.index("ix_notes_opportunity_id", "opportunity_id", where="opportunity_id IS NOT NULL"),
    c.index("ix_notes_account_id", "account_id", where="account_id IS NOT NULL"),
    c.index("ix_notes_contact_id", "contact_id", where="contact_id IS NOT NULL"),
    c.index("ix_notes_lead_id", "lead_id", where="lead_id IS NOT NULL"),
    c.external("notes"),
)
