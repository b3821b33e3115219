"""A training over the death of its worker, of itself and of Redis: it resumes or ends with its reason, and whoever served
goes on serving; no process of it stays behind."""

import asyncio
import os
import signal
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from registry import bundle, champion
from service.access import SYSTEM
from service.db import Database
from service.embedded import Valkey, start_valkey
from service.importing import runs
from service.jobs import enqueue
from service.settings import Settings
from tests.service.worker_process import WorkerProcess, job_until, until
from training import synthetic

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.proof]


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
async def company(database: Database, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A company just large enough to learn amounts from, with nothing else to do for its worker."""
    folder = tmp_path_factory.mktemp("company")
    until = date.today() - timedelta(days=1)  # noqa: DTZ011  # the company's days are this machine's
    await asyncio.to_thread(synthetic.write, folder, 120, 5, until, leads=20, landmarks=5)
    await runs.run(database, folder, "demo")
    await database.execute("DELETE FROM jobs")


def fitting(worker: int) -> list[psutil.Process]:
    """The training of a worker with its own processes, once these are there: then it is in the middle."""
    for child in psutil.Process(worker).children():
        below = [one for one in child.children() if "spawn_main" in " ".join(one.cmdline())]
        if below:
            return [child, *below]
    return []


async def registered(database: Database, settings: Settings) -> list[int]:
    """All versions; the files of each are whole and are those that were registered."""
    rows = await champion.versions(database, "amount")
    for row in rows:
        bundle.read(settings.home / "models", "amount", row["version"], row["sha256"])
    left = [path.name for path in (settings.home / "models").rglob(".*")]
    assert left == [], "nothing half written"
    return [row["version"] for row in rows]


async def asked(database: Database) -> Any:
    return await enqueue(database, "models.learn", {"models": ["amount"]}, actor=SYSTEM, key="amount")


async def test_it_resumes_after_the_death_of_worker_and_redis_and_ends_with_its_reason_after_its_own(
    database: Database, settings: Settings, valkey: Valkey, company: None, tmp_path: Path
) -> None:
    job = await asked(database)
    held = WorkerProcess(settings, tmp_path)
    with held as process:
        await until(lambda: fitting(process.pid), held.log)
        orphans = fitting(process.pid)
        process.kill()
        process.wait()
    os.kill(int((valkey.folder / "pid").read_text()), signal.SIGKILL)
    await until(lambda: not any(one.is_running() and one.status() != "zombie" for one in orphans), seconds=30)
    assert await champion.champion(database, "amount") is None
    assert (await database.fetchval("SELECT status FROM jobs WHERE id = $1", job)) == "running"
    await registered(database, settings)

    with WorkerProcess(settings, tmp_path) as process:
        row = await job_until(database, job, "done", "failed", log=held.log)
        assert (row["status"], row["attempts"]) == ("done", 2), row["errors"]
        serving = await champion.champion(database, "amount")
        assert serving is not None
        assert serving["version"] in await registered(database, settings)

        job = await asked(database)
        await until(lambda: fitting(process.pid), held.log)
        training, *below = fitting(process.pid)
        training.kill()
        row = await job_until(database, job, "done", "failed", log=held.log)
        assert row["status"] == "failed"
        assert "Training was ended by SIGKILL from outside" in row["errors"][-1]["detail"]
        await until(
            lambda: not any(one.is_running() and one.status() != "zombie" for one in below), seconds=30
        )
    assert await champion.champion(database, "amount") == serving, "the old champion serves"
    await registered(database, settings)
