"""Facts: what was known of many entities, each at its own instant, as columns and as lists of events.

A pair is (entity, `as_of`, `known_at`). `as_of` is where the clock stands: ages, windows `(as_of - w, as_of]`, the
calendar. `known_at` is up to when knowledge counts. They are equal but in a home whose data ended long ago: there the
clock stands at the newest business event, and everything known by now counts.

Instants are microseconds since 1970 in UTC as float64 (exact until the year 2255), dates are days since 1970;
whatever is missing is NaN, and missing text is "".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY = date(1970, 1, 1).toordinal()
HOUR = 3_600_000_000.0
DAY = 24 * HOUR
WEEK = 7 * DAY
MONDAY = 4 * DAY
"""1970 began on a Thursday: weeks are counted from Monday 5 January."""
TOUCHES = ("email", "call", "meeting", "demo")
"""Kinds of activity that touch the customer."""


def instant(value: datetime | None) -> float:
    """Microseconds since 1970; NaN for None."""
    return np.nan if value is None else (value - EPOCH) // MICROSECOND


def moment(microseconds: float) -> datetime:
    """The inverse of `instant`."""
    return EPOCH + timedelta(microseconds=int(microseconds))


def _day(value: date | None) -> float:
    return np.nan if value is None else float(value.toordinal() - EPOCH_DAY)


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


READ: dict[str, Callable[[Any], float | str]] = {
    "instant": instant,
    "date": _day,
    "number": _number,
    "text": _text,
}
"""Kind of a column → how a value of the database becomes a value here."""


def column(kind: str, values: Iterable[Any]) -> Array:
    """A column of facts from what the database returned."""
    read = READ[kind]
    return np.array([read(value) for value in values], dtype=np.str_ if kind == "text" else np.float64)


def empty(kind: str, size: int) -> Array:
    """A column of nothing known."""
    return np.full(size, "", dtype=np.str_) if kind == "text" else np.full(size, np.nan)


@dataclass(frozen=True)
class Calendar:
    """The company's time zone, and the month (1–12) in which its fiscal year begins."""

    zone: str = "UTC"
    first_month: int = 1

    def days(self, instants: Array) -> Array:
        """The company's local date at each instant, in days since 1970."""
        if self.zone == "UTC":
            return np.floor(instants / DAY)
        zone = ZoneInfo(self.zone)
        local = [EPOCH_DAY if np.isnan(at) else moment(at).astimezone(zone).toordinal() for at in instants]
        return np.where(np.isnan(instants), np.nan, np.array(local, dtype=np.float64) - EPOCH_DAY)

    def quarter(self, days: Array) -> tuple[Array, Array]:
        """First and last day of the fiscal quarter that holds each day, in days since 1970."""
        months = days.astype("datetime64[D]").astype("datetime64[M]")
        since = (months.astype(np.int64) + 12 - (self.first_month - 1)) % 3
        first = months - since.astype("timedelta64[M]")
        last = (first + np.timedelta64(3, "M")).astype("datetime64[D]").astype(np.int64) - 1
        return first.astype("datetime64[D]").astype(np.float64), last.astype(np.float64)


@dataclass(frozen=True)
class Events:
    """Lists of dated things, one list per entity, in shared columns; `start` and `stop` delimit each pair's list.

    Each row is one version, known in `[from_at, to_at)`.
    """

    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    columns: Mapping[str, Array]

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]


@dataclass(frozen=True)
class Facts:
    """`rows` holds one value for each pair, `events` one list for each pair; `present` says whether one knew of it."""

    ids: Sequence[str]
    as_of: Array
    known_at: Array
    rows: Mapping[str, Array]
    present: npt.NDArray[np.bool_]
    events: Mapping[str, Events] = field(default_factory=dict)
    calendar: Calendar = Calendar()
    until: Array | None = None
    """The instant at which a value changes by itself; infinite where none does."""

    def __len__(self) -> int:
        return len(self.as_of)

    def __getitem__(self, name: str) -> Array:
        return self.rows[name]

    def with_rows(self, **changed: Array) -> "Facts":
        """The same facts with other values: what if."""
        return replace(self, rows={**self.rows, **changed})

    @cached_property
    def _known(self) -> dict[str, "Known"]:
        return {}

    def known(self, name: str) -> "Known":
        """The versions of a list that were known at each pair's instant."""
        if name not in self._known:
            self._known[name] = Known.of(self, self.events[name])
        return self._known[name]


