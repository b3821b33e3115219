"""Reads at a size beside the same reads at 10,000 deals: the size must not show, however many owners one sees.

The time is that of the statement and its trip, one after the other on one connection, without HTTP.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
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
ROUNDS = 40
RATIO, NARROW_MS, BOARD_MS = 1.3, 5.0, 100.0
FLOOR_MS = 0.5
"""Below this a trip and a scheduler's mood are more than the query: ratios are taken of at least so much."""
LISTS = {
    "newest": b"limit=50",
    "largest": b"sort=-amount&limit=50",
    "smallest": b"sort=amount&limit=50",
    "due first": b"sort=close_date&limit=50",
    "by name": b"sort=name&limit=50",
}


def rows(size: int) -> list[Row]:
    """Both companies in one run, each in a database of its own; the large one is dropped at the end."""
    servers = Servers()
    try:
        small, large = (_at(servers, deals) for deals in (SMALL, size))
    finally:
        servers.close()
    command = f"make bench SIZE={size}"
    found = []
    for (who, what), taken in large.items():
        before = small[who, what]
        limit = None if what == "board" else RATIO
        note = f"{before:.2f} → {taken:.2f} ms"
        ratio = max(taken, FLOOR_MS) / max(before, FLOOR_MS)
        found.append(Row(f"{what}, {who}, {size:,} : {SMALL:,} deals", ratio, limit, "×", command, note))
        if who == "one owner" and what != "board":
            found.append(
                Row(f"{what}, {who}, among {size:,} deals", taken, NARROW_MS, "ms", command, "median")
            )
    return found


def _at(servers: Servers, deals: int) -> dict[tuple[str, str], float]:
    name = servers.create_database()
    try:
        return asyncio.run(_measured(servers.app_url(name), servers.owner_url(name), deals))
    finally:
        servers.drop_database(name)


async def _measured(url: str, owner_url: str, deals: int) -> dict[tuple[str, str], float]:
    database = await Database.open(url, min_size=1, max_size=4)
    company = await build(database, deals)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    people = [
        row["id"] for row in await database.fetch("SELECT id FROM users WHERE role = 'rep' ORDER BY id")
    ]
    found = {}
    for who, actor in _actors(company, people).items():
        mine = await database.fetch(
            "SELECT id FROM opportunities WHERE owner_id = $1 LIMIT 40 /* access:opportunities */", people[0]
        )
        for what, ask in _asked(database, actor, [row["id"] for row in mine]).items():
            found[who, what] = await _timed(ask)
    await database.close()
    return found


def _actors(company: Company, people: list[UUID]) -> dict[str, Actor]:
    def sees(*owners: UUID) -> Actor:
        return Actor(id=owners[0], role="manager", owners=owners)

    return {
        "who sees all": Actor(id=company.manager, role="ops", owners=None, teams=None),
        "300 owners": sees(company.manager, *people[:299]),
        "5 owners": sees(*people[:5]),
        "one owner": sees(people[0]),
    }


def _asked(database: Database, actor: Actor, ids: list[UUID]) -> dict[str, Callable[[int], Awaitable[Any]]]:
    source = opportunities.source

    def listed(text: bytes) -> Callable[[int], Awaitable[Any]]:
        return lambda _: query.run(database, source, actor, query.parse(text))

    asked = {"read": lambda number: query.one(database, source, actor, ids[number % len(ids)])}
    asked |= {f"list {name}": listed(text) for name, text in LISTS.items()}
    asked["board"] = lambda _: board.load(database, actor, query.parse(b""), limit=20)
    return asked


async def _timed(ask: Callable[[int], Awaitable[Any]]) -> float:
    """Milliseconds, the median; the first ones make the plan and are not counted."""
    taken = []
    for number in range(ROUNDS + 8):
        began = time.perf_counter()
        await ask(number)
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken[8:])
