"""Files in: Maven's as they stand, the simulated company's, broken ones; again, dry, strict, and undone."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from service import changes, writes
from service.access import SYSTEM
from service.db import Database
from service.domains.opportunities import resource as opportunities
from service.errors import Conflict, Invalid
from service.importing import runs
from service.integrations.files import MOST_CELL, rows
from tests.servers import Servers
from training import synthetic

pytestmark = pytest.mark.anyio

LIVE = "SELECT count(*) FROM {0} WHERE deleted_at IS NULL /* access:{0} */"


async def count(database: Database, table: str) -> int:
    return await database.fetchval(LIVE.format(table))  # type: ignore[no-any-return]


@asynccontextmanager
async def fresh(servers: Servers) -> AsyncIterator[Database]:
    name = servers.create_database()
    database = await Database.open(servers.app_url(name), min_size=1, max_size=4)
    try:
        yield database
    finally:
        await database.close()
        servers.drop_database(name)


# --- Maven ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def maven_files(shared_data: Path | None) -> Path:
    folder = shared_data / "maven_crm" if shared_data else None
    if folder is None or not folder.is_dir():
        pytest.skip("the public data set is not beside this clone")  # it is never copied in
    return folder


@pytest.fixture(scope="module")
async def maven(database: Database, maven_files: Path) -> dict[str, Any]:
    return await runs.run(database, maven_files, "maven")


async def test_maven_goes_in_whole(database: Database, maven: dict[str, Any]) -> None:
    assert maven["errors"] == []
    created = {table: counts["created"] for table, counts in maven["counts"].items()}
    assert created["opportunities"] == 8_800
    assert created["accounts"] == 85
    assert created["products"] == 7
    assert created["users"] == 35 + 6
    found = await database.fetch(
        "SELECT stage, status, count(*) AS n, sum(amount) AS total FROM opportunities"
        " GROUP BY 1, 2 /* access:opportunities */"
    )
    by_stage = {row["stage"]: row for row in found}
    assert {stage: row["n"] for stage, row in by_stage.items()} == {
        "won": 4_238, "lost": 2_473, "engaging": 1_589, "prospecting": 500,
    }  # fmt: skip
    assert by_stage["won"]["total"] == 10_005_534
    mended = {(note["column"], note["value"]): note["rows"] for note in maven["notes"]}
    assert mended["product", "GTXPro"] == 1_480
    assert ("sector", "technolgy") in mended
    assert ("office_location", "Philipines") in mended
    unnamed = "SELECT count(*) FROM opportunities WHERE account_id IS NULL /* access:opportunities */"
    assert await database.fetchval(unnamed) == 1_425


async def test_maven_is_known_when_it_could_be_known(database: Database, maven: dict[str, Any]) -> None:
    """At list price and without account from the engage date; account and close value from the close, never before."""
    versions = await database.fetch(
        "SELECT h.*, p.list_price FROM history.opportunities h"
        " LEFT JOIN lines l ON l.opportunity_id = h.id LEFT JOIN products p ON p.id = l.product_id"
        " WHERE h.external_ids ->> 'maven' = '1C1I7A6R' ORDER BY h.version"
        " /* access:opportunities */ /* access:lines */"
    )
    assert [row["stage"] for row in versions] == ["engaging", "won"]
    first, last = versions
    assert first["known_from"].date() == date(2016, 10, 20)
    assert (first["amount"], first["account_id"], first["close_date"]) == (first["list_price"], None, None)
    assert last["known_from"].date() == date(2017, 3, 1)
    assert last["amount"] == 1054
    assert last["account_id"] is not None
    leaks = await database.fetchval(
        "SELECT count(*) FROM history.opportunities h WHERE h.version = 1 AND h.known_to <> '9999-12-31'"
        " AND (h.account_id IS NOT NULL OR h.status <> 'open' OR h.closed_at IS NOT NULL) /* access:opportunities */"
    )
    assert leaks == 0
    lost = await database.fetchval(
        "SELECT count(*) FROM opportunities WHERE status = 'lost' AND coalesce(amount, 0) = 0"
        " /* access:opportunities */"
    )
    assert lost == 0


async def test_a_list_as_of_reads_mavens_past(database: Database, maven: dict[str, Any]) -> None:
    for day, expected in (("2016-10-01", 0), ("2017-02-28", 0), ("2017-04-01", None)):
        won = await database.fetchval(
            "SELECT count(*) FROM history.opportunities h WHERE known_from <= $1::text::timestamptz"
            " AND $1::text::timestamptz < known_to AND status = 'won' /* access:opportunities */",
            day,
        )
        assert won == expected if expected is not None else won > 500


async def test_the_same_files_again_change_nothing(
    database: Database, maven: dict[str, Any], maven_files: Path
) -> None:
    before = await database.fetchval("SELECT count(*) FROM history.opportunities /* access:opportunities */")
    again = await runs.run(database, maven_files, "maven")
    assert {what for counts in again["counts"].values() for what, n in counts.items() if n} == {"unchanged"}
    assert again["counts"]["opportunities"]["unchanged"] == 8_800
    after = await database.fetchval("SELECT count(*) FROM history.opportunities /* access:opportunities */")
    assert after == before


async def test_maven_is_undone_and_comes_again(
    database: Database, maven: dict[str, Any], maven_files: Path
) -> None:
    undone = await changes.undo(database, SYSTEM, UUID(maven["change_id"]))
    assert undone["counts"]["opportunities"] == 8_800
    for table in ("opportunities", "lines", "accounts", "products", "users", "teams"):
        assert await count(database, table) == 0, table
    again = await runs.run(database, maven_files, "maven")
    assert again["errors"] == []
    assert again["counts"]["opportunities"]["created"] == 8_800


# --- the simulated company -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small company's files."""
    folder = tmp_path_factory.mktemp("company")
    synthetic.write(folder, deals=120, seed=3, until=date(2026, 6, 30))
    return folder


