"""A list as figures: `?group=stage,close_date.month&sum=amount&avg=amount`, under the same filters and the same eyes.

Days and instants may be grouped by `day week month quarter year`, in the company's zone; money is added up on the home
amount. At most `MOST_ROWS` groups, the largest first; `is_partial` says that there are more.
"""

from typing import Any

from service.access import Actor
from service.conditions import Left
from service.db import Database
from service.errors import BadRequest
from service.history import source as rows_of
from service.query import Builder, Page, Request, Source, prepared
from service.values import DAYS, LISTS

MOST_ROWS = 500
BUCKETS = frozenset(["day", "week", "month", "quarter", "year"])


async def run(
    database: Database, source: Source, actor: Actor, request: Request, fixed: dict[str, Any] | None = None
) -> Page:
    """`{"items": [{"group": {…}, "count": n, "sum": {…}, …}], "is_partial": false, "next": null}`."""
    if request.cursor is not None or request.sort or request.fields is not None or request.expand:
        raise BadRequest(
            "Figures take filters, group, sum, avg, min and max; no sort, fields, expand or cursor."
        )
    builder = await prepared(database, source, actor, request)
    sql = _sql(builder, fixed or {})
    rows = await database.fetch(sql, *builder.params)
    items = ",".join(row["doc"] for row in rows[:MOST_ROWS])
    partial = "true" if len(rows) > MOST_ROWS else "false"
    return Page(body=f'{{"items":[{items}],"is_partial":{partial},"next":null}}', next=None)


def _sql(builder: Builder, fixed: dict[str, Any]) -> str:
    groups = [_group(builder, name) for name in builder.request.group or ()]
    figures = [_figure(builder, kind, field) for kind, field in builder.request.figures]
    rows = rows_of(builder.source.table, builder.as_of)
    chosen = [f"{sql} AS g{index}" for index, sql in enumerate(groups)]
    chosen += ["count(*) AS number", *(f"{sql} AS f{index}" for index, sql in enumerate(figures))]
    by = f" GROUP BY {', '.join(str(index + 1) for index in range(len(groups)))}" if groups else ""
    order = ", ".join(["number DESC", *(f"g{index}" for index in range(len(groups)))])
    return (
        f"SELECT jsonb_build_object({_document(builder.request)})::text AS doc FROM ("
        f"SELECT {', '.join(chosen)} FROM {rows} t WHERE {builder.where(fixed)}{by}"
        f" ORDER BY {order} LIMIT {MOST_ROWS + 1}) x"
    )


def _document(request: Request) -> str:
    """The members of one row: the group by name, the count, each figure under its kind."""
    parts = [f"'group', {_object([(name, f'g{index}') for index, name in enumerate(request.group or ())])}"]
    parts.append("'count', number")
    for kind in dict.fromkeys(kind for kind, _ in request.figures):
        named = [
            (field, f"f{index}") for index, (other, field) in enumerate(request.figures) if other == kind
        ]
        parts.append(f"'{kind}', {_object(named)}")
    return ", ".join(parts)


def _object(members: list[tuple[str, str]]) -> str:
    """Names have been judged as fields before they get here."""
    return "jsonb_build_object(" + ", ".join(f"'{name}', {sql}" for name, sql in members) + ")"


def _group(builder: Builder, name: str) -> str:
    field, _, bucket = name.rpartition(".")
    if bucket not in BUCKETS or not field:
        left = builder.left(name)
        if left.kind == "json" or left.kind in LISTS:
            raise BadRequest(f"group: {name[:80]!r} does not group.")
        return left.sql
    left = builder.left(field)
    if left.kind not in DAYS:
        raise BadRequest(f"group: {field[:80]!r} is neither a date nor an instant.")
    assert builder.today is not None
    return f"date_trunc('{bucket}', {_local(builder, left)})::date"


def _local(builder: Builder, left: Left) -> str:
    """The day or instant as a timestamp of the company's clock."""
    assert builder.today is not None
    if left.kind == "date":
        return f"({left.sql})::date::timestamp"
    zone = builder.params.add(builder.today.settings.time_zone)
    return f"({left.sql})::timestamptz AT TIME ZONE {zone}::text"


def _figure(builder: Builder, kind: str, field: str) -> str:
    left = builder.left(field)
    if left.kind not in ("number", "integer"):
        raise BadRequest(f"{kind}: {field[:80]!r} is not a number.")
    value = f"{kind}({left.sql})"
    is_money = field in builder.source.home or left.is_custom
    return f"round(({value})::numeric, 4)::text" if is_money else f"({value})::float8"
