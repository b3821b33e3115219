"""Reading a forecast: the run that answers, quotas, and what people have said over it, brought together."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from service import calendar, forecasting, nodes
from service.access import Actor, visible
from service.calendar import Period
from service.db import Database, Params, Tx
from service.figures import CENT, Figures, Run, Sums, finished_run, latest_run, run_of, sums_by_leaf
from service.nodes import Kind, Leaf, Node
from service.settings import Settings


async def quotas_of(database: Database | Tx, actor: Actor, period: Period) -> dict[Node, Decimal]:
    """The published quotas for bookings of the period, by node, as far as the actor may see them."""
    params = Params([period.key])
    seen = visible(actor, "quotas", "t", params)
    rows = await database.fetch(
        "SELECT t.user_id, t.team_id, t.territory_id, t.amount FROM quotas t JOIN periods p ON p.id = t.period_id"
        " WHERE p.key = $1 AND t.deleted_at IS NULL AND t.status = 'published' AND t.measure = 'bookings'"
        f" AND {seen}",
        *params,
    )
    kinds: tuple[Kind, ...] = ("user", "team", "territory")
    return {
        Node(kind, row[f"{kind}_id"]): row["amount"].quantize(CENT)
        for row in rows
        for kind in kinds
        if row[f"{kind}_id"]
    }


def _reference(row: Any) -> dict[str, Any]:
    return {"type": row["node_type"], "id": row["node_id"]}


def _shown(row: Any, *names: str) -> dict[str, Any]:
    return {
        name: row[name].quantize(CENT) if isinstance(row[name], Decimal) else row[name] for name in names
    } | {"node": _reference(row)}


def submission_item(row: Any) -> dict[str, Any]:
    return _shown(row, "id", "period", "commit", "best_case", "note", "submitted_by_id", "created_at")


def override_item(row: Any) -> dict[str, Any]:
    shown = _shown(
        row, "id", "period", "category", "amount", "original", "reason", "created_by_id", "created_at"
    )
    return shown | {"version": row["place"]}


_LATEST_SUBMISSIONS = """
SELECT DISTINCT ON (node_type, node_id) * FROM forecast_submissions
WHERE period = $1 AND deleted_at IS NULL AND ($2::timestamptz IS NULL OR created_at <= $2)
ORDER BY node_type, node_id, created_at DESC, id DESC"""

_OVERRIDES = """
SELECT * FROM forecast_overrides
WHERE period = $1 AND deleted_at IS NULL AND ($2::timestamptz IS NULL OR created_at <= $2) ORDER BY place"""


async def judgements(
    database: Database | Tx, period: str, as_of: datetime | None
) -> tuple[dict[Node, dict[str, Any]], dict[Node, dict[str, dict[str, Any]]], dict[Node, int]]:
    """The newest submission of each node, the newest override of each category, and the nodes' versions."""
    submissions = {
        Node(row["node_type"], row["node_id"]): submission_item(row)
        for row in await database.fetch(_LATEST_SUBMISSIONS, period, as_of)
    }
    overrides: dict[Node, dict[str, dict[str, Any]]] = {}
    versions: dict[Node, int] = {}
    for row in await database.fetch(_OVERRIDES, period, as_of):
        node = Node(row["node_type"], row["node_id"])
        overrides.setdefault(node, {})[row["category"]] = override_item(row)
        versions[node] = row["place"]
    return submissions, overrides, versions


async def run_for(
    database: Database,
    settings: Settings,
    period: Period,
    sums: dict[Leaf, Sums],
    now: datetime,
    *,
    is_past: bool,
) -> Run:
    """The stored run; none for a period that is over, and one drawn on the spot where none is stored."""
    if period.end_date < (await calendar.company(database)).today(now):
        return finished_run(sums, now)
    if is_past:
        return run_of(*await forecasting.as_known(database, settings, period, now))
    run = await latest_run(database, period.key)
    if run is None:
        await forecasting.refresh(database, settings.home / "models", period)
        run = await latest_run(database, period.key)
    assert run is not None
    return run


async def read(
    database: Database,
    settings: Settings,
    actor: Actor,
    key: str | None,
    node: Node | None,
    as_of: datetime | None,
) -> tuple[Figures, Node]:
    """Everything about a period's forecast, now or as known at `as_of`, and the node that is meant."""
    now = as_of or await calendar.data_now(database, datetime.now(UTC))
    period = await calendar.period(database, key, now)
    tree = await nodes.load(database)
    node = node or tree.default(actor)
    tree.check(actor, node)
    sums = await sums_by_leaf(database, actor, period, as_of)
    run = await run_for(database, settings, period, sums, now, is_past=as_of is not None)
    submissions, overrides, versions = await judgements(database, period.key, as_of)
    found = Figures(
        tree=tree,
        period=period,
        currency=(await calendar.company(database)).home_currency,
        as_of=now,
        sums=sums,
        run=run,
        quotas=await quotas_of(database, actor, period),
        overrides=overrides,
        submissions=submissions,
        versions=versions,
    )
    return found, node
