"""Writes of a resource's records within a transaction: judged by its rules, recorded in the ledger, one version each."""

from datetime import UTC, datetime
from uuid import UUID

from service import custom, ledger, query, single, validation
from service.access import Actor, guard, hidden, read_only
from service.db import Database, Params, Tx
from service.errors import Forbidden, Invalid, NotFound, Pointer
from service.ids import new_id
from service.levels import require_write
from service.query import sql_type
from service.resource import Resource, Row
from service.rules import no_ring

OWNER = "owner_id"
"""Who is not active any more is given nothing new."""


def refuse_hidden(resource: Resource, actor: Actor, values: Row) -> None:
    """Raises for a value of a field that the actor does not see (422: unknown) or may not write (403)."""
    unseen, kept = hidden(actor, resource.key), read_only(actor, resource.key)
    for name in values:
        if name in unseen:
            raise Invalid.at(f"/{name}", "Object contains unknown field")
        if name in kept:
            raise Forbidden(f"The field {name} is read only for your role.", errors=[_kept_from(name)])


def _kept_from(name: str) -> Pointer:
    return {"pointer": f"/{name}", "detail": "is read only for your role"}


def pointed_at(resource: Resource, actor: Actor, values: Row) -> list[tuple[str, str, UUID]]:
    """(column, table, id) of what `values` points at; the URL's parent and who asks are known to be there."""
    return [
        (name, table, values[name])
        for name, table in resource.references.items()
        if values.get(name) and values[name] != actor.id and name != resource.nested
    ]


def reference_tests(actor: Actor, wanted: list[tuple[str, str, UUID]], params: Params) -> list[str]:
    """For each reference, whether its record exists for this actor; an owner is active too."""
    return [
        f"EXISTS (SELECT 1 FROM {table} r WHERE r.id = {params.add(value)} AND r.deleted_at IS NULL"
        f"{' AND r.is_active' if name == OWNER else ''} AND {guard(actor, table, 'r', params)})"
        for name, table, value in wanted
    ]


def no_such(name: str) -> str:
    """What is said of a reference that leads nowhere."""
    return "is not an active user" if name == OWNER else "there is no such record"


async def check_references(run: Tx | Database, resource: Resource, actor: Actor, values: Row) -> None:
    """Each record that `values` points at must exist for this actor; all are asked in one statement."""
    wanted = pointed_at(resource, actor, values)
    if not wanted:
        return
    params = Params()
    found = await run.fetchrow("SELECT " + ", ".join(reference_tests(actor, wanted, params)), *params)
    errors = [
        {"pointer": f"/{name}", "detail": no_such(name)}
        for (name, _, _), exists in zip(wanted, found, strict=True)
        if not exists
    ]
    if errors:
        raise Invalid(f"{errors[0]['pointer']}: {errors[0]['detail']}", errors=errors)


def drafted(resource: Resource, actor: Actor, draft: Row) -> Row:
    """The row of a draft: defaults and the pure rule applied."""
    refuse_hidden(resource, actor, draft)
    row: Row = {"id": new_id()} | draft
    if resource.defaults:
        row |= resource.defaults(row, actor, datetime.now(UTC))
    row |= {"created_by_id": actor.id, "updated_by_id": actor.id}
    if resource.check:
        resource.check(row, None)
    return row


async def new_row(run: Tx | Database, resource: Resource, actor: Actor, draft: Row) -> Row:
    """The row of a draft: defaults, references and the pure rule applied; nothing is stored."""
    row = drafted(resource, actor, draft)
    await custom.settle(run, resource.key, actor, row, None)
    await check_references(run, resource, actor, row)
    return row


async def insert(tx: Tx, resource: Resource, actor: Actor, draft: Row) -> Row:
    """Creates a record within a transaction (verbs, imports of single records, tests) and returns its row."""
    row = await new_row(tx, resource, actor, draft)
    if resource.prepare:
        await resource.prepare(tx, actor, row, None)
    await validation.judge(tx, resource.key, row)
    await ledger.record(tx, actor, f"{resource.name}.created", resource.name, row["id"], version=1)
    stored = dict(
        await tx.fetchrow(single.insert_text(resource.table, tuple(row)) + " RETURNING *", *row.values())
    )
    if resource.after:
        await resource.after(tx, actor, stored, None)
    return stored


