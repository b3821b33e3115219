"""Notes: text about a deal, an account, a contact or a lead; `win_loss` ones say why a deal ended as it did."""

from collections.abc import Iterator
from typing import Literal
from uuid import UUID

from msgspec import UNSET

from service import columns as c
from service.crud import Resource, Row, crud
from service.db import business_table
from service.errors import Pointer
from service.rules import fault, refuse
from service.shapes import Body, Draft, Given, Maybe, item_of, patch_of

Kind = Literal["note", "win_loss"]

# Tables --------------------------------------------------------------------------------------------

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

# Shapes --------------------------------------------------------------------------------------------


class NoteDraft(Draft, kw_only=True):
    body: Body
    kind: Given[Kind] = UNSET
    opportunity_id: Maybe[UUID] = UNSET
    account_id: Maybe[UUID] = UNSET
    contact_id: Maybe[UUID] = UNSET
    lead_id: Maybe[UUID] = UNSET


NotePatch = patch_of(NoteDraft)
Note = item_of(notes, NoteDraft)

# Rules ---------------------------------------------------------------------------------------------

SUBJECTS = ("opportunity_id", "account_id", "contact_id", "lead_id")


def _about_something(row: Row) -> Iterator[Pointer]:
    if all(row.get(name) is None for name in SUBJECTS):
        yield fault("opportunity_id", "a note is about a deal, an account, a contact or a lead")


def check(new: Row, old: Row | None) -> None:
    """A note is about something; a reason for winning or losing is about a deal."""
    lost = new.get("kind") == "win_loss" and new.get("opportunity_id") is None
    refuse(_about_something(new), [fault("opportunity_id", "a win/loss note needs its deal")] if lost else [])


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/notes",
    name="note",
    table=notes,
    draft=NoteDraft,
    patch=NotePatch,
    item=Note,
    references={
        "opportunity_id": "opportunities",
        "account_id": "accounts",
        "contact_id": "contacts",
        "lead_id": "leads",
    },
    text=("body",),
    check=check,
)

routes = crud(resource)
