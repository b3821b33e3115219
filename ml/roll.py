"""A deal's weekly odds rolled forward over stages and weeks.

Each week a deal in an open stage stays, moves (to another open stage or to won), or is lost:

    P(move) = e^a / (1 + e^a + e^l),  P(lose) = e^l / (1 + e^a + e^l)

Cohorts are kept apart by stage and weeks in it, because odds change with time in a stage: a semi-Markov chain with
absorbing ends. What leaves one cohort enters another, so P(won by t), P(lost by t) and P(open at t) are monotone and
sum to one by construction. `gradient` gives the derivative of the chance to win at last to every log odds on the way:
occupancy (forward) times the worth of each outcome (backward).
"""

from dataclasses import dataclass

import numpy as np

from ml.frame import Floats, Ints, times


@dataclass(frozen=True)
class Odds:
    """Log odds of n deals over K weeks and S open stages. The last axis of length 2 is (move, lose)."""

    shared: Floats
    """(n, K, S, 2): what counts in a stage in a week, whatever the time in the stage."""
    own: Floats
    """(n, K, 2): what time in the stage adds for the stage that the deal is in at the start."""
    fresh: Floats
    """(S, 2, D): what time in the stage adds 0, 1, … weeks after a move; the last stands for all later weeks."""
    start: Ints
    """(n,): the open stage of each deal."""
    moves: Floats
    """(S, S + 1): where a move leads, by stage; the last column is won. Rows sum to one."""


def rolled(odds: Odds) -> tuple[Floats, Floats]:
    """P(won by t) and P(lost by t) for the ends of weeks 1 … K: two arrays (n, K)."""
    n, weeks = odds.shared.shape[:2]
    state = _Start(odds)
    won, lost = np.zeros((n, weeks)), np.zeros((n, weeks))
    for week in range(weeks):
        won[:, week], lost[:, week] = state.step(week)
    return np.cumsum(won, axis=1), np.cumsum(lost, axis=1)


def gradient(odds: Odds) -> tuple[Floats, Floats, Floats]:
    """The chance to win at last W / (W + L) (n,), its derivative to `shared` (n, K, S, 2) and to `own` (n, K, 2)."""
    n, weeks, stages, _ = odds.shared.shape
    state, past = _Start(odds), []
    total_won, total_lost = np.zeros(n), np.zeros(n)
    for week in range(weeks):
        before = (state.first, state.moved)
        won, lost = state.step(week)
        past.append((*before, state.chances_first, state.chances_moved))
        total_won, total_lost = total_won + won, total_lost + lost
    closed = total_won + total_lost
    chance = total_won / closed
    worth_won, worth_lost = (1 - chance) / closed, -chance / closed
    slope, slope_own = np.zeros((n, weeks, stages, 2)), np.zeros((n, weeks, 2))
    worth_first, worth_moved = np.zeros(n), np.zeros_like(state.moved)
    rows = np.arange(n)
    for week in range(weeks - 1, -1, -1):
        first, moved, chances_first, chances_moved = past[week]
        entered = worth_moved[:, :, 0] @ odds.moves[:, :-1].T + worth_won[:, None] * odds.moves[:, -1]
        if state.has_moves:
            aged = np.concatenate([worth_moved[:, :, 1:], worth_moved[:, :, -1:]], axis=2)
            go_on, lose_there = chances_moved
            ends = (entered[:, :, None], worth_lost[:, None, None])
            worth_moved = go_on * ends[0] + lose_there * ends[1] + (1 - go_on - lose_there) * aged
            slope[:, week, :, 0] = np.einsum("nsd,nsd->ns", moved * go_on, ends[0] - worth_moved)
            slope[:, week, :, 1] = np.einsum("nsd,nsd->ns", moved * lose_there, ends[1] - worth_moved)
        go, lose = chances_first
        on = entered[rows, odds.start]
        worth_first = go * on + lose * worth_lost + (1 - go - lose) * worth_first
        slope_own[:, week, 0] = first * go * (on - worth_first)
        slope_own[:, week, 1] = first * lose * (worth_lost - worth_first)
        slope[rows, week, odds.start] += slope_own[:, week]
    return chance, slope, slope_own


class _Start:
    """Where the deals are: `first` (n,) still in their first stage, `moved` (n, S, D) by stage and weeks in it."""

    def __init__(self, odds: Odds) -> None:
        n, _, stages, _ = odds.shared.shape
        self.odds = odds
        self.has_moves = bool(odds.moves[:, :-1].any())
        self.first = np.ones(n)
        self.moved = np.zeros((n, stages, odds.fresh.shape[2] if self.has_moves else 1))
        self.fresh = np.exp(odds.fresh)
        self.rows = np.arange(n)
        self.chances_first = (self.first, self.first)
        self.chances_moved = (self.moved, self.moved)

    def step(self, week: int) -> tuple[Floats, Floats]:
        """One week on: what is won and what is lost in it."""
        odds = self.odds
        self.chances_first = _chances(np.exp(odds.shared[self.rows, week, odds.start] + odds.own[:, week]))
        go, lose = self.chances_first
        lost = self.first * lose
        leaving = np.zeros((len(self.first), len(odds.moves)))
        leaving[self.rows, odds.start] = self.first * go
        self.first = self.first * (1 - go - lose)
        if self.has_moves:
            shared = np.exp(odds.shared[:, week])
            go_on = shared[:, :, 0, None] * self.fresh[:, 0]
            lose_there = shared[:, :, 1, None] * self.fresh[:, 1]
            rest = 1 / (1 + go_on + lose_there)
            self.chances_moved = (go_on * rest, lose_there * rest)
            leaving += np.einsum("nsd,nsd->ns", self.moved, self.chances_moved[0])
            lost = lost + np.einsum("nsd,nsd->n", self.moved, self.chances_moved[1])
            self._age(rest, leaving)
        return times(leaving, odds.moves[:, -1]), lost

    def _age(self, stay: Floats, leaving: Floats) -> None:
        kept = self.moved * stay
        self.moved = np.empty_like(kept)
        self.moved[:, :, 0] = times(leaving, self.odds.moves[:, :-1])
        self.moved[:, :, 1:] = kept[:, :, :-1]
        self.moved[:, :, -1] += kept[:, :, -1]


def _chances(odds: Floats) -> tuple[Floats, Floats]:
    rest = 1 / (1 + odds[..., 0] + odds[..., 1])
    return odds[..., 0] * rest, odds[..., 1] * rest
