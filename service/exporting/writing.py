"""Cells of CSV: quoted as RFC 4180 says, and so that no spreadsheet takes one for a formula."""

from collections.abc import Iterable

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""With one of these a spreadsheet begins to calculate."""


def safe(cell: str) -> str:
    """With an apostrophe before what a spreadsheet would take for a formula, and before what looks so quoted already.

    `importing.delimited.unquoted` takes it away again.
    """
    bare = cell.lstrip("'")
    return f"'{cell}" if bare[:1] in FORMULAS and bare else cell


def quoted(cell: str) -> str:
    """A cell of CSV, in quotes where it needs them."""
    if any(sign in cell for sign in ',"\r\n') or cell != cell.strip():
        return '"' + cell.replace('"', '""') + '"'
    return cell


def csv_line(cells: Iterable[str], *, is_safe: bool = True) -> bytes:
    """One row; `is_safe`: no cell begins a formula."""
    return (",".join(quoted(safe(cell) if is_safe else cell) for cell in cells) + "\r\n").encode()
