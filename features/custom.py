"""Custom fields as features: a definition for each field that a company declares one, made from what it declares.

    more = await declared(connection.fetch)                      # what is declared now
    widened(SETS["deal_win"], more)                              # the set that the next training learns from

The feature of a field is `<entity>_cf_<key>`. What it computes follows from the type alone: a number as it is, an amount
as its logarithm, a day as the days until then, a choice as a category, several choices as their combination, and of texts
and references whether they are there. A model keeps what it learned on (`Declared`) beside it, so a field that is changed
or removed leaves it as it was.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

import msgspec
import numpy as np

from features.facts import DAY, EPOCH_DAY, Array, Facts, instant
from features.reading import Fetch
from features.spec import Feature

MARK = "_cf_"
"""Stands between entity and key in a feature's name."""
SIGNS = " + "
"""Between the choices of a combination."""

_DECLARED = """
SELECT entity, key, label, type, unit, minimum, maximum, description, owner, is_sensitive FROM known.declared_fields"""


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A custom field that is declared as a feature; `minimum` and `maximum` are in the field's own unit."""

    entity: str
    key: str
    label: str
    type: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""
    owner: str = ""
    is_sensitive: bool = False

    @property
    def name(self) -> str:
        """The name of its feature."""
        return f"{self.entity}{MARK}{self.key}"


async def declared(fetch: Fetch) -> tuple[Declared, ...]:
    """The fields that are declared now, in the order of entity and key."""
    return tuple(Declared(**dict(row)) for row in await fetch(_DECLARED))


# what a value of a type becomes


def _each(records: Facts, key: str, read: Callable[[Any], float]) -> Array:
    values = (None if row is None else row.get(key) for row in records["custom"])
    return np.array([np.nan if value is None else read(value) for value in values], dtype=np.float64)


def _as_number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else np.nan


def _as_log(value: Any) -> float:
    try:
        amount = float(value) if isinstance(value, str) else np.nan
    except ValueError:
        return np.nan
    return float(np.sign(amount) * np.log1p(abs(amount)))


def _as_day(value: Any) -> float:
    try:
        return float(date.fromisoformat(value).toordinal() - EPOCH_DAY)
    except (TypeError, ValueError):
        return np.nan


def _as_instant(value: Any) -> float:
    try:
        return instant(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        return np.nan


def number(records: Facts, key: str) -> Array:
    return _each(records, key, _as_number)


def amount(records: Facts, key: str) -> Array:
    return _each(records, key, _as_log)


def flag(records: Facts, key: str) -> Array:
    return _each(records, key, lambda value: float(value) if isinstance(value, bool) else np.nan)


def days_until(records: Facts, key: str) -> Array:
    return _each(records, key, _as_day) - records.calendar.days(records.as_of)


def time_until(records: Facts, key: str) -> Array:
    return (_each(records, key, _as_instant) - records.as_of) / DAY


def _words(records: Facts, key: str, read: Callable[[Any], str]) -> Array:
    values = (None if row is None else row.get(key) for row in records["custom"])
    return np.array(["" if value is None else read(value) for value in values], dtype=np.str_)


def choice(records: Facts, key: str) -> Array:
    return _words(records, key, lambda value: value if isinstance(value, str) else "")


def choices(records: Facts, key: str) -> Array:
    return _words(
        records, key, lambda value: SIGNS.join(sorted(map(str, value))) if isinstance(value, list) else ""
    )


def filled(records: Facts, key: str) -> Array:
    there = _each(records, key, lambda value: float(value not in ("", [])))
    return np.where(records.present, np.nan_to_num(there, nan=0.0), np.nan)


class Kind(msgspec.Struct, frozen=True):
    """How fields of a type are read, and what that says of them."""

    read: Callable[[Facts, str], Array]
    says: str
    unit: str
    is_category: bool = False


NUMBER = Kind(number, "{label}.", "number")
FILLED = Kind(filled, "Whether {label} is filled in.", "yes or no")
KINDS = {
    "number": NUMBER,
    "integer": NUMBER,
    "currency": Kind(amount, "{label}: log(1 + amount), with the amount's sign.", "log of money"),
    "boolean": Kind(flag, "{label}.", "yes or no"),
    "date": Kind(days_until, "Days from today (the company's day) to {label}; negative when it has passed.", "days"),
    "datetime": Kind(time_until, "Days to {label}; negative when it has passed.", "days"),
    "select": Kind(choice, "{label}.", "text", is_category=True),
    "multi_select": Kind(choices, "{label}: the choices together, in the order of the alphabet.", "text", is_category=True),
}  # fmt: skip
"""Type → how it is read; all other types by whether they are filled in."""


def made(one: Declared) -> Feature:
    """The feature of a declared field."""
    kind = KINDS.get(one.type, FILLED)
    read, key = kind.read, one.key

    def compute(records: Facts) -> Array:
        return read(records, key)

    low, high = _range(one, kind)
    meaning = one.description or kind.says.format(label=one.label)
    unit = one.unit if one.unit and kind is NUMBER else kind.unit
    return Feature(
        one.name, one.entity, meaning, unit, one.owner or "sales operations", compute, kind.is_category, low, high, one
    )  # fmt: skip


def _range(one: Declared, kind: Kind) -> tuple[float | None, float | None]:
    if kind.unit == "yes or no":
        return 0.0, 1.0
    ends = (one.minimum, one.maximum)
    if kind.read is amount:
        return tuple(None if end is None else _as_log(str(end)) for end in ends)  # type: ignore[return-value]
    return ends if kind is NUMBER else (None, None)


def field_of(name: str) -> tuple[str, str] | None:
    """(entity, key) of the field behind a feature's name; None where it is none of a custom field."""
    entity, mark, key = name.partition(MARK)
    return (entity, key) if mark else None


def chosen(fields: Sequence[Declared], entities: set[str]) -> tuple[Feature, ...]:
    """The features of those fields that belong to some entities."""
    return tuple(made(one) for one in fields if one.entity in entities)
