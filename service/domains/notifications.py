"""Notifications: the inbox of a person, and what goes into it, by mail, or nowhere."""

from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from service import columns as c
from service import query
from service.access import Actor, require, visible
from service.db import INSTANT, Database, Params, Tx, metadata
from service.errors import BadRequest, NotFound
from service.query import Source
from service.querystring import ROWS
from service.wire import Web, answer, body, etag

Kind = Literal["mention", "assignment", "task_due", "reminder", "room_activity", "deal_changed", "follow_up"]
Channel = Literal["inbox", "mail", "off"]
KINDS: tuple[str, ...] = get_args(Kind)

# Tables --------------------------------------------------------------------------------------------

notifications = sa.Table(
    "notifications",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("deleted_at", INSTANT),
    sa.Column("user_id", sa.Uuid, nullable=False),
    c.word("kind", Kind, required=True),
    c.text("text", required=True),
    c.text("record_type"),
    c.loose("record_id"),
    c.loose("opportunity_id"),
    c.loose("actor_id"),
    c.text("key", required=True),
    c.instant("read_at"),
    c.instant("mailed_at"),
    sa.Index("uq_notifications_key", "user_id", "key", unique=True),
    sa.Index("ix_notifications_user_id", "user_id", "id", postgresql_where=c.LIVE),
    sa.Index(
        "ix_notifications_unread",
        "user_id",
        postgresql_where=sa.text("deleted_at IS NULL AND read_at IS NULL"),
    ),
    info={"guarded": True},
)
"""Derived from what happened, so without a history. `key` makes each of them once, however often a job runs."""

