"""One grammar of lists (`querystring`): filter, sort, fields, expand, cursor, count, as_of → one statement.

A field that the actor may not see is refused in the same words as one that does not exist. Pages go by key, not by
offset: the cursor holds the sort values of the last row, so inserts and equal keys neither repeat nor lose a row.
A page comes as JSON text made and joined by PostgreSQL.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import InvalidOperation
from typing import Any
from uuid import UUID

import msgspec

from service import calendar, custom, history, values
from service.access import Actor, few_owners, guard, hidden
from service.conditions import Left, Today, condition, escaped
from service.db import Database, Params, Tx, to_json
from service.errors import BadRequest
from service.querystring import (
    MOST,
    MOST_FILTERS,
    RESERVED,
    Request,
    decode_cursor,
    encode_cursor,
    parse,
    reserved,
)
from service.source import (
    Outer,
    Source,
    all_fields,
    columns,
    customs,
    derived,
    nullable,
    plain,
    projection,
    references_of,
    table_of,
    unknown,
)
from service.values import CAST, LISTS, READ, instant, kind_of, sql_type

__all__ = [
    "MOST",
    "MOST_FILTERS",
    "RESERVED",
    "Builder",
    "Outer",
    "Page",
    "Request",
    "Source",
    "all_fields",
    "columns",
    "customs",
    "decode_cursor",
    "encode_cursor",
    "instant",
    "kind_of",
    "nullable",
    "one",
    "parse",
    "plain",
    "prepared",
    "projection",
    "reserved",
    "run",
    "sql_type",
    "table_of",
    "unknown",
]

Key = tuple[
    str, str, bool, bool
]  # of a sort: its SQL, the kind of its values, whether it descends, may be NULL

COUNT_CAP = 10_000
DEEPEST = 2  # how many records away a filter or an `expand` reaches: `account.owner`


class Page(msgspec.Struct):
    """`body` is the finished JSON text of the list."""

    body: str
    next: str | None


class Builder:
    """Turns one parsed request into a statement with its parameters.

    `prepared` finds `customs`, the custom fields by table, and `today`, the company's day, where they are needed."""

    def __init__(
        self,
        source: Source,
        actor: Actor,
        request: Request,
        *,
        customs: Mapping[str, custom.Fields] | None = None,
        today: Today | None = None,
    ) -> None:
        self.source, self.actor, self.request = source, actor, request
        self.customs, self.today = customs or {}, today
        self.params = Params()
        self.hidden = hidden(actor, source.table)
        self.fields = all_fields(source, self.hidden)
        self.people = ""
        self.as_of = f"{self.params.add(request.as_of)}::timestamptz" if request.as_of else None

    def where(self, fixed: dict[str, Any], seen: str = "") -> str:
        """Visibility (unless it is `seen` already), not deleted, a nested list's parent, the filters, the text."""
        source = self.source
        if self.as_of:
            now = guard(self.actor, source.table, "c", self.params)
            seen = f"EXISTS (SELECT 1 FROM {source.table} c WHERE c.id = t.id AND {now})"
        else:
            seen = seen or guard(self.actor, source.table, "t", self.params)
        parts = [seen, f"t.deleted_at IS {'NOT NULL' if self.request.deleted else 'NULL'}"]
        parts += [
            f't."{name}" = {value.sql if isinstance(value, Outer) else self.params.add(value)}'
            for name, value in fixed.items()
        ]
        parts += [self.condition(*item) for item in self.request.filters]
        if self.request.text and (searched := [name for name in source.text if name not in self.hidden]):
            pattern = self.params.add(f"%{escaped(self.request.text)}%")
            parts.append("(" + " OR ".join(f't."{name}" ILIKE {pattern}' for name in searched) + ")")
        elif self.request.text:
            raise BadRequest("q: this list has no text search.")
        return " AND ".join(parts)

    def condition(self, field: str, operator: str, value: str) -> str:
        """One filter as SQL; `account.owner.name` asks the records that this one points at."""
        first, _, rest = field.partition(".")
        if not rest or first in ("cf", "external_ids"):
            return condition(self.left(field), field, operator, value, self.params, self.today)
        return self._joined("t", self.source.references, self.fields, field, field, (operator, value))

    def left(self, field: str) -> Left:
        """What a field of the resource itself is in SQL. Raises `BadRequest` where there is none."""
        if field.startswith("cf."):
            return self._custom(self.source.table, "t", field)
        if field.startswith("external_ids."):
            return Left(f"(t.external_ids ->> {self.params.add(field.partition('.')[2][:100])})", "text")
        if field not in self.fields:
            raise unknown(field)
        if field in self.source.extra:
            kind = self.source.extra_kinds.get(field, "text")
            return Left(f"({derived(self.source, field, self.as_of)})::{CAST[kind]}", kind)
        column = self.source.home.get(field, field)
        return Left(f't."{column}"', columns(self.source.table)[column])

    def custom_field(self, table: str, field: str, path: str = "") -> custom.Field:
        """The definition of `cf.key`. Raises `BadRequest` where there is none for this actor."""
        found = self.customs.get(table, {}).get(field.removeprefix("cf."))
        if found is None or field in hidden(self.actor, table):
            raise unknown(path or field)
        return found

    def _custom(self, table: str, alias: str, field: str, path: str = "") -> Left:
        found = self.custom_field(table, field, path)
        if not found.is_filterable:
            raise BadRequest(f"{field}: this custom field is not for filters and sorts.")
        return Left(custom.expression(found, alias), found.kind, is_custom=True)

    def _joined(
        self, alias: str, references: Mapping[str, str], known: tuple[str, ...], path: str, field: str,
        asked: tuple[str, str],
    ) -> str:  # fmt: skip
        """A condition on a record that `alias` points at, or on one that that one points at."""
        name, _, rest = path.partition(".")
        table = references.get(f"{name}_id")
        if table is None or f"{name}_id" not in known or len(alias) > DEEPEST:
            raise unknown(field)
        inner, next_fields = f"{alias}r", all_fields(plain(table), hidden(self.actor, table))
        if "." in rest and not rest.startswith("cf."):
            test = self._joined(inner, references_of(table), next_fields, rest, field, asked)
        elif rest.startswith("cf."):
            test = condition(self._custom(table, inner, rest, field), field, *asked, self.params, self.today)
        elif rest in next_fields:
            left = Left(f'{inner}."{rest}"', columns(table)[rest])
            test = condition(left, field, *asked, self.params, self.today)
        else:
            raise unknown(field)
        seen = guard(self.actor, table, inner, self.params)
        return (
            f'EXISTS (SELECT 1 FROM {table} {inner} WHERE {inner}.id = {alias}."{name}_id"'
            f" AND {inner}.deleted_at IS NULL AND {seen} AND {test})"
        )

    def order(self) -> list[Key]:
        """Sort keys as (SQL, kind, descending, nullable), the id last."""
        keys = [self._key(field, descending) for field, descending in self.request.sort]
        last_descending = keys[-1][2] if keys else True
        return [*keys, ("t.id", "uuid", last_descending, False)]

    def _key(self, field: str, descending: bool) -> Key:
        left = self.left(field)
        if left.kind == "json" or left.kind in LISTS:
            raise BadRequest(f"sort: {field!r} has no order.")
        kind = "text" if left.is_custom and left.cast == "text" else left.kind
        is_word = kind == "text" and not left.is_custom and field not in self.source.extra
        column = self.source.home.get(field, field)
        is_nullable = column not in columns(self.source.table) or column in nullable(self.source.table)
        return (f'lower({left.sql}) COLLATE "C"' if is_word else left.sql, kind, descending, is_nullable)

    def after(self, keys: list[Key]) -> str:
        """The keyset condition: rows behind the cursor."""
        cursor = self._cursor(len(keys))
        return "TRUE" if cursor is None else self._behind(keys, cursor)

    def _cursor(self, width: int) -> list[Any] | None:
        cursor = self.request.cursor
        if cursor is not None and len(cursor) != width:
            raise BadRequest("cursor: this cursor belongs to another order.")
        return cursor

    def _behind(self, keys: list[Key], cursor: list[Any]) -> str:
        values = [self._cursor_value(key, value) for key, value in zip(keys, cursor, strict=True)]
        if len({descending for _, _, descending, _ in keys}) == 1 and not any(null for *_, null in keys):
            left = ", ".join(sql for sql, *_ in keys)
            return f"({left}) {'<' if keys[0][2] else '>'} ({', '.join(str(v) for v in values)})"
        return self._stepwise(keys, values)

    def _cursor_value(self, key: Key, value: Any) -> str | None:
        _, kind, _, null = key
        if value is None and null:
            return None
        try:
            return f"{self.params.add(READ[kind](str(value)))}::{CAST[kind]}"
        except (ValueError, KeyError, InvalidOperation):
            raise BadRequest("cursor: this cursor belongs to another order.") from None

    @staticmethod
    def _stepwise(keys: list[Key], values: list[str | None]) -> str:
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
            if field.startswith("cf."):
                self.custom_field(self.source.table, field)
            elif field not in self.fields:
                raise unknown(field)
        return tuple(dict.fromkeys(["id", *wanted]))

    def expanded(self) -> str:
        """The records beside this one, each under the reference's name without `_id`; `account.owner` within it."""
        return self._beside("t", self.source.references, self.fields, sorted(set(self.request.expand)))

    def _beside(
        self, alias: str, references: Mapping[str, str], known: tuple[str, ...], paths: list[str]
    ) -> str:
        parts = []
        for name in dict.fromkeys(path.partition(".")[0] for path in paths):
            deeper = [path.partition(".")[2] for path in paths if path.startswith(f"{name}.")]
            table = references.get(f"{name}_id")
            if table is None or f"{name}_id" not in known or len(alias) > DEEPEST:
                raise unknown(name)
            other, inner, without = plain(table), f"{alias}e", hidden(self.actor, table)
            fields = all_fields(other, without)
            shown = projection(other, inner, fields, without)
            more = self._beside(inner, references_of(table), fields, deeper)
            seen = guard(self.actor, table, inner, self.params)
            parts.append(
                f"(SELECT row_to_json(x) FROM (SELECT {shown}{more} FROM {table} {inner}"
                f' WHERE {inner}.id = {alias}."{name}_id" AND {inner}.deleted_at IS NULL AND {seen}) x) AS "{name}"'
            )
        return "".join(f", {part}" for part in parts)

    def document(self) -> str:
        """One row as JSON."""
        chosen = projection(self.source, "t", self.selected(), self.hidden, self.as_of)
        return f"(SELECT row_to_json(d) FROM (SELECT {chosen}{self.expanded()}) d)::text"

    def list_sql(self, fixed: dict[str, Any]) -> tuple[str, int]:
        """The statement of a page of `limit` + 1 rows, and how many keys it carries behind the document."""
        owners = None if self.as_of else few_owners(self.actor, self.source.table)
        self.people = f"unnest({self.params.add(owners)}::text::uuid[])" if owners else ""
        seen = f"t.owner_id = o.id /* access:{self.source.table} */" if owners else ""
        keys, where, document = self.order(), self.where(fixed, seen), self.document()
        carried = ", ".join(f"{sql} AS k{index}" for index, (sql, *_) in enumerate(keys))
        chosen = f"{document} AS doc, {carried}"
        if keys[0][3] and self.request.sort[0][0] not in self.source.extra:
            return self._filled_first(keys, where, chosen), len(keys)
        return self._rows(keys, f"{where} AND {self.after(keys)}", chosen), len(keys)

    def _rows(self, keys: list[Key], where: str, chosen: str = "t.*") -> str:
        """The first rows in the order of `keys`; of a few owners the first of each are merged, each by its index."""
        order = ", ".join(
            f"{sql} {'DESC' if down else 'ASC'}{' NULLS LAST' if null else ''}" for sql, _, down, null in keys
        )
        tail = f"ORDER BY {order} LIMIT {self.request.limit + 1}"
        if not self.people:
            return (
                f"SELECT {chosen} FROM {history.source(self.source.table, self.as_of)} t WHERE {where} {tail}"
            )
        each = f"SELECT t.* FROM {self.source.table} t WHERE {where} {tail}"
        return f"SELECT {chosen} FROM {self.people} AS o(id) CROSS JOIN LATERAL ({each}) t {tail}"

    def _filled_first(self, keys: list[Key], where: str, chosen: str) -> str:
        """The rows with a first key, then those without: an index in either direction gives them in this order.

        The second part is not begun where the first one fills the page; read from CTEs, no two processes mix them.
        """
        first, rest, cursor = keys[0], keys[1:], self._cursor(len(keys))
        behind, behind_empty = "TRUE", "TRUE"
        if cursor is not None and cursor[0] is None:
            behind, behind_empty = "FALSE", self._behind(rest, cursor[1:])
        elif cursor is not None:
            behind = self._behind([(*first[:3], False), *rest], cursor)
        filled = self._rows([(*first[:3], False), *rest], f"{where} AND {first[0]} IS NOT NULL AND {behind}")
        empty = self._rows(rest, f"{where} AND {first[0]} IS NULL AND {behind_empty}")
        return (
            f"WITH filled AS MATERIALIZED ({filled}), empty AS MATERIALIZED ({empty}) SELECT {chosen}"
            f" FROM (SELECT * FROM filled UNION ALL SELECT * FROM empty LIMIT {self.request.limit + 1}) t"
        )

    def count_sql(self, fixed: dict[str, Any]) -> str:
        table = history.source(self.source.table, self.as_of)
        return f"SELECT count(*) FROM (SELECT 1 FROM {table} t WHERE {self.where(fixed)} LIMIT {COUNT_CAP + 1}) c"


