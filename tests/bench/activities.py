"""Activities by the million: what a capture and a look at a timeline cost, beside the same among 100,000."""

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from statistics import median
from typing import NamedTuple
from uuid import UUID

import psycopg

from service import resource, writes
from service.access import SYSTEM, Actor
from service.db import Database
from service.domains import accounts, contacts, opportunities, timeline
from service.domains.activities import resource as activities
from service.ids import new_id
from tests.bench.company import build
from tests.bench.table import Row
from tests.servers import Servers

BASIS, MOST = 100_000, 10_000_000
A_DEAL = 20
"""Activities of a deal, on the average; an account has ten deals, and one contact."""
CHUNK = 100_000
CALLS, ROUNDS, PAGE = 100, 5, 50
LOOKED_AT = 40
"""Records whose timelines are read: as many among few and many, so that both lie in memory as a working set does."""

_EVENT = (
    "SELECT set_config('sales.event', gen_random_uuid()::text, TRUE), set_config('sales.change', NULL, TRUE)"
)
_FILL = (
    "INSERT INTO accounts (id, name, owner_id) SELECT md5('a' || n)::uuid, 'Account ' || n,"
    " ($1::uuid[])[1 + n % cardinality($1::uuid[])] FROM generate_series(1, $2::int) n /* access:accounts */",
    "INSERT INTO contacts (id, last_name, account_id, owner_id) SELECT md5('c' || n)::uuid, 'Contact ' || n,"
    " md5('a' || n)::uuid, ($1::uuid[])[1 + n % cardinality($1::uuid[])] FROM generate_series(1, $2::int) n"
    " /* access:contacts */",
    "INSERT INTO opportunities (id, name, owner_id, account_id, pipeline_id, stage, probability, forecast_category,"
    " stage_entered_at) SELECT md5('d' || n)::uuid, 'Deal ' || n, ($1::uuid[])[1 + n % cardinality($1::uuid[])],"
    " md5('a' || (1 + n % $2::int))::uuid, (SELECT id FROM pipelines WHERE is_default), 'proposal', 0.45,"
    " 'best_case', now() FROM generate_series(1, $2::int * 10) n /* access:opportunities */",
)
_MORE = """
INSERT INTO activities (id, type, occurred_at, direction, status, subject, owner_id, account_id, opportunity_id,
    contact_id, participants, thread_id, source, source_id)
SELECT gen_random_uuid(), (ARRAY['email', 'email', 'call', 'meeting'])[1 + n / 7 % 4],
    now() - make_interval(secs => (n::bigint * 7919) % 94608000), (ARRAY['inbound', 'outbound'])[1 + n / 3 % 2], 'completed',
    'About ' || n, ($1::uuid[])[1 + deal % cardinality($1::uuid[])], md5('a' || home)::uuid, md5('d' || deal)::uuid,
    CASE WHEN n / 7 % 2 = 0 THEN md5('c' || home)::uuid END,
    CASE WHEN n / 7 % 4 = 3 THEN jsonb_build_array(jsonb_build_object('contact_id', md5('c' || home)::uuid)) ELSE '[]' END,
    deal::text, 'bench', n::text
FROM (SELECT n, deal, 1 + deal % $2::int AS home
      FROM generate_series($3::int + 1, $4::int) n CROSS JOIN LATERAL (SELECT 1 + (n::bigint * 31) % ($2::int * 10) AS deal) d) x
/* access:activities */"""


class Filled(NamedTuple):
    database: Database
    homes: int
    """How many accounts there are; they, and what is theirs, are called by their number."""
    manager: Actor

    def some(self, letter: str, of: int = LOOKED_AT) -> UUID:
        """The id of an account (a), a contact (c) or a deal (d), as `_FILL` makes it, out of `of` spread over all."""
        there = self.homes * (10 if letter == "d" else 1)
        return UUID(_md5(f"{letter}{1 + random.randrange(of) * there // of}"))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _tidy(owner_url: str) -> None:
    """As autovacuum would in time; only the owner may."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


async def fill(url: str, owner_url: str, size: int) -> Filled:
    """A company with `size` activities, in chunks of their own transactions."""
    database = await Database.open(url, max_size=2)
    company = await build(database, deals=1)
    sellers = [
        row["id"] for row in await database.fetch("SELECT id FROM users WHERE role = 'rep' ORDER BY id")
    ]
    homes = max(1, size // A_DEAL // 10)
    async with database.begin() as tx:
        await tx.execute(_EVENT)
        for statement in _FILL:
            await tx.execute(statement, sellers, homes)
    for start in range(0, size, CHUNK):
        async with database.begin() as tx:
            await tx.execute(_EVENT)
            await tx.execute(_MORE, sellers, homes, start, min(size, start + CHUNK))
    _tidy(owner_url)
    manager = Actor(id=company.manager, role="manager", owners=(company.manager, *sellers[:299]))
    return Filled(database, homes, manager)


async def _insert(filled: Filled) -> None:
    draft = {
        "type": "email",
        "occurred_at": datetime.now(UTC),
        "direction": "outbound",
        "opportunity_id": filled.some("d", filled.homes * 10),
        "participants": [{"contact_id": str(filled.some("c", filled.homes))}],
        "source": "mail",
        "source_id": str(new_id()),
    }
    async with filled.database.begin() as tx:
        await writes.insert(tx, activities, SYSTEM, draft)


def _look(resource: resource.Resource, letter: str) -> Callable[[Filled], Awaitable[None]]:
    async def look(filled: Filled) -> None:
        for actor in (SYSTEM, filled.manager):
            sql, params = timeline.statement(resource, actor, filled.some(letter), ["activity"], PAGE, None)
            await filled.database.fetch(sql, *params)

    return look


CASES: dict[str, Callable[[Filled], Awaitable[None]]] = {
    "an activity is kept": _insert,
    "timeline of a deal": _look(opportunities.resource, "d"),
    "timeline of an account": _look(accounts.resource, "a"),
    "timeline of a contact": _look(contacts.resource, "c"),
}


async def _seconds(call: Callable[[Filled], Awaitable[None]], filled: Filled) -> list[float]:
    taken = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call(filled)
        taken.append(time.perf_counter() - began)
    return taken


async def _measure(servers: Servers, size: int) -> list[Row]:
    names = [servers.create_database() for _ in range(2)]
    few, many = [
        await fill(servers.app_url(name), servers.owner_url(name), number)
        for name, number in zip(names, (BASIS, size), strict=True)
    ]
    found = []
    for name, call in CASES.items():
        taken: dict[bool, list[float]] = {False: [], True: []}
        for filled in (few, many):  # warm
            await _seconds(call, filled)
        for _ in range(ROUNDS):
            for place, filled in ((False, few), (True, many)):
                taken[place] += await _seconds(call, filled)
        at_few, at_many = median(taken[False]), median(taken[True])
        note = f"{at_many * 1e3:.2f} ms among {size:,}, {at_few * 1e3:.2f} ms among {BASIS:,}"
        found.append(
            Row(name, at_many / at_few, 1.3, "×", f"python -m tests.bench activities --rows {size}", note)
        )
    for filled in (few, many):
        await filled.database.close()
    return found


def rows(size: int) -> list[Row]:
    """Both companies side by side on a server of the bench's own; `size` at most ten million."""
    servers = Servers()
    try:
        return asyncio.run(_measure(servers, min(size, MOST)))
    finally:
        servers.close()
