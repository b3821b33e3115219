"""The CRM as plain dictionaries: what each record was at each of its versions, and what each change set did to which.

It knows the product's promises, not its code: what an undo brings back and what stands in its way, which values survive a
merge and who is handed over, what a move derives. An instant that only the product knows is a `Moment`: it has to lie in
the step in which it came about, and to stay what it was when first seen.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from tests.service.crm_deals import Values, expected_revenue

KEYED = ("cf", "external_ids")
TREES = {"accounts": "parent_id", "contacts": "reports_to_id"}
POINTING = {
    "accounts": [
        ("accounts", "parent_id"), ("accounts", "merged_into_id"), ("contacts", "account_id"),
        ("opportunities", "account_id"), ("leads", "converted_account_id"),
    ],
    "contacts": [
        ("contacts", "reports_to_id"), ("contacts", "merged_into_id"), ("opportunities", "primary_contact_id"),
        ("leads", "converted_contact_id"),
    ],
    "leads": [("leads", "merged_into_id")],
}  # fmt: skip
"""What points at records that can be merged."""


class Moment:
    """An instant of the product's, between two of ours."""

    def __init__(self, early: datetime) -> None:
        self.early = early
        self.late: datetime | None = None
        self.seen: datetime | None = None

    def __repr__(self) -> str:
        return f"<{self.seen or f'after {self.early}'}>"

    def matches(self, found: Any) -> bool:
        if not isinstance(found, str):
            return False
        instant = datetime.fromisoformat(found)
        if self.seen is None and self.early <= instant and (self.late is None or instant <= self.late):
            self.seen = instant
        return instant == self.seen


def same(expected: Any, found: Any) -> bool:
    """Whether an answer says what the model says."""
    if isinstance(expected, Moment):
        return expected.matches(found)
    if isinstance(expected, datetime):
        return isinstance(found, str) and datetime.fromisoformat(found) == expected
    if isinstance(expected, date):
        return bool(found == expected.isoformat())
    if isinstance(expected, Decimal):
        return found is not None and Decimal(str(found)) == expected
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and expected.keys() == found.keys()
            and all(same(value, found[name]) for name, value in expected.items())
        )
    return bool(found == expected)


def differences(expected: Values, found: Values) -> Values:
    """Field → (expected, found), where they are not the same."""
    return {
        name: (expected.get(name), found.get(name))
        for name in expected.keys() | found.keys()
        if name not in expected or name not in found or not same(expected[name], found[name])
    }


def flat(values: Values) -> Values:
    """Keys of custom fields and external ids as fields of their own."""
    told = {name: value for name, value in values.items() if name not in KEYED}
    return told | {f"{name}.{key}": value for name in KEYED for key, value in values[name].items()}


def unflat(told: Values) -> Values:
    values: Values = {name: value for name, value in told.items() if name.split(".")[0] not in KEYED}
    for name in KEYED:
        prefix = f"{name}."
        values[name] = {
            key.removeprefix(prefix): value for key, value in told.items() if key.startswith(prefix) and value is not None
        }  # fmt: skip
    return values


def is_empty(value: Any) -> bool:
    return value in (None, "", [], {})


