"""Weekly odds of features, made into the odds of every week and stage to come, and rolled forward.

What is known of a deal today says less about later weeks, and less still about stages that it has not reached: its
distance from its peers shrinks by `fade_` each week, and to `carry_` in other stages. The peers' average does not.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ml.estimator import Estimator
from ml.frame import Floats, Frame, Ints
from ml.odds import StageOdds
from ml.roll import Odds, rolled

BLOCK = 256
"""Rows that fit the processor's cache."""
DEPTH = 14
"""Weeks in a stage that are told apart after a move."""


@dataclass(eq=False)
class Roller(Estimator):
    """Odds, the offsets of the newest weeks, and how fast knowledge fades. Set by those who choose them."""

    odds_: StageOdds = field(init=False, repr=False)
    offsets_: Floats = field(init=False, repr=False)
    fade_: float = field(init=False, repr=False)
    carry_: float = field(init=False, repr=False)

    @classmethod
    def of(cls, odds: StageOdds, fade: float, carry: float, offsets: Floats | None = None) -> "Roller":
        """A roller of fitted odds; without offsets they are 0."""
        roller = cls()
        roller.odds_, roller.fade_, roller.carry_ = odds, fade, carry
        roller.offsets_ = np.zeros(2) if offsets is None else offsets
        return roller

    def rolled(
        self,
        frame: Frame,
        stage: Ints,
        at: Floats,
        weeks: int,
        shifts: Floats | None = None,
        standing: Floats | None = None,
    ) -> tuple[Floats, Floats]:
        """P(won by t) and P(lost by t) at the ends of weeks 1 … K. `shifts` (n, 2): further offsets by row;
        `standing`: what `standing_odds` says of the rows, where that is known."""
        won, lost = np.zeros((len(frame), weeks)), np.zeros((len(frame), weeks))
        for rows, odds in self.blocks(frame, stage, at, weeks, standing=standing):
            moved = odds if shifts is None else shifted(odds, shifts[rows])
            won[rows], lost[rows] = rolled(moved)
        return won, lost

    def blocks(
        self,
        frame: Frame,
        stage: Ints,
        at: Floats,
        weeks: int,
        size: int = BLOCK,
        standing: Floats | None = None,
    ) -> Iterator[tuple[slice, Odds]]:
        """The log odds of every week and stage, block of rows by block."""
        standing = self.odds_.standing_odds(frame) if standing is None else standing
        fresh = self.odds_.fresh_odds(DEPTH)
        for begin in range(0, len(frame), size):
            rows = slice(begin, begin + size)
            yield rows, self._block(frame.take(rows), standing[rows], stage[rows], at[rows], weeks, fresh)

    def strength(self, stage: Ints, weeks: int) -> Floats:
        """How much of what is known of a deal counts in each week and stage: (n, K, S)."""
        fading: Floats = np.power(self.fade_, np.arange(weeks, dtype=np.float64))
        own = stage[:, None] == np.arange(len(self.odds_.stages))
        strength: Floats = fading[None, :, None] * np.where(own, 1.0, self.carry_)[:, None, :]
        return strength

    def averages(self, stage: Ints) -> tuple[Floats, Floats]:
        """Odds of the average deal in every stage (S, 2), and what this stage's peers would have there (n, S, 2)."""
        mean = self.odds_.standing_mean_
        return mean[np.arange(len(mean)), np.arange(len(mean))], mean[stage]

    def average(self, stage: Ints, weeks: int) -> Odds:
        """The odds of the average deal of each row's stage: the same in every week, but for time since a move."""
        average, _ = self.averages(stage)
        restarts = np.array([self.odds_.restarts(j) for j in range(len(self.odds_.groups_))], dtype=bool)
        clock = self.odds_.moving_mean_[:, ~restarts].sum(axis=1)
        own = self.odds_.moving_mean_[:, restarts].sum(axis=1)
        shared = np.broadcast_to(average + self.offsets_ + clock, (len(stage), weeks, *average.shape))
        first = np.broadcast_to(own[stage, None], (len(stage), weeks, 2))
        return Odds(shared, first, self.odds_.fresh_odds(DEPTH), stage, self.odds_.moves_)

    def _block(
        self, frame: Frame, standing: Floats, stage: Ints, at: Floats, weeks: int, fresh: Floats
    ) -> Odds:
        average, peers = self.averages(stage)
        count = self.strength(stage, weeks)[..., None]
        shared = average + self.offsets_ + count * (standing - peers)[:, None]
        steps = np.arange(weeks, dtype=np.float64)
        own = np.zeros((len(frame), weeks, 2))
        for group in range(len(self.odds_.groups_)):
            moving = self.odds_.moving_odds(frame, at, steps, group)
            if self.odds_.restarts(group):
                own += moving[np.arange(len(frame)), :, stage]
            else:
                shared += moving
        return Odds(shared, own, fresh, stage, self.odds_.moves_)


def shifted(odds: Odds, shifts: Floats) -> Odds:
    """The same with further offsets (n, 2) in every week and stage."""
    return Odds(odds.shared + shifts[:, None, None, :], odds.own, odds.fresh, odds.start, odds.moves)


def chance_at_last(won: Floats, lost: Floats) -> Floats:
    """The chance to win at last: W / (W + L) at the end of the curves."""
    chance: Floats = won[:, -1] / np.maximum(won[:, -1] + lost[:, -1], 1e-12)
    return chance
