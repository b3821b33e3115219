"""A forecast's figures: sums by category from the deals, the draws of the latest run, quotas; put together by node."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml import forecast
from service import history
from service.access import Actor, visible
from service.calendar import Period
from service.db import Database, Params, Tx
from service.forecast_inputs import Inputs
from service.forecasting import enough
from service.nodes import Leaf, Node, Tree

CATEGORIES = ("commit", "best_case", "pipeline", "omitted")
SUMS = ("closed", *CATEGORIES, "weighted")
CENT = Decimal("0.01")
ZERO = Decimal("0.00")
TOO_FEW = "Bands need at least four past forecasts whose outcome is known; there are {n}."
NO_HISTORY = "No past forecast has been compared with its outcome yet."
OVER = "The period is over: what is closed is all there is."

Sums = Mapping[str, Decimal]


def money(cents: int) -> Decimal:
    return Decimal(int(cents)).scaleb(-2)


# --- by leaf -----------------------------------------------------------------------------------------------------

_SUMS = """
SELECT t.owner_id, t.territory_id,
    coalesce(sum(d.amount) FILTER (WHERE t.status = 'won'), 0) AS closed,
    {categories},
    coalesce(sum(d.amount * t.probability::numeric) FILTER (WHERE t.status = 'open'), 0) AS weighted_open
FROM {source} t CROSS JOIN LATERAL (SELECT coalesce(t.amount_home, t.amount, 0) AS amount) d
WHERE t.deleted_at IS NULL AND {seen}
    AND (t.status = 'open' AND t.close_date BETWEEN $1 AND $2 OR t.status = 'won' AND t.closed_on BETWEEN $1 AND $2)
