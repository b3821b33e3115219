"""An import over the death of its worker by SIGKILL: each row is in once, and the undo takes all of it back."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service.db import Database
from service.settings import Settings
from tests.conftest import People

pytestmark = pytest.mark.anyio

WORKER = """
import asyncio, os
from service import jobs, settings
from service.db import Database
from service.importing import ordering, runs
from service.worker import Worker

jobs.LEASE_SECONDS = 1
ordering.CHUNK = 50

async def main():
    told = settings.read(os.environ)
    database = await Database.open(told.database_app_url, min_size=1, max_size=4)
    await Worker(database, runs.handlers(told)).run()

asyncio.run(main())
"""


def start(settings: Settings, log: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, **settings.environment(), "OMP_NUM_THREADS": "1"}
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, "-c", WORKER], env=environment, stdout=output, stderr=output)


async def test_a_worker_killed_again_and_again_imports_each_row_once(
    client: httpx.AsyncClient,
    people: People,
    database: Database,
    settings: Settings,
    tmp_path: Path,
    size: Callable[[int, int], int],
) -> None:
    rows, kills = size(3_000, 60_000), size(2, 20)
    text = "id,last_name\n" + "".join(f"{n},Killed {n}\n" for n in range(rows))
    answer = await client.post(
        "/imports", headers=people.ops.headers, files={"file": ("contacts.csv", text.encode())},
        data={"resource": "contacts", "source": "killed", "mapping": '{"id": "external_id", "last_name": "last_name"}'},
    )  # fmt: skip
    assert answer.status_code == 202, answer.text
    job = answer.json()["job"]
    log = tmp_path / "worker.log"
    worker = start(settings, log)
    try:
        for kill in range(1, kills + 1):
            await reached(database, job, rows * kill // (kills + 2))
            worker.kill()  # SIGKILL
            worker.wait()
            worker = start(settings, log)
        await reached(database, job, None)
    finally:
        worker.kill()
        worker.wait()
    done = (await client.get(f"/jobs/{job}", headers=people.ops.headers)).json()
    assert (done["status"], done["errors"]) == ("done", []), log.read_text()[-2000:]
    assert done["counts"] == {"created": rows, "updated": 0, "unchanged": 0, "failed": 0}
    counted = (
        "SELECT count(*), count(DISTINCT external_ids ->> 'killed') FROM contacts"
        " WHERE external_ids ? 'killed' AND deleted_at IS NULL /* access:contacts */"
    )
    assert tuple(await database.fetchrow(counted)) == (rows, rows)
    undone = await client.post(f"/jobs/{job}/undo", headers=people.ops.headers)
    assert undone.json()["counts"] == {"contacts": rows}
    assert tuple(await database.fetchrow(counted)) == (0, 0)


async def reached(database: Database, job: str, position: int | None) -> None:
    """Until the import stands behind this row, or (None) has ended."""
    async with asyncio.timeout(240):
        while True:
            row = await database.fetchrow("SELECT status, processed FROM jobs WHERE id = $1::text::uuid", job)
            if row["status"] in ("done", "failed") or (position is not None and row["processed"] > position):
                return
            await asyncio.sleep(0.01)
