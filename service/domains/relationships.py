"""Relationships: who knows whom, and which other companies a person belongs to, beside their own account.

Salesforce says account contact relationship and Dynamics connection; `reports_to_id` of a contact stays the line of
command within a company.
"""

from collections.abc import Iterator
from datetime import date
from typing import Literal
from uuid import UUID

import sqlalchemy as sa
from msgspec import UNSET

from service import columns as c
from service.crud import crud
from service.db import business_table
from service.errors import Pointer
from service.resource import Resource, Row
from service.rules import fault, in_order, refuse
from service.shapes import Draft, Given, Line, Maybe, Text, item_of, patch_of

Type = Literal[
    "employee",
    "former_employee",
    "board_member",
    "consultant",
    "partner",
    "investor",
    "colleague",
    "former_colleague",
    "assistant",
    "mentor",
    "referrer",
    "friend",
    "family",
    "other",
]
Strength = Literal["weak", "medium", "strong"]

# Tables --------------------------------------------------------------------------------------------

relationships = business_table(
    "relationships",
    c.reference("contact_id", "contacts", required=True),
    c.reference("related_contact_id", "contacts"),
    c.reference("related_account_id", "accounts"),
    c.word("type", Type, required=True),
    c.text("role"),
    c.word("strength", Strength),
    c.flag("is_active", default=True),
    c.day("start_date"),
    c.day("end_date"),
    c.text("description"),
    sa.Index(
        "uq_relationships_pair",
        "contact_id",
        "related_contact_id",
        "related_account_id",
        "type",
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=c.LIVE,
    ),
    c.index(
        "ix_relationships_related_contact_id", "related_contact_id", where="related_contact_id IS NOT NULL"
    ),
    c.index(
        "ix_relationships_related_account_id", "related_account_id", where="related_account_id IS NOT NULL"
    ),
    c.external("relationships"),
)

# Shapes --------------------------------------------------------------------------------------------


class RelationshipDraft(Draft, kw_only=True):
    """`contact_id` is, say, the mentor of `related_contact_id`, or a board member of `related_account_id`: one of both.

    `role` says it in the company's own words.
    """

    contact_id: UUID
    type: Type
    related_contact_id: Maybe[UUID] = UNSET
    related_account_id: Maybe[UUID] = UNSET
    role: Maybe[Line] = UNSET
    strength: Maybe[Strength] = UNSET
    is_active: Given[bool] = UNSET
    start_date: Maybe[date] = UNSET
    end_date: Maybe[date] = UNSET
    description: Maybe[Text] = UNSET


RelationshipPatch = patch_of(RelationshipDraft, "contact_id", "related_contact_id", "related_account_id")
Relationship = item_of(relationships, RelationshipDraft)

# Rules ---------------------------------------------------------------------------------------------


def _ends(row: Row) -> Iterator[Pointer]:
    person, company = row.get("related_contact_id"), row.get("related_account_id")
    if (person is None) == (company is None):
        yield fault("related_contact_id", "name one other end: a contact or an account")
    if person is not None and person == row.get("contact_id"):
        yield fault("related_contact_id", "must be another person")


def check(new: Row, old: Row | None) -> None:
    """It leads from one person to another one, or to a company, and does not end before it starts."""
    refuse(_ends(new), in_order(new, "start_date", "end_date"))


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/relationships",
    name="relationship",
    table=relationships,
    draft=RelationshipDraft,
    patch=RelationshipPatch,
    item=Relationship,
    references={"contact_id": "contacts", "related_contact_id": "contacts", "related_account_id": "accounts"},
    text=("role", "description"),
    check=check,
)

routes = crud(resource)
