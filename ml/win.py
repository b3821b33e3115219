"""Whether and when a deal is won: weekly odds rolled forward over stages and weeks.

    model = WinModel(stages=("prospecting", "qualification", "proposal", "negotiation"), tier="logistic").fit(panel)
    curves = model.curves(frame, stage, at)
    curves.final                  # the chance to win at last, calibrated, inside (0, 1)
    curves.won_by(days)           # by an instant of each row's own, for instance the end of the period

How it learns. The newest part of the panel is held back: on it are chosen the window on which two offsets (move, lose)
are refit to the newest weeks, how fast what is known of a deal fades as weeks go by (`fade_`), and how much of it carries
over into stages that the deal has not reached (`carry_`); on it, too, the chance to win is calibrated, so never on rows
that the odds were learned from. Then all rows are used, with what was chosen.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from ml.calibrate import Calibration
from ml.clock import DEAL_CLOCK
from ml.estimator import Estimator
from ml.frame import Bools, Floats, Frame, Ints
from ml.odds import StageOdds, offsets, step_loss
from ml.panel import WEEK, Panel
from ml.roll import Odds, rolled

BLOCK = 256
DEPTH = 14
WINDOWS = (3, 4, 6, 8, 10, 13)
FADES = (1.0, 0.97, 0.93, 0.87, 0.75)
CARRIES = (1.0, 0.7, 0.4, 0.15)
HALF_LIVES = (None, 13.0)
LOOK_BACK = 13
FEWEST_ROWS, FEWEST_CLOSED = 300, 30
LEAST = 0.005
"""No open deal is given up, and none is certain."""


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
        return _at(self.won, days)

    def lost_by(self, days: Floats) -> Floats:
        """The chance to be lost within so many days."""
        return _at(self.lost, days)

    def slip(self, days_to_close: Floats) -> Floats:
        """The chance that the deal is still open once its close date has passed: 1 where it has, NaN without one."""
        still = 1.0 - self.won_by(days_to_close) - self.lost_by(days_to_close)
        return np.where(days_to_close < 0, 1.0, np.clip(still, 0.0, 1.0))

    def likely_close_week(self) -> Ints:
        """The week (1 … K) by which half of the wins have come, if it is won."""
        half = self.won >= 0.5 * self.won[:, -1:]
        found: Ints = np.argmax(half, axis=1).astype(np.int64) + 1
        return found


@dataclass(eq=False)
class WinModel(Estimator):
    """The deal model. `stages` are the open stages in order; `weeks` is how far it looks before it normalises.

    `segment` is the column that the baseline tier splits by, beside the stage. `clock` says which columns move by the
    clock (`ml.clock`); `ignored` are doubles of the stage, which would lie after a move.
    """

    stages: tuple[str, ...] = ("open",)
    tier: str = "logistic"
    clock: dict[str, str] = field(default_factory=lambda: dict(DEAL_CLOCK))
    ignored: tuple[str, ...] = ("stage_index", "stage_probability", "forecast_category")
    segment: str | None = None
    fiscal_start: int = 1
    weeks: int = 78
    seed: int = 0
    threads: int = 1
    odds_: StageOdds = field(init=False, repr=False)
    offsets_: Floats = field(init=False, repr=False)
    window_: int = field(init=False, repr=False)
    fade_: float = field(init=False, repr=False)
    carry_: float = field(init=False, repr=False)
    half_life_: float | None = field(init=False, repr=False)
    calibration_: Calibration | None = field(init=False, repr=False)
    step_loss_: float = field(init=False, repr=False)
    n_: int = field(init=False, repr=False)

    def fit(self, panel: Panel) -> Self:
        """Learn from a panel. ValueError where it is empty."""
        if not len(panel):
            raise ValueError("there is no week of any deal to learn from")
        self.window_, self.fade_, self.carry_, self.half_life_ = 8, 0.97, 0.7, None
        self.calibration_, self.step_loss_, self.offsets_ = None, float("nan"), np.zeros(2)
        like = self._choose(panel)
        self.odds_ = self._odds_model().fit(panel, like)
        self.n_ = len(panel)
        return self.refit_offsets(panel)

    def refit_offsets(self, panel: Panel) -> Self:
        """Move the two offsets to the newest weeks: cheap, weekly, and most of what a change of regime asks for."""
        newest = panel.take(panel.at >= panel.end - WEEK * (self.window_ + 1))
        odds = self.odds_.now(newest.frame, newest.stage)
        self.offsets_ = offsets(odds, newest.moved, newest.lost) if self.window_ else np.zeros(2)
        return self

    def curves(self, frame: Frame, stage: Ints, at: Floats) -> Curves:
        """The curves of open deals: features, open stage and instant (days since 1970-01-01) of each."""
        return self._calibrated(*self._raw(frame, stage, at, self.weeks))

    def win_probability(self, frame: Frame, stage: Ints, at: Floats) -> Floats:
        """The chance to win at last, calibrated."""
        return self.curves(frame, stage, at).final

    def next_week(self, frame: Frame, stage: Ints) -> Floats:
        """Log odds (n, 2) to move and to lose in the week that begins now, offsets included."""
        return self.odds_.now(frame, stage) + self.offsets_

    def blocks(
        self, frame: Frame, stage: Ints, at: Floats, weeks: int, size: int = BLOCK
    ) -> Iterator[tuple[slice, Odds]]:
        """The log odds of every week and stage, in blocks of rows that fit the processor's cache."""
        standing = self.odds_.standing_odds(frame)
        fresh = self.odds_.fresh_odds(DEPTH)
        for begin in range(0, len(frame), size):
            rows = slice(begin, begin + size)
            yield rows, self._block(frame.take(rows), standing[rows], stage[rows], at[rows], weeks, fresh)

    def strength(self, stage: Ints, weeks: int) -> Floats:
        """How much of what is known of a deal counts in each week and stage: (n, K, S)."""
        fading = self.fade_ ** np.arange(weeks)
        own = stage[:, None] == np.arange(len(self.stages))
        return fading[None, :, None] * np.where(own, 1.0, self.carry_)[:, None, :]

    def averages(self, stage: Ints) -> tuple[Floats, Floats]:
        """Odds of the average deal in every stage (S, 2), and what this stage's peers would have there (n, S, 2)."""
        mean = self.odds_.standing_mean_
        return mean[np.arange(len(mean)), np.arange(len(mean))], mean[stage]

    def _block(
        self, frame: Frame, standing: Floats, stage: Ints, at: Floats, weeks: int, fresh: Floats
    ) -> Odds:
        average, peers = self.averages(stage)
        count = self.strength(stage, weeks)[..., None]
        shared = average + self.offsets_ + count * (standing - peers)[:, None]
        steps = np.arange(weeks, dtype=np.float64)
        own = np.zeros((len(frame), weeks, 2))
        for name in self.odds_.moving:
            moving = self.odds_.moving_odds(frame, at, steps, name)
            if name in self.odds_.restarting:
                own += moving[np.arange(len(frame)), :, stage]
            else:
                shared += moving
        return Odds(shared, own, fresh, stage, self.odds_.moves_)

    def _raw(self, frame: Frame, stage: Ints, at: Floats, weeks: int) -> tuple[Floats, Floats]:
        won, lost = np.zeros((len(frame), weeks)), np.zeros((len(frame), weeks))
        for rows, odds in self.blocks(frame, stage, at, weeks):
            won[rows], lost[rows] = rolled(odds)
        return won, lost

    def _calibrated(self, won: Floats, lost: Floats) -> Curves:
        closed = won[:, -1] + lost[:, -1]
        raw = won[:, -1] / np.maximum(closed, 1e-12)
        final = self.calibrate(raw)
        up = final / np.maximum(raw, 1e-12)
        down = (1 - final) / np.maximum(1 - raw, 1e-12)
        return Curves(won * up[:, None], lost * down[:, None], final)

    def calibrate(self, raw: Floats) -> Floats:
        """From the rolled chance to the one that is shown."""
        moved = raw if self.calibration_ is None else self.calibration_.apply(raw)
        return np.clip(moved, LEAST, 1 - LEAST)

    def _odds_model(self) -> StageOdds:
        return StageOdds(  # fmt: skip
            self.stages,
            self.tier,
            self.clock,
            self.ignored,
            self.segment,
            self.fiscal_start,
            self.half_life_,
            self.seed,
            self.threads,
        )

    # what is chosen on rows that were held back

    def _choose(self, panel: Panel) -> StageOdds | None:
        cut, look_back = held_back(panel)
        early = panel.known_by(cut)
        if len(early) < FEWEST_ROWS or int(np.sum(early.outcome < 0)) < FEWEST_CLOSED or look_back < 4:
            return None
        late = panel.take(panel.at >= cut - WEEK * max(WINDOWS))
        tried = [self._tried(early, late, cut, look_back, half_life) for half_life in self._half_lives(early)]
        best = min(tried, key=lambda item: item.loss)
        self.half_life_, self.odds_, self.window_, self.step_loss_ = (
            best.half_life,
            best.odds,
            best.window,
            best.step_loss,
        )
        self.fade_, self.carry_ = best.fade, best.carry
        if best.judged is not None:
            self._fit_calibration(best.judged, best.shifts, best.fates, look_back)
        self.offsets_ = np.zeros(2)
        return self.odds_

    def _half_lives(self, early: Panel) -> tuple[float | None, ...]:
        """Half-lives worth trying; the baseline counts too little for any."""
        return (None,) if self.tier == "baseline" else HALF_LIVES

    def _tried(
        self, early: Panel, late: Panel, cut: float, look_back: int, half_life: float | None
    ) -> "_Trial":
        """One half-life, with the window, fading and carry that suit it best."""
        self.half_life_ = half_life
        self.odds_ = self._odds_model().fit(early)
        odds = self.odds_.now(late.frame, late.stage)
        window, shifts, step = best_window(odds, late, cut)
        fates, known = late.fates(look_back)
        judged = np.flatnonzero((late.at >= cut) & known)
        judged = np.sort(np.random.default_rng(self.seed).permutation(judged)[:4_000])
        trial = _Trial(half_life, self.odds_, window, step, self.fade_, self.carry_, step)
        if len(judged) < 100:
            return trial
        trial.judged, trial.shifts, trial.fates = late.take(judged), shifts[judged], fates[judged]
        trial.fade, trial.carry, trial.loss = self._choose_fading(
            trial.judged, trial.shifts, trial.fates, look_back
        )
        return trial

    def _choose_fading(
        self, judged: Panel, shifts: Floats, fates: Floats, look_back: int
    ) -> tuple[float, float, float]:
        losses = {}
        for fade in FADES:
            for carry in CARRIES if len(self.stages) > 1 else (1.0,):
                self.fade_, self.carry_ = fade, carry
                won, lost = self._raw_shifted(judged, shifts, look_back)
                losses[fade, carry] = float(np.mean(_fate_losses(won[:, -1], lost[:, -1], fates)))
        fade, carry = min(losses, key=lambda pair: losses[pair])
        return fade, carry, losses[fade, carry]

    def _fit_calibration(self, judged: Panel, shifts: Floats, fates: Floats, look_back: int) -> None:
        won, lost = self._raw_shifted(judged, shifts, self.weeks)
        closed = won[:, -1] + lost[:, -1]
        final = np.clip(won[:, -1] / np.maximum(closed, 1e-12), 1e-4, 1 - 1e-4)
        soon = look_back - 1
        self.calibration_ = Calibration().fit_censored(final, won[:, soon], lost[:, soon], fates)

    def _raw_shifted(self, panel: Panel, shifts: Floats, weeks: int) -> tuple[Floats, Floats]:
        """The rolled curves as each row would have had them, with the offsets of its own week."""
        won, lost = np.zeros((len(panel), weeks)), np.zeros((len(panel), weeks))
        self.offsets_ = np.zeros(2)
        for rows, odds in self.blocks(panel.frame, panel.stage, panel.at, weeks):
            shifted = odds.shared + shifts[rows, None, None, :]
            won[rows], lost[rows] = rolled(Odds(shifted, odds.own, odds.fresh, odds.start, odds.moves))
        return won, lost


