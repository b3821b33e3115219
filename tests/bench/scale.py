"""Reads at a size beside the same reads at 10,000 deals: the size must not show, however many owners one sees.

The time is that of the statement and its trip, one after the other on one connection, without HTTP.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import psycopg

from service import query
from service.access import Actor
from service.db import Database
from service.domains import board
from service.domains.opportunities import resource as opportunities
from tests.bench.company import Company, build
from tests.bench.table import Row
from tests.servers import Servers

SMALL = 10_000
WARM, ROUNDS = 8, 40
RATIO, NARROW_MS, BOARD_MS = 1.3, 5.0, 100.0
FLOOR_MS = 0.5
"""Below this a trip and a scheduler's mood are more than the query: ratios are taken of at least so much."""
Ask = Callable[[int], Awaitable[Any]]

LISTS = {
    "newest": b"limit=50",
    "largest": b"sort=-amount&limit=50",
    "smallest": b"sort=amount&limit=50",
    "due first": b"sort=close_date&limit=50",
    "by name": b"sort=name&limit=50",
}


def rows(size: int) -> list[Row]:
    """Both companies in one run, each in a database of its own, asked in turns."""
    servers = Servers()
    try:
        taken = asyncio.run(_both(servers, size))
    finally:
        servers.close()
    command = f"make bench SIZE={size}"
    found = []
    for (who, what), (before, after) in taken.items():
        ratio = max(after, FLOOR_MS) / max(before, FLOOR_MS)
        limit, note = None if what == "board" else RATIO, f"{before:.2f} → {after:.2f} ms"
        found.append(Row(f"{what}, {who}, {size:,} : {SMALL:,} deals", ratio, limit, "×", command, note))
        if who == "one owner" and what != "board":
            found.append(Row(f"{what}, {who}, among {size:,} deals", after, NARROW_MS, "ms", command))
        if who == "who sees all" and what == "board":
            found.append(Row(f"board of {SMALL:,} deals", before, BOARD_MS, "ms", command))
    return found


async def _both(servers: Servers, size: int) -> dict[tuple[str, str], tuple[float, float]]:
    small, large = [await _filled(servers, deals) for deals in (SMALL, size)]
    found = {name: await _timed(small[1][name], large[1][name]) for name in small[1]}
    for database, _ in (small, large):
        await database.close()
    return found


async def _filled(servers: Servers, deals: int) -> tuple[Database, dict[tuple[str, str], Ask]]:
    """A company of so many deals, and what is asked of it by who and what."""
    name = servers.create_database()
    database = await Database.open(servers.app_url(name), min_size=1, max_size=4)
    company = await build(database, deals)
    with psycopg.connect(servers.owner_url(name), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    people = [
        row["id"] for row in await database.fetch("SELECT id FROM users WHERE role = 'rep' ORDER BY id")
    ]
    mine = await database.fetch(
        "SELECT id FROM opportunities WHERE owner_id = $1 LIMIT 40 /* access:opportunities */", people[0]
    )
    ids = [row["id"] for row in mine]
    return database, {
        (who, what): ask
        for who, actor in _actors(company, people).items()
        for what, ask in _asked(database, actor, ids).items()
    }


def _actors(company: Company, people: list[UUID]) -> dict[str, Actor]:
    def sees(*owners: UUID) -> Actor:
        return Actor(id=owners[0], role="manager", owners=owners)

    return {
        "who sees all": Actor(id=company.manager, role="ops", owners=None, teams=None),
        "300 owners": sees(company.manager, *people[:299]),
        "5 owners": sees(*people[:5]),
        "one owner": sees(people[0]),
    }


def _asked(database: Database, actor: Actor, ids: list[UUID]) -> dict[str, Ask]:
    source = opportunities.source

    def listed(text: bytes) -> Ask:
        return lambda _: query.run(database, source, actor, query.parse(text))

    asked = {"read": lambda number: query.one(database, source, actor, ids[number % len(ids)])}
    asked |= {f"list {name}": listed(text) for name, text in LISTS.items()}
    asked["board"] = lambda _: board.load(database, actor, query.parse(b""), limit=20)
    return asked


async def _timed(small: Ask, large: Ask) -> tuple[float, float]:
    """Milliseconds, the lower quartile of either; the first calls make the plans and are not counted."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM + ROUNDS):
        for ask, times in zip((small, large), taken, strict=True):
            began = time.perf_counter()
            await ask(number)
            times.append((time.perf_counter() - began) * 1000)
    before, after = (sorted(times[WARM:])[ROUNDS // 4] for times in taken)
    return before, after
