"""CSV in the usual encodings and with the usual delimiters, each found out by looking."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.errors import Invalid
from service.importing.lines import MOST_CELL, MOST_LINE, Line, Sheet, header
from service.importing.records import Fault

SAMPLE = 262_144


def encoding_of(sample: bytes) -> str:
    """UTF-8 or UTF-16 by their marks; else UTF-8 where it is that, UTF-16 by its zeros, or Windows' 1252."""
    if sample.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    zeros = sample.count(0)
    if zeros > len(sample) // 4:
        return "utf-16-le" if sample[1::2].count(0) > sample[::2].count(0) else "utf-16-be"
    if not _is_windows(sample):
        return "utf-8"
    return "cp1252"


def _is_windows(sample: bytes) -> bool:
    """Whether the bytes beyond ASCII are those of cp1252: none of them is a sequence of UTF-8."""
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start > len(sample) - 4 and len(sample) == SAMPLE:  # a letter that the sample cuts
            return False
    else:
        return False
    return not re.search(
        rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}", sample
    )


def delimiter_of(sample: str) -> str:
    """The sign that splits the first lines into the most cells, the same number in each."""
    best, most = ",", 0.0
    for sign in (",", ";", "\t", "|"):
        try:
            widths = [
                len(row)
                for _, row in zip(
                    range(20), csv.reader(sample.splitlines(True), delimiter=sign), strict=False
                )
                if row
            ]
        except csv.Error:
            continue
        if not widths or widths[0] < 2:
            continue
        alike = sum(width == widths[0] for width in widths) / len(widths)
        if alike * widths[0] > most:
            best, most = sign, alike * widths[0]
    return best


def read(path: Path, name: str) -> Sheet:
    with path.open("rb") as file:
        sample = file.read(SAMPLE)
    encoding = encoding_of(sample)
    text = sample.decode(encoding, "replace")
    delimiter = delimiter_of(text[: text.rfind("\n") + 1] or text)
    first = next(_csv_lines(path, name, encoding, delimiter), None)
    if first is None or isinstance(first, Fault):
        raise Invalid(f"{name} has no header{f': {first.detail}' if first else ''}.")
    columns = header(name, first[1])

    def rows() -> Iterator[Line]:
        found = _csv_lines(path, name, encoding, delimiter)
        next(found)  # the header
        for item in found:
            yield item if isinstance(item, Fault) else _csv_row(name, *item, columns, encoding)

    return Sheet(name, "csv", columns, rows, encoding, delimiter)


def _csv_lines(
    path: Path, name: str, encoding: str, delimiter: str
) -> Iterator[tuple[int, list[str]] | Fault]:
    """First line and cells of each row; it goes on behind a line that it cannot read."""
    csv.field_size_limit(MOST_CELL)
    long: list[int] = []
    errors = "replace" if encoding.startswith("utf-16") else "surrogateescape"
    with path.open(encoding=encoding, errors=errors, newline="") as file:
        reader = csv.reader(_lines(file, long), strict=True, delimiter=delimiter)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                yield Fault(name, line, "", "", f"cannot be read as CSV: {error}")
                continue
            except UnicodeError as error:
                yield Fault(
                    name, line, "", "", f"cannot be read as {encoding}: {error}; the rest is left out"
                )
                return
            if long:
                yield Fault(name, long.pop(), "", "", f"is longer than {MOST_LINE:,} characters")
            elif cells is None:
                return
            elif any(cells):
                yield line, cells


def _lines(file: Any, long: list[int]) -> Iterator[str]:
    """Lines of a bounded length; of a longer one its number is noted, and a short one stands for it."""
    number = 0
    while line := file.readline(MOST_LINE):
        number += 1
        if len(line) == MOST_LINE and not line.endswith("\n"):
            while (rest := file.readline(MOST_LINE)) and not rest.endswith("\n"):
                pass
            long.append(number)
            line = "-\n"
        yield line


def _csv_row(name: str, line: int, cells: list[str], columns: list[str], encoding: str) -> Line:
    if len(cells) != len(columns):
        shown = ",".join(cells)[:80]
        return Fault(name, line, "", shown, f"the row has {len(cells)} cells, the header {len(columns)}")
    whole = "".join(cells)
    if "\0" in whole or not (whole.isascii() or _is_sound(whole, encoding)):
        for column, cell in zip(columns, cells, strict=True):
            if detail := _broken(cell, encoding):
                shown = cell.replace("\0", "\\0").encode("utf-8", "replace").decode()[:200]
                return Fault(name, line, column, shown, detail)
    found = dict(zip(columns, map(str.strip, cells), strict=True))
    return line, {column: unquoted(cell) for column, cell in found.items()} if "'" in whole else found


def _is_sound(text: str, encoding: str) -> bool:
    """Whether no byte of it was beyond the encoding: such a byte is half a pair by now, which UTF-8 does not take."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\ufffd" not in text or not encoding.startswith("utf-16")


def _broken(cell: str, encoding: str) -> str | None:
    if "\0" in cell:
        return "holds the character NUL"
    if cell.isascii():
        return None
    if any("\udc80" <= sign <= "\udcff" for sign in cell):
        return f"is not {encoding.removesuffix('-sig').upper()}"
    return "is not UTF-16" if "\ufffd" in cell and encoding.startswith("utf-16") else None


_QUOTED = re.compile(r"'+[=+\-@\t\r]")


def unquoted(cell: str) -> str:
    """Without the apostrophe that an export of ours puts before what a spreadsheet would take for a formula."""
    return cell[1:] if cell[:1] == "'" and _QUOTED.match(cell) else cell
