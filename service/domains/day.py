"""The working day: what is late, due and planned today, what to do next, and what changed since yesterday.

Everything is the caller's own, by the calendar of their time zone; each part has its count and its first entries.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from service import calendar
from service.access import Actor, hidden, may, require, visible
from service.db import Database, Params
from service.domains.notifications import unread
from service.wire import answer

MOST = 20
COUNTED = 1_000
"""A count beyond this is this."""

# Shapes --------------------------------------------------------------------------------------------


class Task(msgspec.Struct, kw_only=True):
    """A task, or an item of a plan (`type` `plan_item`)."""

    id: UUID
    type: str
    subject: str | None
    due_at: datetime | None
    due_date: date | None
    opportunity_id: UUID | None
    opportunity_name: str | None
    account_id: UUID | None
    lead_id: UUID | None


class Meeting(msgspec.Struct, kw_only=True):
    id: UUID
    type: str
    subject: str | None
    occurred_at: datetime
    duration_seconds: int | None
    opportunity_id: UUID | None
    opportunity_name: str | None
    account_id: UUID | None
    lead_id: UUID | None


class Advice(msgspec.Struct, kw_only=True):
    id: UUID
    action: str
    title: str
    reason: str
    expected_value: str | None
    opportunity_id: UUID | None
    opportunity_name: str | None
    lead_id: UUID | None


class WaitingLead(msgspec.Struct, kw_only=True):
    id: UUID
    name: str
    company: str | None
    status: str
    response_due_at: datetime | None
    is_late: bool


class FieldChange(msgspec.Struct, kw_only=True):
    field: str
    old: Any
    new: Any


class DealChange(msgspec.Struct, kw_only=True):
    opportunity_id: UUID
    name: str
    known_from: datetime
    actor_id: UUID | None
    actor_name: str | None
    changes: list[FieldChange]


class FollowUp(msgspec.Struct, kw_only=True):
    id: UUID
    body: str | None
    follow_up_on: date
    opportunity_id: UUID
    opportunity_name: str


class Tasks(msgspec.Struct, kw_only=True):
    count: int
    items: list[Task]


class Meetings(msgspec.Struct, kw_only=True):
    count: int
    items: list[Meeting]


class Advices(msgspec.Struct, kw_only=True):
    count: int
    items: list[Advice]


class WaitingLeads(msgspec.Struct, kw_only=True):
    count: int
    items: list[WaitingLead]


class DealChanges(msgspec.Struct, kw_only=True):
    count: int
    items: list[DealChange]


class FollowUps(msgspec.Struct, kw_only=True):
    count: int
    items: list[FollowUp]


class Day(msgspec.Struct, kw_only=True):
    """Counts end at 1,000, each list at its first 20. `leads` wait for a first answer, the most urgent first."""

    date: date
    time_zone: str
    as_of: datetime
    overdue: Tasks
    due: Tasks
    meetings: Meetings
    recommendations: Advices
    leads: WaitingLeads
    changes: DealChanges
    follow_ups: FollowUps
    unread: int


# Rules ---------------------------------------------------------------------------------------------


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """Whose day it is, and when it begins and ends."""

    actor: Actor
    now: datetime
    zone: ZoneInfo

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    def midnight(self, days: int = 0) -> datetime:
        """The beginning of today, or of a day that many days on; right where clocks change."""
        return datetime.combine(self.today + timedelta(days=days), time(), self.zone).astimezone(UTC)


async def frame_of(database: Database, actor: Actor, now: datetime) -> Frame:
    """By the person's own time zone, else the company's; a dormant home's clock stands still."""
    own = await database.fetchval("SELECT time_zone FROM users WHERE id = $1", actor.id)
    company = await calendar.company(database)
    standing = await calendar.standing(database, now)
    return Frame(actor=actor, now=standing or now, zone=ZoneInfo(own or company.time_zone))


async def _part(database: Database, sql: str, params: Params) -> dict[str, Any]:
    """Count and first rows of an ordered statement."""
    rows = await database.fetch(
        f"WITH found AS ({sql} LIMIT {COUNTED}) SELECT f.*, (SELECT count(*) FROM found) AS count FROM found f"
        f" LIMIT {MOST}",
        *params,
    )
    items = [dict(row) for row in rows]
    count = items[0]["count"] if items else 0
    for item in items:
        item.pop("count")
    return {"count": count, "items": items}


def _text(actor: Actor, table: str, name: str) -> str:
    """A text of the row `t`, or nothing where a role hides it."""
    return "NULL::text" if name in hidden(actor, table) else f"t.{name}"


def _deal(actor: Actor, params: Params) -> str:
    """The deal beside a row, where the reader sees it."""
    seen = visible(actor, "opportunities", "o", params)
    return f"LEFT JOIN opportunities o ON o.id = t.opportunity_id AND o.deleted_at IS NULL AND {seen}"


