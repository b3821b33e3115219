"""Contacts: people at accounts."""

from uuid import UUID

from msgspec import UNSET

from service import alike
from service import columns as c
from service.crud import crud
from service.db import business_table
from service.resource import Resource, Row
from service.rules import not_itself, owned, refuse, zone
from service.shapes import (
    Address,
    Draft,
    Email,
    Given,
    Instant,
    Line,
    Maybe,
    Name,
    Phone,
    Zone,
    item_of,
    patch_of,
)
from service.trees import tree

# Tables --------------------------------------------------------------------------------------------

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
    *c.merged_into("contacts"),
    alike.index("contacts"),
)

# Shapes --------------------------------------------------------------------------------------------


class ContactDraft(Draft, kw_only=True):
    last_name: Name
    first_name: Maybe[Line] = UNSET
    account_id: Maybe[UUID] = UNSET
    email: Maybe[Email] = UNSET
    phone: Maybe[Phone] = UNSET
    mobile_phone: Maybe[Phone] = UNSET
    title: Maybe[Line] = UNSET
    department: Maybe[Line] = UNSET
    reports_to_id: Maybe[UUID] = UNSET
    owner_id: Maybe[UUID] = UNSET
    email_opt_out: Given[bool] = UNSET
    do_not_call: Given[bool] = UNSET
    consent_at: Maybe[Instant] = UNSET
    lead_source: Maybe[Line] = UNSET
    mailing_address: Maybe[Address] = UNSET
    time_zone: Maybe[Zone] = UNSET


ContactPatch = patch_of(ContactDraft)
Contact = item_of(contacts, ContactDraft)

# Rules ---------------------------------------------------------------------------------------------


def check(new: Row, old: Row | None) -> None:
    """A known time zone; nobody reports to themselves."""
    refuse(zone(new))
    not_itself(new, "reports_to_id")


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/contacts",
    name="contact",
    table=contacts,
    draft=ContactDraft,
    patch=ContactPatch,
    item=Contact,
    references={"account_id": "accounts", "reports_to_id": "contacts", "owner_id": "users"},
    text=("last_name", "first_name", "email"),
    tree="reports_to_id",
    check=check,
    defaults=owned,
    warn=alike.warning("contacts"),
)

routes = [
    *crud(resource),
    tree(resource, "title", "department", "account_id", name="concat_ws(' ', t.first_name, t.last_name)"),
]
