"""Online equals offline, later events change nothing, and every engine reads the same text alike."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import duckdb
import numpy as np
import polars as pl
import pytest

from features.catalogue import ENTITIES, SETS, own_set, widened
from features.custom import Declared
from features.facts import Array, Calendar, instant
from features.online import Online
from features.reading import Spine, loader, values
from features.spec import FeatureSet, Source
from tests.features.world import DAYS, FOREVER, World, fill
from tests.features.world import instant as hour
from tests.servers import Servers

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
CALENDAR = Calendar()
FAR = Calendar("Pacific/Auckland", 7)
"""A company on the other side of the day, whose year begins in July."""
ENTITY_IDS = {
    "opportunity": "deals", "account": "accounts", "user": "reps", "lead": "leads", "contact": "contacts", "team": "teams",
}  # fmt: skip


class FakeRedis:
    """A dict that answers like the client, the script that keeps the newer value included."""

    def __init__(self, held: dict[str, bytes] | None = None) -> None:
        self.held = dict(held or {})
        self.asked = 0

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        self.asked += 1
        return [self.held.get(name) for name in keys]

    async def eval(self, script: str, count: int, *arguments: Any) -> int:
        names, blobs = arguments[:count], arguments[count + 1 :]
        for name, blob in zip(names, blobs, strict=True):
            if name not in self.held or self.held[name][:8] <= blob[:8]:
                self.held[name] = blob
        return count

    async def delete(self, *names: str) -> None:
        for name in names:
            self.held.pop(name, None)


@pytest.fixture(scope="module")
async def history(servers: Servers, database_name: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the owner, who may write into history."""
    connection = await asyncpg.connect(servers.owner_url(database_name), server_settings={"timezone": "UTC"})
    yield connection
    await connection.close()


TYPES = {
    "seats": "number", "worth": "currency", "agreed": "boolean", "renewal": "date", "called": "datetime", "tier": "select",
    "regions": "multi_select", "remark": "text",
}  # fmt: skip
FIELDS = tuple(
    Declared(entity=entity, key=key, label=key.capitalize(), type=kind)
    for entity in ENTITY_IDS
    for key, kind in TYPES.items()
)
"""Custom fields of every kind on every entity."""


def sets() -> list[FeatureSet]:
    """Those that models learn from, and all features of each entity, custom fields included."""
    return [*(widened(one, FIELDS) for one in SETS.values()), *(own_set(name, FIELDS) for name in ENTITY_IDS)]


def spine(pairs: list[tuple[UUID, datetime]]) -> Spine:
    at = np.array([instant(moment) for _, moment in pairs])
    return Spine([str(name) for name, _ in pairs], at, at)


def differences(left: dict[str, Array], right: dict[str, Array]) -> list[str]:
    """Names of columns that are not equal, with the first two unequal values."""
    found = []
    for name in left:
        one, other = left[name], right[name]
        same = (one == other) if one.dtype.kind == "U" else np.isclose(one, other, rtol=1e-12, equal_nan=True)
        if not same.all():
            at = int(np.argmin(same))
            found.append(f"{name} at {at}: {one[at]} and {other[at]}")
    return found


@pytest.mark.parametrize(("seed", "calendar"), [(1, CALENDAR), (2, FAR)])
async def test_online_is_offline_and_later_events_change_nothing(
    history: asyncpg.Connection, seed: int, calendar: Calendar
) -> None:
    """Facts are kept as events come in, then read later, after the clock alone has moved past windows and Mondays."""
    world = World(seed)
    redis = FakeRedis()
    online = Online(redis, history.fetch, calendar)
    served = []
    before = hour(-1)
    for day in range(6, DAYS, 14):
        now = hour(day * 24 + world.random.choice([0, 7]))
        await fill(history, world.known_by(now))
        await refresh_changed(world, online, before, now)
        before = now
        for hours in (0, world.random.choice([1, 24 * 7, 24 * 8, 24 * 13])):
            reader = Online(FakeRedis(redis.held), history.fetch, calendar) if hours else online
            for feature_set in sets():
                asked = everyone(world, feature_set, now + timedelta(hours=hours))
                columns, _ = await reader.values(feature_set, asked)
                served.append((feature_set, now, asked, columns))
    await fill(history, world.whole())
    for feature_set, known, asked, columns in served:
        as_known = Spine(asked.ids, asked.as_of, np.full(len(asked), instant(known)))
        again = await values(loader(history.fetch, calendar), feature_set, as_known)
        assert differences(columns, again) == [], f"{feature_set.name} at {known}"
    assert len(served) > 100