async def tasks(database: Database, frame: Frame, *, late: bool) -> dict[str, Any]:
    """One's open tasks and items of plans: those of days past and of hours past today, or the rest of today."""
    params = Params([frame.actor.id, frame.now, frame.midnight(1), frame.today])
    deal = _deal(frame.actor, params)
    task, item = (visible(frame.actor, table, "t", params) for table in ("activities", "plan_items"))
    subject = _text(frame.actor, "activities", "subject")
    title = _text(frame.actor, "plan_items", "title")
    when = "t.due_at < $2" if late else "t.due_at >= $2 AND t.due_at < $3"
    day = "t.due_date < $4" if late else "t.due_date = $4"
    unused = (
        "$2::timestamptz IS NOT NULL AND $3::timestamptz IS NOT NULL"  # both texts take the same parameters
    )
    sql = f"""
        SELECT * FROM (
            SELECT t.id, t.type, {subject} AS subject, t.due_at, NULL::date AS due_date, t.opportunity_id,
                   o.name AS opportunity_name, t.account_id, t.lead_id, t.due_at AS at
            FROM activities t {deal}
            WHERE t.owner_id = $1 AND t.type = 'task' AND t.status = 'planned' AND t.deleted_at IS NULL
              AND {when} AND {task}
            UNION ALL
            SELECT t.id, 'plan_item', {title}, NULL, t.due_date, t.opportunity_id, o.name, o.account_id, NULL,
                   t.due_date::timestamptz
            FROM plan_items t {deal}
            WHERE t.user_id = $1 AND t.status = 'open' AND t.deleted_at IS NULL AND {day} AND {item} AND {unused}
        ) both_kinds ORDER BY at, id"""
    part = await _part(database, sql, params)
    for row in part["items"]:
        row.pop("at")
    return part


async def meetings(database: Database, frame: Frame) -> dict[str, Any]:
    """Today's planned meetings, demos and calls that one owns or takes part in."""
    params = Params([frame.actor.id, frame.midnight(), frame.midnight(1), [{"user_id": str(frame.actor.id)}]])
    sql = f"""
        SELECT t.id, t.type, {_text(frame.actor, "activities", "subject")} AS subject, t.occurred_at, t.duration_seconds, t.opportunity_id,
               o.name AS opportunity_name, t.account_id, t.lead_id
        FROM activities t {_deal(frame.actor, params)}
        WHERE t.status = 'planned' AND t.type IN ('meeting', 'demo', 'call') AND t.deleted_at IS NULL
          AND t.occurred_at >= $2 AND t.occurred_at < $3 AND (t.owner_id = $1 OR t.participants @> $4::jsonb)
          AND {visible(frame.actor, "activities", "t", params)}
        ORDER BY t.occurred_at, t.id"""
    return await _part(database, sql, params)


async def recommendations(database: Database, frame: Frame) -> dict[str, Any]:
    """Open recommendations on one's own deals and leads: what is worth most first."""
    params = Params([frame.actor.id])
    deal, lead = (visible(frame.actor, table, "p", params) for table in ("opportunities", "leads"))
    seen = visible(frame.actor, "recommendations", "r", params)
    shown = "r.id, r.action, r.title, r.reason, r.expected_value::text AS expected_value, r.opportunity_id"
    open_ones = f"r.status = 'open' AND r.deleted_at IS NULL AND {seen}"
    sql = f"""
        SELECT id, action, title, reason, expected_value, opportunity_id, opportunity_name, lead_id FROM (
            SELECT {shown}, p.name AS opportunity_name, NULL::uuid AS lead_id, r.expected_value AS worth, r.rank
            FROM opportunities p JOIN recommendations r ON r.opportunity_id = p.id
            WHERE p.owner_id = $1 AND p.status = 'open' AND p.deleted_at IS NULL AND {deal} AND {open_ones}
            UNION ALL
            SELECT {shown}, NULL, r.lead_id, r.expected_value, r.rank
            FROM leads p JOIN recommendations r ON r.lead_id = p.id
            WHERE p.owner_id = $1 AND p.deleted_at IS NULL AND {lead} AND {open_ones}
        ) mine ORDER BY worth DESC NULLS LAST, rank, id"""
    return await _part(database, sql, params)


