"""One grammar of lists: filter, sort, fields, expand, cursor, count, as_of → one statement.

    ?amount[gte]=1000&stage[in]=proposal,negotiation&name[contains]=acme&account.industry=retail&cf.region=emea
    &sort=-amount,name&fields=id,name&expand=account,owner&limit=50&cursor=…&count=true&as_of=2026-01-31T00:00:00Z&q=…

A field that the actor may not see is refused in the same words as one that does not exist. Pages go by key, not by
offset: the cursor holds the sort values of the last row, so inserts and equal keys neither repeat nor lose a row.
Rows come as JSON text made by PostgreSQL; Python only joins them.
"""

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service import history
from service.access import Actor, guard, hidden
from service.db import Database, Params, metadata, to_json
from service.errors import BadRequest

DEFAULT_LIMIT, MOST = 50, 200
COUNT_CAP = 10_000
OPERATORS = frozenset(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "starts", "is_null"])
RESERVED = frozenset(["limit", "cursor", "sort", "fields", "expand", "count", "as_of", "q", "view"])
MOST_VALUES = 500
MOST_FILTERS = 30


class Source(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What the grammar needs to know of a resource. Compared by identity: one per resource."""

    table: str
    references: dict[str, str] = {}
    """column → the table it points at; `owner_id` → `users` gives `owner.` filters and `expand=owner`."""
    text: tuple[str, ...] = ()
    """The columns that `?q=` looks into."""
    extra: dict[str, str] = {}
    """Derived, read-only fields: name → SQL over the alias `t`."""
    extra_kinds: dict[str, str] = {}
    """What the derived fields hold, where it is not text: `instant`, `integer`, …"""
    home: dict[str, str] = {}
    """Money fields → the column with the same amount in home currency, by which they are filtered and sorted."""


class Request(msgspec.Struct, kw_only=True):
    """The parsed query string."""

    filters: list[tuple[str, str, str]] = []
    sort: list[tuple[str, bool]] = []
    fields: list[str] | None = None
    expand: list[str] = []
    limit: int = DEFAULT_LIMIT
    cursor: list[Any] | None = None
    count: bool = False
    as_of: datetime | None = None
    text: str | None = None
    view: UUID | None = None
    """A saved view, which `saved.applied` puts in."""


class Outer(msgspec.Struct, frozen=True):
    """Among `fixed`: a column of the statement around this one, not a value."""

    sql: str


class Page(msgspec.Struct):
    """`body` is the finished JSON text of the list."""

    body: str
    next: str | None


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


_SQL_TYPES: dict[str, str] = {
    "text": "text",
    "integer": "bigint",
    "number": "numeric",
    "boolean": "boolean",
    "date": "date",
    "instant": "timestamptz",
    "uuid": "uuid",
    "json": "jsonb",
}


def sql_type(column: sa.Column[Any]) -> str:
    """The cast of a parameter for this column."""
    if isinstance(column.type, JSONB):
        return "jsonb"
    if isinstance(column.type, ARRAY):
        return "uuid[]" if isinstance(column.type.item_type, sa.Uuid) else "text[]"
    return _SQL_TYPES[kind_of(column)]


def table_of(name: str) -> sa.Table:
    return metadata.tables[name]


def instant(text: str) -> datetime:
    """An RFC 3339 instant; without a zone it is refused."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00").replace(" ", "+"))
    if moment.tzinfo is None:
        raise ValueError("an instant needs its zone")
    return moment.astimezone(UTC)


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _integer(text: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ValueError("too large")
    return value


def _number(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite() or abs(value.adjusted()) > 30:
        raise ValueError("not a finite number of this size")
    return value


def _text(text: str) -> str:
    if "\0" in text:
        raise ValueError("NUL")
    return text


_PARSE: dict[str, Callable[[str], Any]] = {
    "text": _text,
    "json": _text,
    "list": UUID,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": date.fromisoformat,
    "instant": instant,
    "uuid": UUID,
}
_CAST = {
    "text": "text",
    "json": "text",
    "list": "uuid",
    "integer": "bigint",
    "number": "numeric",
    "boolean": "boolean",
    "date": "date",
    "instant": "timestamptz",
    "uuid": "uuid",
}


def parse(query_string: bytes) -> Request:
    """Judges the form of a query string; the names in it are judged by `run`."""
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
                keys = [key for key in value.split(",") if key]
                request.sort = [(key.lstrip("+-"), key.startswith("-")) for key in keys][:5]
            case "fields":
                request.fields = [field for field in value.split(",") if field]
            case "expand":
                request.expand = [field for field in value.split(",") if field][:10]
            case "count":
                request.count = _boolean(value)
            case "as_of":
                request.as_of = instant(value)
            case "view":
                request.view = UUID(value)
            case _:
                request.text = _text(value)[:200]
    except (ValueError, KeyError):
        raise BadRequest(f"{name}: {value[:80]!r} is not a value that it takes.") from None


def encode_cursor(values: list[Any]) -> str:
    return base64.urlsafe_b64encode(to_json(values).encode()).decode().rstrip("=")


def decode_cursor(text: str) -> list[Any]:
    """The values of a cursor; raises `BadRequest` for anything that we did not make."""
    try:
        values = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=list[Any])
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise BadRequest("cursor: this is not a cursor of this list.") from None
    return values


@cache
def plain(table: str) -> Source:
    """A table as it is, without derived fields: what `expand` shows."""
    return Source(table=table)


@cache
def columns(table: str) -> dict[str, str]:
    """Field → kind of all columns of a table, in order."""
    return {str(column.name): kind_of(column) for column in metadata.tables[table].columns}


@cache
def nullable(table: str) -> frozenset[str]:
    return frozenset(column.name for column in metadata.tables[table].columns if column.nullable)


@cache
def projection(source: Source, alias: str, fields: tuple[str, ...]) -> str:
    """The select list of `fields`: decimals as text, derived fields by their expression."""
    kinds = columns(source.table)
    parts = []
    for field in fields:
        if field in source.extra:
            parts.append(f'({source.extra[field]}) AS "{field}"')
        elif (
            kinds[field] == "number"
            and isinstance(metadata.tables[source.table].c[field].type, sa.Numeric)
            and not isinstance(metadata.tables[source.table].c[field].type, sa.Float)
        ):
            parts.append(f'{alias}."{field}"::text AS "{field}"')
        else:
            parts.append(f'{alias}."{field}"')
    return ", ".join(parts)


@cache
def all_fields(source: Source, without: frozenset[str]) -> tuple[str, ...]:
    """Every field of the resource that is not hidden, derived ones last."""
    return tuple(name for name in (*columns(source.table), *source.extra) if name not in without)


def unknown(field: str) -> BadRequest:
    """The one sentence for a field that does not exist and for one that you may not see."""
    return BadRequest(
        f"There is no field {field[:80]!r} here.", errors=[{"pointer": field[:80], "detail": "unknown field"}]
    )


class Builder:
    """Turns one parsed request into a statement with its parameters."""

    def __init__(self, source: Source, actor: Actor, request: Request) -> None:
        self.source, self.actor, self.request = source, actor, request
        self.params = Params()
        self.hidden = hidden(actor, source.table)
        self.fields = all_fields(source, self.hidden)
        self.as_of = f"{self.params.add(request.as_of)}::timestamptz" if request.as_of else None

    def where(self, fixed: dict[str, Any]) -> str:
        """Visibility, not deleted, the parent of a nested list, the filters, the text."""
        source = self.source
        if self.as_of:
            now = guard(self.actor, source.table, "c", self.params)
            seen = f"EXISTS (SELECT 1 FROM {source.table} c WHERE c.id = t.id AND {now})"
        else:
            seen = guard(self.actor, source.table, "t", self.params)
        parts = [seen, "t.deleted_at IS NULL"]
        parts += [
            f't."{name}" = {value.sql if isinstance(value, Outer) else self.params.add(value)}'
            for name, value in fixed.items()
        ]
        parts += [self.condition(*item) for item in self.request.filters]
        searched = [name for name in source.text if name not in self.hidden]
        if self.request.text and searched:
            pattern = self.params.add(f"%{_like(self.request.text)}%")
            parts.append("(" + " OR ".join(f't."{name}" ILIKE {pattern}' for name in searched) + ")")
        elif self.request.text:
            raise BadRequest("q: this list has no text search.")
        return " AND ".join(parts)

    def condition(self, field: str, operator: str, value: str) -> str:
        """One filter as SQL."""
        if operator not in OPERATORS:
            raise BadRequest(
                f"{field[:80]}: there is no operator {operator[:20]!r}; there are {', '.join(sorted(OPERATORS))}."
            )
        if field.startswith(("cf.", "external_ids.")):
            column, _, key = field.partition(".")
            return self.compare(
                f"(t.{column} ->> {self.params.add(key[:100])})", "text", field, operator, value
            )
        if "." in field:
            return self.joined(field, operator, value)
        if field not in self.fields:
            raise unknown(field)
        if field in self.source.extra:
            kind = self.source.extra_kinds.get(field, "text")
            derived = f"({self.source.extra[field]})::{_CAST[kind]}"
            return self.compare(derived, kind, field, operator, value)
        column = self.source.home.get(field, field)
        return self.compare(f't."{column}"', columns(self.source.table)[column], field, operator, value)

    def joined(self, field: str, operator: str, value: str) -> str:
        """A filter on a field of a record that this one points at: `account.industry`."""
        reference, _, name = field.partition(".")
        table = self.source.references.get(f"{reference}_id")
        if (
            table is None
            or name not in columns(table)
            or name in hidden(self.actor, table)
            or f"{reference}_id" not in self.fields
        ):
            raise unknown(field)
        test = self.compare(f'r."{name}"', columns(table)[name], field, operator, value)
        seen = guard(self.actor, table, "r", self.params)
        return (
            f'EXISTS (SELECT 1 FROM {table} r WHERE r.id = t."{reference}_id" AND r.deleted_at IS NULL'
            f" AND {seen} AND {test})"
        )

    def compare(self, left: str, kind: str, field: str, operator: str, value: str) -> str:
        """`left` against the typed value; a value of the wrong type is a 400 that names the field."""
        try:
            return self._compare(left, kind, operator, value)
        except (ValueError, KeyError, InvalidOperation):
            raise BadRequest(f"{field[:80]}: {value[:80]!r} is not a {kind}.") from None

    def _compare(self, left: str, kind: str, operator: str, value: str) -> str:
        cast = _CAST[kind]
        if kind == "json":
            left = f"{left}::text"
        if operator == "is_null":
            return f"{left} IS NULL" if _boolean(value) else f"{left} IS NOT NULL"
        if operator in ("contains", "starts"):
            if kind in ("ids", "texts"):
                return f"{self.params.add(_PARSE[kind](value))}::{cast} = ANY({left})"
            pattern = f"{'%' if operator == 'contains' else ''}{_like(_text(value))}%"
            return f"{left}::text ILIKE {self.params.add(pattern)}"
        if operator in ("in", "nin"):
            values = [_PARSE[kind](part) for part in value.split(",")[:MOST_VALUES]]
            sign = "&&" if kind in ("ids", "texts") else "= ANY"
            test = f"{sign} ({self.params.add(values)}::{cast}[])"
            return f"{left} {test}" if operator == "in" else f"NOT coalesce({left} {test}, FALSE)"
        placeholder = f"{self.params.add(_PARSE[kind](value))}::{cast}"
        if kind in ("ids", "texts"):
            return f"{'NOT ' if operator == 'ne' else ''}{placeholder} = ANY({left})"
        if operator == "ne":
            return f"{left} IS DISTINCT FROM {placeholder}"
        sign = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}[operator]
        return f"{left} {sign} {placeholder}"

    def order(self) -> list[tuple[str, str, bool, bool]]:
        """Sort keys as (SQL, kind, descending, nullable), the id last."""
        keys = []
        for field, descending in self.request.sort:
            if field not in self.fields:
                raise unknown(field)
            if field in self.source.extra:
                kind = self.source.extra_kinds.get(field, "text")
                keys.append((f"({self.source.extra[field]})::{_CAST[kind]}", kind, descending, True))
                continue
            column = self.source.home.get(field, field)
            kind = columns(self.source.table)[column]
            if kind in ("json", "ids", "texts"):
                raise BadRequest(f"sort: {field!r} has no order.")
            sql = f'lower(t."{column}") COLLATE "C"' if kind == "text" else f't."{column}"'
            keys.append((sql, kind, descending, column in nullable(self.source.table)))
        last_descending = keys[-1][2] if keys else True
        return [*keys, ("t.id", "uuid", last_descending, False)]

    def after(self, keys: list[tuple[str, str, bool, bool]]) -> str:
        """The keyset condition: rows behind the cursor."""
        cursor = self.request.cursor
        if cursor is None:
            return "TRUE"
        if len(cursor) != len(keys):
            raise BadRequest("cursor: this cursor belongs to another order.")
        values = [
            self._cursor_value(kind, value) for (_, kind, _, _), value in zip(keys, cursor, strict=True)
        ]
        if len({descending for _, _, descending, _ in keys}) == 1 and not any(null for *_, null in keys):
            left = ", ".join(sql for sql, *_ in keys)
            return f"({left}) {'<' if keys[0][2] else '>'} ({', '.join(str(v) for v in values)})"
        return self._stepwise(keys, values)

    def _cursor_value(self, kind: str, value: Any) -> str | None:
        if value is None:
            return None
        try:
            return f"{self.params.add(_PARSE[kind](str(value)))}::{_CAST[kind]}"
        except (ValueError, KeyError, InvalidOperation):
            raise BadRequest("cursor: this cursor belongs to another order.") from None

    @staticmethod
    def _stepwise(keys: list[tuple[str, str, bool, bool]], values: list[str | None]) -> str:
        """Keys of mixed direction, or with NULLs (which stand last in either direction)."""
        steps, equal = [], ["TRUE"]
        for (sql, _, descending, null), value in zip(keys, values, strict=True):
            if value is not None:
                beyond = f"{sql} {'<' if descending else '>'} {value}"
                steps.append(" AND ".join([*equal, f"({beyond} OR {sql} IS NULL)" if null else beyond]))
            equal.append(f"{sql} = {value}" if value is not None else f"{sql} IS NULL")
        return "(" + " OR ".join(f"({step})" for step in steps) + ")"

    def selected(self) -> tuple[str, ...]:
        """The fields of the answer."""
        wanted = self.request.fields
        if wanted is None:
            return self.fields
        for field in wanted:
            if field not in self.fields:
                raise unknown(field)
        return tuple(dict.fromkeys(["id", *wanted]))

    def expanded(self) -> str:
        """The records beside this one, each under the reference's name without `_id`."""
        parts = []
        for name in self.request.expand:
            table = self.source.references.get(f"{name}_id")
            if table is None or f"{name}_id" not in self.fields:
                raise unknown(name)
            other = plain(table)
            inner = projection(other, "e", all_fields(other, hidden(self.actor, table)))
            seen = guard(self.actor, table, "e", self.params)
            parts.append(
                f'(SELECT row_to_json(x) FROM (SELECT {inner} FROM {table} e WHERE e.id = t."{name}_id"'
                f' AND e.deleted_at IS NULL AND {seen}) x) AS "{name}"'
            )
        return "".join(f", {part}" for part in parts)

    def document(self) -> str:
        """One row as JSON."""
        chosen = projection(self.source, "t", self.selected())
        return f"(SELECT row_to_json(d) FROM (SELECT {chosen}{self.expanded()}) d)::text"

    def list_sql(self, fixed: dict[str, Any]) -> tuple[str, int]:
        """The statement of a page of `limit` + 1 rows, and how many keys it carries behind the document."""
        keys = self.order()
        table = history.source(self.source.table, self.as_of)
        document = self.document()
        where = f"{self.where(fixed)} AND {self.after(keys)}"
        order = ", ".join(
            f"{sql} {'DESC' if down else 'ASC'}{' NULLS LAST' if null else ''}" for sql, _, down, null in keys
        )
        carried = ", ".join(f"{sql} AS k{index}" for index, (sql, *_) in enumerate(keys))
        return (
            f"SELECT {document} AS doc, {carried} FROM {table} t WHERE {where}"
            f" ORDER BY {order} LIMIT {self.request.limit + 1}",
            len(keys),
        )

    def count_sql(self, fixed: dict[str, Any]) -> str:
        table = history.source(self.source.table, self.as_of)
        return f"SELECT count(*) FROM (SELECT 1 FROM {table} t WHERE {self.where(fixed)} LIMIT {COUNT_CAP + 1}) c"


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def run(
    database: Database, source: Source, actor: Actor, request: Request, fixed: dict[str, Any] | None = None
) -> Page:
    """One page as `{"items": […], "next": …}`; `fixed` are equalities that the URL itself sets (a parent's id)."""
    builder = Builder(source, actor, request)
    sql, width = builder.list_sql(fixed or {})
    rows = await database.fetch(sql, *builder.params)
    following = None
    if len(rows) > request.limit:
        rows.pop()
        last = rows[-1]
        following = encode_cursor([last[f"k{index}"] for index in range(width)])
    items = ",".join([row["doc"] for row in rows])
    count = ""
    if request.count:
        counter = Builder(source, actor, request)
        found = await database.fetchval(counter.count_sql(fixed or {}), *counter.params)
        count = f',"count":{found if found <= COUNT_CAP else to_json(f"{COUNT_CAP}+")}'
    return Page(body=f'{{"items":[{items}],"next":{to_json(following)}{count}}}', next=following)


async def one(
    database: Database, source: Source, actor: Actor, record_id: UUID, request: Request | None = None
) -> tuple[str, int] | None:
    """One record as JSON text with its version, or None where there is none that the actor sees."""
    builder = Builder(source, actor, request or Request())
    table = history.source(source.table, builder.as_of)
    key = builder.params.add(record_id)
    document = builder.document()
    sql = f"SELECT {document} AS doc, t.version FROM {table} t WHERE t.id = {key} AND {builder.where({})}"
    row = await database.fetchrow(sql, *builder.params)
    return (row["doc"], row["version"]) if row else None