class Change:
    """A change set: which versions of which records it wrote."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.id: str | None = None
        self.touched: dict[str, tuple[int, int]] = {}
        """Record → its first and its last version of this set, counted from 1."""
        self.undone: Change | None = None
        self.undoes: Change | None = None

    @property
    def is_undone(self) -> bool:
        return self.undone is not None and not self.undone.is_undone


class Version(NamedTuple):
    values: Values
    change: Change
    step: int
    updated_at: Moment | datetime
    known_from: Moment | datetime


class Record:
    def __init__(self, table: str, id: str, created_at: Moment | datetime) -> None:
        self.table, self.id, self.created_at = table, id, created_at
        self.versions: list[Version] = []

    def __repr__(self) -> str:
        return f"{self.table}/{self.id} v{len(self.versions)}"

    @property
    def now(self) -> Values:
        return self.versions[-1].values

    @property
    def version(self) -> int:
        return len(self.versions)

    @property
    def is_live(self) -> bool:
        return self.now["deleted_at"] is None


class Conflict(NamedTuple):
    """What stands in the way of an undo."""

    table: str
    id: str
    field: str
    made: Any
    now: Any


class Crm:
    """Records by id, and the instants between the steps."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.changes: list[Change] = []
        self.instants: list[datetime] = []
        """When each step had ended."""
        self.began = datetime.now(UTC)
        self._open: list[Moment] = []

    # --- steps ------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self.began = datetime.now(UTC)

    def end(self) -> None:
        """What came about in this step came about before now."""
        ended = datetime.now(UTC)
        for moment in self._open:
            moment.late = ended
        self._open.clear()
        self.instants.append(ended)

    def moment(self) -> Moment:
        made = Moment(self.began)
        self._open.append(made)
        return made

    def change(self, kind: str) -> Change:
        self.changes.append(Change(kind))
        return self.changes[-1]

    def create(
        self, change: Change, table: str, id: str, values: Values, asserted: datetime | None = None
    ) -> Record:
        record = self.records[id] = Record(table, id, asserted or self.moment())
        self._write(change, record, values, asserted)
        return record

    def write(self, change: Change, record: Record, values: Values) -> bool:
        """One more version where something differs."""
        if all(record.now[name] == value for name, value in values.items()):
            return False
        self._write(change, record, record.now | values)
        return True

    def _write(
        self, change: Change, record: Record, values: Values, asserted: datetime | None = None
    ) -> None:
        at = asserted or self.moment()
        record.versions.append(Version(values, change, len(self.instants), at, asserted or self.moment()))
        first, _ = change.touched.get(record.id, (record.version, 0))
        change.touched[record.id] = (first, record.version)

    # --- questions --------------------------------------------------------------------------------------------------

    def of(self, *tables: str, live: bool | None = True) -> list[Record]:
        return [
            record
            for record in self.records.values()
            if record.table in tables and (live is None or record.is_live is live)
        ]

    def then(self, record: Record, at: datetime, step: int) -> int:
        """Which version of a record was known at an instant behind a step; 0 for none."""
        known = [
            number
            for number, version in enumerate(record.versions, 1)
            if (
                version.known_from <= at if isinstance(version.known_from, datetime) else version.step <= step
            )
        ]
        return known[-1] if known else 0

    def item(self, record: Record, number: int, by: str) -> Values:
        """A version as the product shows it."""
        version = record.versions[number - 1]
        own = {
            "id": record.id, "version": number, "created_at": record.created_at, "updated_at": version.updated_at,
            "created_by_id": by, "updated_by_id": by,
        }  # fmt: skip
        return version.values | own | self._derived(record, number)

    def _derived(self, record: Record, number: int) -> Values:
        if record.table == "leads":
            return {"is_response_overdue": False}
        if record.table != "opportunities":
            return {}
        days = [version.values["close_date"] for version in record.versions[:number]]
        pushes = sum(1 for old, new in pairwise(days) if old and new and new > old)
        return {
            "expected_revenue": expected_revenue(record.versions[number - 1].values),
            "last_activity_at": None, "is_rotting": False, "push_count": pushes,
        }  # fmt: skip

    def closes_ring(self, table: str, start: str, parents: dict[str, str | None] | None = None) -> bool:
        """Whether following the tree upwards leads back; `parents` are those that would be."""
        column, seen, at = TREES[table], set(), start
        while at is not None:
            if at in seen:
                return True
            seen.add(at)
            at = parents[at] if parents and at in parents else self.records[at].now[column]
        return False

    # --- undo -------------------------------------------------------------------------------------------------------

    def _parts(self, change: Change) -> Iterator[tuple[Record, Values | None, Values]]:
        """Each record of a change set with its values before and behind it."""
        for id, (first, last) in change.touched.items():
            record = self.records[id]
            before = record.versions[first - 2].values if first > 1 else None
            yield record, before, record.versions[last - 1].values

    def conflicts(self, change: Change) -> list[Conflict]:
        """Fields that the set changed and somebody changed since, and rings that would be closed."""
        found: list[Conflict] = []
        for record, before, made in self._parts(change):
            if before is None and not record.is_live:
                continue
            was, then, now = flat(before or {"cf": {}, "external_ids": {}}), flat(made), flat(record.now)
            for name in was.keys() | then.keys() | now.keys():
                mine = before is None or was.get(name) != then.get(name)
                if mine and now.get(name) != then.get(name):
                    found.append(Conflict(record.table, record.id, name, then.get(name), now.get(name)))
        return found or self._rings(change)

    def _rings(self, change: Change) -> list[Conflict]:
        found = []
        for table, column in TREES.items():
            parents = {
                record.id: before[column]
                for record, before, made in self._parts(change)
                if record.table == table and before and before[column] != made[column]
            }
            for id in parents:
                if self.leads_back(table, id, parents):
                    now = self.records[id].now[column]
                    found.append(Conflict(table, id, column, now, now))
        return found

    def leads_back(self, table: str, start: str, parents: dict[str, str | None]) -> bool:
        """Whether a record would stand above itself, with these `parents`."""
        column, seen = TREES[table], set()
        at = parents[start]
        while at is not None and at not in seen:
            if at == start:
                return True
            seen.add(at)
            at = parents[at] if at in parents else self.records[at].now[column]
        return False

    def undo(self, change: Change) -> Change:
        """What the set created is deleted; what it changed has the former values of just those fields."""
        undone = self.change("undo")
        undone.undoes, change.undone = change, undone
        deleted_at = self.moment()
        for record, before, made in list(self._parts(change)):
            if before is None:
                if record.is_live:
                    self._write(undone, record, record.now | {"deleted_at": deleted_at})
                continue
            was, then, now = flat(before), flat(made), flat(record.now)
            back = {
                name: was.get(name) if was.get(name) != then.get(name) else now.get(name)
                for name in was.keys() | then.keys() | now.keys()
            }
            self._write(undone, record, unflat(back))
        return undone

    # --- merge ------------------------------------------------------------------------------------------------------

    def survivors(self, winner: Record, losers: list[Record], names: list[str]) -> Values:
        """Each field's value after a merge: the winner's; where that is empty the newest that is not."""
        newest = sorted(losers, key=_updated, reverse=True)
        ids = {record.id for record in (winner, *losers)}
        kept: Values = {}
        for name in names:
            values = [record.now[name] for record in (winner, *newest)]
            if name in KEYED:
                kept[name] = {
                    key: one for each in reversed(values) for key, one in each.items() if not is_empty(one)
                }
            elif any(isinstance(value, bool) for value in values):
                kept[name] = any(values)
            else:
                kept[name] = next((value for value in values if not is_empty(value)), values[0])
        tree = TREES.get(winner.table)
        if tree and kept[tree] in ids:
            kept[tree] = None
        return kept

    def merge_closes_ring(self, winner: Record, losers: list[Record], kept: Values) -> bool:
        if winner.table not in TREES:
            return False
        column, gone = TREES[winner.table], {record.id for record in losers}
        parents = {
            record.id: winner.id
            for record in self.of(winner.table, live=None)
            if record.now[column] in gone and record.id not in gone
        }
        return self.closes_ring(winner.table, winner.id, parents | {winner.id: kept[column]})

    def merge(self, winner: Record, losers: list[Record], kept: Values) -> Change:
        """The losers are deleted, and whatever pointed at them points at the winner."""
        change = self.change("merge")
        self.write(change, winner, kept)
        gone, deleted_at = {record.id for record in losers}, self.moment()
        for loser in losers:
            self.write(change, loser, {"deleted_at": deleted_at, "merged_into_id": winner.id})
        for table, column in POINTING[winner.table]:
            for record in self.of(table, live=None):
                if record.now[column] in gone and record.id not in gone | {winner.id}:
                    self.write(change, record, {column: winner.id})
        return change


def _updated(record: Record) -> datetime:
    at = record.versions[-1].updated_at
    found = at.seen if isinstance(at, Moment) else at
    assert found is not None, f"{record} has to be looked at first"
    return found
