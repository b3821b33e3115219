"""Versions that score silently beside the champion: who they are, what they said, and what came of it.

A `shadow` is only watched; a `challenger` takes the champion's place by itself once the sequential test of `ml.sequential`
says that it is better. Both chances are kept with the score at which they were given, so they are compared in pairs.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from registry import champion
from registry.champion import NotPublishable, Run

ALIASES = ("challenger", "shadow")

_SET = """
INSERT INTO registry.aliases (model, alias, version, set_by, reason) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (model, alias) DO UPDATE SET version = excluded.version, set_at = now(), set_by = excluded.set_by,
    reason = excluded.reason"""

_KEEP = """
INSERT INTO registry.shadows (score_id, version, model, entity_id, as_of, chances)
SELECT s, $2, $3, e, a, c FROM unnest($1::uuid[], $4::uuid[], $5::timestamptz[], $6::jsonb[]) AS x(s, e, a, c)
ON CONFLICT DO NOTHING"""

_FIRST = """
SELECT DISTINCT ON (entity_id) entity_id, as_of, chances FROM registry.shadows
WHERE model = $1 AND version = $2 AND (chances ->> 'champion_version')::int = $3
ORDER BY entity_id, as_of"""


async def aliases(run: Run, model: str) -> list[dict[str, Any]]:
    """The silent versions of a model."""
    rows = await run.fetch("SELECT * FROM registry.aliases WHERE model = $1 ORDER BY alias", model)
    return [dict(row) for row in rows]


async def name(run: Run, model: str, alias: str, version: int, *, by: str, reason: str = "") -> None:
    """Gives a version an alias. Raises `Unknown` for one that does not exist, `NotPublishable` where a refused version
    would become challenger: it could promote itself past its gates."""
    row = await champion.version_row(run, model, version)
    if alias == "challenger" and row["status"] == "refused":
        raise NotPublishable(f"{model} version {version} was refused; it may be a shadow, not a challenger")
    await run.execute(_SET, model, alias, version, by, reason)


async def unname(run: Run, model: str, alias: str) -> None:
    """Takes an alias away; what was said under it stays."""
    await run.execute("DELETE FROM registry.aliases WHERE model = $1 AND alias = $2", model, alias)


async def keep(
    run: Run,
    model: str,
    version: int,
    scores: Sequence[tuple[UUID, UUID, datetime]],
    chances: Sequence[Mapping[str, Any]],
) -> None:
    """Keeps what a silent version said at scores (id, entity, instant), with the champion's own chances beside."""
    ids, entities, instants = zip(*scores, strict=True)
    await run.execute(
        _KEEP, list(ids), version, model, list(entities), list(instants), [dict(one) for one in chances]
    )


async def first_looks(run: Run, model: str, version: int, beside: int) -> list[dict[str, Any]]:
    """What a silent version said first of each deal or lead while `beside` was champion: one look each, so that none
    counts twice."""
    return [dict(row) for row in await run.fetch(_FIRST, model, version, beside)]
