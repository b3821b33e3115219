"""The simulated company's weeks, quarters and working hours; instants are whole seconds since 1970, UTC."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DAY = 86_400
WEEK = 7 * DAY
OPENING = 8 * 3600 + 1800
CLOSING = 18 * 3600
HORIZON = 220
"""Weeks that the calendar knows beyond the last written one: the truth is rolled forward through them."""


@dataclass(frozen=True)
class Clock:
    """Weeks from Monday 00:00 UTC, counted from `first`; everything after `until` (inclusive day) is future."""

    first: date
    until: date
    weeks: int
    quarter_end: Array
    quarter_start: Array
    holiday: Array
    season: Array

    @property
    def end(self) -> int:
        """The first instant that is not written."""
        return seconds(self.until) + DAY

    def start_of(self, week: Array | int) -> Any:
        """The Monday 00:00 of a week, in seconds."""
        return seconds(self.first) + np.asarray(week) * WEEK

    def week_of(self, day: date) -> int:
        """The week in which a day lies."""
        return (day - self.first).days // 7


def seconds(day: date) -> int:
    """Midnight of a day as seconds since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def quarter_of(day: date) -> date:
    """The first day of a day's calendar quarter."""
    return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)


def shift_quarter(first: date, by: int) -> date:
    """The first day of the quarter `by` quarters later (earlier when negative)."""
    months = first.year * 12 + first.month - 1 + 3 * by
    return date(months // 12, months % 12 + 1, 1)


def quarter_key(first: date) -> str:
    """The key of a quarter, as `2026Q4`."""
    return f"{first.year}Q{(first.month - 1) // 3 + 1}"


def make_clock(until: date, quarters: int) -> Clock:
    """The calendar of a company whose history spans `quarters`, the current one included."""
    begin = shift_quarter(quarter_of(until), 1 - quarters)
    first = begin + timedelta(days=(7 - begin.weekday()) % 7)
    weeks = (until - first).days // 7 + 1
    mondays = [first + timedelta(weeks=w) for w in range(weeks + HORIZON)]
    fridays = [monday + timedelta(days=4) for monday in mondays]
    left = np.array([(shift_quarter(quarter_of(day), 1) - day).days for day in fridays])
    into = np.array([(day - quarter_of(day)).days for day in fridays])
    holiday = np.array([(d.month == 12 and d.day > 22) or (d.month == 1 and d.day < 4) for d in fridays])
    season = np.array([_season(day) for day in fridays])
    return Clock(first, until, weeks, left <= 21, into < 18, holiday, season)


def _season(day: date) -> float:
    """How lively a week is, relative to an ordinary one: quiet in August and late December."""
    if day.month == 12 and day.day > 20:
        return 0.35
    return {1: 1.05, 3: 1.1, 7: 0.85, 8: 0.65, 9: 1.2, 10: 1.15, 12: 0.85}.get(day.month, 1.0)


def working_instants(rng: np.random.Generator, monday: Array, last_day: int = 5) -> Array:
    """One instant in working hours of each given week; one in eight falls on a full quarter of an hour."""
    day = rng.integers(0, last_day, monday.size)
    second = rng.integers(OPENING, CLOSING, monday.size)
    round_hour = rng.random(monday.size) < 0.125
    return np.asarray(monday + day * DAY + np.where(round_hour, second // 900 * 900, second))


def next_working(instants: Array, rng: np.random.Generator) -> Array:
    """The same instants when they lie in working hours, otherwise early on the next working day."""
    second, day = instants % DAY, instants // DAY
    weekday = (day + 3) % 7
    late = (second > CLOSING) | (weekday > 4)
    shift = np.where(late, np.where(weekday >= 4, 7 - weekday, 1), 0)
    early = OPENING + rng.integers(0, 5400, instants.size)
    outside = late | (second < OPENING)
    return np.where(outside, (day + shift) * DAY + early, instants)


def rfc3339(instants: Array) -> Array:
    """Instants as `2026-11-23T09:30:00Z`."""
    texts = np.datetime_as_string(instants.astype("datetime64[s]"), unit="s")
    return np.char.add(texts, "Z")


def iso_days(days: Array) -> Array:
    """Days since 1970 as `2026-11-23`."""
    return np.datetime_as_string(days.astype("datetime64[D]"), unit="D")
