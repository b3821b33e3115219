"""All versions of all deals in memory, to stand at any past instant and see what was known: for backtests.

Instants are float days since 1970, as models read them.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from features.facts import Array, Calendar

_VERSIONS = """
SELECT o.id::text AS id, o.from_at, o.to_at, o.owner_id::text AS owner, o.status, o.stage, o.amount, o.close_date,
       o.created_at, o.closed_at, coalesce(s.probability, 0) AS probability
FROM known.opportunities o
LEFT JOIN known.stages s ON s.pipeline_id = o.pipeline_id AND s.key = o.stage AND s.to_at = '9999-12-31'
WHERE o.from_at < o.to_at AND NOT o.is_deleted
ORDER BY o.id, o.from_at, o.version"""

_PEOPLE = """
SELECT u.id::text AS id, u.team_id::text AS team, u.start_date FROM known.users u
WHERE u.to_at = '9999-12-31' ORDER BY u.id"""

TEXTS = ("id", "owner", "status", "stage")


def days(instant: datetime | None) -> float:
    """Days since 1970; NaN for None, infinity for the end of time."""
    if instant is None:
        return np.nan
    return np.inf if instant.year == 9999 else instant.timestamp() / 86_400


def moment(day: float) -> datetime:
    """The inverse of `days`."""
    return datetime.fromtimestamp(day * 86_400, UTC)


def date_days(day: date | None) -> float:
    return np.nan if day is None else float((day - date(1970, 1, 1)).days)


@dataclass(frozen=True)
class Past:
    """Versions of deals, one row each, sorted by deal and start; and the people with team and start date."""

    columns: dict[str, Array]
    people: dict[str, tuple[str, float]]
    calendar: Calendar

    @cached_property
    def rows_of(self) -> dict[str, slice]:
        """Where each deal's versions lie."""
        ids = self.columns["id"]
        starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]]) if len(ids) else np.zeros(0, np.int64)
        ends = np.r_[starts[1:], len(ids)]
        return {ids[start]: slice(int(start), int(end)) for start, end in zip(starts, ends, strict=True)}

    def amount_then(self, deal: str, day: float) -> float:
        """A deal's amount as known on a day; NaN where it had none or was not known."""
        rows = self.rows_of[deal]
        found = (self.columns["from_at"][rows] <= day) & (day < self.columns["to_at"][rows])
        return float(self.columns["amount"][rows][found][0]) if found.any() else np.nan

    def at(self, day: float) -> dict[str, Array]:
        """The rows of all deals as known at an instant."""
        kept = (self.columns["from_at"] <= day) & (day < self.columns["to_at"])
        return {name: column[kept] for name, column in self.columns.items()}

    @property
    def first(self) -> float:
        """When the first deal was created."""
        return float(self.columns["created_at"].min()) if len(self.columns["id"]) else np.inf

    def won(self, start: float, end: float) -> dict[str, Array]:
        """Deals won within (start, end], as they are known today."""
        now = {name: column[self.columns["to_at"] == np.inf] for name, column in self.columns.items()}
        kept = (now["status"] == "won") & (now["closed_at"] > start) & (now["closed_at"] <= end)
        return {name: column[kept] for name, column in now.items()}

    def team(self, owner: str) -> str:
        return self.people.get(owner, ("None", np.nan))[0]


async def read(fetch: Any, calendar: Calendar) -> Past:
    """Everything that is known of deals by now."""
    rows = await fetch(_VERSIONS)
    read_as: dict[str, Any] = dict.fromkeys(("from_at", "to_at", "created_at", "closed_at"), days)
    read_as |= {"amount": lambda value: np.nan if value is None else float(value), "probability": float}
    read_as |= {"close_date": date_days} | dict.fromkeys(TEXTS, str)
    columns = {
        name: np.array([convert(row[name]) for row in rows], dtype=object if name in TEXTS else float)
        for name, convert in read_as.items()
    }
    people = {row["id"]: (str(row["team"]), date_days(row["start_date"])) for row in await fetch(_PEOPLE)}
    return Past(columns, people, calendar)


@dataclass(frozen=True)
class Quarter:
    """A fiscal quarter: its key, and the instants at which it begins and ends, in days."""

    key: str
    start: float
    end: float


def quarter_of(day: float, calendar: Calendar) -> Quarter:
    """The fiscal quarter of an instant; a year is named after the calendar year in which it ends."""
    zone = ZoneInfo(calendar.zone)
    local = moment(day).astimezone(zone).date()
    first = _months(local.replace(day=1), -((local.month - calendar.first_month) % 3))
    number = ((first.month - calendar.first_month) % 12) // 3
    year = (_months(_months(first, -3 * number), 12) - timedelta(days=1)).year
    start, end = (days(datetime(at.year, at.month, at.day, tzinfo=zone)) for at in (first, _months(first, 3)))
    return Quarter(f"{year}Q{number + 1}", start, end)


def quarters(first: float, last: float, calendar: Calendar) -> list[Quarter]:
    """The quarters that ended by `last`, from the one after `first` on, oldest first."""
    found = []
    quarter = quarter_of(last, calendar)
    while quarter.start > first:
        quarter = quarter_of(quarter.start - 1, calendar)
        if quarter.start >= first and quarter.end <= last:
            found.append(quarter)
    return found[::-1]


def _months(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, 1)
