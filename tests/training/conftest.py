"""A small simulated company, imported by the product's own importer."""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from service.db import Database
from service.importing import runs
from training import synthetic


@pytest.fixture(scope="module")
async def company(database: Database, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the import answered; the company's history ends yesterday."""
    folder = tmp_path_factory.mktemp("company")
    until = date.today() - timedelta(days=1)  # noqa: DTZ011  # the company's days are this machine's
    await asyncio.to_thread(synthetic.write, folder, 300, 5, until, leads=300, landmarks=10)
    return await runs.run(database, folder, "demo")
