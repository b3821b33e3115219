"""Trees stay trees: rows that point at one another in a circle, or close one with what is stored, are found together.

A change alone is judged by `rules.no_ring`; here a whole chunk of changes is, for two that are fine alone may close a ring
together, and one that looks wrong alone may be right beside the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from service.access import SYSTEM, guard
from service.db import Params, Tx

Name = TypeVar("Name", UUID, str)
MOST_SHOWN = 5


def ring_of(start: Name, above: Mapping[Name, Name | None]) -> list[Name]:
    """The ring in which a record stands, from itself on; empty where it stands in none."""
    path, one = [start], above.get(start)
    seen = {start}
    while one is not None and one not in seen:
        path.append(one)
        seen.add(one)
        one = above.get(one)
    return path if one == start else []


def closing(
    changed: Mapping[UUID, UUID | None], stored: Mapping[UUID, UUID | None]
) -> dict[UUID, list[UUID]]:
    """Those of the changed records that would stand in a ring, each with it; without them none is closed."""
    refused: dict[UUID, list[UUID]] = {}
    while True:
        left = {one: above for one, above in changed.items() if one not in refused}
        found = _rings({**stored, **left}, left)
        if not found:
            return refused
        refused |= found


def _rings(above: Mapping[UUID, UUID | None], changed: Iterable[UUID]) -> dict[UUID, list[UUID]]:
    found: dict[UUID, list[UUID]] = {}
    passed: set[UUID] = set()
    for start in changed:
        path: dict[UUID, None] = {}
        one: UUID | None = start
        while one is not None and one not in passed and one not in path:
            path[one] = None
            one = above.get(one)
        if one is not None and one in path:
            ring = ring_of(one, above)
            found |= {each: ring_of(each, above) for each in ring if each in changed}
        passed |= path.keys()
    return found


async def stored_above(tx: Tx, table: str, column: str, ids: list[UUID]) -> dict[UUID, UUID | None]:
    """Record → what stands above it, for these records and all that stand above them."""
    seen = guard(SYSTEM, table, "t", Params())
    rows = await tx.fetch(
        f"WITH RECURSIVE up(id) AS (SELECT unnest($1::uuid[]) UNION SELECT t.{column} FROM {table} t JOIN up ON t.id = up.id"
        f" WHERE t.{column} IS NOT NULL AND {seen}) SELECT t.id, t.{column} AS above FROM {table} t JOIN up ON t.id = up.id"
        f" WHERE {seen}",
        ids,
    )
    return {row["id"]: row["above"] for row in rows}


def told(ring: Sequence[object]) -> str:
    """`would make a ring: A → B → A`, of a long one its beginning."""
    names = [str(one) for one in ring]
    beginning = [*names[:MOST_SHOWN], "…"] if len(names) > MOST_SHOWN else names
    return f"would make a ring: {' → '.join([*beginning, names[0]])}"
