"""The fields of any record as pages show and ask for them, read from the shapes of its resource."""

import types
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

import msgspec

from service.access import Actor
from service.custom import Field as Custom
from service.db import table_named
from service.resource import Resource
from service.shapes import bare
from service.web.words import plain

LONG = 2_048
"""A text that may be longer is written on several lines."""
SYSTEM_FIELDS = frozenset(
    ["id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id"]
)
NEVER = frozenset(["cf", "external_ids", "merged_into_id", "deleted_at", "id", "version"])
WORDS = {
    "number_of_employees": "Employees", "mql_at": "MQL since", "mql_score": "MQL score", "sla_minutes": "Answer within, minutes",
    "mobile_phone": "Mobile", "reports_to_id": "Reports to", "created_by_id": "Created by", "updated_by_id": "Changed by",
    "created_at": "Created", "updated_at": "Changed", "is_default": "Default", "based_on_id": "Based on",
    "email_opt_out": "No e-mail", "email": "E-mail", "amount_home": "Amount, home currency", "sentiment": "Stance",
    "opportunity_id": "Deal", "converted_opportunity_id": "Converted deal", "revises_id": "Revises", "op": "Condition",
    "discount_percent": "Discount %",
    "converted_account_id": "Converted account",
}  # fmt: skip
CAPITALS = {"smb": "SMB"}
OPERATORS = {
    "eq": "is", "ne": "is not", "contains": "contains", "starts": "begins with", "gt": "more than", "gte": "from",
    "lt": "less than", "lte": "up to", "in": "is one of", "nin": "is none of", "is_null": "is empty",
}  # fmt: skip
LISTABLE = frozenset(
    ["text", "email", "url", "number", "whole", "money", "date", "instant", "choice", "flag", "reference"]
)
SORTABLE = LISTABLE - {"reference"}
RIGHT = frozenset(["number", "whole", "money"])
CUSTOM_KINDS = {
    "number": "number",
    "integer": "whole",
    "boolean": "flag",
    "date": "date",
    "datetime": "instant",
    "currency": "money",
    "select": "choice",
    "multi_select": "choices",
    "email": "email",
    "url": "url",
    "user": "reference",
    "reference": "reference",
}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field: what it holds, and whether it may be given at create and changed later.

    Kinds: text area email url number whole money date instant choice flag reference · words choices references (lists)
    · group (a shape of its own) · rows (a list of such) · any.
    """

    name: str
    label: str
    kind: str
    choices: tuple[str, ...] = ()
    target: str = ""
    """The table that a reference points at."""
    parts: tuple["Field", ...] = ()
    is_required: bool = False
    is_nullable: bool = True
    given: bool = False
    """May be set at create."""
    changed: bool = False
    """May be changed afterwards; else a verb does, or nobody."""

    def told(self, held: object) -> str:
        """One of the choices as a word."""
        text = str(held)
        if self.name in ("op", "operator"):
            return OPERATORS.get(text, text)
        return CAPITALS.get(text) or plain(text)

    @property
    def is_listable(self) -> bool:
        return self.kind in LISTABLE and self.name not in SYSTEM_FIELDS

    @property
    def is_sortable(self) -> bool:
        return self.kind in SORTABLE

    @property
    def is_right(self) -> bool:
        """Whether it stands at the right edge of its column."""
        return self.kind in RIGHT

    @property
    def filter(self) -> str:
        """What a filter asks: of a reference the name of the record there."""
        if self.kind != "reference" or self.name.startswith("cf."):
            return self.name
        other = {"contacts": "last_name", "leads": "company"}.get(self.target, "name")
        return f"{self.name.removesuffix('_id')}.{other}"


def label_of(name: str) -> str:
    """`account_id` → `Account`, `is_active` → `Active`."""
    if name in WORDS:
        return WORDS[name]
    plain = name.removeprefix("is_").removesuffix("_id")
    plain = f"{plain[:-4]}s" if plain.endswith("_ids") else plain.removesuffix("_at")
    return plain.replace("_", " ").capitalize()


def _longest(hint: Any) -> int:
    """The greatest length that a hint's bounds allow."""
    found = 0
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        found = max(
            [_longest(inner), *(note.max_length or 0 for note in notes if isinstance(note, msgspec.Meta))]
        )
    elif get_origin(hint) in (Union, types.UnionType):
        found = max((_longest(part) for part in get_args(hint)), default=0)
    return found


