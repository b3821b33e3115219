"""How records pass through the importer: their order, chunks of one transaction each, stopping and going on, the past."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import asyncpg
import pytest

from service import ledger, merging
from service.access import SYSTEM
from service.db import Database, Tx
from service.importer import Importer, Stopped
from service.importing import ordering
from service.importing.ordering import chunks, ordered
from service.importing.records import Fault, Item, Record, Ref, Report, Version
from service.importing.spool import Spool
from service.resources import RESOURCES

pytestmark = pytest.mark.anyio

SELVES = {"accounts": ("parent_id",)}


def account(name: str, parent: str | None = None) -> Record:
    values = {"name": name} | ({"parent_id": Ref("accounts", parent)} if parent else {})
    return Record("accounts", name, [Version(values)], "accounts.csv", 2)


def names(items: Iterable[Item]) -> list[str | None]:
    return [item.external_id for item in items if isinstance(item, Record)]


def test_a_record_stands_behind_the_one_of_its_kind_that_it_points_at() -> None:
    found = ordered([account("c", "b"), account("b", "a"), account("d"), account("a")], SELVES)
    assert names(found) == ["d", "a", "b", "c"]


def test_rings_and_strangers_come_last_in_their_order_and_before_the_next_kind() -> None:
    ring = [account("x", "y"), account("y", "x"), account("z", "nobody"), account("free")]
    other = Record("contacts", "c", [Version({"last_name": "C"})])
    assert names(ordered([*ring, other], SELVES)) == ["free", "x", "y", "z", "c"]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "MOST_HELD", 2)
    stream = ordered([account(str(n), "last") for n in range(5)] + [account("last")], SELVES)
    assert names(stream) == ["0", "1", "2", "last", "3", "4"]


def test_chunks_are_of_one_kind_and_know_where_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "CHUNK", 2)
    fault = Fault("accounts.csv", 3, "name", "", "is missing")
    items = [account("a"), fault, account("b"), account("c"), Record("contacts", "d", [Version({})])]
    found = list(chunks(items))
    assert [(c.table, len(c.records), len(c.faults), c.position) for c in found] == [
        ("accounts", 2, 1, 3), ("accounts", 1, 0, 4), ("contacts", 1, 0, 5),
    ]  # fmt: skip
    skipped: list[Item] = []
    assert [c.position for c in chunks(items, 3, skipped.append)] == [4, 5]
    assert skipped == items[:3]


def test_a_chunk_of_great_texts_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "MOST_WEIGHT", 1_000)
    assert [len(c.records) for c in chunks([account("x" * 600) for _ in range(4)])] == [2, 2]


def test_a_spool_gives_rows_by_record_and_in_order() -> None:
    spool = Spool([("a", 2, 0, 4, {"n": "late"}), ("b", 1, 0, 3, {}), ("a", 1, 1, 2, {"n": "early"})])
    assert spool.of("a") == [(2, {"n": "early"}), (4, {"n": "late"})]
    assert list(spool.strangers()) == [("b", 3)]
    spool.close()


# --- through the database ------------------------------------------------------------------------------------------


def people(number: int) -> Iterator[Item]:
    for n in range(number):
        yield Record("contacts", f"c{n}", [Version({"last_name": f"Name {n}"})], "contacts.csv", n + 2)


async def count(database: Database) -> int:
    return await database.fetchval(  # type: ignore[no-any-return]
        "SELECT count(*) FROM contacts WHERE external_ids ? 'x' AND deleted_at IS NULL /* access:contacts */"
    )


async def test_an_import_stops_between_chunks_and_goes_on_behind_the_last(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the checkpoint says is in is in, and nothing else; going on stores each record once."""
    monkeypatch.setattr(ordering, "CHUNK", 10)
    reached: list[int | None] = []

    async def once(_: Tx | Database, position: int | None, report: Report) -> bool:
        reached.append(position)
        return len(reached) < 3

    first = Importer(database, SYSTEM, "x", RESOURCES, checkpoint=once)
    with pytest.raises(Stopped):
        await first.run(lambda: people(55))
    assert (reached[-1], await count(database)) == (30, 30)
    second = Importer(database, SYSTEM, "x", RESOURCES, report=first.report)
    report = await second.run(lambda: people(55), position=30)
    assert await count(database) == 55
    assert report.counts["contacts"] == {"created": 55, "updated": 0, "unchanged": 0, "failed": 0}


async def test_a_chunk_and_its_checkpoint_stand_or_fall_together(database: Database) -> None:
    async def lost(_: Tx | Database, position: int | None, report: Report) -> bool:
        raise Stopped

    before = await count(database)
    with pytest.raises(Stopped):
        await Importer(database, SYSTEM, "x", RESOURCES, checkpoint=lost).run(
            lambda: iter([Record("contacts", "new", [Version({"last_name": "New"})])])
        )
    assert await count(database) == before


