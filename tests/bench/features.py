"""The feature store: facts from Redis beside one MGET of the same bytes, from PostgreSQL, and training sets as of many instants.

The history is one company's, written by arithmetic: 20,000 deals and a million events. Training sets are made in a
process of their own, whose memory is told, on a weekly grid, as training looks.
"""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import click
import numpy as np
import polars as pl
import redis.asyncio

from features.catalogue import ENTITIES, FEATURES, SETS, own_set
from features.facts import Array, Calendar, instant
from features.offline import training_set
from features.online import COMPANY_ID, Online, key
from features.reading import Spine, loader, values
from features.spec import FeatureSet
from service import ledger
from service.access import SYSTEM
from service.db import Database
from service.settings import ROOT
from tests.bench import history
from tests.bench.company import build
from tests.bench.table import Row
from tests.features.test_parity import in_duckdb, normal, run_in_duckdb
from tests.servers import Servers

DEALS, EVENTS = 20_000, 1_000_000
COMMAND = "python -m tests.bench features"
DEAL_TEN = (
    "stage", "age_weeks", "weeks_in_stage", "amount_log", "push_count", "activities_7d", "activities_28d", "replies_28d",
    "days_since_last_activity", "weeks_to_close_date",
)  # fmt: skip


def thirty() -> FeatureSet:
    """Thirty features of three entities: deals (windows among them), their accounts and owners."""
    by_name = {one.name: one for one in FEATURES}
    chosen = [by_name[name] for name in DEAL_TEN]
    for entity in ("account", "user"):
        chosen += [one for one in SETS["deal_win"].features if one.entity == entity and not one.is_category][
            :10
        ]
    return FeatureSet("thirty", "opportunity", tuple(chosen), ENTITIES)


def rows(deals: int = DEALS, events: int = EVENTS) -> list[Row]:
    """Everything of the feature store that has a limit."""
    servers = Servers()
    try:
        long, short, business = (servers.create_database() for _ in range(3))
        past = asyncio.run(_filled(servers.owner_url(long), deals, events))
        found = asyncio.run(_online(servers.app_url(long), servers.redis_url, past))
        found += [*_training(servers.app_url(long), past), *asyncio.run(_equal(servers, short))]
        found.append(asyncio.run(_upkeep(servers.app_url(business))))
    finally:
        servers.close()
    return found


async def _filled(url: str, deals: int, events: int) -> history.Past:
    connection = await connected(url)
    try:
        return await history.fill(connection, deals, events)
    finally:
        await connection.close()


async def connected(url: str) -> asyncpg.Connection:
    """A connection whose instants are UTC."""
    return await asyncpg.connect(url, server_settings={"timezone": "UTC"})


def now_spine(ids: Sequence[str]) -> Spine:
    """All these entities, now."""
    at = np.full(len(ids), instant(datetime.now(UTC)))
    return Spine(ids, at, at)


async def _times(ask: Callable[[], Awaitable[Any]], times: int) -> Array:
    taken = []
    for _ in range(times + 1):
        began = time.perf_counter()
        await ask()
        taken.append(1000 * (time.perf_counter() - began))
    return np.array(taken[1:])


# --- online ------------------------------------------------------------------------------------------------------


class Kept:
    """A company's open deals in the online store, warm."""

    def __init__(self, online: Online, deals: list[str], parents: dict[str, tuple[str, str]]) -> None:
        self.online, self.deals, self.parents = online, deals, parents

    @classmethod
    async def of(cls, connection: asyncpg.Connection, client: Any, size: int) -> "Kept":
        """Reads their facts once, and those of their accounts and owners."""
        online = Online(client, connection.fetch, Calendar())
        open_deals = await connection.fetch(
            "SELECT id::text, account_id::text, owner_id::text FROM known.opportunities"
            " WHERE to_at = '9999-12-31' AND status = 'open' ORDER BY id LIMIT $1",
            size,
        )
        deals = [row[0] for row in open_deals]
        kept = cls(online, deals, {row[0]: (row[1], row[2]) for row in open_deals})
        await online.refresh(ENTITIES["opportunity"], now_spine(deals))
        await kept.ask(thirty(), size)
        return kept

    def links(self, size: int) -> dict[str, set[str]]:
        pairs = [self.parents[deal] for deal in self.deals[:size]]
        return {"account": {one for one, _ in pairs}, "user": {one for _, one in pairs}}

    async def ask(self, wanted: FeatureSet, size: int) -> dict[str, Array]:
        found, _ = await self.online.values(wanted, now_spine(self.deals[:size]), self.links(size))
        return found

    def keys(self, size: int) -> list[str]:
        """Every key that such a question reads."""
        links = self.links(size)
        named = [("opportunity", self.deals[:size]), *links.items(), ("company", [COMPANY_ID])]
        return [key(ENTITIES[entity], name) for entity, names in named for name in names]