def copy(source: Path, target: Path) -> None:
    for path in source.glob("*.csv"):
        (target / path.name).write_bytes(path.read_bytes())


Change = Callable[[list[dict[str, str]]], Any]


@pytest.fixture
def broken(company: Path, tmp_path: Path) -> Callable[..., Path]:
    """`broken(file, change)`: the company's files, one of them changed row by row."""

    def make(name: str, change: Change) -> Path:
        copy(company, tmp_path)
        with (company / name).open(newline="") as file:
            found = list(csv.DictReader(file))
        change(found)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(found[0]))
        writer.writeheader()
        writer.writerows(found)
        (tmp_path / name).write_text(text.getvalue())
        return tmp_path

    return make


async def test_the_company_goes_in_whole_and_out_again(servers: Servers, company: Path) -> None:
    async with fresh(servers) as database:
        made = await runs.run(database, company, "demo")
        assert made["errors"] == []
        for table in ("opportunities", "activities", "leads", "contacts", "lines"):
            with (company / f"{table}.csv").open(newline="") as file:
                assert await count(database, table) == sum(1 for _ in csv.DictReader(file))
        with (company / "opportunity_history.csv").open(newline="") as file:
            changes_in_file = sum(1 for _ in csv.DictReader(file))
        kept = await database.fetchval(
            "SELECT count(*) FROM history.opportunities /* access:opportunities */"
        )
        assert kept == changes_in_file
        without = await database.fetchval(
            "SELECT count(*) FROM activities a JOIN opportunities o ON o.id = a.opportunity_id"
            " WHERE o.account_id IS NOT NULL AND a.account_id IS NULL"
            " /* access:activities */ /* access:opportunities */"
        )
        assert without == 0
        again = await runs.run(database, company, "demo")
        assert {what for counts in again["counts"].values() for what, n in counts.items() if n} == {
            "unchanged"
        }
        await changes.undo(database, SYSTEM, UUID(made["change_id"]))
        assert await count(database, "opportunities") == 0


async def test_a_dry_run_stores_nothing(database: Database, company: Path) -> None:
    state = "SELECT (SELECT count(*) FROM ledger.events), (SELECT count(*) FROM history.teams)"
    before = await database.fetchrow(state)
    result = await runs.run(database, company, "demo", dry_run=True)
    assert result["counts"]["opportunities"]["created"] > 100
    assert result["change_id"] is None
    assert await database.fetchrow(state) == before


def _set(number: int, column: str, value: str) -> Change:
    def change(found: list[dict[str, str]]) -> None:
        found[number][column] = value

    return change


