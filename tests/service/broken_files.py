"""Broken files by the hundred: each says which of its rows are wrong and in which column, or that it is none at all."""

import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import msgspec
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

HEADER = ["name", "amount", "close_date", "stage", "next_step"]
GOOD = [
    ["First", "100", "2026-01-31", "proposal", "Call"],
    ["Second", "1,200.50", "31.12.2026", "won", "Größe: 5"],
]
AFTER = [["Third", "", "", "", "=1+1"], ["Fourth", "7", "2026-02-28", "lost", '"quoted", and more']]
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252")
DELIMITERS = (",", ";", "\t", "|")


class Broken(msgspec.Struct):
    """`rows`: how many of its rows are right; `faults`: (line, column) of those that are not; None: it is no file."""

    name: str
    content: bytes
    rows: int = 4
    faults: list[tuple[int, str]] | None = None


CELLS: dict[str, tuple[int, str]] = {
    # what is wrong: (which cell, with what)
    "no name": (0, ""), "blank name": (0, "   "), "long name": (0, "x" * 300), "words for a sum": (1, "a lot"),
    "negative": (1, "-1"), "not a number": (1, "NaN"), "infinite": (1, "Infinity"), "beyond all": (1, "1" + "0" * 400),
    "two points": (1, "1.2.3,4,5"), "exponent": (1, "1e400"), "no such day": (2, "2026-02-30"),
    "no such month": (2, "2026-13-01"), "no day of any order": (2, "32/13/2026"), "two signs of year": (2, "yesterday"),
    "a time": (2, "25:99"), "year 0": (2, "0000-01-01"), "formula for a date": (2, "=TODAY()"),
    "formula for a sum": (1, "=SUM(A1:A9)"), "unknown stage": (3, "heaven"), "script for a stage": (3, "<script>"),
    "endless text": (4, "x" * 40_000), "NUL": (4, "a\0b"), "huge cell": (4, "y" * 1_000_100),
}  # fmt: skip


def files() -> Iterator[Broken]:
    """All of them."""
    for number, (what, (place, cell)) in enumerate(CELLS.items()):
        for turn in range(8):
            encoding = ENCODINGS[(number + turn) % len(ENCODINGS)]
            yield _cell(what, place, cell, encoding, DELIMITERS[turn % len(DELIMITERS)], turn >= 4)
    yield from _ragged()
    yield from _strays()
    yield from _ndjson()
    yield from _xlsx()
    yield from _parquet()
    yield from _none()


def _line(cells: list[str], delimiter: str, always: bool = False) -> str:
    return delimiter.join(
        '"' + cell.replace('"', '""') + '"'
        if always or any(sign in cell for sign in f'{delimiter}"\n')
        else cell
        for cell in cells
    )


def _text(rows: list[list[str]], delimiter: str, end: str = "\n", always: bool = False) -> str:
    return end.join([_line(row, delimiter, always) for row in [HEADER, *rows]]) + end


def _cell(what: str, place: int, cell: str, encoding: str, delimiter: str, always: bool) -> Broken:
    wrong = ["Broken", "5", "2026-03-01", "proposal", "text"]
    wrong[place] = cell
    text = _text([*GOOD, wrong, *AFTER], delimiter, "\r\n" if always else "\n", always)
    name = f"{what} in {encoding} with {delimiter!r}{' quoted' if always else ''}.csv"
    column = "" if what == "huge cell" else HEADER[place]
    return Broken(name, text.encode(encoding), 4, [(4, column)])


def _ragged() -> Iterator[Broken]:
    for delimiter in DELIMITERS:
        for what, row in (
            ("short", ["a", "1"]),
            ("long", ["a", "1", "", "", "", "more"]),
            ("one", ["lonely"]),
        ):
            rows = [*GOOD, row, *AFTER]
            yield Broken(f"{what} row with {delimiter!r}.csv", _text(rows, delimiter).encode(), 4, [(4, "")])


