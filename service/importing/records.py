"""What passes between those who read files and those who judge and store: records, their versions, and faults."""

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

MOST_REPORTED = 1_000
"""Faults that the report itself shows; the job's file has all."""

Values = dict[str, Any]


class Ref(msgspec.Struct, frozen=True):
    """Points at a record of the same source by its external id, or at any by the field `by` (`id`: our own)."""

    table: str
    external_id: str
    by: str = ""


POINTING = frozenset({Ref, list})
"""The types of values that may point at other records."""


class Kept(msgspec.Struct):
    """The row of a file behind a record or a version: its own id, and the cells that the product would write differently."""

    file: str
    external_id: str
    cells: dict[str, Any]
    line: int = 0


class Version(msgspec.Struct):
    """What the record looked like from `at` on; after the first version only what changed.

    `cleared`: fields that it empties, of an address `billing_address.city`, of the custom ones `cf.region`.
    `file` and `line` where the version has a row of its own, which holds the columns `told`.
    """

    values: Values
    at: datetime | None = None
    file: str = ""
    line: int = 0
    told: frozenset[str] = frozenset()
    kept: Kept | None = None
    cleared: frozenset[str] = frozenset()


class Record(msgspec.Struct):
    """One business record as a file knows it. `line` counts from 1, the header included.

    `continues`: says more about a record that stood before it, such as a team's manager, who is a member of the team.
    `initial`: what a new record begins with, and one that is here already keeps its own of, such as a person's role.
    `ring`: the ids of the records of its file with which it stands in a ring, from its own on.
    """

    table: str
    external_id: str | None
    versions: list[Version]
    file: str = ""
    line: int = 0
    continues: bool = False
    initial: Values = {}
    kept: list[Kept] = []
    ring: list[str] = []


class Fault(msgspec.Struct):
    """One thing wrong with a file. `is_note` marks what was mended on the way in and costs nothing."""

    file: str
    line: int
    column: str
    value: str
    detail: str
    is_note: bool = False


class Context(msgspec.Struct, frozen=True):
    """What a mapping may know of the company: the instant of the import, its zone, its currency and rates."""

    now: datetime
    zone: str = "UTC"
    home: str = "USD"
    rate: Callable[[str, date], Decimal | None] = lambda currency, day: Decimal(1)

    def at_home(self, amount: Decimal | None, currency: str | None, day: date) -> Decimal | None:
        """An amount in the company's currency, as it is stored."""
        factor = self.rate(currency or self.home, day)
        if amount is None or factor is None or abs(amount) >= 10**14:
            return None
        return (amount * factor).quantize(Decimal("0.0001"))


Item = Record | Fault
Reader = Callable[[], Iterable[Item]]
"""Reads the files from their beginning: records in an order in which references point backwards."""


class Report(msgspec.Struct, kw_only=True):
    """What an import did, or with `dry_run` would do. `counts` by resource, then created, updated, unchanged, failed."""

    change_id: UUID | None = None
    dry_run: bool = False
    counts: dict[str, dict[str, int]] = {}
    errors: list[Fault] = []
    notes: dict[tuple[str, str, str, str], int] = {}
    """File, column, value and remedy of what was mended → in how many rows."""
    failed: int = 0
    fresh: list[Fault] = []
    """Faults that nobody has written down yet."""

    def count(self, table: str, what: str, number: int = 1) -> None:
        if number:
            row = self.counts.setdefault(table, {"created": 0, "updated": 0, "unchanged": 0, "failed": 0})
            row[what] += number

    def take(self, fault: Fault) -> None:
        if fault.is_note:
            key = (fault.file, fault.column, fault.value, fault.detail)
            if key in self.notes or len(self.notes) < MOST_REPORTED:
                self.notes[key] = self.notes.get(key, 0) + 1
            return
        self.failed += 1
        self.fresh.append(fault)
        if len(self.errors) < MOST_REPORTED:
            self.errors.append(fault)

    def fault(self, where: Record | Version, column: str, value: Any, detail: str) -> None:
        self.take(Fault(where.file, where.line, column, str(value)[:200], detail))

    def drain(self) -> list[Fault]:
        """The faults since the last call."""
        found, self.fresh = self.fresh, []
        return found


def refs_of(version: Version) -> Iterator[tuple[str, Ref]]:
    """Every reference of a version with its column; lists of references one by one."""
    for column, value in version.values.items():
        kind = type(value)
        if kind is Ref:
            yield column, value
        elif kind is list:
            for part in value:
                for inner in part.values() if isinstance(part, dict) else (part,):
                    if isinstance(inner, Ref):
                        yield column, inner