def _needs_fields(request: Request) -> bool:
    """Whether a request names custom fields."""
    named = [field for field, *_ in request.filters] + [field for field, _ in request.sort]
    named += [*(request.fields or ()), *(request.group or ()), *(field for _, field in request.figures)]
    return any("cf." in name for name in named)


async def prepared(run: Database | Tx, source: Source, actor: Actor, request: Request) -> Builder:
    """The builder of a request, with the custom fields and the company's day where it asks for them."""
    customs = await custom.catalogue(run) if _needs_fields(request) else {}
    today = None
    if request.group or any(values.is_relative(value) for _, _, value in request.filters):
        settings = await calendar.company(run)
        today = Today(settings, settings.today(datetime.now(UTC)))
    return Builder(source, actor, request, customs=customs, today=today)


async def run(
    database: Database | Tx,
    source: Source,
    actor: Actor,
    request: Request,
    fixed: dict[str, Any] | None = None,
) -> Page:
    """One page as `{"items": […], "next": …}`; `fixed` are equalities that the URL itself sets (a parent's id)."""
    if request.group or request.figures:
        raise BadRequest("group: this list has rows only.")
    builder = await prepared(database, source, actor, request)
    sql, width = builder.list_sql(fixed or {})
    row = await database.fetchrow(_page_sql(sql, width, request.limit), *builder.params)
    following = None
    if row["found"] > request.limit:
        following = encode_cursor([row[f"k{index}"] for index in range(width)])
    count = ""
    if request.count:
        counter = await prepared(database, source, actor, request)
        found = await database.fetchval(counter.count_sql(fixed or {}), *counter.params)
        count = f',"count":{found if found <= COUNT_CAP else to_json(f"{COUNT_CAP}+")}'
    return Page(body=f'{{"items":[{row["docs"] or ""}],"next":{to_json(following)}{count}}}', next=following)


def _page_sql(sql: str, width: int, limit: int) -> str:
    """The whole page as one value, for one value costs a tenth of fifty rows; beside it the keys of its last row."""
    last = ", ".join(
        f"(array_agg(k{index}) FILTER (WHERE place = {limit}))[1] AS k{index}" for index in range(width)
    )
    return (
        f"SELECT string_agg(doc, ',') FILTER (WHERE place <= {limit}) AS docs, count(*) AS found, {last}"
        f" FROM (SELECT *, row_number() OVER () AS place FROM ({sql}) listed) numbered"
    )


async def one(
    database: Database | Tx, source: Source, actor: Actor, record_id: UUID, request: Request | None = None
) -> tuple[str, int] | None:
    """One record as JSON text with its version, or None where there is none that the actor sees."""
    builder = (
        await prepared(database, source, actor, request) if request else Builder(source, actor, Request())
    )
    table = history.source(source.table, builder.as_of)
    key = builder.params.add(record_id)
    document = builder.document()
    sql = f"SELECT {document} AS doc, t.version FROM {table} t WHERE t.id = {key} AND {builder.where({})}"
    row = await database.fetchrow(sql, *builder.params)
    return (row["doc"], row["version"]) if row else None