GROUP BY 1, 2"""


async def sums_by_leaf(
    database: Database | Tx, actor: Actor, period: Period, as_of: datetime | None
) -> dict[Leaf, Sums]:
    """What is closed in the period, and what open deals with a close date in it say, by category; now or as known then.

    Each leaf's sums are rounded to cents once, so that all nodes add up.
    """
    params = Params([period.start_date, period.end_date])
    source = history.source("opportunities", params.add(as_of) if as_of else None)
    seen = visible(actor, "opportunities", "t", params)
    categories = ", ".join(
        f"coalesce(sum(d.amount) FILTER (WHERE t.status = 'open' AND t.forecast_category = '{name}'), 0) AS {name}"
        for name in CATEGORIES
    )
    rows = await database.fetch(_SUMS.format(categories=categories, source=source, seen=seen), *params)
    found: dict[Leaf, Sums] = {}
    for row in rows:
        sums = {name: row[name].quantize(CENT) for name in ("closed", *CATEGORIES)}
        sums["weighted"] = (row["closed"] + row["weighted_open"]).quantize(CENT)
        found[row["owner_id"], row["territory_id"]] = sums
    return found


class Run(msgspec.Struct, kw_only=True):
    """The draws that a forecast is read from, by leaf, with what is known about how such bands have held."""

    id: UUID | None
    as_of: datetime
    tier: str
    model_version: int | None
    arrivals_version: int | None
    n_origins: int
    n_periods: int
    coverage: dict[str, float]
    interval_score: dict[str, float]
    leaves: dict[Leaf, "LeafDraws"]
    points: list[float] = []
    fan: dict[str, list[list[int]]] = {}
    note: str | None = None


class LeafDraws(msgspec.Struct):
    closed: int
    open: int
    created: int
    draws: NDArray[np.int64]


_NEWEST_RUN = "SELECT * FROM forecast_runs WHERE period = $1 ORDER BY as_of DESC, id DESC LIMIT 1"
_LEAVES = """
SELECT owner_id, territory_id, closed_cents, open_cents, created_cents, draws FROM forecast_draws WHERE run_id = $1"""


async def latest_run(database: Database | Tx, period: str) -> Run | None:
    """The newest run of the period with its draws; asked again where a newer run took the draws away meanwhile."""
    row, leaves = await database.fetchrow(_NEWEST_RUN, period), []
    while row is not None:
        leaves = await database.fetch(_LEAVES, row["id"])
        newest = row if leaves else await database.fetchrow(_NEWEST_RUN, period)
        if newest["id"] == row["id"]:
            break
        row = newest
    if row is None:
        return None
    return Run(
        id=row["id"], as_of=row["as_of"], tier=row["tier"], model_version=row["model_version"],
        arrivals_version=row["arrivals_version"], n_origins=row["n_origins"], n_periods=row["n_periods"],
        coverage=row["coverage"], interval_score=row["interval_score"], points=row["point_days"], fan=row["fan"],
        leaves={
            (leaf["owner_id"], leaf["territory_id"] if leaf["territory_id"].int else None): LeafDraws(
                leaf["closed_cents"], leaf["open_cents"], leaf["created_cents"], np.frombuffer(leaf["draws"], "<i8")
            )
            for leaf in leaves
        },
    )  # fmt: skip


def run_of(inputs: Inputs, draws: forecast.Draws, note: str | None = None) -> Run:
    """A run that was drawn for one question and is not stored."""
    total, proof = draws.total, inputs.evidence
    return Run(
        id=None, as_of=inputs.now, tier=inputs.tier, model_version=inputs.model_version,
        arrivals_version=proof.version, n_origins=proof.n_origins, n_periods=proof.n_periods,
        coverage=proof.coverage, interval_score=proof.interval_score, note=note,
        leaves={
            leaf: LeafDraws(
                int(inputs.closed[index]), forecast.mean_cents(draws.open[index, -1]),
                forecast.mean_cents(draws.created[index, -1]), total[index],
            )
            for index, leaf in enumerate(inputs.leaves)
        },
    )  # fmt: skip


def finished_run(sums: Mapping[Leaf, Sums], as_of: datetime) -> Run:
    """The run of a period that is over: nothing is open and nothing is to come."""
    none = np.zeros(1, np.int64)
    return Run(
        id=None, as_of=as_of, tier="baseline", model_version=None, arrivals_version=None, n_origins=0, n_periods=0,
        coverage={}, interval_score={}, note=OVER,
        leaves={leaf: LeafDraws(int(values["closed"] * 100), 0, 0, none) for leaf, values in sums.items()},
    )  # fmt: skip


# --- by node -----------------------------------------------------------------------------------------------------


class Figures(msgspec.Struct, kw_only=True):
    """Everything that the forecast of a period is put together from."""

    tree: Tree
    period: Period
    currency: str
    as_of: datetime
    sums: dict[Leaf, Sums]
    run: Run
    quotas: dict[Node, Decimal]
    overrides: dict[Node, dict[str, dict[str, Any]]]
    submissions: dict[Node, dict[str, Any]]
    versions: dict[Node, int]

    def quota(self, node: Node) -> Decimal | None:
        """The node's own quota; without one, the sum of its children's."""
        if node in self.quotas:
            return self.quotas[node]
        found = [quota for child in self.tree.children(node) if (quota := self.quota(child)) is not None]
        return sum(found, ZERO) if found else None

    def outlook(self, node: Node, quota: Decimal | None) -> tuple[dict[str, Any], float | None]:
        """The member `ai` of a node, and its chance to attain the quota."""
        run = self.run
        mine = [run.leaves[leaf] for leaf in self.tree.leaves(node, run.leaves)]
        closed, open_, created = (
            sum(getattr(leaf, name) for leaf in mine) for name in ("closed", "open", "created")
        )
        total = closed + (np.sum([leaf.draws for leaf in mine], axis=0) if mine else np.zeros(1, np.int64))
        band = forecast.band(total, int(quota * 100) if quota else None)
        sure, shown = run.note == OVER, run.note == OVER or enough(run.n_origins)
        level = {"user": "person", "team": "team", "territory": "team", "company": "company"}[node.type]
        level = "company" if node == self.tree.root else level
        coverage = None if sure else run.coverage.get(level)
        reason = run.note or (None if coverage is not None else NO_HISTORY)
        if not shown:
            reason = TOO_FEW.format(n=run.n_origins)
        return {
            "p10": money(band.p10) if shown else None,
            "p50": money(band.p50),
            "p90": money(band.p90) if shown else None,
            "mean": money(closed + open_ + created),
            "closed": money(closed),
            "open": money(open_),
            "to_be_created": money(created),
            "interval_coverage": coverage,
            "interval_score": None if sure else _cents(run.interval_score.get(level)),
            "n_periods": run.n_periods,
            "n_origins": run.n_origins,
            "tier": run.tier,
            "model_version": run.model_version,
            "arrivals_version": run.arrivals_version,
            "as_of": run.as_of,
            "reason": reason,
        }, band.attain if shown else None

    def fan(self, node: Node) -> list[dict[str, Any]]:
        """The band at each point of time up to the period's end, for the node that was asked for."""
        own = (
            self.run.fan.get(str(node))
            or (self.run.fan.get("company") if node == self.tree.root else None)
            or []
        )
        if not enough(self.run.n_origins):
            return []
        days = self.run.points[-len(own) :] if own else []
        return [
            {"days": round(day, 3), "p10": money(low), "p50": money(middle), "p90": money(high)}
            for day, (low, middle, high) in zip(days, own, strict=True)
        ]

    def row(self, node: Node) -> dict[str, Any]:
        """One node's forecast, without its children."""
        below = self.tree.leaves(node, self.sums)
        sums = {name: sum((self.sums[leaf][name] for leaf in below), ZERO) for name in SUMS}
        quota, overrides = self.quota(node), self.overrides.get(node, {})
        ai, attain = self.outlook(node, quota)
        return {
            "period": self.period.key,
            "node": {"type": node.type, "id": node.id},
            "name": self.tree.name(node),
            "as_of": self.as_of,
            "currency": self.currency,
            **sums,
            **{name: change["amount"] for name, change in overrides.items()},
            "overrides": overrides,
            "submission": self.submissions.get(node),
            "quota": quota,
            "attainment": round(float(sums["closed"] / quota), 6) if quota else None,
            "attain_probability": attain,
            "ai": ai,
            "version": self.versions.get(node, 0),
        }

    def answer(self, node: Node) -> dict[str, Any]:
        """The node with its children; a person without deals, quota or a seller's role is left out."""
        children = []
        for child in self.tree.children(node):
            row = self.row(child)
            idle = not (
                any(row[name] for name in SUMS) or row["quota"] or row["ai"]["mean"] or row["version"]
            )
            if child.type == "user" and idle and not self.tree.people[child.id].sells:  # type: ignore[index]
                continue
            children.append(row)
        return self.row(node) | {"fan": self.fan(node), "children": children}


def _cents(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(value).quantize(CENT)
