"""Files of another system enter here: judged by the product's own shapes and rules, and into history *as known then*.

A mapping (`service/integrations/`) reads files into `Record`s: one a business record, with its versions in order, each
with the instant at which it was known (None: at the import). The importer judges every record, reports what is wrong by
file, line, column and value, stores new records set-based in rounds (all first versions, then all second ones, …) in
chunks of their own transactions, and compares records that it knows already: a rerun of the same file changes nothing.
All of it is one change set, so `changes.undo` takes it back.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from service import crud, ledger, query
from service.access import Actor
from service.crud import Resource
from service.db import Database, Tx, metadata
from service.errors import Conflict, Invalid
from service.history import assert_known
from service.ids import new_id
from service.query import sql_type

CHUNK = 5_000
MOST_REPORTED = 1_000

NATURAL: dict[str, tuple[str, ...]] = {
    "users": ("email",),
    "products": ("code",),
    "pipelines": ("key",),
    "stages": ("pipeline_id", "key"),
    "periods": ("key",),
}
"""Table → the columns by which a record that another door made is the same as one in the file."""

Values = dict[str, Any]
Progress = Callable[[str, int, int], Awaitable[None]]
"""Called with what is under way, how many are done, how many there are."""


class Ref(msgspec.Struct, frozen=True):
    """Points at a record of the same source by its external id."""

    table: str
    external_id: str


class Version(msgspec.Struct):
    """What the record looked like from `at` on; after the first version only what changed."""

    values: Values
    at: datetime | None = None


class Record(msgspec.Struct):
    """One business record as a file knows it. `line` counts from 1, the header included."""

    table: str
    external_id: str
    versions: list[Version]
    file: str = ""
    line: int = 0


class Fault(msgspec.Struct):
    """One thing wrong with a file. `is_note` marks what was mended on the way in and costs nothing."""

    file: str
    line: int
    column: str
    value: str
    detail: str
    is_note: bool = False


class Report(msgspec.Struct, kw_only=True):
    """What an import did, or with `dry_run` would do. `counts` by resource, then created, updated, unchanged, failed."""

    change_id: UUID | None = None
    dry_run: bool = False
    counts: dict[str, dict[str, int]] = {}
    errors: list[Fault] = []
    notes: list[Fault] = []
    failed: int = 0

    def count(self, table: str, what: str, number: int) -> None:
        if number:
            row = self.counts.setdefault(table, {"created": 0, "updated": 0, "unchanged": 0, "failed": 0})
            row[what] += number

    def fault(self, record: Record, column: str, value: Any, detail: str) -> None:
        self.failed += 1
        if len(self.errors) < MOST_REPORTED:
            self.errors.append(Fault(record.file, record.line, column, str(value)[:200], detail))


class Importer:
    """Stores `records` of `source`; `resources` (table → Resource) say which shape and rule judge each table."""

    def __init__(
        self, database: Database, actor: Actor, source: str, resources: dict[str, Resource], *,
        now: datetime | None = None, change_id: UUID | None = None, progress: Progress | None = None,
    ) -> None:
        self.database, self.actor, self.source, self.resources = database, actor, source, resources
        self.now = now or datetime.now(UTC)
        self.report = Report(change_id=change_id or new_id())
        self._progress = progress
        self._ids: dict[Ref, UUID] = {}
        self._known: set[Ref] = set()

    async def run(
        self, records: list[Record], faults: Iterable[Fault] = (), *, dry_run: bool = False, strict: bool = False
    ) -> Report:
        """Judges all, then stores what is right; with `strict` nothing when anything is wrong."""
        self._take(faults)
        await self._recall({record.table for record in records} | set(self.resources))
        for table in NATURAL:
            await self._recognize(table, [record for record in records if record.table == table])
        good = self._judge(records)
        self.report.dry_run = dry_run
        if dry_run or (strict and self.report.errors):
            self._count_only(good)
            return self.report
        fresh = [record for record in good if self._ref(record) not in self._known]
        known = [record for record in good if self._ref(record) in self._known]
        await self._insert(fresh)
        await self._replay(fresh)
        for record in known:
            await self._compare(record)
        return self.report

    def _take(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            (self.report.notes if fault.is_note else self.report.errors).append(fault)
            self.report.failed += not fault.is_note

    def _count_only(self, good: list[Record]) -> None:
        for record in good:
            self.report.count(record.table, "unchanged" if self._ref(record) in self._known else "created", 1)
        if not self.report.dry_run:
            self.report.counts = {}
            self.report.change_id = None

    # --- who is who ---------------------------------------------------------------------------------------------

    @staticmethod
    def _ref(record: Record) -> Ref:
        return Ref(record.table, record.external_id)

    async def _recall(self, tables: set[str]) -> None:
        """The ids of the records of this source that are here already."""
        for table in sorted(tables):
            rows = await self.database.fetch(
                f"SELECT id, external_ids ->> $1 AS external FROM {table}"
                f" WHERE external_ids ? $1 AND deleted_at IS NULL /* access:{table} */",
                self.source,
            )
            for row in rows:
                ref = Ref(table, row["external"])
                self._ids[ref] = row["id"]
                self._known.add(ref)

    async def _recognize(self, table: str, records: list[Record]) -> None:
        """Records that are here under their natural key, such as the default pipeline, are the file's records."""
        columns = NATURAL[table]
        strangers = [record for record in records if self._ref(record) not in self._known]
        if not strangers:
            return
        rows = await self.database.fetch(
            f"SELECT id, {', '.join(columns)} FROM {table} WHERE deleted_at IS NULL /* access:{table} */"
        )
        here = {tuple(str(row[name]).lower() for name in columns): row["id"] for row in rows}
        for record in strangers:
            values = record.versions[0].values
            key = tuple(str(self._lookup(values.get(name))).lower() for name in columns)
            if key in here:
                self._ids[self._ref(record)] = here[key]
                self._known.add(self._ref(record))

    def _lookup(self, value: Any) -> Any:
        return self._ids.get(value) if isinstance(value, Ref) else value

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self._ids[value]
        return [self._resolve(item) for item in value] if isinstance(value, list) else value

    # --- judging ------------------------------------------------------------------------------------------------

    def _judge(self, records: list[Record]) -> list[Record]:
        """The records without fault, in order; a record that points at a faulty one is faulty too."""
        for record in records:
            self._ids.setdefault(self._ref(record), new_id())
        good: list[Record] = []
        bad: set[Ref] = set()
        seen: set[Ref] = set()
        for record in records:
            ref = self._ref(record)
            if ref in seen:
                self.report.fault(record, "id", record.external_id, "stands in the file twice")
                self.report.count(record.table, "failed", 1)
                continue
            seen.add(ref)
            if self._is_good(record, bad):
                good.append(record)
            else:
                bad.add(self._ref(record))
                self.report.count(record.table, "failed", 1)
        return good

    def _is_good(self, record: Record, bad: set[Ref]) -> bool:
        for version in record.versions:
            for column, value in version.values.items():
                for ref in value if isinstance(value, list) else [value]:
                    if isinstance(ref, Ref) and (ref in bad or ref not in self._ids):
                        self.report.fault(record, column, ref.external_id, f"there is no such record in {ref.table}")
                        return False
        try:
            self._check(record)
        except Invalid as error:
            first = error.errors[0] if error.errors else {"pointer": "", "detail": error.detail}
            column = first["pointer"].strip("/").split("/")[0]
            value = next((v.values[column] for v in reversed(record.versions) if column in v.values), "")
            self.report.fault(record, column, value, first["detail"])
            return False
        except Conflict as error:
            self.report.fault(record, "", "", error.detail)
            return False
        return True

    def _check(self, record: Record) -> None:
        """Types each version's values by the shape, and judges the states by the rule."""
        resource, state, before = self.resources[record.table], {}, datetime.min.replace(tzinfo=UTC)
        for version in record.versions:
            at = version.at or self.now
            if at < before or at > self.now:
                raise Invalid.at("/at", "is before the version before it" if at < before else "lies in the future")
            before = at
            version.values = self._typed(resource, {name: self._resolve(v) for name, v in version.values.items()}, state)
            state |= version.values
        if resource.check:  # beside itself: a state is judged here, not the way by which it came about
            whole = {"id": self._ids[self._ref(record)]} | dict.fromkeys(resource.table.c.keys()) | state
            resource.check(whole, whole)

    def _typed(self, resource: Resource, values: Values, state: Values) -> Values:
        """`values` as the Draft types them; columns that no Draft has (set by rules) pass as they are."""
        shape = resource.draft
        fields = set(shape.__struct_fields__)
        asked = {name: value for name, value in (state | values).items() if name in fields and value is not None}
        try:
            typed = crud.plain(msgspec.convert(asked, shape, strict=False, str_keys=True, builtin_types=(UUID, datetime, Decimal)))
        except msgspec.ValidationError as error:
            raise _pointed(error) from None
        columns = resource.table.c
        return {name: typed.get(name) if name in fields else _as(columns[name], value) for name, value in values.items()}

    # --- storing ------------------------------------------------------------------------------------------------

    async def _insert(self, fresh: list[Record]) -> None:
        for table, records in _by_table(fresh):
            for start in range(0, len(records), CHUNK):
                chunk = records[start : start + CHUNK]
                async with self._chunk(table, len(chunk)) as tx:
                    await self._copy(tx, table, chunk)
                self.report.count(table, "created", len(chunk))
                await self._tell(table, start + len(chunk), len(records))

    def _chunk(self, table: str, size: int) -> "_Chunk":
        return _Chunk(self, table, size)

    async def _copy(self, tx: Tx, table: str, records: list[Record]) -> None:
        names = sorted({name for record in records for name in record.versions[0].values})
        defaults = _defaults(metadata.tables[table], names)
        columns = ["id", "created_at", "updated_at", "updated_by_id", "external_ids", *names]
        if "created_by_id" not in names:
            columns.append("created_by_id")
        rows = []
        for record in records:
            first = record.versions[0]
            at = first.at or self.now
            values = [_or(first.values.get(name), defaults.get(name)) for name in names]
            row = (self._ids[self._ref(record)], at, at, self.actor.id, {self.source: record.external_id}, *values)
            rows.append(row if "created_by_id" in names else (*row, self.actor.id))
        await tx.copy_records(table, columns, rows)

    async def _replay(self, fresh: list[Record]) -> None:
        """Second versions of all records, then third ones, …: each round one statement a chunk."""
        for table, records in _by_table(fresh):
            longest = max(len(record.versions) for record in records)
            for number in range(1, longest):
                having = [record for record in records if len(record.versions) > number]
                names = sorted({name for record in having for name in record.versions[number].values})
                for start in range(0, len(having), CHUNK):
                    chunk = having[start : start + CHUNK]
                    async with self._chunk(table, len(chunk)) as tx:
                        await self._update(tx, table, names, chunk, number)
                await self._tell(f"{table}, version {number + 1}", len(having), len(having))

    async def _update(self, tx: Tx, table: str, names: list[str], records: list[Record], number: int) -> None:
        kinds = [sql_type(metadata.tables[table].c[name]) for name in names]
        rows = []
        for record in records:
            version = record.versions[number]
            state = _state(record, number)
            rows.append((self._ids[self._ref(record)], version.at or self.now, *[state.get(name) for name in names]))
        columns = ", ".join(f'"{name}" {kind}' for name, kind in zip(names, kinds, strict=True))
        await tx.execute(f"CREATE TEMP TABLE incoming (id uuid, at timestamptz, {columns}) ON COMMIT DROP")
        await tx.copy_records("incoming", ["id", "at", *names], rows, schema="pg_temp")
        sets = ", ".join(f'"{name}" = {_kept(table, name)}' for name in names)
        await tx.execute(
            f"UPDATE {table} t SET {sets}, updated_at = i.at, version = t.version + 1 FROM incoming i WHERE t.id = i.id"
            f" /* access:{table} */"
        )

    async def _compare(self, record: Record) -> None:
        """A record that is here already: what differs from the file's last state is written as of now."""
        table, resource = record.table, self.resources[record.table]
        row = await self.database.fetchrow(
            f"SELECT * FROM {table} WHERE id = $1 /* access:{table} */", self._ids[self._ref(record)]
        )
        state = _state(record, len(record.versions) - 1)
        state["external_ids"] = row["external_ids"] | {self.source: record.external_id}
        different = {
            name: value
            for name, value in state.items()
            if value is not None and value != self.now and row[name] != value  # what an import stamps is no difference
        }
        if not different:
            self.report.count(table, "unchanged", 1)
            return
        async with self.database.begin(self.report.change_id) as tx:
            await crud.update(tx, resource, self.actor, dict(row), different)
        self.report.count(table, "updated", 1)

    async def _tell(self, what: str, done: int, total: int) -> None:
        if self._progress:
            await self._progress(what, done, total)


