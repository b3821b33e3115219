"""What the grammar of lists needs to know of a resource, and the select list of its fields."""

from functools import cache

import msgspec
import sqlalchemy as sa

from service import history
from service.db import metadata
from service.errors import BadRequest
from service.values import is_money, kind_of

LOOKED_INTO = ("activities",)
"""Tables of facts that derived fields ask."""


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


class Outer(msgspec.Struct, frozen=True):
    """Among `fixed`: a column of the statement around this one, not a value."""

    sql: str


def table_of(name: str) -> sa.Table:
    return metadata.tables[name]


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


def customs(alias: str, without: frozenset[str]) -> str:
    """The custom values of a row but for the hidden keys in `without`, which stand there as `cf.key`."""
    secret = sorted(name.removeprefix("cf.") for name in without if name.startswith("cf."))
    return f"({alias}.cf - '{{{','.join(secret)}}}'::text[])" if secret else f"{alias}.cf"


def derived(source: Source, field: str, as_of: str | None = None) -> str:
    """A derived field's expression. As of the placeholder `as_of` its `now()` is that instant, and what it looks into
    is what was known then; stages and the like are the company's settings, which are taken as they are."""
    sql = source.extra[field]
    if as_of is None:
        return sql
    for table in LOOKED_INTO:
        sql = sql.replace(f" FROM {table} ", f" FROM {history.source(table, as_of)} ")
    return sql.replace("now()", as_of)


@cache
def projection(
    source: Source,
    alias: str,
    fields: tuple[str, ...],
    without: frozenset[str] = frozenset(),
    as_of: str | None = None,
) -> str:
    """The select list of `fields`: decimals as text, derived fields by their expression, `cf` but for hidden keys."""
    table, parts = metadata.tables[source.table], []
    for field in fields:
        if field in source.extra:
            parts.append(f'({derived(source, field, as_of)}) AS "{field}"')
        elif field.startswith("cf."):
            parts.append(f"{alias}.cf -> '{field.removeprefix('cf.')}' AS \"{field}\"")
        elif field == "cf":
            parts.append(f"{customs(alias, without)} AS cf")
        elif is_money(table.c[field]):
            parts.append(f'{alias}."{field}"::text AS "{field}"')
        else:
            parts.append(f'{alias}."{field}"')
    return ", ".join(parts)


@cache
def all_fields(source: Source, without: frozenset[str]) -> tuple[str, ...]:
    """Every field of the resource that is not hidden, derived ones last."""
    return tuple(name for name in (*columns(source.table), *source.extra) if name not in without)


@cache
def references_of(table: str) -> dict[str, str]:
    """The columns of a table that point at a record → the table that they point at, from its foreign keys."""
    return {
        str(column.name): key.column.table.name
        for column in metadata.tables[table].columns
        if column.name.endswith("_id")
        for key in column.foreign_keys
    }


def unknown(field: str) -> BadRequest:
    """The one sentence for a field that does not exist and for one that you may not see."""
    return BadRequest(
        f"There is no field {field[:80]!r} here.", errors=[{"pointer": field[:80], "detail": "unknown field"}]
    )
