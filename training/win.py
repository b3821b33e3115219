"""The deal model: three tiers, learned from landmarks, judged on later ones."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from features.facts import Array
from features.spec import FeatureSet
from ml import metrics
from ml.estimator import load
from ml.frame import Floats, Frame, Ints
from ml.leak import Refusal
from ml.panel import Panel
from ml.win import WinModel
from registry import verdict
from registry.bundle import Bundle
from training import judge
from training.dataset import DealSet, statistics_of, window
from training.judge import Judged, Tell
from training.trained import Evidence, Trained

TIERS = ("baseline", "logistic", "gbm")
LAST = "won_at_last"
SEGMENT = "account_segment"
FEWEST_CLOSED = 10
MONTH = 28.0
LONGEST_WINDOW = 14
"""Weeks that offsets are refit on at most, and one."""
BANDS = (5_000.0, 20_000.0, 50_000.0)


@dataclass(frozen=True)
class Ask:
    """Rows whose chances a candidate is asked for."""

    frame: Frame
    stage: Ints
    at: Floats


def learn(
    found: DealSet,
    feature_set: FeatureSet,
    as_of: datetime,
    *,
    evidence: Evidence,
    refusals: tuple[Refusal, ...] = (),
    champion: Bundle | None = None,
    fiscal_start: int = 1,
    tiers: tuple[str, ...] = TIERS,
    workers: int = 2,
    tell: Tell | None = None,
) -> list[Trained]:
    """All tiers that the data allow, each judged; empty where there is nothing to learn from."""
    if int(np.sum(found.panel.outcome < 0)) < FEWEST_CLOSED:
        return []
    tiers = tiers if evidence.is_met else tuple(tier for tier in tiers if tier == "baseline")
    cuts = judge.origins(float(found.panel.at.min()), found.panel.end)
    asked = [judged_rows(found, cut) for cut in cuts]
    options = {
        "segment": SEGMENT if SEGMENT in found.panel.frame.columns else None,
        "fiscal_start": fiscal_start,
    }
    tasks: list[tuple[Any, ...]] = []
    for tier in sorted(tiers, key=TIERS.index, reverse=True):  # the slow ones first
        tasks.append((found.stages, tier, options, found.panel, None))
        tasks += [
            (found.stages, tier, options, found.known_by(cut), _ask(found.panel, rows), newest_of(found, cut))
            for cut, rows in zip(cuts, asked, strict=True)
        ]
    results = judge.side_by_side(fitted, tasks, tell, "fitting win", workers)
    by_task = {
        (task[1], place): result for place, (task, result) in enumerate(zip(tasks, results, strict=True))
    }
    said = {
        tier: [
            result
            for (name, _), result in sorted(by_task.items(), key=lambda item: item[0][1])
            if name == tier
        ]
        for tier in tiers
    }
    return _candidates(found, feature_set, as_of, said, cuts, asked, evidence, refusals, champion)


def fitted(
    stages: tuple[str, ...],
    tier: str,
    options: Mapping[str, Any],
    panel: Panel,
    ask: Ask | None,
    newest: Panel | None = None,
) -> tuple[str, dict[str, Floats]]:
    """A model as text with what it says of the rows that are asked; the text is left out where rows are.

    With `newest` rows the offsets are refit to them every four weeks: what serves is trained anew each week."""
    model = WinModel(stages, tier, **options).fit(panel)
    if ask is None:
        return model.to_text(), {}
    if newest is None or not len(ask.at):
        return "", said_by(model, ask)
    said: dict[str, Floats] = {}
    month = np.floor((ask.at - panel.known_to) / MONTH)
    for one in np.unique(month):
        here = month == one
        if one > 0:
            model.refit_offsets(newest.known_by(panel.known_to + one * MONTH))
        for name, chances in said_by(model, Ask(ask.frame.take(here), ask.stage[here], ask.at[here])).items():
            said.setdefault(name, np.zeros(len(ask.at)))[here] = chances
    return "", said


def newest_of(found: DealSet, cut: float) -> Panel:
    """The rows to which offsets are refit after an origin."""
    return found.panel.take(found.panel.at >= cut - 7.0 * LONGEST_WINDOW)


def said_by(model: WinModel, ask: Ask) -> dict[str, Floats]:
    """The chances to be won within 30, 60 and 90 days, and at last."""
    curves = model.curves(ask.frame, ask.stage, ask.at)
    found = {f"won_{days}d": curves.won_by(np.full(len(ask.at), float(days))) for days in judge.HORIZONS}
    return found | {LAST: curves.final}


def judged_rows(found: DealSet, cut: float) -> Array:
    """The landmarks of the stretch after an origin."""
    stretch = judge.stretch_of(float(found.panel.at.min()), found.panel.end)
    rows: Array = np.flatnonzero((found.panel.at >= cut) & (found.panel.at < cut + stretch))
    return rows


def _ask(panel: Panel, rows: Array) -> Ask:
    return Ask(panel.frame.take(rows), panel.stage[rows], panel.at[rows])


def judged_of(found: DealSet, rows: Array) -> Judged:
    """The outcomes of judged rows, and the segments that they belong to."""
    stretch = judge.stretch_of(float(found.panel.at.min()), found.panel.end)
    outcome, known = {}, {}
    for days in judge.HORIZONS:
        won, is_known = found.won_within(float(days))
        outcome[f"won_{days}d"] = won[rows]
        known[f"won_{days}d"] = is_known[rows] & (days <= stretch + 1)
    won, is_known = found.at_last()
    outcome[LAST], known[LAST] = won[rows], is_known[rows]
    segments = {
        "stage": np.array(found.stages, dtype=object)[found.panel.stage[rows]],
        "amount": bands(found.amount[rows]),
    }
    if SEGMENT in found.frame.columns:
        segments[SEGMENT] = found.frame[SEGMENT].fill_null("unknown").to_numpy()[rows]
    return Judged(found.panel.deal[rows], outcome, known, segments)


def bands(amount: Array) -> Array:
    """The band of each amount, in words."""
    names = [
        f"below {BANDS[0]:,.0f}",
        *(f"{a:,.0f} to {b:,.0f}" for a, b in itertools.pairwise(BANDS)),
        f"from {BANDS[-1]:,.0f}",
    ]
    place = np.searchsorted(BANDS, np.nan_to_num(amount), side="right")
    return np.where(np.isnan(amount), "unknown", np.array(names, dtype=object)[place]).astype(object)


def _candidates(
    found: DealSet,
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
    targets = tuple(name for name in judged.known if name != LAST and judged.known[name].any())
    common = judged.common(targets) if targets else np.zeros(len(rows), bool)
    chances = {
        tier: {
            name: np.concatenate([part[1][name] for part in parts[1:]]) if len(parts) > 1 else np.zeros(0)
            for name in judged.known
        }
        for tier, parts in said.items()
    }
    losses = {
        tier: float(judged.losses(of, targets)[common].mean()) if common.any() else float(TIERS.index(tier))
        for tier, of in chances.items()
    }
    main = targets[-1] if targets else LAST
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
            chances,
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
    found: DealSet,
    feature_set: FeatureSet,
    as_of: datetime,
    tier: str,
    text: str,
    judged: Judged,
    chances: Mapping[str, Mapping[str, Floats]],
    losses: Mapping[str, float],
    main: str,
    beside: Mapping[str, Any],
    theirs: Floats,
    evidence: Evidence,
    refusals: tuple[Refusal, ...],
) -> Trained:
    ours = chances[tier]
    known = judged.known[main]
    figures = judge.measured(judged, ours)
    figures["rolling_log_loss"] = (
        {"value": losses[tier], "n": int(known.sum())} if known.any() else {"value": None, "n": 0}
    )
    lower = [name for name in losses if TIERS.index(name) < TIERS.index(tier)]
    below = min(lower, key=lambda name: losses[name]) if lower else None
    own = [*judge.gates(judged, main, ours, losses, tier, below), judge.no_leak(judged, ours, main)]
    own.append(verdict.enough(evidence.required if tier != "baseline" else {}, evidence.present))
    own += judge.against_champion(judged, ours[main], theirs, main)
    own += judge.online(found.panel.frame.columns, feature_set, _single(text, found.panel), len(found.panel))
    measured = {name: figures.get(f"{name}_{main}", {}).get("value") for name in ("brier", "log_loss", "ece")}
    return Trained(
        model="win", tier=tier, text=text, feature_set=feature_set, features=found.panel.frame.columns, as_of=as_of,
        loss=losses[tier], gates=tuple(own), evidence=evidence, metrics=figures,
        calibration=measured | {"n": int(known.sum())}, data_sha256=found.sha256, rows=len(found.panel),
        available=found.available, naive=beside, segments=judge.by_segment(judged, ours, main), refusals=refusals,
        reliability=tuple(metrics.reliability(ours[main][known], judged.outcome[main][known])) if known.any() else (),
        background={"stages": found.stages, "target": main}, parameters={"tier": tier, "stages": ", ".join(found.stages)},
        notes=_notes(found, known, main), window=window(found.panel.at),
        statistics=statistics_of(found.frame, feature_set, found.panel.frame.columns),
    )  # fmt: skip


def _single(text: str, panel: Panel) -> Callable[[int], Any]:
    """Asks about one deal alone."""
    model = load(text)

    def ask(row: int) -> None:
        model.one(panel.frame.take(slice(row, row + 1)), int(panel.stage[row]), float(panel.at[row]))

    return ask


def _notes(found: DealSet, known: Array, main: str) -> tuple[str, ...]:
    taken = f"learned from {len(found.panel)} of {found.available} landmarks"
    words = main.replace("won_", "won within ").replace("d", " days") if main != LAST else "won at last"
    return (
        taken,
        f"judged on {int(known.sum())} later landmarks: {words}"
        if known.any()
        else "not judged: there is no later time yet",
    )


def _naive(
    found: DealSet, judged: Judged, cuts: tuple[float, ...], asked: list[Array], main: str
) -> dict[str, Any]:
    """Trivial forecasts on the same rows: each from the labels that were known at its origin."""
    days = float(main.removeprefix("won_").removesuffix("d")) if main != LAST else np.inf
    said: dict[str, list[Floats]] = {}
    for cut, rows in zip(cuts, asked, strict=True):
        won, _ = found.won_within(days)
        then = found.panel.at + days <= cut
        frame = Frame.of({"stage": found.panel.stage}, {"stage": found.stages})
        for name, part in judge.naive(
            frame.take(then), won[then], found.panel.at[then], frame.take(rows)
        ).items():
            said.setdefault(name, []).append(part)
    return {name: judge.measured(judged, {main: np.concatenate(parts)}) for name, parts in said.items()}


def _champions_word(found: DealSet, rows: Array, champion: Bundle | None, main: str) -> Floats:
    """The champion's chances of rows that it has not learned from; NaN for the others."""
    chances = np.full(len(rows), np.nan)
    if champion is None or champion.manifest.feature_set != "deal_win":
        return chances
    model, known = champion.estimator, champion.manifest.training_as_of.timestamp() / 86_400
    stage = np.array([model.stages.index(key) if key in model.stages else -1 for key in found.stages])
    later = np.flatnonzero((found.panel.at[rows] >= known) & (stage[found.panel.stage[rows]] >= 0))
    if len(later) and set(champion.manifest.features) <= set(found.panel.frame.columns):
        panel = found.panel.take(rows[later])
        chances[later] = said_by(model, Ask(panel.frame, stage[panel.stage], panel.at))[main]
    return chances