class _Chunk:
    """A transaction of the import's change set, its event recorded and the past asserted."""

    def __init__(self, importer: Importer, table: str, size: int) -> None:
        self.importer, self.table, self.size = importer, table, size

    async def __aenter__(self) -> Tx:
        importer = self.importer
        self.context = importer.database.begin(importer.report.change_id)
        tx = await self.context.__aenter__()
        name = importer.resources[self.table].name
        data = {"source": importer.source, "records": self.size}
        await ledger.record(tx, importer.actor, f"{name}.imported", name, data=data)
        await assert_known(tx)
        return tx

    async def __aexit__(self, *error: Any) -> None:
        await self.context.__aexit__(*error)


_PYTHON: dict[str, Any] = {
    "integer": int, "boolean": bool, "date": date, "instant": datetime, "uuid": UUID, "text": str,
}


def _as(column: sa.Column[Any], value: Any) -> Any:
    """A value of a column that no Draft has, typed by the column."""
    kind = query.kind_of(column)
    python = _PYTHON.get(kind) or (float if isinstance(column.type, sa.Float) else Decimal if kind == "number" else None)
    if value is None or python is None or isinstance(value, python):
        return value
    try:
        return msgspec.convert(value, python, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid.at(f"/{column.name}", str(error)) from None


def _by_table(records: list[Record]) -> Iterable[tuple[str, list[Record]]]:
    """Groups in the order of the mapping, in which references point backwards."""
    order: dict[str, list[Record]] = defaultdict(list)
    for table, group in groupby(records, key=lambda record: record.table):
        order[table].extend(group)
    return order.items()


def _state(record: Record, number: int) -> Values:
    """All values up to and with version `number`."""
    state: Values = {}
    for version in record.versions[: number + 1]:
        state |= version.values
    return state


def _defaults(table: sa.Table, names: list[str]) -> Values:
    """What COPY writes for an empty value of a column that may not be empty."""
    found: Values = {}
    for name in names:
        column = table.c[name]
        if not column.nullable:
            kind = sql_type(column)
            found[name] = [] if kind.endswith("[]") or "'[]'" in str(getattr(column.server_default, "arg", "")) else None
            if kind == "boolean":
                found[name] = "TRUE" in str(getattr(column.server_default, "arg", ""))
            elif kind == "text" and column.server_default is not None:
                found[name] = str(getattr(column.server_default, "arg", ""))
    return found


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _kept(table: str, name: str) -> str:
    """An empty value does not empty a column that may not be empty."""
    nullable = metadata.tables[table].c[name].nullable
    return f'i."{name}"' if nullable else f'coalesce(i."{name}", t."{name}")'


def _pointed(error: msgspec.ValidationError) -> Invalid:
    detail, _, path = str(error).partition(" - at `")
    column = path.rstrip("`").removeprefix("$").strip(".").split(".")[0].split("[")[0]
    missing = detail.partition("missing required field `")[2].rstrip("`")
    return Invalid.at(f"/{column or missing}", detail)
