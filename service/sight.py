"""What an actor may see of records of any kind, by their ids: for feeds, web hooks and explanations."""

from typing import Any
from uuid import UUID

from service import query
from service.access import Actor, guard, hidden, may
from service.db import Database, Params, Tx, table_named


def entity_of(table: str) -> str:
    """The business noun of a table: `opportunities` → `opportunity`."""
    return f"{table[:-3]}y" if table.endswith("ies") else table.removesuffix("s")


async def records(
    run: Tx | Database, actor: Actor, entity_type: str, ids: list[UUID]
) -> dict[UUID, dict[str, Any]]:
    """Those of the records that the actor may see, deleted ones too, with the fields that the actor may see."""
    name = table_named(entity_type)
    if name is None or not may(actor, name, "read"):
        return {}
    params = Params([ids])
    seen = guard(actor, name, "t", params)
    source, without = query.plain(name), hidden(actor, name)
    shown = query.projection(source, "t", query.all_fields(source, without), without)
    rows = await run.fetch(
        f"SELECT t.id AS key, (SELECT row_to_json(d) FROM (SELECT {shown}) d) AS record"
        f" FROM {name} t WHERE t.id = ANY($1::uuid[]) AND {seen}",
        *params,
    )
    return {row["key"]: row["record"] for row in rows}


async def visible_ids(run: Tx | Database, actor: Actor, entity_type: str, ids: list[UUID]) -> set[UUID]:
    """Those of the records that the actor may see, deleted ones too."""
    name = table_named(entity_type)
    if name is None or not may(actor, name, "read"):
        return set()
    params = Params([ids])
    seen = guard(actor, name, "t", params)
    rows = await run.fetch(f"SELECT t.id FROM {name} t WHERE t.id = ANY($1::uuid[]) AND {seen}", *params)
    return {row["id"] for row in rows}
