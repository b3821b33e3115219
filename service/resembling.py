"""Deals like a deal: closed ones, by what they are and by what was written about them.

Structure (amount, type, segment, industry, source, competitors) is compared in Python over the closed deals that the
actor sees; the mean vectors of their notes refine the best of them. Each part counts only where both deals have it, and
the similarity is the weighted mean of those parts: 1 is alike in all that is known of both.
"""

import math
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from ml.embed import Floats
from service import finding
from service.access import Actor, visible
from service.db import Database, Params
from service.errors import NotFound

MOST_COMPARED = 5_000
REFINED = 200
WEIGHTS = {
    "amount": 3.0,
    "type": 1.5,
    "segment": 1.5,
    "industry": 1.5,
    "pipeline_id": 1.0,
    "lead_source": 0.5,
    "competitors": 1.0,
    "notes": 3.0,
}


class Resemblance(msgspec.Struct, kw_only=True):
    """A closed deal. `days` from its creation to its close; `similarity` in [0, 1]."""

    opportunity_id: UUID
    name: str
    status: str
    amount: Decimal | None
    currency: str | None
    days: int
    loss_reason: str | None
    closed_at: datetime
    similarity: float


_DEALS = """
SELECT t.id, t.name, t.status, t.amount, t.amount_home, t.currency, t.loss_reason, t.closed_at, t.created_at, t.type,
    t.pipeline_id, t.lead_source, t.competitor_id, t.competitor_ids, a.segment, a.industry
FROM opportunities t LEFT JOIN accounts a ON a.id = t.account_id /* access:accounts */
WHERE t.deleted_at IS NULL AND {where} AND {seen}
ORDER BY t.closed_at DESC NULLS LAST, t.id LIMIT {limit}"""

_NOTES = """
SELECT c.opportunity_id AS id, avg(v.vector)::text AS v
FROM chunks c JOIN chunk_vectors v ON v.chunk_id = c.id AND v.version = $2
WHERE c.opportunity_id = ANY($1::uuid[]) AND {seen} GROUP BY c.opportunity_id"""


def _competitors(deal: Any) -> frozenset[UUID]:
    return frozenset(
        [*(deal["competitor_ids"] or ()), *([deal["competitor_id"]] if deal["competitor_id"] else ())]
    )


def parts(one: Any, other: Any) -> dict[str, float]:
    """Likeness of each part that both deals have, in [0, 1]."""
    found: dict[str, float] = {}
    mine, theirs = one["amount_home"], other["amount_home"]
    if mine and theirs and mine > 0 and theirs > 0:
        found["amount"] = math.exp(-abs(math.log(float(mine) / float(theirs))))
    for name in ("type", "segment", "industry", "pipeline_id", "lead_source"):
        if one[name] is not None and other[name] is not None:
            found[name] = float(one[name] == other[name])
    rivals, others = _competitors(one), _competitors(other)
    if rivals and others:
        found["competitors"] = len(rivals & others) / len(rivals | others)
    return found


def weigh(found: dict[str, float]) -> float:
    """The weighted mean of the parts; 0 where nothing can be compared."""
    total = sum(WEIGHTS[name] for name in found)
    return sum(WEIGHTS[name] * value for name, value in found.items()) / total if total else 0.0


async def _note_vectors(database: Database, actor: Actor, ids: list[UUID]) -> dict[UUID, Floats]:
    params = Params([ids, finding.embedder.version])
    seen = finding.visible_chunks(actor, "c", params)
    rows = await database.fetch(_NOTES.format(seen=seen), *params)
    vectors = {row["id"]: np.array(msgspec.json.decode(row["v"]), dtype=np.float32) for row in rows}
    return {key: vector / np.linalg.norm(vector) for key, vector in vectors.items()}


async def _deals(database: Database, actor: Actor, where: str, first: list[Any], limit: int) -> list[Any]:
    params = Params(first)
    seen = visible(actor, "opportunities", "t", params)
    return await database.fetch(_DEALS.format(where=where, seen=seen, limit=limit), *params)


async def similar_deals(database: Database, actor: Actor, deal_id: UUID, limit: int) -> list[Resemblance]:
    """The closed deals most like this one, best first, among those that the actor sees. Raises `NotFound`."""
    own = await _deals(database, actor, "t.id = $1", [deal_id], 1)
    if not own:
        raise NotFound("There is no such opportunity.")
    others = await _deals(database, actor, "t.status <> 'open' AND t.id <> $1", [deal_id], MOST_COMPARED)
    compared = [(parts(own[0], other), other) for other in others]
    compared.sort(key=lambda pair: -weigh(pair[0]))
    best = compared[:REFINED]
    notes = await _note_vectors(database, actor, [deal_id, *(other["id"] for _, other in best)])
    mine = notes.get(deal_id)
    if mine is not None:
        for found, other in best:
            if (theirs := notes.get(other["id"])) is not None:
                found["notes"] = max(0.0, float(mine @ theirs))
    best.sort(key=lambda pair: -weigh(pair[0]))
    return [
        Resemblance(
            opportunity_id=deal["id"],
            name=deal["name"],
            status=deal["status"],
            amount=deal["amount"],
            currency=deal["currency"],
            days=max(0, (deal["closed_at"] - deal["created_at"]).days),
            loss_reason=deal["loss_reason"],
            closed_at=deal["closed_at"],
            similarity=round(min(1.0, weigh(found)), 4),
        )
        for found, deal in best[:limit]
    ]
