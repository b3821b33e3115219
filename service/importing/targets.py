"""What a column of a file can go into: the fields of a resource, parts of addresses, references by a key, custom fields."""

import re
import types
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

import msgspec

from service import custom
from service.db import Database
from service.errors import Invalid
from service.importing.known import BY
from service.query import columns
from service.resource import Resource
from service.shapes import Address

CUSTOM = re.compile(r"cf\.[a-z][a-z0-9_]{0,63}")
EXTERNAL = "external_id"
"""The target of a column that holds the record's id in its source: the key of upserts."""
ADDRESS = tuple(Address.__struct_fields__)
PAST = ("created_at",)
"""Read-only fields that a file may assert: when the record came to be known."""
CLOSING = ("closed_at", "closed_on")


class Target(msgspec.Struct, frozen=True):
    """`kind`: text number integer fraction boolean date instant choice currency email url phone list reference json.

    `table` and `by`: what a reference points at, and by which of its fields the cell names it (`id`: our own).
    """

    name: str
    kind: str
    label: str = ""
    choices: frozenset[str] = frozenset()
    table: str = ""
    by: str = ""


def targets(resource: Resource, custom: dict[str, Target] | None = None) -> dict[str, Target]:
    """All that a column may go into, by name."""
    found = {EXTERNAL: Target(EXTERNAL, "text")}
    for field in msgspec.structs.fields(resource.draft):
        if field.name not in ("external_ids", "cf"):
            found |= {target.name: target for target in _of_field(resource, field.name, field.type)}
    if resource.nested:
        found |= {target.name: target for target in _references(resource, resource.nested)}
    for name in PAST + (CLOSING if resource.key == "opportunities" else ()):
        found[name] = Target(name, "date" if name == "closed_on" else "instant")
    return found | (custom or {})


def _of_field(resource: Resource, name: str, hint: Any) -> Iterator[Target]:
    if name in resource.references:
        yield from _references(resource, name)
        return
    kind, choices = _kind(name, hint)
    if kind == "address":
        for part in ADDRESS:
            yield Target(f"{name}.{part}", "text")
    else:
        yield Target(name, kind, choices=choices)


def _references(resource: Resource, column: str) -> Iterator[Target]:
    """`owner_id` holds our id, `owner.external_id` that of the source, `owner.email` a key of the other record."""
    table, short = resource.references[column], column.removesuffix("_id")
    yield Target(column, "reference", table=table, by="id")
    yield Target(f"{short}.{EXTERNAL}", "reference", table=table, by=EXTERNAL)
    for by in BY.get(table, ()):
        yield Target(f"{short}.{by}", "reference", table=table, by=by)


_KINDS: dict[Any, str] = {
    bool: "boolean", int: "integer", float: "number", Decimal: "number", datetime: "instant", date: "date",
    str: "text", UUID: "text",
}  # fmt: skip
_NAMED = {"email": "email", "website": "url", "url": "url", "domain": "domain", "currency": "currency",
          "phone": "phone", "mobile_phone": "phone", "probability": "fraction"}  # fmt: skip


def _kind(name: str, hint: Any) -> tuple[str, frozenset[str]]:
    """The kind of a field's cells, by its type without `| None` and limits."""
    if get_origin(hint) in (Union, types.UnionType):
        parts = [part for part in get_args(hint) if part not in (msgspec.UnsetType, type(None))]
        return _kind(name, parts[0]) if parts else ("json", frozenset())
    if get_origin(hint) is Annotated:
        return _kind(name, get_args(hint)[0])
    if get_origin(hint) is Literal:
        return "choice", frozenset(get_args(hint))
    if hint is Address:
        return "address", frozenset()
    if get_origin(hint) is list:
        inner = _kind("", get_args(hint)[0])[0] if get_args(hint) else "text"
        return ("list" if inner == "text" else "json"), frozenset()
    return _NAMED.get(name) or _KINDS.get(hint, "json"), frozenset()


def target_of(name: str, fields: Mapping[str, Target]) -> Target | None:
    """The target of this name; `cf.key` is one whether or not the key is defined."""
    if name in fields:
        return fields[name]
    return Target(name, "text") if CUSTOM.fullmatch(name) else None


async def custom_targets(database: Database, resource: Resource) -> dict[str, Target]:
    """The custom fields of a resource, as `cf.key`; their text is read by their own rules."""
    fields = await custom.of(database, resource.key)
    return {f"cf.{key}": Target(f"cf.{key}", "text", label=field.label) for key, field in fields.items()}


def check_keys(resource: Resource, keys: tuple[str, ...]) -> None:
    """Raises `Invalid` for a key of upserts that the resource has no column for."""
    for name in keys:
        if name not in columns(resource.key) or name in ("cf", "external_ids"):
            raise Invalid.at("/key", f"{name!r} is no field of {resource.key}")
