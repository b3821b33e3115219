"""What follows from a set-based write: an event for each record, as if it had been written alone.

An undo, a merge or a transfer is meant once and recorded once; scores, search, web hooks and the feed still hear of each
record. Beyond `MOST_EACH` records nobody is told one by one: all scores and the whole search index are asked for instead.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from service import jobs, ledger, sight
from service.access import Actor
from service.db import Tx

MOST_EACH = 1_000
FEW = 50
"""Rows up to which the plan of an update is one for single rows."""

_WRITTEN = """
SELECT h.id, h.version, h.deleted_at IS NOT NULL AS is_gone, b.deleted_at IS NOT NULL AS was_gone
FROM history.{table} h LEFT JOIN history.{table} b ON b.id = h.id AND b.version = h.version - 1
WHERE h.change_id = $1 AND h.known_to = '9999-12-31' AND NOT EXISTS (
    SELECT 1 FROM ledger.events e WHERE e.change_id = $1 AND e.entity_id = h.id AND e.entity_version = h.version)
ORDER BY h.id LIMIT {most} /* access:{table} */"""


async def forget_plans(tx: Tx, written: int) -> None:
    """Call it after a set-based update of so many rows.

    The triggers of history keep the plan of their first call in a session. One made for many rows reads the whole of
    history for each single row that the same connection changes later: 100 ms instead of 1.
    """
    if written > FEW:
        await tx.execute("DISCARD PLANS")


async def tell(tx: Tx, actor: Actor, tables: Iterable[sa.Table]) -> None:
    """Records an event for each record of `tables` that this transaction's change set wrote without one of its own."""
    left = MOST_EACH
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for table in tables:
        rows = await tx.fetch(_WRITTEN.format(table=table.name, most=left + 1), tx.change_id)
        left -= len(rows)
        await forget_plans(tx, len(rows))
        if left < 0:
            await jobs.enqueue(tx, "score.all", key="all")
            await jobs.enqueue(tx, "search.rebuild", key="all")
            return
        for row in rows:
            found[sight.entity_of(table.name), _verb(row)].append(row)
    for (name, verb), rows in found.items():
        versions = {row["id"]: row["version"] for row in rows}
        said: list[tuple[UUID, dict[str, Any]]] = [(key, {}) for key in versions]
        await ledger.record_each(tx, actor, f"{name}.{verb}", name, said, versions)


def _verb(row: Any) -> str:
    if row["is_gone"] and not row["was_gone"]:
        return "deleted"
    return "restored" if row["was_gone"] and not row["is_gone"] else "updated"
