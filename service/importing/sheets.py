"""Files as rows, whatever wrote them: CSV in the usual encodings and delimiters, NDJSON, XLSX, Parquet.

A row comes as (line, column → cell); cells are text, but for lists and objects that a file itself holds. What is wrong
with one row is a `Fault` with its line, and reading goes on behind it; a file that is none raises `Invalid`. No reader
holds more than a few thousand rows, and none trusts what a file says of its own size.
"""

import csv
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl.utils import column_index_from_string

from service.errors import Invalid
from service.importing.records import Fault

MOST_CELL = 1_000_000
"""Characters of one cell; a longer one is not a cell but a broken quote."""
MOST_LINE = 16_000_000
MOST_COLUMNS = 1_000
MOST_UNPACKED = 1_000_000_000
"""Bytes that a workbook may unpack to, and a row group of Parquet."""
MOST_SHARED = 150_000_000
"""Bytes of a workbook's table of texts, which is held whole."""
MOST_RATIO = 200
SAMPLE = 262_144
BATCH = 2_000

Cells = dict[str, Any]
Line = tuple[int, Cells] | Fault
FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson",
           ".xlsx": "xlsx", ".parquet": "parquet", ".pq": "parquet"}  # fmt: skip


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


def look(path: Path, name: str = "") -> Sheet:
    """Finds out what a file is, by its content and by its name. Raises `Invalid` in a sentence."""
    name = name or path.name
    kind = _format(path, name)
    if path.stat().st_size == 0:
        raise Invalid(f"{name} is empty.")
    sheet = {"csv": _csv, "ndjson": _ndjson, "xlsx": _xlsx, "parquet": _parquet}[kind](path, name)
    sheet.path = path
    return sheet


