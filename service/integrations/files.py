"""Reading the CSV files of an export: rows with their line, and what a deal's stage means for its other columns."""

import csv
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from service.errors import Invalid
from service.importing.records import Fault, Item, Record

MOST_CELL = 1_000_000
"""Characters of one cell; a longer one is not a cell but a broken quote."""

Row = dict[str, str]


class Wrong(ValueError):
    """A cell that is not what its column takes."""

    def __init__(self, column: str, value: Any, detail: str) -> None:
        super().__init__(detail)
        self.column, self.value, self.detail = column, value, detail


def rows(
    folder: Path, name: str, required: tuple[str, ...] = (), faults: list[Fault] | None = None
) -> Iterator[tuple[int, Row]]:
    """The rows of `folder/name.csv` as (line, column → text), white space trimmed.

    A row that is none (too few or too many cells, a cell beyond `MOST_CELL`, bytes that are no UTF-8, NUL) is left out
    and told in `faults`. Raises `Invalid` for a file that is missing, or lacks a column, or when there are no `faults`.
    """
    path = folder / f"{name}.csv"
    csv.field_size_limit(MOST_CELL)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = _header(path.name, reader, required)
            for line, cells, problem in _lines(reader):
                fault = problem or _fault_of(header, cells)
                if fault is None:
                    yield line, {column: cell.strip() for column, cell in zip(header, cells, strict=True)}
                elif faults is None:
                    raise Invalid(f"{path.name}, line {line}: {fault.detail}.")
                else:
                    faults.append(wrong(name, line, fault.column, fault.value, fault.detail))
    except FileNotFoundError:
        raise Invalid(f"{path.name} is missing in {folder}.") from None


def interleaved(faults: list[Fault], records: Iterable[Record]) -> Iterator[Item]:
    """The records, with what was found wrong on the way to each before it."""
    for record in records:
        yield from _drained(faults)
        yield record
    yield from _drained(faults)


def _drained(faults: list[Fault]) -> list[Fault]:
    found = faults[:]
    faults.clear()
    return found


def require(folder: Path, *names: str) -> None:
    """Raises `Invalid` for the first of the files that is missing or has no usable header: before anything is stored."""
    for name in names:
        next(rows(folder, name, (), []), None)


def _header(file: str, reader: Any, required: tuple[str, ...]) -> list[str]:
    try:
        header = [cell.strip() for cell in next(reader, [])]
    except csv.Error as error:
        raise Invalid(f"{file} has no header: {error}.") from None
    missing = [column for column in required if column not in header]
    if missing:
        raise Invalid(f"{file} lacks the columns {', '.join(missing)}.")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise Invalid(f"{file} names the columns {', '.join(twice)} twice.")
    return header


def _lines(reader: Any) -> Iterator[tuple[int, list[str], Wrong | None]]:
    """First line, cells and what the parser found wrong; it goes on behind a line that it cannot read."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, [], Wrong("", "", f"cannot be read as CSV: {error}")
            continue
        if cells:
            yield line, cells, None


def _fault_of(header: list[str], cells: list[str]) -> Wrong | None:
    if len(cells) != len(header):
        return Wrong("", ",".join(cells)[:80], f"the row has {len(cells)} cells, the header {len(header)}")
    for column, cell in zip(header, cells, strict=True):
        if "\0" in cell:
            return Wrong(column, cell.replace("\0", "\\0"), "holds the character NUL")
        if not cell.isascii() and any("\udc80" <= sign <= "\udcff" for sign in cell):
            return Wrong(column, cell.encode("utf-8", "replace").decode(), "is not UTF-8")
    return None


def instant(text: str, column: str = "at") -> datetime | None:
    """An RFC 3339 instant with its zone, or None for an empty cell. Raises `Wrong`."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise Wrong(column, text, "is not an instant such as 2026-01-31T09:00:00Z") from None
    if moment.tzinfo is None:
        raise Wrong(column, text, "is an instant without its zone")
    return moment.astimezone(UTC)


def midnight(text: str, zone: str) -> datetime | None:
    """The start of a day in the company's zone."""
    return (
        datetime.combine(date.fromisoformat(text), datetime.min.time(), ZoneInfo(zone)).astimezone(UTC)
        if text
        else None
    )


def wrong(file: str, line: int, column: str, value: Any, detail: str, *, is_note: bool = False) -> Fault:
    return Fault(f"{file}.csv", line, column, str(value)[:200], detail, is_note)