def everyone(world: World, feature_set: FeatureSet, at: datetime) -> Spine:
    return spine([(name, at) for name in getattr(world, ENTITY_IDS[feature_set.entity])])


async def refresh_changed(world: World, online: Online, before: datetime, now: datetime) -> None:
    """What the product does after each event: reads anew whatever a changed row is about."""
    changed = [
        (table, row)
        for table, rows in world.rows.items()
        for row in rows
        if before < row["known_from"] <= now or before < row["known_to"] <= now
    ]
    own = {"opportunities": "opportunity", "accounts": "account", "users": "user", "leads": "lead"}
    links = {"opportunity_id": "opportunity", "lead_id": "lead", "account_id": "account", "owner_id": "user"}
    touched: dict[str, set[UUID]] = {}
    for table, row in changed:
        if table in own:
            touched.setdefault(own[table], set()).add(row["id"])
        for column, entity in links.items():
            if row.get(column):
                touched.setdefault(entity, set()).add(row[column])
    seen = {row["guest_link_id"] for row in world.visits if before < row["recorded_at"] <= now}
    links_seen = (row for row in world.rows["guest_links"] if row["id"] in seen)
    touched.setdefault("opportunity", set()).update(row["opportunity_id"] for row in links_seen)
    for entity, names in touched.items():
        await online.refresh(ENTITIES[entity], spine([(name, now) for name in sorted(names)]))


async def test_deleted_later_or_known_late_is_not_known_then(history: asyncpg.Connection) -> None:
    """Values as of random instants are the same whether or not the tables hold what came after."""
    world = World(3)
    for feature_set in sets():
        names = getattr(world, ENTITY_IDS[feature_set.entity])
        for name, at in world.spine(names, 12):
            asked = spine([(name, at)])
            await fill(history, world.known_by(at))
            then = await values(loader(history.fetch, CALENDAR), feature_set, asked)
            await fill(history, world.whole())
            now = await values(loader(history.fetch, CALENDAR), feature_set, asked)
            assert differences(then, now) == [], f"{feature_set.name} at {at}"


async def test_duckdb_reads_the_same_texts_alike(history: asyncpg.Connection) -> None:
    world = World(4)
    await fill(history, world.whole())
    engine = await in_duckdb(history)
    for entity in ENTITIES.values():
        names = getattr(world, ENTITY_IDS.get(entity.name, "reps"))
        asked = spine(world.spine(names, 200))
        for source in entity.sources:
            ours = [tuple(row) for row in await history.fetch(source.statement, *asked.parameters())]
            theirs = run_in_duckdb(engine, source, asked)
            assert len(ours) == len(theirs)
            assert normal(ours) == normal(theirs), source.name


