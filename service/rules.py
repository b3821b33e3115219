"""Rules that several domains share. The pure ones yield faults; `refuse` raises them all at once, with pointers."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from service.access import Actor, guard
from service.db import Database, Params, Tx
from service.errors import Invalid, Pointer

Row = Mapping[str, Any]
MOST_MONEY = Decimal(10) ** 14
"""Amounts lie below this: more than any company's revenue, in any currency."""


def fault(name: str, detail: str) -> Pointer:
    return {"pointer": f"/{name}", "detail": detail}


def refuse(*faults: Iterable[Pointer]) -> None:
    """Raises `Invalid` that names every fault, if there is one."""
    errors = [error for found in faults for error in found]
    if errors:
        raise Invalid(
            "; ".join(f"{error['pointer']}: {error['detail']}" for error in errors[:5]), errors=errors
        )


def amounts(row: Row, *names: str) -> Iterator[Pointer]:
    """Money is a finite number, not negative, and below 10^14."""
    for name in names:
        value = row.get(name)
        if value is None:
            continue
        if not value.is_finite():
            yield fault(name, "must be a finite number")
        elif value < 0:
            yield fault(name, "must not be negative")
        elif value >= MOST_MONEY:
            yield fault(name, "must be less than 10^14")


def in_order(row: Row, first: str, last: str) -> Iterator[Pointer]:
    """The date `last` is not before the date `first`."""
    start, end = row.get(first), row.get(last)
    if start is not None and end is not None and end < start:
        yield fault(last, f"must not be before {first}")


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def zone(row: Row, name: str = "time_zone") -> Iterator[Pointer]:
    """A time zone is one of the IANA's names."""
    if row.get(name) is not None and row[name] not in _zones():
        yield fault(name, "is not a time zone of the IANA database")


def not_itself(row: Row, *names: str) -> Iterator[Pointer]:
    """A record is neither its own parent nor its own manager."""
    for name in names:
        if row.get(name) is not None and row.get(name) == row.get("id"):
            yield fault(name, "must be another record")


def scope(actor: Actor, row: Row, name: str = "owner_id") -> Iterator[Pointer]:
    """Who sees a part only gives records to people within it: or they would vanish from their giver's sight."""
    if not actor.sees_all and row.get(name) is not None and row[name] not in (actor.owners or ()):
        yield fault(name, "is not one of your people")


def owned(draft: Row, actor: Actor, now: datetime) -> dict[str, Any]:
    """Who creates a record owns it, unless another of their people is named (or nobody: null)."""
    refuse(scope(actor, draft))
    return {"owner_id": draft.get("owner_id", actor.id)}


async def no_ring(tx: Tx, table: str, column: str, new: Row) -> None:
    """Raises `Invalid` when following `column` (a parent, a manager) would lead back to the record itself."""
    if new.get(column) is None:
        return
    found = await tx.fetchval(
        f"WITH RECURSIVE up(id) AS (SELECT $2::uuid UNION SELECT t.{column} FROM {table} t JOIN up ON t.id = up.id"
        f" WHERE t.{column} IS NOT NULL) SELECT 1 FROM up WHERE id = $1",
        new["id"],
        new[column],
    )
    if found:
        raise Invalid.at(f"/{column}", "would make a ring")


async def exist(run: Tx | Database, actor: Actor, table: str, name: str, ids: Iterable[UUID]) -> None:
    """Raises `Invalid` that points at the first of `ids` that is no record this actor sees."""
    wanted = list(ids)
    if not wanted:
        return
    params = Params([wanted])
    rows = await run.fetch(
        f"SELECT r.id FROM {table} r WHERE r.id = ANY($1::uuid[]) AND r.deleted_at IS NULL"
        f" AND {guard(actor, table, 'r', params)}",
        *params,
    )
    found = {row["id"] for row in rows}
    for index, identity in enumerate(wanted):
        if identity not in found:
            raise Invalid.at(f"/{name}/{index}", "there is no such record")
