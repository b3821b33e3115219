"""Making chances honest on rows that the model has not seen.

A calibration is a line in log odds, p' = sigmoid(slope · logit p + shift) (Platt 1999; Cox 1958 for the reading of the
two numbers), drawn towards "change nothing" so that few rows change little. Never fit it on rows the model learned
from.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy.optimize import minimize

from ml.estimator import Estimator, logit, sigmoid
from ml.frame import Floats

DAILY = (0.5, 1.0)
"""Widths of the priors of slope and shift where the line is refit daily: wide, because levels drift far."""


@dataclass(eq=False)
class Calibration(Estimator):
    """p' = sigmoid(slope_ · logit p + shift_). `slope_prior` and `shift_prior` are the widths of the normal priors
    around 1 and 0."""

    slope_prior: float = 0.2
    shift_prior: float = 0.25
    slope_: float = field(init=False, repr=False)
    shift_: float = field(init=False, repr=False)
    n_: int = field(init=False, repr=False)

    def fit(self, chance: Floats, outcome: Floats) -> Self:
        """Learn from chances and outcomes (0 or 1) of rows later than those the model learned from."""
        margin = logit(chance)

        def loss(line: Floats) -> tuple[float, Floats]:
            said = sigmoid(line[0] * margin + line[1])
            gap = said - outcome
            value = float(-np.sum(np.log(np.where(outcome > 0, said, 1 - said) + 1e-12)))
            return value, np.array([np.sum(gap * margin), np.sum(gap)])

        return self._minimised(loss, len(chance))

    def fit_censored(
        self, final: Floats, won_by: Floats, lost_by: Floats, fate: Floats, weight: float = 1.0
    ) -> Self:
        """Learn from deals of which some are still open.

        `final` is the chance to win at last, `won_by` and `lost_by` those until the look-back (all before
        calibration); `fate` is 1 won by then, 0 lost by then, NaN open. The times of wins and losses are left as
        they are, the split between them moves: P(won by t) = won_by · p' / p, P(lost by t) =
        lost_by · (1 - p') / (1 - p).
        """
        margin = logit(final)
        soon_won, soon_lost = won_by / final, lost_by / (1 - final)
        won, lost = fate == 1, fate == 0
        opened = ~won & ~lost

        def loss(line: Floats) -> tuple[float, Floats]:
            said = sigmoid(line[0] * margin + line[1])
            rest = 1 - soon_won * said - soon_lost * (1 - said)
            likelihood = np.where(won, said, np.where(lost, 1 - said, np.maximum(rest, 1e-9)))
            slope = np.where(won, 1 - said, np.where(lost, -said, 0.0))
            slope[opened] = ((soon_lost - soon_won) * said * (1 - said) / np.maximum(rest, 1e-9))[opened]
            value = float(-np.sum(np.log(np.maximum(likelihood, 1e-12))))
            return weight * value, -weight * np.array([np.sum(slope * margin), np.sum(slope)])

        return self._minimised(loss, len(final))

    def apply(self, chance: Floats) -> Floats:
        """Calibrated chances; the order of rows never changes."""
        return sigmoid(self.slope_ * logit(chance) + self.shift_)

    def of_one(self, chance: float) -> float:
        """`apply` for one chance, without arrays."""
        inside = min(max(chance, 1e-9), 1 - 1e-9)
        margin = self.slope_ * (math.log(inside) - math.log1p(-inside)) + self.shift_
        return 0.5 * (1.0 + math.tanh(0.5 * margin))

    def slope_at(self, chance: Floats) -> Floats:
        """How fast the calibrated chance moves with the raw one: d p' / d p."""
        moved = self.apply(chance)
        inside = np.clip(chance, 1e-9, 1 - 1e-9)
        rate: Floats = self.slope_ * moved * (1 - moved) / (inside * (1 - inside))
        return rate

    def _minimised(self, loss: Callable[[Floats], tuple[float, Floats]], n: int) -> Self:
        def penalised(line: Floats) -> tuple[float, Floats]:
            value, gradient = loss(line)
            slope, shift = (line[0] - 1) / self.slope_prior, line[1] / self.shift_prior
            pull = np.array([slope / self.slope_prior, shift / self.shift_prior])
            return value + 0.5 * (slope**2 + shift**2), gradient + pull

        found = minimize(
            penalised, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.2, 3.0), (-4.0, 4.0)]
        )
        self.slope_, self.shift_, self.n_ = float(found.x[0]), float(found.x[1]), n
        return self


def rolling(chance: Floats, outcome: Floats, at: Floats, known_at: Floats, window: int = 600) -> Floats:
    """The chances as they would have been with a line refit each day on the newest `window` labels known by then.

    Where the level drifts this is most of what daily retraining would bring, at no cost. Instants in days.
    """
    order = np.argsort(known_at, kind="stable")
    adjusted, days = chance.copy(), np.floor(at)
    for day in np.unique(days):
        known = order[: np.searchsorted(known_at[order], day, side="right")][-window:]
        if len(known):
            line = Calibration(*DAILY).fit(chance[known], outcome[known])
            adjusted[days == day] = line.apply(chance[days == day])
    return adjusted