def normal(rows: list[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    def text(value: Any) -> str:
        if isinstance(value, datetime):
            return str(instant(value))
        return str(float(value)) if hasattr(value, "as_tuple") or isinstance(value, int) else str(value)

    return sorted(tuple(text(value) for value in row) for row in rows)


async def in_duckdb(history: asyncpg.Connection) -> duckdb.DuckDBPyConnection:
    """The views of `known` as tables of DuckDB, with PostgreSQL's types."""
    engine = duckdb.connect()
    engine.execute("SET TimeZone = 'UTC'")
    engine.execute("CREATE SCHEMA known")
    for view in (
        "opportunities",
        "activities",
        "accounts",
        "leads",
        "products",
        "lines",
        "stakeholders",
        "stages",
        "users",
        "contacts",
        "teams",
        "room_visits",
        "comments",
        "plan_items",
        "notes",
    ):
        kinds = await history.fetch(
            "SELECT a.attname, format_type(a.atttypid, NULL) AS kind FROM pg_attribute a"
            " WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 ORDER BY a.attnum",
            f"known.{view}",
        )
        columns = ", ".join(
            f'"{k["attname"]}" {"numeric(19,4)" if k["kind"] == "numeric" else k["kind"]}' for k in kinds
        )
        engine.execute(f"CREATE TABLE known.{view} ({columns})")
        rows = [tuple(row) for row in await history.fetch(f"SELECT * FROM known.{view}")]
        if rows:
            engine.executemany(f"INSERT INTO known.{view} VALUES ({', '.join('?' * len(kinds))})", rows)
    return engine


def run_in_duckdb(engine: duckdb.DuckDBPyConnection, source: Source, asked: Spine) -> list[tuple[Any, ...]]:
    engine.execute(
        "CREATE OR REPLACE TABLE given_spine (entity_id uuid, as_of timestamptz, known_at timestamptz, pair bigint)"
    )
    rows = [(*pair, number) for number, pair in enumerate(zip(*asked.parameters(), strict=True), start=1)]
    engine.executemany("INSERT INTO given_spine VALUES (?, ?, ?, ?)", rows)
    return pl.from_arrow(engine.sql(source.text("duckdb")).to_arrow_table()).rows()


FRESH = """
import asyncio, sys
from datetime import datetime
import asyncpg, polars as pl
from features.catalogue import SETS, widened
from features.offline import digest, historical
from tests.features.test_parity import FIELDS

async def named(url, path, now):
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    wanted = widened(SETS["deal_win"], FIELDS)
    frame = await historical(
        connection.fetch, wanted, pl.read_parquet(path), labels=("won_30d", "won_at_last"), now=datetime.fromisoformat(now)
    )
    print(digest(frame))
    await connection.close()

asyncio.run(named(*sys.argv[1:]))
"""
"""What another process does to make the same set."""


async def test_a_set_keeps_its_name_after_a_restart_and_10_000_later_events(
    history: asyncpg.Connection, servers: Servers, database_name: str, tmp_path: Path
) -> None:
    world, cut = World(5), hour(120 * 24)
    pairs = {pair for pair in world.spine(world.deals, 400) if pair[1] <= cut}
    asked = pl.DataFrame(
        {"entity_id": [str(name) for name, _ in sorted(pairs)], "as_of": [at for _, at in sorted(pairs)]},
        schema={"entity_id": pl.String, "as_of": pl.Datetime("us", "UTC")},
    )
    asked.write_parquet(tmp_path / "spine.parquet")

    async def named() -> str:
        url = servers.owner_url(database_name)
        command = [sys.executable, "-c", FRESH, url, str(tmp_path / "spine.parquet"), cut.isoformat()]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
        told, _ = await process.communicate()
        assert process.returncode == 0
        return told.decode().strip()

    await fill(history, world.known_by(cut))
    first = await named()
    rows, old = world.whole(), world.rows["activities"]
    later = [
        world.random.choice(old)
        | {
            "id": world.new_id(),
            "version": 1,
            "known_from": cut + timedelta(seconds=1 + n),
            "known_to": FOREVER,
        }
        for n in range(10_000)
    ]
    await fill(history, rows | {"activities": [*old, *later]})
    assert await named() == first
    # and it can be told apart: the same events known a moment earlier make another set
    early = [row | {"known_from": hour(0)} for row in later[:50]]
    await fill(history, rows | {"activities": [*old, *early]})
    assert await named() != first