async def judged(
    run: Tx | Database, resource: Resource, actor: Actor, old: Row, changes: Row, *, is_carried: bool = False
) -> Row:
    """What really changes, after the rules: derived columns included."""
    changes = {name: value for name, value in changes.items() if old.get(name) != value}
    if not changes:
        return changes
    new = old | changes
    if "cf" in changes:
        await custom.settle(run, resource.key, actor, new, old)
    if resource.check:
        resource.check(new, old)
    if not is_carried:
        await check_references(run, resource, actor, changes)
    if resource.tree in changes and isinstance(run, Tx):
        await no_ring(run, resource.table.name, resource.tree, new)
    if resource.prepare:
        await resource.prepare(run, actor, new, old)
    changes = {
        name: value for name, value in new.items() if value is not old.get(name) and value != old.get(name)
    }
    await validation.judge(run, resource.key, new)
    return changes


async def update(
    tx: Tx,
    resource: Resource,
    actor: Actor,
    old: Row,
    changes: Row,
    *,
    kind: str | None = None,
    data: Row | None = None,
    is_carried: bool = False,
) -> Row:
    """Writes `changes` over `old` (a row fetched and locked in this transaction) as one version, with its event.

    `is_carried`: the values stand in records that the actor sees, so what they point at may be deleted by now.
    """
    changes = await judged(tx, resource, actor, old, changes, is_carried=is_carried)
    if not changes:
        return old
    event = kind or f"{resource.name}.updated"
    await ledger.record(tx, actor, event, resource.name, old["id"], version=old["version"] + 1, data=data)
    stored = await _write(tx, resource, actor, old["id"], changes)
    if resource.after:
        await resource.after(tx, actor, stored, old)
    return stored


async def _write(tx: Tx, resource: Resource, actor: Actor, record_id: UUID, changes: Row) -> Row:
    sets = ", ".join(
        f'"{name}" = ${index}::{sql_type(resource.table.c[name])}' for index, name in enumerate(changes, 3)
    )
    return dict(
        await tx.fetchrow(
            f"UPDATE {resource.table.name} SET {sets}, version = version + 1, updated_at = clock_timestamp(),"
            f" updated_by_id = $2 WHERE id = $1 RETURNING * /* access:{resource.key} */",  # asked by `locked`
            record_id,
            actor.id,
            *changes.values(),
        )
    )


async def locked(
    tx: Tx,
    resource: Resource,
    actor: Actor,
    record_id: UUID,
    *,
    deleted: bool = False,
    parent: UUID | None = None,
) -> Row:
    """The row, locked for this transaction, if the actor sees it; else `NotFound`."""
    return await seen(tx, resource, actor, record_id, deleted=deleted, parent=parent, lock=" FOR UPDATE OF t")


async def seen(
    run: Tx | Database,
    resource: Resource,
    actor: Actor,
    record_id: UUID,
    *,
    deleted: bool = False,
    parent: UUID | None = None,
    lock: str = "",
) -> Row:
    params = Params([record_id])
    seen = guard(actor, resource.key, "t", params)
    within = f' AND t."{resource.nested}" = {params.add(parent)}' if resource.nested and parent else ""
    row = await run.fetchrow(
        f"SELECT t.* FROM {resource.table.name} t WHERE t.id = $1 AND {seen}{within}"
        f" AND t.deleted_at IS {'NOT NULL' if deleted else 'NULL'}{lock}",
        *params,
    )
    if row is None:
        raise NotFound(f"There is no such {resource.name.replace('_', ' ')}.")
    await require_write(run, actor, resource.key, record_id)
    return dict(row)


async def document(run: Tx | Database, resource: Resource, actor: Actor, record_id: UUID) -> tuple[str, int]:
    """The record as JSON text for this actor, with its version."""
    found = await query.one(run, resource.source, actor, record_id)
    if found is None:
        raise NotFound(f"There is no such {resource.name.replace('_', ' ')}.")
    return found


async def remove(tx: Tx, resource: Resource, actor: Actor, old: Row, *, deleted: bool = True) -> Row:
    """Soft delete, or its opposite, with its event."""
    kind = f"{resource.name}.{'deleted' if deleted else 'restored'}"
    await ledger.record(tx, actor, kind, resource.name, old["id"], version=old["version"] + 1)
    stored = await _write(
        tx, resource, actor, old["id"], {"deleted_at": datetime.now(UTC) if deleted else None}
    )
    if resource.after:
        await resource.after(tx, actor, stored, old)
    return stored
