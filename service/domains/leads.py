"""Leads: people or companies who may become customers, from the first word to conversion."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET

from service import alike, calendar
from service import columns as c
from service.access import Actor, require, visible
from service.crud import crud
from service.db import Database, Params, Tx, business_table
from service.domains import routing
from service.domains.assignment import assign
from service.errors import Conflict, Pointer
from service.idempotency import idempotent
from service.resource import Resource, Row
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
    Phone,
    Url,
    item_of,
    patch_of,
)
from service.wire import answer, body, check_version, etag, expected_version
from service.writes import document, locked, update

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
    """Routes a lead to the seller within reach, here today, who has the fewest open leads (the oldest among equals)."""
    params = Params()
    today = params.add((await calendar.company(tx)).today(datetime.now(UTC)))
    reach = "TRUE" if actor.sees_all else f"u.id = ANY({params.add(actor.owners_text)}::text::uuid[])"
    seen = visible(actor, "leads", "l", params)
    row = await tx.fetchrow(
        "SELECT u.id, u.name, (SELECT count(*) FROM leads l WHERE l.owner_id = u.id AND l.deleted_at IS NULL"
        f" AND l.status IN ('new', 'working', 'nurturing', 'qualified') AND {seen}) AS load"
        f" FROM users u WHERE u.role = 'rep' AND u.is_active AND u.deleted_at IS NULL AND {reach}"
        f" AND {today}::date BETWEEN coalesce(u.start_date, '-infinity') AND coalesce(u.end_date, 'infinity')"
        " AND NOT EXISTS (SELECT 1 FROM jsonb_array_elements(u.absences) a"
        f" WHERE {today}::date BETWEEN (a ->> 'start_date')::date AND (a ->> 'end_date')::date)"
        " ORDER BY load, u.id LIMIT 1",
        *params,
    )
    if row is None:
        raise Conflict("There is no active rep here today to give the lead to: name one as owner_id.")
    return row["id"], [f"{row['name']} has the fewest open leads: {row['load']}."]


async def prepare(run: Tx | Database, actor: Actor, new: Row, old: Row | None) -> None:
    """Who gets a lead hears by when it wants an answer: the clock of the first routing rule that holds."""
    since = new.get("assigned_at")
    if since is None or new.get("first_response_at") is not None or (old and since == old["assigned_at"]):
        return
    new["response_due_at"] = routing.due(await routing.rules_of(run, "lead"), new, since)


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


async def set_status(
    tx: Tx, actor: Actor, record_id: UUID, asked: StatusChange, expected: int | None
) -> None:
    """Moves a lead along its path, as `lead.status_changed`."""
    require(actor, "leads", "status")
    old = await locked(tx, resource, actor, record_id)
    check_version(expected, old["version"])
    changes = change(old, asked.to, asked.reason or None, datetime.now(UTC))
    said = {"from": old["status"], "to": asked.to}
    await update(tx, resource, actor, old, changes, kind="lead.status_changed", data=said)


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
    await set_status(tx, actor, record_id, asked, expected_version(request))
    text, version = await document(tx, resource, actor, record_id)
    return answer(text, headers={"ETag": etag(version)})


routes = [*crud(resource), assign(resource, fewest_open_leads, "assigned_at"), change_status]
