"""Saved views at work: what a view keeps, put into a request of the list that it belongs to."""

from collections.abc import Iterator, Mapping
from typing import Any

from service import query
from service.access import Actor, visible
from service.db import Database, Params
from service.errors import BadRequest

View = Mapping[str, Any]


def _value(value: Any) -> str:
    """A criterion's value as a list's query string would have it."""
    match value:
        case None:
            return "true"  # of `is_null`, which alone needs no value
        case bool():
            return str(value).lower()
        case list() | tuple():
            return ",".join(_value(each) for each in value)
        case _:
            return str(value)


def filters(criteria: Any) -> list[tuple[str, str, str]]:
    """Criteria as the filters of a list."""
    return [(each["field"], each["op"], _value(each.get("value"))) for each in criteria or ()]


def order(keys: Any) -> list[tuple[str, bool]]:
    """`-amount` as (field, descending)."""
    return [(key.lstrip("-"), key.startswith("-")) for key in keys or ()]


def parts(view: View) -> Iterator[tuple[str, query.Request]]:
    """Each part of a view as a request of its own, under the name that an error points at."""
    for index, found in enumerate(filters(view.get("filter"))):
        yield f"filter/{index}", query.Request(filters=[found])
    for index, key in enumerate(order(view.get("sort"))):
        yield f"sort/{index}", query.Request(sort=[key])
    for index, column in enumerate(view.get("columns") or ()):
        yield f"columns/{index}", query.Request(fields=[column])


async def applied(
    database: Database, actor: Actor, resource: str, asked: query.Request, *, columns: bool = True
) -> query.Request:
    """The request with its view put in: filters are added, what the request says itself of order and fields wins.

    Raises `BadRequest` for a view that the actor does not see, or of another resource.
    """
    if asked.view is None:
        return asked
    params = Params([asked.view, resource])
    seen = visible(actor, "views", "v", params)
    row = await database.fetchrow(
        "SELECT v.filter, v.sort, v.columns FROM views v WHERE v.id = $1 AND v.resource = $2"
        f" AND v.deleted_at IS NULL AND {seen}",
        *params,
    )
    if row is None:
        raise BadRequest("view: there is no such view of this list.")
    asked.filters = filters(row["filter"]) + asked.filters
    asked.sort = asked.sort or order(row["sort"])
    if columns and asked.fields is None and row["columns"]:
        asked.fields = list(row["columns"])
    return asked
