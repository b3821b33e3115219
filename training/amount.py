"""What a deal is worth if it is won: quantiles of final / current amount, learned from the deals that were."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np

from features.facts import Array
from features.spec import FeatureSet
from ml import metrics
from ml.amount import QUANTILES, AmountModel
from ml.estimator import load
from ml.frame import Floats, Frame
from ml.leak import Refusal
from registry import verdict
from registry.bundle import Bundle
from training import judge
from training.dataset import DealSet
from training.judge import Tell
from training.trained import Evidence, Trained
from training.win import bands

TIERS = ("baseline", "gbm")
SEGMENT = "account_segment"
FEWEST_WON = 10


def learn(
    found: DealSet,
    feature_set: FeatureSet,
    as_of: datetime,
    *,
    evidence: Evidence,
    refusals: tuple[Refusal, ...] = (),
    champion: Bundle | None = None,
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
    theirs = _champions_word(frame, at, later, champion)
    names = np.array(found.stages, dtype=object)[found.panel.stage[rows[later]]]
    segments = {"stage": names, "amount": bands(found.amount[rows[later]])}
    losses = {
        tier: _loss(parts[1][1], log_ratio) if len(later) else float(TIERS.index(tier))
        for tier, parts in said.items()
    }
    return [
        _candidate(
            found,
            feature_set,
            as_of,
            tier,
            parts,
            losses,
            log_ratio,
            group,
            theirs,
            segments,
            evidence,
            refusals,
            len(rows),
        )
        for tier, parts in said.items()
    ]


def fitted(
    tier: str, segment: str | None, frame: Frame, ratio: Floats, at: Floats, ask: Frame | None
) -> tuple[str, Floats]:
    """A model as text, or what it says of the rows that are asked: log ratios (n, 3)."""
    model = AmountModel(tier, by=segment).fit(frame, ratio, at)
    return (model.to_text(), np.zeros((0, 3))) if ask is None else ("", np.log(model.ratios(ask)))


def _losses(said: Floats, actual: Array) -> Floats:
    """Each row's pinball loss, the mean of the three quantiles, of log final / current amount."""
    gaps = actual[:, None] - said
    levels = np.array(QUANTILES)
    found: Floats = np.maximum(levels * gaps, (levels - 1) * gaps).mean(axis=1)
    return found


def _loss(said: Floats, actual: Array) -> float:
    return float(_losses(said, actual).mean())


def _champions_word(frame: Frame, at: Array, later: Array, champion: Bundle | None) -> Floats:
    """The champion's log ratios of rows that it has not learned from, (n, 3); NaN for the others."""
    said = np.full((len(later), len(QUANTILES)), np.nan)
    if champion is None or not set(champion.manifest.features) <= set(frame.columns):
        return said
    asked = np.flatnonzero(at[later] >= champion.manifest.training_as_of.timestamp() / 86_400)
    if len(asked):
        said[asked] = np.log(champion.estimator.ratios(frame.take(later[asked])))
    return said


def _single(text: str, frame: Frame) -> Callable[[int], Any]:
    """Asks about one deal."""
    model = load(text)
    return lambda row: model.ratios(frame.take(slice(row, row + 1)))


def _candidate(
    found: DealSet,
    feature_set: FeatureSet,
    as_of: datetime,
    tier: str,
    parts: list[Any],
    losses: Mapping[str, float],
    actual: Array,
    group: Array,
    theirs: Floats,
    segments: Mapping[str, Array],
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
        verdict.covers(inside.value, inside.low, inside.high, inside.n, "later amounts"),
        verdict.better_than_below(
            losses[tier], losses[below] if below else None, tier, below or "", len(said)
        ),
    ]
    own += [
        verdict.no_leak([]),
        verdict.enough(evidence.required if tier != "baseline" else {}, evidence.present),
        *judge.beside(
            _losses(said, actual) if len(said) else np.zeros(0), _losses(theirs, actual), group, segments, "quantile loss",
            verdict.WORST_SEGMENT_OF_AMOUNTS,
        ),
        *judge.online(found.panel.frame.columns, feature_set, _single(parts[0][0], found.panel.frame), len(found.panel)),
    ]  # fmt: skip
    return Trained(
        model="amount", tier=tier, text=parts[0][0], feature_set=feature_set, features=found.panel.frame.columns,
        as_of=as_of, loss=losses[tier], gates=tuple(own), evidence=evidence, metrics=figures,
        calibration={"coverage": figures["coverage_p10_p90"]["value"], "n": len(said)}, data_sha256=found.sha256,
        rows=rows, available=found.available,
        naive={"amount as it stands": {"pinball": {"value": _loss(unchanged, actual) if len(actual) else None, "n": len(actual)}}},
        refusals=refusals, parameters={"tier": tier},
        notes=(f"learned from {rows} landmarks of won deals", f"judged on {len(said)} later landmarks of deals won since"),
    )  # fmt: skip
