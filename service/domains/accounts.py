"""Accounts: the companies that one sells to, with or beside."""

from typing import Literal
from uuid import UUID

from msgspec import UNSET

from service import alike
from service import columns as c
from service.crud import crud
from service.db import business_table
from service.domains.assignment import assign
from service.resource import Resource, Row
from service.rules import amounts, not_itself, owned, refuse
from service.shapes import (
    Address,
    Count,
    Currency,
    Draft,
    Line,
    Maybe,
    Money,
    Name,
    Phone,
    Text,
    Url,
    item_of,
    patch_of,
)
from service.trees import tree

Type = Literal["prospect", "customer", "partner", "competitor", "former_customer"]
Segment = Literal["smb", "mid_market", "enterprise"]

# Tables --------------------------------------------------------------------------------------------

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
    c.index("ix_accounts_territory_id", "territory_id", where="territory_id IS NOT NULL"),
    c.sorted_by("accounts", "name"),
    c.external("accounts"),
    *c.merged_into("accounts"),
    alike.index("accounts"),
)

# Shapes --------------------------------------------------------------------------------------------


class AccountDraft(Draft, kw_only=True):
    name: Name
    domain: Maybe[Line] = UNSET
    website: Maybe[Url] = UNSET
    phone: Maybe[Phone] = UNSET
    description: Maybe[Text] = UNSET
    parent_id: Maybe[UUID] = UNSET
    industry: Maybe[Line] = UNSET
    type: Maybe[Type] = UNSET
    segment: Maybe[Segment] = UNSET
    number_of_employees: Maybe[Count] = UNSET
    annual_revenue: Maybe[Money] = UNSET
    currency: Maybe[Currency] = UNSET
    owner_id: Maybe[UUID] = UNSET
    billing_address: Maybe[Address] = UNSET
    shipping_address: Maybe[Address] = UNSET
    lead_source: Maybe[Line] = UNSET


AccountPatch = patch_of(AccountDraft, "owner_id")
Account = item_of(accounts, AccountDraft)

# Rules ---------------------------------------------------------------------------------------------


def check(new: Row, old: Row | None) -> None:
    """Revenue is not negative; a company is not its own parent."""
    refuse(amounts(new, "annual_revenue"))
    not_itself(new, "parent_id")


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/accounts",
    name="account",
    table=accounts,
    draft=AccountDraft,
    patch=AccountPatch,
    item=Account,
    references={"parent_id": "accounts", "owner_id": "users", "territory_id": "territories"},
    text=("name", "domain"),
    tree="parent_id",
    free=frozenset(["phone", "description", "industry", "segment", "number_of_employees", "lead_source"]),
    check=check,
    defaults=owned,
    warn=alike.warning("accounts"),
)

routes = [
    *crud(resource),
    assign(resource),
    tree(resource, "domain", "type", "segment", "industry", "owner_id", "annual_revenue", "currency"),
]
