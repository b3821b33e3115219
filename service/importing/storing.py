"""Storing what has been judged: chunks by COPY, the past of new records beside them, changes of known ones set-based."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from service.access import Actor
from service.db import Tx, metadata, to_json
from service.errors import Invalid
from service.importing.judging import Good
from service.importing.records import Kept, Values
from service.query import sql_type
from service.resource import Resource


class Store:
    """Writes chunks of one source within transactions that the importer opens and explains."""

    def __init__(self, actor: Actor, source: str, resources: dict[str, Resource], now: datetime) -> None:
        self.actor, self.source, self.resources, self.now = actor, source, resources, now

    # --- new records ----------------------------------------------------------------------------------------------

    async def insert(self, tx: Tx, table: str, goods: Sequence[Good]) -> None:
        """New records as they are now, and their earlier versions into history."""
        names = sorted(
            {name for good in goods for version in good.record.versions for name in version.values}
        )
        columns = self._columns(names)
        defaults = _defaults(metadata.tables[table], names)
        rows, past = [], []
        for good in goods:
            *earlier, last = self._rows(good, names, defaults)
            rows.append(last)
            past += earlier
        await tx.copy_records(table, columns, rows)
        if past:
            await _keep_past(tx, table, columns, past)
        await self.keep_rows(tx, goods)

    def _columns(self, names: list[str]) -> list[str]:
        own = ["id", "version", "created_at", "updated_at", "updated_by_id", "external_ids"]
        return [*own, *names] if "created_by_id" in names else [*own, *names, "created_by_id"]

    def _rows(self, good: Good, names: list[str], defaults: Values) -> list[tuple[Any, ...]]:
        """One row a version, each the whole state."""
        record, state = good.record, Values()
        created = record.versions[0].at or self.now
        external = {self.source: record.external_id} if record.external_id is not None else {}
        author = () if "created_by_id" in names else (self.actor.id,)
        rows = []
        for number, version in enumerate(record.versions, 1):
            state = state | version.values if number > 1 else version.values
            values = [defaults.get(name) if (value := state.get(name)) is None else value for name in names]
            given = external | (state.get("external_ids") or {}) if "external_ids" in names else external
            rows.append((
                good.id, number, created, version.at or self.now, self.actor.id, given, *values, *author,
            ))  # fmt: skip
        return rows

    # --- known records --------------------------------------------------------------------------------------------

    async def here(self, tx: Tx, table: str, goods: Sequence[Good]) -> dict[UUID, Values]:
        """The rows of known records, locked for this transaction."""
        rows = await tx.fetch(
            f"SELECT * FROM {table} WHERE id = ANY($1::uuid[]) AND deleted_at IS NULL ORDER BY id FOR UPDATE"
            f" /* access:{table} */",
            [good.id for good in goods],
        )
        return {row["id"]: dict(row) for row in rows}

    def different(self, good: Good, row: Values) -> Values:
        """What the file says otherwise than the row. What the import's own instant stamps is no difference, nor is
        what the file leaves empty, unless it clears; objects are added to, key by key.

        Raises `Invalid` where it clears what a record must have.
        """
        state = dict(good.state())
        if good.record.external_id is not None:
            state["external_ids"] = {self.source: good.record.external_id} | (state.get("external_ids") or {})
        for name, value in state.items():
            if isinstance(value, dict) and isinstance(row[name], dict):
                state[name] = row[name] | value
        found = {
            name: value
            for name, value in state.items()
            if value is not None and value != self.now and row[name] != _stored(value)
        }
        table = metadata.tables[good.record.table]
        return _without(table, row, found, good.record.versions[-1].cleared)

    async def change(self, tx: Tx, table: str, changes: Sequence[tuple[UUID, Values]]) -> None:
        """Each record's changed fields over its row, as one more version, known from now."""
        names = sorted({name for _, values in changes for name in values})
        columns = metadata.tables[table].c
        kinds = ", ".join(f'"{name}" {sql_type(columns[name])}, "has {name}" boolean' for name in names)
        await tx.execute(f"CREATE TEMP TABLE incoming (id uuid, {kinds}) ON COMMIT DROP")
        rows = [
            (one, *(part for name in names for part in (values.get(name), name in values)))
            for one, values in changes
        ]
        told = [part for name in names for part in (name, f"has {name}")]
        await tx.copy_records("incoming", ["id", *told], rows, schema="pg_temp")
        sets = ", ".join(
            f'"{name}" = CASE WHEN i."has {name}" THEN i."{name}" ELSE t."{name}" END' for name in names
        )
        await tx.execute(
            f"UPDATE {table} t SET {sets}, updated_at = clock_timestamp(), updated_by_id = $1,"
            f" version = t.version + 1 FROM pg_temp.incoming i WHERE t.id = i.id /* access:{table} */",
            self.actor.id,
        )
        await tx.execute("DROP TABLE pg_temp.incoming")

    # --- the files' own rows ----------------------------------------------------------------------------------------

    async def keep_rows(self, tx: Tx, goods: Sequence[Good]) -> None:
        """Which row of which file a record or version came from, for the export that gives the files back."""
        kept: list[tuple[Kept, str, UUID, int | None]] = []
        for good in goods:
            record = good.record
            kept += [(row, record.table, good.id, None) for row in record.kept]
            kept += [
                (version.kept, record.table, good.id, number)
                for number, version in enumerate(record.versions, 1)
                if version.kept and not good.is_here
            ]
        if not kept:
            return
        await tx.execute(
            _KEEP, self.source, [k.file for k, *_ in kept], [k.external_id for k, *_ in kept],
            [table for _, table, *_ in kept], [one for *_, one, _ in kept], [number for *_, number in kept],
            [k.line for k, *_ in kept], [_json(k.cells) for k, *_ in kept],
        )  # fmt: skip