def _format(path: Path, name: str) -> str:
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"PK\x03\x04"):
        return "xlsx"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"\xd0\xcf\x11\xe0", b"%PDF", b"\x1f\x8b")):
        raise Invalid(f"{name} is neither CSV, NDJSON, XLSX nor Parquet: save it as one of these.")
    found = FORMATS.get(Path(name).suffix.lower())
    if found in ("xlsx", "parquet"):
        raise Invalid(f"{name} is not what its name says: it does not begin as {found} does.")
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{"):
        return "ndjson"
    return found or "csv"


# --- CSV -----------------------------------------------------------------------------------------------------------


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


def _csv(path: Path, name: str) -> Sheet:
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


# --- NDJSON --------------------------------------------------------------------------------------------------------


def _ndjson(path: Path, name: str) -> Sheet:
    columns: dict[str, None] = {}
    for number, item in enumerate(_ndjson_rows(path, name)):
        if number >= BATCH:
            break
        if not isinstance(item, Fault):
            columns |= dict.fromkeys(item[1])
    if not columns:
        raise Invalid(f"{name} has no line that is a JSON object.")
    return Sheet(name, "ndjson", header(name, list(columns)), lambda: _ndjson_rows(path, name), "utf-8")


def _ndjson_rows(path: Path, name: str) -> Iterator[Line]:
    decoder = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
    number = 0
    with path.open("rb") as file:
        while raw := file.readline(MOST_LINE):
            number += 1
            if len(raw) == MOST_LINE and not raw.endswith(b"\n"):
                while (rest := file.readline(MOST_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield Fault(name, number, "", "", f"is longer than {MOST_LINE:,} characters")
                continue
            raw = raw.strip().removeprefix(b"\xef\xbb\xbf")
            if not raw:
                continue
            try:
                found = decoder.decode(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                yield Fault(
                    name, number, "", raw[:80].decode("utf-8", "replace"), f"is no JSON object: {error}"
                )
                continue
            yield _typed_row(name, number, found)


# --- XLSX ----------------------------------------------------------------------------------------------------------


def _xlsx(path: Path, name: str) -> Sheet:
    _refuse_bomb(path, name)
    first = next(_xlsx_rows(path, name), None)
    if first is None or isinstance(first, Fault):
        raise Invalid(f"{name} has no header{f': {first.detail}' if first else ''}.")
    cells = list(first[1])
    while cells and cells[-1] in (None, ""):
        cells.pop()
    columns = header(name, cells)

    def rows() -> Iterator[Line]:
        found = _xlsx_rows(path, name)
        next(found)  # the header
        for item in found:
            if isinstance(item, Fault):
                place = column_index_from_string(item.column) - 1 if item.column else len(columns)
                yield msgspec.structs.replace(item, column=columns[place]) if place < len(columns) else item
            elif any(cell is not None for cell in item[1][len(columns) :]):
                yield Fault(
                    name, item[0], "", "", f"has cells beyond the {len(columns)} columns of the header"
                )
            else:
                yield _typed_row(name, item[0], dict(zip(columns, item[1], strict=False)))

    return Sheet(name, "xlsx", columns, rows)


def _refuse_bomb(path: Path, name: str) -> None:
    """A workbook is a ZIP: what it says of its sizes is judged before, and holds while it is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise Invalid(f"{name} cannot be read as XLSX: {error}.") from None
    whole = sum(part.file_size for part in parts)
    packed = max(1, sum(part.compress_size for part in parts))
    shared = sum(part.file_size for part in parts if "sharedstrings" in part.filename.lower())
    if len(parts) > 10_000 or whole > MOST_UNPACKED or (whole > 10_000_000 and whole / packed > MOST_RATIO):
        raise Invalid(f"{name} unpacks to {whole:,} bytes from {packed:,}: that is no ordinary workbook.")
    if shared > MOST_SHARED:
        raise Invalid(f"{name} has {shared:,} bytes of texts; {MOST_SHARED:,} are taken. Save it as CSV.")


def _xlsx_rows(path: Path, name: str) -> Iterator[tuple[int, list[Any]] | Fault]:
    """Rows of the first sheet that are not empty, by their values; formulas by the value that they had when saved."""
    line = 0
    try:
        for line, cells in enumerate(_quietly(_open_xlsx(path)), 1):
            if all(cell.value is None for cell in cells):
                continue
            wrong = next((cell for cell in cells if cell.data_type == "e"), None)
            if wrong is not None:
                yield Fault(name, line, wrong.column_letter, str(wrong.value), "is an error of the sheet")
            else:
                yield line, [cell.value for cell in cells]
    except Exception as error:  # openpyxl raises whatever its parts raise
        if line == 0:
            raise Invalid(f"{name} cannot be read as XLSX: {error}.") from None
        yield Fault(name, line + 1, "", "", f"cannot be read, nor what follows: {error}")


def _open_xlsx(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:  # by its name openpyxl would look at its suffix, which an upload has not
        book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        try:
            sheet = book.worksheets[0]
            sheet.reset_dimensions()
            yield from sheet.iter_rows(max_col=MOST_COLUMNS)
        finally:
            book.close()


def _quietly(rows: Iterator[Any]) -> Iterator[Any]:
    """Without openpyxl's remarks on styles, extensions and dates that are none."""
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = next(rows, None)
        if found is None:
            return
        yield found


# --- Parquet -------------------------------------------------------------------------------------------------------


def _parquet(path: Path, name: str) -> Sheet:
    try:
        with pq.ParquetFile(path) as file:
            columns = header(name, list(file.schema_arrow.names))
            sizes = [file.metadata.row_group(n).total_byte_size for n in range(file.metadata.num_row_groups)]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Invalid(f"{name} cannot be read as Parquet: {str(error)[:200]}.") from None
    if sizes and max(sizes) > MOST_UNPACKED:
        raise Invalid(f"{name} has a row group of {max(sizes):,} bytes; {MOST_UNPACKED:,} are taken.")
    return Sheet(name, "parquet", columns, lambda: _parquet_rows(path, name))


def _parquet_rows(path: Path, name: str) -> Iterator[Line]:
    line = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH, use_threads=False):
                for found in batch.to_pylist():
                    line += 1
                    yield _typed_row(name, line, found)
    except (pa.ArrowException, OSError, ValueError) as error:
        yield Fault(name, line + 1, "", "", f"cannot be read, nor what follows: {str(error)[:200]}")


# --- typed cells ---------------------------------------------------------------------------------------------------


def _typed_row(name: str, line: int, found: dict[str, Any]) -> Line:
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
