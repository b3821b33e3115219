"""Bad files hurt nobody: each of some hundreds is named by row and column or refused in a sentence; the rest goes in."""

import asyncio
import contextlib
import tracemalloc
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.db import Database
from service.errors import Invalid
from service.importer import Importer
from service.importing import matching, plain, sheets
from service.importing.records import Report
from service.importing.targets import targets
from service.resources import RESOURCES
from tests.conftest import People
from tests.service.broken_files import HEADER, Broken, files

pytestmark = pytest.mark.anyio

DEALS = RESOURCES["opportunities"]
BOUND = 150_000_000
"""Bytes that Python may hold at most while it reads any of them; the largest line has 20 million."""


async def judged(database: Database, people: People, path: Path, file: Broken) -> Report:
    """As `POST /imports` with `dry_run` does it."""
    await asyncio.to_thread(path.write_bytes, file.content)
    sheet = sheets.look(path, file.name)
    fields = targets(DEALS)
    settled = matching.settled(sheet, fields, {name: name for name in HEADER if name in sheet.columns})
    if not settled:
        raise Invalid("no column goes into a field")
    importer = Importer(database, people.ops.actor, "broken", RESOURCES, completes=True)
    return await importer.run(
        lambda: plain.records(sheet, "opportunities", settled, importer.now), dry_run=True
    )


def test_there_are_more_than_two_hundred_each_of_its_own_kind() -> None:
    found = [file.name for file in files()]
    assert len(found) == len(set(found)) > 250


async def test_each_is_named_or_refused_and_nothing_else_is_lost(
    database: Database, people: People, tmp_path: Path
) -> None:
    wrong: list[Any] = []
    for file in files():
        try:
            report = await judged(database, people, tmp_path / "file", file)
        except Invalid as error:
            if file.faults is not None or len(error.detail) < 15:
                wrong.append((file.name, error.detail))
            continue
        if file.faults is None:
            if not report.errors or report.counts.get("opportunities", {}).get("created", 0) > 4:
                wrong.append((file.name, "was taken", report.counts))
            continue
        found = [(fault.line, fault.column) for fault in report.errors]
        created = report.counts.get("opportunities", {}).get("created", 0)
        told = all(len(fault.detail) > 5 and len(fault.value) <= 200 for fault in report.errors)
        if found != file.faults or created != file.rows or not told:
            wrong.append((file.name, found, created, [fault.detail[:80] for fault in report.errors][:2]))
    assert wrong == [], "\n".join(map(str, wrong))


async def test_memory_is_bounded_whatever_the_file(
    database: Database, people: People, tmp_path: Path
) -> None:
    heavy = [file for file in files() if len(file.content) > 1_000_000 or "bomb" in file.name]
    assert len(heavy) > 5
    tracemalloc.start()
    try:
        for file in heavy:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            with contextlib.suppress(Invalid):
                await judged(database, people, tmp_path / "file", file)
            assert tracemalloc.get_traced_memory()[1] - before < BOUND, file.name
    finally:
        tracemalloc.stop()


async def test_what_is_no_file_is_refused_at_the_door(client: httpx.AsyncClient, people: People) -> None:
    """With one sentence, before a job begins; and nothing remains of it."""
    for file in files():
        if file.faults is None and len(file.content) < 1_000_000:
            answer = await client.post(
                "/imports", headers=people.ops.headers, files={"file": (file.name, file.content)},
                data={"resource": "opportunities", "dry_run": "true"},
            )  # fmt: skip
            assert answer.status_code in (202, 422), (file.name, answer.text)
            if answer.status_code == 422:
                assert answer.json()["detail"].strip(), file.name


async def test_nothing_of_all_that_is_stored(database: Database) -> None:
    assert await database.fetchval("SELECT count(*) FROM opportunities /* access:opportunities */") == 0
