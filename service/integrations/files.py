"""Reading the CSV files of an export: rows with their line, and what a deal's stage means for its other columns."""

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from service.errors import Invalid
from service.importer import Fault

MOST_CELL = 1_000_000
"""Characters of one cell; a longer one is not a cell but a broken quote."""

Row = dict[str, str]


def rows(folder: Path, name: str, required: tuple[str, ...] = ()) -> Iterator[tuple[int, Row]]:
    """The rows of `folder/name.csv` as (line, column → text), white space trimmed; raises `Invalid` for a file that is none."""
    path = folder / f"{name}.csv"
    csv.field_size_limit(MOST_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [column for column in required if column not in (reader.fieldnames or ())]
            if missing:
                raise Invalid(f"{path.name} lacks the columns {', '.join(missing)}.")
            for row in reader:
                if None in row or None in row.values():
                    raise Invalid(f"{path.name}, line {reader.line_num}: the row has not as many cells as the header.")
                yield reader.line_num, {column: cell.strip() for column, cell in row.items()}
    except FileNotFoundError:
        raise Invalid(f"{path.name} is missing in {folder}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise Invalid(f"{path.name} cannot be read: {error}.") from None


def instant(text: str) -> datetime | None:
    """An RFC 3339 instant, or None for an empty cell."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC) if text else None


def midnight(text: str, zone: str) -> datetime | None:
    """The start of a day in the company's zone."""
    return datetime.combine(date.fromisoformat(text), datetime.min.time(), ZoneInfo(zone)).astimezone(UTC) if text else None


def wrong(file: str, line: int, column: str, value: Any, detail: str, *, is_note: bool = False) -> Fault:
    return Fault(f"{file}.csv", line, column, str(value)[:200], detail, is_note)


def stage_columns(stage: dict[str, Any], at: datetime | None, now: datetime, zone: str) -> dict[str, Any]:
    """All that follows from a deal's entering a stage at an instant: what the stage verb would set."""
    moment = at or now
    closed = stage["status"] != "open"
    return {
        "stage": stage["key"],
        "status": stage["status"],
        "probability": float(stage["probability"]),
        "stage_entered_at": moment,
        "closed_at": moment if closed else None,
        "closed_on": moment.astimezone(ZoneInfo(zone)).date() if closed else None,
    }
