"""The lead model: P(convert within 30, 60 and 90 days), three tiers, judged on later leads."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np

from features.facts import Array
from features.spec import FeatureSet
from ml import leak, metrics
from ml.estimator import load
from ml.frame import Floats, Frame
from ml.lead import LeadModel, LeadPanel
from ml.leak import Refusal
from registry import verdict
from registry.bundle import Bundle
from training import judge
from training.dataset import LeadSet, statistics_of, window
from training.judge import Judged, Tell
from training.trained import Evidence, Trained

TIERS = ("baseline", "logistic", "gbm")
SEGMENT = "lead_channel"
FEWEST_CONVERTED = 10


def learn(
    found: LeadSet,
    feature_set: FeatureSet,
    as_of: datetime,
    *,
    evidence: Evidence,
    refusals: tuple[Refusal, ...] = (),
    champion: Bundle | None = None,
    workers: int = 2,
    tell: Tell | None = None,
) -> list[Trained]:
    """All tiers that the data allow, each judged; empty where there is nothing to learn from."""
    panel = found.panel
    if int(np.sum(np.isfinite(panel.converted_at))) < FEWEST_CONVERTED:
        return []
    tiers = TIERS if evidence.is_met else ("baseline",)
    cuts = judge.origins(float(panel.at.min()), panel.known_to)
    asked = [judged_rows(panel, cut) for cut in cuts]
    segment = SEGMENT if SEGMENT in panel.frame.columns else None
    tasks: list[tuple[Any, ...]] = []
    for tier in reversed(tiers):
        tasks.append((tier, segment, panel, None))
        tasks += [
            (tier, segment, panel.known_by(cut), panel.frame.take(rows))
            for cut, rows in zip(cuts, asked, strict=True)
        ]
    results = judge.side_by_side(fitted, tasks, tell, "fitting lead", workers)
    said = {tier: [r for task, r in zip(tasks, results, strict=True) if task[0] == tier] for tier in tiers}
    return _candidates(found, feature_set, as_of, said, cuts, asked, evidence, refusals, champion)


def fitted(
    tier: str, segment: str | None, panel: LeadPanel, ask: Frame | None
) -> tuple[str, dict[str, Floats]]:
    """A model as text with what it says of the rows that are asked; the text is left out where rows are."""
    model = LeadModel(tier, segment=segment).fit(panel)
    if ask is None:
        return model.to_text(), {}
    chances = model.probabilities(ask)
    return "", {f"converted_{days}d": chances[:, j] for j, days in enumerate(model.horizons)}


def refused(found: LeadSet) -> list[Refusal]:
    """Features that tell alone, by value or by being missing, whether a lead converts within 90 days."""
    converted, known = found.converted_within(90.0)
    return leak.single_features(found.panel.frame.take(known), converted[known])


def judged_rows(panel: LeadPanel, cut: float) -> Array:
    """The looks at leads in the stretch after an origin."""
    stretch = judge.stretch_of(float(panel.at.min()), panel.known_to)
    rows: Array = np.flatnonzero((panel.at >= cut) & (panel.at < cut + stretch))
    return rows


def judged_of(found: LeadSet, rows: Array) -> Judged:
    """The outcomes of judged rows, and the segments that they belong to."""
    stretch = judge.stretch_of(float(found.panel.at.min()), found.panel.known_to)
    outcome, known = {}, {}
    for days in judge.HORIZONS:
        converted, is_known = found.converted_within(float(days))
        outcome[f"converted_{days}d"] = converted[rows]
        known[f"converted_{days}d"] = is_known[rows] & (days <= stretch + 1)
    segments = {
        name: found.frame[name].fill_null("unknown").to_numpy()[rows]
        for name in (SEGMENT, "lead_status")
        if name in found.frame.columns
    }
    return Judged(found.panel.lead[rows], outcome, known, segments)


def _candidates(
    found: LeadSet,
    feature_set: FeatureSet,
    as_of: datetime,
    said: Mapping[str, list[Any]],
    cuts: tuple[float, ...],
    asked: list[Array],
    evidence: Evidence,
    refusals: tuple[Refusal, ...],
    champion: Bundle | None,
) -> list[Trained]:
    rows = np.concatenate(asked) if asked else np.zeros(0, np.int64)
    judged = judged_of(found, rows)
    targets = tuple(name for name in judged.known if judged.known[name].any())
    main = targets[-1] if targets else "converted_90d"
    common = judged.common(targets) if targets else np.zeros(len(rows), bool)
    chances = {
        tier: {
            name: np.concatenate([p[1][name] for p in parts[1:]]) if len(parts) > 1 else np.zeros(0)
            for name in judged.known
        }
        for tier, parts in said.items()
    }
    losses = {
        tier: float(judged.losses(of, targets)[common].mean()) if common.any() else float(TIERS.index(tier))
        for tier, of in chances.items()
    }
    beside = _naive(found, judged, cuts, asked, main)
    theirs = _champions_word(found, rows, champion, main)
    return [
        _candidate(
            found,
            feature_set,
            as_of,
            tier,
            said[tier][0][0],
            judged,
            chances[tier],
            losses,
            main,
            beside,
            theirs,
            evidence,
            refusals,
        )
        for tier in said
    ]


def _candidate(
    found: LeadSet,
    feature_set: FeatureSet,
    as_of: datetime,
    tier: str,
    text: str,
    judged: Judged,
    ours: Mapping[str, Floats],
    losses: Mapping[str, float],
    main: str,
    beside: Mapping[str, Any],
    theirs: Floats,
    evidence: Evidence,
    refusals: tuple[Refusal, ...],
) -> Trained:
    known = judged.known[main]
    figures = judge.measured(judged, ours)
    figures["rolling_log_loss"] = {"value": losses[tier] if known.any() else None, "n": int(known.sum())}
    lower = [name for name in losses if TIERS.index(name) < TIERS.index(tier)]
    below = min(lower, key=lambda name: losses[name]) if lower else None
    own = [*judge.gates(judged, main, ours, losses, tier, below), judge.no_leak(judged, ours, main)]
    own.append(verdict.enough(evidence.required if tier != "baseline" else {}, evidence.present))
    own += judge.against_champion(judged, ours[main], theirs, main)
    frame = found.panel.frame
    own += judge.online(frame.columns, feature_set, _single(text, frame), len(frame))
    measured = {name: figures.get(f"{name}_{main}", {}).get("value") for name in ("brier", "log_loss", "ece")}
    return Trained(
        model="lead", tier=tier, text=text, feature_set=feature_set, features=found.panel.frame.columns, as_of=as_of,
        loss=losses[tier], gates=tuple(own), evidence=evidence, metrics=figures,
        calibration=measured | {"n": int(known.sum())}, data_sha256=found.sha256, rows=len(found.panel),
        available=found.available, naive=beside, segments=judge.by_segment(judged, ours, main), refusals=refusals,
        reliability=tuple(metrics.reliability(ours[main][known], judged.outcome[main][known])) if known.any() else (),
        background={"target": main}, parameters={"tier": tier},
        window=window(found.panel.at),
        statistics=statistics_of(found.frame, feature_set, found.panel.frame.columns),
        notes=(f"learned from {len(found.panel)} of {found.available} looks at leads",
               f"judged on {int(known.sum())} later looks: converted within {main.split('_')[1].removesuffix('d')} days"),
    )  # fmt: skip


def _single(text: str, frame: Frame) -> Callable[[int], Any]:
    """Asks about one lead."""
    model = load(text)
    return lambda row: model.probabilities(frame.take(slice(row, row + 1)))


def _champions_word(found: LeadSet, rows: Array, champion: Bundle | None, main: str) -> Floats:
    """The champion's chances of rows that it has not learned from; NaN for the others."""
    chances = np.full(len(rows), np.nan)
    if champion is None or champion.manifest.feature_set != "lead_convert":
        return chances
    model, known = champion.estimator, champion.manifest.training_as_of.timestamp() / 86_400
    later = np.flatnonzero(found.panel.at[rows] >= known)
    if len(later) and set(champion.manifest.features) <= set(found.panel.frame.columns):
        days = int(main.removeprefix("converted_").removesuffix("d"))
        said = model.probabilities(found.panel.frame.take(rows[later]))
        chances[later] = said[:, model.horizons.index(days)]
    return chances


def _naive(
    found: LeadSet, judged: Judged, cuts: tuple[float, ...], asked: list[Array], main: str
) -> dict[str, Any]:
    days = float(main.removeprefix("converted_").removesuffix("d"))
    said: dict[str, list[Floats]] = {}
    converted, _ = found.converted_within(days)
    for cut, rows in zip(cuts, asked, strict=True):
        then = found.panel.at + days <= cut
        frame = found.panel.frame
        for name, part in judge.naive(
            frame.take(then), converted[then], found.panel.at[then], frame.take(rows)
        ).items():
            said.setdefault(name, []).append(part)
    return {name: judge.measured(judged, {main: np.concatenate(parts)}) for name, parts in said.items()}
