"""What a deal is worth if it is won: quantiles of final / current amount, from the deals that were.

Every deal has its cell (for instance the segment); the cell's own ratios count fully, and beside them stands the
pooled sample with the weight of a few deals, so small cells lean on all. The trees learn the three quantiles from
features. Quantiles never cross.
"""

from dataclasses import dataclass, field
from typing import Any, Self

import lightgbm
import numpy as np

from ml.estimator import Estimator
from ml.frame import Floats, Frame, Ints
from ml.logistic import earlier

QUANTILES = (0.1, 0.5, 0.9)
IMAGINED = (-0.3, -0.05, 0.0, 0.0, 0.1)
"""Log ratios that stand for all deals until there are some: mostly unchanged, rather less than more."""
LOWEST, HIGHEST = -3.0, 2.0
FEWEST = 300


@dataclass(eq=False)
class AmountModel(Estimator):
    """P10, P50 and P90 of final / current amount given a win. `by`: the column of the cells; `weight`: how many
    deals the pooled sample is worth in a cell. Tiers: `baseline` and `gbm` (which needs 300 wins and falls back
    below)."""

    tier: str = "baseline"
    by: str | None = None
    weight: float = 20.0
    seed: int = 0
    threads: int = 1
    columns_: tuple[str, ...] = field(init=False, repr=False)
    words_: dict[str, tuple[str, ...]] = field(init=False, repr=False)
    pooled_: Floats = field(init=False, repr=False)
    cells_: dict[float, Floats] = field(init=False, repr=False)
    boosters_: tuple[str, ...] = field(init=False, repr=False)
    n_: int = field(init=False, repr=False)

    def fit(self, frame: Frame, ratio: Floats, at: Floats | None = None) -> Self:
        """Learn from won deals, each looked at once or more: features then, final amount / amount then, instant."""
        if self.tier not in ("baseline", "gbm"):
            raise ValueError(f"there is no tier {self.tier!r}")
        usable = np.isfinite(ratio) & (ratio > 0)
        frame, target = frame.take(usable), np.clip(np.log(ratio[usable]), LOWEST, HIGHEST)
        self.n_, self.columns_ = len(target), tuple(sorted(frame.columns))
        self.words_ = {name: frame.words[name] for name in self.columns_ if name in frame.words}
        self.pooled_ = quantiles(np.concatenate([target, IMAGINED]), np.ones(len(target) + len(IMAGINED)))
        self.cells_ = self._cells(frame, target)
        enough = self.tier == "gbm" and self.n_ >= FEWEST
        self.boosters_ = self._boosters(frame, target, None if at is None else at[usable]) if enough else ()
        self.__dict__.pop("_loaded", None)
        return self

    def ratios(self, frame: Frame) -> Floats:
        """P10, P50 and P90 of final / current amount, (n, 3), rising along each row."""
        found = self._predicted(frame) if self.boosters_ else self._looked_up(frame)
        return np.exp(np.sort(np.clip(found, LOWEST, HIGHEST), axis=1))

    def amounts(self, frame: Frame, current: Floats) -> Floats:
        """P10, P50 and P90 of the amount, in the currency of `current`; NaN where that is not known."""
        return current[:, None] * self.ratios(frame)

    def _cells(self, frame: Frame, target: Floats) -> dict[float, Floats]:
        if self.by is None or self.by not in frame.columns:
            return {}
        keys = frame.column(self.by)
        shared = np.full(len(target), self.weight / max(len(target), 1))
        return {
            float(key): quantiles(target, shared + (keys == key))
            for key in np.unique(keys[np.isfinite(keys)])
        }

    def _looked_up(self, frame: Frame) -> Floats:
        if not self.cells_:
            return np.tile(self.pooled_, (len(frame), 1))
        keys = frame.only([self.by or ""], self.words_).values[:, 0]
        return np.array([self.cells_.get(float(key), self.pooled_) for key in keys]).reshape(
            -1, len(QUANTILES)
        )

    def _boosters(self, frame: Frame, target: Floats, at: Floats | None) -> tuple[str, ...]:
        matrix = frame.only(self.columns_, self.words_).values
        early = earlier(len(target), at)
        return tuple(self._booster(matrix, target, early, quantile) for quantile in QUANTILES)

    def _booster(self, matrix: Floats, target: Floats, early: Ints | Any, quantile: float) -> str:
        options = {
            "objective": "quantile", "alpha": quantile, "learning_rate": 0.05, "num_leaves": 8, "max_bin": 63,
            "min_data_in_leaf": 40, "lambda_l2": 5.0, "feature_fraction": 0.7, "cat_l2": 50.0, "seed": self.seed,
            "deterministic": True, "force_row_wise": True, "num_threads": self.threads, "verbosity": -1,
        }  # fmt: skip
        train = self._data(matrix[early], target[early])
        judge = lightgbm.Dataset(matrix[~early], target[~early], reference=train, params={"verbosity": -1})
        stop = lightgbm.early_stopping(30, verbose=False)
        tried = lightgbm.train(options, train, 300, valid_sets=[judge], callbacks=[stop])
        rounds = max(int(tried.best_iteration), 3)
        text: str = lightgbm.train(options, self._data(matrix, target), rounds).model_to_string()
        return text

    def _data(self, matrix: Floats, target: Floats) -> Any:
        categories = [j for j, name in enumerate(self.columns_) if name in self.words_]
        return lightgbm.Dataset(
            matrix, target, categorical_feature=categories, params={"verbosity": -1, "max_bin": 63}
        )

    def _predicted(self, frame: Frame) -> Floats:
        if "_loaded" not in self.__dict__:
            self.__dict__["_loaded"] = [lightgbm.Booster(model_str=text) for text in self.boosters_]
        matrix = frame.only(self.columns_, self.words_).values
        if not len(matrix):
            return np.zeros((0, len(QUANTILES)))
        return np.column_stack(
            [b.predict(matrix, num_threads=self.threads) for b in self.__dict__["_loaded"]]
        )


def quantiles(values: Floats, weights: Floats) -> Floats:
    """The weighted quantiles of `QUANTILES`, by the midpoints of the weights."""
    order = np.argsort(values, kind="stable")
    rank = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    found: Floats = np.interp(QUANTILES, rank, values[order])
    return found
