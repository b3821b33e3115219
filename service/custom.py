"""Custom fields: what a company adds to its records. The definitions as a process remembers them, and the rules of `cf`.

Values lie in one jsonb column, in one form each: numbers as numbers, money as decimal text, days as `2026-01-31`,
instants in UTC to the microsecond (so that text order is time order), ids and choices as text, several choices as a list.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from service.access import Actor, guard
from service.db import Database, Params, Tx, table_named
from service.errors import Conflict, Pointer
from service.rules import refuse

FieldType = Literal[
    "text",
    "number",
    "integer",
    "boolean",
    "date",
    "datetime",
    "currency",
    "select",
    "multi_select",
    "email",
    "url",
    "user",
    "reference",
]
KINDS: dict[str, str] = {
    "number": "number",
    "currency": "number",
    "integer": "integer",
    "boolean": "boolean",
    "date": "date",
    "datetime": "instant",
    "multi_select": "texts",
    "user": "uuid",
    "reference": "uuid",
}
"""Type → the kind of value in the grammar of lists; every other type is text."""

MOST_TEXT = 10_000
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+")

Row = dict[str, Any]


class Whole(dict[str, Any]):
    """The values of a record as a whole (PUT): what is not in it is cleared."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A definition, as the rules need it. A record that says nothing gets `default_value`."""

    key: str
    label: str
    type: FieldType
    options: tuple[str, ...] = ()
    reference_to: str = "users"
    """The table that an id of this field points at."""
    is_required: bool = False
    is_unique: bool = False
    is_filterable: bool = True
    default_value: Any = None
    minimum: float | None = None
    maximum: float | None = None
    read_only_for: frozenset[str] = frozenset()
    hidden_from: frozenset[str] = frozenset()

    @property
    def kind(self) -> str:
        return KINDS.get(self.type, "text")


Fields = Mapping[str, Field]


def definition(row: Row) -> Field:
    """The row of a definition, or the draft of one, as the rules need it."""
    given = {name: row[name] for name in Field.__struct_fields__ if row.get(name) is not None}
    given["options"] = tuple(row.get("options") or ())
    given["reference_to"] = table_named(row.get("reference_to") or "user") or "users"
    given |= {name: frozenset(row.get(name) or ()) for name in ("read_only_for", "hidden_from")}
    return Field(**given)


_READ = (
    f"SELECT entity, {', '.join(Field.__struct_fields__)} FROM fields WHERE deleted_at IS NULL"
    " /* access:fields */"  # whom a field is hidden from is judged by the rules that use it
)


async def _catalogue(run: Database | Tx) -> dict[str, Fields]:
    found: dict[str, dict[str, Field]] = {}
    for row in await run.fetch(_READ):
        found.setdefault(table_named(row["entity"]) or "", {})[row["key"]] = definition(row)
    return dict(found)


async def catalogue(run: Database | Tx) -> Mapping[str, Fields]:
    """Table → the custom fields of its records by key; as remembered for a moment."""
    return await run.remember("fields", lambda: _catalogue(run))


async def of(run: Database | Tx, table: str) -> Fields:
    """The custom fields of the records of one table."""
    return (await catalogue(run)).get(table, {})


# --- one value ---------------------------------------------------------------------------------------------------


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise ValueError(f"is not a text of at most {MOST_TEXT:,} characters")
    return value


def _within(field: Field, value: float) -> None:
    """Raises ValueError for a number that lies outside of the field's range."""
    if field.minimum is not None and value < field.minimum:
        raise ValueError(f"lies below {field.minimum:g}")
    if field.maximum is not None and value > field.maximum:
        raise ValueError(f"lies above {field.maximum:g}")


