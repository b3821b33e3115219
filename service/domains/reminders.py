"""Reminders: a word to oneself about a record, which comes into the inbox at its time."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
from msgspec import Meta

from service import columns as c
from service import sight
from service.access import Actor
from service.crud import crud
from service.db import Database, Tx, business_table, table_named
from service.errors import Invalid
from service.resource import Resource, Row
from service.shapes import Draft, Instant, Key, item_of, patch_of

Word = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"\S")]

# Tables --------------------------------------------------------------------------------------------

reminders = business_table(
    "reminders",
    c.reference("user_id", "users", required=True),
    c.text("record_type", required=True),
    sa.Column("record_id", sa.Uuid, nullable=False),
    c.instant("remind_at", required=True),
    c.text("text", required=True),
    c.instant("fired_at"),
    c.index("ix_reminders_user_id", "user_id", "remind_at"),
    c.index("ix_reminders_due", "remind_at", where="fired_at IS NULL"),
    c.external("reminders"),
)

# Shapes --------------------------------------------------------------------------------------------


class ReminderDraft(Draft, kw_only=True):
    """About any record that one sees: `record_type` is its noun (`opportunity`, `lead`, `activity`, …)."""

    record_type: Key
    record_id: UUID
    remind_at: Instant
    text: Word


ReminderPatch = patch_of(ReminderDraft, "record_type", "record_id")
Reminder = item_of(reminders, ReminderDraft)

# Rules ---------------------------------------------------------------------------------------------


def defaults(draft: Row, actor: Actor, now: datetime) -> Row:
    """A reminder is one's own."""
    return {"user_id": actor.id}


async def prepare(run: Tx | Database, actor: Actor, new: Row, old: Row | None) -> None:
    """It is about a record that one sees; another time makes it due again."""
    if old is None:
        if table_named(new["record_type"]) is None:
            raise Invalid.at("/record_type", "there is no such kind of record")
        if not await sight.visible_ids(run, actor, new["record_type"], [new["record_id"]]):
            raise Invalid.at("/record_id", "there is no such record")
    elif new["remind_at"] != old["remind_at"]:
        new["fired_at"] = None


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/reminders",
    name="reminder",
    table=reminders,
    draft=ReminderDraft,
    patch=ReminderPatch,
    item=Reminder,
    references={"user_id": "users"},
    text=("text",),
    defaults=defaults,
    prepare=prepare,
    prepare_reads=True,
)

routes = crud(resource)