def _strays() -> Iterator[Broken]:
    """Quotes and bytes that stand where they should not."""
    before, after = _text(GOOD, ",").encode(), "\n".join(_line(row, ",") for row in AFTER).encode()
    for what, row, column in (
        ("quote in the middle", b'a "b" c,1,,,"x" y\n', ""),
        ("text behind a quote", b'"a"b,1,,,x\n', ""),
        ("other encoding", b"caf\xe9,1,,,x\n", "name"),
        ("half a letter", b"x,1,,,\xc3\n", "next_step"),
        ("a byte that is none", b"x,1,,,\xff\n", "next_step"),
        ("a cell of 10 MB", b"x,1,,," + b"z" * 10_000_000 + b"\n", ""),
        ("a line of 20 MB", b"x,1,,," + b"z" * 20_000_000 + b"\n", ""),
    ):
        yield Broken(f"{what}.csv", before + row + after, 4, [(4, column)])
    yield Broken("open quote.csv", before + b'"never closed,1,,,x\n' + after, 2, [(4, "")])
    lost = _text(GOOD, ",").encode("utf-16") + b"\x00"
    yield Broken("half a sign of UTF-16.csv", lost, 2, [(4, "")])


def _ndjson() -> Iterator[Broken]:
    good = [json.dumps(dict(zip(HEADER, row, strict=True))) for row in (*GOOD, *AFTER)]
    for what, line, column in (
        ("a list", "[1, 2]", ""), ("a number", "7", ""), ("cut", '{"name": "x"', ""), ("single quotes", "{'name': 'x'}", ""),
        ("no JSON", "name: x", ""), ("too deep", '{"name": ' + "[" * 5_000 + "]" * 5_000 + "}", ""),
        ("an object for a sum", '{"name": "x", "amount": {"a": 1}}', "amount"),
        ("a list for a name", '{"name": ["x"], "amount": 1}', "name"), ("true for a day", '{"name": "x", "close_date": true}', "close_date"),
        ("NUL", '{"name": "a\\u0000b"}', "name"), ("half a pair", '{"name": "\\ud800"}', ""),
        ("beyond all", '{"name": "x", "amount": 1e999}', "amount"), ("an endless cell", '{"name": "' + "x" * 1_000_100 + '"}', "name"),
    ):  # fmt: skip
        lines = [*good[:2], line, *good[2:]]
        yield Broken(f"{what}.ndjson", "\n".join(lines).encode(), 4, [(3, column)])
    yield Broken(
        "bytes.ndjson",
        "\n".join(good[:2]).encode() + b'\n{"name": "\xff"}\n' + "\n".join(good[2:]).encode(),
        4,
        [(3, "")],
    )


