"""Activities: mails, calls, meetings, demos and tasks, done or planned, with the people who took part."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, Meta

from service import columns as c
from service.access import SYSTEM, Actor, visible
from service.crud import crud
from service.db import Params, Tx, business_table
from service.errors import Conflict, Invalid, Pointer
from service.resource import Resource, Row
from service.rules import exist, fault, owned, refuse
from service.shapes import Draft, Email, Given, Instant, Line, Maybe, item_of, patch_of

Type = Literal["email", "call", "meeting", "demo", "task", "note"]
Direction = Literal["inbound", "outbound"]
Status = Literal["planned", "completed", "canceled", "no_show"]
Outcome = Literal["connected", "voicemail", "no_answer", "replied", "bounced", "held", "rescheduled", "other"]

PEOPLE = {"user_id": "users", "contact_id": "contacts", "lead_id": "leads"}
"""Who takes part, on our side and on theirs."""
DIRECTED = ("email", "call", "meeting", "demo")
_MEETING = ("held", "rescheduled", "other")
OUTCOMES: dict[str, tuple[str, ...]] = {
    "email": ("replied", "bounced", "other"),
    "call": ("connected", "voicemail", "no_answer", "rescheduled", "other"),
    "meeting": _MEETING,
    "demo": _MEETING,
    "task": ("other",),
    "note": ("other",),
}

# Tables --------------------------------------------------------------------------------------------

activities = business_table(
    "activities",
    c.word("type", Type, required=True),
    c.instant("occurred_at", required=True),
    c.instant("due_at"),
    c.text("subject"),
    c.text("body"),
    c.word("direction", Direction),
    c.word("status", Status, default="completed"),
    c.word("outcome", Outcome),
    c.whole("duration_seconds"),
    c.reference("owner_id", "users"),
    c.reference("account_id", "accounts"),
    c.reference("opportunity_id", "opportunities"),
    c.reference("lead_id", "leads"),
    c.reference("contact_id", "contacts"),
    c.loose("recommendation_id"),
    c.text("thread_id"),
    c.items("participants", ids_in=PEOPLE),
    c.text("source"),
    c.text("source_id"),
    c.index("uq_activities_source", "source", "source_id", unique=True, where="source_id IS NOT NULL"),
    c.index(
        "ix_activities_opportunity_id", "opportunity_id", "occurred_at", where="opportunity_id IS NOT NULL"
    ),
    c.index("ix_activities_account_id", "account_id", "occurred_at", where="account_id IS NOT NULL"),
    c.index("ix_activities_lead_id", "lead_id", "occurred_at", where="lead_id IS NOT NULL"),
    c.index("ix_activities_contact_id", "contact_id", "occurred_at", where="contact_id IS NOT NULL"),
    sa.Index(
        "ix_activities_participants",
        "participants",
        postgresql_using="gin",
        postgresql_ops={"participants": "jsonb_path_ops"},
        postgresql_with={
            "fastupdate": "off"
        },  # a list of what is not yet sorted in would be read by every look
        postgresql_where=sa.text("deleted_at IS NULL AND participants <> '[]'"),
    ),
    c.index("ix_activities_occurred_at", "occurred_at"),
    c.index("ix_activities_owner_id", "owner_id", "occurred_at"),
    c.index("ix_activities_tasks", "owner_id", "due_at", where="type = 'task' AND status = 'planned'"),
    c.index(
        "ix_activities_meetings",
        "occurred_at",
        where="status = 'planned' AND type IN ('meeting', 'demo', 'call')",
    ),
    c.external("activities"),
)

# Shapes --------------------------------------------------------------------------------------------


class Participant(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A user, a contact, a lead, or just an address."""

    user_id: UUID | None = None
    contact_id: UUID | None = None
    lead_id: UUID | None = None
    email: Email | None = None
    name: Line | None = None
    role: Literal["from", "to", "cc", "organizer", "attendee"] | None = None


