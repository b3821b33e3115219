"""Conversion: a lead becomes an account, a contact and a deal, new ones or some that are there, as one change set."""

from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET

from service import alike, converting, custom
from service.access import Actor, hidden, may, read_only, require, visible
from service.db import Params, Tx, to_json
from service.domains.accounts import Account
from service.domains.accounts import resource as accounts
from service.domains.contacts import Contact
from service.domains.contacts import resource as contacts
from service.domains.leads import Lead
from service.domains.leads import resource as leads
from service.domains.opportunities import Opportunity, StageKey
from service.domains.opportunities import resource as opportunities
from service.errors import Invalid
from service.idempotency import idempotent
from service.resource import Resource, Row, plain
from service.shapes import Currency, Given, Maybe, Money, Name
from service.wire import answer, body, check_version, expected_version
from service.writes import document, insert, locked, update

PARTS = {"lead": leads, "account": accounts, "contact": contacts, "opportunity": opportunities}

# Shapes --------------------------------------------------------------------------------------------


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


class Resembling(msgspec.Struct, kw_only=True):
    """Records that were here before and may be the ones that the conversion made, the likeliest first."""

    account: list[alike.Candidate] = []
    contact: list[alike.Candidate] = []


class Converted(msgspec.Struct, kw_only=True):
    lead: Lead  # type: ignore[valid-type]  # made from the Draft
    account: Account  # type: ignore[valid-type]
    contact: Contact  # type: ignore[valid-type]
    opportunity: Opportunity | None  # type: ignore[valid-type]
    duplicates: Resembling


# Rules ---------------------------------------------------------------------------------------------


class Made(NamedTuple):
    """The lead, and what it became; `fresh` names the parts that were not there before."""

    parts: dict[str, Row | None]
    fresh: frozenset[str]


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


async def _same(tx: Tx, table: str, lead: Row) -> Row:
    """The lead's custom values under the keys that the other record defines alike."""
    own, other = await custom.of(tx, "leads"), await custom.of(tx, table)
    kept = {
        key: value
        for key, value in lead["cf"].items()
        if key in own and key in other and own[key].type == other[key].type
    }
    return {"cf": kept} if kept else {}


async def _joined(tx: Tx, of: Resource, actor: Actor, record: Row | None, mine: bool, told: Row) -> Row:
    """A new record of what the lead told, or the one there is, which learns what it did not know."""
    told = {name: value for name, value in told.items() if name not in _kept_from(actor, of)}
    if record is None:
        require(actor, of.key, "create")
        return await insert(tx, of, actor, told)
    return await update(tx, of, actor, record, converting.filled(record, told)) if mine else record


def _kept_from(actor: Actor, of: Resource) -> frozenset[str]:
    """What this actor may not write there, and so does not write by way of a lead either."""
    return hidden(actor, of.key) | read_only(actor, of.key)


async def _joined_deal(tx: Tx, actor: Actor, deal: Row, mine: bool, account: Row, contact: Row) -> Row:
    """The deal there is, with the account and the contact that it lacked."""
    if not mine:
        raise Invalid.at("/opportunity_id", "is not yours to change")
    found = {"account_id": account["id"], "primary_contact_id": contact["id"]}
    changes = {name: value for name, value in found.items() if deal[name] is None}
    return await update(tx, opportunities, actor, deal, changes) if changes else deal


async def convert_lead(tx: Tx, actor: Actor, lead: Row, asked: Conversion, now: datetime) -> Made:
    """Account, contact and deal of a locked lead, which becomes converted: one transaction, one change set."""
    converting.convertible(lead)
    deal, deal_is_mine = await _named(
        tx, opportunities, actor, asked.opportunity_id or None, "opportunity_id"
    )
    person, person_is_mine = await _named(tx, contacts, actor, asked.contact_id or None, "contact_id")
    home = (deal and deal["account_id"]) or (person and person["account_id"])
    firm, firm_is_mine = await _named(tx, accounts, actor, asked.account_id or home or None, "account_id")
    converting.fitting(firm, person, deal)
    account = await _joined(
        tx,
        accounts,
        actor,
        firm,
        firm_is_mine,
        converting.account_of(lead) | await _same(tx, "accounts", lead),
    )
    told = converting.contact_of(lead) | {"account_id": account["id"]} | await _same(tx, "contacts", lead)
    contact = await _joined(tx, contacts, actor, person, person_is_mine, told)
    if deal is not None:
        deal = await _joined_deal(tx, actor, deal, deal_is_mine, account, contact)
    elif asked.create_opportunity:
        require(actor, "opportunities", "create")
        wish = {} if asked.opportunity in (None, UNSET) else plain(asked.opportunity)
        told = converting.deal_of(lead, account, contact) | await _same(tx, "opportunities", lead)
        kept_from = _kept_from(actor, opportunities)
        told = {name: value for name, value in told.items() if name not in kept_from}
        deal = await insert(tx, opportunities, actor, told | wish)
    changes = {
        "status": "converted",
        "converted_at": now,
        "converted_account_id": account["id"],
        "converted_contact_id": contact["id"],
        "converted_opportunity_id": deal and deal["id"],
    }
    stored = await update(tx, leads, actor, lead, changes, kind="lead.converted")
    made = {"account": firm is None, "contact": person is None}
    return Made(
        {"lead": stored, "account": account, "contact": contact, "opportunity": deal},
        frozenset(name for name, is_new in made.items() if is_new),
    )


async def _resembling(tx: Tx, actor: Actor, made: Made) -> Resembling:
    """What the new account and the new contact look like; of what was joined nothing is asked."""
    found: dict[str, list[alike.Candidate]] = {}
    if may(actor, "duplicates", "read"):
        for name in sorted(made.fresh):
            row = made.parts[name] or {}
            like = await alike.candidates(tx, actor, PARTS[name].key, row, to_warn=True)
            found[name] = like[: alike.MOST_WARNED]
    return Resembling(**found)


# Routes --------------------------------------------------------------------------------------------


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
    old = await locked(tx, leads, actor, record_id)
    check_version(expected_version(request), old["version"])
    made = await convert_lead(tx, actor, old, asked, datetime.now(UTC))
    like = await _resembling(tx, actor, made)
    texts = [
        f'"{name}":{(await document(tx, PARTS[name], actor, row["id"]))[0] if row else "null"}'
        for name, row in made.parts.items()
    ]
    texts.append(f'"duplicates":{to_json(like)}')
    return answer("{" + ",".join(texts) + "}")


routes = [convert]
