"""Reading and writing are two levels: who only reads a record is told why when they try to change it."""

from uuid import UUID

from service.access import Actor, levels, visible
from service.db import Database, Params, Tx
from service.errors import Forbidden


async def require_write(run: Tx | Database, actor: Actor, resource: str, record_id: UUID) -> None:
    """Raises `Forbidden`, with the reason, for a record that this actor sees and may not change."""
    if not levels(actor, resource):
        return
    params = Params([record_id])
    mine = visible(actor, resource, "t", params, write=True)
    if await run.fetchval(f"SELECT 1 FROM {resource} t WHERE t.id = $1 AND {mine}", *params):
        return
    raise Forbidden(await _reason(run, actor, resource, record_id))


async def _reason(run: Tx | Database, actor: Actor, resource: str, record_id: UUID) -> str:
    if resource in ("shares", "views"):
        return f"Only who made it may change this {resource[:-1]}."
    params = Params([record_id, resource])
    seen = visible(actor, "shares", "s", params)
    share = await run.fetchrow(
        "SELECT s.reason FROM shares s WHERE s.record_id = $1 AND s.resource = $2 AND s.deleted_at IS NULL"
        f" AND {seen} LIMIT 1",
        *params,
    )
    if share is not None:
        said = f": {share['reason']}" if share["reason"] else ""
        return f"This record is shared with you to read, not to change{said}."
    return "You see this record through another one, a share or a territory: to read, not to change."
