"""Files as rows, whatever wrote them: CSV in the usual encodings and delimiters, NDJSON, XLSX, Parquet.

A row comes as (line, column → cell); cells are text, but for lists and objects that a file itself holds. What is wrong
with one row is a `Fault` with its line, and reading goes on behind it; a file that is none raises `Invalid`. No reader
holds more than a few thousand rows, and none trusts what a file says of its own size.
"""

import warnings
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl.utils import column_index_from_string

from service.errors import Invalid
from service.importing import delimited
from service.importing.lines import MOST_COLUMNS, MOST_LINE, Line, Sheet, header, typed_row
from service.importing.records import Fault

MOST_UNPACKED = 1_000_000_000
"""Bytes that a workbook may unpack to, and a row group of Parquet."""
MOST_SHARED = 150_000_000
"""Bytes of a workbook's table of texts, which is held whole."""
MOST_RATIO = 200
BATCH = 2_000
FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson",
           ".xlsx": "xlsx", ".parquet": "parquet", ".pq": "parquet"}  # fmt: skip


def look(path: Path, name: str = "") -> Sheet:
    """Finds out what a file is, by its content and by its name. Raises `Invalid` in a sentence."""
    name = name or path.name
    kind = _format(path, name)
    if path.stat().st_size == 0:
        raise Invalid(f"{name} is empty.")
    sheet = {"csv": delimited.read, "ndjson": _ndjson, "xlsx": _xlsx, "parquet": _parquet}[kind](path, name)
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
            yield typed_row(name, number, found)


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
                yield typed_row(name, item[0], dict(zip(columns, item[1], strict=False)))

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
                    yield typed_row(name, line, found)
    except (pa.ArrowException, OSError, ValueError) as error:
        yield Fault(name, line + 1, "", "", f"cannot be read, nor what follows: {str(error)[:200]}")
