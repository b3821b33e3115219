"""A write in one trip: event, reactions, row, idempotency key and the answer's JSON in one statement of CTEs.

Each text is built once for each shape of write (which columns, which fields are hidden, with a key or without), so that
PostgreSQL prepares it once a connection. What a rule looks up it has looked up before: therefore a row is changed only
where its version is still the one that the rules have judged.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from service import idempotency, ledger, query
from service.access import Actor, hidden
from service.db import Database, Params
from service.ids import new_id
from service.query import Source, sql_type

Row = dict[str, Any]
FIRST = ledger.EVENT_PARAMETERS + 1
MOST_TEXTS = 4_000


async def create(
    database: Database, source: Source, name: str, actor: Actor, row: Row,
    key: idempotency.Key | None, headers: dict[str, str], tests: Callable[[Params], str],
) -> str | None:  # fmt: skip
    """Stores a new row and returns its document; with a `key` the answer is kept beside it.

    `tests` gives the condition under which the row may go in; None when it is not met, and then nothing is stored.
    """
    event = ledger.event_parameters(actor, f"{name}.created", name, row["id"], new_id(), 1)
    kept = idempotency.values(key, actor, headers) if key else ()
    params = Params([*event.values(), *row.values(), *kept])
    condition = tests(params)
    sql = _create_text(source, tuple(row), hidden(actor, source.table), key is not None, condition)
    text: str | None = await database.fetchval(sql, *params)
    return text


async def change(
    database: Database, source: Source, name: str, actor: Actor, old: Row, changes: Row
) -> tuple[str, int] | None:
    """Writes `changes` over `old` and returns document and version; None when the row has another version by now."""
    event = ledger.event_parameters(actor, f"{name}.updated", name, old["id"], new_id(), old["version"] + 1)
    sql = _change_text(source, tuple(changes), hidden(actor, source.table))
    found = await database.fetchrow(sql, *event.values(), old["id"], old["version"], *changes.values())
    return (found[0], found[1]) if found else None


async def change_unread(
    database: Database, source: Source, name: str, actor: Actor, record_id: UUID, expected: int | None,
    changes: Row, tests: Callable[[Params], str],
) -> tuple[str, int] | None:  # fmt: skip
    """Writes `changes`, at which no rule looks, over a row that nobody has read: one trip instead of two.

    None where `tests` fail, the version is not the one `expected`, or nothing would change: the caller then reads.
    """
    event = ledger.event_parameters(actor, f"{name}.updated", name, record_id, new_id(), None)
    params = Params([*event.values(), record_id, expected, *changes.values()])
    sql = _unread_text(source, tuple(changes), hidden(actor, source.table), tests(params))
    found = await database.fetchrow(sql, *params)
    return (found[0], found[1]) if found else None


def _document(source: Source, without: frozenset[str]) -> str:
    shown = query.projection(source, "t", query.all_fields(source, without), without)
    return f"(SELECT row_to_json(d) FROM (SELECT {shown}) d)::text"


def insert_text(table: sa.Table, names: tuple[str, ...], first: int = 1, rows: str = "") -> str:
    """INSERT of one row whose values stand from `$first` on."""
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(f"${first + index}::{sql_type(table.c[name])}" for index, name in enumerate(names))
    source = f"SELECT {values} FROM {rows}" if rows else f"VALUES ({values})"
    return f"INSERT INTO {table.name} AS t ({columns}) {source}"


@lru_cache(MOST_TEXTS)
def _create_text(
    source: Source, names: tuple[str, ...], without: frozenset[str], keyed: bool, condition: str
) -> str:
    insertion = insert_text(query.table_of(source.table), names, FIRST, "meant")
    gate = f"allowed AS MATERIALIZED (SELECT 1 WHERE {condition}), " if condition else ""
    kept = idempotency.cte(FIRST + len(names)) if keyed else ""
    return (
        f"WITH {gate}{ledger.event_cte(1, 'allowed' if condition else '')},"
        f" inserted AS ({insertion} RETURNING *),"
        f" shown AS (SELECT {_document(source, without)} AS doc FROM inserted t){kept} SELECT doc FROM shown"
    )


def _update(source: Source, names: tuple[str, ...]) -> tuple[str, list[str]]:
    """`UPDATE … SET …` of a table `t`, and the placeholders of the values, which stand behind id and version."""
    table = query.table_of(source.table)
    places = [f"${index}::{sql_type(table.c[name])}" for index, name in enumerate(names, FIRST + 2)]
    sets = ", ".join(f'"{name}" = {place}' for name, place in zip(names, places, strict=True))
    actor = f"${list(ledger.TYPES).index('actor') + 1}::uuid"
    return (
        f"UPDATE {table.name} t SET {sets}, version = t.version + 1, updated_at = clock_timestamp(),"
        f" updated_by_id = {actor} FROM meant WHERE t.id = ${FIRST}::uuid RETURNING t.*"
    ), places


@lru_cache(MOST_TEXTS)
def _change_text(source: Source, names: tuple[str, ...], without: frozenset[str]) -> str:
    update, _ = _update(source, names)
    return (
        f"WITH locked AS (SELECT t.id FROM {source.table} t WHERE t.id = ${FIRST}::uuid AND t.version = ${FIRST + 1}::int"
        f" AND t.deleted_at IS NULL FOR UPDATE OF t /* access:{source.table} */),"  # asked when `old` was read
        f" {ledger.event_cte(1, 'locked')}, changed AS ({update})"
        f" SELECT {_document(source, without)}, t.version FROM changed t"
    )


@lru_cache(MOST_TEXTS)
def _unread_text(source: Source, names: tuple[str, ...], without: frozenset[str], condition: str) -> str:
    update, places = _update(source, names)
    differs = " OR ".join(
        f't."{name}" IS DISTINCT FROM {place}' for name, place in zip(names, places, strict=True)
    )
    return (
        f"WITH locked AS (SELECT t.id, t.version FROM {source.table} t WHERE t.id = ${FIRST}::uuid"
        f" AND t.version = coalesce(${FIRST + 1}::int, t.version) AND t.deleted_at IS NULL AND ({differs})"
        f" AND {condition} FOR UPDATE OF t),"
        f" {ledger.event_cte(1, 'locked', 'locked.version + 1')}, changed AS ({update})"
        f" SELECT {_document(source, without)}, t.version FROM changed t"
    )
