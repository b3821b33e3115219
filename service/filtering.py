"""Filters in a body: what a list's query string says, as criteria, as text or as an object."""

from typing import Annotated
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from service import query, saved
from service.errors import BadRequest, Invalid
from service.shapes import Criteria, CustomText, Scalar

Condition = tuple[str, str, str]
"""Field, operator and value, as `query.Request` has them."""

Filter = (
    Criteria | Annotated[str, Meta(max_length=8_000)] | dict[str, Scalar | list[CustomText | int | float]]
)
"""Criteria, a list's query string, or an object of `"field[op]": value`."""


def conditions(wanted: Filter, pointer: str = "/filter") -> list[Condition]:
    """The conditions in the grammar of lists. Raises `Invalid` for a filter that names none: it would find all."""
    found: list[Condition] = []
    for name, value in _pairs(wanted):
        field, _, operator = name.partition("[")
        if field in query.RESERVED:
            errors = [{"pointer": pointer, "detail": f"{field} is no field"}]
            raise BadRequest(f"{field}: a filter names fields only.", errors=errors)
        found.append((field, operator.rstrip("]") or "eq", value))
    if not found:
        raise Invalid.at(pointer, "names no condition")
    if len(found) > query.MOST_FILTERS:
        raise Invalid.at(pointer, f"takes {query.MOST_FILTERS} conditions at most")
    return found


def _pairs(wanted: Filter) -> list[tuple[str, str]]:
    if isinstance(wanted, str):
        return parse_qsl(wanted, keep_blank_values=True)
    if isinstance(wanted, dict):
        criteria = [{"field": name, "op": "eq", "value": value} for name, value in wanted.items()]
        return [(name, value) for name, _, value in saved.filters(criteria)]
    return [(f"{field}[{op}]", value) for field, op, value in saved.filters(msgspec.to_builtins(wanted))]