FAULTS = [
    # file, change, column, value, a word of the detail
    ("opportunities.csv", _set(1, "account", "nobody"), "account_id", "nobody", "no such record"),
    ("opportunities.csv", _set(1, "currency", "euro"), "currency", "euro", "3"),
    ("opportunities.csv", _set(1, "name", "x" * 300), "name", "x", "255"),
    ("opportunities.csv", _set(1, "type", "gift"), "type", "gift", "Invalid enum"),
    ("opportunity_history.csv", _set(1, "amount", "-5"), "amount", "-5", "negative"),
    ("opportunity_history.csv", _set(1, "amount", "much"), "amount", "much", "number"),
    ("opportunity_history.csv", _set(1, "close_date", "2026-02-30"), "close_date", "2026-02-30", "date"),
    ("opportunity_history.csv", _set(1, "at", "yesterday"), "at", "yesterday", "instant"),
    ("opportunity_history.csv", _set(1, "at", "2026-01-31T09:00:00"), "at", "2026-01-31T09:00:00", "zone"),
    ("opportunity_history.csv", _set(1, "seq", "first"), "seq", "first", "whole number"),
    ("opportunity_history.csv", _set(1, "stage", "heaven"), "stage", "heaven", "no stage"),
    ("opportunity_history.csv", _set(1, "opportunity", "nobody"), "opportunity", "nobody", "no such record"),
    ("activities.csv", _set(1, "type", "dance"), "type", "dance", "Invalid enum"),
    ("activities.csv", _set(1, "duration_seconds", "long"), "duration_seconds", "long", "int"),
    ("activities.csv", _set(1, "occurred_at", "2026-13-01T00:00:00Z"), "occurred_at", "2026-13-01", "RFC3339"),
    ("activities.csv", _set(1, "at", "2999-01-01T00:00:00Z"), "at", "", "future"),
    ("activities.csv", _set(1, "subject", "a\0b"), "subject", "a\\0b", "NUL"),
    ("leads.csv", _set(1, "email", "no address"), "email", "no address", "regex"),
    ("leads.csv", _set(1, "number_of_employees", "-3"), "number_of_employees", "-3", ">= 0"),
    ("lead_history.csv", _set(1, "status", "asleep"), "status", "asleep", "Invalid enum"),
    ("users.csv", _set(1, "role", "king"), "role", "king", "Invalid enum"),
    ("products.csv", _set(1, "list_price", "-1"), "list_price", "-1", "negative"),
    ("playbooks.csv", _set(0, "criteria", "{not json"), "criteria", "{not json", "JSON"),
    ("quotas.csv", _set(1, "period", "soon"), "period_id", "soon", "no such record"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "column", "value", "word"), FAULTS, ids=lambda part: str(part)[:24]
)
async def test_a_broken_row_is_named_and_the_rest_goes_in(
    database: Database,
    broken: Callable[..., Path],
    name: str,
    change: Change,
    column: str,
    value: str,
    word: str,
) -> None:
    """Named by file, line, column and value. What points at it falls with it; nothing else does."""
    folder = broken(name, change)
    result = await runs.run(database, folder, "demo", dry_run=True)
    (error, *others) = sorted(result["errors"], key=lambda each: each["detail"] == "there is no such record")
    if word == "no such record":
        error = next(each for each in result["errors"] if each["value"] == value)
        others = [each for each in result["errors"] if each is not error]
    assert error["file"] == name
    assert error["line"] == (2 if name == "playbooks.csv" else 3)
    assert error["column"] == column
    assert error["value"].startswith(value)
    assert word in error["detail"]
    assert all("such record" in other["detail"] or "history.csv" in other["detail"] for other in others)
    assert result["counts"]["opportunities"]["created"] >= 0


async def test_rows_that_are_none_are_named_and_strict_stores_nothing(
    servers: Servers, company: Path, tmp_path: Path
) -> None:
    """Ragged rows, other encodings, endless cells and stray quotes, in one file that is otherwise right."""
    copy(company, tmp_path)
    header, *lines = (company / "activities.csv").read_bytes().splitlines(keepends=True)
    cells = lines[5].split(b",")
    wrong = [
        lines[1].rstrip() + b",one too many\r\n",
        b"only,three,cells\r\n",
        b",".join([b"caf\xe9", *cells[1:]]),
        b",".join([b"x" * (MOST_CELL + 10), *cells[1:]]),
        b',"stray" quote' + b",".join(cells[1:]),
    ]
    (tmp_path / "activities.csv").write_bytes(
        header + b"".join(lines[:9]) + b"".join(wrong) + b"".join(lines[9:])
    )
    async with fresh(servers) as database:
        refused = await runs.run(database, tmp_path, "demo", strict=True)
        assert refused["change_id"] is None
        assert await count(database, "opportunities") == 0
        assert await database.fetchval("SELECT count(*) FROM ledger.events WHERE kind LIKE '%.imported'") == 0
        job = await database.fetchrow("SELECT status, errors FROM jobs WHERE type = 'import'")
        assert job["status"] == "failed"
        assert [error["line"] for error in job["errors"]] == [11, 12, 13, 14, 15]
        result = await runs.run(database, tmp_path, "demo")
        assert [error["line"] for error in result["errors"]] == [11, 12, 13, 14, 15]
        assert await count(database, "activities") == len(lines)


