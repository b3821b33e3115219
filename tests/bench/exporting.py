"""All contacts of a database into a file, measured: `python -m tests.bench.exporting URL PATH FORMAT`."""

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil

from service import query
from service.access import SYSTEM
from service.db import Database
from service.exporting import streams
from service.exporting.streams import Selection
from service.query import Request
from service.resources import RESOURCES


class Measured(NamedTuple):
    seconds: float
    megabytes: float
    rows: int
    processor: str


class Clock:
    """Seconds on the clock and of the processors, since it was made: of this process and of its connections' servers."""

    @classmethod
    async def start(cls, database: Database) -> "Clock":
        clock = cls()
        clock.there = await _servers(database)
        clock.here, clock.began = time.process_time(), time.perf_counter()
        return clock

    here: float
    there: float
    began: float

    async def measured(self, database: Database, rows: int) -> Measured:
        taken, here = time.perf_counter() - self.began, time.process_time() - self.here
        there = await _servers(database) - self.there
        return Measured(taken, memory(), rows, f"processor: {here:.1f} s, PostgreSQL {there:.1f} s")


async def _servers(database: Database) -> float:
    """Processor seconds of all of PostgreSQL's processes that serve this database."""
    found = await database.fetch("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
    return sum(sum(psutil.Process(row["pid"]).cpu_times()[:2]) for row in found)


def memory() -> float:
    """The most that this process held, in MB: unlike `ru_maxrss` it does not begin with what its parent held."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


async def exported(url: str, path: Path, form: Any) -> Measured:
    async def silent(rows: int) -> None:
        """Nobody watches."""

    database = await Database.open(url, max_size=2)
    clock = await Clock.start(database)
    contacts = RESOURCES["contacts"]
    builder = await query.prepared(database, contacts.source, SYSTEM, Request())
    with path.open("wb") as file:  # nothing else runs in this process
        number = await streams.write(database, Selection(contacts, builder), form, file, silent)
    gone = await clock.measured(database, number)
    await database.close()
    return gone


if __name__ == "__main__":
    found = asyncio.run(exported(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
    sys.stdout.write(msgspec.json.encode(found).decode())
