"""The company's calendar: its settings, its fiscal periods by key, and the instant that its data takes as now.

A fiscal year is named after the calendar year in which it ends: with `fiscal_year_start` 2 (February), 2026-02-01 to
2027-01-31 is 2027. Keys: `2026` the year, `2026Q4` its fourth quarter, `2026M12` its twelfth month.
"""

import re
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Any, Literal
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

import msgspec

from service.db import Database, Tx
from service.errors import BadRequest

DORMANT = timedelta(days=90)
"""Data older than this stand still: their newest instant is their now."""
LOOK_AGAIN = 60.0
"""Seconds for which data that live are taken to live on."""

PeriodType = Literal["month", "quarter", "year"]
MONTHS: dict[PeriodType, int] = {"month": 1, "quarter": 3, "year": 12}
_KEY = re.compile(r"(\d{4})(?:Q([1-4])|M(0[1-9]|1[0-2]))?")


class Company(msgspec.Struct, frozen=True, kw_only=True):
    """`fiscal_year_start` is a month (1–12), `week_start` a weekday (1 is Monday)."""

    name: str = "Company"
    home_currency: str = "USD"
    time_zone: str = "UTC"
    fiscal_year_start: int = 1
    week_start: int = 1
    holidays: tuple[str, ...] = ()

    def today(self, now: datetime) -> date:
        """The date at an instant, in the company's zone."""
        return now.astimezone(ZoneInfo(self.time_zone)).date()

    def midnight(self, day: date) -> datetime:
        """The instant at which a day begins."""
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.time_zone)).astimezone(UTC)


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """A span of days, both ends included."""

    key: str
    type: PeriodType
    start_date: date
    end_date: date
    fiscal_year: int

    @property
    def days(self) -> int:
        return (self.end_date - self.start_date).days + 1


_SETTINGS = (
    "SELECT name, home_currency, time_zone, fiscal_year_start, week_start, holidays FROM company LIMIT 1"
)


async def company(run: Database | Tx) -> Company:
    """The company's settings, as remembered for a moment."""
    return await run.remember("company", lambda: _company(run))


async def _company(run: Database | Tx) -> Company:
    row = await run.fetchrow(_SETTINGS)
    return Company(**dict(row) | {"holidays": tuple(row["holidays"])}) if row else Company()


def plus_months(day: date, months: int) -> date:
    """The first day of the month that lies so many months on."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, 1)


def period_of(settings: Company, day: date, type: PeriodType = "quarter") -> Period:
    """The period of this type that holds `day`, by the rule of the fiscal year."""
    into = (day.month - settings.fiscal_year_start) % 12
    year_start = plus_months(day.replace(day=1), -into)
    number = into // MONTHS[type]
    start = plus_months(year_start, number * MONTHS[type])
    end = plus_months(start, MONTHS[type]) - timedelta(days=1)
    year = (plus_months(year_start, 12) - timedelta(days=1)).year
    key = {"month": f"{year}M{number + 1:02}", "quarter": f"{year}Q{number + 1}", "year": f"{year}"}[type]
    return Period(key=key, type=type, start_date=start, end_date=end, fiscal_year=year)


def by_key(settings: Company, key: str) -> Period:
    """The period that a key names. Raises `BadRequest` for what is no key."""
    match = _KEY.fullmatch(key)
    if match is None or not 1900 <= int(match[1]) <= 9000:
        raise BadRequest(f"period: {key[:40]!r} is not a key such as 2026Q4.")
    quarter, month = match[2], match[3]
    type: PeriodType = "quarter" if quarter else "month" if month else "year"
    number = int(quarter or month or 1) - 1
    starts_before = settings.fiscal_year_start > 1
    year_start = date(int(match[1]) - starts_before, settings.fiscal_year_start, 1)
    return period_of(settings, plus_months(year_start, number * MONTHS[type]), type)


def previous(settings: Company, period: Period) -> Period:
    """The period of the same type before this one."""
    return period_of(settings, period.start_date - timedelta(days=1), period.type)


def following(settings: Company, period: Period) -> Period:
    """The period of the same type behind this one."""
    return period_of(settings, period.end_date + timedelta(days=1), period.type)


_STORED = """
SELECT key, type, start_date, end_date, fiscal_year FROM periods WHERE deleted_at IS NULL AND """


def _of_row(row: Any) -> Period:
    year = row["end_date"].year if row["fiscal_year"] is None else row["fiscal_year"]
    return Period(**dict(row) | {"fiscal_year": year})


async def period(run: Database | Tx, key: str | None, now: datetime, type: PeriodType = "quarter") -> Period:
    """The period of a key, or the current one: as the company keeps it in `periods`, else by rule."""
    settings = await company(run)
    day = settings.today(now)
    if key is None:
        row = await run.fetchrow(
            _STORED + "type = $1 AND $2 BETWEEN start_date AND end_date ORDER BY start_date DESC LIMIT 1",
            type,
            day,
        )
        return _of_row(row) if row else period_of(settings, day, type)
    row = await run.fetchrow(_STORED + "key = $1", key)
    return _of_row(row) if row else by_key(settings, key)


_BY_PEOPLE = """
SELECT 1 FROM ledger.events
WHERE actor_id IS NOT NULL AND door IN ('api', 'web', 'graphql', 'integration', 'cli')
  AND entity_type IN ('account', 'contact', 'lead', 'opportunity', 'line', 'stakeholder', 'activity', 'note')
  AND recorded_at > $1
LIMIT 1"""

_PASTS = ("opportunities", "activities", "leads", "accounts")
_BY_IMPORTS = "SELECT " + " OR ".join(
    f"EXISTS (SELECT 1 FROM history.{table} WHERE known_from > $1 AND known_from < recorded_at - interval '1 day'"
    f" /* access:{table} */)"
    for table in _PASTS
)
_NEWEST = "SELECT max(at) FROM (" + " UNION ALL ".join(
    f"SELECT max(known_from) AS at FROM history.{table} WHERE known_from < recorded_at - interval '1 day'"
    f" /* access:{table} */"
    for table in _PASTS
)

_awake: WeakKeyDictionary[Database, float] = WeakKeyDictionary()
"""When living data were last seen: they do not fall asleep within a minute, and the look costs milliseconds."""


async def data_now(database: Database | Tx, now: datetime) -> datetime:
    """`now`; or, where the newest business event is over 90 days old, the instant of that event.

    Business events are the past that imports asserted, and whatever people did. A home without data has no past.
    """
    if isinstance(database, Database) and monotonic() - _awake.get(database, -LOOK_AGAIN) < LOOK_AGAIN:
        return now
    since = now - DORMANT
    if await database.fetchval(_BY_PEOPLE, since) or await database.fetchval(_BY_IMPORTS, since):
        if isinstance(database, Database):
            _awake[database] = monotonic()
        return now
    newest: datetime | None = await database.fetchval(f"{_NEWEST}) past")
    return now if newest is None else newest


_standing: WeakKeyDictionary[Database, tuple[float, datetime | None]] = WeakKeyDictionary()


async def standing(database: Database, now: datetime) -> datetime | None:
    """The instant at which a dormant home stands, or None where the clock runs; remembered for a minute.

    For what people look at all day: the question costs a look at all of history.
    """
    until, kept = _standing.get(database, (0.0, None))
    if monotonic() < until:
        return kept
    found = await data_now(database, now)
    stands = found if found != now else None
    _standing[database] = (monotonic() + LOOK_AGAIN, stands)
    return stands
