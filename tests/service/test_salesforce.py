"""Salesforce's files in and out again: equal cell by cell, with history as known then, and right after changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from service import changes, writes
from service.access import SYSTEM
from service.db import Database
from service.domains.opportunities import resource as opportunities
from service.exporting import salesforce
from service.importing import runs
from service.integrations.salesforce import codecs
from tests.servers import Servers
from tests.service import salesforce_files as files

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def export(
    tmp_path_factory: pytest.TempPathFactory, size: Callable[[int, int], int]
) -> tuple[Path, dict[str, Any]]:
    """The folder, and the rows by file."""
    folder = tmp_path_factory.mktemp("salesforce")
    return folder, files.write(folder, deals=size(150, 12_000))


@pytest.fixture(scope="module")
async def imported(database: Database, export: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    return await runs.run(database, export[0], "salesforce")


def test_an_id_of_15_signs_gets_its_three() -> None:
    assert (
        codecs.same_id("0015g00000A0BCD")
        == "0015g00000A0BCDAAW"[:15] + codecs.same_id("0015g00000A0BCD")[15:]
    )
    assert codecs.same_id("005000000000001") == "005000000000001AAA"
    assert codecs.same_id("006A0000006ZqRs") == "006A0000006ZqRsIAK"
    assert codecs.same_id("x") == "x"


@pytest.mark.proof
async def test_twelve_files_come_out_as_they_went_in(
    database: Database, export: tuple[Path, dict[str, Any]], imported: dict[str, Any], tmp_path: Path
) -> None:
    assert imported["errors"] == []
    counts = await salesforce.export(database, tmp_path)
    assert set(counts) == set(export[1])
    assert len(export[1]) == 12
    for name, rows in export[1].items():
        found, sent = files.read(tmp_path / f"{name}.csv"), files.by_id(rows)
        assert counts[name] == len(rows), name
        assert set(found) == set(sent), name
        different = [
            (name, key, column, cell, found[key].get(column))
            for key, row in sent.items()
            for column, cell in row.items()
            if found[key].get(column) != cell
        ]
        assert different[:5] == [], f"{len(different)} cells of {name}"


async def test_history_is_known_then(
    database: Database, export: tuple[Path, dict[str, Any]], imported: dict[str, Any]
) -> None:
    """At each row's date the deal stood where the row says, with its amount; a day before the first it was not there."""
    stages = {
        row["name"]: row["key"]
        for row in await database.fetch("SELECT name, key FROM stages WHERE external_ids ? 'salesforce'")
    }
    by_deal: dict[str, list[dict[str, str]]] = {}
    for row in export[1]["OpportunityHistory"]:
        by_deal.setdefault(codecs.same_id(row["OpportunityId"]), []).append(row)
    for identity, rows in list(by_deal.items())[:60]:
        for number, row in enumerate(rows):
            if number + 1 < len(rows) and rows[number + 1]["CreatedDate"] == row["CreatedDate"]:
                continue
            found = await database.fetchrow(
                "SELECT stage, amount, close_date FROM history.opportunities WHERE external_ids ->> 'salesforce' = $1"
                " AND known_from <= $2::text::timestamptz AND $2::text::timestamptz < known_to /* access:opportunities */",
                identity,
                row["CreatedDate"],
            )
            assert found["stage"] == stages[row["StageName"]]
            assert found["amount"] == (codecs.NUMBER.read(row["Amount"]) if row["Amount"] else None)
            assert found["close_date"].isoformat() == row["CloseDate"]
    early = await database.fetchval(
        "SELECT count(*) FROM history.opportunities WHERE known_from < '2024-01-03' /* access:opportunities */"
    )
    assert early == 0


async def test_again_nothing_changes(
    database: Database, export: tuple[Path, dict[str, Any]], imported: dict[str, Any]
) -> None:
    again = await runs.run(database, export[0], "salesforce")
    assert again["errors"] == []
    changed = {
        table: counts for table, counts in again["counts"].items() if counts["created"] or counts["updated"]
    }
    assert changed == {}


async def test_what_changed_since_comes_out_as_it_is_now(
    database: Database, export: tuple[Path, dict[str, Any]], imported: dict[str, Any], tmp_path: Path
) -> None:
    row = await database.fetchrow(
        "SELECT id, external_ids ->> 'salesforce' AS external, amount FROM opportunities WHERE status = 'open'"
        " AND external_ids ? 'salesforce' AND NOT EXISTS (SELECT 1 FROM lines l WHERE l.opportunity_id = opportunities.id)"
        " ORDER BY id LIMIT 1 /* access:opportunities */ /* access:lines */"
    )
    async with database.begin() as tx:
        old = await writes.locked(tx, opportunities, SYSTEM, row["id"])
        change = {"amount": codecs.NUMBER.read("4321.5"), "name": "Renamed"}
        await writes.update(tx, opportunities, SYSTEM, old, change)
        change_id = tx.change_id
    await salesforce.export(database, tmp_path)
    deal = files.read(tmp_path / "Opportunity.csv")[row["external"]]
    sent = files.by_id(export[1]["Opportunity"])[row["external"]]
    assert (deal["Name"], deal["Amount"], deal["StageName"]) == ("Renamed", "4321.5", sent["StageName"])
    assert float(deal["ExpectedRevenue"]) == pytest.approx(4321.5 * float(sent["Probability"]) / 100)
    story = files.read(tmp_path / "OpportunityHistory.csv")
    (new,) = [line for key, line in story.items() if key not in files.by_id(export[1]["OpportunityHistory"])]
    assert (new["OpportunityId"], new["Amount"], new["StageName"]) == (
        row["external"],
        "4321.5",
        sent["StageName"],
    )
    await changes.undo(database, SYSTEM, change_id)


async def test_it_is_undone_whole(
    servers: Servers, export: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    files.write(small, deals=30, seed=9)
    name = servers.create_database()
    database = await Database.open(servers.app_url(name), min_size=1, max_size=4)
    try:
        made = await runs.run(database, small, "salesforce")
        assert made["errors"] == []
        await changes.undo(database, SYSTEM, UUID(made["change_id"]))
        for table in ("opportunities", "accounts", "users", "activities", "price_books"):
            left = await database.fetchval(
                f"SELECT count(*) FROM {table} WHERE deleted_at IS NULL /* access:{table} */"
            )
            assert left == 0, table
        assert (await runs.run(database, small, "salesforce"))["errors"] == []
    finally:
        await database.close()
        servers.drop_database(name)