def _number(field: Field, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("is not a number")
    _within(field, value)
    return value


def _integer(field: Field, value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise ValueError("is not a whole number")
    _within(field, value)
    return value


def _boolean(field: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def _currency(field: Field, value: Any) -> str:
    try:
        amount = Decimal("NaN" if isinstance(value, bool) else str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or abs(amount) >= Decimal(10) ** 14:
        raise ValueError("is not an amount such as 1200.50, below 10^14")
    _within(field, float(amount))
    return format(amount, "f")


def _date(field: Field, value: Any) -> str:
    try:
        return date.fromisoformat(_text(field, value)).isoformat()
    except ValueError:
        raise ValueError("is not a date such as 2026-01-31") from None


def _datetime(field: Field, value: Any) -> str:
    try:
        moment = datetime.fromisoformat(_text(field, value))
        if moment.tzinfo is None:
            raise ValueError
        return moment_text(moment)
    except (ValueError, OverflowError):
        raise ValueError("is not an instant with its zone, such as 2026-01-31T09:00:00Z") from None


def moment_text(moment: datetime) -> str:
    """An instant in the one form that `cf` holds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _select(field: Field, value: Any) -> str:
    if value not in field.options:
        raise ValueError(f"is none of {', '.join(field.options[:20])}")
    return str(value)


def _multi_select(field: Field, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise ValueError("is not a list of choices")
    return [_select(field, item) for item in dict.fromkeys(map(str, value))]


def _email(field: Field, value: Any) -> str:
    if not _EMAIL.fullmatch(_text(field, value)):
        raise ValueError("is not an e-mail address")
    return str(value)


def _url(field: Field, value: Any) -> str:
    parts = urlsplit(_text(field, value))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not an address that begins with http:// or https://")
    return str(value)


def _id(field: Field, value: Any) -> str:
    try:
        return str(UUID(_text(field, value)))
    except ValueError:
        raise ValueError("is not an id") from None


READ: dict[str, Callable[[Field, Any], Any]] = {
    "text": _text,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
    "currency": _currency,
    "select": _select,
    "multi_select": _multi_select,
    "email": _email,
    "url": _url,
    "user": _id,
    "reference": _id,
}
"""Type → what brings a value into its form; raises ValueError with what is wrong in words."""


_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def told(field: Field, value: Any) -> Any:
    """A cell of a file as the value that it tells, for `READ` to judge; what it does not understand stays as it is."""
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if field.type == "multi_select" and isinstance(value, str):
        return [part.strip() for part in value.split(";") if part.strip()]
    try:
        match field.kind:
            case "integer" if isinstance(value, (str, Decimal)):
                return int(value)
            case "number" if field.type == "number" and isinstance(value, (str, Decimal)):
                return float(value)
            case "boolean" if isinstance(value, str):
                return _TRUTH.get(value.strip().lower(), value)
    except ValueError:
        pass
    return value


# --- the values of one record ------------------------------------------------------------------------------------


def fault(key: str, detail: str) -> Pointer:
    return {"pointer": f"/cf/{key}", "detail": detail}


def merged(fields: Fields, sent: Row, kept: Row, role: str, *, is_new: bool) -> Row:
    """`kept` with what was `sent` over it, each value in its form; null takes a value away.

    Raises `Invalid` that points at every fault. What was kept before a field was defined stays as it is.
    """
    changed = {key: value for key, value in sent.items() if kept.get(key) != value}
    if isinstance(sent, Whole):
        changed |= {key: None for key in kept if key not in sent and not _is_hidden(fields, key, role)}
    if is_new:
        defaults = {
            key: field.default_value for key, field in fields.items() if field.default_value is not None
        }
        changed = defaults | changed
    faults: list[Pointer] = []
    result = dict(kept)
    for key, value in changed.items():
        field = fields.get(key)
        if field is None or _is_hidden(fields, key, role):
            faults.append(fault(key, "there is no such custom field: it is defined under /fields first"))
        elif role in field.read_only_for and value != field.default_value:
            faults.append(fault(key, f"may not be changed by the role {role}"))
        elif value is None:
            result.pop(key, None)
        else:
            try:
                result[key] = READ[field.type](field, value)
            except ValueError as error:
                faults.append(fault(key, str(error)))
    faults += _missing(fields, result, set(changed), is_new=is_new)
    refuse(faults)
    return result


def _is_hidden(fields: Fields, key: str, role: str) -> bool:
    return key in fields and role in fields[key].hidden_from


def _missing(fields: Fields, result: Row, changed: set[str], *, is_new: bool) -> list[Pointer]:
    """Required fields without a value: at create all, later those that were just cleared."""
    return [
        fault(key, "must have a value")
        for key, field in fields.items()
        if field.is_required and result.get(key) in (None, "", []) and (is_new or key in changed)
    ]


async def settle(run: Database | Tx, table: str, actor: Actor, row: Row, old: Row | None) -> None:
    """Brings `row["cf"]` into its form over what `old` held; nothing to do where there is neither field nor value."""
    fields = await of(run, table)
    if (not fields and not row.get("cf")) or (old and row["cf"] == old["cf"]):
        return
    kept = dict(old["cf"]) if old else {}
    sent = row["cf"] if row.get("cf") is not None else {}
    row["cf"] = merged(fields, sent, kept, actor.role, is_new=old is None)
    changed = [fields[key] for key, value in row["cf"].items() if key in fields and kept.get(key) != value]
    await _check_ids(run, actor, changed, row["cf"])
    await _check_unique(run, table, changed, row)


async def _check_ids(run: Database | Tx, actor: Actor, changed: Iterable[Field], cf: Row) -> None:
    """References point at records that the actor sees."""
    for field in changed:
        if field.kind != "uuid":
            continue
        table, params = field.reference_to, Params([UUID(cf[field.key])])
        seen = guard(actor, table, "r", params)
        if not await run.fetchval(
            f"SELECT 1 FROM {table} r WHERE r.id = $1 AND r.deleted_at IS NULL AND {seen}", *params
        ):
            refuse([fault(field.key, "there is no such record")])


async def _check_unique(run: Database | Tx, table: str, changed: Iterable[Field], row: Row) -> None:
    """The value of a unique field is no other record's; its index, once made, keeps it in a race."""
    for field in changed:
        if field.is_unique and await run.fetchval(
            f"SELECT 1 FROM {table} t WHERE {expression(field)} = $1::{_unique_type(field)} AND t.id <> $2"
            f" AND t.deleted_at IS NULL /* access:{table} */",  # whether it is taken, not by whom
            _asked(field, row["cf"][field.key]),
            row["id"],
        ):
            raise Conflict(f"Another record has this {field.label}.", errors=[fault(field.key, "is taken")])


def _unique_type(field: Field) -> str:
    return {"number": "numeric", "integer": "bigint", "boolean": "boolean"}.get(field.kind, "text")


def _asked(field: Field, value: Any) -> Any:
    return Decimal(str(value)) if field.kind == "number" else value


def expression(field: Field, alias: str = "t") -> str:
    """The field's value as SQL, in the form that its index has. Keys are names, so they stand in the text."""
    path = f"{alias}.cf ->> '{field.key}'"
    match field.kind:
        case "number":
            return f"(({path})::numeric)"
        case "integer":
            return f"(({path})::bigint)"
        case "boolean":
            return f"(({path})::boolean)"
        case "texts":
            return f"({alias}.cf -> '{field.key}')"
        case "date" | "instant":
            return f'(({path}) COLLATE "C")'
        case _:
            return f"({path})"
