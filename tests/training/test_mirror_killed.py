"""MLflow over the death of its database and of whoever tells it: a reason that names it, and each version there once."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import numpy as np
import pytest

from features.catalogue import SETS
from ml.baseline import Constant
from ml.frame import Frame
from registry import champion
from registry.verdict import Gate
from service.access import SYSTEM
from service.db import Database
from service.jobs import enqueue
from service.settings import ROOT, Settings
from service.worker import Worker
from service.worker_main import handlers
from tests.servers import Servers
from training import run
from training.__main__ import connected
from training.trained import Evidence, Trained

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.proof]


@pytest.fixture
def mlflow_name(servers: Servers) -> Any:
    name = servers.create_database(template=None)
    yield name
    servers.drop_database(name)


@pytest.fixture
def settings(settings: Settings, servers: Servers, mlflow_name: str, tmp_path: Path) -> Settings:
    return msgspec.structs.replace(
        settings,
        mlflow_database_url=servers.owner_url(mlflow_name),
        mlflow_artifacts=(tmp_path / "mlflow").as_uri(),
    )


@pytest.fixture
async def training(settings: Settings, database: Database) -> AsyncIterator[run.Training]:
    connection = await connected(settings)
    yield run.Training(connection, datetime.now(UTC), settings.home / "models", by="test")
    await connection.close()


def candidate() -> Trained:
    """A version that is small and whole."""
    model = Constant().fit(Frame.of({"x": np.arange(2.0)}), np.arange(2.0))
    return Trained(
        model="amount", tier="baseline", text=model.to_text(), feature_set=SETS["deal_win"], features=(), as_of=datetime.now(UTC),
        loss=0.1, gates=(Gate("calibration", True, "fine"),), evidence=Evidence({}, {}), calibration={}, data_sha256="0" * 64,
        metrics={"pinball": {"value": 0.1, "low": 0.0, "high": 0.2, "n": 9}}, rows=2, available=2,
    )  # fmt: skip


async def test_two_runs_at_once_do_not_write_over_each_other(
    database: Database, settings: Settings, training: run.Training
) -> None:
    other = await connected(settings)
    beside = run.Training(other, training.as_of, training.models, by="test")
    made = await asyncio.gather(*(one.register(candidate(), is_chosen=False) for one in (training, beside)))
    await other.close()
    assert len({one["version"] for one in made}) == 2
    for one in made:
        row = await champion.version_row(database, "amount", one["version"])
        assert row["sha256"] == one["sha256"]
        assert row["created_by"] == "test"


def telling(settings: Settings) -> "subprocess.Popen[str]":
    """The process that tells MLflow."""
    return subprocess.Popen(
        [sys.executable, "-m", "training", "mirror"], cwd=ROOT, env={**os.environ, **settings.environment()},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


_WAITERS = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'model_versions'::regclass"


async def cut(mlflow: asyncpg.Connection) -> None:
    """Ends the connection of whoever waits to register a version, once there is one."""
    async with asyncio.timeout(120):
        while not (pids := await mlflow.fetch(_WAITERS)):  # noqa: ASYNC110  # rings no bell
            await asyncio.sleep(0.01)
        for row in pids:
            await mlflow.execute("SELECT pg_terminate_backend($1)", row["pid"])
        while await mlflow.fetch(_WAITERS):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)


async def test_whoever_is_ended_in_the_middle_each_version_is_there_once(
    database: Database, settings: Settings, servers: Servers, mlflow_name: str, training: run.Training
) -> None:
    await database.execute("DELETE FROM jobs")
    worker = Worker(database, handlers(settings))
    servers.drop_database(mlflow_name)  # it is away from the beginning
    job = await enqueue(database, "models.mirror", key="all", actor=SYSTEM)
    await worker.drain()
    row = await database.fetchrow("SELECT * FROM jobs WHERE id = $1", job)
    assert row["status"] == "queued", "it is tried again"
    assert "MLflow cannot be reached" in row["errors"][-1]["detail"]

    servers.create_named(mlflow_name)
    await asyncio.to_thread(telling(settings).communicate, timeout=120)
    for _ in range(2):
        await training.register(candidate(), is_chosen=False)
    mlflow, holder = [await asyncpg.connect(servers.owner_url(mlflow_name)) for _ in range(2)]
    await holder.execute("BEGIN; LOCK TABLE model_versions IN ACCESS EXCLUSIVE MODE")
    process = telling(settings)
    async with asyncio.timeout(120):
        while not await mlflow.fetch(_WAITERS):  # noqa: ASYNC110  # the server rings no bell
            await asyncio.sleep(0.01)
    process.kill()  # in the middle: the run is there, its version is not
    process.communicate()
    await cut(mlflow)
    assert await mlflow.fetchval("SELECT count(*) FROM runs WHERE status = 'RUNNING'") == 1

    process = telling(settings)
    await cut(mlflow)  # and now MLflow's database goes away under it
    said, words = await asyncio.to_thread(process.communicate, timeout=120)
    assert process.returncode == 0, words
    assert "MLflow cannot be reached: it went away after 0 runs" in said

    await holder.execute("COMMIT")
    await database.execute("UPDATE jobs SET run_at = now() WHERE id = $1", job)
    await worker.drain()
    row = await database.fetchrow("SELECT * FROM jobs WHERE id = $1", job)
    assert (row["status"], row["result"]["refused"]) == ("done", [])
    theirs = await mlflow.fetch(
        "SELECT t.value AS version, count(*) AS runs FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'version'"
        " WHERE r.lifecycle_stage = 'active' AND r.status = 'FINISHED' GROUP BY 1"
    )
    ours = await champion.versions(database, "amount")
    assert {one["version"]: one["runs"] for one in theirs} == {str(one["version"]): 1 for one in ours}
    assert (
        await mlflow.fetchval(
            "SELECT count(*) FROM runs WHERE lifecycle_stage = 'active' AND status <> 'FINISHED'"
        )
        == 0
    )
    registered = await mlflow.fetch(
        "SELECT v.value FROM model_version_tags v JOIN model_versions m USING (name, version)"
        " WHERE v.key = 'version' AND m.current_stage <> 'Deleted_Internal'"
    )
    assert sorted(one["value"] for one in registered) == sorted(str(one["version"]) for one in ours)
    for connection in (mlflow, holder):
        await connection.close()


async def test_what_lies_beside_a_model_is_not_told_and_wrong_files_are_named(
    database: Database, settings: Settings, training: run.Training, tmp_path: Path
) -> None:
    """A crafted MLmodel and a pickle beside the files go nowhere; a version whose files are not its own is left out."""
    good, bad = [await training.register(candidate(), is_chosen=False) for _ in range(2)]
    owned = tmp_path / "owned"
    for made in (good, bad):
        folder = settings.home / "models" / "amount" / str(made["version"])
        (folder / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n")
        (folder / "model.pkl").write_bytes(f"cposix\nsystem\n(S'touch {owned}'\ntR.".encode())
    (folder / "manifest.json").write_text("{}")
    said, words = await asyncio.to_thread(telling(settings).communicate, timeout=120)
    told = msgspec.json.decode(said.splitlines()[-1])["result"]
    assert [f"amount version {bad['version']}" in one for one in told["refused"]] == [True], words
    assert sorted({path.name for path in (tmp_path / "mlflow").rglob("*") if path.is_file()}) == [
        "card.md",
        "manifest.json",
        "model.json",
    ]
    assert not owned.exists()
