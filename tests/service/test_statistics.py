"""Statistics of tables: behind a great import the planner knows what it wrote, and a small one asks for nothing."""

import pytest

from service import statistics
from service.access import SYSTEM
from service.db import Database
from service.importer import Importer
from service.importing import runs
from service.importing.records import Record, Version
from service.resources import RESOURCES
from service.settings import Settings
from service.worker import Worker

pytestmark = pytest.mark.anyio

WAITING = "SELECT payload -> 'tables' FROM jobs WHERE type = 'tables.analyze' AND status = 'queued'"


async def imported(database: Database, rows: int) -> None:
    """As the end of a job does it."""
    importer = Importer(database, SYSTEM, f"statistics {rows}", RESOURCES)
    records = [Record("accounts", str(n), [Version({"name": f"Company {n}"})]) for n in range(rows)]
    report = await importer.run(lambda: records)
    job = await database.fetchval(
        "INSERT INTO jobs (id, type, status) VALUES (gen_random_uuid(), 'import', 'running') RETURNING id"
    )
    await runs.close(database, job, report)


async def test_a_great_import_is_known_to_the_planner(database: Database, settings: Settings) -> None:
    await imported(database, statistics.MANY - 1)
    assert await database.fetchval(WAITING) is None
    await imported(database, statistics.MANY)
    assert await database.fetchval(WAITING) == ["accounts"]

    async def nothing(job: object) -> None:
        """What else follows from an import is tried elsewhere."""

    others = ("models.learn", "score.all", "search.rebuild", "duplicates.scan")
    await Worker(database, dict.fromkeys(others, nothing) | statistics.handlers(settings)).drain()
    known = await database.fetch(
        "SELECT schemaname, tablename FROM pg_stats WHERE attname = 'name' AND tablename = 'accounts'"
    )
    assert {row["schemaname"] for row in known} == {"public", "history"}
    told = await database.fetchval("SELECT result -> 'tables' FROM jobs WHERE type = 'tables.analyze'")
    assert set(told) == {"accounts", "history.accounts", *statistics.BESIDE}
