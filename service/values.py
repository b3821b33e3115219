"""Values in a query string: which kind a column holds, how its text is read, and days that move with the calendar.

Relative days, for dates and instants alike, each a span of whole days in the company's zone:
`today yesterday tomorrow · this_week last_month next_quarter last_year … · last_30_days next_7_days · -30d +2w -3m -1y`.
`=` means within the span, `gt` behind it, `gte` from its first day on, `lt` before it, `lte` up to its last day.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service import calendar

CAST = {
    "text": "text",
    "json": "text",
    "ids": "uuid",
    "texts": "text",
    "integer": "bigint",
    "number": "numeric",
    "boolean": "boolean",
    "date": "date",
    "instant": "timestamptz",
    "uuid": "uuid",
}
"""Kind → the type that a parameter of it is cast to; of lists the type of a member."""

LISTS = frozenset({"ids", "texts"})
DAYS = frozenset({"date", "instant"})


def kind_of(column: sa.Column[Any]) -> str:
    """The kind of value a column holds: text, integer, number, boolean, date, instant, uuid, ids, texts, json."""
    match column.type:
        case sa.Boolean():
            return "boolean"
        case sa.Integer() | sa.BigInteger():
            return "integer"
        case sa.Numeric() | sa.Float():
            return "number"
        case sa.DateTime():
            return "instant"
        case sa.Date():
            return "date"
        case sa.Uuid():
            return "uuid"
        case ARRAY():
            return "ids" if isinstance(column.type.item_type, sa.Uuid) else "texts"
        case JSONB():
            return "json"
        case _:
            return "text"


def sql_type(column: sa.Column[Any]) -> str:
    """The cast of a parameter that is stored in this column."""
    kind = kind_of(column)
    return "jsonb" if kind == "json" else CAST[kind] + ("[]" if kind in LISTS else "")


def is_money(column: sa.Column[Any]) -> bool:
    """Whether it goes over the wire as a decimal string."""
    return isinstance(column.type, sa.Numeric) and not isinstance(column.type, sa.Float)


def instant(text: str) -> datetime:
    """An RFC 3339 instant; without a zone it is refused."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00").replace(" ", "+"))
    if moment.tzinfo is None:
        raise ValueError("an instant needs its zone")
    return moment.astimezone(UTC)


def boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def text(value: str) -> str:
    """Text that PostgreSQL can hold."""
    if "\0" in value:
        raise ValueError("NUL")
    return value


def _integer(value: str) -> int:
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError("too large")
    return number


def _number(value: str) -> Decimal:
    number = Decimal(value)
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise ValueError("not a finite number of this size")
    return number


READ: dict[str, Callable[[str], Any]] = {
    "text": text,
    "json": text,
    "ids": UUID,
    "texts": text,
    "integer": _integer,
    "number": _number,
    "boolean": boolean,
    "date": date.fromisoformat,
    "instant": instant,
    "uuid": UUID,
}
"""Kind → what reads its text; raises ValueError, KeyError or InvalidOperation."""


# --- days that move ----------------------------------------------------------------------------------------------


class Span(NamedTuple):
    """Whole days, `after` being the first one behind them."""

    start: date
    after: date


_DAY = {"yesterday": -1, "today": 0, "tomorrow": 1}
_TURN = {"last": -1, "this": 0, "next": 1}
_UNIT = re.compile(r"(last|this|next)_(week|month|quarter|year)")
_COUNT = re.compile(r"(last|next)_(\d{1,4})_days")
_SHIFT = re.compile(r"([+\- ])(\d{1,4})([dwmy])")  # a plus in a query string arrives as a space


def is_relative(value: str) -> bool:
    """Whether the text names days by the calendar: who asks then needs the company's day."""
    return value in _DAY or any(form.fullmatch(value) for form in (_UNIT, _COUNT, _SHIFT))


def span(value: str, settings: calendar.Company, today: date) -> Span:
    """The days that a relative text names. Raises ValueError where they leave the calendar."""
    try:
        return _span(value, settings, today)
    except (OverflowError, ValueError):
        raise ValueError("beyond the calendar") from None


def _span(value: str, settings: calendar.Company, today: date) -> Span:
    if value in _DAY:
        return _one(today + timedelta(days=_DAY[value]))
    if unit := _UNIT.fullmatch(value):
        return _unit(_TURN[unit[1]], unit[2], settings, today)
    if count := _COUNT.fullmatch(value):
        days = timedelta(days=int(count[2]))
        return Span(today - days, today) if count[1] == "last" else Span(_next(today), _next(today) + days)
    shift = _SHIFT.fullmatch(value)
    assert shift is not None
    number = -int(shift[2]) if shift[1] == "-" else int(shift[2])
    return _one(_shifted(today, number, shift[3]))


def _one(day: date) -> Span:
    return Span(day, _next(day))


def _next(day: date) -> date:
    return day + timedelta(days=1)


def _shifted(day: date, number: int, unit: str) -> date:
    """`number` days, weeks, months or years on; a day that its month lacks becomes the month's last."""
    if unit in "dw":
        return day + timedelta(days=number * (7 if unit == "w" else 1))
    first = calendar.plus_months(day.replace(day=1), number * (12 if unit == "y" else 1))
    last = calendar.plus_months(first, 1) - timedelta(days=1)
    return min(first + timedelta(days=day.day - 1), last)


def _unit(turn: int, unit: Any, settings: calendar.Company, today: date) -> Span:
    if unit == "week":
        start = today - timedelta(days=(today.isoweekday() - settings.week_start) % 7) + timedelta(weeks=turn)
        return Span(start, start + timedelta(weeks=1))
    period = calendar.period_of(settings, today, unit)
    if turn:
        period = (calendar.previous if turn < 0 else calendar.following)(settings, period)
    return Span(period.start_date, _next(period.end_date))