async def _online(url: str, redis_url: str, past: history.Past) -> list[Row]:
    connection, client = await connected(url), redis.asyncio.Redis.from_url(redis_url)
    try:
        kept = await Kept.of(connection, client, 1000)
        found = [await _beside_mget(kept, client, size) for size in (1, 100, 1000)]
        taken = await _times(lambda: kept.ask(own_set("opportunity"), 1000), 30)
        found.append(
            Row("1,000 deals from Redis, all windows, p95", _p95(taken), 5, "ms", COMMAND, _median(taken))
        )
        found.append(await _one_pair(connection, past))
    finally:
        await connection.close()
        await client.aclose()
    return found


async def _beside_mget(kept: Kept, client: Any, size: int) -> Row:
    """The two in turns, so that what else the machine does touches both; processor time of this process beside it."""
    wanted, keys, ours, raw, busy = thirty(), kept.keys(size), [], [], [0.0, 0.0]
    for _ in range(max(20, 2000 // size) + 1):
        for place, (taken, ask) in enumerate(
            ((raw, lambda: client.mget(keys)), (ours, lambda: kept.ask(wanted, size)))
        ):
            began, cpu = time.perf_counter(), time.process_time()
            await ask()
            taken.append(time.perf_counter() - began)
            busy[place] += time.process_time() - cpu
    bare, whole = float(np.median(raw[1:])), float(np.median(ours[1:]))
    size_of = sum(len(blob or b"") for blob in await client.mget(keys))
    note = f"{1000 * whole:.2f} ms beside {1000 * bare:.2f}; {size_of:,} bytes; processor {busy[1] / busy[0]:.1f} ×"
    return Row(f"online, {size:,} × 30 features over 3 entities", whole / bare, 1.5, "× MGET", COMMAND, note)


async def _one_pair(connection: asyncpg.Connection, past: history.Past) -> Row:
    load, wanted, turns = loader(connection.fetch, Calendar()), thirty(), iter(past.deals * 2)
    taken = await _times(lambda: values(load, wanted, now_spine([str(next(turns))])), 200)
    return Row("one pair over 3 entities from PostgreSQL, p95", _p95(taken), 2, "ms", COMMAND, _median(taken))


def _p95(taken: Array) -> float:
    return float(np.quantile(taken, 0.95))


def _median(taken: Array) -> str:
    return f"median {np.median(taken):.2f} ms"


# --- as of many instants -----------------------------------------------------------------------------------------

TRAININGS = {
    "three": ("100,000 rows × 3 entities", 100_000, 2.0, 800),
    "deals": ("1,000,000 deal rows", 1_000_000, 10.0, 1000),
    "reps": ("reps on a weekly grid", 20_000, 2.0, None),
}
"""What → its name, rows, seconds and megabytes that are allowed."""
MOST_SECONDS = 60.0
"""A set that would take longer is made of a part of its rows, and the time scaled: the note says so."""


def _training(url: str, past: history.Past) -> list[Row]:
    found = []
    for kind, (name, size, seconds, megabytes) in TRAININGS.items():
        small = _made(url, kind, size // 20)
        scale = 1.0
        whole = small
        if 20 * small["seconds"] <= MOST_SECONDS:
            whole = _made(url, kind, size)
        else:
            scale = size / small["rows"]
        over = f"over {past.events:,} events"
        part = f"; measured on {whole['rows']:,} and scaled" if scale > 1 else ""
        note = f"{over}; processor of this side {scale * whole['cpu']:.1f} s{part}"
        found.append(Row(name, scale * whole["seconds"], seconds, "s", COMMAND, note))
        if megabytes is not None:
            found.append(
                Row(f"{name}, memory", whole["megabytes"], megabytes, "MB", COMMAND, part.strip("; "))
            )
        if kind == "deals":
            more = _made(url, kind, 2 * small["rows"])
            ratio = more["seconds"] / small["seconds"]
            found.append(
                Row("twice as many deal rows cost", ratio, 2.2, "×", COMMAND, f"{small['rows']:,} rows twice")
            )
    return found


def _made(url: str, kind: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.features", url, kind, str(size)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def spine_of(kind: str, size: int, ids: Sequence[str]) -> pl.DataFrame:
    """Distinct pairs on Mondays of the last hundred weeks."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday = today - timedelta(days=today.weekday())
    places = np.random.default_rng(0).permutation(len(ids) * 100)[:size]
    return pl.DataFrame(
        {
            "entity_id": [ids[place // 100] for place in places.tolist()],
            "as_of": [monday - timedelta(weeks=place % 100) for place in places.tolist()],
        }
    )


async def _one_set(url: str, kind: str, size: int) -> dict[str, float]:
    connection = await connected(url)
    table = "users" if kind == "reps" else "opportunities"
    ids = [
        row[0] for row in await connection.fetch(f"SELECT DISTINCT id::text FROM known.{table} ORDER BY 1")
    ]
    wanted = {"three": thirty(), "deals": own_set("opportunity"), "reps": own_set("user")}[kind]
    spine = spine_of(kind, size, ids)
    began, cpu = time.perf_counter(), time.process_time()
    frame = await training_set(connection.fetch, wanted, spine)
    seconds, busy = time.perf_counter() - began, time.process_time() - cpu
    await connection.close()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu": busy, "rows": float(len(frame)), "megabytes": most}


# --- equal, and kept up ------------------------------------------------------------------------------------------


async def _equal(servers: Servers, name: str) -> list[Row]:
    """Cells that differ: DuckDB's answer to every text from PostgreSQL's, and online values from those as of now."""
    owner = await connected(servers.owner_url(name))
    past = await history.fill(owner, 200, 5_000)
    engine, found, cells = await in_duckdb(owner), 0, 0
    for entity, table in (("opportunity", past.deals), ("account", past.accounts[:300]), ("user", past.reps)):
        asked = now_spine([str(one) for one in table])
        for source in ENTITIES[entity].sources:
            ours = normal([tuple(row) for row in await owner.fetch(source.statement, *asked.parameters())])
            theirs = normal(run_in_duckdb(engine, source, asked))
            cells += sum(map(len, ours))
            found += sum(
                a != b
                for one, other in zip(ours, theirs, strict=True)
                for a, b in zip(one, other, strict=True)
            )
    client = redis.asyncio.Redis.from_url(servers.redis_url, db=1)
    online, asked = Online(client, owner.fetch, Calendar()), now_spine([str(one) for one in past.deals])
    await online.refresh(ENTITIES["opportunity"], asked)
    served, _ = await online.values(SETS["deal_win"], asked)
    again = await values(loader(owner.fetch, Calendar()), SETS["deal_win"], asked)
    await client.aclose()
    await owner.close()
    unequal = sum(
        int(np.sum((served[n] != again[n]) & ~((served[n] != served[n]) & (again[n] != again[n]))))
        for n in again
    )
    asof = len(again) * len(asked)
    return [
        Row("cells that differ between PostgreSQL and DuckDB", found, 0, "", COMMAND, f"of {cells:,}"),
        Row("cells that differ between online and as of", unequal, 0, "", COMMAND, f"of {asof:,}"),
    ]


async def _upkeep(url: str) -> Row:
    """What keeping the spans of known versions adds to a change of a deal: the history's trigger, by the server's clock."""
    database = await Database.open(url, max_size=2)
    company, taken = await build(database, 500, people=40, led=30), []
    for deal in company.deals[:300]:
        async with database.begin() as tx:
            await ledger.record(tx, SYSTEM, "opportunity.updated", "opportunity", deal)
            plan = await tx.fetchval(
                "EXPLAIN (ANALYZE, FORMAT JSON) UPDATE opportunities SET next_step = 'meet', version = version + 1,"
                " updated_at = now() WHERE id = $1 /* access:opportunities */",
                deal,
            )
        plan = json.loads(plan) if isinstance(plan, str) else plan
        taken.append(sum(one["Time"] for one in plan[0]["Triggers"] if one["Trigger Name"] == "keep_update"))
    await database.close()
    found = np.array(taken)
    return Row(
        "upkeep of spans in a write, p95", _p95(found), 1, "ms", COMMAND, f"{_median(found)}; server's clock"
    )


if __name__ == "__main__":
    click.echo(json.dumps(asyncio.run(_one_set(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
