"""A worker of the product as a process that a test may kill: with short leases, and a place at which it can be held."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import anyio

from service.db import Database
from service.settings import ROOT, Settings

SCRIPT = """
import asyncio, os, pathlib, signal
from service import backfilling, jobs, settings as given
from service.commands.serve import _work

jobs.LEASE_SECONDS = 2
backfilling.CHUNK = int(os.environ["CHUNK"])
folder = pathlib.Path(os.environ["HOLD"])
fill, filled = backfilling._fill, 0

async def held(store, entity, ids):
    global filled
    await fill(store, entity, ids)
    filled += 1
    if filled == int(os.environ["HOLD_AFTER"]):
        (folder / "reached").touch()
        while (folder / "hold").exists():
            await asyncio.sleep(0.01)

backfilling._fill = held
asyncio.run(_work(given.read(os.environ), drain=False))
"""


class WorkerProcess:
    """Starts when entered; what is left of it is killed at the end. After so many chunks of a backfill it waits as long as
    the file `hold` is there."""

    def __init__(self, settings: Settings, folder: Path, chunk: int = 50, hold_after: int = 3) -> None:
        self.folder = folder
        self.environment = {
            **os.environ, **settings.environment(), "OMP_NUM_THREADS": "1", "HOLD": str(folder), "CHUNK": str(chunk),
            "HOLD_AFTER": str(hold_after), "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        (folder / "reached").unlink(missing_ok=True)

    def __enter__(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT], env=self.environment, stdout=output, stderr=output
            )
        return self.process

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> Path:
        return self.folder / "worker.log"

    async def reached(self) -> None:
        """Returns once it stands at the place where it is held."""
        await until(lambda: (self.folder / "reached").exists(), self.log)


async def until(is_so: Callable[[], Any], log: Path | None = None, seconds: float = 120) -> None:
    """Looks until something is so; `log` is told where it never is."""
    with anyio.move_on_after(seconds):
        while not is_so():  # noqa: ASYNC110  # other processes ring no bell here
            await anyio.sleep(0.03)
        return
    raise AssertionError(f"it never came to that: {_end_of(log)}")


async def job_until(database: Database, job_id: Any, *statuses: str, log: Path | None = None) -> Any:
    """The row of a job once it stands so."""
    row: Any = None
    with anyio.move_on_after(150):
        while True:
            row = await database.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)
            if row["status"] in statuses:
                return row
            await anyio.sleep(0.02)
    raise AssertionError(f"{row['status']} {row['errors']}\n{_end_of(log)}")


def _end_of(log: Path | None) -> str:
    return log.read_text()[-3000:] if log and log.exists() else ""
