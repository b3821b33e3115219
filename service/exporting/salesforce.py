"""Records as Salesforce's files: what came from there comes out equal cell by cell, what changed since as it is now."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from service import calendar
from service.db import Database
from service.exporting.writing import csv_line
from service.integrations.salesforce import SOURCE, codecs, shapes
from service.integrations.salesforce.shapes import SHAPES, Shape, written

BATCH = 2_000
Row = dict[str, Any]


async def export(database: Database, folder: Path, only: str | None = None) -> dict[str, int]:
    """Writes the files into `folder`, which exists (of one resource with `only`: its table); how many rows each has."""
    zone = (await calendar.company(database)).time_zone
    told = {row["file"]: row["columns"] for row in await database.fetch(_FILES, SOURCE)}
    counts: dict[str, int] = {}
    for shape in SHAPES:
        if only in (None, shape.table):
            name = next(
                (file for file in told if file.lower() in _names(shape) and not _entries(told[file])),
                shape.file,
            )
            counts[name] = await _write(database, folder / f"{name}.csv", shape, name, told.get(name), zone)
    if only in (None, "price_books"):
        for name, columns in told.items():
            if name.lower() == shapes.ENTRY.lower() or _entries(columns):
                counts[name] = await _write_entries(database, folder / f"{name}.csv", name, columns)
    return counts


_FILES = "SELECT file, columns FROM import_files WHERE source = $1"


def _names(shape: Shape) -> set[str]:
    return {name.lower() for name in (shape.file, *shape.others)}


def _entries(columns: list[str]) -> bool:
    return "UnitPrice" in columns and "Product2Id" in columns and "Pricebook2Id" in columns


async def _write(
    database: Database, path: Path, shape: Shape, name: str, columns: list[str] | None, zone: str
) -> int:
    header, number = columns or shape.header, 0
    with path.open("wb") as file:
        file.write(csv_line(header, is_safe=False))
        async for row in _rows(database, shape, name):
            cells = _cells(shape, row, zone)
            file.write(csv_line([cells.get(column, "") for column in header], is_safe=False))
            number += 1
    return number


def _cells(shape: Shape, row: Row, zone: str) -> dict[str, str]:
    """A row's cells as we write them; as they stood in the file where that would say the same."""
    kept = row.pop("kept_cells") or {}
    found = written(shape, row | {"zone": zone})
    for column, cell in kept.items():
        if isinstance(cell, str):
            found[column] = cell
        elif found.get(column) == cell[1]:
            found[column] = cell[0]
    return found


def _rows(database: Database, shape: Shape, name: str) -> AsyncIterator[Row]:
    return _versions(database, name) if shape is shapes.HISTORY else _records(database, shape, name)


async def _records(database: Database, shape: Shape, name: str) -> AsyncIterator[Row]:
    refs, markers = _references(shape, "t")
    stage = _STAGE if shape is shapes.OPPORTUNITY else ""
    where = f" AND (r.file IS NOT NULL OR {shape.where} AND NOT {_ELSEWHERE})" if shape.where else ""
    sql = (
        f"SELECT t.*{stage}{refs}, coalesce(t.external_ids ->> $1, t.id::text) AS external_id, r.cells AS kept_cells"
        f" FROM {shape.table} t LEFT JOIN import_rows r ON r.record_id = t.id AND r.source = $1 AND r.file = $2"
        f" AND r.version IS NULL WHERE t.deleted_at IS NULL{where} ORDER BY r.line, t.id {markers}"
    )
    async for row in database.stream(sql, SOURCE, name, size=BATCH):
        yield dict(row)


_STAGE = (
    ", (SELECT s.name FROM stages s WHERE s.pipeline_id = t.pipeline_id AND s.key = t.stage"
    " ORDER BY s.deleted_at NULLS FIRST LIMIT 1) AS stage"
)
_ELSEWHERE = (
    "EXISTS (SELECT 1 FROM import_rows o WHERE o.record_id = t.id AND o.source = $1 AND o.version IS NULL)"
)


