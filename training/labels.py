"""What became of whom, and from when on one could know it: states of deals and leads by instant, read from history.

Instants are float microseconds since 1970 (`features.facts`) while they are joined, days where models read them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from features.facts import Array

DAY = 86_400e6
WEEK = 7 * DAY
FOREVER = "9999-12-31"

_SPANS = """
SELECT o.id::text AS id, o.from_at, o.to_at, o.stage, o.status, o.created_at
FROM known.opportunities o
WHERE o.from_at <= $1 AND o.from_at < o.to_at AND NOT o.is_deleted
ORDER BY o.id, o.from_at, o.version"""

_STAGES = """
SELECT s.key, min(s.position) AS position FROM known.stages s
WHERE s.status = 'open' AND s.to_at = '9999-12-31' AND NOT s.is_deleted
GROUP BY s.key ORDER BY min(s.position), s.key"""

_LEADS = """
SELECT l.id::text AS id, l.created_at, l.status,
       min(h.from_at) FILTER (WHERE h.status IN ('converted', 'unqualified')) AS ended_at,
       min(h.from_at) FILTER (WHERE h.status = 'converted') AS converted_at
FROM known.leads l JOIN known.leads h ON h.id = l.id AND h.from_at <= $1
WHERE l.from_at <= $1 AND $1 < l.to_at AND NOT l.is_deleted
GROUP BY l.id, l.created_at, l.status
ORDER BY l.created_at, l.id"""


@dataclass(frozen=True)
class States:
    """Spans of deals' states, sorted by (deal, start): `deal` numbers them, `names` are their ids."""

    names: tuple[str, ...]
    deal: Array
    from_at: Array
    to_at: Array
    stage: Array
    status: Array

    def at(self, deal: Array, instant: Array) -> Array:
        """The span in which each deal was at an instant; -1 before its first."""
        keys = self.deal.astype(np.float64) * 1e17 + self.from_at
        place = np.searchsorted(keys, deal.astype(np.float64) * 1e17 + instant, side="right") - 1
        return np.where((place >= 0) & (self.deal[place] == deal), place, -1)


def micros(instants: Sequence[Any]) -> Array:
    """datetimes as float microseconds; None is NaN."""
    return np.array([np.nan if at is None else at.timestamp() * 1e6 for at in instants], dtype=np.float64)


async def states(fetch: Any, as_of: Any) -> States:
    """All states of all deals, as known at `as_of`."""
    rows = await fetch(_SPANS, as_of)
    names, deal = np.unique([row["id"] for row in rows], return_inverse=True) if rows else (np.array([]), np.zeros(0))
    return States(
        tuple(str(name) for name in names),
        np.asarray(deal, dtype=np.int64).reshape(-1),
        micros([row["from_at"] for row in rows]),
        micros([None if row["to_at"].year == 9999 else row["to_at"] for row in rows]),
        np.array([row["stage"] for row in rows], dtype=object),
        np.array([row["status"] for row in rows], dtype=object),
    )


async def open_stages(fetch: Any) -> tuple[str, ...]:
    """The keys of all open stages, in the order of their pipelines."""
    return tuple(row["key"] for row in await fetch(_STAGES))


async def lead_fates(fetch: Any, as_of: Any) -> pl.DataFrame:
    """Leads with the instants (microseconds, NaN where not) at which they ended and converted."""
    rows = await fetch(_LEADS, as_of)
    return pl.DataFrame(
        {
            "id": [row["id"] for row in rows],
            "created_at": micros([row["created_at"] for row in rows]),
            "ended_at": micros([row["ended_at"] for row in rows]),
            "converted_at": micros([row["converted_at"] for row in rows]),
        },
        schema={"id": pl.String, "created_at": pl.Float64, "ended_at": pl.Float64, "converted_at": pl.Float64},
    )
