"""Rules that several domains share. The pure ones yield faults; `refuse` raises them all at once, with pointers."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from service import ledger
from service.access import SYSTEM, Actor, guard
from service.db import Database, Params, Tx, metadata
from service.errors import Conflict, Invalid, Pointer

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


def askable(table: str, criteria: Iterable[Row] | None, name: str) -> Iterator[Pointer]:
    """Criteria ask for fields that the records of `table` have: on any other one they would never hold."""
    fields = metadata.tables[table].columns.keys()
    for number, criterion in enumerate(criteria or ()):
        if criterion["field"] not in fields and not criterion["field"].startswith("cf."):
            yield fault(f"{name}/{number}/field", f"is no field of {table}")


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def zone(row: Row, name: str = "time_zone") -> Iterator[Pointer]:
    """A time zone is one of the IANA's names."""
    if row.get(name) is not None and row[name] not in _zones():
        yield fault(name, "is not a time zone of the IANA database")


def not_itself(row: Row, *names: str) -> None:
    """A record is neither its own parent nor its own manager: the smallest ring. Raises `Conflict`."""
    for name in names:
        if row.get(name) is not None and row.get(name) == row.get("id"):
            raise ring(name)


def ring(name: str) -> Conflict:
    """The one answer to a change after which a chain of parents, or of managers, would have no end."""
    return Conflict(f"/{name}: would make a ring", errors=[fault(name, "would make a ring")])


def scope(actor: Actor, row: Row, name: str = "owner_id") -> Iterator[Pointer]:
    """Who sees a part only gives records to people within it: or they would vanish from their giver's sight."""
    if not actor.sees_all and row.get(name) is not None and row[name] not in (actor.owners or ()):
        yield fault(name, "is not one of your people")


def owned(draft: Row, actor: Actor, now: datetime) -> dict[str, Any]:
    """Who creates a record owns it, unless another of their people is named (or nobody: null)."""
    refuse(scope(actor, draft))
    return {"owner_id": draft.get("owner_id", actor.id)}


async def in_turn(tx: Tx, table: str, column: str) -> None:
    """Changes of one tree wait for each other: two at once, each fine alone, could close a ring together.

    Before any row is locked, or two that wait here could hold what the other one's reference needs.
    """
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{table}.{column}")


async def no_ring(tx: Tx, table: str, column: str, new: Row) -> None:
    """Raises `Conflict` when following `column` (a parent, a manager) would lead back to the record itself."""
    if new.get(column) is None:
        return
    seen = guard(SYSTEM, table, "t", Params())
    found = await tx.fetchval(
        f"WITH RECURSIVE up(id) AS (SELECT $2::uuid UNION SELECT t.{column} FROM {table} t JOIN up ON t.id = up.id"
        f" WHERE t.{column} IS NOT NULL AND {seen}) SELECT 1 FROM up WHERE id = $1",
        new["id"],
        new[column],
    )
    if found:
        raise ring(column)


async def one_default(tx: Tx, actor: Actor, table: str, name: str, new: Row, old: Row | None) -> None:
    """Of a table with `is_default` one record is the default: who becomes it unmakes the one before."""
    if not new.get("is_default") or (old and old["is_default"]):
        return
    for row in await tx.fetch(
        f"SELECT id, version FROM {table} WHERE is_default AND deleted_at IS NULL AND id <> $1 FOR UPDATE",
        new["id"],
    ):
        await ledger.record(tx, actor, f"{name}.updated", name, row["id"], version=row["version"] + 1)
        await tx.execute(
            f"UPDATE {table} SET is_default = FALSE, version = version + 1, updated_at = clock_timestamp(),"
            " updated_by_id = $2 WHERE id = $1",
            row["id"],
            actor.id,
        )


async def exist(
    run: Tx | Database, actor: Actor, table: str, name: str, ids: Iterable[UUID], *, member: str = ""
) -> None:
    """Raises `Invalid` that points at the first of `ids` that is no record this actor sees.

    `member` where each item of the list `name` is an object that holds the id.
    """
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
            raise Invalid.at(f"/{name}/{index}/{member}".rstrip("/"), "there is no such record")
