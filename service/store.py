"""The online feature store of a process: its Redis, the company's calendar, and the instants that its data go by."""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import redis.asyncio
from redis.exceptions import RedisError

from features.catalogue import ENTITIES
from features.facts import Calendar, Facts, instant
from features.online import Online
from features.reading import Spine, read_calendar
from service.calendar import data_now
from service.db import Database
from service.jobs import Job
from service.settings import Settings
from service.worker import Handler

KEEP_SECONDS = 60.0
"""How long a process goes by the calendar, and by a clock that stands, before it looks again."""
WAIT_SECONDS = 0.25
"""The longest answer of Redis that is waited for; then PostgreSQL is asked."""


WAITS = 5
"""How often the watermark looks, 10 ms apart, whether those who were writing are through."""


class Instants(msgspec.Struct, frozen=True):
    """`as_of`: where the clock stands. `known_at`: up to when knowledge counts. They differ only in a home whose data
    ended long ago. `watermark`: at or below it no older change was in flight, so a replay finds the same facts."""

    as_of: datetime
    known_at: datetime
    watermark: datetime

    def spine(self, ids: Iterable[UUID | str]) -> Spine:
        """All these entities, now."""
        names = [str(name) for name in ids]
        size = len(names)
        return Spine(names, np.full(size, instant(self.as_of)), np.full(size, instant(self.known_at)))


class Store:
    """Made once per process by `store_of`; closed with its database."""

    def __init__(self, database: Database, redis_url: str) -> None:
        self.database = database
        client: Any = redis.asyncio.Redis.from_url(
            redis_url, socket_timeout=WAIT_SECONDS, socket_connect_timeout=WAIT_SECONDS
        )
        self.online = Online(client, database.fetch, Calendar(), (RedisError, OSError, TimeoutError))
        self._read_at = -KEEP_SECONDS
        self._standing: datetime | None = None
        database.closing.append(client.aclose)

    async def now(self, *, is_fresh: bool = False) -> Instants:
        """The instants of a reading that begins now. `is_fresh` after an import: looks whether the clock stands."""
        row = await self.database.fetchrow(_NOW)
        now: datetime = row["now"]
        if is_fresh or time.monotonic() - self._read_at > KEEP_SECONDS:
            self.online.calendar = await read_calendar(self.database.fetch)
            data = await data_now(self.database, now)
            self._standing = data if data < now else None
            self._read_at = time.monotonic()
        watermark = await self._watermark(now, row["writing"]) if row["writing"] else now
        return Instants(self._standing or now, now, watermark)

    async def _watermark(self, now: datetime, writing: list[str]) -> datetime:
        """`now` once all who wrote then are through; else the instant at which the oldest of them began."""
        oldest: datetime | None = now
        for _ in range(WAITS):
            oldest = await self.database.fetchval(_STILL, writing)
            if oldest is None:
                return now
        return min(now, oldest or now)


_NOW = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT now, (
    SELECT array_agg(transactionid::text) FROM pg_locks
    WHERE locktype = 'transactionid' AND granted AND pid <> pg_backend_pid() AND now IS NOT NULL
) AS writing
FROM clock"""
"""Whoever writes holds a lock on the number of its transaction; the instant is read before, so none is missed."""

_STILL = """
SELECT coalesce(min(a.xact_start), min(now() - interval '1 minute')) AS oldest
FROM pg_sleep(0.01), pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'transactionid' AND l.granted AND l.transactionid::text = ANY($1::text[])"""


def store_of(database: Database, redis_url: str) -> Store:
    """The store of this process's database."""
    found: Store | None = database.parts.get("features")
    if found is None:
        found = database.parts["features"] = Store(database, redis_url)
    return found


