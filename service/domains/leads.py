"""Leads: people or companies who may become customers, from the first word to conversion."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET

from service import alike, converting
from service import columns as c
from service.access import Actor, may, require, visible
from service.crud import Resource, Row, crud, document, insert, locked, plain, update
from service.db import Database, Params, Tx, business_table
from service.domains import routing
from service.domains.accounts import Account
from service.domains.accounts import resource as accounts
from service.domains.assignment import assign
from service.domains.contacts import Contact
from service.domains.contacts import resource as contacts
from service.domains.opportunities import Opportunity, StageKey
from service.domains.opportunities import resource as opportunities
from service.errors import Conflict, Invalid, Pointer
from service.idempotency import idempotent
from service.rules import amounts, fault, refuse, scope
from service.shapes import (
    Address,
    Count,
    Currency,
    Draft,
    Email,
    Given,
    Instant,
    Line,
    Maybe,
    Money,
    Name,
    Phone,
    Url,
    item_of,
    patch_of,
)
from service.wire import answer, body, check_version, etag, expected_version

Status = Literal["new", "working", "nurturing", "qualified", "unqualified", "converted"]
Rating = Literal["hot", "warm", "cold"]
LeadSource = Literal["web", "inbound_call", "referral", "event", "partner", "outbound", "marketing", "other"]

# Tables --------------------------------------------------------------------------------------------

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
    c.reference("campaign_id", "campaigns"),
    c.instant("mql_at"),
    c.number("mql_score"),
    c.flag("email_opt_out"),
    c.flag("do_not_call"),
    c.instant("consent_at"),
    c.reference("owner_id", "users"),
    c.reference("pool_id", "pools"),
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
    *(
        c.index(
            f"ix_leads_converted_{what}_id", f"converted_{what}_id", where=f"converted_{what}_id IS NOT NULL"
        )
        for what in ("account", "contact", "opportunity")
    ),
    c.index("ix_leads_campaign_id", "campaign_id", where="campaign_id IS NOT NULL"),
    c.index("ix_leads_response_due_at", "response_due_at", where="first_response_at IS NULL"),
    c.sorted_by("leads", "company"),
    c.external("leads"),
    *c.merged_into("leads"),
    alike.index("leads"),
)

# Shapes --------------------------------------------------------------------------------------------


class LeadDraft(Draft, kw_only=True):
    """At least one of `last_name`, `company` and `email`. Converted is what the verb makes of a lead."""

    last_name: Maybe[Line] = UNSET
    first_name: Maybe[Line] = UNSET
    company: Maybe[Line] = UNSET
    email: Maybe[Email] = UNSET
    title: Maybe[Line] = UNSET
    phone: Maybe[Phone] = UNSET
    website: Maybe[Url] = UNSET
    industry: Maybe[Line] = UNSET
    number_of_employees: Maybe[Count] = UNSET
    annual_revenue: Maybe[Money] = UNSET
    currency: Maybe[Currency] = UNSET
    address: Maybe[Address] = UNSET
    status: Given[Status] = UNSET
    rating: Maybe[Rating] = UNSET
    unqualified_reason: Maybe[Line] = UNSET
    lead_source: Maybe[LeadSource] = UNSET
    campaign_id: Maybe[UUID] = UNSET
    mql_at: Maybe[Instant] = UNSET
    email_opt_out: Given[bool] = UNSET
    do_not_call: Given[bool] = UNSET
    consent_at: Maybe[Instant] = UNSET
    owner_id: Maybe[UUID] = UNSET


LeadPatch = patch_of(LeadDraft, "status", "owner_id")
Lead = item_of(leads, LeadDraft, is_response_overdue=bool)


class StatusChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`reason` says why a lead is unqualified."""

    to: Status
    reason: Given[Line] = UNSET


