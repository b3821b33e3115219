"""Many records at once: created set-based, or changed one by one within a chunk, each by the rules of its kind."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from service import capture, ledger, validation
from service.access import Actor, guard
from service.db import Database, Params, Tx
from service.errors import Conflict, Forbidden, Invalid, Pointer, Problem
from service.resource import Resource, Row
from service.writes import OWNER, drafted, insert, no_such, pointed_at

MOST_FAULTS = 100


def under(prefix: str, error: Problem) -> list[Pointer]:
    """The faults of one part, as pointers into the whole."""
    return [
        one | {"pointer": f"{prefix}{one['pointer']}"}
        for one in error.errors or [{"pointer": "", "detail": error.detail}]
    ]


def refuse(faults: list[Pointer]) -> None:
    """Raises `Invalid` that lists the first hundred faults, if there is one."""
    if faults:
        said = "; ".join(f"{one['pointer']}: {one['detail']}" for one in faults[:5])
        raise Invalid(said, errors=faults[:MOST_FAULTS])


async def create(
    tx: Tx, database: Database, resource: Resource, actor: Actor, drafts: Sequence[Row]
) -> list[UUID]:
    """Creates all or none; what is wrong is listed by `/items/{n}/{field}`.

    Set-based where a record needs nothing but itself; one by one where a create writes elsewhere too.
    """
    faults: list[Pointer] = []
    rows: list[Row] = []
    for index, draft in enumerate(drafts):
        try:
            rows.append(await _one(tx, database, resource, actor, draft))
        except (Invalid, Conflict, Forbidden) as error:
            faults += under(f"/items/{index}", error)
    refuse(faults)
    if resource.is_single:
        await _check_references(tx, resource, actor, rows)
        await _copy(tx, resource, actor, rows)
    return [row["id"] for row in rows]


async def _one(tx: Tx, database: Database, resource: Resource, actor: Actor, draft: Row) -> Row:
    if not resource.is_single:
        async with tx.savepoint():
            if found := await capture.known(tx, actor, resource.key, resource.once, draft):
                return {"id": found}
            return await insert(tx, resource, actor, draft)
    row = drafted(resource, actor, draft)
    if resource.prepare:
        await resource.prepare(database, actor, row, None)
    await validation.judge(database, resource.key, row)
    return row


async def _check_references(tx: Tx, resource: Resource, actor: Actor, rows: Sequence[Row]) -> None:
    """Each record that is pointed at must exist for this actor; one statement a table."""
    wanted = [(index, *each) for index, row in enumerate(rows) for each in pointed_at(resource, actor, row)]
    faults: list[Pointer] = []
    for table in {table for _, _, table, _ in wanted}:
        params = Params([list({one for _, _, name, one in wanted if name == table})])
        active = "r.is_active" if table == "users" else "TRUE"
        found = await tx.fetch(
            f"SELECT r.id, {active} AS is_active FROM {table} r WHERE r.id = ANY($1::uuid[]) AND r.deleted_at IS NULL"
            f" AND {guard(actor, table, 'r', params)} FOR KEY SHARE OF r",
            *params,
        )
        there = {row["id"]: row["is_active"] for row in found}
        faults += [
            {"pointer": f"/items/{index}/{name}", "detail": no_such(name)}
            for index, name, of, one in wanted
            if of == table and not there.get(one, False) and (one not in there or name == OWNER)
        ]
    refuse(faults)


async def _copy(tx: Tx, resource: Resource, actor: Actor, rows: Sequence[Row]) -> None:
    """Rows of equal columns go in together; each has an event of its own beside the one that was meant."""
    await ledger.record(
        tx, actor, f"{resource.name}.bulk_created", resource.name, data={"records": len(rows)}
    )
    groups: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(tuple(row.values()))
    for names, records in groups.items():
        await tx.copy_records(resource.table.name, names, records)
    said: list[tuple[UUID, Row]] = [(row["id"], {}) for row in rows]
    versions = {row["id"]: 1 for row in rows}
    await ledger.record_each(tx, actor, f"{resource.name}.created", resource.name, said, versions)