async def leads(database: Database, frame: Frame) -> dict[str, Any]:
    """One's leads that nobody has answered: those with a time to answer by first."""
    params = Params([frame.actor.id, frame.now])
    first, company = (_text(frame.actor, "leads", name) for name in ("first_name", "company"))
    sql = f"""
        SELECT t.id, coalesce(nullif(concat_ws(' ', {first}, t.last_name), ''), {company}, 'A lead') AS name,
               {company} AS company, t.status, t.response_due_at, coalesce(t.response_due_at < $2, FALSE) AS is_late
        FROM leads t
        WHERE t.owner_id = $1 AND t.deleted_at IS NULL AND t.first_response_at IS NULL
          AND (t.status = 'new' OR t.status = 'working' AND t.response_due_at IS NOT NULL)
          AND {visible(frame.actor, "leads", "t", params)}
        ORDER BY t.response_due_at NULLS LAST, t.id"""
    return await _part(database, sql, params)


async def follow_ups(database: Database, frame: Frame) -> dict[str, Any]:
    """One's inspection notes whose day to look again has come, while the deal is open."""
    params = Params([frame.actor.id, frame.today])
    sql = f"""
        SELECT t.id, {_text(frame.actor, "notes", "body")} AS body, t.follow_up_on, t.opportunity_id, o.name AS opportunity_name
        FROM notes t JOIN opportunities o ON o.id = t.opportunity_id AND o.deleted_at IS NULL AND o.status = 'open'
          AND {visible(frame.actor, "opportunities", "o", params)}
        WHERE t.created_by_id = $1 AND t.follow_up_on <= $2 AND t.deleted_at IS NULL
          AND {visible(frame.actor, "notes", "t", params)}
        ORDER BY t.follow_up_on, t.id"""
    return await _part(database, sql, params)


COMPARED = (
    "name",
    "stage",
    "status",
    "amount",
    "currency",
    "close_date",
    "forecast_category",
    "next_step",
    "owner_id",
)

_CHANGES = """
SELECT h.id AS opportunity_id, t.name, h.known_from, e.actor_id, u.name AS actor_name, {pairs}
FROM opportunities t
JOIN history.opportunities h ON h.id = t.id AND h.known_from >= $2 AND h.version > 1
JOIN history.opportunities b ON b.id = h.id AND b.version = h.version - 1
LEFT JOIN ledger.events e ON e.id = h.event_id LEFT JOIN users u ON u.id = e.actor_id
WHERE t.owner_id = $1 AND t.deleted_at IS NULL AND ({differs}) AND {seen}
ORDER BY h.known_from DESC, h.id"""


async def changes(database: Database, frame: Frame) -> dict[str, Any]:
    """What changed on one's deals since the beginning of yesterday, newest first, by whomever."""
    fields = [name for name in COMPARED if name not in hidden(frame.actor, "opportunities")]
    params = Params([frame.actor.id, frame.midnight(-1)])
    part = await _part(
        database,
        _CHANGES.format(
            pairs=", ".join(f"b.{name} AS old_{name}, h.{name} AS new_{name}" for name in fields),
            differs=" OR ".join(f"b.{name} IS DISTINCT FROM h.{name}" for name in fields) or "FALSE",
            seen=visible(frame.actor, "opportunities", "t", params),
        ),
        params,
    )
    for row in part["items"]:
        pairs = [(name, row.pop(f"old_{name}"), row.pop(f"new_{name}")) for name in fields]
        row["changes"] = [{"field": name, "old": old, "new": new} for name, old, new in pairs if old != new]
    return part


Part = Callable[[Database, Frame], Coroutine[Any, Any, dict[str, Any]]]

PARTS: dict[str, tuple[str, Part]] = {
    "overdue": ("activities", partial(tasks, late=True)),
    "due": ("activities", partial(tasks, late=False)),
    "meetings": ("activities", meetings),
    "recommendations": ("recommendations", recommendations),
    "leads": ("leads", leads),
    "changes": ("opportunities", changes),
    "follow_ups": ("notes", follow_ups),
}
"""Part → what one must be allowed to read to have it, and what finds it."""


async def day(database: Database, actor: Actor, now: datetime) -> dict[str, Any]:
    """The whole day of a person, its parts asked side by side; a part that one may not read is empty."""
    frame = await frame_of(database, actor, now)
    async with asyncio.TaskGroup() as group:
        asked = {
            name: group.create_task(find(database, frame))
            for name, (resource, find) in PARTS.items()
            if may(actor, resource, "read")
        }
        waiting = group.create_task(unread(database, actor))
    parts = {name: asked[name].result() if name in asked else {"count": 0, "items": []} for name in PARTS}
    return {
        "date": frame.today, "time_zone": frame.zone.key, "as_of": frame.now, **parts, "unread": waiting.result(),
    }  # fmt: skip


# Routes --------------------------------------------------------------------------------------------


@get("/me/day", opt={"answer": Day})
async def my_day(database: NamedDependency[Database], actor: NamedDependency[Actor]) -> Response[bytes]:
    """The caller's working day."""
    require(actor, "me", "read")
    return answer(await day(database, actor, datetime.now(UTC)))


routes = [my_day]
