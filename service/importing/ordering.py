"""The order in which records go in: none before the record of its own kind that it points at; in chunks that fit memory."""

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from service.importing.records import Fault, Item, Record, Ref
from service.importing.rings import ring_of

CHUNK = 5_000
"""Records of one transaction: a longer one would stall every reader of the feed."""
MOST_VERSIONS = 10_000
MOST_WEIGHT = 16_000_000
"""Characters that a chunk holds."""
MOST_HELD = 50_000
"""Records that wait for another of their kind; one that waits longer goes in as it is, and is told."""


class Chunk(msgspec.Struct):
    """Records of one table, and how many items of the stream lie behind its last one. Without a table: faults alone."""

    table: str
    records: list[Record]
    faults: list[Fault]
    position: int


class _Waiting:
    """Records of one table in the order in which each stands behind what it points at."""

    def __init__(self, columns: tuple[str, ...], tree: str) -> None:
        self.columns, self.tree = columns, tree
        self._out: set[str | None] = set()
        self._held: dict[int, Record] = {}
        self._behind: dict[str, list[int]] = defaultdict(list)

    def add(self, record: Record) -> Iterator[Record]:
        missing = self._missing(record)
        if missing is None:
            yield from self._release(record)
            return
        self._held[id(record)] = record
        self._behind[missing].append(id(record))
        if len(self._held) > MOST_HELD:
            yield from self._release(self._held.pop(next(iter(self._held))))

    def _missing(self, record: Record) -> str | None:
        for version in record.versions:
            for column in self.columns:
                value = version.values.get(column)
                if isinstance(value, Ref) and value.table == record.table and not value.by:
                    wanted = value.external_id
                    if wanted not in self._out and wanted != record.external_id:
                        return wanted
        return None

    def _release(self, record: Record) -> Iterator[Record]:
        ready = [record]
        while ready:
            one = ready.pop(0)
            self._out.add(one.external_id)
            yield one
            for key in self._behind.pop(one.external_id or "", ()):
                other = self._held.get(key)
                if other is None:
                    continue
                missing = self._missing(other)
                if missing is None:
                    ready.append(self._held.pop(key))
                else:
                    self._behind[missing].append(key)

    def rest(self) -> Iterator[Record]:
        """What waits for a record that the file does not have, or in a ring, which is noted."""
        held, self._held = list(self._held.values()), {}
        self._behind.clear()
        above = {one.external_id: self._above(one) for one in held if one.external_id}
        for one in held:
            if one.external_id:
                one.ring = ring_of(one.external_id, above)
        yield from held

    def _above(self, record: Record) -> str | None:
        """What the record stands under in the end, in the tree of its kind."""
        told = [version.values[self.tree] for version in record.versions if self.tree in version.values]
        last = told[-1] if told else None
        return last.external_id if isinstance(last, Ref) and not last.by else None


def ordered(
    items: Iterable[Item], selves: Mapping[str, tuple[str, ...]], trees: Mapping[str, str] | None = None
) -> Iterator[Item]:
    """The items so that each record stands behind those of its table that `selves` (table → columns) makes it point at.

    `trees`: table → the one of these columns that makes a tree.
    """
    waiting: dict[str, _Waiting] = {}
    current = ""
    for item in items:
        if isinstance(item, Fault):
            yield item
            continue
        if item.table != current and current in waiting:
            yield from waiting[current].rest()
        current = item.table
        columns = selves.get(current)
        if columns:
            if current not in waiting:
                waiting[current] = _Waiting(columns, (trees or {}).get(current, ""))
            yield from waiting[current].add(item)
        else:
            yield item
    if current in waiting:
        yield from waiting[current].rest()


def chunks(items: Iterable[Item], skip: int = 0, skipped: Any = None) -> Generator[Chunk, None, None]:
    """Groups of one table each. The first `skip` items are told to `skipped` alone: they went in before."""
    chunk = Chunk("", [], [], skip)
    versions = weight = 0
    for number, item in enumerate(items, 1):
        if number <= skip:
            skipped(item)
            continue
        if isinstance(item, Fault):
            chunk.faults.append(item)
            chunk.position = number
            if len(chunk.faults) >= CHUNK:
                yield chunk
                chunk, versions, weight = Chunk("", [], [], number), 0, 0
            continue
        if chunk.records and (
            item.table != chunk.table
            or len(chunk.records) >= CHUNK
            or versions >= MOST_VERSIONS
            or weight >= MOST_WEIGHT
        ):
            yield chunk
            chunk, versions, weight = Chunk("", [], [], number - 1), 0, 0
        chunk.table = item.table
        chunk.records.append(item)
        chunk.position = number
        versions += len(item.versions)
        weight += _weight(item)
    if chunk.records or chunk.faults:
        yield chunk


def _weight(record: Record) -> int:
    weight = 0
    for version in record.versions:
        for value in version.values.values():
            weight += len(value) if type(value) is str else 40
    return weight
