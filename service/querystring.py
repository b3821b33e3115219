"""A query string in the grammar of lists, judged by its form; the names in it are judged by `query`.

?amount[gte]=1000&stage[in]=proposal,negotiation&name[contains]=acme&account.industry=retail&cf.region=emea
&close_date=this_quarter&sort=-amount,name&fields=id,name&expand=account.owner&limit=50&cursor=…&count=true
&as_of=2026-01-31T00:00:00Z&q=…                     or, as figures: &group=stage,close_date.month&sum=amount&avg=amount
"""

import base64
import binascii
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec

from service import values
from service.db import to_json
from service.errors import BadRequest

DEFAULT_LIMIT, MOST = 50, 200
MOST_FILTERS = 30
MOST_SORTS, MOST_EXPANDED, MOST_GROUPS, MOST_FIGURES = 5, 10, 3, 5
FIGURES = ("sum", "avg", "min", "max")
ROWS = frozenset(["limit", "cursor", "sort", "fields", "expand", "count", "as_of", "q", "view", "deleted"])
"""What a list of rows takes beside filters."""
RESERVED = ROWS | {"group", *FIGURES}


class Request(msgspec.Struct, kw_only=True):
    """The parsed query string."""

    filters: list[tuple[str, str, str]] = []
    sort: list[tuple[str, bool]] = []
    fields: list[str] | None = None
    expand: list[str] = []
    limit: int = DEFAULT_LIMIT
    cursor: list[Any] | None = None
    count: bool = False
    deleted: bool = False
    """The deleted records instead of those that are there."""
    as_of: datetime | None = None
    text: str | None = None
    view: UUID | None = None
    """A saved view, which `saved.applied` puts in."""
    group: list[str] | None = None
    figures: list[tuple[str, str]] = []
    """(`sum`, field) and the like: with these, or with `group`, a list answers figures instead of rows."""


def parse(query_string: bytes) -> Request:
    """Raises `BadRequest` that names the parameter."""
    request = Request()
    try:
        pairs = parse_qsl(query_string.decode(), keep_blank_values=True, max_num_fields=100)
    except (ValueError, UnicodeDecodeError):
        raise BadRequest("The query string cannot be read.") from None
    for name, value in pairs:
        if name in RESERVED:
            reserved(request, name, value)
        else:
            field, _, operator = name.partition("[")
            request.filters.append((field, operator.rstrip("]") or "eq", value))
    if len(request.filters) > MOST_FILTERS:
        raise BadRequest(f"A list takes {MOST_FILTERS} filters at most.")
    return request


def reserved(request: Request, name: str, value: str) -> None:
    """Sets one of the parameters that are no filters; raises `BadRequest` for a value that it does not take."""
    try:
        match name:
            case "limit":
                request.limit = max(1, min(MOST, int(value)))
            case "cursor":
                request.cursor = decode_cursor(value)
            case "sort":
                request.sort = [
                    (key.lstrip("+-"), key.startswith("-")) for key in _names(name, value, MOST_SORTS)
                ]
            case "fields":
                request.fields = [field for field in value.split(",") if field]
            case "expand":
                request.expand = _names(name, value, MOST_EXPANDED)
            case "group":
                request.group = _names(name, value, MOST_GROUPS)
            case "count":
                request.count = values.boolean(value)
            case "deleted":
                request.deleted = values.boolean(value)
            case "as_of":
                request.as_of = values.instant(value)
            case "view":
                request.view = UUID(value)
            case "q":
                request.text = values.text(value)[:200]
            case _:
                request.figures += [(name, field) for field in _names(name, value, MOST_FIGURES)]
    except (ValueError, KeyError):
        raise BadRequest(f"{name}: {value[:80]!r} is not a value that it takes.") from None


def _names(name: str, value: str, most: int) -> list[str]:
    found = [part for part in value.split(",") if part]
    if len(found) > most:
        raise BadRequest(f"{name} takes {most} names at most.")
    return found


def encode_cursor(keys: list[Any]) -> str:
    return base64.urlsafe_b64encode(to_json(keys).encode()).decode().rstrip("=")


def decode_cursor(text: str) -> list[Any]:
    """The values of a cursor; raises `BadRequest` for anything that we did not make."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=list[Any])
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise BadRequest("cursor: this is not a cursor of this list.") from None
