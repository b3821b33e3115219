"""The small shapes that the domains' Drafts are made of, and the two that follow from a Draft: its Patch and its Item.

Every text has a greatest length and every number its bounds. `Given[T]` may be left out, `Maybe[T]` may be null too.
"""

import types
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

T = TypeVar("T")
Given = Union[T, UnsetType]  # noqa: UP007  # an alias with a variable needs this form
Maybe = Union[T, UnsetType, None]  # noqa: UP007

Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\S")]
Line = Annotated[str, Meta(max_length=255)]
Text = Annotated[str, Meta(max_length=32_000)]
Body = Annotated[str, Meta(min_length=1, max_length=100_000, pattern=r"\S")]
Email = Annotated[str, Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
Phone = Annotated[str, Meta(max_length=64)]
Url = Annotated[str, Meta(max_length=2048)]
Key = Annotated[str, Meta(max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
Currency = Annotated[str, Meta(min_length=3, max_length=3, pattern=r"^[A-Z]{3}$")]
Zone = Annotated[str, Meta(min_length=1, max_length=64)]
Instant = Annotated[datetime, Meta(tz=True)]
Money = Decimal
"""Any decimal; `rules.amounts` judges sign and size, which the decoder cannot."""
Count = Annotated[int, Meta(ge=0, le=2_000_000_000)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Ids = Annotated[list[UUID], Meta(max_length=1000)]
Words = Annotated[list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(max_length=100)]
ExternalIds = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(min_length=1, max_length=255)]
    ],
    Meta(max_length=20),
]
CustomText = Annotated[str, Meta(max_length=10_000)]
CustomFields = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=64)],
        CustomText | bool | int | float | Annotated[list[CustomText], Meta(max_length=100)] | None,
    ],
    Meta(max_length=200),
]
Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "starts", "is_null"]
Scalar = CustomText | bool | int | float | None


class Draft(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What every record takes beside its own members."""

    external_ids: Given[ExternalIds] = UNSET
    cf: Given[CustomFields] = UNSET


class Address(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`country` is ISO 3166, two letters."""

    street: Line | None = None
    city: Line | None = None
    state: Line | None = None
    postal_code: Annotated[str, Meta(max_length=32)] | None = None
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$", max_length=2)] | None = None


class Criterion(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One condition in the grammar of lists: `{"field": "amount", "op": "gte", "value": 1000}`."""

    field: Annotated[str, Meta(max_length=100, pattern=r"^[a-z_]+(\.[A-Za-z0-9_]+)?$")]
    op: Operator
    value: Scalar | Annotated[list[CustomText | int | float], Meta(max_length=500)] = None


Criteria = Annotated[list[Criterion], Meta(max_length=30)]


def _hints(draft: type[msgspec.Struct]) -> list[tuple[str, Any]]:
    return [(field.name, field.type) for field in msgspec.structs.fields(draft)]


def _without_unset(hint: Any) -> Any:
    """`Maybe[T]` → `T | None`, `Given[T]` → `T`."""
    if not isinstance(hint, types.UnionType) and getattr(hint, "__origin__", None) is not Union:
        return hint
    return Union[tuple(part for part in hint.__args__ if part is not UnsetType)]  # noqa: UP007


def bare(hint: Any) -> tuple[Any, bool]:
    """The hint without its bounds, and whether it may be null; of several kinds of value: any."""
    if get_origin(hint) is Annotated:
        return bare(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        parts = [part for part in get_args(hint) if part is not UnsetType]
        rest = [part for part in parts if part is not type(None)]
        inner = bare(rest[0])[0] if len(rest) == 1 else Any
        return inner, len(rest) < len(parts)
    return hint, False


def patch_of(draft: type[msgspec.Struct], *without: str) -> type[msgspec.Struct]:
    """The Patch of a Draft: the same members, each left out as one likes, but for those that only a verb may change."""
    fields = [(name, Union[hint, UnsetType], UNSET) for name, hint in _hints(draft) if name not in without]  # noqa: UP007
    return msgspec.defstruct(
        draft.__name__.replace("Draft", "Patch"),
        fields,
        kw_only=True,
        forbid_unknown_fields=True,
        module=draft.__module__,
    )


_TYPES: tuple[tuple[Any, Any], ...] = (
    (sa.Boolean, bool),
    (sa.Integer, int),
    (sa.Float, float),
    (sa.Numeric, Decimal),
    (sa.DateTime, datetime),
    (sa.Date, date),
    (sa.Uuid, UUID),
    (JSONB, dict[str, Any]),
    (ARRAY, list[str]),
)


def _stored(column: sa.Column[Any]) -> Any:
    kind = next((python for sql, python in _TYPES if isinstance(column.type, sql)), str)
    return Union[kind, None] if column.nullable else kind  # noqa: UP007


def item_of(table: sa.Table, draft: type[msgspec.Struct], **extra: Any) -> type[msgspec.Struct]:
    """What one sees of a record: every column, typed as in the Draft, and the derived fields in `extra`."""
    given = {name: _without_unset(hint) for name, hint in _hints(draft)}
    fields = [(str(column.name), given.get(column.name) or _stored(column)) for column in table.columns]
    return msgspec.defstruct(
        draft.__name__.replace("Draft", ""), [*fields, *extra.items()], kw_only=True, module=draft.__module__
    )
