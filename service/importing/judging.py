"""Judging: each record of a file by the product's own shapes and rules, before anything is stored."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from service import custom, query
from service.db import table_named
from service.errors import Conflict, Forbidden, Invalid
from service.ids import new_id
from service.importing import rings
from service.importing.known import AMBIGUOUS, Known
from service.importing.records import POINTING, Fault, Record, Report, Values, Version, refs_of
from service.resource import Resource, nested
from service.shapes import patch_of

Complete = Callable[[str, Values, "Good"], Values]
"""Fills what the product's rules derive: (table, typed values, the record) → those values and the derived ones."""

_EARLIEST = datetime.min.replace(tzinfo=UTC)


class Good(msgspec.Struct):
    """A record without fault: its versions hold typed values, references as ids. `is_here`: it is stored already."""

    id: UUID
    record: Record
    is_here: bool

    def state(self, number: int = -1) -> Values:
        """All values up to and with a version."""
        versions = self.record.versions
        if len(versions) == 1:
            return versions[0].values
        merged: Values = {}
        for version in versions[: len(versions) + number + 1 if number < 0 else number + 1]:
            merged |= version.values
        return merged


class Judge:
    """Keeps what is right of a chunk, and reports the rest by file, line, column and value."""

    def __init__(
        self,
        resources: dict[str, Resource],
        known: Known,
        report: Report,
        now: datetime,
        complete: Complete | None = None,
        customs: Mapping[str, custom.Fields] | None = None,
    ) -> None:
        self.resources, self.known, self.report, self.now = resources, known, report, now
        self.customs: dict[str, dict[str, custom.Field]] = {
            table: dict(fields) for table, fields in (customs or {}).items()
        }
        self.complete = complete
        self._seen: set[Any] = set()

    def chunk(self, records: Iterable[Record]) -> list[Good]:
        return [good for record in records if (good := self._one(record))]

    def remember(self, record: Record) -> None:
        """Notes a record that went in, or was refused, before an interruption."""
        if not record.continues:
            self._seen.update(self._keys(record))

    def _one(self, record: Record) -> Good | None:
        found = self.known.of(record)
        if found == AMBIGUOUS:
            column = self.known.natural[record.table][-1]
            value = record.versions[0].values.get(column)
            self._refuse(record, column, value, "several records have this key")
            return None
        if not record.continues and (twice := self._twice(record)):
            self._refuse(record, *twice, "stands in the file twice")
            return None
        if record.ring:
            self._refuse(record, self.resources[record.table].tree, record.ring[1], rings.told(record.ring))
            return None
        if record.external_id in self.known.merged.get(record.table, ()):
            self._leave(record, found)
            return None
        good = Good(found or new_id(), record, found is not None)
        if not good.is_here:
            if record.initial:
                record.versions[0].values = record.initial | record.versions[0].values
            self.known.accept(record, good.id)  # it may point at itself, which the rules judge
        if self._is_right(good):
            self.known.accept(record, good.id)
            return good
        self.report.count(record.table, "failed")
        if not good.is_here:
            self.known.forget(record)
        return None

    def _leave(self, record: Record, winner: UUID | None) -> None:
        """A file that still has both of two records that were merged does not part them again."""
        if not record.continues:
            self.report.count(record.table, "unchanged")
            said = f"line {record.line} is of a record that was merged into {winner}: left as it is"
            external = record.external_id or ""
            self.report.take(Fault(record.file, record.line, "id", external, said, is_note=True))

    def _refuse(self, record: Record, column: str, value: Any, detail: str) -> None:
        self.report.fault(record, column, value, detail)
        self.report.count(record.table, "failed")

    def _twice(self, record: Record) -> tuple[str, Any] | None:
        keys = list(self._keys(record))
        for key in keys:
            if key in self._seen:
                return ("id", record.external_id) if len(key) == 2 else (key[1], key[-1])
        self._seen.update(keys)
        return None

    def _keys(self, record: Record) -> Iterator[tuple[str, ...]]:
        """What a record alone may have in a file: its id, and its natural key such as a user's address."""
        if record.external_id is not None:
            yield (record.table, record.external_id)
        columns = self.known.natural.get(record.table, ())
        values = record.versions[0].values
        if columns and all(values.get(name) for name in columns):
            yield (record.table, columns[-1], *(str(values[name]).lower() for name in columns))

    def _is_right(self, good: Good) -> bool:
        record = good.record
        for version in record.versions:
            for column, ref in refs_of(version):
                found = self.known.find(ref)
                if found is None or found == AMBIGUOUS:
                    told = version.file and column.removesuffix("_id") in version.told
                    where = version if told else record
                    what = "there is no such record" if found is None else "several records have this name"
                    self.report.fault(where, column, ref.external_id, f"{what} in {ref.table}")
                    return False
        return self._typed_versions(good)

    def _typed_versions(self, good: Good) -> bool:
        """Types each version's values by the shape, and judges each state by the rule."""
        record, before, state = good.record, _EARLIEST, Values()
        for version in record.versions:
            sent = version.values
            try:
                before = self._in_order(version, before)
                version.values = self._judged(good, sent, state, is_first=version is record.versions[0])
            except Invalid as error:
                self._tell(record, version, sent, state, error)
                return False
            except (Conflict, Forbidden) as error:
                self.report.fault(version if version.file else record, "", "", error.detail)
                return False
            except (ArithmeticError, ValueError) as error:  # beyond what a type can hold
                self.report.fault(version if version.file else record, "", "", f"cannot be judged: {error}")
                return False
            if len(record.versions) > 1:
                state = state | version.values
        return True

    def _tell(self, record: Record, version: Version, sent: Values, state: Values, error: Invalid) -> None:
        first = error.errors[0] if error.errors else {"pointer": "", "detail": error.detail}
        column = first["pointer"].strip("/").split("/")[0]
        value = version.at if column == "at" else sent.get(column, state.get(column, ""))
        own = version.file and (column in version.told or column == "at")
        self.report.fault(
            version if own else record, column, getattr(value, "external_id", value), first["detail"]
        )

    def _in_order(self, version: Version, before: datetime) -> datetime:
        at = version.at or self.now
        if at < before or at > self.now:
            raise Invalid.at(
                "/at", "is before the version before it" if at < before else "lies in the future"
            )
        return at

    def _custom(self, table: str, values: Values, state: Values, *, is_new: bool) -> None:
        """The custom fields in their form, by the definitions that are there and those that came with this import."""
        if table == "fields" and is_new:
            entity = table_named(values["entity"]) or ""
            self.customs.setdefault(entity, {})[values["key"]] = custom.definition(values)
        fields = self.customs.get(table, {})
        if values.get("cf") or (is_new and fields):
            cells = values.get("cf") or {}
            sent = {
                key: custom.told(fields[key], cell) if key in fields else cell for key, cell in cells.items()
            }
            values["cf"] = custom.merged(fields, sent, state.get("cf") or {}, "admin", is_new=is_new)

    def _judged(self, good: Good, sent: Values, state: Values, *, is_first: bool) -> Values:
        """The typed values; the whole state beside itself: it is judged as it is, not the way by which it came about."""
        table = good.record.table
        resource = self.resources[table]
        resolve = self.known.resolve
        resolved = {
            name: resolve(value) if type(value) in POINTING else value for name, value in sent.items()
        }
        values = typed(resource, resolved, whole=is_first and not good.is_here)
        self._custom(table, values, state, is_new=is_first and not good.is_here)
        if self.complete:
            values = self.complete(table, values, good)
        if resource.check and not (
            good.is_here and self.complete
        ):  # judged with the stored row when it is at hand
            row = empty(resource.table) | {"id": good.id} | state | values
            resource.check(row, row)
        return values


