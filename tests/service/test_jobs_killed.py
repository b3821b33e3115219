"""Jobs over the death of their worker and of Redis: none is lost, and each has one effect."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis.asyncio as redis

from service import jobs
from service.db import Database
from service.embedded import Valkey, start_valkey
from service.ids import new_id
from tests.servers import Servers

pytestmark = [pytest.mark.anyio, pytest.mark.proof]

WORKER = """
import asyncio, os, random
from service import jobs, relay
from service.db import Database
from service.worker import Worker

jobs.LEASE_SECONDS = int(os.environ["LEASE"])

async def main():
    database = await Database.open(os.environ["DATABASE_APP_URL"], min_size=1, max_size=8)

    async def probe(job):
        await database.execute("INSERT INTO probe_runs (job_id) VALUES ($1)", job.id)
        await asyncio.sleep(random.random() * 0.01)
        await database.execute("INSERT INTO probe_effects (job_id) VALUES ($1) ON CONFLICT DO NOTHING", job.id)
        await asyncio.sleep(random.random() * 0.01)

    worker = Worker(database, {"probe": probe})
    listening = asyncio.create_task(relay.listen(os.environ["REDIS_URL"], worker.ring))
    await worker.run()

asyncio.run(main())
"""
TABLES = """
CREATE TABLE probe_runs (job_id uuid NOT NULL);
CREATE TABLE probe_effects (job_id uuid PRIMARY KEY);
GRANT SELECT, INSERT ON probe_runs, probe_effects TO PUBLIC;
"""
PROMISED_SECONDS = 30
"""Within which the work of a worker that fell is done by another."""


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """One of the test's own, to be killed."""
    server = start_valkey(tmp_path / "home")
    yield server
    server.stop()


class Workers:
    """One worker at a time, in a process of its own."""

    def __init__(self, database_url: str, redis_url: str, lease: int, log: Path) -> None:
        self.environment = {
            **os.environ, "DATABASE_APP_URL": database_url, "REDIS_URL": redis_url, "LEASE": str(lease),
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        self.log = log
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-c", WORKER], env=self.environment, stdout=output, stderr=output
            )

    def kill(self) -> None:
        """SIGKILL; it must have lived until then, whatever happened to Redis."""
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        self.process.kill()
        self.process.wait()


async def put(database: Database, total: int) -> None:
    """Enqueues jobs in transactions of several, some of which are rolled back."""
    chance, left = random.Random(5), total
    while left:
        count = min(left, chance.randint(1, 10))
        try:
            async with database.begin() as tx:
                for number in range(count):
                    await jobs.enqueue(tx, "probe", {"number": left - number}, event_id=new_id())
                if chance.random() < 0.1:
                    raise RuntimeError
        except RuntimeError:
            continue
        left -= count
        await asyncio.sleep(0)


async def until(database: Database, least: int, patience: float) -> None:
    """Waits until so many effects are there."""
    async with asyncio.timeout(patience):
        while await database.fetchval("SELECT count(*) FROM probe_effects") < least:  # noqa: ASYNC110  # no bell rings
            await asyncio.sleep(0.02)


async def test_jobs_outlive_their_worker_and_redis(
    servers: Servers, database_name: str, valkey: Valkey, tmp_path: Path, size: Callable[[int, int], int]
) -> None:
    with psycopg.connect(servers.owner_url(database_name), autocommit=True) as owner:
        owner.execute(TABLES)
    total, kills, lease = size(80, 2_000), size(2, 20), size(2, jobs.LEASE_SECONDS)
    database = await Database.open(servers.app_url(database_name), min_size=1, max_size=4)
    workers = Workers(servers.app_url(database_name), valkey.url, lease, tmp_path / "worker.log")
    try:
        putting = asyncio.create_task(put(database, total))
        for kill in range(1, kills + 1):
            await until(database, total * kill // (kills + 1), 300)
            if kill == kills // 2:
                async with redis.from_url(valkey.url) as bare:
                    await bare.flushall()
            elif kill % 3 == 2:
                os.kill(int((valkey.folder / "pid").read_text()), signal.SIGKILL)
                await asyncio.to_thread(valkey.start)
            workers.kill()
            workers.process = workers.start()
        await putting
        await until(database, total, PROMISED_SECONDS)
        async with asyncio.timeout(PROMISED_SECONDS):
            while await database.fetchval("SELECT count(*) FROM jobs WHERE type = 'probe'"):  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.02)
        assert await database.fetchval("SELECT count(*) FROM probe_effects") == total
        assert await database.fetchval("SELECT count(*) FROM probe_runs") >= total
    finally:
        workers.kill()
        await database.close()
