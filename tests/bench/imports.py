"""Files in, and 10,000 deals scored anew: on servers of the bench's own."""

import asyncio
import time
from pathlib import Path

from service.db import Database
from service.domains import imports
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


async def _seconds(url: str, folder: Path) -> float:
    database = await Database.open(url, max_size=4)
    began = time.perf_counter()
    result = await imports.run(database, folder, "maven")
    taken = time.perf_counter() - began
    await database.close()
    if result["errors"]:
        raise RuntimeError(f"the import found {len(result['errors'])} errors")
    return taken
