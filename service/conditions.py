"""One filter as SQL: what stands on the left by its kind, the operator, and the value as it was written."""

from datetime import date, datetime
from decimal import InvalidOperation
from typing import Any, NamedTuple

from service import values
from service.calendar import Company
from service.custom import moment_text
from service.db import Params
from service.errors import BadRequest
from service.values import CAST, DAYS, LISTS, READ

OPERATORS = frozenset(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "starts", "is_null"])
SIGNS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
MOST_VALUES = 500


class Left(NamedTuple):
    """An expression and the kind of its values; `is_custom` ones lie in jsonb, where days and ids are text."""

    sql: str
    kind: str
    is_custom: bool = False

    @property
    def cast(self) -> str:
        return "text" if self.is_custom and self.kind in (*DAYS, "uuid") else CAST[self.kind]


class Today(NamedTuple):
    """The company's settings and its day, for values such as `this_quarter`."""

    settings: Company
    day: date


def condition(left: Left, field: str, operator: str, value: str, params: Params, today: Today | None) -> str:
    """The filter as SQL; a value of the wrong kind is a 400 that names the field."""
    if operator not in OPERATORS:
        known = ", ".join(sorted(OPERATORS))
        raise BadRequest(f"{field[:80]}: there is no operator {operator[:20]!r}; there are {known}.")
    try:
        if today and left.kind in DAYS and values.is_relative(value):
            return _within(left, operator, values.span(value, *today), params, today.settings)
        return _condition(left, operator, value, params)
    except (ValueError, KeyError, InvalidOperation):
        raise BadRequest(f"{field[:80]}: {value[:80]!r} is not a {left.kind}.") from None


def _condition(left: Left, operator: str, value: str, params: Params) -> str:
    sql = f"{left.sql}::text" if left.kind == "json" else left.sql
    match operator:
        case "is_null":
            return f"{sql} IS NULL" if values.boolean(value) else f"{sql} IS NOT NULL"
        case "in" | "nin":
            return _among(left._replace(sql=sql), operator, value.split(",")[:MOST_VALUES], params)
        case "contains" | "starts" if left.kind not in LISTS:
            pattern = f"{'%' if operator == 'contains' else ''}{escaped(values.text(value))}%"
            return f"{sql}::text ILIKE {params.add(pattern)}"
    placeholder = f"{params.add(_read(left, value))}::{left.cast}"
    if left.kind in LISTS:
        held = f"jsonb_exists({sql}, {placeholder})" if left.is_custom else f"{placeholder} = ANY({sql})"
        return f"NOT coalesce({held}, FALSE)" if operator == "ne" else held
    if operator == "ne":
        return f"{sql} IS DISTINCT FROM {placeholder}"
    return f"{sql} {SIGNS[operator]} {placeholder}"


def _among(left: Left, operator: str, parts: list[str], params: Params) -> str:
    listed = f"{params.add([_read(left, part) for part in parts])}::{left.cast}[]"
    if left.is_custom and left.kind == "texts":
        test = f"jsonb_exists_any({left.sql}, {listed})"
    else:
        test = f"{left.sql} {'&&' if left.kind in LISTS else '= ANY'} ({listed})"
    return test if operator == "in" else f"NOT coalesce({test}, FALSE)"


def _within(left: Left, operator: str, span: values.Span, params: Params, settings: Company) -> str:
    """A comparison with a span of days: `=` within it, `gt` behind it, `lt` before it."""

    def place(day: date) -> str:
        bound: Any = day if left.kind == "date" else settings.midnight(day)
        return f"{params.add(_written(left, bound))}::{left.cast}"

    match operator:
        case "eq":
            return f"({left.sql} >= {place(span.start)} AND {left.sql} < {place(span.after)})"
        case "ne":
            return f"({left.sql} >= {place(span.start)} AND {left.sql} < {place(span.after)}) IS NOT TRUE"
        case "gt" | "gte":
            return f"{left.sql} >= {place(span.after if operator == 'gt' else span.start)}"
        case "lt" | "lte":
            return f"{left.sql} < {place(span.after if operator == 'lte' else span.start)}"
        case _:
            raise ValueError(operator)


def _read(left: Left, value: str) -> Any:
    return _written(left, READ[left.kind](value))


def _written(left: Left, value: Any) -> Any:
    """As the left side holds it."""
    if not left.is_custom or left.cast != "text":
        return value
    return moment_text(value) if isinstance(value, datetime) else str(value)


def escaped(text: str) -> str:
    """Text without the wildcards of LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
