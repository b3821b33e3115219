"""Any list as a file: the same grammar, visibility and hidden fields, as CSV, NDJSON or Parquet, in constant memory."""

from collections.abc import Awaitable, Callable
from typing import IO, Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from service import history, query
from service.db import Database
from service.query import Builder, Request
from service.resource import Resource

Format = Literal["csv", "ndjson", "parquet"]
MEDIA: dict[str, str] = {
    "csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet",
}  # fmt: skip
BATCH = 2_000
GROUP = 10_000
"""Rows of one row group of Parquet."""

Told = Callable[[int], Awaitable[None]]
"""Called now and then with how many rows are written; raises to stop."""


class Column(msgspec.Struct, frozen=True):
    """One column: its name, its SQL over the alias `t`, and what it holds (a kind of `query`, or `decimal`)."""

    name: str
    sql: str
    kind: str


class Selection:
    """What goes out: the statement's parts, for whoever asks."""

    def __init__(self, resource: Resource, builder: Builder) -> None:
        self.builder, request = builder, builder.request
        table = history.source(resource.key, self.builder.as_of)
        where = self.builder.where({})
        self.count = f"SELECT count(*) FROM {table} t WHERE {where}"
        self.count_params = list(self.builder.params)
        self.columns = [self._column(name) for name in self._names(request)]
        keys = self.builder.order() if request.sort else [("t.id", "uuid", False, False)]
        order = ", ".join(
            f"{sql} {'DESC' if down else 'ASC'}{' NULLS LAST' if null else ''}" for sql, _, down, null in keys
        )
        self.tail = f"FROM {table} t WHERE {where} ORDER BY {order}"

    def _names(self, request: Request) -> list[str]:
        """The fields asked for, else all that are stored: what is derived row by row is slow, and asked for by name."""
        if request.fields:
            return list(dict.fromkeys(request.fields))
        stored = query.columns(self.builder.source.table)
        return [name for name in self.builder.fields if name in stored]

    def _column(self, name: str) -> Column:
        source = self.builder.source
        if name.startswith("cf."):
            key = self.builder.custom_field(source.table, name).key
            return Column(name, f"(t.cf ->> '{key}')", "text")
        if name == "cf" and name in self.builder.fields:
            return Column(name, query.customs("t", self.builder.hidden), "json")
        if name not in self.builder.fields:
            raise query.unknown(name)
        if name in source.extra:
            return Column(name, f"({source.extra[name]})", source.extra_kinds.get(name, "text"))
        column = query.table_of(source.table).c[name]
        kind = query.kind_of(column)
        if kind == "number" and not isinstance(column.type, sa.Float):
            kind = "decimal"
        return Column(name, f't."{name}"', kind)


async def write(database: Database, selection: Selection, format: Format, file: IO[bytes], told: Told) -> int:
    """Writes the whole selection into `file` and returns how many rows it has."""
    return await {"csv": _csv, "ndjson": _ndjson, "parquet": _parquet}[format](
        database, selection, file, told
    )


# --- CSV: made by the server itself --------------------------------------------------------------------------------

_FORMULA = r"""('=', '+', '-', '@', E'\t', E'\r')"""


def _cell(column: Column) -> str:
    """A column as text; what begins as a formula gets an apostrophe (`writing.safe`)."""
    sql = column.sql
    match column.kind:
        case "instant":
            return f"""to_char({sql} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
        case "date" | "uuid" | "integer":
            return f"({sql})::text"
        case "boolean":
            return f"CASE WHEN {sql} THEN 'true' WHEN NOT {sql} THEN 'false' END"
        case "ids" | "texts":
            text = f"array_to_string({sql}, ';')"
        case _:
            text = f"({sql})::text"
    return f"CASE WHEN left(ltrim({text}, ''''), 1) IN {_FORMULA} THEN '''' || {text} ELSE {text} END"


async def _csv(database: Database, selection: Selection, file: IO[bytes], told: Told) -> int:
    chosen = ", ".join(f'{_cell(column)} AS "{column.name}"' for column in selection.columns)
    lines = 0

    async def sink(data: bytes) -> None:
        nonlocal lines
        file.write(data)
        lines += data.count(b"\n")
        await told(lines)

    return await database.copy_csv(f"SELECT {chosen} {selection.tail}", *selection.builder.params, sink=sink)


# --- NDJSON --------------------------------------------------------------------------------------------------------


async def _ndjson(database: Database, selection: Selection, file: IO[bytes], told: Told) -> int:
    chosen = ", ".join(
        f'{column.sql}{"::text" if column.kind == "decimal" else ""} AS "{column.name}"'
        for column in selection.columns
    )
    number = 0
    sql = f"SELECT (SELECT row_to_json(d) FROM (SELECT {chosen}) d)::text AS doc {selection.tail}"
    async for row in database.stream(sql, *selection.builder.params, size=BATCH):
        file.write(row["doc"].encode() + b"\n")
        number += 1
        if number % BATCH == 0:
            await told(number)
    return number


# --- Parquet -------------------------------------------------------------------------------------------------------

_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(), "uuid": pa.string(), "json": pa.string(), "integer": pa.int64(), "number": pa.float64(),
    "decimal": pa.decimal128(19, 4), "boolean": pa.bool_(), "date": pa.date32(), "instant": pa.timestamp("us", "UTC"),
    "ids": pa.list_(pa.string()), "texts": pa.list_(pa.string()),
}  # fmt: skip


async def _parquet(database: Database, selection: Selection, file: IO[bytes], told: Told) -> int:
    """By batches that are packed at once: of a row group at most `BATCH` rows stand here as objects."""
    schema = pa.schema([(column.name, _TYPES.get(column.kind, pa.string())) for column in selection.columns])
    chosen = ", ".join(f'{_typed(column)} AS "{column.name}"' for column in selection.columns)
    pool = pa.system_memory_pool()  # gives back what it does not need; Arrow's own keeps it
    batches: list[pa.RecordBatch] = []
    rows: list[Any] = []
    number = 0
    with pq.ParquetWriter(file, schema, compression="zstd", memory_pool=pool) as writer:

        def write() -> None:
            if batches:
                writer.write_table(pa.Table.from_batches(batches, schema), row_group_size=GROUP)
                batches.clear()

        async for row in database.stream(
            f"SELECT {chosen} {selection.tail}", *selection.builder.params, size=BATCH
        ):
            rows.append(row)
            if len(rows) == BATCH:
                batches.append(_batch(rows, schema, pool))
                number += len(rows)
                rows.clear()
                if len(batches) * BATCH >= GROUP:
                    write()
                await told(number)
        batches.append(_batch(rows, schema, pool))
        write()
    return number + len(rows)


def _typed(column: Column) -> str:
    """Ids as text, which Parquet's readers all know; objects as their JSON."""
    cast = {"uuid": "::text", "json": "::text", "ids": "::text[]", "number": "::float8"}
    return f"({column.sql}){cast.get(column.kind, '')}"


def _batch(rows: list[Any], schema: pa.Schema, pool: pa.MemoryPool) -> pa.RecordBatch:
    arrays = [
        pa.array([row[index] for row in rows], type=field.type, memory_pool=pool)
        for index, field in enumerate(schema)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
