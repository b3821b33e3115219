"""Files in and out at size: opportunities with their history as Salesforce exports them, the undo, and a million rows out.

Each is done by a process of its own, whose greatest memory is told beside the time.
"""

import asyncio
import multiprocessing
import re
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from service import changes, ledger
from service.access import SYSTEM
from service.db import Database
from service.exporting import streams
from service.exporting.streams import Selection
from service.importing import runs
from service.query import Request
from service.resources import RESOURCES
from tests.bench.table import Row
from tests.servers import Servers
from tests.service import salesforce_files

FILES = ("User", "Product2", "Pricebook", "Account", "Contact", "Opportunity", "OpportunityHistory")
COMMAND = "python -m tests.bench files"


class Measured(NamedTuple):
    seconds: float
    megabytes: float
    rows: int


def rows(deals: int = 100_000, out: int = 1_000_000) -> list[Row]:
    """`deals` opportunities in and undone, `out` contacts out as CSV, NDJSON and Parquet."""
    servers = Servers()
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="sales-bench-") as name:
        folder = Path(name)
        try:
            url = servers.app_url(servers.create_database())
            _apart(_write, folder / "files", deals)
            made, undone, versions = _apart(_import, url, folder / "files")
            told = f"{versions:,} versions, {made.megabytes:.0f} MB"
            found += [
                Row(f"{deals:,} opportunities in, with history", made.seconds, 60, "s", COMMAND, told),
                Row("… their memory", made.megabytes, 400, "MB", COMMAND),
                Row("… undone", undone.seconds, 60, "s", COMMAND),
            ]
            url = servers.app_url(servers.create_database())
            _apart(_fill, url, out)
            for form in ("csv", "ndjson", "parquet"):
                gone = _apart(_export, url, folder / form, form)
                found += [
                    Row(f"{out:,} contacts out as {form}", gone.seconds, 60, "s", COMMAND),
                    Row("… its memory", gone.megabytes, 200, "MB", COMMAND),
                ]
        finally:
            servers.close()
    return found


def _apart(work: Any, *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def _memory() -> float:
    """The most that this process held, in MB: unlike `ru_maxrss` it does not begin with what its parent held."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def _write(folder: Path, deals: int) -> None:
    """In a process of its own: the generator holds the whole company."""
    folder.mkdir()
    salesforce_files.write(folder, deals)
    for path in folder.iterdir():
        if path.stem not in FILES:
            path.unlink()


def _import(url: str, folder: Path) -> tuple[Measured, Measured, int]:
    return asyncio.run(_imported(url, folder))


async def _imported(url: str, folder: Path) -> tuple[Measured, Measured, int]:
    database = await Database.open(url, max_size=4)
    began = time.perf_counter()
    made = await runs.run(database, folder, "salesforce")
    taken = time.perf_counter() - began
    if made["errors"]:
        raise RuntimeError(f"the import found {len(made['errors'])} errors")
    number = made["counts"]["opportunities"]["created"]
    versions = await database.fetchval(
        "SELECT count(*) FROM history.opportunities /* access:opportunities */"
    )
    memory = _memory()
    began = time.perf_counter()
    await changes.undo(database, SYSTEM, UUID(made["change_id"]))
    undone = time.perf_counter() - began
    await database.close()
    return Measured(taken, memory, number), Measured(undone, _memory(), number), versions


def _fill(url: str, number: int) -> None:
    asyncio.run(_filled(url, number))


async def _filled(url: str, number: int) -> None:
    database = await Database.open(url, max_size=2)
    for start in range(0, number, 100_000):
        async with database.begin() as tx:
            await ledger.record(tx, SYSTEM, "contact.imported", "contact")
            await tx.execute(
                "INSERT INTO contacts (id, last_name, first_name, email, phone, title, cf) SELECT gen_random_uuid(), 'Name ' || n,"
                " 'First', 'n' || n || '@x.example', '+49 30 ' || n, 'Head of Sales', '{\"shoe\": 44}'"
                " FROM generate_series($1::int, $2::int) n",
                start,
                min(number, start + 100_000) - 1,
            )
    await database.close()


def _export(url: str, path: Path, form: Any) -> Measured:
    return asyncio.run(_exported(url, path, form))


async def _exported(url: str, path: Path, form: Any) -> Measured:
    async def silent(rows: int) -> None:
        """Nobody watches."""

    database = await Database.open(url, max_size=2)
    began = time.perf_counter()
    with path.open("wb") as file:  # nothing else runs in this process
        number = await streams.write(
            database, Selection(RESOURCES["contacts"], SYSTEM, Request()), form, file, silent
        )
    taken = time.perf_counter() - began
    await database.close()
    return Measured(taken, _memory(), number)
