"""What is said before any model is trusted: rates among closed deals and finished leads, drawn together where few.

The beta-binomial tier answers from the first deal on and says so (`tier` = "baseline"). It is fitted on the fly from
history, in a second or less, and kept for some minutes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.facts import Array
from features.spec import coded
from ml import metrics
from ml.baseline import BetaBinomial
from ml.frame import Frame
from service.db import Database

WEEKS = 52
"""How far ahead the chance by week is told."""
FEWEST_AMOUNTS = 5
"""Won deals that quantiles of amounts need."""
HELD_OUT = 0.3
"""Share of the newest rows on which the baseline is judged."""

DEAL_CELLS = ("stage", "product", "lead_source")
LEAD_CELLS = ("lead_channel", "lead_rating")
HORIZONS = (30, 60, 90)


@dataclass(frozen=True)
class Said:
    """What a model says of n deals. `won` and `lost` are chances by the end of week 1, 2, …; `effects` (n, columns)
    has for each of `names` its part in `win`, and `base` + their sum is `win`. `is_trained` tells whose rows a trained
    model spoke of; the baseline spoke of the others."""

    win: Array
    won: Array
    lost: Array
    base: Array
    names: tuple[str, ...]
    effects: Array
    is_trained: Array


@dataclass(frozen=True)
class SaidOfLeads:
    """`chances` (n, 3): converted within 30, 60 and 90 days; the attribution is of the last."""

    chances: Array
    base: Array
    names: tuple[str, ...]
    effects: Array


def frame_of(values: dict[str, Array], categories: tuple[str, ...]) -> Frame:
    """Columns of features as models read them."""
    columns, words = coded(values, categories)
    return Frame.of(columns, words)


def _cells(values: dict[str, Array], names: tuple[str, ...]) -> Frame:
    return frame_of({name: values[name] for name in names}, names)


def _steps(model: BetaBinomial, frame: Frame) -> tuple[Array, Array]:
    """(base (n,), effects (n, cells)): what each further cell changes."""
    steps = [
        model.probability(frame.replaced(dict.fromkeys(model.by[depth:], np.nan)))
        for depth in range(len(model.by) + 1)
    ]
    return steps[0], np.diff(np.column_stack(steps), axis=1)


def _judged(cells: Frame, outcome: Array, at: Array, by: tuple[str, ...]) -> dict[str, Any]:
    """Brier score, log loss and calibration error on the newest rows, of rates learned from those before."""
    order = np.argsort(at, kind="stable")
    cut = int(len(order) * (1 - HELD_OUT))
    early, late = order[:cut], order[cut:]
    if len(early) < 10 or len(late) < 10:
        return {"brier": None, "log_loss": None, "ece": None, "n": 0}
    chance, came = (
        BetaBinomial(by=by).fit(cells.take(early), outcome[early]).probability(cells.take(late)),
        outcome[late],
    )
    gaps = [one.n * abs(one.said - one.came) for one in metrics.reliability(chance, came)]
    return {
        "brier": round(float(np.mean((chance - came) ** 2)), 6),
        "log_loss": round(float(np.mean(metrics.log_losses(chance, came))), 6),
        "ece": round(sum(gaps) / len(late), 6),
        "n": len(late),
    }


# --- deals -------------------------------------------------------------------------------------------------------

_VISITS = """
WITH closed AS (
    SELECT id, status, closed_at, lead_source FROM known.opportunities
    WHERE to_at = '9999-12-31' AND status <> 'open' AND NOT is_deleted AND closed_at <= $1
    ORDER BY closed_at DESC LIMIT 20000
),
largest AS (
    SELECT DISTINCT ON (l.opportunity_id) l.opportunity_id AS id, p.code
    FROM closed c
    JOIN known.lines l ON l.opportunity_id = c.id AND l.to_at = '9999-12-31' AND NOT l.is_deleted
    JOIN known.products p ON p.id = l.product_id AND p.to_at = '9999-12-31'
    ORDER BY l.opportunity_id, l.quantity * l.unit_price DESC, p.code
)
SELECT DISTINCT o.id, o.stage, coalesce(l.code, ''), coalesce(c.lead_source, ''), c.status = 'won' AS won, c.closed_at
FROM closed c JOIN known.opportunities o ON o.id = c.id AND o.status = 'open' AND o.from_at < o.to_at
LEFT JOIN largest l ON l.id = c.id
/* access:opportunities */"""

_PACE = """
SELECT count(*) FILTER (WHERE status <> 'open') AS closed,
       coalesce(sum(extract(epoch FROM least(coalesce(closed_at, $1), $1) - created_at)) / 604800, 0)::float8 AS weeks