@dataclass
class _Trial:
    """What one half-life came to on the held-back rows."""

    half_life: float | None
    odds: StageOdds
    window: int
    step_loss: float
    fade: float
    carry: float
    loss: float
    judged: Panel | None = None
    shifts: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    fates: Floats = field(default_factory=lambda: np.zeros(0))


def held_back(panel: Panel) -> tuple[float, int]:
    """Where the held-back part begins (days), and how many weeks of fate it is judged by."""
    begin, end = float(panel.at.min()), panel.end
    span = (end - begin) / WEEK
    look_back = int(min(LOOK_BACK, span // 4))
    held = max(0.3 * span, look_back + 8.0)
    return end - WEEK * min(held, 0.6 * span), look_back


def best_window(odds: Floats, panel: Panel, cut: float) -> tuple[int, Floats, float]:
    """How many newest weeks the offsets should be refit on, by rolling one-step log loss after `cut`: (weeks, the offsets
    that each row would have had (n, 2), the loss). 0 weeks: none at all."""
    week = np.floor((panel.at - cut) / WEEK).astype(np.int64)
    judged = week >= 0
    best = (
        0,
        np.zeros((len(panel), 2)),
        float(np.mean(step_loss(odds[judged], panel.moved[judged], panel.lost[judged]))),
    )
    for window in WINDOWS:
        shifts = rolling_offsets(odds, panel, week, window)
        loss = step_loss(odds[judged] + shifts[judged], panel.moved[judged], panel.lost[judged])
        if float(np.mean(loss)) < best[2]:
            best = (window, shifts, float(np.mean(loss)))
    return best


def rolling_offsets(odds: Floats, panel: Panel, week: Ints, window: int) -> Floats:
    """The offsets of each row, refit each week on the `window` weeks that had ended before it."""
    shifts = np.zeros((len(panel), 2))
    for now in np.unique(week[week >= 0]):
        past: Bools = (week < now) & (week >= now - window)
        if past.any():
            shifts[week == now] = offsets(odds[past], panel.moved[past], panel.lost[past])
    return shifts


def _fate_losses(won: Floats, lost: Floats, fates: Floats) -> Floats:
    hit = np.where(fates == 1, won, np.where(fates == 0, lost, 1 - won - lost))
    losses: Floats = -np.log(np.maximum(hit, 1e-9))
    return losses


def _at(curve: Floats, days: Floats) -> Floats:
    """A curve read between the ends of weeks, by straight lines; it starts at 0 and stays at its last value."""
    weeks = np.clip(np.nan_to_num(days, nan=0.0) / WEEK, 0.0, curve.shape[1])
    whole = np.minimum(weeks.astype(np.int64), curve.shape[1] - 1)
    padded = np.column_stack([np.zeros(len(curve)), curve])
    rows = np.arange(len(curve))
    low, high = padded[rows, whole], padded[rows, whole + 1]
    return np.where(np.isfinite(days), low + (weeks - whole) * (high - low), np.nan)
