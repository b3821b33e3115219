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
from service.crud import Resource, Row, crud
from service.db import Params, Tx, business_table
from service.errors import Pointer
from service.rules import exist, fault, owned, refuse
from service.shapes import Draft, Email, Given, Instant, Line, Maybe, item_of, patch_of

Type = Literal["email", "call", "meeting", "demo", "task", "note"]
Direction = Literal["inbound", "outbound"]
Status = Literal["planned", "completed", "canceled", "no_show"]
Outcome = Literal["connected", "voicemail", "no_answer", "replied", "bounced", "held", "rescheduled", "other"]

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
    c.items("participants"),
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
        postgresql_where=sa.text("deleted_at IS NULL AND participants <> '[]'"),
    ),
    c.index("ix_activities_occurred_at", "occurred_at"),
    c.index("ix_activities_owner_id", "owner_id", "occurred_at"),
    c.index("ix_activities_tasks", "owner_id", "due_at", where="type = 'task' AND status = 'planned'"),
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


def _sense(new: Row) -> Iterator[Pointer]:
    if new.get("source_id") is not None and new.get("source") is None:
        yield fault("source", "a source_id needs its source")
    if new.get("type") == "task" and new.get("due_at") is None:
        yield fault("due_at", "a task has a due date")
    if new.get("status") == "planned" and new.get("outcome") is not None:
        yield fault("outcome", "what is planned has no outcome yet")
    for number, someone in enumerate(new.get("participants") or ()):
        if not any(someone.get(name) for name in ("user_id", "contact_id", "lead_id", "email")):
            yield fault(f"participants/{number}", "name a user, a contact, a lead or an address")


def check(new: Row, old: Row | None) -> None:
    """A task has a due date; a plan has no outcome; every participant is somebody."""
    refuse(_sense(new))


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """An activity of a deal is one of its account too; participants exist."""
    if new.get("account_id") is None and new.get("opportunity_id") is not None:
        seen = visible(SYSTEM, "opportunities", "t", Params())
        new["account_id"] = await tx.fetchval(
            f"SELECT t.account_id FROM opportunities t WHERE t.id = $1 AND {seen}", new["opportunity_id"]
        )
    for name, table in (("user_id", "users"), ("contact_id", "contacts"), ("lead_id", "leads")):
        if old is None or new["participants"] != old["participants"]:
            named = [UUID(str(p[name])) for p in new.get("participants") or () if p.get(name)]
            await exist(tx, actor, table, "participants", named)


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
    check=check,
    defaults=defaults,
    prepare=prepare,
    after=after,
)

routes = crud(resource)
