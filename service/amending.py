"""What is done to one record by whatever door, the API's or a page's: permission, sight, version and rules, in this order."""

from typing import Annotated, Any
from uuid import UUID

import msgspec

from service.access import Actor, guard, hidden, may, read_only, require
from service.changes import fields_of
from service.db import Database, Params, Tx
from service.errors import Conflict, Forbidden, Invalid, NotFound
from service.levels import require_write
from service.resource import Resource, Row
from service.rules import in_turn
from service.shapes import Given, Name
from service.wire import check_version
from service.writes import locked, refuse_hidden, remove, update


class Reversion(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`fields` names those to take back; left out, all of them."""

    version: Annotated[int, msgspec.Meta(ge=1, le=2_000_000_000)]
    fields: Given[Annotated[list[Name], msgspec.Meta(min_length=1, max_length=200)]] = msgspec.UNSET


async def check_parent(
    run: Tx | Database, resource: Resource, actor: Actor, parent: UUID | None, *, write: bool
) -> dict[str, Any]:
    """The parent of a nested resource under the column that holds it; `NotFound` where the actor does not see it."""
    if resource.nested is None:
        return {}
    table, params = resource.references[resource.nested], Params([parent])
    seen = guard(actor, table, "r", params)
    if not await run.fetchval(
        f"SELECT 1 FROM {table} r WHERE r.id = $1 AND r.deleted_at IS NULL AND {seen}", *params
    ):
        raise NotFound()
    if parent is not None and write:
        await require_write(run, actor, table, parent)
    return {resource.nested: parent}


async def amend(
    tx: Tx,
    resource: Resource,
    actor: Actor,
    record_id: UUID,
    values: Row,
    expected: int | None = None,
    parent: UUID | None = None,
) -> Row:
    """Changes fields: one version and its event. Raises `PreconditionFailed` where `expected` is not the version."""
    require(actor, resource.key, "update")
    refuse_hidden(resource, actor, values)
    if resource.tree in values:
        await in_turn(tx, resource.table.name, resource.tree)
    old = await locked(tx, resource, actor, record_id, parent=parent)
    check_version(expected, old["version"])
    return await update(tx, resource, actor, old, values)


async def discard(
    tx: Tx,
    resource: Resource,
    actor: Actor,
    record_id: UUID,
    expected: int | None = None,
    parent: UUID | None = None,
    *,
    deleted: bool = True,
) -> Row:
    """Deletes a record, or restores a deleted one; answers the row as it was."""
    require(actor, resource.key, "delete")
    old = await locked(tx, resource, actor, record_id, deleted=not deleted, parent=parent)
    check_version(expected, old["version"])
    if not deleted and old.get("merged_into_id"):
        raise Conflict(f"It was merged into {old['merged_into_id']}: undo the merge instead.")
    await remove(tx, resource, actor, old, deleted=deleted)
    return old


async def go_back(
    tx: Tx,
    resource: Resource,
    actor: Actor,
    record_id: UUID,
    asked: Reversion,
    expected: int | None = None,
    parent: UUID | None = None,
) -> Row:
    """Gives a record the values of an earlier version again, as a new one."""
    require(actor, resource.key, "update")
    old = await locked(tx, resource, actor, record_id, parent=parent)
    check_version(expected, old["version"])
    values = await _former(tx, resource, actor, old, asked)
    return await update(tx, resource, actor, old, values, data={"reverted_to": asked.version})


async def _former(tx: Tx, resource: Resource, actor: Actor, old: Row, asked: Reversion) -> Row:
    """The values of the version that was asked for.

    What only a verb changes (a stage, an owner) is taken back by who may undo; what follows from it comes with it, and
    follows by the rules for all others.
    """
    row = await tx.fetchrow(
        f"SELECT * FROM history.{resource.key} WHERE id = $1 AND version = $2 /* access:{resource.key} */",
        old["id"],
        asked.version,
    )
    if row is None:
        raise Invalid.at("/version", "there is no such version")
    given, patched = resource.draft.__struct_fields__, resource.patch.__struct_fields__
    known = [
        name
        for name in fields_of(resource.table)
        if name not in hidden(actor, resource.key) | read_only(actor, resource.key)
        and name
        not in ("deleted_at", "merged_into_id", resource.nested)  # a version does not decide what is here
    ]
    wanted = [name for name in known if name in given] if asked.fields is msgspec.UNSET else asked.fields
    for index, name in enumerate(wanted):
        if name not in known or name not in given:
            raise Invalid.at(f"/fields/{index}", "there is no such field")
    verbs = [name for name in wanted if name not in patched and row[name] != old[name]]
    if verbs and not may(actor, "changes", "undo"):
        raise Forbidden(f"Only a verb changes {', '.join(verbs)}: name the other fields in `fields`.")
    derived = [name for name in known if name not in given] if verbs else []
    return {name: row[name] for name in [*wanted, *derived]}
