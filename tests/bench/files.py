"""Files in and out at size: opportunities with their history as Salesforce exports them, the undo, and a million rows out.

Each is done by a process of its own, whose greatest memory is told beside the time, and how much processor time it and
PostgreSQL took: on a machine that has other things to do, the time on the clock tells of them too.
"""

import asyncio
import multiprocessing
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from service import changes, ledger, statistics
from service.access import SYSTEM
from service.db import Database
from service.importing import runs
from service.settings import ROOT
from tests.bench.exporting import Clock, Measured
from tests.bench.table import Row
from tests.servers import Servers
from tests.service import salesforce_files

FILES = ("User", "Product2", "Pricebook", "Account", "Contact", "Opportunity", "OpportunityHistory")
COMMAND = "python -m tests.bench files"


def rows(deals: int = 100_000, out: int = 1_000_000) -> list[Row]:
    """`deals` opportunities in and undone, `out` contacts out as CSV, NDJSON and Parquet."""
    servers = Servers()
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="sales-bench-") as name:
        folder = Path(name)
        try:
            database = servers.create_database()
            url, owner = servers.app_url(database), servers.owner_url(database)
            _apart(_write, folder / "files", deals)
            made, undone, versions = _apart(_import, url, owner, folder / "files")
            told = f"{versions:,} versions; {made.processor}"
            found += [
                Row(f"{deals:,} opportunities in, with history", made.seconds, 60, "s", COMMAND, told),
                Row("… their memory", made.megabytes, 400, "MB", COMMAND),
                Row("… undone", undone.seconds, 60, "s", COMMAND, undone.processor),
            ]
            url = servers.app_url(servers.create_database())
            _apart(_fill, url, out)
            for form in ("csv", "ndjson", "parquet"):
                gone = _export(url, folder / form, form)
                found += [
                    Row(f"{out:,} contacts out as {form}", gone.seconds, 60, "s", COMMAND, gone.processor),
                    Row("… its memory", gone.megabytes, 200, "MB", COMMAND),
                ]
        finally:
            servers.close()
    return found


def _apart(work: Any, *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def _write(folder: Path, deals: int) -> None:
    """In a process of its own: the generator holds the whole company."""
    folder.mkdir()
    salesforce_files.write(folder, deals)
    for path in folder.iterdir():
        if path.stem not in FILES:
            path.unlink()


def _import(url: str, owner: str, folder: Path) -> tuple[Measured, Measured, int]:
    return asyncio.run(_imported(url, owner, folder))


async def _imported(url: str, owner: str, folder: Path) -> tuple[Measured, Measured, int]:
    """The import with the statistics that its worker makes anew behind it, then the undo."""
    database = await Database.open(url, min_size=4, max_size=4)
    clock = await Clock.start(database)
    made = await runs.run(database, folder, "salesforce")
    await statistics.refresh(owner, made["counts"])
    taken = await clock.measured(database, made["counts"]["opportunities"]["created"])
    if made["errors"]:
        raise RuntimeError(f"the import found {len(made['errors'])} errors")
    versions = await database.fetchval(
        "SELECT count(*) FROM history.opportunities /* access:opportunities */"
    )
    clock = await Clock.start(database)
    await changes.undo(database, SYSTEM, UUID(made["change_id"]))
    undone = await clock.measured(database, taken.rows)
    await database.close()
    return taken, undone, versions


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


def _export(url: str, path: Path, form: str) -> Measured:
    """In a process that has the product loaded and nothing of the bench."""
    command = [sys.executable, "-m", "tests.bench.exporting", url, str(path), form]
    told = subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return msgspec.json.decode(told.stdout, type=Measured)