preferences = sa.Table(
    "notification_preferences",
    metadata,
    sa.Column("user_id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("channel", sa.Text, nullable=False),
    sa.CheckConstraint("channel IN ('inbox', 'mail', 'off')", name="channel"),
)

# Shapes --------------------------------------------------------------------------------------------


class Notification(msgspec.Struct, kw_only=True):
    """`record_type` and `record_id` name what it is about, `opportunity_id` the deal that this belongs to."""

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    user_id: UUID
    kind: Kind
    text: str
    record_type: str | None
    record_id: UUID | None
    opportunity_id: UUID | None
    actor_id: UUID | None
    read_at: datetime | None
    mailed_at: datetime | None


class Notifications(msgspec.Struct, kw_only=True):
    items: list[Notification]
    next: str | None


class Preferences(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where each kind goes: into the inbox, there and by mail, or nowhere."""

    mention: Channel = "inbox"
    assignment: Channel = "inbox"
    task_due: Channel = "inbox"
    reminder: Channel = "inbox"
    room_activity: Channel = "inbox"
    deal_changed: Channel = "inbox"
    follow_up: Channel = "inbox"


class Read(msgspec.Struct, kw_only=True):
    """How many were unread."""

    read: int


# Rules ---------------------------------------------------------------------------------------------

source = Source(
    table="notifications",
    references={"actor_id": "users", "opportunity_id": "opportunities"},
    text=("text",),
)
SHOWN = [field.name for field in msgspec.structs.fields(Notification)]


def _asked(request: Web) -> query.Request:
    asked = query.parse(request.scope["query_string"])
    if asked.as_of is not None:
        raise BadRequest("as_of: notifications have no history.")
    asked.fields = asked.fields if asked.fields is not None else SHOWN
    return asked


async def unread(database: Database, actor: Actor) -> int:
    """How many of one's notifications are unread."""
    params = Params()
    seen = visible(actor, "notifications", "t", params)
    found: int = await database.fetchval(
        f"SELECT count(*) FROM notifications t WHERE t.read_at IS NULL AND t.deleted_at IS NULL AND {seen}",
        *params,
    )
    return found


async def mark(tx: Tx, actor: Actor, change: str, record_id: UUID | None = None) -> int:
    """Changes one's notifications, or one of them; how many there were."""
    params = Params()
    seen = visible(actor, "notifications", "t", params)
    one = f" AND t.id = {params.add(record_id)}" if record_id else ""
    done = await tx.execute(
        f"UPDATE notifications t SET {change}, version = version + 1, updated_at = now()"
        f" WHERE t.deleted_at IS NULL AND {seen}{one}",
        *params,
    )
    return int(done.split()[-1])


async def preferences_of(run: Database | Tx, user_id: UUID) -> Preferences:
    rows = await run.fetch("SELECT kind, channel FROM notification_preferences WHERE user_id = $1", user_id)
    return Preferences(**{row["kind"]: row["channel"] for row in rows if row["kind"] in KINDS})


async def prefer(tx: Tx, user_id: UUID, wanted: Preferences) -> None:
    """Stores where each kind goes."""
    await tx.execute(
        "INSERT INTO notification_preferences (user_id, kind, channel)"
        " SELECT $1, k, c FROM unnest($2::text[], $3::text[]) AS x(k, c)"
        " ON CONFLICT (user_id, kind) DO UPDATE SET channel = excluded.channel",
        user_id,
        list(KINDS),
        [getattr(wanted, kind) for kind in KINDS],
    )


# Routes --------------------------------------------------------------------------------------------


@get("/notifications", opt={"answer": Notifications, "query": tuple(sorted(ROWS - {"as_of"}))})
async def many(
    request: Web, database: NamedDependency[Database], actor: NamedDependency[Actor]
) -> Response[bytes]:
    """One's own notifications, newest first; `?read_at[is_null]=true` for the unread."""
    require(actor, "notifications", "read")
    asked = _asked(request)
    asked.sort = asked.sort or [("created_at", True)]
    return answer((await query.run(database, source, actor, asked)).body)


async def _one(run: Database | Tx, actor: Actor, record_id: UUID) -> Response[bytes]:
    found = await query.one(run, source, actor, record_id, query.Request(fields=SHOWN))
    if found is None:
        raise NotFound("There is no such notification.")
    return answer(found[0], headers={"ETag": etag(found[1])})


@get("/notifications/{record_id:uuid}", opt={"answer": Notification})
async def one(
    database: NamedDependency[Database], actor: NamedDependency[Actor], record_id: FromPath[UUID]
) -> Response[bytes]:
    """One of one's own notifications."""
    require(actor, "notifications", "read")
    return await _one(database, actor, record_id)


@post("/notifications/{record_id:uuid}/read", status_code=200, opt={"answer": Notification})
async def read(
    tx: NamedDependency[Tx], actor: NamedDependency[Actor], record_id: FromPath[UUID]
) -> Response[bytes]:
    """Marks a notification as read; once is enough, again does no harm."""
    require(actor, "notifications", "update")
    await mark(tx, actor, "read_at = coalesce(read_at, now())", record_id)
    return await _one(tx, actor, record_id)


@post("/notifications/read-all", status_code=200, opt={"answer": Read})
async def read_all(tx: NamedDependency[Tx], actor: NamedDependency[Actor]) -> Response[bytes]:
    """Marks all of one's notifications as read."""
    require(actor, "notifications", "update")
    params = Params()
    seen = visible(actor, "notifications", "t", params)
    done = await tx.execute(
        "UPDATE notifications t SET read_at = now(), version = version + 1, updated_at = now()"
        f" WHERE t.read_at IS NULL AND t.deleted_at IS NULL AND {seen}",
        *params,
    )
    return answer({"read": int(done.split()[-1])})


@delete("/notifications/{record_id:uuid}", status_code=204, opt={"statuses": (404,)})
async def gone(tx: NamedDependency[Tx], actor: NamedDependency[Actor], record_id: FromPath[UUID]) -> None:
    """Takes a notification out of the inbox."""
    require(actor, "notifications", "delete")
    if not await mark(tx, actor, "deleted_at = now()", record_id):
        raise NotFound("There is no such notification.")


@get("/notifications/preferences", opt={"answer": Preferences})
async def chosen(database: NamedDependency[Database], actor: NamedDependency[Actor]) -> Response[bytes]:
    """Where each kind of notification goes for the caller."""
    require(actor, "notifications", "read")
    return answer(await preferences_of(database, _person(actor)))


@put("/notifications/preferences", opt={"body": Preferences, "answer": Preferences})
async def choose(request: Web, tx: NamedDependency[Tx], actor: NamedDependency[Actor]) -> Response[bytes]:
    """Sets where each kind goes; a kind that is left out goes into the inbox."""
    require(actor, "notifications", "update")
    wanted = await body(request, Preferences)
    await prefer(tx, _person(actor), wanted)
    return answer(wanted)


def _person(actor: Actor) -> UUID:
    if actor.id is None:
        raise BadRequest("Preferences are a person's.")
    return actor.id


routes: list[Any] = [many, one, read, read_all, gone, chosen, choose]
