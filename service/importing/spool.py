"""Rows of a history file by the record that they belong to: on disk, for such a file is the longest and in no order."""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

Row = dict[str, str]


class Spool:
    """Takes rows as (record, instant in µs, sequence, line, row) and gives those of one record in their order.

    All rows have the same columns in the same order.
    """

    def __init__(self, rows: Iterable[tuple[str, int, int, int, Row]]) -> None:
        # a database without a name lives in a temporary file, as far as its cache does not hold it, and goes by itself
        self._disk = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._disk.execute("PRAGMA journal_mode = OFF")
        self._disk.execute("PRAGMA cache_size = -16000")
        self._disk.execute("CREATE TABLE past (record TEXT, at INTEGER, seq INTEGER, line INTEGER, row BLOB)")
        self._disk.execute("BEGIN")
        self._columns: list[str] = []
        self._disk.executemany("INSERT INTO past VALUES (?, ?, ?, ?, ?)", self._packed(rows))
        self._disk.execute("CREATE INDEX by_record ON past (record, at, seq, line)")
        self._disk.execute("COMMIT")
        self._asked: set[str] = set()

    def _packed(self, rows: Iterable[tuple[str, int, int, int, Row]]) -> Iterator[tuple[Any, ...]]:
        pack = msgspec.msgpack.Encoder().encode
        for key, at, seq, line, row in rows:
            self._columns = self._columns or list(row)
            yield key, at, seq, line, pack(list(row.values()))

    def of(self, record: str) -> list[tuple[int, Row]]:
        """The rows of one record, each with its line."""
        self._asked.add(record)
        found = self._disk.execute(
            "SELECT line, row FROM past WHERE record = ? ORDER BY at, seq, line", (record,)
        )
        columns, unpack = self._columns, msgspec.msgpack.decode
        return [(line, dict(zip(columns, unpack(row), strict=True))) for line, row in found]

    def strangers(self) -> Iterator[tuple[str, int]]:
        """Records that nobody asked for, each with its first line."""
        for record, line in self._disk.execute("SELECT record, min(line) FROM past GROUP BY record"):
            if record not in self._asked:
                yield record, line

    def close(self) -> None:
        self._disk.close()
