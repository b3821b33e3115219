"""History writes itself: no path goes round it, nobody alters it, and the past may be asserted but is marked."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from service import ledger, writes
from service.access import SYSTEM
from service.db import Database
from service.domains.accounts import resource as accounts
from service.history import assert_known, business_tables, versions
from service.ids import new_id
from tests.conftest import People

pytestmark = pytest.mark.anyio


async def make(database: Database, name: str = "Acme") -> dict[str, Any]:
    async with database.begin() as tx:
        return await writes.insert(tx, accounts, SYSTEM, {"name": name})


async def test_a_change_that_no_event_explains_is_refused_on_every_path(database: Database) -> None:
    """INSERT, UPDATE, COPY, bulk and autocommit: the trigger is the database's own."""
    row = await make(database)
    for sql in (
        "INSERT INTO accounts (id, name) VALUES (gen_random_uuid(), 'x')",
        "INSERT INTO accounts (id, name) SELECT gen_random_uuid(), 'x' FROM generate_series(1, 3)",
        "UPDATE accounts SET name = 'x' /* access:accounts */",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no event"):
            await database.execute(sql)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no event"):
            async with database.begin() as tx:
                await tx.execute(sql)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no event"):
        async with database.begin() as tx:
            await tx.copy_records("accounts", ["id", "name"], [(new_id(), "x")])
    stored = await database.fetchrow(
        "SELECT name, version FROM accounts WHERE id = $1 /* access:accounts */", row["id"]
    )
    assert (stored["name"], stored["version"]) == ("Acme", 1)


async def test_an_event_explains_one_transaction_only(database: Database) -> None:
    await make(database)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.execute("UPDATE accounts SET name = 'y' /* access:accounts */")


@pytest.mark.parametrize("table", [table.name for table in business_tables()])
async def test_the_applications_role_cannot_alter_history(database: Database, table: str) -> None:
    for sql in (
        f"UPDATE history.{table} SET version = 7 /* access:{table} */",
        f"DELETE FROM history.{table} /* access:{table} */",
        f"TRUNCATE history.{table}",
        f"ALTER TABLE {table} DISABLE TRIGGER ALL",
        f"DROP TRIGGER keep_insert ON {table}",
        f"INSERT INTO history.{table} (id) VALUES (gen_random_uuid())",
        f"DELETE FROM {table} /* access:{table} */",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.execute(sql)


async def test_the_applications_role_cannot_alter_the_ledger(database: Database) -> None:
    for sql in ("UPDATE ledger.events SET kind = 'x'", "DELETE FROM ledger.events", "TRUNCATE ledger.events"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.execute(sql)


async def test_versions_follow_each_other_without_a_gap(database: Database, people: People) -> None:
    row = await make(database)
    for name in ("B", "C"):
        async with database.begin() as tx:
            old = await writes.locked(tx, accounts, people.ops.actor, row["id"])
            await writes.update(tx, accounts, people.ops.actor, old, {"name": name})
    rows = await database.fetch(
        "SELECT version, name, known_from, known_to, recorded_at, event_id, change_id FROM history.accounts"
        " WHERE id = $1 ORDER BY version /* access:accounts */",
        row["id"],
    )
    assert [(each["version"], each["name"]) for each in rows] == [(1, "Acme"), (2, "B"), (3, "C")]
    assert all(earlier["known_to"] == later["known_from"] for earlier, later in itertools.pairwise(rows))
    assert rows[-1]["known_to"] == datetime(9999, 12, 31, tzinfo=UTC)
    assert len({each["event_id"] for each in rows}) == len({each["change_id"] for each in rows}) == 3
    told = await versions(database, people.ops.actor, "accounts", row["id"])
    assert [each["kind"] for each in told] == ["account.updated", "account.updated", "account.created"]
    assert [each["actor_id"] for each in told] == [people.ops.id, people.ops.id, None]
    assert await versions(database, people.rep.actor, "accounts", UUID(int=1)) == []


async def test_an_import_may_assert_the_past_but_not_when_it_was_recorded(database: Database) -> None:
    account, then, later = new_id(), datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
    before = datetime.now(UTC) - timedelta(seconds=5)
    async with database.begin() as tx:
        await ledger.record(tx, SYSTEM, "account.imported", "account")
        await assert_known(tx)
        await tx.copy_records(
            "accounts", ["id", "name", "created_at", "updated_at"], [(account, "Old", then, then)]
        )
        await tx.execute(
            "UPDATE accounts SET name = 'New', version = 2, updated_at = $2 WHERE id = $1 /* access:accounts */",
            account,
            later,
        )
    rows = await database.fetch(
        "SELECT * FROM history.accounts WHERE id = $1 ORDER BY version /* access:accounts */", account
    )
    assert [(row["name"], row["known_from"], row["known_to"]) for row in rows] == [
        ("Old", then, later),
        ("New", later, datetime(9999, 12, 31, tzinfo=UTC)),
    ]
    assert all(row["recorded_at"] > before for row in rows)
    as_of = "SELECT name FROM history.accounts WHERE id = $1 AND known_from <= $2 AND $2 < known_to /* access:accounts */"
    assert await database.fetchval(as_of, account, then - timedelta(days=1)) is None
    assert await database.fetchval(as_of, account, then) == "Old"
    assert await database.fetchval(as_of, account, later) == "New"


async def test_a_rolled_back_change_leaves_no_trace(database: Database) -> None:
    row = await make(database)
    counts = "SELECT (SELECT count(*) FROM ledger.events), (SELECT count(*) FROM jobs),"
    counts += " (SELECT count(*) FROM history.accounts) /* access:accounts */"
    before = await database.fetchrow(counts)
    with pytest.raises(RuntimeError):
        async with database.begin() as tx:
            old = await writes.locked(tx, accounts, SYSTEM, row["id"])
            await writes.update(tx, accounts, SYSTEM, old, {"name": "never"})
            raise RuntimeError
    assert await database.fetchrow(counts) == before
