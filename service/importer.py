"""Files of another system enter here: judged by the product's own shapes and rules, and into history *as known then*.

A mapping (`service/integrations/`) reads files into `Record`s: one a business record, with its versions in order, each
with the instant at which it was known (None: at the import). The importer judges every record, reports what is wrong by
file, line, column and value, stores new records set-based in rounds (all first versions, then all second ones, …) in
chunks of their own transactions, and compares records that it knows already: a rerun of the same file changes nothing.
All of it is one change set, so `changes.undo` takes it back.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import sqlalchemy as sa

from service import changes, crud, ledger, query
from service.access import Actor
from service.crud import Resource
from service.db import Database, Tx, metadata
from service.errors import Conflict, Invalid
from service.history import assert_known
from service.ids import new_id
from service.query import sql_type

CHUNK = 5_000
MOST_REPORTED = 1_000
REFUSALS = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DataError,
    asyncpg.InterfaceError,
    OverflowError,
)
"""What a row can be refused with that the shapes let pass."""

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
    """What the record looked like from `at` on; after the first version only what changed.

    `file` and `line` where the version has a row of its own, which holds the columns `told`.
    """

    values: Values
    at: datetime | None = None
    file: str = ""
    line: int = 0
    told: frozenset[str] = frozenset()


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

    def fault(self, where: Record | Version, column: str, value: Any, detail: str) -> None:
        self.failed += 1
        if len(self.errors) < MOST_REPORTED:
            self.errors.append(Fault(where.file, where.line, column, str(value)[:200], detail))


class Importer:
    """Stores `records` of `source`; `resources` (table → Resource) say which shape and rule judge each table."""

    def __init__(
        self,
        database: Database,
        actor: Actor,
        source: str,
        resources: dict[str, Resource],
        *,
        now: datetime | None = None,
        change_id: UUID | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.database, self.actor, self.source, self.resources = database, actor, source, resources
        self.now = now or datetime.now(UTC)
        self.report = Report(change_id=change_id or new_id())
        self._progress = progress
        self._ids: dict[Ref, UUID] = {}
        self._known: set[Ref] = set()
        self._refused: set[Ref] = set()
        """What the database itself would not take."""

    async def run(
        self,
        records: list[Record],
        faults: Iterable[Fault] = (),
        *,
        dry_run: bool = False,
        strict: bool = False,
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
        await self._replay([record for record in fresh if self._ref(record) not in self._refused])
        for table, group in _by_table(known):
            await self._compare(table, group)
        if strict and self.report.errors and self.report.change_id:  # found by the database alone
            await changes.undo(self.database, self.actor, self.report.change_id)
            self.report.counts, self.report.change_id = {}, None
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
        self._inherit_accounts(records)
        good: list[Record] = []
        bad: set[Ref] = set()
        seen: set[Any] = set()
        for record in records:
            twice = next((key for key in self._keys(record) if key in seen), None)
            if twice is not None:
                column, value = (
                    ("id", record.external_id) if isinstance(twice, Ref) else (twice[1], twice[-1])
                )
                self.report.fault(record, column, value, "stands in the file twice")
                self.report.count(record.table, "failed", 1)
                if not isinstance(twice, Ref):
                    bad.add(self._ref(record))
                continue
            seen.update(self._keys(record))
            if self._is_good(record, bad):
                good.append(record)
            else:
                bad.add(self._ref(record))
                self.report.count(record.table, "failed", 1)
        return good

    def _keys(self, record: Record) -> Iterator[Any]:
        """What a record alone may have in a file: its id, and its natural key such as a user's address."""
        yield self._ref(record)
        columns = NATURAL.get(record.table, ())
        values = record.versions[0].values
        if columns and all(values.get(name) for name in columns):
            yield (record.table, columns[-1], *(str(values[name]).lower() for name in columns))

    @staticmethod
    def _inherit_accounts(records: list[Record]) -> None:
        """An activity on a deal is one with the deal's account, as far as that was known when the deal was created."""
        account = {
            Ref("opportunities", record.external_id): record.versions[0].values.get("account_id")
            for record in records
            if record.table == "opportunities" and record.versions
        }
        for record in records:
            values = record.versions[0].values if record.table == "activities" else {}
            if values.get("account_id") is None and (found := account.get(values.get("opportunity_id"))):  # type: ignore[arg-type]
                values["account_id"] = found

    def _is_good(self, record: Record, bad: set[Ref]) -> bool:
        for version in record.versions:
            for column, value in version.values.items():
                for ref in value if isinstance(value, list) else [value]:
                    if isinstance(ref, Ref) and (ref in bad or ref not in self._ids):
                        self.report.fault(
                            record, column, ref.external_id, f"there is no such record in {ref.table}"
                        )
                        return False
        return self._check(record)

    def _check(self, record: Record) -> bool:
        """Types each version's values by the shape, and judges each state by the rule."""
        before, state = datetime.min.replace(tzinfo=UTC), Values()
        for version in record.versions:
            sent = version.values
            try:
                before = self._in_order(version, before)
                version.values = self._judged(record, sent, state)
            except Invalid as error:
                first = error.errors[0] if error.errors else {"pointer": "", "detail": error.detail}
                column = first["pointer"].strip("/").split("/")[0]
                value = version.at if column == "at" else sent.get(column, state.get(column, ""))
                own = version.file and (column in version.told or column == "at")
                self.report.fault(version if own else record, column, value, first["detail"])
                return False
            except Conflict as error:
                self.report.fault(version if version.file else record, "", "", error.detail)
                return False
            state |= version.values
        return True

    def _in_order(self, version: Version, before: datetime) -> datetime:
        at = version.at or self.now
        if at < before or at > self.now:
            raise Invalid.at(
                "/at", "is before the version before it" if at < before else "lies in the future"
            )
        return at

    def _judged(self, record: Record, sent: Values, state: Values) -> Values:
        """The typed values; the whole state beside itself: it is judged as it is, not the way by which it came about."""
        resource = self.resources[record.table]
        values = self._typed(resource, {name: self._resolve(value) for name, value in sent.items()}, state)
        if resource.check:
            empty = dict.fromkeys(resource.table.c.keys())
            whole = {"id": self._ids[self._ref(record)]} | empty | state | values
            resource.check(whole, whole)
        return values

    def _typed(self, resource: Resource, values: Values, state: Values) -> Values:
        """`values` as the Draft types them; columns that no Draft has (set by rules) pass as they are."""
        shape = resource.draft
        fields = set(shape.__struct_fields__)
        asked = {
            name: value for name, value in (state | values).items() if name in fields and value is not None
        }
        try:
            typed = crud.plain(
                msgspec.convert(
                    asked, shape, strict=False, str_keys=True, builtin_types=(UUID, datetime, Decimal)
                )
            )
        except msgspec.ValidationError as error:
            raise _pointed(error) from None
        columns = resource.table.c
        for name in values:
            if name not in fields and name not in columns:
                raise Invalid.at(f"/{name}", f"is no field of {resource.key}")
        return {
            name: typed.get(name) if name in fields else _as(columns[name], value)
            for name, value in values.items()
        }

    # --- storing ------------------------------------------------------------------------------------------------

    async def _insert(self, fresh: list[Record]) -> None:
        for table, records in _by_table(fresh):
            for start in range(0, len(records), CHUNK):
                chunk = records[start : start + CHUNK]
                self.report.count(table, "created", await self._store(table, chunk))
                await self._tell(table, start + len(chunk), len(records))

    async def _store(self, table: str, records: list[Record]) -> int:
        """Stores a chunk and returns how many went in; where the database refuses it, halves of it, down to the row."""
        try:
            async with self._chunk(table, len(records)) as tx:
                await self._copy(tx, table, records)
        except REFUSALS as error:
            if len(records) > 1:
                middle = len(records) // 2
                return await self._store(table, records[:middle]) + await self._store(table, records[middle:])
            self.report.fault(records[0], getattr(error, "column_name", None) or "", "", str(error))
            self.report.count(table, "failed", 1)
            self._refused.add(self._ref(records[0]))
            return 0
        return len(records)

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
            row = (
                self._ids[self._ref(record)],
                at,
                at,
                self.actor.id,
                {self.source: record.external_id},
                *values,
            )
            rows.append(row if "created_by_id" in names else (*row, self.actor.id))
        await tx.copy_records(table, columns, rows)

    async def _replay(self, fresh: list[Record]) -> None:
        """Second versions of all records, then third ones, …: each round one statement a chunk."""
        for table, records in _by_table(fresh):
            longest = max(len(record.versions) for record in records)
            total, done = sum(len(record.versions) - 1 for record in records), 0
            for number in range(1, longest):
                having = [record for record in records if len(record.versions) > number]
                names = sorted({name for record in having for name in record.versions[number].values})
                for start in range(0, len(having), CHUNK):
                    chunk = having[start : start + CHUNK]
                    async with self._chunk(table, len(chunk)) as tx:
                        await self._update(tx, table, names, chunk, number)
                done += len(having)
                if number == 1 or done == total:
                    await self._tell(f"{table}, later versions", done, total)

    async def _update(self, tx: Tx, table: str, names: list[str], records: list[Record], number: int) -> None:
        kinds = [sql_type(metadata.tables[table].c[name]) for name in names]
        rows = []
        for record in records:
            version = record.versions[number]
            state = _state(record, number)
            rows.append(
                (self._ids[self._ref(record)], version.at or self.now, *[state.get(name) for name in names])
            )
        columns = ", ".join(f'"{name}" {kind}' for name, kind in zip(names, kinds, strict=True))
        await tx.execute(f"CREATE TEMP TABLE incoming (id uuid, at timestamptz, {columns}) ON COMMIT DROP")
        await tx.copy_records("incoming", ["id", "at", *names], rows, schema="pg_temp")
        sets = ", ".join(f'"{name}" = {_kept(table, name)}' for name in names)
        await tx.execute(
            f"UPDATE {table} t SET {sets}, updated_at = i.at, version = t.version + 1 FROM incoming i WHERE t.id = i.id"
            f" /* access:{table} */"
        )

    async def _compare(self, table: str, records: list[Record]) -> None:
        """Records that are here already: what differs from the file's last state is written as of now."""
        for start in range(0, len(records), CHUNK):
            chunk = records[start : start + CHUNK]
            rows = await self.database.fetch(
                f"SELECT * FROM {table} WHERE id = ANY($1::uuid[]) /* access:{table} */",
                [self._ids[self._ref(record)] for record in chunk],
            )
            here = {row["id"]: dict(row) for row in rows}
            for record in chunk:
                row = here[self._ids[self._ref(record)]]
                different = self._different(record, row)
                self.report.count(table, "updated" if different else "unchanged", 1)
                if different:
                    async with self.database.begin(self.report.change_id) as tx:
                        await crud.update(tx, self.resources[table], self.actor, row, different)
            await self._tell(f"{table}, known", start + len(chunk), len(records))

    def _different(self, record: Record, row: Values) -> Values:
        """What the import's own instant stamps is no difference, nor is what the file leaves empty."""
        state = _state(record, len(record.versions) - 1)
        state["external_ids"] = row["external_ids"] | {self.source: record.external_id}
        return {
            name: value
            for name, value in state.items()
            if value is not None and value != self.now and row[name] != value
        }

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
    "integer": int,
    "boolean": bool,
    "date": date,
    "instant": datetime,
    "uuid": UUID,
    "text": str,
}


def _as(column: sa.Column[Any], value: Any) -> Any:
    """A value of a column that no Draft has, typed by the column."""
    kind = query.kind_of(column)
    python = _PYTHON.get(kind) or (
        float if isinstance(column.type, sa.Float) else Decimal if kind == "number" else None
    )
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
            found[name] = (
                []
                if kind.endswith("[]") or "'[]'" in str(getattr(column.server_default, "arg", ""))
                else None
            )
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
