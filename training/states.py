"""States of deals and leads by instant, read from history. What counts as an outcome says `features.labels`.

Instants are float microseconds since 1970 (`features.facts`) while they are joined, days where models read them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from features.facts import Array, instant
from features.labels import Fates, fates_of
from features.reading import Spine

DAY = 86_400e6
WEEK = 7 * DAY
FILLED = ("account_id", "close_date", "competitors", "type", "lead_source")
"""Columns of deals of which it is asked when they get their values."""

_SPANS = """
SELECT o.id::text AS id, o.from_at, o.to_at, o.stage, o.status, o.amount::float8 AS amount, o.closed_at,
       o.account_id IS NOT NULL AS account_id, o.close_date IS NOT NULL AS close_date, o.competitors > 0 AS competitors,
       o.type IS NOT NULL AS type, o.lead_source IS NOT NULL AS lead_source
FROM known.opportunities o
WHERE o.from_at <= $1 AND o.from_at < o.to_at AND NOT o.is_deleted
ORDER BY o.id, o.from_at, o.version"""

_STAGES = """
SELECT s.key, min(s.position) AS position FROM known.stages s
WHERE s.status = 'open' AND s.to_at = '9999-12-31' AND NOT s.is_deleted
GROUP BY s.key ORDER BY min(s.position), s.key"""

_LEADS = """
SELECT l.id::text AS id, l.created_at,
       min(h.from_at) FILTER (WHERE h.status IN ('converted', 'unqualified')) AS ended_at
FROM known.leads l JOIN known.leads h ON h.id = l.id AND h.from_at <= $1
WHERE l.from_at <= $1 AND $1 < l.to_at AND NOT l.is_deleted
GROUP BY l.id, l.created_at
ORDER BY l.created_at, l.id"""

CHUNK = 20_000
"""Leads whose fates are asked for at a time."""


@dataclass(frozen=True)
class States:
    """Spans of deals' states, sorted by (deal, start): `deal` numbers them, `names` are their ids."""

    names: tuple[str, ...]
    deal: Array
    from_at: Array
    to_at: Array
    stage: Array
    status: Array
    amount: Array
    """In the home currency, NaN where not known."""
    closed_at: Array
    """The day of the close that the record states, NaN while it is open."""
    filled: dict[str, Array]
    """Column → whether it was filled in: when columns get their values is what the leak guard asks."""

    def at(self, deal: Array, instant: Array) -> Array:
        """The span in which each deal was at an instant; -1 before its first."""
        starts, keys = self._places
        reached = np.searchsorted(starts, instant, side="right").astype(np.int64)
        place = np.searchsorted(keys, deal.astype(np.int64) * (len(starts) + 1) + reached, side="right") - 1
        return np.where((place >= 0) & (self.deal[place] == deal), place, -1)

    @cached_property
    def _places(self) -> tuple[Array, Array]:
        """The instants at which spans begin, and (deal, place of its start among them) as one whole number: a deal and
        an instant in microseconds do not fit into one float."""
        starts, place = np.unique(self.from_at, return_inverse=True)
        return starts, self.deal.astype(np.int64) * (len(starts) + 1) + place.reshape(-1) + 1


def micros(instants: Sequence[Any]) -> Array:
    """datetimes as whole microseconds; None is NaN."""
    return np.array([instant(at) for at in instants], dtype=np.float64)


async def states(fetch: Any, as_of: Any) -> States:
    """All states of all deals, as known at `as_of`."""
    rows = await fetch(_SPANS, as_of)
    names, deal = (
        np.unique([row["id"] for row in rows], return_inverse=True) if rows else (np.array([]), np.zeros(0))
    )
    return States(
        tuple(str(name) for name in names),
        np.asarray(deal, dtype=np.int64).reshape(-1),
        micros([row["from_at"] for row in rows]),
        micros([None if row["to_at"].year == 9999 else row["to_at"] for row in rows]),
        np.array([row["stage"] for row in rows], dtype=object),
        np.array([row["status"] for row in rows], dtype=object),
        np.array([np.nan if row["amount"] is None else row["amount"] for row in rows], dtype=np.float64),
        micros([row["closed_at"] for row in rows]),
        {name: np.array([row[name] for row in rows], dtype=bool) for name in FILLED},
    )


def fates(history: States) -> Fates:
    """The newest state of each deal, by number of the deal."""
    last = (
        np.flatnonzero(np.append(history.deal[1:] != history.deal[:-1], True))
        if len(history.deal)
        else np.zeros(0, np.int64)
    )
    return Fates(history.status[last], _since(history, last), history.amount[last])