def _parts(shape: Any) -> tuple[Field, ...]:
    return tuple(
        _field(each.name, each.type, {}, required=each.required) for each in msgspec.structs.fields(shape)
    )


def _target(name: str, references: dict[str, str]) -> str:
    """The table that a column of ids points at, by the resource's word or by its own name."""
    by_name = table_named(name.removesuffix("_ids").removesuffix("_id"))
    return references.get(name) or {
        "owner_id": "users",
        "created_by_id": "users",
        "updated_by_id": "users",
    }.get(name, by_name or ("users" if name in ("member_ids", "mention_ids") else ""))


def _text_kind(name: str, hint: Any) -> str:
    if name == "email":
        return "email"
    if name in ("website", "url"):
        return "url"
    longest = _longest(hint)
    return "area" if longest > LONG else "text"


def _field(name: str, hint: Any, references: dict[str, str], *, required: bool = False, **more: Any) -> Field:
    kind, nullable = bare(hint)
    made: dict[str, Any] = {
        "name": name, "label": label_of(name), "is_required": required, "is_nullable": nullable, **more,
    }  # fmt: skip
    if get_origin(kind) is Literal:
        return Field(kind="choice", choices=get_args(kind), **made)
    if get_origin(kind) is list:
        return _list(bare(get_args(kind)[0])[0], made, references)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return Field(kind="group", parts=_parts(kind), **made)
    if kind is UUID:
        return Field(kind="reference", target=_target(name, references), **made)
    if kind is str:
        return Field(kind=_text_kind(name, hint), **made)
    simple = {
        bool: "flag",
        int: "whole",
        float: "number",
        Decimal: "money",
        date: "date",
        datetime: "instant",
    }
    return Field(kind=simple.get(kind, "any"), **made)


def _list(member: Any, made: dict[str, Any], references: dict[str, str]) -> Field:
    if get_origin(member) is Literal:
        return Field(kind="choices", choices=get_args(member), **made)
    if isinstance(member, type) and issubclass(member, msgspec.Struct):
        return Field(kind="rows", parts=_parts(member), **made)
    if member is UUID:
        return Field(kind="references", target=_target(made["name"], references), **made)
    return Field(kind="words" if member is str else "any", **made)


@cache
def fields_of(resource: Resource) -> dict[str, Field]:
    """All fields of a resource, those that a person gives in the order of its Draft, the others behind them."""
    drafted = {each.name: each for each in msgspec.structs.fields(resource.draft)}
    patched = set(resource.patch.__struct_fields__)
    shown = {each.name: each for each in msgspec.structs.fields(resource.item)}
    last = [name for name in shown if name in SYSTEM_FIELDS]
    names = [*drafted, *(name for name in shown if name not in drafted and name not in last), *last]
    found = {}
    for name in names:
        if name in NEVER or name not in shown:
            continue
        draft = drafted.get(name)
        found[name] = _field(
            name, (draft or shown[name]).type, resource.references,
            required=bool(draft and draft.required), given=draft is not None, changed=name in patched,
        )  # fmt: skip
    return found


def custom_field(field: Custom, actor: Actor) -> Field:
    """A field that the company has defined."""
    may_set = actor.role not in field.read_only_for
    kind = CUSTOM_KINDS.get(field.type, "area" if field.type == "text" else "text")
    return Field(
        name=f"cf.{field.key}", label=field.label, kind=kind, choices=field.options, target=field.reference_to,
        is_required=field.is_required, given=may_set, changed=may_set,
    )  # fmt: skip
