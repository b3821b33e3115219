"""The naive forecasts that a model must beat, and the beta-binomial that serves from the first deal on."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy.special import betaincinv

from ml.estimator import Classifier
from ml.frame import Floats, Frame, Ints


@dataclass(eq=False)
class Constant(Classifier):
    """One chance for all: the share of successes, with one imagined success and failure."""

    rate_: float = field(init=False, repr=False)

    def fit(
        self, frame: Frame, outcome: Floats, at: Floats | None = None, weight: Floats | None = None
    ) -> Self:
        self.rate_ = float((outcome.sum() + 1) / (len(outcome) + 2))
        return self

    def probability(self, frame: Frame) -> Floats:
        return np.full(len(frame), self.rate_)


@dataclass(eq=False)
class TrailingRate(Classifier):
    """The rate among the newest `window` labels: what a sceptic with a spreadsheet would use."""

    window: int = 300
    rate_: float = field(init=False, repr=False)

    def fit(
        self, frame: Frame, outcome: Floats, at: Floats | None = None, weight: Floats | None = None
    ) -> Self:
        order = np.arange(len(outcome)) if at is None else np.argsort(at, kind="stable")
        newest = outcome[order][-self.window :]
        self.rate_ = float((newest.sum() + 1) / (len(newest) + 2))
        return self

    def probability(self, frame: Frame) -> Floats:
        return np.full(len(frame), self.rate_)


@dataclass(eq=False)
class BetaBinomial(Classifier):
    """The rate by cell (for instance stage and segment), drawn towards the coarser cell by as many imagined rows as the
    data ask for.

    `by` goes from coarse to fine. With no rows at all the chance is `prior`. The weight of the coarser rate is found by
    the method of moments (Kleinman 1973, "Proportions with extraneous variance") within [2, 200] rows. Missing values
    and words never seen fall back to the coarser cell.
    """

    by: tuple[str, ...] = ("stage",)
    prior: float = 0.3
    prior_weight: float = 4.0
    words_: dict[str, tuple[str, ...]] = field(init=False, repr=False)
    cells_: list[dict[tuple[float, ...], tuple[float, float]]] = field(init=False, repr=False)

    def fit(
        self, frame: Frame, outcome: Floats, at: Floats | None = None, weight: Floats | None = None
    ) -> Self:
        self.words_ = {name: frame.words[name] for name in self.by if name in frame.words}
        worth = np.ones(len(outcome)) if weight is None else weight
        wins, rows, mean, imagined = float(worth @ outcome), float(worth.sum()), self.prior, self.prior_weight
        pooled = (mean * imagined + wins, (1 - mean) * imagined + rows - wins)
        self.cells_ = [{(): pooled}]
        keys = self._keys(frame)
        for depth in range(1, len(self.by) + 1):
            self.cells_.append(self._level(keys[:, :depth], outcome, worth))
        return self

    def probability(self, frame: Frame) -> Floats:
        shape = self._shapes(frame)
        mean: Floats = shape[:, 0] / shape.sum(axis=1)
        return mean

    def terms(self, frame: Frame) -> tuple[Floats, Floats]:
        """Log odds of the pooled rate, and what each finer cell adds, in the order of `by`."""
        shapes = [self._shapes(frame, depth) for depth in range(len(self.by) + 1)]
        levels = np.column_stack([np.log(shape[:, 0]) - np.log(shape[:, 1]) for shape in shapes])
        return levels[:, 0], np.diff(levels, axis=1)

    @property
    def columns_(self) -> tuple[str, ...]:
        """The columns that are read, in the order of `terms`."""
        return self.by

    def interval(self, frame: Frame, level: float = 0.8) -> Floats:
        """The credible interval of each row's rate, (n, 2)."""
        a, b = self._shapes(frame).T
        tail = (1 - level) / 2
        return np.column_stack([betaincinv(a, b, tail), betaincinv(a, b, 1 - tail)])

    def evidence(self, frame: Frame) -> Floats:
        """How many rows, real and imagined, stand behind each chance."""
        total: Floats = self._shapes(frame).sum(axis=1)
        return total

    def _keys(self, frame: Frame) -> Floats:
        return frame.only(self.by, self.words_).values

    def _level(
        self, keys: Floats, outcome: Floats, worth: Floats
    ) -> dict[tuple[float, ...], tuple[float, float]]:
        kept = np.isfinite(keys).all(axis=1)
        cells, index = np.unique(keys[kept], axis=0, return_inverse=True)
        index = index.reshape(-1)
        wins: Floats = np.bincount(index, (worth * outcome)[kept], minlength=len(cells)).astype(np.float64)
        rows: Floats = np.bincount(index, worth[kept], minlength=len(cells)).astype(np.float64)
        coarse = np.array([self._found(tuple(cell)[:-1]) for cell in cells]).reshape(-1, 2)
        means = coarse[:, 0] / coarse.sum(axis=1)
        weight = _weight(wins, rows, means)
        return {
            tuple(map(float, cell)): (float(m * weight + w), float((1 - m) * weight + n - w))
            for cell, m, w, n in zip(cells, means, wins, rows, strict=True)
        }

    def _found(self, key: tuple[float, ...]) -> tuple[float, float]:
        for depth in range(len(key), -1, -1):
            cell = self.cells_[depth].get(key[:depth]) if depth < len(self.cells_) else None
            if cell is not None:
                return cell
        raise KeyError(key)

    def _shapes(self, frame: Frame, depth: int | None = None) -> Floats:
        cells, index = np.unique(self._keys(frame)[:, :depth], axis=0, return_inverse=True)
        found = np.array([self._found(tuple(map(float, cell))) for cell in cells]).reshape(-1, 2)
        return found[index.reshape(-1)]


def _weight(wins: Floats, rows: Floats, means: Floats) -> float:
    """How many imagined rows of the coarser rate explain the spread between cells."""
    if len(rows) < 2:
        return 10.0
    within = means * (1 - means)
    excess = float(np.sum((wins - rows * means) ** 2 - rows * within))
    spread = excess / max(float(np.sum(rows * (rows - 1) * within)), 1e-12)
    return float(np.clip(1 / max(spread, 1e-9) - 1, 2.0, 200.0))


def stage_rate(frame: Frame, outcome: Floats) -> BetaBinomial:
    """The rate by stage alone, hardly shrunken: the spreadsheet's stage-weighted pipeline."""
    return BetaBinomial(by=("stage",), prior_weight=1.0).fit(frame, outcome)


def newest(at: Floats, count: int) -> Ints:
    """The rows of the newest `count` instants, oldest first; ties keep their order."""
    return np.argsort(at, kind="stable")[-count:]
