"""What the deal model chooses on the newest part of its panel, which it holds back for that.

The half-life of rows, the window on which the offsets are refit, how knowledge fades, and the calibration: each by a
proper score of later rows, none by taste. Refitting two offsets on few newest weeks costs nothing when nothing changes
and recovers most of what a change of regime takes.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ml.calibrate import Calibration
from ml.frame import Bools, Floats, Ints
from ml.odds import StageOdds, offsets, step_loss
from ml.panel import WEEK, Panel
from ml.rolling import Roller, chance_at_last

WINDOWS = (3, 4, 6, 8, 10, 13)
FADES = (1.0, 0.97, 0.93, 0.87, 0.75)
CARRIES = (1.0, 0.7, 0.4, 0.15)
HALF_LIVES = (None, 13.0, 6.0)
"""Weeks; a shorter one is tried only when the longer one has helped."""
LOOK_BACK = 13
LEVEL_PRIOR = 0.05
"""Levels are the affair of the offsets, which follow the newest weeks: the calibration's shift, learned from older ones, is
held near 0. Log loss against a width of .25, twelve simulated companies: .456 and .459, after a change of regime .326 and
.332; Maven's file .463 and .476."""
FEWEST_ROWS, FEWEST_CLOSED, FEWEST_JUDGED = 300, 30, 100
MOST_JUDGED = 4_000


@dataclass(frozen=True)
class Trial:
    """A choice and what it came to on held-back rows (mean log loss of won, lost, open after the look-back). As it
    stands: what serves until there is enough to choose by."""

    odds: StageOdds | None = None
    half_life: float | None = None
    window: int = 8
    step_loss: float = float("nan")
    fade: float = 0.97
    carry: float = 0.7
    loss: float = float("inf")
    calibration: Calibration | None = None
    judged: Panel | None = None
    shifts: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    fates: Floats = field(default_factory=lambda: np.zeros(0))
    standing: Floats | None = None


def chosen(parameters: dict[str, Any], panel: Panel, weeks: int, seed: int) -> Trial:
    """The best choice on the newest part of a panel; the defaults where there is too little."""
    cut, look_back = held_back(panel)
    early = panel.known_by(cut)
    if len(early) < FEWEST_ROWS or int(np.sum(early.outcome < 0)) < FEWEST_CLOSED or look_back < 4:
        return Trial()
    late = panel.take(panel.at >= cut - WEEK * max(WINDOWS))
    best = Trial()
    for half_life in HALF_LIVES[:1] if parameters["tier"] == "baseline" else HALF_LIVES:
        trial = tried({**parameters, "half_life": half_life}, early, late, cut, look_back, seed, best.odds)
        if trial.loss >= best.loss:
            break
        best = trial
    return best if best.judged is None else replace(best, calibration=calibrated(best, look_back, weeks))


def tried(
    parameters: dict[str, Any],
    early: Panel,
    late: Panel,
    cut: float,
    look_back: int,
    seed: int,
    like: StageOdds | None = None,
) -> Trial:
    """One half-life, with the window, fading and carry that suit it best; strengths are those of `like`."""
    odds = StageOdds(**parameters).fit(early, like, explains=False)
    window, shifts, loss = best_window(odds.now(late.frame, late.stage), late, cut)
    trial = Trial(odds, parameters["half_life"], window, loss, loss=loss)
    fates, known = late.fates(look_back)
    rows = np.flatnonzero((late.at >= cut) & known)
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST_JUDGED])
    if len(rows) < FEWEST_JUDGED:
        return trial
    judged = replace(
        trial,
        judged=late.take(rows),
        shifts=shifts[rows],
        fates=fates[rows],
        standing=odds.standing_odds(late.frame.take(rows)),
    )
    fade, carry, loss = best_fading(judged, look_back)
    return replace(judged, fade=fade, carry=carry, loss=loss)


def best_fading(trial: Trial, look_back: int) -> tuple[float, float, float]:
    """How fast knowledge fades and how much carries over to other stages: (fade, carry, loss)."""
    assert trial.odds is not None
    carries = CARRIES if len(trial.odds.stages) > 1 else (1.0,)
    losses = {
        (fade, carry): fate_loss(replace(trial, fade=fade, carry=carry), look_back)
        for fade in FADES
        for carry in carries
    }
    fade, carry = min(losses, key=lambda pair: losses[pair])
    return fade, carry, losses[fade, carry]


def fate_loss(trial: Trial, look_back: int) -> float:
    """Mean log loss of won, lost or still open after the look-back."""
    won, lost = rolled(trial, look_back)
    end_won, end_lost, fates = won[:, -1], lost[:, -1], trial.fates
    hit = np.where(fates == 1, end_won, np.where(fates == 0, end_lost, 1 - end_won - end_lost))
    return float(np.mean(-np.log(np.maximum(hit, 1e-9))))


def calibrated(trial: Trial, look_back: int, weeks: int) -> Calibration:
    """The calibration of the chance to win at last, on rows that the odds have not seen."""
    assert trial.judged is not None
    won, lost = rolled(trial, weeks)
    final = np.clip(chance_at_last(won, lost), 1e-4, 1 - 1e-4)
    weight = len(np.unique(trial.judged.deal)) / len(trial.judged)
    soon = look_back - 1
    return Calibration(shift_prior=LEVEL_PRIOR).fit_censored(
        final, won[:, soon], lost[:, soon], trial.fates, weight
    )


def rolled(trial: Trial, weeks: int) -> tuple[Floats, Floats]:
    """The curves that each judged row would have had, with the offsets of its own week."""
    assert trial.odds is not None
    assert trial.judged is not None
    rows = trial.judged
    return Roller.of(trial.odds, trial.fade, trial.carry).rolled(
        rows.frame, rows.stage, rows.at, weeks, trial.shifts, trial.standing
    )


def held_back(panel: Panel) -> tuple[float, int]:
    """Where the held-back part begins (days), and how many weeks of fate it is judged by."""
    begin, end = float(panel.at.min()), panel.end
    span = (end - begin) / WEEK
    look_back = int(min(LOOK_BACK, span // 4))
    held = max(0.3 * span, look_back + 8.0)
    return end - WEEK * min(held, 0.6 * span), look_back


def best_window(odds: Floats, panel: Panel, cut: float) -> tuple[int, Floats, float]:
    """How many newest weeks the offsets should be refit on, by rolling one-step log loss after `cut`: (weeks, the
    offsets that each row would have had (n, 2), the loss).

    Never none: where nothing has changed they cost next to nothing, and what is to come need not be like that."""
    week = np.floor((panel.at - cut) / WEEK).astype(np.int64)
    judged, moved, lost = week >= 0, panel.moved, panel.lost

    def loss(shifts: Floats) -> float:
        return float(np.mean(step_loss((odds + shifts)[judged], moved[judged], lost[judged])))

    tried_out = []
    for window in WINDOWS:
        shifts = rolling_offsets(odds, panel, week, window)
        tried_out.append((loss(shifts), window, shifts))
    best = min(tried_out, key=lambda item: item[:2])
    return best[1], best[2], best[0]


def rolling_offsets(odds: Floats, panel: Panel, week: Ints, window: int) -> Floats:
    """The offsets of each row, refit each week on the `window` weeks that had ended before it."""
    shifts, moved, lost = np.zeros((len(panel), 2)), panel.moved, panel.lost
    for now in np.unique(week[week >= 0]):
        past: Bools = (week < now) & (week >= now - window)
        if past.any():
            shifts[week == now] = offsets(odds[past], moved[past], lost[past])
    return shifts
