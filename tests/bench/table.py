"""The one table: what, measured, limit, command."""

from typing import NamedTuple


class Row(NamedTuple):
    """`limit` None: told, not judged. `measured` None: not measured in this run, `note` says why."""

    what: str
    measured: float | None
    limit: float | None
    unit: str
    command: str
    note: str = ""

    @property
    def is_missed(self) -> bool:
        return self.measured is not None and self.limit is not None and self.measured > self.limit


def render(rows: list[Row]) -> str:
    """Aligned columns; what is over its limit is marked."""
    lines = [("what", "measured", "limit", "", "command", "")]
    for row in rows:
        measured = "–" if row.measured is None else f"{row.measured:.2f}"
        limit = "–" if row.limit is None else f"≤ {row.limit:g}"
        unit = f"{row.unit}{'  OVER' if row.is_missed else ''}"
        lines.append((row.what, measured, limit, unit, row.command, row.note))
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