class ActivityDraft(Draft, kw_only=True):
    """`source` with `source_id` names the record where it was captured, so that it is captured once."""

    type: Type
    occurred_at: Given[Instant] = UNSET
    due_at: Maybe[Instant] = UNSET
    subject: Maybe[Annotated[str, Meta(max_length=1000)]] = UNSET
    body: Maybe[Annotated[str, Meta(max_length=200_000)]] = UNSET
    direction: Maybe[Direction] = UNSET
    status: Given[Status] = UNSET
    outcome: Maybe[Outcome] = UNSET
    duration_seconds: Maybe[Annotated[int, Meta(ge=0, le=31_536_000)]] = UNSET
    owner_id: Maybe[UUID] = UNSET
    account_id: Maybe[UUID] = UNSET
    opportunity_id: Maybe[UUID] = UNSET
    lead_id: Maybe[UUID] = UNSET
    contact_id: Maybe[UUID] = UNSET
    recommendation_id: Maybe[UUID] = UNSET
    thread_id: Maybe[Line] = UNSET
    participants: Given[Annotated[list[Participant], Meta(max_length=200)]] = UNSET
    source: Maybe[Annotated[str, Meta(min_length=1, max_length=64)]] = UNSET
    source_id: Maybe[Annotated[str, Meta(min_length=1, max_length=255)]] = UNSET


ActivityPatch = patch_of(ActivityDraft)
Activity = item_of(activities, ActivityDraft)

# Rules ---------------------------------------------------------------------------------------------


def defaults(draft: Row, actor: Actor, now: datetime) -> Row:
    """A task takes its due date as its time; what lies ahead is planned, what is behind completed."""
    when = draft.get("occurred_at") or (draft.get("due_at") if draft["type"] == "task" else None)
    if when is None:
        needed = "due_at" if draft["type"] == "task" else "occurred_at"
        refuse([fault(needed, f"Object missing required field `{needed}`")])
    ahead = when is not None and (when > now or draft["type"] == "task")
    status = draft.get("status") or ("planned" if ahead else "completed")
    return owned(draft, actor, now) | {"occurred_at": when, "status": status}


RULED = ("type", "direction", "status", "outcome", "duration_seconds", "participants")
"""What is judged where it is new or changed: what was kept before a rule stays as it is."""


def _due(new: Row) -> Iterator[Pointer]:
    if new.get("source_id") is not None and new.get("source") is None:
        yield fault("source", "a source_id needs its source")
    if new.get("type") == "task" and new.get("due_at") is None:
        yield fault("due_at", "a task has a due date")


def _sense(new: Row) -> Iterator[Pointer]:
    """What a type of activity can have: a note has no direction, a mail no duration, a call is not held."""
    kind, status, outcome = new["type"], new.get("status"), new.get("outcome")
    if new.get("direction") is not None and kind not in DIRECTED:
        yield fault("direction", f"a {kind} has none")
    if new.get("duration_seconds") and kind in ("email", "note"):
        yield fault("duration_seconds", f"a{'n' * (kind == 'email')} {kind} has none")
    if outcome is None:
        return
    if status == "planned":
        yield fault("outcome", "what is planned has no outcome yet")
    elif outcome not in OUTCOMES[kind]:
        yield fault("outcome", f"of a {kind} is {' or '.join(OUTCOMES[kind])}")
    elif status in ("canceled", "no_show") and outcome not in ("rescheduled", "other"):
        yield fault("outcome", f"of what was {status} is rescheduled or other")


def _participants(new: Row) -> Iterator[Pointer]:
    """Everybody is somebody, once; a mail has one sender, a meeting one organizer."""
    seen: set[tuple[str, str]] = set()
    leaders = {"from": 0, "organizer": 0}
    for number, someone in enumerate(new.get("participants") or ()):
        who = [(name, str(someone[name])) for name in PEOPLE if someone.get(name)]
        if not who and not someone.get("email"):
            yield fault(f"participants/{number}", "name a user, a contact, a lead or an address")
        elif len(who) > 1:
            yield fault(f"participants/{number}", "is one of a user, a contact and a lead")
        identity = who[0] if who else ("email", str(someone.get("email")).lower())
        if identity in seen:
            yield fault(f"participants/{number}", "takes part already")
        seen.add(identity)
        if (role := someone.get("role")) in leaders:
            leaders[role] += 1
            if leaders[role] > 1:
                yield fault(f"participants/{number}/role", f"there is one {role} already")


