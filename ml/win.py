"""Whether and when a deal is won: weekly odds rolled forward over stages and weeks.

    model = WinModel(stages=("prospecting", "qualification", "proposal", "negotiation"), tier="logistic").fit(panel)
    curves = model.curves(frame, stage, at)
    curves.final                  # the chance to win at last, calibrated, inside (0, 1)
    curves.won_by(days)           # by an instant of each row's own, for instance the end of the period

How it learns. The newest part of the panel is held back: on it are chosen the half-life of rows, the window on which
two offsets (move, lose) are refit to the newest weeks, and how fast what is known of a deal fades (`ml.tuning`); on
it, too, the chance to win is calibrated, so never on rows that the odds were learned from. Then all rows are used,
as chosen.
"""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from ml.calibrate import Calibration
from ml.clock import DEAL_CLOCK, DEAL_JOINT
from ml.curves import Curves
from ml.estimator import Estimator
from ml.frame import Floats, Frame, Ints
from ml.odds import StageOdds, offsets
from ml.panel import WEEK, Panel
from ml.rolling import Roller, chance_at_last
from ml.single import Single
from ml.tuning import Trial, chosen

LEAST = 0.005
"""No open deal is given up, and none is certain."""


@dataclass(eq=False)
class WinModel(Estimator):
    """The deal model. `stages` are the open stages in order; `weeks` is how far it looks before it normalises.

    `segment` is the column that the baseline tier splits by, beside the stage. `clock` says which columns move by the
    clock (`ml.clock`), `joint` which of them trees may combine; `ignored` are doubles of the stage, which would lie
    after a move.
    """

    stages: tuple[str, ...] = ("open",)
    tier: str = "logistic"
    clock: dict[str, str] = field(default_factory=lambda: dict(DEAL_CLOCK))
    joint: tuple[tuple[str, ...], ...] = DEAL_JOINT
    ignored: tuple[str, ...] = ("stage_index", "stage_probability", "forecast_category")
    segment: str | None = None
    fiscal_start: int = 1
    weeks: int = 78
    seed: int = 0
    threads: int = 1
    roller_: Roller = field(init=False, repr=False)
    calibration_: Calibration | None = field(init=False, repr=False)
    window_: int = field(init=False, repr=False)
    half_life_: float | None = field(init=False, repr=False)
    step_loss_: float = field(init=False, repr=False)
    """Rolling one-step log loss on held-back weeks; NaN where there were too few."""
    n_: int = field(init=False, repr=False)

    def fit(self, panel: Panel) -> Self:
        """Learn from a panel. ValueError where it is empty."""
        if not len(panel):
            raise ValueError("there is no week of any deal to learn from")
        return self._fitted(panel, chosen(self._of_odds(None), panel, self.weeks, self.seed))

    def refit_offsets(self, panel: Panel) -> Self:
        """Move the two offsets to the newest weeks: cheap, weekly, and most of what a change of regime asks for."""
        newest = panel.take(panel.at >= panel.end - WEEK * (self.window_ + 1))
        odds = self.roller_.odds_.now(newest.frame, newest.stage)
        self.roller_.offsets_ = offsets(odds, newest.moved, newest.lost) if self.window_ else np.zeros(2)
        return self

    def curves(self, frame: Frame, stage: Ints, at: Floats) -> Curves:
        """The curves of open deals: features, open stage and instant (days since 1970-01-01) of each."""
        won, lost = self.roller_.rolled(frame, stage, at, self.weeks)
        raw = chance_at_last(won, lost)
        final = self.calibrate(raw)
        up, down = final / np.maximum(raw, 1e-12), (1 - final) / np.maximum(1 - raw, 1e-12)
        return Curves(won * up[:, None], lost * down[:, None], final)

    def one(self, frame: Frame, stage: int, at: float) -> Curves:
        """The curves of one open deal, in a thirtieth of the time: as `curves` to 1e-12 (`ml.single`)."""
        won, lost = self._single().rolled(frame, stage, at)
        raw = float(won[-1] / max(won[-1] + lost[-1], 1e-12))
        moved = raw if self.calibration_ is None else self.calibration_.of_one(raw)
        final = min(max(moved, LEAST), 1 - LEAST)
        won *= final / max(raw, 1e-12)
        lost *= (1 - final) / max(1 - raw, 1e-12)
        return Curves(won[None], lost[None], np.array([final]))

    def _single(self) -> Single:
        """The model laid out for single rows; anew when its offsets have moved."""
        key = self.roller_.offsets_.tobytes()
        kept: tuple[bytes, Single] | None = self.__dict__.get("_alone")
        if kept is None or kept[0] != key:
            kept = self.__dict__["_alone"] = (key, Single(self.roller_, self.weeks))
        return kept[1]

    def win_probability(self, frame: Frame, stage: Ints, at: Floats) -> Floats:
        """The chance to win at last, calibrated."""
        return self.curves(frame, stage, at).final

    def calibrate(self, raw: Floats) -> Floats:
        """From the rolled chance to the one that is shown."""
        moved = raw if self.calibration_ is None else self.calibration_.apply(raw)
        return np.clip(moved, LEAST, 1 - LEAST)

    def next_week(self, frame: Frame, stage: Ints) -> Floats:
        """Log odds (n, 2) to move and to lose in the week that begins now, offsets included."""
        return self.roller_.odds_.now(frame, stage) + self.roller_.offsets_

    def _fitted(self, panel: Panel, trial: Trial) -> Self:
        self.window_, self.half_life_, self.step_loss_ = trial.window, trial.half_life, trial.step_loss
        self.calibration_, self.n_ = trial.calibration, len(panel)
        odds = StageOdds(**self._of_odds(trial.half_life)).fit(panel, trial.odds)
        self.roller_ = Roller.of(odds, trial.fade, trial.carry)
        return self.refit_offsets(panel)

    def _of_odds(self, half_life: float | None) -> dict[str, Any]:
        mine = self.parameters()
        return {name: value for name, value in mine.items() if name != "weeks"} | {"half_life": half_life}
