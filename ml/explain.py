"""Why a chance is what it is: a base value and one effect for each group of features, which add up to it exactly.

Between a row's baseline (the average deal of its stage) and the row itself runs a straight line in log odds. Along
it the derivative of the shown chance is integrated by Gauss-Legendre and booked to the feature that moves the odds:
the Aumann-Shapley value (Aumann & Shapley 1974; "integrated gradients", Sundararajan et al. 2017), taken through the
roll-forward and the calibration. Where odds come from trees, what moves them are exact tree SHAP values, so the two
rules are chained. What quadrature and clipping leave over (far below a hundredth) is spread in proportion to the
effects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml.calibrate import Calibration
from ml.frame import Floats, Frame, Ints
from ml.odds import STAGE
from ml.roll import Odds, gradient, rolled
from ml.rolling import chance_at_last
from ml.win import WinModel

METHODS = {
    "baseline": "Aumann-Shapley through the weekly roll-forward, from log odds by cell",
    "logistic": "Aumann-Shapley through the weekly roll-forward, from exact linear terms",
    "gbm": "Aumann-Shapley through the weekly roll-forward, from exact tree SHAP and linear terms",
}
OTHER = "other"
BLOCK = 256
NODES = 3
FEW = 32
"""Rows that are taken through all nodes at once."""


@dataclass(frozen=True)
class Places:
    """Where effects are booked: the reason of each standing column, those of each group of the clock, how many there
    are. What columns of the clock do together is split evenly between them."""

    standing: list[int]
    moving: list[list[int]]
    size: int


@dataclass(frozen=True)
class Explanation:
    """`base_value` (n,) + the sum of `effects` (n, groups) = `probability` (n,), to rounding."""

    base_value: Floats
    effects: Floats
    probability: Floats
    groups: tuple[str, ...]
    method: str


def explain(
    model: WinModel,
    frame: Frame,
    stage: Ints,
    at: Floats,
    groups: Mapping[str, Sequence[str]],
    final: Floats | None = None,
) -> Explanation:
    """Why each deal's chance to win at last is what it is.

    `groups` maps a reason to its columns; the column `stage` stands for the stage itself. Columns in no group are
    summed under `other`, which is always there. The base value is one for all deals: the mean over stages of their
    average deal. `final`: the chances, where they are known already.
    """
    names = (*groups, OTHER)
    place = {column: j for j, (name, columns) in enumerate(groups.items()) for column in columns}
    base, by_stage = stage_bases(model)
    effects = np.zeros((len(frame), len(names)))
    chances = np.zeros(len(frame))
    standing = [place.get(name, len(names) - 1) for name in model.roller_.odds_.standing]
    moving = [[place.get(name, len(names) - 1) for name in group] for group in model.roller_.odds_.groups_]
    for begin in range(0, len(frame), BLOCK):
        rows = slice(begin, begin + BLOCK)
        chances[rows], effects[rows] = _block(
            model, frame.take(rows), stage[rows], at[rows], Places(standing, moving, len(names)),
            None if final is None else final[rows],
        )  # fmt: skip
    effects[:, place.get(STAGE, len(names) - 1)] += by_stage[stage] - base
    return Explanation(
        np.full(len(frame), base), completed(effects, chances - base), chances, names, METHODS[model.tier]
    )


def completed(effects: Floats, total: Floats) -> Floats:
    """Effects that sum to `total`, row by row: the small rest is spread in proportion to their size."""
    rest = total - effects.sum(axis=1)
    size = np.abs(effects) + 1e-15
    whole: Floats = effects + size / size.sum(axis=1, keepdims=True) * rest[:, None]
    return whole


def stage_bases(model: WinModel) -> tuple[float, Floats]:
    """The shown chance of the average deal of each stage (S,), and its mean over the stages as they are met. They belong
    to the model alone, and are kept with it until its offsets move."""
    key = model.roller_.offsets_.tobytes()
    kept: tuple[bytes, tuple[float, Floats]] | None = model.__dict__.get("_bases")
    if kept is None or kept[0] != key:
        kept = model.__dict__["_bases"] = (key, _stage_bases(model))
    return kept[1]


def _stage_bases(model: WinModel) -> tuple[float, Floats]:
    stages = np.arange(len(model.stages))
    won, lost = rolled(model.roller_.average(stages, model.weeks))
    chances = model.calibrate(chance_at_last(won, lost))
    return float(model.roller_.odds_.mix_ @ chances), chances


def _block(
    model: WinModel, frame: Frame, stage: Ints, at: Floats, where: Places, final: Floats | None
) -> tuple[Floats, Floats]:
    start = model.roller_.average(stage, model.weeks)
    ((_, goal),) = model.roller_.blocks(frame, stage, at, model.weeks, size=max(len(frame), 1))
    points, weights = np.polynomial.legendre.leggauss(NODES)
    shared = np.zeros(goal.shared.shape)
    own = np.zeros(goal.own.shape)
    steps = [_between(start, goal, float(point)) for point in (points + 1) / 2]
    at_once = len(frame) <= FEW  # few rows cost as much as one: all nodes go in one pass
    found = _apart(gradient(_stacked(steps)), NODES) if at_once else [gradient(one) for one in steps]
    for (chance, slope, slope_own), weight in zip(found, weights / 2, strict=True):
        rate = weight * _calibration_rate(model.calibration_, chance)
        shared += rate[:, None, None, None] * slope
        own += rate[:, None, None] * slope_own
    if final is None:
        final = model.calibrate(chance_at_last(*rolled(goal)))
    return final, _booked(model, frame, stage, at, (shared, own), where)


def _stacked(several: Sequence[Odds]) -> Odds:
    """Odds of the same model below each other."""
    first = several[0]
    shared, own = (np.concatenate([getattr(one, name) for one in several]) for name in ("shared", "own"))
    return Odds(shared, own, first.fresh, np.concatenate([one.start for one in several]), first.moves)


def _apart(arrays: tuple[Floats, Floats, Floats], parts: int) -> list[tuple[Floats, ...]]:
    return list(zip(*(np.split(one, parts) for one in arrays), strict=True))


def _between(start: Odds, goal: Odds, share: float) -> Odds:
    shared = start.shared + share * (goal.shared - start.shared)
    own = start.own + share * (goal.own - start.own)
    return Odds(shared, own, goal.fresh, goal.start, goal.moves)


def _calibration_rate(calibration: Calibration | None, chance: Floats) -> Floats:
    return np.ones(len(chance)) if calibration is None else calibration.slope_at(chance)


def _booked(
    model: WinModel,
    frame: Frame,
    stage: Ints,
    at: Floats,
    slopes: tuple[Floats, Floats],
    where: Places,
) -> Floats:
    """The change along the line, by the feature whose odds moved."""
    shared, own = slopes
    effects = np.zeros((len(frame), where.size))
    worth = np.einsum("nksc,nks->nsc", shared, model.roller_.strength(stage, model.weeks))
    for other in range(len(model.stages)):
        terms = (
            model.roller_.odds_.standing_terms(frame, other) - model.roller_.odds_.term_mean_[stage, other]
        )
        parts = np.einsum("njc,nc->nj", terms, worth[:, other])
        for j, place in enumerate(where.standing):
            effects[:, place] += parts[:, j]
    steps = np.arange(model.weeks, dtype=np.float64)
    rows = np.arange(len(frame))
    for j, places in enumerate(where.moving):
        odds = model.roller_.odds_.moving_odds(frame, at, steps, j)
        mean = model.roller_.odds_.moving_mean_[:, j]
        if model.roller_.odds_.restarts(j):
            part = np.einsum("nkc,nkc->n", odds[rows, :, stage] - mean[stage, None], own)
        else:
            part = np.einsum("nksc,nksc->n", odds - mean, shared)
        for place in places:
            effects[:, place] += part / len(places)
    return effects
