"""What a file is once it has been looked at: its columns, and its lines one by one; and how a typed cell reads as text."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from service.errors import Invalid
from service.importing.records import Fault

MOST_CELL = 1_000_000
"""Characters of one cell; a longer one is not a cell but a broken quote."""
MOST_LINE = 16_000_000
MOST_COLUMNS = 1_000

Cells = dict[str, Any]
Line = tuple[int, Cells] | Fault


class Sheet(msgspec.Struct):
    """A file that has been looked at: its columns, and `rows()` from its beginning."""

    name: str
    format: str
    columns: list[str]
    rows: Callable[[], Iterator[Line]]
    encoding: str | None = None
    delimiter: str | None = None
    path: Path = Path()

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self.name.rpartition(".")[0] or self.name

    def count(self) -> int | None:
        """About how many rows there are: lines of text, or what the file says; None for a workbook."""
        if self.format == "xlsx":
            return None
        if self.format == "parquet":
            with pq.ParquetFile(self.path) as file:
                return int(file.metadata.num_rows)
        with self.path.open("rb") as file:
            lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
        return max(0, lines - (self.format == "csv"))


def header(name: str, cells: list[Any]) -> list[str]:
    """The names of the columns; one without a name is called by its place. Raises `Invalid` for a name that stands twice."""
    columns = [str(cell or "").strip() for cell in cells]
    if len(columns) > MOST_COLUMNS:
        raise Invalid(f"{name} has {len(columns):,} columns; {MOST_COLUMNS:,} are taken.")
    if bad := [column for column in columns if len(column) > 255 or not column.isprintable()]:
        raise Invalid(f"{name} has no usable header: {bad[0][:40]!r} is no name of a column.")
    twice = sorted({column for column in columns if column and columns.count(column) > 1})
    if twice:
        raise Invalid(f"{name} names the columns {', '.join(twice)} twice.")
    return [column or f"column {number}" for number, column in enumerate(columns, 1)]


def typed_row(name: str, line: int, found: dict[str, Any]) -> Line:
    cells: Cells = {}
    for column, value in found.items():
        cell = text_of(value)
        if isinstance(cell, str) and (len(cell) > MOST_CELL or "\0" in cell):
            detail = "holds the character NUL" if "\0" in cell else f"is longer than {MOST_CELL:,} characters"
            return Fault(name, line, column, cell[:80].replace("\0", "\\0"), detail)
        cells[str(column).strip()] = cell
    return line, cells


def text_of(value: Any) -> Any:
    """A typed cell as text: instants with their zone (UTC where none is given), whole numbers without a point."""
    match value:
        case None:
            return ""
        case str():
            return value.strip()
        case bool():
            return "true" if value else "false"
        case datetime():
            if value.time() == time() and value.tzinfo is None:
                return value.date().isoformat()
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
        case date() | time():
            return value.isoformat()
        case float():
            return (
                ""
                if value != value
                else str(int(value))
                if value.is_integer() and abs(value) < 1e15
                else repr(value)
            )
        case Decimal():
            return format(value, "f") if value.is_finite() and abs(value.adjusted()) < 100 else str(value)
        case bytes():
            return value.decode("utf-8", "replace")
        case _:
            return value if isinstance(value, list | dict) else str(value)