def workbook(rows: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    found = io.BytesIO()
    book.save(found)
    return found.getvalue()


def _xlsx() -> Iterator[Broken]:
    good: list[list[Any]] = [["A", 100, "2026-01-31", "proposal", "x"], ["B", 1.5, "", "", ""]]
    after: list[list[Any]] = [["C", "", "", "", ""], ["D", 7, "2026-02-28", "lost", "x"]]
    for what, row, column in (
        ("an error for a sum", ["E", "#DIV/0!", "", "", ""], "amount"), ("a truth for a sum", ["E", True, "", "", ""], "amount"),
        ("no name", ["", 5, "", "", ""], "name"), ("a cell beyond", ["E", 5, "", "", "", "beyond"], ""),
        ("words for a day", ["E", 5, "soon", "", ""], "close_date"), ("a sum for a day", ["E", 5, 45_000, "", ""], "close_date"),
    ):  # fmt: skip
        yield Broken(f"{what}.xlsx", workbook([HEADER, *good, row, *after]), 4, [(4, column)])
    whole = workbook([HEADER, *good, *after])
    for share in (3, 10, 50, 90, 99):
        yield Broken(f"cut at {share} %.xlsx", whole[: len(whole) * share // 100])
    yield Broken("no workbook.xlsx", _zip({"readme.txt": b"hello"}))
    yield Broken("bomb.xlsx", _zip({"xl/worksheets/sheet1.xml": b"<row/>" * 2_000_000}))
    yield Broken("bomb of texts.xlsx", _zip({"xl/sharedStrings.xml": b"\0" * 12_000_000}))
    yield Broken("bomb that lies.xlsx", _lying(b"<row/>" * 2_000_000))
    yield Broken("header twice.xlsx", workbook([["name", "name"], ["a", "b"]]))
    yield Broken("formula alone.xlsx", workbook([HEADER, *good, ["E", "=1+1", "", "", ""], *after]), 5, [])
    yield Broken("bomb of parts.xlsx", _zip({f"xl/media/{n}.png": b"" for n in range(10_500)}))
    yield Broken(
        "broken sheet.xlsx", _replaced(whole, "xl/worksheets/sheet1.xml", b"<worksheet><sheetData><row")
    )
    laughs = (
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "' + b"ha" * 1000 + b'">]><worksheet>&a;</worksheet>'
    )
    yield Broken("entities.xlsx", _replaced(whole, "xl/worksheets/sheet1.xml", laughs))


def _zip(parts: dict[str, bytes]) -> bytes:
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return found.getvalue()


def _lying(content: bytes) -> bytes:
    """A workbook whose sheet unpacks to more than its list of parts says."""
    sheet = "xl/worksheets/sheet1.xml"
    whole = bytearray(_replaced(workbook([HEADER]), sheet, content))
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = whole.find(mark)
        while start >= 0:
            name = start + (30 if place == 22 else 46)
            if whole[name : name + len(sheet)] == sheet.encode():
                whole[start + place : start + place + 4] = (1_000).to_bytes(4, "little")
            start = whole.find(mark, start + 4)
    return bytes(whole)


def _replaced(whole: bytes, name: str, content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    return _zip(parts | {name: content})


def _parquet() -> Iterator[Broken]:
    rows = [*GOOD, ["Broken", "-1", "", "", ""], *AFTER]
    table = pa.table({name: [row[n] for row in rows] for n, name in enumerate(HEADER)})
    found = io.BytesIO()
    pq.write_table(table, found)
    whole = found.getvalue()
    yield Broken("negative.parquet", whole, 4, [(3, "amount")])
    double = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, names=["name", "name"]), double)
    yield Broken("header twice.parquet", double.getvalue())
    for share in (1, 20, 50, 80, 99):
        yield Broken(f"cut at {share} %.parquet", whole[: len(whole) * share // 100] or b"PAR1")
    yield Broken("nothing behind the mark.parquet", b"PAR1" + b"\0" * 100 + b"PAR1")
    yield Broken("a foot of nonsense.parquet", whole[:-40] + b"\xff" * 32 + whole[-8:])


def _none() -> Iterator[Broken]:
    """What is no file of rows at all."""
    plain = _text([*GOOD, *AFTER], ",").encode()
    yield Broken("empty.csv", b"")
    yield Broken("a mark alone.csv", b"\xef\xbb\xbf")
    yield Broken("line ends.csv", b"\r\n\r\n\n")
    yield Broken("header twice.csv", b"name,name,amount\na,b,1\n")
    yield Broken("header twice in UTF-16.csv", "name;amount;name\na;1;b\n".encode("utf-16"))
    yield Broken("a mark of another encoding.csv", b"\xff\xfe" + plain)
    yield Broken("header of NUL.csv", b"na\0me,amount\na,1\n")
    yield Broken("too many columns.csv", ",".join(f"c{n}" for n in range(1_200)).encode() + b"\n")
    yield Broken("endless header.csv", b"x" * 1_100_000 + b"\na\n")
    yield Broken("open header.csv", b'"name,amount\n1,2\n')
    yield Broken("nothing that we know.csv", b"foo,bar\n1,2\n")
    yield Broken("packed.csv", gzip.compress(plain))
    yield Broken("a page.csv", b"%PDF-1.7 " + plain)
    yield Broken("an old workbook.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + plain)
    yield Broken("text that says xlsx.xlsx", plain)
    yield Broken("text that says parquet.parquet", plain)
    yield Broken("lists alone.ndjson", b"[1]\n[2]\n")
    yield Broken("words.ndjson", b"hello\nworld\n")
    yield Broken("noise.csv", bytes((n * 37 + 11) % 256 for n in range(4_000)))
