"""The calendar: fiscal periods by rule and by key, and the instant that standing data take as now."""

from datetime import UTC, date, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import calendar, ledger
from service.access import SYSTEM, Actor
from service.calendar import Company, by_key, following, period_of, previous
from service.db import Database
from service.errors import BadRequest
from service.history import assert_known
from service.ids import new_id
from tests.conftest import People
from tests.servers import Servers

DAYS = st.dates(date(1990, 1, 1), date(2100, 12, 31))
TYPES = st.sampled_from(["month", "quarter", "year"])


@given(DAYS, TYPES, st.integers(1, 12))
def test_every_day_lies_in_one_period_that_its_key_names(day: date, type: str, start: int) -> None:
    company = Company(fiscal_year_start=start)
    period = period_of(company, day, type)  # type: ignore[arg-type]
    assert period.start_date <= day <= period.end_date
    assert by_key(company, period.key) == period
    assert following(company, period).start_date == period.end_date + timedelta(days=1)
    assert previous(company, following(company, period)) == period


@pytest.mark.parametrize(
    ("start", "day", "key"),
    [
        (1, "2026-11-24", "2026Q4"),
        (2, "2026-01-31", "2026Q4"),
        (2, "2026-02-01", "2027Q1"),
        (10, "2026-11-24", "2027Q1"),
    ],
)
def test_a_fiscal_year_is_called_after_its_end(start: int, day: str, key: str) -> None:
    assert period_of(Company(fiscal_year_start=start), date.fromisoformat(day)).key == key


@pytest.mark.parametrize("key", ["2026Q5", "26Q1", "2026M13", "", "2026Q", "now", "0000Q1", "2026Q1; --"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(BadRequest):
        by_key(Company(), key)


def test_a_day_begins_in_the_companys_zone() -> None:
    company = Company(time_zone="America/New_York")
    assert company.today(datetime(2026, 7, 1, 3, tzinfo=UTC)) == date(2026, 6, 30)
    assert company.midnight(date(2026, 7, 1)) == datetime(2026, 7, 1, 4, tzinfo=UTC)


@pytest.mark.anyio
async def test_the_companys_own_period_wins_over_the_rule(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    assert (await calendar.period(database, None, now)).key == "2026Q4"
    body = {"key": "2026Q4", "type": "quarter", "start_date": "2026-09-28", "end_date": "2026-12-27"}
    made = await client.post("/periods", headers=people.ops.headers, json=body)
    assert (made.json()["fiscal_year"], made.json()["name"]) == (2026, "2026Q4")
    assert (await calendar.period(database, "2026Q4", now)).start_date == date(2026, 9, 28)
    assert (await calendar.period(database, None, datetime(2026, 9, 29, tzinfo=UTC))).key == "2026Q4"
    assert (await calendar.period(database, "2026Q3", now)).end_date == date(2026, 9, 30)


@pytest.mark.anyio
async def test_standing_data_take_their_newest_instant_as_now(servers: Servers) -> None:
    name = servers.create_database()
    database = await Database.open(servers.app_url(name), min_size=1, max_size=2)
    now, then = datetime.now(UTC), datetime(2017, 12, 31, tzinfo=UTC)
    try:
        assert await calendar.data_now(database, now) == now, "nothing there: no past to stand in"
        await _import_account(database, then)
        assert await calendar.data_now(database, now) == then
        await _import_account(database, then - timedelta(days=400))
        assert await calendar.data_now(database, now) == then
        async with database.begin() as tx:
            await ledger.record(tx, SYSTEM, "opportunity.scored", "opportunity", new_id())
        assert await calendar.data_now(database, now) == then, "what jobs do is no business event"
        await _import_account(database, now - timedelta(days=89))
        assert await calendar.data_now(database, now) == now
    finally:
        await database.close()
        servers.drop_database(name)


@pytest.mark.anyio
async def test_what_a_person_does_wakes_standing_data(servers: Servers) -> None:
    name = servers.create_database()
    database = await Database.open(servers.app_url(name), min_size=1, max_size=2)
    now, then = datetime.now(UTC), datetime(2017, 12, 31, tzinfo=UTC)
    try:
        await _import_account(database, then)
        async with database.begin() as tx:
            await ledger.record(tx, _person(), "account.updated", "account", new_id())
        assert await calendar.data_now(database, now) == now
    finally:
        await database.close()
        servers.drop_database(name)


def _person() -> Actor:
    return Actor(id=new_id(), role="rep", door="web")


async def _import_account(database: Database, known: datetime) -> None:
    async with database.begin() as tx:
        await assert_known(tx)
        await ledger.record(tx, SYSTEM, "import.round", "import")
        await tx.execute(
            "INSERT INTO accounts (id, name, created_at, updated_at) VALUES ($1, 'Old', $2, $2)",
            new_id(),
            known,
        )
