"""Notes: text about a deal, an account, a contact or a lead.

`win_loss` ones say why a deal ended as it did. `inspection` ones are what a manager found on looking into a deal, with
a day to look again; whoever sees the deal reads them, unless they are private: those are for their author, the
author's managers, and the roles that see all.
"""

from collections.abc import Iterator
from datetime import date
from typing import Literal
from uuid import UUID

from msgspec import UNSET

from service import columns as c
from service.access import Actor, require
from service.crud import crud
from service.db import Database, Tx, business_table
from service.errors import Pointer
from service.resource import Resource, Row
from service.rules import fault, refuse
from service.shapes import Body, Draft, Given, Maybe, item_of, patch_of

Kind = Literal["note", "win_loss", "inspection"]

# Tables --------------------------------------------------------------------------------------------

notes = business_table(
    "notes",
    c.text("body", required=True),
    c.word("kind", Kind, default="note"),
    c.reference("opportunity_id", "opportunities"),
    c.reference("account_id", "accounts"),
    c.reference("contact_id", "contacts"),
    c.reference("lead_id", "leads"),
    c.day("follow_up_on"),
    c.flag("is_private"),
    c.index("ix_notes_follow_up_on", "follow_up_on", where="follow_up_on IS NOT NULL"),
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
    follow_up_on: Maybe[date] = UNSET
    is_private: Given[bool] = UNSET


NotePatch = patch_of(NoteDraft)
Note = item_of(notes, NoteDraft)

# Rules ---------------------------------------------------------------------------------------------

SUBJECTS = ("opportunity_id", "account_id", "contact_id", "lead_id")


def _about_something(row: Row) -> Iterator[Pointer]:
    if all(row.get(name) is None for name in SUBJECTS):
        yield fault("opportunity_id", "a note is about a deal, an account, a contact or a lead")


def _of_its_deal(row: Row) -> Iterator[Pointer]:
    kind = row.get("kind", "note")
    if kind != "note" and row.get("opportunity_id") is None:
        yield fault("opportunity_id", f"a note of the kind {kind} needs its deal")
    if kind != "inspection":
        for name in ("follow_up_on", "is_private"):
            if row.get(name):
                yield fault(name, "is for inspection notes")


def check(new: Row, old: Row | None) -> None:
    """A note is about something; a reason for winning or losing, and an inspection, are about a deal."""
    refuse(_about_something(new), _of_its_deal(new))


async def prepare(run: Tx | Database, actor: Actor, new: Row, old: Row | None) -> None:
    """Deals are inspected by those who lead."""
    if "inspection" in (new.get("kind"), old and old["kind"]):
        require(actor, "notes", "inspect")


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
    prepare=prepare,
    prepare_reads=True,
)

routes = crud(resource)