class NewDeal(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: Given[Name] = UNSET
    amount: Maybe[Money] = UNSET
    currency: Maybe[Currency] = UNSET
    close_date: Maybe[date] = UNSET
    pipeline_id: Given[UUID] = UNSET
    stage: Given[StageKey] = UNSET


class Conversion(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Existing records to join, or none to make new ones; `create_opportunity` false makes no deal.

    A record that is joined keeps what it knows and learns the rest. A named deal, or contact, brings its account.
    """

    account_id: Maybe[UUID] = UNSET
    contact_id: Maybe[UUID] = UNSET
    opportunity_id: Maybe[UUID] = UNSET
    opportunity: Maybe[NewDeal] = UNSET
    create_opportunity: bool = True


class Converted(msgspec.Struct, kw_only=True):
    lead: Lead  # type: ignore[valid-type]  # made from the Draft
    account: Account  # type: ignore[valid-type]
    contact: Contact  # type: ignore[valid-type]
    opportunity: Opportunity | None  # type: ignore[valid-type]


# Rules ---------------------------------------------------------------------------------------------


def _somebody(new: Row) -> Iterator[Pointer]:
    if not any((new.get(name) or "").strip() for name in ("last_name", "company", "email")):
        yield fault("last_name", "a lead has a last_name, a company or an email")


def _began(new: Row) -> Iterator[Pointer]:
    if new.get("status") == "converted":
        yield fault("status", "convert the lead instead")
    if new.get("status") == "unqualified" and not new.get("unqualified_reason"):
        yield fault("unqualified_reason", "say why")


def check(new: Row, old: Row | None) -> None:
    """A lead is somebody; its revenue is not negative; it is not born converted."""
    refuse(_somebody(new), amounts(new, "annual_revenue"), _began(new) if old is None else [])


SELLERS = frozenset({"rep", "manager"})


def defaults(draft: Row, actor: Actor, now: datetime) -> Row:
    """Who sells owns the leads that they enter; others' wait for an owner."""
    refuse(scope(actor, draft))
    owner = draft.get("owner_id", actor.id if actor.role in SELLERS else None)
    return {"owner_id": owner} | ({"assigned_at": now} if owner else {})


PATH = {
    "new": ("working", "nurturing", "qualified", "unqualified"),
    "working": ("nurturing", "qualified", "unqualified"),
    "nurturing": ("working", "qualified", "unqualified"),
    "qualified": ("working", "nurturing", "unqualified"),
    "unqualified": ("working", "nurturing"),
}
"""Status → where a lead may go from there. Nobody becomes new again, and who was given up is worked on first."""


def change(lead: Row, to: str, reason: str | None, now: datetime) -> Row:
    """The changes of a new status. Raises `Conflict` off the path, `Invalid` without a reason."""
    if lead["status"] == "converted":
        raise Conflict("The lead is converted: what happens now happens to its deal.")
    if to == "converted":
        raise Conflict("A lead becomes converted by converting it.")
    if to == lead["status"]:
        raise Conflict(f"The lead is {to} already.")
    if to not in PATH[lead["status"]]:
        raise Conflict(
            f"A lead that is {lead['status']} becomes {' or '.join(PATH[lead['status']])}, not {to}."
        )
    if to == "unqualified" and not (reason or "").strip():
        refuse([fault("reason", "say why the lead is unqualified")])
    answered = {"first_response_at": now} if to == "working" and lead["first_response_at"] is None else {}
    return {"status": to, "unqualified_reason": reason if to == "unqualified" else None} | answered


async def fewest_open_leads(tx: Tx, actor: Actor, lead: Row) -> tuple[UUID, list[str]]:
    """Routes a lead to the seller within reach who has the fewest open leads (the oldest seller among equals)."""
    params = Params()
    reach = "TRUE" if actor.sees_all else f"u.id = ANY({params.add(actor.owners_text)}::text::uuid[])"
    seen = visible(actor, "leads", "l", params)
    row = await tx.fetchrow(
        "SELECT u.id, u.name, (SELECT count(*) FROM leads l WHERE l.owner_id = u.id AND l.deleted_at IS NULL"
        f" AND l.status IN ('new', 'working', 'nurturing', 'qualified') AND {seen}) AS load"
        f" FROM users u WHERE u.role = 'rep' AND u.is_active AND u.deleted_at IS NULL AND {reach}"
        " ORDER BY load, u.id LIMIT 1",
        *params,
    )
    if row is None:
        raise Conflict("There is no active rep to give the lead to: name one as owner_id.")
    return row["id"], [f"{row['name']} has the fewest open leads: {row['load']}."]


async def prepare(run: Tx | Database, actor: Actor, new: Row, old: Row | None) -> None:
    """Who gets a lead hears by when it wants an answer: the clock of the first routing rule that holds."""
    since = new.get("assigned_at")
    if since is None or new.get("first_response_at") is not None or (old and since == old["assigned_at"]):
        return
    new["response_due_at"] = routing.due(await routing.rules_of(run, "lead"), new, since)


async def _named(
    tx: Tx, of: Resource, actor: Actor, wanted: UUID | None, member: str
) -> tuple[Row | None, bool]:
    """The record that was named, locked, and whether the actor may change it."""
    if wanted is None:
        return None, False
    params = Params([wanted])
    seen, mine = (visible(actor, of.key, "t", params, write=write) for write in (False, True))
    row = await tx.fetchrow(
        f"SELECT t.*, ({mine}) AS is_mine FROM {of.key} t"
        f" WHERE t.id = $1 AND t.deleted_at IS NULL AND {seen} FOR UPDATE OF t",
        *params,
    )
    if row is None:
        raise Invalid.at(f"/{member}", "there is no such record")
    found = dict(row)
    return found, found.pop("is_mine") and may(actor, of.key, "update")


async def _joined(tx: Tx, of: Resource, actor: Actor, record: Row | None, mine: bool, told: Row) -> Row:
    """A new record of what the lead told, or the one there is, which learns what it did not know."""
    if record is None:
        require(actor, of.key, "create")
        return await insert(tx, of, actor, told)
    return await update(tx, of, actor, record, converting.filled(record, told)) if mine else record


async def _joined_deal(tx: Tx, actor: Actor, deal: Row, mine: bool, account: Row, contact: Row) -> Row:
    """The deal there is, with the account and the contact that it lacked."""
    if not mine:
        raise Invalid.at("/opportunity_id", "is not yours to change")
    found = {"account_id": account["id"], "primary_contact_id": contact["id"]}
    changes = {name: value for name, value in found.items() if deal[name] is None}
    return await update(tx, opportunities, actor, deal, changes) if changes else deal


async def convert_lead(
    tx: Tx, actor: Actor, lead: Row, asked: Conversion, now: datetime
) -> dict[str, Row | None]:
    """Account, contact and deal of a locked lead, which becomes converted: one transaction, one change set."""
    converting.convertible(lead)
    deal, deal_is_mine = await _named(
        tx, opportunities, actor, asked.opportunity_id or None, "opportunity_id"
    )
    person, person_is_mine = await _named(tx, contacts, actor, asked.contact_id or None, "contact_id")
    home = (deal and deal["account_id"]) or (person and person["account_id"])
    firm, firm_is_mine = await _named(tx, accounts, actor, asked.account_id or home or None, "account_id")
    converting.fitting(firm, person, deal)
    cf = {"cf": lead["cf"]} if lead["cf"] else {}
    account = await _joined(tx, accounts, actor, firm, firm_is_mine, converting.account_of(lead) | cf)
    told = converting.contact_of(lead) | {"account_id": account["id"]} | cf
    contact = await _joined(tx, contacts, actor, person, person_is_mine, told)
    if deal is not None:
        deal = await _joined_deal(tx, actor, deal, deal_is_mine, account, contact)
    elif asked.create_opportunity:
        require(actor, "opportunities", "create")
        wish = {} if asked.opportunity in (None, UNSET) else plain(asked.opportunity)
        deal = await insert(tx, opportunities, actor, converting.deal_of(lead, wish, account, contact) | cf)
    changes = {
        "status": "converted",
        "converted_at": now,
        "converted_account_id": account["id"],
        "converted_contact_id": contact["id"],
        "converted_opportunity_id": deal and deal["id"],
    }
    stored = await update(tx, resource, actor, lead, changes, kind="lead.converted")
    return {"lead": stored, "account": account, "contact": contact, "opportunity": deal}


# Routes --------------------------------------------------------------------------------------------

OVERDUE = "coalesce(coalesce(t.first_response_at, now()) > t.response_due_at, FALSE)"

resource = Resource(
    path="/leads",
    name="lead",
    table=leads,
    draft=LeadDraft,
    patch=LeadPatch,
    item=Lead,
    references={
        "owner_id": "users",
        "campaign_id": "campaigns",
        "pool_id": "pools",
        "converted_account_id": "accounts",
        "converted_contact_id": "contacts",
        "converted_opportunity_id": "opportunities",
    },
    text=("last_name", "first_name", "company", "email"),
    extra={"is_response_overdue": OVERDUE},
    extra_kinds={"is_response_overdue": "boolean"},
    check=check,
    defaults=defaults,
    warn=alike.warning("leads"),
    prepare=prepare,
    prepare_reads=True,
)

PARTS = {"lead": resource, "account": accounts, "contact": contacts, "opportunity": opportunities}


@post(
    "/leads/{record_id:uuid}/status",
    status_code=200,
    opt={"body": StatusChange, "answer": Lead, "statuses": (409, 412)},
)
@idempotent
async def change_status(
    request: Request[Any, Any, Any],
    tx: NamedDependency[Tx],
    actor: NamedDependency[Actor],
    record_id: FromPath[UUID],
) -> Response[bytes]:
    """Gives a lead another status; unqualified needs a reason."""
    require(actor, "leads", "status")
    asked = await body(request, StatusChange)
    old = await locked(tx, resource, actor, record_id)
    check_version(expected_version(request), old["version"])
    changes = change(old, asked.to, asked.reason or None, datetime.now(UTC))
    said = {"from": old["status"], "to": asked.to}
    await update(tx, resource, actor, old, changes, kind="lead.status_changed", data=said)
    text, version = await document(tx, resource, actor, record_id)
    return answer(text, headers={"ETag": etag(version)})


@post(
    "/leads/{record_id:uuid}/convert",
    status_code=200,
    opt={"body": Conversion, "answer": Converted, "statuses": (409, 412)},
)
@idempotent
async def convert(
    request: Request[Any, Any, Any],
    tx: NamedDependency[Tx],
    actor: NamedDependency[Actor],
    record_id: FromPath[UUID],
) -> Response[bytes]:
    """Makes an account, a contact and a deal of a lead."""
    require(actor, "leads", "convert")
    asked = await body(request, Conversion)
    old = await locked(tx, resource, actor, record_id)
    check_version(expected_version(request), old["version"])
    made = await convert_lead(tx, actor, old, asked, datetime.now(UTC))
    texts = [
        f'"{name}":{(await document(tx, PARTS[name], actor, row["id"]))[0] if row else "null"}'
        for name, row in made.items()
    ]
    return answer("{" + ",".join(texts) + "}")


routes = [*crud(resource), assign(resource, fewest_open_leads, "assigned_at"), change_status, convert]
