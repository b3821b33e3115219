"""One file, one resource: rows become records by a mapping of columns to fields."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from service.importing import cells
from service.importing.lines import Cells, Sheet
from service.importing.records import Fault, Item, Record, Ref, Values, Version
from service.importing.targets import EXTERNAL, Target

Settled = Mapping[str, tuple[Target, str | None]]


def records(
    sheet: Sheet, table: str, settled: Settled, now: datetime, *, clears: bool = False
) -> Iterator[Item]:
    """Each row as a record of one version; an empty cell says nothing, or with `clears` that the field is empty."""
    for item in sheet.rows():
        if isinstance(item, Fault):
            yield item
            continue
        line, row = item
        try:
            yield _record(sheet, table, settled, line, row, clears=clears)
        except _Unreadable as error:
            yield Fault(sheet.name, line, error.column, error.cell[:200], error.detail)


class _Unreadable(ValueError):
    def __init__(self, column: str, cell: str, detail: str) -> None:
        super().__init__(detail)
        self.column, self.cell, self.detail = column, cell, detail


def _record(sheet: Sheet, table: str, settled: Settled, line: int, row: Cells, *, clears: bool) -> Record:
    values: Values = {}
    cleared: set[str] = set()
    external: str | None = None
    at: datetime | None = None
    for column, (target, order) in settled.items():
        cell = row.get(column, "")
        if cell == "" or cell is None:
            if clears and target.name not in (EXTERNAL, "created_at"):
                cleared.add(_column(target))
            continue
        if target.name == EXTERNAL:
            external = str(cell)[:255]
        elif target.name == "created_at":
            at = _instant(column, cell, order)
        else:
            _put(values, target, cell, order)
    version = Version(values, at, cleared=frozenset(cleared))
    return Record(table, external, [version], sheet.name, line)


def _column(target: Target) -> str:
    """The field that a column goes into; of a reference the column that holds the id."""
    if target.kind != "reference" or target.by == "id":
        return target.name
    return f"{target.name.partition('.')[0]}_id"


def _instant(column: str, cell: Any, order: str | None) -> datetime:
    try:
        return datetime.fromisoformat(cells.instant(str(cell), order))
    except ValueError:
        raise _Unreadable(column, str(cell), "is not an instant such as 2026-01-31T09:00:00Z") from None


def _put(values: Values, target: Target, cell: Any, order: str | None) -> None:
    if target.kind == "reference":
        by = "" if target.by == EXTERNAL else target.by
        values[_column(target)] = Ref(target.table, str(cell), by)
        return
    value = cells.convert(target.kind, cell, order, target.choices)
    first, _, rest = target.name.partition(".")
    if rest:
        inner = values.setdefault(first, {})
        inner[rest] = value
    else:
        values[target.name] = value
