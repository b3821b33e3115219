"""Any list as a file: the same grammar, visibility and hidden fields, as CSV, NDJSON or Parquet, in constant memory."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from typing import IO, Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from pyarrow import compute, csv

from service import history, query
from service.db import Database
from service.query import Builder, Request
from service.resource import Resource

Format = Literal["csv", "ndjson", "parquet"]
MEDIA: dict[str, str] = {
    "csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet",
}  # fmt: skip
BATCH = 2_000
BLOCKS = (1 << 18, 1 << 26)
"""Bytes of text that Arrow types at once: a row must fit into one, so the second is for rows that are no ordinary ones."""
GROUP = 5_000
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
            return _instant(sql)
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


SEPARATOR = "\x1f"
"""Before each value of a list, while it is on its way as text."""


async def _parquet(database: Database, selection: Selection, file: IO[bytes], told: Told) -> int:
    """The server's CSV, typed by Arrow itself: no value of a row becomes an object of this process.

    Objects would cost a second for each 100,000 rows, and Arrow loads pandas (50 MB) to look at the first of them.
    """
    chosen = ", ".join(f'{_as_text(column)} AS "{column.name}"' for column in selection.columns)
    with tempfile.TemporaryFile(prefix="sales-export-") as text:

        async def sink(data: bytes) -> None:
            text.write(data)
            await told(0)

        number = await database.copy_csv(
            f"SELECT {chosen} {selection.tail}", *selection.builder.params, sink=sink
        )
        await _typed(text if number else None, selection.columns, file, told)
    return number


async def _typed(text: IO[bytes] | None, columns: list[Column], file: IO[bytes], told: Told) -> None:
    """Writes the rows of a CSV as Parquet."""
    schema = pa.schema([(column.name, _TYPES.get(column.kind, pa.string())) for column in columns])
    for block in BLOCKS:
        try:
            file.seek(0)
            file.truncate()
            with pq.ParquetWriter(file, schema, compression="zstd", memory_pool=_POOL) as writer:
                if text:
                    await _write_groups(text, schema, block, writer, told)
        except pa.ArrowInvalid:
            if block == BLOCKS[-1]:
                raise  # a smaller one is what a row has not fitted into
        else:
            return


async def _write_groups(
    text: IO[bytes], schema: pa.Schema, block: int, writer: pq.ParquetWriter, told: Told
) -> None:
    text.seek(0)
    batches, group, waiting, done = _read(text, schema, block), list[pa.RecordBatch](), 0, 0
    while batch := await asyncio.to_thread(next, batches, None):
        arrays = [_listed(array, field) for array, field in zip(batch.columns, schema, strict=True)]
        group.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
        waiting += batch.num_rows
        if waiting >= GROUP:
            writer.write_table(pa.Table.from_batches(group, schema), row_group_size=waiting)
            done, waiting = done + waiting, 0
            group.clear()
            await told(done)
    if group:
        writer.write_table(pa.Table.from_batches(group, schema), row_group_size=waiting)


def _read(text: IO[bytes], schema: pa.Schema, block: int) -> Iterator[pa.RecordBatch]:
    types = {field.name: pa.string() if pa.types.is_list(field.type) else field.type for field in schema}
    return iter(
        csv.open_csv(
            text,
            csv.ReadOptions(use_threads=False, block_size=block),
            csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            csv.ConvertOptions(
                column_types=types,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
            memory_pool=_POOL,
        )
    )


def _pool() -> pa.MemoryPool:
    """The one that takes least; Arrow's usual one begins with 30 MB a thread."""
    try:
        return pa.jemalloc_memory_pool()
    except NotImplementedError:  # what Arrow raises where it was built without jemalloc
        return pa.system_memory_pool()


_POOL = _pool()


def _listed(array: pa.Array, field: pa.Field) -> pa.Array:
    if not pa.types.is_list(field.type):
        return array
    return compute.list_slice(compute.split_pattern(array, SEPARATOR), 1).cast(field.type)


def _as_text(column: Column) -> str:
    sql = column.sql
    match column.kind:
        case "instant":
            return _instant(sql)
        case "ids" | "texts":
            sign = "E'\\x1f'"
            return (
                f"CASE WHEN cardinality({sql}) = 0 THEN '' ELSE {sign} || array_to_string({sql}, {sign}) END"
            )
        case _:
            return f"({sql})::text"


def _instant(sql: str) -> str:
    return f"""to_char({sql} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
