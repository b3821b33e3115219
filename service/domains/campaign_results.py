"""What came of a campaign: `GET /campaigns/{id}/results`, for it alone or with all campaigns below it."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from service import calendar, money
from service.access import Actor, require, visible
from service.db import Database, Params
from service.domains.campaigns import resource as campaigns
from service.errors import BadRequest
from service.trees import MOST_DEPTH
from service.wire import answer
from service.writes import document

# Shapes --------------------------------------------------------------------------------------------


class Results(msgspec.Struct, kw_only=True):
    """Of the leads and deals that the caller sees. Sums are in home currency.

    Ratios are null where there is nothing, and for who does not see all records.
    """

    campaigns: int
    currency: str
    cost: Decimal | None
    leads: int
    converted_leads: int
    opportunities: int
    open: int
    won: int
    lost: int
    pipeline_amount: Decimal
    won_amount: Decimal
    cost_per_lead: Decimal | None
    return_on_cost: float | None


# Rules ---------------------------------------------------------------------------------------------


def _ratio(over: Decimal, under: Decimal | int | None) -> Decimal | None:
    return over / under if under else None


def reckoned(
    counts: dict[str, Any], cost: Decimal | None, n_campaigns: int, currency: str, *, sees_all: bool
) -> Results:
    """The counts with what follows from them; `return_on_cost` is (won − cost) / cost.

    A part of what came of it says nothing beside the whole cost: who sees a part gets no ratios.
    """
    whole = cost if sees_all else None
    per_lead = _ratio(whole, counts["leads"]) if whole is not None else None
    gain = _ratio(counts["won_amount"] - whole, whole) if whole is not None else None
    return Results(
        campaigns=n_campaigns,
        currency=currency,
        cost=cost,
        cost_per_lead=None if per_lead is None else money.kept(per_lead),
        return_on_cost=None if gain is None else round(float(gain), 4),
        **counts,
    )


_BELOW = f"""
WITH RECURSIVE below AS (
    SELECT t.id, 0 AS depth FROM campaigns t WHERE t.id = $1
    UNION SELECT t.id, b.depth + 1 FROM campaigns t JOIN below b ON t.parent_id = b.id
    WHERE $2 AND t.deleted_at IS NULL AND b.depth < {MOST_DEPTH})
SELECT DISTINCT c.id, c.cost, c.currency, coalesce(c.start_date, c.created_at::date) AS day
FROM campaigns c JOIN below b ON b.id = c.id"""


async def _cost(database: Database, rows: list[Any], home: str) -> Decimal | None:
    """Σ of the costs in home currency, each by the rate of its start; None where none is known."""
    costs = [await money.at_home(database, row["cost"], row["currency"], row["day"], home) for row in rows]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if known else None


async def _counts(database: Database, actor: Actor, ids: list[UUID]) -> dict[str, Any]:
    params = Params([ids])
    lead = (
        f"l.campaign_id = ANY($1::uuid[]) AND l.deleted_at IS NULL AND {visible(actor, 'leads', 'l', params)}"
    )
    deal = (
        "o.campaign_id = ANY($1::uuid[]) AND o.deleted_at IS NULL"
        f" AND {visible(actor, 'opportunities', 'o', params)}"
    )
    row = await database.fetchrow(
        "SELECT * FROM (SELECT count(*) AS leads, count(*) FILTER (WHERE l.status = 'converted') AS converted_leads"
        f" FROM leads l WHERE {lead}) a CROSS JOIN (SELECT count(*) AS opportunities,"
        " count(*) FILTER (WHERE o.status = 'open') AS open, count(*) FILTER (WHERE o.status = 'won') AS won,"
        " count(*) FILTER (WHERE o.status = 'lost') AS lost,"
        " coalesce(sum(o.amount_home) FILTER (WHERE o.status = 'open'), 0)::numeric(19, 4) AS pipeline_amount,"
        " coalesce(sum(o.amount_home) FILTER (WHERE o.status = 'won'), 0)::numeric(19, 4) AS won_amount"
        f" FROM opportunities o WHERE {deal}) b",
        *params,
    )
    return dict(row)


# Routes --------------------------------------------------------------------------------------------


@get("/campaigns/{record_id:uuid}/results", opt={"answer": Results, "query": ("include",)})
async def results(
    request: Request[Any, Any, Any],
    database: NamedDependency[Database],
    actor: NamedDependency[Actor],
    record_id: FromPath[UUID],
) -> Response[bytes]:
    """Leads, conversions, deals and what they are worth, beside the cost; `?include=children` with those below."""
    require(actor, "campaigns", "read")
    include = request.query_params.get("include", "")
    if include not in ("", "children"):
        raise BadRequest("include: the one thing to include is children.")
    await document(database, campaigns, actor, record_id)
    rows = await database.fetch(_BELOW, record_id, include == "children")
    home = (await calendar.company(database)).home_currency
    cost = await _cost(database, rows, home)
    counts = await _counts(database, actor, [row["id"] for row in rows])
    return answer(reckoned(counts, cost, len(rows), home, sees_all=actor.sees_all))


routes = [results]
