"""What a deal is worth if it is won: quantiles of final / current amount, learned from the deals that were."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from features.facts import Array
from features.spec import FeatureSet
from ml import metrics
from ml.amount import QUANTILES, AmountModel
from ml.frame import Floats, Frame
from ml.leak import Refusal
from registry import verdict
from registry.verdict import Gate
from training import judge
from training.dataset import DealSet
from training.judge import Tell
from training.trained import Evidence, Trained

TIERS = ("baseline", "gbm")
SEGMENT = "account_segment"
FEWEST_WON = 10
LEAST_INSIDE, MOST_INSIDE = 0.6, 0.97
"""The share of later amounts inside the band from P10 to P90 must not lie beyond these for more than chance."""


def learn(
    found: DealSet,
    feature_set: FeatureSet,
    as_of: datetime,
    *,
    evidence: Evidence,
    refusals: tuple[Refusal, ...] = (),
    workers: int = 2,
    tell: Tell | None = None,
) -> list[Trained]:
    """Both tiers where the data allow them; empty where hardly anything was won."""
    usable = (
        found.fates.is_won[found.panel.deal] & (found.amount > 0) & (found.fates.amount[found.panel.deal] > 0)
    )
    rows = np.flatnonzero(usable)
    if len(np.unique(found.panel.deal[rows])) < FEWEST_WON:
        return []
    ratio = found.fates.amount[found.panel.deal[rows]] / found.amount[rows]
    frame, at, closed = found.panel.frame.take(rows), found.panel.at[rows], found.row_closed_at[rows]
    tiers = TIERS if evidence.is_met else ("baseline",)
    cuts = judge.origins(float(found.panel.at.min()), found.panel.end)[-1:]
    segment = SEGMENT if SEGMENT in frame.columns else None
    later = np.flatnonzero(at >= cuts[0]) if cuts else np.zeros(0, np.int64)
    tasks: list[tuple[Any, ...]] = [(tier, segment, frame, ratio, at, None) for tier in tiers]
    if len(later):
        then = np.flatnonzero(closed <= cuts[0])
        tasks += [
            (tier, segment, frame.take(then), ratio[then], at[then], frame.take(later)) for tier in tiers
        ]
    results = judge.side_by_side(fitted, tasks, tell, "fitting amount", workers)
    said = {tier: [r for task, r in zip(tasks, results, strict=True) if task[0] == tier] for tier in tiers}
    log_ratio, group = np.log(ratio[later]), found.panel.deal[rows[later]]
    losses = {
        tier: _loss(parts[1][1], log_ratio) if len(later) else float(TIERS.index(tier))
        for tier, parts in said.items()
    }
    return [
        _candidate(
            found, feature_set, as_of, tier, parts, losses, log_ratio, group, evidence, refusals, len(rows)
        )
        for tier, parts in said.items()
    ]


def fitted(
    tier: str, segment: str | None, frame: Frame, ratio: Floats, at: Floats, ask: Frame | None
) -> tuple[str, Floats]:
    """A model as text, or what it says of the rows that are asked: log ratios (n, 3)."""
    model = AmountModel(tier, by=segment).fit(frame, ratio, at)
    return (model.to_text(), np.zeros((0, 3))) if ask is None else ("", np.log(model.ratios(ask)))


def _loss(said: Floats, actual: Array) -> float:
    """The mean pinball loss of the three quantiles, of log final / current amount."""
    return float(np.mean([metrics.pinball(q, said[:, j], actual).value for j, q in enumerate(QUANTILES)]))


def _candidate(
    found: DealSet,
    feature_set: FeatureSet,
    as_of: datetime,
    tier: str,
    parts: list[Any],
    losses: Mapping[str, float],
    actual: Array,
    group: Array,
    evidence: Evidence,
    refusals: tuple[Refusal, ...],
    rows: int,
) -> Trained:
    said: Floats = parts[1][1] if len(parts) > 1 else np.zeros((0, 3))
    inside = metrics.coverage(said[:, 0], said[:, 2], actual, group)
    figures = {
        "coverage_p10_p90": inside.document(),
        "pinball": {"value": losses[tier] if len(said) else None, "n": len(said)},
    }
    for j, quantile in enumerate(QUANTILES):
        figures[f"pinball_p{quantile * 100:.0f}"] = metrics.pinball(
            quantile, said[:, j], actual, group
        ).document()
    unchanged = np.zeros((len(actual), 3))
    below = "baseline" if tier != "baseline" and "baseline" in losses else None
    own = [
        _covers(inside),
        verdict.better_than_below(
            losses[tier], losses[below] if below else None, tier, below or "", len(said)
        ),
    ]
    own.append(verdict.enough(evidence.required if tier != "baseline" else {}, evidence.present))
    return Trained(
        model="amount", tier=tier, text=parts[0][0], feature_set=feature_set, features=found.panel.frame.columns,
        as_of=as_of, loss=losses[tier], gates=tuple(own), evidence=evidence, metrics=figures,
        calibration={"coverage": figures["coverage_p10_p90"]["value"], "n": len(said)}, data_sha256=found.sha256,
        rows=rows, available=found.available,
        naive={"amount as it stands": {"pinball": {"value": _loss(unchanged, actual) if len(actual) else None, "n": len(actual)}}},
        refusals=refusals, parameters={"tier": tier},
        notes=(f"learned from {rows} landmarks of won deals", f"judged on {len(said)} later landmarks of deals won since"),
    )  # fmt: skip


def _covers(inside: metrics.Measure) -> Gate:
    if not inside.n:
        return Gate("calibration", True, "there is no later time to judge on yet")
    words = f"{inside.value:.0%} [{inside.low:.0%}, {inside.high:.0%}] of {inside.n} later amounts lay between P10 and P90"
    return Gate("calibration", bool(inside.high >= LEAST_INSIDE and inside.low <= MOST_INSIDE), words)