async def test_what_the_database_alone_refuses_is_named_and_the_rest_goes_in(database: Database) -> None:
    """Two products whose codes differ in case alone, where the second is in a record of another source."""
    first = Record("products", "1", [Version({"code": "Alpha", "name": "A"})], "products.csv", 2)
    await Importer(database, SYSTEM, "one", RESOURCES).run(lambda: iter([first]))
    activity = Version(
        {"type": "call", "occurred_at": "2026-01-01T00:00:00Z", "source": "s", "source_id": "1"}
    )
    twins = [Record("activities", key, [activity], "calls.csv", line) for key, line in (("a", 2), ("b", 3))]
    report = await Importer(database, SYSTEM, "two", RESOURCES).run(lambda: iter(twins))
    assert report.counts["activities"]["created"] == 1
    (fault,) = report.errors
    assert (fault.file, fault.line) == ("calls.csv", 3)


async def test_rows_that_look_like_records_are_noted_and_go_in(database: Database) -> None:
    """Compared with what was here before; twins within the file are the scan's affair."""

    def firm(key: str, name: str, line: int) -> Record:
        return Record("accounts", key, [Version({"name": name})], "accounts.csv", line)

    await Importer(database, SYSTEM, "here", RESOURCES).run(lambda: iter([firm("1", "Umbrella Corp", 2)]))
    rows = [firm("1", "umbrella", 2), firm("2", "Wayne", 3), firm("3", "Wayne Ltd", 4)]
    report = await Importer(database, SYSTEM, "there", RESOURCES).run(lambda: iter(rows))
    assert report.counts["accounts"]["created"] == 3
    (note,) = report.notes
    assert note[:3] == ("accounts.csv", "name", "umbrella")
    assert note[3].startswith("line 2 looks like Umbrella Corp (")
    assert note[3].endswith("The name is the same.")


async def test_a_file_does_not_part_what_was_merged(database: Database) -> None:
    def rows() -> list[Item]:
        firms: list[Item] = [
            Record("accounts", key, [Version({"name": f"Cyberdyne {key}"})], "accounts.csv", line)
            for line, key in ((2, "c1"), (3, "c2"))
        ]
        person = Version({"last_name": "Dyson", "account_id": Ref("accounts", "c2")})
        return [*firms, Record("contacts", "p1", [person], "contacts.csv", 2)]

    first = await Importer(database, SYSTEM, "apart", RESOURCES).run(lambda: iter(rows()[:2]))
    assert first.counts["accounts"]["created"] == 2
    ids = await database.fetch(
        "SELECT id FROM accounts WHERE external_ids ? 'apart' ORDER BY external_ids ->> 'apart' /* access:accounts */"
    )
    winner_id, loser_id = (row["id"] for row in ids)
    accounts = RESOURCES["accounts"]
    async with database.begin() as tx:
        winner, losers = await merging.rows(tx, accounts, SYSTEM, winner_id, [loser_id], lock=True)
        await merging.merge(tx, accounts, SYSTEM, winner, losers, {})
    again = await Importer(database, SYSTEM, "apart", RESOURCES).run(lambda: iter(rows()))
    assert (again.counts["accounts"]["created"], again.counts["accounts"]["unchanged"]) == (0, 2)
    assert any(f"was merged into {winner_id}" in note[3] for note in again.notes)
    placed = await database.fetchval(
        "SELECT account_id FROM contacts WHERE external_ids ->> 'apart' = 'p1' /* access:contacts */"
    )
    assert placed == winner_id


async def test_the_past_of_a_new_record_is_known_then(database: Database) -> None:
    at = [datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3)]
    versions = [
        Version({"name": "Old name", "phone": "1"}, at[0]),
        Version({"name": "Newer name"}, at[1]),
        Version({"phone": "2"}, at[2]),
    ]
    await Importer(database, SYSTEM, "past", RESOURCES).run(
        lambda: iter([Record("accounts", "p", versions, "accounts.csv", 2)])
    )
    rows = await database.fetch(
        "SELECT version, name, phone, known_from, known_to FROM history.accounts"
        " WHERE external_ids ->> 'past' = 'p' ORDER BY version /* access:accounts */"
    )
    assert [(row["version"], row["name"], row["phone"]) for row in rows] == [
        (1, "Old name", "1"), (2, "Newer name", "1"), (3, "Newer name", "2"),
    ]  # fmt: skip
    assert [row["known_from"] for row in rows] == at
    assert [row["known_to"] for row in rows[:2]] == at[1:]
    assert rows[2]["known_to"].year == 9999


@pytest.mark.parametrize("explained", [False, True])
async def test_nobody_gives_a_record_another_past(database: Database, explained: bool) -> None:
    """The function that tells the past takes it only from the event that created the record."""
    await Importer(database, SYSTEM, "sure", RESOURCES).run(
        lambda: iter([Record("accounts", "s", [Version({"name": "Sure"})])])
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.begin() as tx:
            if explained:
                await ledger.record(tx, SYSTEM, "account.imported", "account")
            await tx.execute(
                "SELECT history.keep_past(array_agg(x)) FROM (SELECT t AS x FROM accounts t"
                " WHERE external_ids ->> 'sure' = 's') s /* access:accounts */"
            )
