"""Gradient boosted trees (LightGBM), deterministic, small, and additive where asked.

`apart` names sets of columns that must not interact with others (but with `by`): then the margin is a sum of a
function of all other columns and one function for each set, given `by`. The roll-forward of `win` needs that for
columns that move by the clock. It is kept by LightGBM's interaction constraints.
"""

from dataclasses import dataclass, field
from typing import Any, Self

import lightgbm
import numpy as np

from ml.estimator import Classifier
from ml.frame import Bools, Floats, Frame
from ml.logistic import earlier

FEWEST_ROUNDS = 60
"""A shift of level in the newest rows stops training early, though trees still learn shapes: offsets mend the
level."""


@dataclass(eq=False)
class Gbm(Classifier):
    """Boosted trees on a binary outcome. Rounds are chosen on the newest fifth of the rows, then all rows are used.

    The trees start from the mean rate, with four imagined rows of the chance `prior`: so a first row, or rows of one
    outcome only, do not make anybody sure.
    """

    tier = "gbm"
    by: str | None = None
    apart: tuple[tuple[str, ...], ...] = ()
    monotone: dict[str, int] = field(default_factory=dict)
    leaves: int = 12
    rate: float = 0.05
    rounds: int = 400
    fewest: int = 30
    prior: float = 0.5
    chosen: int | None = None
    """Rounds that an earlier fit has chosen: then none are held back."""
    seed: int = 0
    threads: int = 1
    columns_: tuple[str, ...] = field(init=False, repr=False)
    words_: dict[str, tuple[str, ...]] = field(init=False, repr=False)
    booster_: str = field(init=False, repr=False)
    base_: float = field(init=False, repr=False)
    rounds_: int = field(init=False, repr=False)

    def fit(
        self, frame: Frame, outcome: Floats, at: Floats | None = None, weight: Floats | None = None
    ) -> Self:
        self.columns_ = tuple(sorted(frame.columns))
        self.words_ = {name: frame.words[name] for name in self.columns_ if name in frame.words}
        matrix = frame.only(self.columns_, self.words_).values
        early = earlier(len(outcome), at)
        self.base_ = start(outcome, weight, self.prior)
        self.rounds_ = self.chosen or self._chosen_rounds(matrix, outcome, early, weight)
        self.booster_ = ""
        if min(outcome.sum(), (1 - outcome).sum()) >= 1:
            data = self._data(matrix, outcome, weight)
            self.booster_ = lightgbm.train(self._options(len(outcome)), data, self.rounds_).model_to_string()
        self.__dict__.pop("_booster", None)
        return self

    def margin(self, frame: Frame) -> Floats:
        return self.base_ + self._predicted(frame, 1, raw_score=True)[:, 0]

    def terms(self, frame: Frame) -> tuple[Floats, Floats]:
        """The margin taken apart by exact tree SHAP (Lundberg et al. 2020): (base (n,), contributions (n,
        columns_))."""
        parts = self._predicted(frame, len(self.columns_) + 1, pred_contrib=True)
        return self.base_ + parts[:, -1], parts[:, :-1]

    @property
    def strengths(self) -> dict[str, Any]:
        return {"chosen": self.rounds_}

    def _predicted(self, frame: Frame, width: int, **options: Any) -> Floats:
        """What the trees say, (n, width); nothing where there are no trees or no rows."""
        if not self.booster_ or not len(frame):
            return np.zeros((len(frame), width))
        matrix = frame.only(self.columns_, self.words_).values
        found = self.booster.predict(matrix, num_threads=self.threads, **options)
        return np.asarray(found, dtype=np.float64).reshape(len(frame), width)

    @property
    def booster(self) -> Any:
        """LightGBM's own model, read from its text at the first question."""
        if "_booster" not in self.__dict__:
            self.__dict__["_booster"] = lightgbm.Booster(model_str=self.booster_)
        return self.__dict__["_booster"]

    def _chosen_rounds(self, matrix: Floats, outcome: Floats, early: Bools, weight: Floats | None) -> int:
        if early.all() or not 0 < outcome[~early].sum() < len(outcome[~early]):
            return FEWEST_ROUNDS
        train = self._data(matrix[early], outcome[early], None if weight is None else weight[early])
        judge = lightgbm.Dataset(
            matrix[~early],
            outcome[~early],
            reference=train,
            init_score=np.full(int((~early).sum()), self.base_),
            params={"verbosity": -1},
        )
        stop = lightgbm.early_stopping(40, verbose=False)
        options = self._options(int(early.sum()))
        tried = lightgbm.train(options, train, self.rounds, valid_sets=[judge], callbacks=[stop])
        return max(int(tried.best_iteration), FEWEST_ROUNDS)

    def _data(self, matrix: Floats, outcome: Floats, weight: Floats | None) -> Any:
        categories = [j for j, name in enumerate(self.columns_) if name in self.words_]
        return lightgbm.Dataset(
            matrix,
            outcome,
            weight=weight,
            init_score=np.full(len(outcome), self.base_),
            categorical_feature=categories,
            params={"verbosity": -1, "max_bin": 63},
        )

    def _options(self, n: int) -> dict[str, Any]:
        options: dict[str, Any] = {
            "objective": "binary", "learning_rate": self.rate, "num_leaves": self.leaves, "max_bin": 63,
            "min_data_in_leaf": min(self.fewest, max(n // 10, 2)), "lambda_l2": 5.0, "feature_fraction": 0.7,
            "min_data_per_group": 100, "cat_smooth": 50.0, "cat_l2": 50.0,
            "seed": self.seed, "deterministic": True, "force_row_wise": True, "num_threads": self.threads,
            "verbosity": -1,
        }  # fmt: skip
        if self.monotone:
            options["monotone_constraints"] = [self.monotone.get(name, 0) for name in self.columns_]
        if self.apart:
            options["interaction_constraints"] = self._constraints()
        return options

    def _constraints(self) -> list[list[int]]:
        place = {name: j for j, name in enumerate(self.columns_)}
        shared = [place[self.by]] if self.by in place else []
        apart = [[place[name] for name in names if name in place] for names in self.apart]
        taken = {j for group in apart for j in group}
        rest = [j for j in place.values() if j not in taken and j not in shared]
        return [group + shared for group in (rest, *apart) if group]


def start(outcome: Floats, weight: Floats | None, prior: float) -> float:
    """The log odds of the mean rate, with four imagined rows of the chance `prior`."""
    worth = np.ones(len(outcome)) if weight is None else weight
    hits, misses = float(worth @ outcome) + 4 * prior, float(worth @ (1 - outcome)) + 4 * (1 - prior)
    return float(np.log(hits) - np.log(misses))