FROM known.opportunities
WHERE to_at = '9999-12-31' AND NOT is_deleted AND created_at <= $1 /* access:opportunities */"""

_RATIOS = """
SELECT (w.amount / o.amount)::float8 AS ratio
FROM known.opportunities w
JOIN known.opportunities o ON o.id = w.id AND o.status = 'open' AND o.amount > 0 AND o.from_at < o.to_at
WHERE w.to_at = '9999-12-31' AND w.status = 'won' AND w.amount > 0 AND NOT w.is_deleted AND w.closed_at <= $1
ORDER BY w.closed_at DESC LIMIT 20000
/* access:opportunities */"""


@dataclass(frozen=True)
class DealBaseline:
    """The share won among closed deals that were in the same stage, of the same product and source."""

    model: BetaBinomial | None
    pace: float
    ratios: Array
    calibration: dict[str, Any]

    @classmethod
    async def fit(cls, database: Database, as_of: Any) -> "DealBaseline":
        """Learns from all deals closed by `as_of`."""
        rows = await database.fetch(_VISITS, as_of)
        pace = await database.fetchrow(_PACE, as_of)
        ratios = np.array([row["ratio"] for row in await database.fetch(_RATIOS, as_of)])
        # at least one closing imagined in 26 weeks, so that the first deals have a pace at all
        rate = (pace["closed"] + 1) / (pace["weeks"] + 26)
        if not rows:
            return cls(None, rate, ratios, {"brier": None, "log_loss": None, "ece": None, "n": 0})
        _, stage, product, source, won, at = zip(*(tuple(row) for row in rows), strict=True)
        cells = _cells(
            dict(zip(DEAL_CELLS, map(np.array, (stage, product, source)), strict=True)), DEAL_CELLS
        )
        outcome = np.array(won, dtype=np.float64)
        when = np.array([closed.timestamp() for closed in at])
        model = BetaBinomial(by=DEAL_CELLS).fit(cells, outcome)
        return cls(model, rate, ratios, _judged(cells, outcome, when, DEAL_CELLS))

    def say(self, values: dict[str, Array]) -> Said:
        """The chance of each deal. Before the first closed deal the pipeline's own stage chances are told."""
        if self.model is None:
            win = np.clip(np.nan_to_num(values["stage_probability"], nan=0.3), 0.02, 0.98)
            base, effects = np.full(len(win), 0.3), np.column_stack([win - 0.3, 0 * win, 0 * win])
        else:
            base, effects = _steps(self.model, _cells(values, DEAL_CELLS))
            win = base + effects.sum(axis=1)
        gone = self._gone()
        untrained = np.zeros(len(win), dtype=bool)
        return Said(win, win[:, None] * gone, (1 - win)[:, None] * gone, base, DEAL_CELLS, effects, untrained)

    def _gone(self) -> Array:
        """The share of deals that are closed within so many weeks."""
        share: Array = 1 - np.exp(-self.pace * np.arange(1, WEEKS + 1))
        return share

    def amounts(self, amount: Array) -> Array | None:
        """Quantiles of the final amount (n, 3), from how won deals' amounts moved; None after too few of them."""
        if len(self.ratios) < FEWEST_AMOUNTS:
            return None
        quantiles: Array = amount[:, None] * np.quantile(self.ratios, (0.1, 0.5, 0.9))
        return quantiles


# --- leads -------------------------------------------------------------------------------------------------------

_LEADS = """
SELECT coalesce(lead_source, ''), coalesce(rating, ''), created_at, converted_at
FROM known.leads WHERE to_at = '9999-12-31' AND NOT is_deleted AND created_at <= $1
ORDER BY created_at DESC LIMIT 20000 /* access:leads */"""


@dataclass(frozen=True)
class LeadBaseline:
    """The share converted within so many days among earlier leads of the same source and rating."""

    models: Sequence[BetaBinomial | None]
    calibration: dict[str, Any]

    @classmethod
    async def fit(cls, database: Database, as_of: Any) -> "LeadBaseline":
        """Learns from leads that are old enough for each horizon."""
        rows = await database.fetch(_LEADS, as_of)
        by = LEAD_CELLS
        nothing = {"brier": None, "log_loss": None, "ece": None, "n": 0}
        if not rows:
            return cls([None] * len(HORIZONS), nothing)
        age = np.array([(as_of - row["created_at"]).total_seconds() / 86400 for row in rows])
        took = np.array(
            [
                (row["converted_at"] - row["created_at"]).total_seconds() / 86400
                if row["converted_at"] and row["converted_at"] <= as_of
                else np.inf
                for row in rows
            ]
        )
        cells = _cells(dict(zip(by, (np.array([row[i] for row in rows]) for i in (0, 1)), strict=True)), by)
        models: list[BetaBinomial | None] = []
        for days in HORIZONS:
            old = age >= days
            outcome = (took <= days).astype(np.float64)
            models.append(BetaBinomial(by=by).fit(cells.take(old), outcome[old]) if old.any() else None)
        old = age >= HORIZONS[-1]
        judged = _judged(cells.take(old), (took <= HORIZONS[-1])[old].astype(np.float64), -age[old], by)
        return cls(models, judged)

    def say(self, values: dict[str, Array]) -> SaidOfLeads:
        """The chances of each lead; .05 a month before the first lead is old enough to tell."""
        by = LEAD_CELLS
        cells = _cells(values, by)
        chances = np.column_stack(
            [
                model.probability(cells) if model else np.full(len(cells), 0.05 * (index + 1))
                for index, model in enumerate(self.models)
            ]
        )
        chances = np.maximum.accumulate(chances, axis=1)
        last = self.models[-1]
        if last is None:
            base, effects = chances[:, -1], np.zeros((len(cells), len(by)))
        else:
            base, effects = _steps(last, cells)
        return SaidOfLeads(chances, base, by, effects)