def _since(history: States, last: Array) -> Array:
    """Since when each of these spans' status has held without a break."""
    before = np.append(
        [True], (history.deal[1:] != history.deal[:-1]) | (history.status[1:] != history.status[:-1])
    )
    begins = np.flatnonzero(before)
    found: Array = history.from_at[begins[np.searchsorted(begins, last, side="right") - 1]]
    return found


def first_close(history: States) -> float:
    """When deals began to be closed, as one knows: the close after which 99 % of all came. -inf where there was none.

    Files often hold what was closed since some day, and when each of those began. Until that day none of them could
    have closed (immortal time): those weeks look as if nothing ever did."""
    closes = np.sort(fates(history).closed_at)
    closes = closes[np.isfinite(closes)]
    return float(closes[len(closes) // 100]) if len(closes) else -np.inf


def filled_at(history: States) -> dict[str, Array]:
    """When each column was filled in first, by deal; NaN where it never was."""
    size = len(history.names)
    found = {}
    for name, mask in history.filled.items():
        first = np.full(size, np.inf)
        np.minimum.at(first, history.deal[mask], history.from_at[mask])
        found[name] = np.where(np.isfinite(first), first, np.nan)
    return found


_FIRST = """
SELECT o.id::text AS id, f.key, min(o.from_at) AS first_at
FROM known.opportunities o, LATERAL jsonb_object_keys(o.custom::jsonb) AS f(key)
WHERE o.custom IS NOT NULL AND o.from_at <= $1 AND o.from_at < o.to_at AND f.key = ANY($2::text[])
GROUP BY o.id, f.key"""


async def fields_filled_at(
    fetch: Any, as_of: Any, names: Sequence[str], keys: Mapping[str, str]
) -> dict[str, Array]:
    """When custom fields of deals were filled in first, by feature (`keys`: feature → key) and number of the deal."""
    if not keys:
        return {}
    place = {name: number for number, name in enumerate(names)}
    found = {feature: np.full(len(names), np.nan) for feature in keys}
    by_key = {key: feature for feature, key in keys.items()}
    for row in await fetch(_FIRST, as_of, list(by_key)):
        if row["id"] in place:
            found[by_key[row["key"]]][place[row["id"]]] = instant(row["first_at"])
    return found


async def open_stages(fetch: Any) -> tuple[str, ...]:
    """The keys of all open stages, in the order of their pipelines."""
    return tuple(row["key"] for row in await fetch(_STAGES))


@dataclass(frozen=True)
class Leads:
    """Leads in the order of their creation: when they came in and first ended (NaN where not), and how they stand."""

    names: tuple[str, ...]
    created_at: Array
    ended_at: Array
    fates: Fates


async def leads_of(fetch: Any, as_of: Any) -> Leads:
    """All leads, as known at `as_of`."""
    rows = await fetch(_LEADS, as_of)
    names, until = [row["id"] for row in rows], instant(as_of)
    parts = []
    for start in range(0, max(len(names), 1), CHUNK):
        part = names[start : start + CHUNK]
        at = np.full(len(part), until)
        parts.append(await fates_of(fetch, "lead", Spine(part, at, at), until))
    return Leads(
        tuple(names),
        micros([row["created_at"] for row in rows]),
        micros([row["ended_at"] for row in rows]),
        Fates(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("status", "since", "amount"))),
    )


_EVIDENCE = """
WITH closed AS (
    SELECT id, status FROM known.opportunities
    WHERE from_at <= $1 AND $1 < to_at AND status <> 'open' AND NOT is_deleted
), staged AS (
    SELECT DISTINCT c.id FROM closed c JOIN known.opportunities o ON o.id = c.id AND o.status = 'open'
)
SELECT count(*) FILTER (WHERE status = 'won') AS closed_won, count(*) FILTER (WHERE status = 'lost') AS closed_lost,
       (SELECT coalesce(extract(epoch FROM $1 - min(created_at)) / 2629746, 0)::float8 FROM known.opportunities
        WHERE created_at <= $1) AS months_of_history,
       coalesce((SELECT count(*) FROM staged)::float8 / nullif(count(*), 0), 0) AS stage_history_share
FROM closed"""

_EVIDENCE_OF_LEADS = """
SELECT count(*) FILTER (WHERE status = 'converted') AS converted,
       count(*) FILTER (WHERE status = 'unqualified') AS not_converted,
       coalesce(extract(epoch FROM $1 - min(created_at)) / 2629746, 0)::float8 AS months_of_history
FROM known.leads WHERE from_at <= $1 AND $1 < to_at AND NOT is_deleted"""


async def evidence(fetch: Any, as_of: Any, *, of_leads: bool = False) -> dict[str, float]:
    """What there is to learn from, counted: what a tier above the baseline asks for."""
    row = (await fetch(_EVIDENCE_OF_LEADS if of_leads else _EVIDENCE, as_of))[0]
    return {name: round(float(value), 2) for name, value in dict(row).items()}