@cache
def empty(table: sa.Table) -> Values:
    """A row of nothing."""
    return dict.fromkeys(table.c.keys())


@cache
def _partial(draft: type[msgspec.Struct]) -> type[msgspec.Struct]:
    return patch_of(draft)


@cache
def _fields(draft: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(draft.__struct_fields__)


def typed(resource: Resource, values: Values, *, whole: bool) -> Values:
    """`values` as the Draft types them (`whole`: with all that it requires); columns that no Draft has, by the column."""
    fields = _fields(resource.draft)
    asked = {name: value for name, value in values.items() if value is not None and name in fields}
    if resource.nested:
        asked.pop(resource.nested, None)
    shape = resource.draft if whole else _partial(resource.draft)
    try:
        found = msgspec.convert(
            asked, shape, strict=False, str_keys=True, builtin_types=(UUID, datetime, date, Decimal)
        )
    except msgspec.ValidationError as error:
        raise _pointed(error) from None
    columns = _columns(resource.table)
    result: Values = {}
    for name, value in values.items():
        if name in asked:
            given = getattr(found, name)
            if nested(given):
                given = msgspec.to_builtins(given, builtin_types=(datetime, UUID))
        elif name in fields and name != resource.nested:
            given = None
        elif name in columns:
            given = _as(columns[name], value)
        else:
            raise Invalid.at(f"/{name}", f"is no field of {resource.key}")
        if type(given) is str and "\0" in given:
            raise Invalid.at(f"/{name}", "holds the character NUL")
        result[name] = given
    return result


@cache
def _columns(table: sa.Table) -> dict[str, sa.Column[Any]]:
    return dict(table.columns.items())


_PYTHON: dict[str, Any] = {
    "integer": int, "boolean": bool, "date": date, "instant": datetime, "uuid": UUID, "text": str,
}  # fmt: skip


@cache
def _python(column: sa.Column[Any]) -> Any:
    kind = query.kind_of(column)
    return _PYTHON.get(kind) or (
        float if isinstance(column.type, sa.Float) else Decimal if kind == "number" else None
    )


def _as(column: sa.Column[Any], value: Any) -> Any:
    """A value of a column that no Draft has, typed by the column."""
    python = _python(column)
    if value is None or python is None or isinstance(value, python):
        return value
    try:
        return msgspec.convert(value, python, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid.at(f"/{column.name}", str(error)) from None


def _pointed(error: msgspec.ValidationError) -> Invalid:
    detail, _, path = str(error).partition(" - at `")
    column = path.rstrip("`").removeprefix("$").strip(".").split(".")[0].split("[")[0]
    missing = detail.partition("missing required field `")[2].rstrip("`")
    return Invalid.at(f"/{column or missing}", detail)
