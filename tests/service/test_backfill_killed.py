"""A backfill of the online store over the death of its worker and of Redis: what is open is there in the end, all of it."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from features.catalogue import ENTITIES
from features.online import key
from service import backfilling
from service.access import SYSTEM
from service.db import Database
from service.embedded import Valkey, start_valkey
from service.jobs import enqueue
from service.settings import Settings
from tests.bench.company import build
from tests.service.worker_process import WorkerProcess, job_until

pytestmark = [pytest.mark.anyio, pytest.mark.proof]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Redis of the module's own, which may be killed."""
    server = start_valkey(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def settings(settings: Settings, valkey: Valkey) -> Settings:
    return msgspec.structs.replace(settings, redis_url=valkey.url)


@pytest.fixture(scope="module")
async def entities(database: Database, size: Callable[[int, int], int]) -> dict[str, list[str]]:
    """Entity → the ids that must be there in the end."""
    await build(database, deals=size(200, 20_000), people=20, led=10)
    return {
        entity: [str(row["id"]) for row in await database.fetch(sql)]
        for entity, sql in backfilling.WHOSE.items()
    }


async def stored(valkey: Valkey, entities: dict[str, list[str]]) -> dict[str, int]:
    """How many of each entity Redis holds."""
    redis: Any = Redis.from_url(valkey.url)
    found = {}
    for entity, ids in entities.items():
        found[entity] = await redis.exists(*(key(ENTITIES[entity], one) for one in ids)) if ids else 0
    await redis.aclose()
    return found


async def emptied(valkey: Valkey) -> None:
    redis: Any = Redis.from_url(valkey.url)
    await redis.flushall()
    await redis.aclose()


@pytest.mark.parametrize("harm", ["worker", "redis", "flushall", "worker and redis"])
async def test_what_is_killed_in_the_middle_loses_nothing(
    database: Database, settings: Settings, valkey: Valkey, entities: dict[str, list[str]], tmp_path: Path, harm: str,
    size: Callable[[int, int], int],
) -> None:  # fmt: skip
    await emptied(valkey)
    (settings.home / "backfill.json").unlink(missing_ok=True)
    (tmp_path / "hold").touch()
    job = await enqueue(database, "features.backfill", key="all", actor=SYSTEM)
    held = WorkerProcess(settings, tmp_path, size(100, 500))
    with held as process:
        await held.reached()
        half = sum((await stored(valkey, entities)).values())
        assert 0 < half < sum(map(len, entities.values()))
        if "worker" in harm:
            process.kill()
            process.wait()
        if "redis" in harm:
            os.kill(int((valkey.folder / "pid").read_text()), signal.SIGKILL)
        if harm == "flushall":
            await emptied(valkey)
        (tmp_path / "hold").unlink()
        if harm == "redis":
            row = await job_until(database, job, "queued", log=held.log)
            assert "Redis cannot be reached" in row["errors"][-1]["detail"], "the reason names what is away"
            valkey.start()
            await database.execute("UPDATE jobs SET run_at = now() WHERE id = $1", job)
        if harm in ("redis", "flushall"):
            row = await job_until(database, job, "done", "failed", log=held.log)
    if "worker" in harm:
        if "redis" in harm:
            valkey.start()
        again = WorkerProcess(settings, tmp_path, size(100, 500))
        with again:
            row = await job_until(database, job, "done", "failed", log=again.log)
        assert row["attempts"] == 2
    assert row["status"] == "done", row["errors"]
    whole = {entity: len(ids) for entity, ids in entities.items()}
    assert row["result"]["entities"] == whole
    assert await stored(valkey, entities) == whole
    assert not (settings.home / "backfill.json").exists()