def check(new: Row, old: Row | None) -> None:
    """A task has a due date; outcome and duration fit the type; every participant is somebody."""
    judged = old is None or any(new.get(name) != old.get(name) for name in RULED)
    refuse(_due(new), *([_sense(new), _participants(new)] if judged else []))


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Participants exist; what follows from them and from the deal; who wants no calls is not going to be called."""
    if old is None or new["participants"] != old["participants"]:
        await _participants_exist(tx, actor, new.get("participants") or [])
    if new.get("contact_id") is None:
        people = {p["contact_id"] for p in new.get("participants") or () if p.get("contact_id")}
        new["contact_id"] = UUID(str(people.pop())) if len(people) == 1 else None
    if new.get("account_id") is None:
        new["account_id"] = await _account_of(tx, new)
    await _respect_wishes(tx, new, old)


async def _participants_exist(tx: Tx, actor: Actor, participants: list[Row]) -> None:
    for name, table in PEOPLE.items():
        places = [number for number, one in enumerate(participants) if one.get(name)]
        try:
            await exist(tx, actor, table, "participants", [UUID(str(participants[n][name])) for n in places])
        except Invalid as error:
            place = places[int(error.errors[0]["pointer"].rsplit("/", 1)[-1])]
            raise Invalid.at(f"/participants/{place}/{name}", "there is no such record") from None


async def _account_of(tx: Tx, new: Row) -> UUID | None:
    """An activity of a deal, or of a contact, is one of its account too."""
    for name, table in (("opportunity_id", "opportunities"), ("contact_id", "contacts")):
        if new.get(name) is not None:
            seen = visible(SYSTEM, table, "t", Params())
            found: UUID | None = await tx.fetchval(
                f"SELECT t.account_id FROM {table} t WHERE t.id = $1 AND {seen}", new[name]
            )
            return found
    return None


_WISHES = (
    "SELECT coalesce(bool_or(email_opt_out), FALSE) AS email, coalesce(bool_or(do_not_call), FALSE) AS call FROM ("
    f" SELECT t.email_opt_out, t.do_not_call FROM leads t WHERE t.id = $1 AND {visible(SYSTEM, 'leads', 't', Params())}"
    " UNION ALL SELECT t.email_opt_out, t.do_not_call FROM contacts t"
    f" WHERE t.id = $2 AND {visible(SYSTEM, 'contacts', 't', Params())}) w"
)


async def _respect_wishes(tx: Tx, new: Row, old: Row | None) -> None:
    """A mail or a call is not planned to who asked for none; what took place is kept as it was."""
    plan = ("type", "direction", "status", "lead_id", "contact_id")
    asked = new["type"] in ("email", "call") and new.get("direction") == "outbound"
    if not asked or new["status"] != "planned" or (old and all(new[name] == old[name] for name in plan)):
        return
    wishes = await tx.fetchrow(_WISHES, new.get("lead_id"), new.get("contact_id"))
    if wishes[new["type"]]:
        said = "has opted out of mail" if new["type"] == "email" else "does not want to be called"
        name = "lead_id" if new.get("lead_id") else "contact_id"
        raise Conflict(f"/{name}: {said}", errors=[fault(name, said)])


async def after(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """The first word that goes out to a lead is its first response."""
    spoke = new["lead_id"] and new["status"] == "completed" and new["direction"] == "outbound"
    if spoke and new["deleted_at"] is None:
        seen = visible(SYSTEM, "leads", "t", Params())
        await tx.execute(
            "UPDATE leads t SET first_response_at = $2, version = version + 1, updated_at = clock_timestamp()"
            f" WHERE t.id = $1 AND t.first_response_at IS NULL AND t.created_at <= $2 AND {seen}",
            new["lead_id"],
            new["occurred_at"],
        )


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/activities",
    name="activity",
    table=activities,
    draft=ActivityDraft,
    patch=ActivityPatch,
    item=Activity,
    references={
        "owner_id": "users",
        "account_id": "accounts",
        "opportunity_id": "opportunities",
        "lead_id": "leads",
        "contact_id": "contacts",
    },
    text=("subject", "body"),
    once=("source", "source_id"),
    check=check,
    defaults=defaults,
    prepare=prepare,
    after=after,
)

routes = crud(resource)
