"""Criteria, `[{field, op, value}]`, judged in Python on one record: for filters of web hooks, playbooks and rules.

The operators mean what they mean in lists. Values are compared as numbers where both sides are numbers (money comes as
text), else as instants' or words' text; a field that is missing counts as null.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any


def matches(criteria: Sequence[Mapping[str, Any]], record: Mapping[str, Any], match: str = "all") -> bool:
    """Whether all criteria hold (`match` "any": at least one). No criteria hold for every record."""
    if not criteria:
        return True
    judged = (holds(c["op"], _at(record, c["field"]), c.get("value")) for c in criteria)
    return any(judged) if match == "any" else all(judged)


def _at(record: Mapping[str, Any], field: str) -> Any:
    """`cf.region` and `account.industry` reach into nested records."""
    value: Any = record
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def holds(op: str, left: Any, right: Any) -> bool:
    """One comparison; against null only `is_null`, `ne` and `nin` can hold."""
    match op:
        case "is_null":
            return (left is None) == (right in (True, "true", None))
        case "in" | "nin":
            options = right if isinstance(right, (list, tuple)) else str(right).split(",")
            return any(_equal(left, option) for option in options) == (op == "in")
        case "eq" | "ne":
            return _equal(left, right) == (op == "eq")
        case "contains" if isinstance(left, (list, tuple)):
            return any(_equal(item, right) for item in left)
        case "contains":
            return left is not None and str(right).lower() in str(left).lower()
        case "starts":
            return left is not None and str(left).lower().startswith(str(right).lower())
        case _:
            return left is not None and right is not None and _ordered(op, left, right)


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _equal(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    if isinstance(left, bool) or isinstance(right, bool):
        return str(left).lower() == str(right).lower()
    a, b = _number(left), _number(right)
    return a == b if a is not None and b is not None else str(left) == str(right)


def _ordered(op: str, left: Any, right: Any) -> bool:
    a: Any = _number(left)
    b: Any = _number(right)
    if a is None or b is None:
        a, b = str(left), str(right)
    return bool({"gt": a > b, "gte": a >= b, "lt": a < b, "lte": a <= b}[op])
