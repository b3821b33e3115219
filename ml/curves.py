"""What a deal model answers: the chances of a deal over the weeks to come."""

from dataclasses import dataclass

import numpy as np

from ml.frame import Floats, Ints
from ml.panel import WEEK


@dataclass(frozen=True)
class Curves:
    """P(won by t) and P(lost by t) at the ends of weeks 1 … K, each (n, K), and the chance to win at last (n,)."""

    won: Floats
    lost: Floats
    final: Floats

    @property
    def open(self) -> Floats:
        """P(open at t); the three sum to one."""
        return 1.0 - self.won - self.lost

    def won_by(self, days: Floats) -> Floats:
        """The chance to be won within so many days of each row's instant; 0 for days gone by, NaN for unknown."""
        return _read(self.won, days)

    def lost_by(self, days: Floats) -> Floats:
        """The chance to be lost within so many days."""
        return _read(self.lost, days)

    def slip(self, days_to_close: Floats) -> Floats:
        """The chance that the deal is still open once its close date has passed: 1 where it has, NaN without one."""
        still = 1.0 - self.won_by(days_to_close) - self.lost_by(days_to_close)
        return np.where(days_to_close < 0, 1.0, np.clip(still, 0.0, 1.0))

    def likely_close_week(self) -> Ints:
        """The week (1 … K) by which half of the wins have come, if it is won."""
        half = self.won >= 0.5 * self.won[:, -1:]
        found: Ints = np.argmax(half, axis=1).astype(np.int64) + 1
        return found


def _read(curve: Floats, days: Floats) -> Floats:
    """A curve between the ends of weeks, by straight lines; it starts at 0 and stays at its last value."""
    weeks = np.clip(np.nan_to_num(days, nan=0.0) / WEEK, 0.0, curve.shape[1])
    whole = np.minimum(weeks.astype(np.int64), curve.shape[1] - 1)
    padded = np.column_stack([np.zeros(len(curve)), curve])
    rows = np.arange(len(curve))
    low, high = padded[rows, whole], padded[rows, whole + 1]
    return np.where(np.isfinite(days), low + (weeks - whole) * (high - low), np.nan)