async def test_what_stands_twice_is_named(database: Database, broken: Callable[..., Path]) -> None:
    def same_id(found: list[dict[str, str]]) -> None:
        found[4]["id"] = found[3]["id"]

    def same_address(found: list[dict[str, str]]) -> None:
        found[4]["email"] = found[3]["email"].upper()

    result = await runs.run(database, broken("leads.csv", same_id), "demo", dry_run=True)
    assert ("leads.csv", 6, "id", "stands in the file twice") in [
        (error["file"], error["line"], error["column"], error["detail"]) for error in result["errors"]
    ]
    result = await runs.run(database, broken("users.csv", same_address), "demo", dry_run=True)
    assert ("users.csv", 6, "email", "stands in the file twice") in [
        (error["file"], error["line"], error["column"], error["detail"]) for error in result["errors"]
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "lacks the columns"),
        (b"id\n1\n", "lacks the columns"),
        ("id,name,parent,manager\n".encode("utf-16"), "lacks the columns"),
        (b"id,id,name,parent,manager\n", "twice"),
        (None, "is missing"),
    ],
)
async def test_a_file_that_is_none_is_refused_in_a_sentence(
    database: Database, company: Path, tmp_path: Path, content: bytes | None, words: str
) -> None:
    copy(company, tmp_path)
    (tmp_path / "teams.csv").unlink()
    if content is not None:
        (tmp_path / "teams.csv").write_bytes(content)
    with pytest.raises(Invalid, match=words):
        await runs.run(database, tmp_path, "demo")
    status = await database.fetchval("SELECT status FROM jobs WHERE type = 'import' ORDER BY id DESC LIMIT 1")
    assert status == "failed"


def test_a_mark_of_byte_order_and_any_line_ends_are_fine(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b'\xef\xbb\xbfid,name\r\n1, "a"\n\n2,"two\nlines"\r3,c')
    assert next(rows(tmp_path, "x", ("id",))) == (2, {"id": "1", "name": '"a"'})


# --- interrupted, edited since -------------------------------------------------------------------------------------


async def test_an_interrupted_import_is_a_failed_job_and_can_be_undone(
    servers: Servers, company: Path
) -> None:
    """Ctrl-C in the middle: what is in belongs to the change set that the job names."""

    async def interrupt(what: str, done: int, total: int) -> None:
        if what == "opportunities":
            raise asyncio.CancelledError

    async with fresh(servers) as database:
        with pytest.raises(asyncio.CancelledError):
            await runs.run(database, company, "demo", progress=interrupt)
        job = await database.fetchrow("SELECT status, errors, change_id FROM jobs WHERE type = 'import'")
        assert job["status"] == "failed"
        assert f"sales undo {job['change_id']}" in job["errors"][0]["detail"]
        assert await count(database, "opportunities") > 100
        await changes.undo(database, SYSTEM, job["change_id"])
        for table in ("opportunities", "accounts", "contacts", "users", "teams"):
            assert await count(database, table) == 0, table
        assert (await runs.run(database, company, "demo"))["errors"] == []


async def test_an_import_with_a_later_edit_is_not_undone(servers: Servers, company: Path) -> None:
    async with fresh(servers) as database:
        made = await runs.run(database, company, "demo")
        one = await database.fetchval("SELECT id FROM opportunities LIMIT 1 /* access:opportunities */")
        async with database.begin() as tx:
            old = await writes.locked(tx, opportunities, SYSTEM, one)
            await writes.update(tx, opportunities, SYSTEM, old, {"next_step": "edited since"})
        with pytest.raises(Conflict) as refused:
            await changes.undo(database, SYSTEM, UUID(made["change_id"]))
        (conflict,) = refused.value.extra["conflicts"]
        assert (conflict["resource"], conflict["id"], conflict["field"]) == (
            "opportunities",
            str(one),
            "next_step",
        )
        assert conflict["now"] == "edited since"
        assert await count(database, "opportunities") > 100
