"""A business noun: where it lives, its shapes, and the rules that are its own."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from service import past
from service.access import Actor
from service.db import Database, Tx
from service.query import Source

Row = dict[str, Any]


class Resource(msgspec.Struct, kw_only=True, eq=False):
    """A business noun: where it lives, its three shapes, and the rules that are its own.

    `check(new, old)` judges the merged row and raises `Invalid` or `Conflict`; `old` is None at create.
    `prepare(tx, actor, new, old)` may fill derived columns (home amounts, the first stage) with the transaction at
    hand, and look things up; `after(tx, actor, new, old)` runs behind the write, in the same transaction.
    A resource with an `after`, or with a `prepare` that writes, does so in a transaction; all others in one statement.
    """

    path: str
    name: str
    table: sa.Table
    draft: type[msgspec.Struct]
    patch: type[msgspec.Struct]
    item: type[msgspec.Struct]
    references: dict[str, str] = {}
    text: tuple[str, ...] = ()
    extra: dict[str, str] = {}
    extra_kinds: dict[str, str] = {}
    home: dict[str, str] = {}
    tree: str = ""
    """The column by which the records are a tree (a parent, a manager): what would close a ring is a 409."""
    once: tuple[str, ...] = ()
    """The columns that name a record elsewhere: a second create with the same ones answers the first record."""
    nested: str | None = None
    """The column that the URL's parent fills: `opportunity_id` under `/opportunities/{parent_id}/lines`."""
    check: Callable[[Row, Row | None], None] | None = None
    defaults: Callable[[Row, Actor, datetime], Row] | None = None
    prepare: Callable[[Any, Actor, Row, Row | None], Any] | None = None
    prepare_reads: bool = False
    """`prepare` only looks things up: the write stays one statement, and `prepare` gets the database itself."""
    free: frozenset[str] = frozenset()
    """Columns at which neither `check` nor `prepare` looks: a change of these alone needs no look at the row first."""
    rereads: frozenset[str] = frozenset()
    """Columns by whose change a derived field changes too: the answer is then read after the write."""
    after: Callable[[Tx, Actor, Row, Row | None], Any] | None = None
    timeline: type[msgspec.Struct] = past.Timeline
    """The shape of `…/history`."""
    beside: Callable[[Database, Actor, UUID], Awaitable[Row]] | None = None
    """What `…/history` tells beside the changes, such as a deal's way through the stages."""
    warn: Callable[[Tx | Database, Actor, Row], Awaitable[dict[str, str]]] | None = None
    """Headers that warn of what a new record looks like; the record is created all the same."""
    source: Any = None

    def __post_init__(self) -> None:
        self.source = Source(
            table=self.table.name,
            references=self.references,
            text=self.text,
            extra=self.extra,
            extra_kinds=self.extra_kinds,
            home=self.home,
        )

    @property
    def is_single(self) -> bool:
        """Whether its writes are one statement each."""
        return self.after is None and (self.prepare is None or self.prepare_reads)

    @property
    def key(self) -> str:
        """The resource's name in the permission table: its table's."""
        return self.table.name


def plain(value: msgspec.Struct) -> Row:
    """The members that were sent, as python values (nested Structs as plain lists and dicts)."""
    return {
        name: msgspec.to_builtins(member, builtin_types=(datetime, UUID)) if nested(member) else member
        for name in value.__struct_fields__
        if (member := getattr(value, name)) is not msgspec.UNSET
    }


_FLAT = frozenset([str, int, bool, NoneType, UUID, Decimal, datetime, date, dict])


def nested(member: Any) -> bool:
    """Whether a member is a shape of its own, or a list of such."""
    if type(member) in _FLAT:  # a look at the type costs far less than a question to the shapes' metaclass
        return False
    return isinstance(member, msgspec.Struct) or (
        isinstance(member, (list, tuple)) and bool(member) and isinstance(member[0], msgspec.Struct)
    )
