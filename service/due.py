"""What the clock puts into inboxes (reminders, tasks, items of plans, follow-ups), and what is mailed of it."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from service import calendar, ledger, mail
from service.access import SYSTEM, visible
from service.db import Database, Params
from service.inbox import Notice, put, quoted, seen
from service.jobs import Job
from service.settings import Settings
from service.worker import Handler

MOST_DUE = 500

_REMINDERS = f"""
SELECT t.id, t.user_id, t.record_type, t.record_id, t.remind_at, t.text, t.version FROM reminders t
WHERE t.fired_at IS NULL AND t.remind_at <= $1 AND t.deleted_at IS NULL AND {seen("reminders", "t")}
ORDER BY t.remind_at LIMIT {MOST_DUE}"""

_UNTOLD = """NOT EXISTS (SELECT 1 FROM notifications n WHERE n.user_id = {user} AND n.key = {key} /* access:notifications */)
AND NOT EXISTS (SELECT 1 FROM notification_preferences p
    WHERE p.user_id = {user} AND p.kind = '{kind}' AND p.channel = 'off')"""

_TASK_KEY = "'due:' || t.id || ':' || extract(epoch FROM t.due_at)"
_TASKS = f"""
SELECT t.id, u.id AS user_id, t.subject, t.opportunity_id, {_TASK_KEY} AS key FROM users u
JOIN activities t ON t.owner_id = u.id AND t.type = 'task' AND t.status = 'planned' AND t.deleted_at IS NULL
    AND t.due_at <= $1 AND t.due_at > $1 - interval '2 days' AND {seen("activities", "t")}
WHERE u.is_active AND u.deleted_at IS NULL AND {_UNTOLD.format(user="u.id", key=_TASK_KEY, kind="task_due")}
ORDER BY t.due_at LIMIT {MOST_DUE}"""

_ITEM_KEY = "'due:' || t.id || ':' || t.due_date"
_ITEMS = f"""
SELECT t.id, u.id AS user_id, t.title, t.opportunity_id, {_ITEM_KEY} AS key FROM users u
JOIN plan_items t ON t.user_id = u.id AND t.status = 'open' AND t.deleted_at IS NULL
    AND t.due_date <= $1 AND t.due_date > $1 - 3 AND {seen("plan_items", "t")}
WHERE u.is_active AND u.deleted_at IS NULL AND {_UNTOLD.format(user="u.id", key=_ITEM_KEY, kind="task_due")}
ORDER BY t.due_date LIMIT {MOST_DUE}"""

_NOTE_KEY = "'follow:' || t.id || ':' || t.follow_up_on"
_NOTES = f"""
SELECT t.id, t.created_by_id AS user_id, t.body, t.opportunity_id, {_NOTE_KEY} AS key FROM notes t
WHERE t.follow_up_on <= $1 AND t.follow_up_on > $1 - 8 AND t.deleted_at IS NULL AND t.created_by_id IS NOT NULL
  AND {seen("notes", "t")} AND {_UNTOLD.format(user="t.created_by_id", key=_NOTE_KEY, kind="follow_up")}
ORDER BY t.follow_up_on LIMIT {MOST_DUE}"""


async def is_due(database: Database, now: datetime, today: date) -> bool:
    """Whether the clock has something for an inbox. `today` is the company's date."""
    asked: tuple[tuple[str, date], ...] = ((_REMINDERS, now), (_TASKS, now), (_ITEMS, today), (_NOTES, today))
    for sql, moment in asked:
        if await database.fetchval(f"SELECT EXISTS ({sql})", moment):
            return True
    return False


async def fire(database: Database, row: Any, now: datetime) -> int:
    """A reminder goes off: once, in the transaction that says so."""
    async with database.begin() as tx:
        params = Params([row["id"], row["version"]])
        free = await tx.fetchval(
            "SELECT 1 FROM reminders t WHERE t.id = $1 AND t.version = $2 AND t.fired_at IS NULL"
            f" AND {visible(SYSTEM, 'reminders', 't', params)} FOR UPDATE OF t SKIP LOCKED",
            *params,
        )
        if not free:
            return 0
        await ledger.record(tx, SYSTEM, "reminder.fired", "reminder", row["id"], version=row["version"] + 1)
        await tx.execute(
            "UPDATE reminders t SET fired_at = $2, version = version + 1, updated_at = clock_timestamp(),"
            f" updated_by_id = NULL WHERE t.id = $1 AND {seen('reminders', 't')}",
            row["id"],
            now,
        )
        about = (row["record_type"], row["record_id"])
        notice = Notice(
            user_id=row["user_id"],
            kind="reminder",
            text=row["text"],
            key=f"reminder:{row['id']}:{row['version']}",
            about=about,
            opportunity_id=row["record_id"] if row["record_type"] == "opportunity" else None,
        )
        return await put(tx, [notice])


async def due(database: Database, now: datetime, today: date) -> int:
    """Tells people of what has become due by `now`; how many notices that made."""
    made = 0
    for row in await database.fetch(_REMINDERS, now):
        made += await fire(database, row, now)
    notices = [
        *[_due(row, "task_due", "activity", f"Due: {row['subject'] or 'a task'}") for row in await database.fetch(_TASKS, now)],
        *[_due(row, "task_due", "plan_item", f"Due in the plan: {row['title']}") for row in await database.fetch(_ITEMS, today)],
        *[_due(row, "follow_up", "note", f"Look again: {row['body']}") for row in await database.fetch(_NOTES, today)],
    ]  # fmt: skip
    return made + await put(database, notices)


def _due(row: Any, kind: str, record_type: str, text: str) -> Notice:
    return Notice(
        user_id=row["user_id"],
        kind=kind,
        text=quoted(text),
        key=row["key"],
        about=(record_type, row["id"]),
        opportunity_id=row["opportunity_id"],
    )


# By mail -------------------------------------------------------------------------------------------

_MAIL = f"""
SELECT t.id, t.kind, t.text, t.opportunity_id, u.email, u.name FROM notifications t
JOIN users u ON u.id = t.user_id AND u.is_active AND u.deleted_at IS NULL
WHERE t.id = $1 AND t.mailed_at IS NULL AND t.deleted_at IS NULL AND {seen("notifications", "t")}"""


def letter(settings: Settings, row: Any) -> mail.Letter:
    """A notification as a mail: its text, and where to look."""
    path = f"/deals/{row['opportunity_id']}" if row["opportunity_id"] else "/inbox"
    return mail.Letter(
        to=row["email"],
        subject=row["text"],
        text=f"{row['text']}\n\n{settings.address}{path}\n\nWhat is mailed to you: {settings.address}/inbox\n",
        identity=str(row["id"]),
    )


def handlers(settings: Settings) -> dict[str, Handler]:
    """`inbox.due` and `inbox.mail`."""

    async def on_due(job: Job) -> dict[str, int]:
        now = datetime.now(UTC)
        company = await calendar.company(job.database)
        return {"created": await due(job.database, now, company.today(now))}

    async def on_mail(job: Job) -> dict[str, int]:
        row = await job.database.fetchrow(_MAIL, UUID(str(job.payload["id"])))
        if row is None or not settings.smtp_url:
            return {"sent": 0}
        await mail.send(settings, letter(settings, row))
        await job.database.execute(
            f"UPDATE notifications t SET mailed_at = now() WHERE t.id = $1 AND {seen('notifications', 't')}",
            row["id"],
        )
        return {"sent": 1}

    return {"inbox.due": on_due, "inbox.mail": on_mail}
