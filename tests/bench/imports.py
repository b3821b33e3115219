"""Files in, and 10,000 deals scored anew: on servers of the bench's own."""

import asyncio
import tempfile
import time
from pathlib import Path

from service.db import Database
from service.importing import runs
from service.rescoring import score_all
from service.settings import Settings, read
from tests.bench.company import build
from tests.bench.requests import environment
from tests.bench.table import Row
from tests.servers import Servers


def rows(folder: Path) -> list[Row]:
    """The public data set into an empty database, history and all."""
    if not folder.is_dir():
        return [
            Row(
                "Maven import, with history",
                None,
                20,
                "s",
                "python -m tests.bench maven",
                "no data beside this clone",
            )
        ]
    servers = Servers()
    try:
        name = servers.create_database()
        taken = asyncio.run(_seconds(servers.app_url(name), folder))
    finally:
        servers.close()
    return [Row("Maven import, with history", taken, 20, "s", "python -m tests.bench maven")]


def rescoring(deals: int = 10_000) -> list[Row]:
    """All open deals scored anew, features included, by the tier that serves a company without a champion."""
    servers = Servers()
    with tempfile.TemporaryDirectory(prefix="sales-bench-") as folder:
        try:
            settings = read(environment(Path(folder), servers, servers.create_database()))
            taken = asyncio.run(_rescored(settings, deals))
        finally:
            servers.close()
    return [
        Row(f"{deals:,} deals rescored", taken, 60, "s", "python -m tests.bench scores", "without a champion")
    ]


async def _rescored(settings: Settings, deals: int) -> float:
    async def silent(done: int, total: int) -> None:
        """Nobody watches."""

    database = await Database.open(settings.database_app_url, max_size=4)
    await build(database, deals)
    began = time.perf_counter()
    counts = await score_all(database, settings, silent)
    taken = time.perf_counter() - began
    await database.close()
    if counts["deals"] != deals:
        raise RuntimeError(f"{counts['deals']} deals were scored, not {deals}")
    return taken


async def _seconds(url: str, folder: Path) -> float:
    database = await Database.open(url, max_size=4)
    began = time.perf_counter()
    result = await runs.run(database, folder, "maven")
    taken = time.perf_counter() - began
    await database.close()
    if result["errors"]:
        raise RuntimeError(f"the import found {len(result['errors'])} errors")
    return taken
