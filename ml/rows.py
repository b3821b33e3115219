"""The standing odds of one row in every stage: coefficients as one matrix, trees behind LightGBM's single-row calls."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ml.blend import Blend
from ml.clock import BY_CLOSE_DATE, CLOSE_DATE
from ml.estimator import Classifier
from ml.frame import Floats, Frame, Ints
from ml.gbm import Gbm
from ml.logistic import Logistic, unfolded
from ml.odds import STAGE, StageOdds
from ml.one_row import OneRow

LAYOUTS = 8
"""Orders of columns that are kept; a process sees one or two."""


class Reading:
    """What both models of `StageOdds` read of a row, and what they say of it."""

    def __init__(self, odds: StageOdds) -> None:
        models = (odds.move_, odds.lose_)
        columns = {name for model in models for name in getattr(model, "columns_", ())} | set(odds.moving)
        columns |= {CLOSE_DATE} if any(odds.clock[name] in BY_CLOSE_DATE for name in odds.moving) else set()
        self.odds, self.size = odds, len(odds.stages)
        self.names = tuple(sorted(columns - {STAGE}))
        self.place = {name: j for j, name in enumerate(self.names)}
        lines, trees = [_line(model) for model in models], [_trees(model) for model in models]
        words: dict[str, tuple[str, ...]] = {}
        for part in (*lines, *trees):
            words |= {} if part is None else part.words_
        self.categories = [
            (self.place[name], name, of, {word: float(code) for code, word in enumerate(of)})
            for name, of in words.items()
            if name in self.place
        ]
        self.share = 0.5 if isinstance(odds.move_, Blend) else 1.0
        self.lines = (
            Lines([one for one in lines if one], self.place, odds.moving, self.size) if all(lines) else None
        )
        self.trees = [Trees(one, self.place, odds.moving) for one in trees if one]
        self._layouts: dict[tuple[str, ...], Ints] = {}

    def row(self, frame: Frame) -> Floats:
        """The frame's one row in the order of `names`, categories in the models' own codes."""
        places = self._layouts.get(frame.columns)
        if places is None:
            while len(self._layouts) >= LAYOUTS:
                self._layouts.pop(next(iter(self._layouts)))
            places = self._layouts[frame.columns] = frame.places(self.names)
        row: Floats = frame.values[0][places]
        for place, name, own, codes in self.categories:
            words = frame.words.get(name)
            if words is not None and words != own:
                code = row[place]
                row[place] = codes.get(words[int(code)], np.nan) if 0 <= code < len(words) else np.nan
        return row

    def margins(self, row: Floats, frame: Frame, stages: Sequence[int]) -> Floats:
        """The log odds to move and to lose in every stage, but for what the clock adds: (S, 2). Right in `stages`."""
        if self.lines is None and not self.trees:
            alone: Floats = self.odds.standing_odds(frame)[0]
            return alone
        total = np.zeros((self.size, 2)) if self.lines is None else self.lines.margins(row)
        for cause, trees in enumerate(self.trees):
            trees.add(row, stages, total[:, cause])
        return self.share * total


class Lines:
    """Logistic regressions side by side: all columns unfolded at once, then one product with all coefficients.

    A column becomes a line with bends, steps at its levels, and a mark where it is missing, as in `logistic.unfolded`;
    the clock's columns are unknown, so what they give is a constant.
    """

    def __init__(
        self, models: Sequence[Logistic], place: Mapping[str, int], moving: Sequence[str], size: int
    ) -> None:
        self.base = np.zeros(len(models) * size)
        self.shape = (len(models), size)
        found: dict[str, list[tuple[float, ...]]] = {"line": [], "step": [], "gap": []}
        weights: dict[str, list[Floats]] = {kind: [] for kind in found}
        for j, model in enumerate(models):
            own = [model.groups_[s] if s < len(model.groups_) else model.pooled_ for s in range(size)]
            rows = slice(j * size, (j + 1) * size)
            self.base[rows] = [one[0] for one in own]
            taken = 1
            for name, basis in zip(model.columns_, model.basis_, strict=True):
                width = len(basis["means"])  # type: ignore[arg-type]
                coefficients = np.array([one[taken : taken + width] for one in own])
                taken += width
                if name in moving or basis["kind"] == "nothing":
                    self.base[rows] += coefficients @ unfolded(np.array([np.nan]), basis)[0]
                    continue
                for (kind, cell), weight in zip(_cells(basis, place[name]), coefficients.T, strict=True):
                    found[kind].append(cell)
                    weights[kind].append(np.zeros(len(self.base)))
                    weights[kind][-1][rows] = weight
        line, step, gap = (
            np.array(found[kind]).reshape(-1, n) for kind, n in (("line", 7), ("step", 5), ("gap", 3))
        )
        self.line_at, self.low, self.high, self.bend, self.floor, self.line_mean, line_scale = line.T
        self.step_at, self.level, self.is_word, self.step_mean, step_scale = step.T
        self.gap_at, self.gap_mean, gap_scale = gap.T
        self.line_at, self.step_at, self.gap_at = (
            one.astype(np.int64) for one in (self.line_at, self.step_at, self.gap_at)
        )
        self.is_word = self.is_word > 0
        scales = np.concatenate([line_scale, step_scale, gap_scale])
        every = [weight for kind in found for weight in weights[kind]]
        self.weights = np.ascontiguousarray(np.array(every).reshape(-1, len(self.base)).T / scales)
        self.cuts = (len(line), len(line) + len(step))

    def margins(self, row: Floats) -> Floats:
        """(S, models)."""
        known = np.isfinite(row)
        cells = np.empty(self.weights.shape[1])
        lines, steps, gaps = cells[: self.cuts[0]], cells[self.cuts[0] : self.cuts[1]], cells[self.cuts[1] :]
        np.maximum(np.where(known, row, 0.0)[self.line_at], self.low, out=lines)
        np.minimum(lines, self.high, out=lines)
        lines -= self.bend
        np.maximum(lines, self.floor, out=lines)
        lines -= self.line_mean
        lines *= known[self.line_at]
        np.equal(np.rint(row)[self.step_at], self.level, out=steps)
        steps -= self.step_mean
        steps *= known[self.step_at] | self.is_word
        np.subtract(~known[self.gap_at], self.gap_mean, out=gaps)
        found: Floats = (self.weights @ cells + self.base).reshape(self.shape).T
        return found


def _cells(basis: Mapping[str, Any], place: int) -> list[tuple[str, tuple[float, ...]]]:
    """The cells of one column's basis, in their order, with all that makes them of a value."""
    means, scales = basis["means"], basis["scales"]
    if basis["kind"] == "words":
        levels = basis["levels"] or [np.inf]  # no word is kept: a cell that is always 0
        return [
            ("step", (place, level, 1.0, mean, scale))
            for level, mean, scale in zip(levels, means, scales, strict=True)
        ]
    ends = (basis["low"], basis["high"])
    bends = [(0.0, -np.inf), *((bend, 0.0) for bend in basis["bends"])]
    found: list[tuple[str, tuple[float, ...]]] = []
    for (bend, floor), mean, scale in zip(bends, means, scales, strict=False):
        found.append(("line", (place, *ends, bend, floor, mean, scale)))
    for level in basis["levels"]:
        found.append(("step", (place, level, 0.0, means[len(found)], scales[len(found)])))
    if basis["is_missing"]:
        found.append(("gap", (place, means[len(found)], scales[len(found)])))
    return found


class Trees:
    """Boosted trees asked about one row in every stage, on one thread."""

    def __init__(self, model: Gbm, place: Mapping[str, int], moving: Sequence[str]) -> None:
        read = [j for j, name in enumerate(model.columns_) if name != STAGE and name not in moving]
        self.own = np.array(read, dtype=np.int64)
        self.given = np.array([place[model.columns_[j]] for j in read], dtype=np.int64)
        self.stage = model.columns_.index(STAGE)
        self.base = model.base_
        self.trees = OneRow(model.booster, len(model.columns_)) if model.booster_ else None

    def add(self, row: Floats, stages: Sequence[int], total: Floats) -> None:
        """Adds to `total` (S,) the log odds in these stages."""
        if self.trees is None:
            total += self.base
            return
        asked = self.trees.row
        asked[self.own] = row[self.given]
        for stage in stages:
            asked[self.stage] = stage
            total[stage] += self.base + self.trees.score()


def _line(model: Classifier) -> Logistic | None:
    return model if isinstance(model, Logistic) else model.line_ if isinstance(model, Blend) else None


def _trees(model: Classifier) -> Gbm | None:
    return model if isinstance(model, Gbm) else model.trees_ if isinstance(model, Blend) else None
