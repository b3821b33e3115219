"""One deal's roll-forward as one banded system of equations: what `ml.roll.rolled` gives, for a row alone.

Walking week by week costs a row as many calls of numpy as a thousand. Here the unknowns are, for each week and stage, who
enters, who has been there for long, and who moves on. They depend on earlier weeks only, so the matrix is a triangle
with a narrow band, filled through strided views and solved by one call of BLAS (dtbsv). Sums are taken in another order
than week by week: results agree to about 1e-15, and `tests/ml/test_single.py` holds them to 1e-12.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided
from scipy.linalg.blas import dtbsv

from ml.frame import Floats


class Chain:
    """The chain of deals that start in one stage. Not for two threads at once: its buffers are its own.

    `moves` and `fresh` as in `ml.roll.Odds`. `stages`: the stages whose odds are asked for, the start first, then those
    that moves may lead to; `met`: the same, each once. A cohort is who entered a stage in one week; arrays of cohorts are (age, stage, week).
    """

    def __init__(self, moves: Floats, fresh: Floats, start: int, weeks: int) -> None:
        entered = reachable(moves[:, :-1], start) if weeks > 1 else []
        self.stages, self.met = np.array([start, *entered]), sorted({start, *entered})
        self.size, self.weeks = len(entered), weeks - 1
        self.won_at_once = float(moves[start, -1])
        if not entered:
            return
        if fresh.shape[2] == 1:  # who has been there for long is told apart from who enters
            fresh = np.repeat(fresh, 2, axis=2)
        r, m, d = self.size, self.weeks, fresh.shape[2]
        self.depth = d
        self.fresh = np.ascontiguousarray(np.exp(fresh[entered]).transpose(1, 2, 0))[:, :, :, None]
        self.enter, self.won_after = moves[start, entered], moves[entered, -1]
        self.rates = np.ones((2, r, m + d))
        s = self.rates.strides
        self.cohorts = as_strided(self.rates, (2, d, r, m), (s[0], s[2], s[1], s[2]))
        self.survival = np.ones((d, r, m))
        self.sums = np.zeros((d, r, m + d))
        s = self.sums.strides  # a cohort's age of d weeks lies d further right, so that columns are weeks
        self.skewed = as_strided(self.sums, (d, r, m), (s[0] + s[2], s[1], s[2]))
        self._band(moves[np.ix_(entered, entered)])

    def _band(self, moves: Floats) -> None:
        """The matrix by columns, and views on the cells that change with the deal: who moves on by who entered and by
        who has been there for long, and those by who entered and by themselves."""
        r, m, d = self.size, self.weeks, self.depth
        width = 3 * r
        self.band = width * (d - 1) + r
        tall = self.band + 1
        flat = np.zeros(width * m * tall + width * (d + 1))  # the last columns reach beyond the last week
        self.matrix = flat[: width * m * tall].reshape(width * m, tall).T

        def cells(offset: int, shape: tuple[int, ...], *steps: int) -> Floats:
            return as_strided(flat[offset:], shape, tuple(8 * step for step in steps))

        self.long = max(m - d + 1, 0)
        first = (width * (d - 1) + r) * tall
        self.by_entries = cells(2 * r, (d - 1, r, m), width, tall, width * tall)
        self.into_long = cells(self.band, (r, m), tall, width * tall)
        if self.long:
            self.stay_long = cells(first + width, (r, self.long), tall, width * tall)
            self.by_long = cells(first + r, (r, self.long), tall, width * tall)
        if m > 1:
            cells(2 * r * tall + r, (m - 1, r, r), width * tall, self.band, 1)[:] = -moves

    def rolled(self, shared: Floats, own: Floats) -> tuple[Floats, Floats]:
        """P(won by t) and P(lost by t) (K,), from log odds (K, stages, 2) and those of time in the first stage (K, 2)."""
        odds = np.exp(shared[:, 0] + own).T
        chances = odds / (odds[0] + odds[1] + 1.0)
        chances[:, 1:] *= np.multiply.accumulate(1.0 - chances[0] - chances[1])[:-1]
        moved, ends = chances[0, :-1], chances.copy()
        ends[0] *= self.won_at_once
        if self.size:
            flows = self._flows(shared)
            r, known = self.size, np.zeros((self.weeks, 3 * self.size))
            np.multiply(moved[:, None], self.enter, out=known[:, :r])
            found = dtbsv(self.band, self.matrix, known.reshape(-1), lower=1, diag=1, overwrite_x=1)
            found = found.reshape(self.weeks, 3 * r)
            ends[0, 1:] += found[:, 2 * r :] @ self.won_after
            ends[1, 1:] += self._lost(flows, found)
        won, lost = np.add.accumulate(ends, axis=1)
        return won, lost

    def _flows(self, shared: Floats) -> Floats:
        """Fills the matrix. Gives (age, stage, week): the share of a cohort that is lost at that age."""
        np.exp(shared[1:, 1:].T, out=self.rates[:, :, : self.weeks])
        chances = self.cohorts * self.fresh
        stay = chances[0] + chances[1]
        stay += 1.0
        np.reciprocal(stay, out=stay)
        chances *= stay
        left = self.survival
        for age in range(1, self.depth):
            np.multiply(left[age - 1], stay[age - 1], out=left[age])
        chances[:, :-1] *= left[:-1]
        np.negative(chances[0, :-1], out=self.by_entries)
        np.negative(left[-1], out=self.into_long)
        if self.long:
            np.negative(stay[-1, :, : self.long], out=self.stay_long)
            np.negative(chances[0, -1, :, : self.long], out=self.by_long)
        lost: Floats = chances[1]
        return lost

    def _lost(self, flows: Floats, found: Floats) -> Floats:
        """What is lost in each week after the first, of cohorts and of who has been there for long."""
        entered, long = found[:, : self.size].T, found[self.depth - 1 :, self.size : 2 * self.size].T
        np.multiply(flows[:-1], entered, out=self.skewed[:-1])
        if self.long:
            np.multiply(flows[-1, :, : self.long], long, out=self.skewed[-1, :, : self.long])
        weekly: Floats = np.add.reduce(self.sums.reshape(-1, self.sums.shape[2]), axis=0)[: self.weeks]
        return weekly


def reachable(moves: Floats, start: int) -> list[int]:
    """The stages that moves lead to, from a stage on."""
    found: set[int] = set()
    waiting = [start]
    while waiting:
        for stage in np.flatnonzero(moves[waiting.pop()]).tolist():
            if stage not in found:
                found.add(stage)
                waiting.append(stage)
    return sorted(found)
