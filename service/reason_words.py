"""A reason: features that people talk about as one thing, with the sentence that their values make; and its words."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

Values = Mapping[str, Any]


class Group(msgspec.Struct, frozen=True):
    """A reason: the features whose effects it sums, and the sentence that their values make."""

    key: str
    features: tuple[str, ...]
    tell: Callable[[Values], tuple[str, Any]]


def has(row: Values, name: str) -> bool:
    value = row.get(name)
    return value is not None and value != "" and not (isinstance(value, float) and np.isnan(value))


def whole(row: Values, name: str) -> int:
    return round(float(row[name])) if has(row, name) else 0


def some(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def word(text: str) -> str:
    return text.replace("_", " ")


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def money(row: Values, name: str) -> str:
    return f"{np.expm1(float(row[name])):,.0f}"


def weeks(weeks: float) -> str:
    return some(round(weeks * 7), "day") if weeks < 2 else some(round(weeks), "week")