async def touched(database: Database, jobs: Iterable[Job]) -> dict[str, set[UUID]]:
    """Entity → ids of all whose features the jobs' events may have changed, those they were taken from included."""
    found: dict[str, set[UUID]] = {"opportunity": set(), "account": set(), "user": set(), "lead": set()}
    asked: dict[str, set[UUID]] = {}
    for job in jobs:
        if job.payload.get("entity_id"):
            asked.setdefault(job.payload["entity_type"], set()).add(UUID(str(job.payload["entity_id"])))
    for kind in (
        "activity",
        "line",
        "stakeholder",
        "note",
        "comment",
        "plan_item",
        "guest_link",
        "lead",
        "opportunity",
    ):
        ids = asked.get(kind, set())
        found.setdefault(kind, set()).update(ids)
        ids = found[kind] if kind in ENTITIES else ids
        if ids:
            for row in await database.fetch(_ABOUT[kind], list(ids)):
                for entity, name in zip(_ENTITIES_OF[kind], row, strict=True):
                    if name is not None:
                        found[entity].add(name)
    for kind in ("account", "user"):
        found[kind] |= asked.get(kind, set())
    return {entity: found[entity] for entity in ("opportunity", "account", "user", "lead")}


_RECENT = "known_to > now() - interval '1 hour'"
_ABOUT = {
    "activity": "SELECT DISTINCT opportunity_id, lead_id, account_id, owner_id FROM history.activities"
    f" WHERE id = ANY($1::uuid[]) AND {_RECENT} /* access:activities */",
    "line": f"SELECT DISTINCT opportunity_id FROM history.lines WHERE id = ANY($1::uuid[]) AND {_RECENT}"
    " /* access:lines */",
    "stakeholder": "SELECT DISTINCT opportunity_id FROM history.stakeholders"
    f" WHERE id = ANY($1::uuid[]) AND {_RECENT} /* access:stakeholders */",
    "note": f"SELECT DISTINCT opportunity_id FROM history.notes WHERE id = ANY($1::uuid[]) AND {_RECENT}"
    " /* access:notes */",
    "comment": f"SELECT DISTINCT opportunity_id FROM history.comments WHERE id = ANY($1::uuid[]) AND {_RECENT}"
    " /* access:comments */",
    "plan_item": f"SELECT DISTINCT opportunity_id FROM history.plan_items WHERE id = ANY($1::uuid[]) AND {_RECENT}"
    " /* access:plan_items */",
    "guest_link": "SELECT DISTINCT opportunity_id FROM history.guest_links WHERE id = ANY($1::uuid[])"
    f" AND {_RECENT} /* access:guest_links */",
    "lead": f"SELECT DISTINCT owner_id FROM history.leads WHERE id = ANY($1::uuid[]) AND {_RECENT} /* access:leads */",
    "opportunity": "SELECT DISTINCT owner_id, account_id FROM history.opportunities"
    f" WHERE id = ANY($1::uuid[]) AND {_RECENT} /* access:opportunities */",
}
_ENTITIES_OF = {
    "activity": ("opportunity", "lead", "account", "user"),
    "line": ("opportunity",),
    "stakeholder": ("opportunity",),
    "note": ("opportunity",),
    "comment": ("opportunity",),
    "plan_item": ("opportunity",),
    "guest_link": ("opportunity",),
    "lead": ("user",),
    "opportunity": ("user", "account"),
}
"""Whom a row of each kind is about, by the columns of the statement above."""


async def refresh(store: Store, now: Instants, about: Mapping[str, Iterable[UUID]]) -> dict[str, Facts]:
    """Reads the facts of these entities anew and keeps them."""
    found: dict[str, Facts] = {}
    for entity, ids in about.items():
        spine = now.spine(sorted(ids))
        if len(spine):
            found[entity] = await store.online.refresh(ENTITIES[entity], spine)
    return found


def handlers(settings: Settings) -> dict[str, Handler]:
    """`features.refresh`: what nobody scores anew still changes what is known of accounts and people."""

    async def refresh_features(jobs: list[Job]) -> None:
        store = store_of(jobs[0].database, settings.redis_url)
        about = await touched(jobs[0].database, jobs)
        await refresh(store, await store.now(), about)

    return {"features.refresh": refresh_features}


def links_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """The parents that records name: with them one MGET reads everything."""
    found: dict[str, set[str]] = {"account": set(), "user": set()}
    for row in rows:
        for entity, column in (("account", "account_id"), ("user", "owner_id")):
            if row.get(column):
                found[entity].add(str(row[column]))
    return found