@dataclass(frozen=True)
class Known:
    """Matches of pairs with versions: `pair` and `row` are parallel; `row` points into the list's columns."""

    size: int
    pair: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    as_of: Array
    columns: Mapping[str, Array]

    @classmethod
    def of(cls, facts: Facts, events: Events) -> "Known":
        lengths = events.stop - events.start
        pair = np.repeat(np.arange(len(facts)), lengths)
        row = np.arange(len(pair)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + events.start[pair]
        at = facts.known_at[pair]
        keep = (events["from_at"][row] <= at) & (at < events["to_at"][row])
        return cls(len(facts), pair[keep], row[keep], facts.as_of[pair[keep]], events.columns)

    def count(self, mask: Array | None = None, days: float | None = None) -> Array:
        """How many rows for which `mask` holds happened in `(as_of - days, as_of]`, or at any time up to `as_of`."""
        return np.bincount(self.pair[self._where(mask, days)], minlength=self.size).astype(np.float64)

    def number(self, mask: Array | None = None) -> Array:
        """How many rows are there now, for lists without a time of their own."""
        chosen = self.pair if mask is None else self.pair[mask[self.row]]
        return np.bincount(chosen, minlength=self.size).astype(np.float64)

    def total(self, values: Array) -> Array:
        """Sum of `values` (one for each row of the list) per pair."""
        return np.bincount(self.pair, weights=values[self.row], minlength=self.size)

    def latest(self, mask: Array | None = None) -> Array:
        """When the newest row up to `as_of` happened; NaN where there is none."""
        keep = self._where(mask, None)
        newest = np.full(self.size, -np.inf)
        np.maximum.at(newest, self.pair[keep], self.columns["occurred_at"][self.row[keep]])
        return np.where(np.isfinite(newest), newest, np.nan)

    def earliest(self, mask: Array | None = None) -> Array:
        """When the first row up to `as_of` happened; NaN where there is none."""
        keep = self._where(mask, None)
        oldest = np.full(self.size, np.inf)
        np.minimum.at(oldest, self.pair[keep], self.columns["occurred_at"][self.row[keep]])
        return np.where(np.isfinite(oldest), oldest, np.nan)

    def upcoming(self, mask: Array) -> Array:
        """When the next row after `as_of` is due; NaN where none is."""
        at = self.columns["occurred_at"][self.row]
        keep = mask[self.row] & (at > self.as_of)
        next_at = np.full(self.size, np.inf)
        np.minimum.at(next_at, self.pair[keep], at[keep])
        return np.where(np.isfinite(next_at), next_at, np.nan)

    def of_largest(self, weights: Array, values: Array) -> Array:
        """Text of the row with the largest weight per pair (the first in the alphabet among equals); "" if none."""
        order = np.lexsort((values[self.row], -weights[self.row], self.pair))
        pairs, first = np.unique(self.pair[order], return_index=True)
        found = np.full(self.size, "", dtype=values.dtype if values.size else np.str_)
        found[pairs] = values[self.row[order[first]]]
        return found

    def _where(self, mask: Array | None, days: float | None) -> Array:
        at = self.columns["occurred_at"][self.row]
        keep = at <= self.as_of
        if days is not None:
            keep &= at > self.as_of - days * DAY
        return keep if mask is None else keep & mask[self.row]


def weeks_between(later: Array, earlier: Array) -> Array:
    """Weeks from `earlier` to `later`, at least 0; NaN where either is missing."""
    return np.maximum((later - earlier) / WEEK, 0.0)


def days_between(later: Array, earlier: Array) -> Array:
    """Days from `earlier` to `later`, at least 0; NaN where either is missing."""
    return np.maximum((later - earlier) / DAY, 0.0)


def log_amount(amounts: Array) -> Array:
    """log(1 + amount): amounts differ by factors. NaN where missing."""
    return np.log1p(np.maximum(amounts, 0.0))


def shrunken(successes: Array, trials: Array, prior: Array, strength: float) -> Array:
    """A rate drawn towards `prior`, as if `strength` trials at that rate had been seen before."""
    rate: Array = (successes + strength * prior) / (trials + strength)
    return rate


def zero(values: Array) -> Array:
    """Counts of nothing are 0."""
    return np.nan_to_num(values, nan=0.0)


def grid(instants: Array) -> Array:
    """The Monday 00:00 UTC at or before each instant: where what is costly to count is looked at."""
    return np.floor((instants - MONDAY) / WEEK) * WEEK + MONDAY


def done(events: Events) -> Array:
    """Which activities took place: completed ones, in kinds that touch the customer."""
    mask: Array = (events["status"] == "completed") & np.isin(events["type"], TOUCHES)
    return mask


def inbound(events: Events) -> Array:
    """Which activities came from the customer: inbound ones and replies."""
    answered = (events["direction"] == "inbound") | (events["outcome"] == "replied")
    mask: Array = (events["status"] == "completed") & answered
    return mask
