"""What PostgreSQL's planner knows of the tables, learned anew where an import changed them beyond recognition.

PostgreSQL does so by itself about a minute later; until then it plans for tables as they were, and a plan for an empty
table takes minutes on a full one. Only an owner may ask for it (a right of its own, MAINTAIN, came with PostgreSQL 17),
so the job has a connection of the owner's.
"""

from collections.abc import Iterable
from typing import Any

import asyncpg

from service import jobs
from service.db import Database, metadata
from service.jobs import Job
from service.settings import Settings
from service.worker import Handler

MANY = 1_000
"""Rows written at once from which on the statistics are learned anew."""
BESIDE = ("ledger.events", "import_rows", "jobs")
"""Tables that every import fills."""


async def ask(database: Database, written: dict[str, int]) -> None:
    """Queues the job for those of the tables (table → rows written) that have changed much."""
    tables = sorted(table for table, rows in written.items() if rows >= MANY)
    if tables:
        await jobs.enqueue(database, "tables.analyze", {"tables": tables})


async def refresh(owner_url: str, tables: Iterable[str]) -> list[str]:
    """Learns the statistics of these business tables and of their histories; returns the names of all that it read."""
    known = [table for table in tables if table in metadata.tables]
    names = [name for table in known for name in (table, f"history.{table}")] + list(BESIDE)
    owner = await asyncpg.connect(owner_url)
    try:
        for name in names:
            await owner.execute(f"ANALYZE {name}")
    finally:
        await owner.close()
    return names


def handlers(settings: Settings) -> dict[str, Handler]:
    async def work(job: Job) -> dict[str, Any]:
        return {"tables": await refresh(settings.database_url, job.payload["tables"])}

    return {"tables.analyze": work}
