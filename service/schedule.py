"""The product's clock: what happens each night, once, however many workers there are; and what is due by the minute.

A slot (`score.all` of 2026-11-24) is taken by an insert that only one worker wins; a night that was slept through is
made up for when the next worker starts. A new home has no night behind it: its first slots are taken and nothing runs.
"""

import asyncio
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa
import structlog

from service import calendar, due, jobs
from service.db import INSTANT, Database, metadata
from service.jobs import Job
from service.pool import AWAY

log = structlog.get_logger()

LOOK_SECONDS = 60.0

slots = sa.Table(
    "schedule_slots",
    metadata,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("slot", sa.Text, primary_key=True),
    sa.Column("taken_at", INSTANT, nullable=False, server_default=sa.func.now()),
)


class Nightly(msgspec.Struct, frozen=True):
    """A job and the time of day, in the company's zone, from which it is due."""

    job: str
    at: time


SCHEDULE = (
    Nightly("housekeeping", time(1, 30)),
    Nightly("quotes.expire", time(1, 45)),
    Nightly("score.all", time(2, 0)),
    Nightly("recommend.all", time(2, 30)),
    Nightly("forecast.refresh", time(3, 0)),
    Nightly("models.watch", time(3, 30)),
)

_TAKE = """
INSERT INTO schedule_slots (job, slot) VALUES ($1, $2) ON CONFLICT DO NOTHING
RETURNING EXISTS (SELECT 1 FROM schedule_slots WHERE job = $1) AS is_due"""

_TIDY = (
    "DELETE FROM idempotency WHERE created_at < now() - interval '48 hours'",
    "DELETE FROM jobs WHERE finished_at < now() - interval '30 days'",
    "DELETE FROM sessions WHERE expires_at < now() - interval '30 days'",
    "DELETE FROM sign_in_links WHERE expires_at < now() - interval '7 days'",
    "DELETE FROM sign_in_failures WHERE last_at < now() - interval '7 days'",
    "DELETE FROM notifications WHERE created_at < now() - interval '400 days' /* access:notifications */",
    "DELETE FROM schedule_slots WHERE taken_at < now() - interval '30 days'",
)


def slot_of(entry: Nightly, local: datetime) -> str:
    """The night that is due at a local time: today's once its hour has come, else yesterday's."""
    day = local.date() if local.time() >= entry.at else local.date() - timedelta(days=1)
    return day.isoformat()


async def tick(database: Database, now: datetime) -> list[str]:
    """Queues what is due and nobody has queued yet; returns those jobs."""
    zone = ZoneInfo((await calendar.company(database)).time_zone)
    taken = []
    for entry in SCHEDULE:
        async with database.begin() as tx:
            if await tx.fetchval(_TAKE, entry.job, slot_of(entry, now.astimezone(zone))):
                await jobs.enqueue(tx, entry.job, key="all")
                taken.append(entry.job)
    if await due.is_due(database, now, now.astimezone(zone).date()):
        await jobs.enqueue(database, "inbox.due", key="all")
        taken.append("inbox.due")
    return taken


async def keep(database: Database) -> None:
    """Looks at the clock for ever."""
    while True:
        try:
            await tick(database, datetime.now(UTC))
        except AWAY as error:
            log.warning("the clock found no database", error=str(error))
        await asyncio.sleep(LOOK_SECONDS)


async def tidy(job: Job) -> dict[str, int]:
    """Removes what has had its time: keys after 48 hours, finished jobs after 30 days, dead sessions."""
    return {
        statement.split()[2]: int((await job.database.execute(statement)).split()[-1]) for statement in _TIDY
    }


handlers = {"housekeeping": tidy}