def _without(table: sa.Table, row: Values, found: Values, cleared: frozenset[str]) -> Values:
    """What differs, with the cleared fields and parts of fields empty."""
    for name in sorted(cleared):
        column, _, part = name.partition(".")
        now = found.get(column, row[column])
        if part:
            if isinstance(now, dict) and part in now:
                left = {key: value for key, value in now.items() if key != part}
                found[column] = left or _nothing(table.c[column])
        elif now is not None and now != _nothing(table.c[column]):
            found[column] = _nothing(table.c[column])
            if found[column] is None and not table.c[column].nullable:
                raise Invalid.at(f"/{column}", "must not be empty, and the cell is")
    return found


def _nothing(column: sa.Column[Any]) -> Any:
    """What stands in a column that says nothing."""
    if column.nullable:
        return None
    found = _default(column)
    return None if isinstance(found, str) else found


_KEEP = """
INSERT INTO import_rows (source, file, external_id, resource, record_id, version, line, cells)
SELECT $1, f, e, r, i, v, l, c::jsonb
FROM unnest($2::text[], $3::text[], $4::text[], $5::uuid[], $6::int[], $7::int[], $8::text[]) AS x(f, e, r, i, v, l, c)
ON CONFLICT (source, file, external_id) DO UPDATE SET resource = excluded.resource, record_id = excluded.record_id,
    version = excluded.version, line = excluded.line, cells = excluded.cells"""


def _stored(value: Any) -> Any:
    """Objects and lists of objects as jsonb gives them back."""
    if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
        return msgspec.json.decode(to_json(value))
    return value


def _json(cells: dict[str, Any]) -> str:
    return "{}" if not cells else to_json(cells)


async def _keep_past(tx: Tx, table: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    """Versions before the one that is stored; `history.keep_past` takes none but those of what this event created."""
    await tx.execute(
        f"CREATE TEMP TABLE past (LIKE public.{table} INCLUDING DEFAULTS INCLUDING GENERATED) ON COMMIT DROP"
    )
    await tx.copy_records("past", columns, rows, schema="pg_temp")
    await tx.execute(f"SELECT history.keep_past(array_agg(ROW(p.*)::public.{table})) FROM pg_temp.past p")
    await tx.execute("DROP TABLE pg_temp.past")


def _defaults(table: sa.Table, names: list[str]) -> Values:
    """What COPY writes for an empty value of a column that may not be empty."""
    found: Values = {}
    for name in names:
        column = table.c[name]
        if not column.nullable:
            found[name] = _default(column)
    return found


def _default(column: sa.Column[Any]) -> Any:
    kind, told = sql_type(column), str(getattr(column.server_default, "arg", ""))
    if kind.endswith("[]") or "'[]'" in told:
        return []
    if kind == "boolean":
        return "TRUE" in told
    if kind == "jsonb":
        return {}
    return told if kind == "text" and column.server_default is not None else None