def _references(shape: Shape, alias: str) -> tuple[str, str]:
    """For each reference the id that Salesforce knows, under the column's own name; and the markers of access."""
    parts, tables = [], {shape.table}
    for column in shape.columns:
        for field in column.field.split("|"):
            table = column.table or _ABOUT.get(field, "")
            if column.codec is codecs.ID and table and field != "id":
                tables.add(table)
                parts.append(
                    f", (SELECT coalesce(x.external_ids ->> $1, x.id::text) FROM {table} x"
                    f" WHERE x.id = {alias}.{field}) AS {field}"
                )
    return "".join(parts), " ".join(f"/* access:{table} */" for table in sorted(tables))


_ABOUT = {
    "contact_id": "contacts", "lead_id": "leads", "opportunity_id": "opportunities", "account_id": "accounts",
}  # fmt: skip

_VERSIONS = f"""
WITH told AS (
    SELECT h.*, lag(h.stage) OVER w AS stage_before, lag(h.amount) OVER w AS amount_before,
        lag(h.close_date) OVER w AS close_before, lag(h.probability) OVER w AS chance_before,
        lag(h.id) OVER w AS before, e.kind
    FROM history.opportunities h JOIN opportunities o ON o.id = h.id AND o.deleted_at IS NULL
    LEFT JOIN ledger.events e ON e.id = h.event_id
    WINDOW w AS (PARTITION BY h.id ORDER BY h.known_from, h.version)
)
SELECT t.*{_STAGE}, coalesce(r.external_id, t.id::text || ':' || t.version) AS external_id,
    coalesce(t.external_ids ->> $1, t.id::text) AS opportunity, r.cells AS kept_cells
FROM told t
LEFT JOIN import_rows r ON r.record_id = t.id AND r.version = t.version AND r.source = $1 AND r.file = $2
WHERE r.file IS NOT NULL OR t.kind IS DISTINCT FROM 'opportunity.imported' AND (t.before IS NULL
    OR (t.stage, t.amount, t.close_date, t.probability)
        IS DISTINCT FROM (t.stage_before, t.amount_before, t.close_before, t.chance_before))
ORDER BY r.line, t.known_from, t.id /* access:opportunities */"""


async def _versions(database: Database, name: str) -> AsyncIterator[Row]:
    """The rows of history that came from a file, and what changed in the product since."""
    async for row in database.stream(_VERSIONS, SOURCE, name, size=BATCH):
        yield dict(row) | {"id": row["opportunity"]}


async def _write_entries(database: Database, path: Path, name: str, columns: list[str]) -> int:
    prices = await _prices(database)
    number = 0
    with path.open("wb") as file:
        file.write(csv_line(columns, is_safe=False))
        async for row in database.stream(_ENTRIES, SOURCE, name, size=BATCH):
            cells = msgspec.convert(row["cells"], dict[str, Any])
            item = codecs.same_id(cells["Product2Id"])
            raw, ours = cells["UnitPrice"]
            now = prices.get((row["record_id"], item))
            cells["UnitPrice"] = raw if now is None or now == ours else now
            file.write(csv_line([cells.get(column, "") for column in columns], is_safe=False))
            number += 1
    return number


_ENTRIES = """
SELECT r.record_id, r.cells FROM import_rows r JOIN price_books b ON b.id = r.record_id AND b.deleted_at IS NULL
WHERE r.source = $1 AND r.file = $2 ORDER BY r.line, r.external_id"""


async def _prices(database: Database) -> dict[tuple[UUID, str], str]:
    """(price book, Salesforce's id of the product) → price, as it is written."""
    rows = await database.fetch(
        "SELECT b.id, p.external_ids ->> $1 AS product, e ->> 'unit_price' AS price FROM price_books b"
        " CROSS JOIN LATERAL jsonb_array_elements(b.entries) e JOIN products p ON p.id = (e ->> 'product_id')::uuid"
        " WHERE b.deleted_at IS NULL",
        SOURCE,
    )
    return {(row["id"], row["product"]): codecs.plain(row["price"]) for row in rows if row["product"]}
