"""Columns and indexes in the few forms that the tables of the domains need."""

from collections.abc import Mapping
from typing import Any, get_args

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service.db import INSTANT, MONEY

LIVE = sa.text("deleted_at IS NULL")


def text(name: str, *, required: bool = False) -> sa.Column[str]:
    """Text; its greatest length is the shape's affair."""
    return sa.Column(name, sa.Text, nullable=not required)


def word(name: str, choices: Any, *, default: str | None = None, required: bool = False) -> sa.Column[str]:
    """One of the words of a `Literal`, kept by a CHECK."""
    listed = ", ".join(f"'{choice}'" for choice in get_args(choices))
    return sa.Column(
        name,
        sa.Text,
        sa.CheckConstraint(f"{name} IN ({listed})", name=name),
        nullable=default is None and not required,
        server_default=default,
    )


def reference(name: str, target: str, *, required: bool = False, ring: bool = False) -> sa.Column[Any]:
    """The id of a row of `target`; `ring` where two tables point at each other."""
    key = sa.ForeignKey(f"{target}.id", use_alter=ring)
    return sa.Column(name, sa.Uuid, key, nullable=not required)


def loose(name: str) -> sa.Column[Any]:
    """The id of a row that another part of the product keeps: no foreign key holds it."""
    return sa.Column(name, sa.Uuid)


def flag(name: str, *, default: bool = False) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.text(str(default).upper()))


def whole(name: str, *, required: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=not required)


def number(name: str, *, required: bool = False) -> sa.Column[float]:
    """A number that goes over the wire as a JSON number: percentages, probabilities, quantities."""
    return sa.Column(name, sa.Double, nullable=not required)


def money(name: str, *, required: bool = False) -> sa.Column[Any]:
    """An amount, which goes over the wire as a decimal string; its currency stands beside it."""
    return sa.Column(name, MONEY, nullable=not required)


def currency(name: str = "currency") -> sa.Column[str]:
    """ISO 4217."""
    return sa.Column(name, sa.Text, sa.CheckConstraint(f"{name} ~ '^[A-Z]{{3}}$'", name=name))


def day(name: str, *, required: bool = False) -> sa.Column[Any]:
    """A date in the company's time zone."""
    return sa.Column(name, sa.Date, nullable=not required)


def instant(name: str, *, required: bool = False) -> sa.Column[Any]:
    return sa.Column(name, INSTANT, nullable=not required)


def document(name: str) -> sa.Column[Any]:
    """A JSON object such as an address."""
    return sa.Column(name, JSONB)


def items(name: str, ids_in: Mapping[str, str] | None = None) -> sa.Column[Any]:
    """A JSON list of objects such as criteria. `ids_in`: member → the table whose rows it names; a merge follows them."""
    info = {"ids_in": ids_in} if ids_in else {}
    return sa.Column(name, JSONB, nullable=False, server_default=sa.text("'[]'"), info=info)


def texts(name: str) -> sa.Column[Any]:
    return sa.Column(name, ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'"))


def ids(name: str, target: str = "") -> sa.Column[Any]:
    """Ids of rows of `target`; the route checks that they exist, and a merge follows them."""
    info = {"ids_of": target} if target else {}
    return sa.Column(name, ARRAY(sa.Uuid), nullable=False, server_default=sa.text("'{}'"), info=info)


def merged_into(table: str) -> tuple[sa.Column[Any], sa.Index]:
    """Which record a deleted one was merged into, and the index by which a later merge finds it."""
    found = sa.text("merged_into_id IS NOT NULL")
    return (
        reference("merged_into_id", table),
        sa.Index(f"ix_{table}_merged_into_id", "merged_into_id", postgresql_where=found),
    )


def index(name: str, *parts: Any, unique: bool = False, where: str | None = None) -> sa.Index:
    """An index over the rows that are not deleted; `parts` are names of columns or SQL."""
    expressions = [sa.text(part) if not part.isidentifier() else part for part in parts]
    live = f"deleted_at IS NULL AND {where}" if where else "deleted_at IS NULL"
    return sa.Index(name, *expressions, unique=unique, postgresql_where=sa.text(live))


def sorted_by(table: str, name: str) -> sa.Index:
    """For lists sorted by a text: its order is `lower(x) COLLATE "C"` everywhere."""
    return index(f"ix_{table}_{name}_sorted", f'lower({name}) COLLATE "C"', "id")


def external(table: str) -> sa.Index:
    """For upserts: `external_ids @> '{"source": "id"}'`."""
    return sa.Index(
        f"ix_{table}_external",
        "external_ids",
        postgresql_using="gin",
        postgresql_ops={"external_ids": "jsonb_path_ops"},
    )
