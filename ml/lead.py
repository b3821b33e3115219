"""Whether a lead converts within 30, 60 and 90 days: one hazard for each interval, so longer never means less.

P(convert within the first j intervals) = 1 - Π (1 - hazard of interval i). A lead that is put aside has not converted
and stays in the count (the subdistribution of Fine & Gray 1999), so the chances are of all leads, not of those still
alive.

    model = LeadModel(tier="logistic").fit(panel)
    model.probabilities(frame)      # (n, 3), rising along each row
    model.recalibrate(panel)        # daily: a line to the newest labels that it has not learned from
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from ml.baseline import BetaBinomial
from ml.blend import Blend
from ml.calibrate import DAILY, Calibration
from ml.estimator import Classifier, Estimator, sigmoid
from ml.explain import OTHER, Explanation, completed
from ml.frame import Bools, Floats, Frame, Ints
from ml.logistic import Logistic, earlier
from ml.metrics import log_losses

INTERVAL = "interval"
LEAST = 0.001
FEWEST_ROWS, FEWEST_CONVERTED = 200, 30
PRIOR = 0.1
HALF_LIVES = (None, 180.0, 60.0)
"""Days after which a row counts half; a shorter one is tried only when the longer one has helped."""
NODES = 5


@dataclass(frozen=True)
class LeadPanel:
    """Leads looked at, once or several times: `at` and `converted_at` (inf: not converted) are float days since
    1970-01-01; `known_to` is the instant up to when conversions are known."""

    lead: Ints
    at: Floats
    frame: Frame
    converted_at: Floats
    known_to: float

    def __len__(self) -> int:
        return len(self.lead)

    def take(self, rows: Ints | Bools) -> "LeadPanel":
        """Some rows; what is known stays as it is."""
        return LeadPanel(
            self.lead[rows], self.at[rows], self.frame.take(rows), self.converted_at[rows], self.known_to
        )

    def known_by(self, instant: float) -> "LeadPanel":
        """The rows as somebody would have had them at an instant: later conversions are not known."""
        kept = self.take(self.at < instant)
        known = np.where(kept.converted_at <= instant, kept.converted_at, np.inf)
        return LeadPanel(kept.lead, kept.at, kept.frame, known, min(instant, self.known_to))

    def converted_within(self, days: float) -> tuple[Floats, Bools]:
        """Whether each lead converted within `days` (1 or 0), and whether that is known yet."""
        return (self.converted_at <= self.at + days).astype(np.float64), self.at + days <= self.known_to


@dataclass(eq=False)
class LeadModel(Estimator):
    """The lead model. `horizons`: the ends of the intervals in days; `segment`: what the baseline splits by;
    `window`: on how many newest labels the line is refit each day."""

    tier: str = "logistic"
    horizons: tuple[int, ...] = (30, 60, 90)
    segment: str | None = None
    window: int = 600
    seed: int = 0
    threads: int = 1
    hazard_: Classifier = field(init=False, repr=False)
    calibration_: Calibration | None = field(init=False, repr=False)
    daily_: Calibration | None = field(init=False, repr=False)
    half_life_: float | None = field(init=False, repr=False)
    trained_to_: float = field(init=False, repr=False)
    mean_: Floats = field(init=False, repr=False)
    term_mean_: Floats = field(init=False, repr=False)
    n_: int = field(init=False, repr=False)

    def fit(self, panel: LeadPanel) -> Self:
        """Learn from a panel; calibrated on its newest part by a model that has not seen it, then fitted on all."""
        self.calibration_, self.daily_, self.half_life_ = None, None, None
        self.n_, self.trained_to_ = len(panel), panel.known_to
        rows, outcome, at = self._expanded(panel)
        like = self._choose(rows, outcome, at)
        self.hazard_ = self._classifier(like).fit(rows, outcome, at, weights(at, self.half_life_))
        self._averages(panel.frame)
        return self

    def recalibrate(self, panel: LeadPanel) -> Self:
        """Refit a line in log odds to the newest labels, of those that came in after the model was learned: where the
        level drifts, nearly as good as daily retraining, at no cost."""
        rows, outcome, at = self._expanded(panel)
        newest = np.argsort(at, kind="stable")[-self.window :]
        newest = newest[at[newest] > self.trained_to_]
        self.daily_ = None
        if len(newest):
            said = sigmoid(self._margin(self.hazard_.margin(rows.take(newest))))
            self.daily_ = Calibration(*DAILY).fit(said, outcome[newest])
        return self

    def _choose(self, rows: Frame, outcome: Floats, at: Floats) -> Classifier | None:
        """The half-life and the calibration, on the newest rows by a model that has not seen them."""
        early = earlier(len(outcome), at, 0.7)
        late = ~early
        if late.sum() < FEWEST_ROWS or min(outcome[early].sum(), outcome[late].sum()) < FEWEST_CONVERTED:
            return None
        best, like = np.inf, None
        for half_life in HALF_LIVES[:1] if self.tier == "baseline" else HALF_LIVES:
            model = self._classifier(like).fit(
                rows.take(early), outcome[early], at[early], weights(at[early], half_life)
            )
            said = model.probability(rows.take(late))
            loss = float(np.mean(log_losses(said, outcome[late])))
            if loss >= best:
                break
            best, like, self.half_life_ = loss, model, half_life
            self.calibration_ = Calibration().fit(said, outcome[late])
        return like

    def probabilities(self, frame: Frame) -> Floats:
        """P(convert within each horizon), (n, horizons): rising, inside (0, 1)."""
        hazards = sigmoid(self._margin(self._margins(frame)))
        return np.clip(1 - np.cumprod(1 - hazards, axis=1), LEAST, 1 - LEAST)

    def explain(self, frame: Frame, groups: Mapping[str, Sequence[str]], horizon: int = 90) -> Explanation:
        """Why the chance to convert within a horizon is what it is; like `ml.explain.explain`."""
        count = self.horizons.index(horizon) + 1
        names = (*groups, OTHER)
        place = {column: j for j, (name, columns) in enumerate(groups.items()) for column in columns}
        where = [place.get(name, len(names) - 1) for name in self._columns()]
        start = np.broadcast_to(self.mean_, (len(frame), len(self.horizons)))
        goal, effects = self._margins(frame), np.zeros((len(frame), len(names)))
        slopes = self._slopes(start, goal, count)
        for j in range(count):
            parts = (self._terms(frame, j) - self.term_mean_[j]) * slopes[:, j, None]
            for column, group in enumerate(where):
                effects[:, group] += parts[:, column]
        final = self.probabilities(frame)[:, count - 1]
        base = float(self._within(self.mean_[None], count)[0])
        effects = completed(effects, final - base)
        return Explanation(
            np.full(len(frame), base), effects, final, names, f"Aumann-Shapley over {count} hazards"
        )

    def _within(self, margins: Floats, count: int) -> Floats:
        hazards = sigmoid(self._margin(margins[:, :count]))
        chance: Floats = 1 - np.prod(1 - hazards, axis=1)
        return chance

    def _slopes(self, start: Floats, goal: Floats, count: int) -> Floats:
        """The mean over the line of d chance / d raw margin, (n, count)."""
        points, weights = np.polynomial.legendre.leggauss(NODES)
        total = np.zeros((len(start), count))
        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            hazards = sigmoid(self._margin(start + point * (goal - start)))[:, :count]
            total += weight * np.prod(1 - hazards, axis=1)[:, None] * hazards
        return total * float(np.prod([line.slope_ for line in self._lines()]))

    def _lines(self) -> list[Calibration]:
        return [line for line in (self.calibration_, self.daily_) if line is not None]

    def _margin(self, raw: Floats) -> Floats:
        """Raw log odds of an interval, calibrated and moved to the newest labels."""
        for line in self._lines():
            raw = line.slope_ * raw + line.shift_
        return raw

    def _margins(self, frame: Frame) -> Floats:
        return np.column_stack([self.hazard_.margin(self._rows(frame, j)) for j in range(len(self.horizons))])

    def _rows(self, frame: Frame, interval: Ints | int) -> Frame:
        words = tuple(f"to day {end}" for end in self.horizons)
        return frame.joined({INTERVAL: np.broadcast_to(interval, len(frame))}, {INTERVAL: words})

    def _columns(self) -> tuple[str, ...]:
        return (*getattr(self.hazard_, "columns_", ()), INTERVAL)

    def _terms(self, frame: Frame, interval: int) -> Floats:
        """The raw margin of an interval by `_columns`; what belongs to no column comes last."""
        base, parts = self.hazard_.terms(self._rows(frame, interval))
        return np.column_stack([parts, base])

    def _averages(self, frame: Frame) -> None:
        sample = frame.take(np.sort(np.random.default_rng(self.seed).permutation(len(frame))[:4_000]))
        terms = [self._terms(sample, j) for j in range(len(self.horizons))]
        self.term_mean_ = np.array([part.mean(axis=0) for part in terms])
        self.mean_ = self.term_mean_.sum(axis=1)

    def _expanded(self, panel: LeadPanel) -> tuple[Frame, Floats, Floats]:
        """One row for each lead and interval that it reached and that has ended: features, outcome, when it ended."""
        frames, outcomes, ends, intervals = [], [], [], []
        for j, (begin, end) in enumerate(zip((0, *self.horizons), self.horizons, strict=False)):
            here = np.flatnonzero(
                (panel.converted_at > panel.at + begin) & (panel.at + end <= panel.known_to)
            )
            frames.append(panel.frame.values[here])
            outcomes.append((panel.converted_at[here] <= panel.at[here] + end).astype(np.float64))
            ends.append(panel.at[here] + end)
            intervals.append(np.full(len(here), j))
        frame = Frame(panel.frame.columns, np.vstack(frames), panel.frame.words)
        return self._rows(frame, np.concatenate(intervals)), np.concatenate(outcomes), np.concatenate(ends)

    def _classifier(self, like: Classifier | None) -> Classifier:
        if self.tier == "baseline":
            return BetaBinomial(by=(INTERVAL, self.segment) if self.segment else (INTERVAL,), prior=PRIOR)
        strengths = like.strengths if like else {}
        if self.tier == "gbm":
            return Blend(INTERVAL, prior=PRIOR, seed=self.seed, threads=self.threads, **strengths)
        if self.tier == "logistic":
            return Logistic(INTERVAL, prior=PRIOR, **strengths)
        raise ValueError(f"there is no tier {self.tier!r}")


def weights(at: Floats, half_life: float | None) -> Floats | None:
    """How much each row counts; on average 1, so that ridges mean the same."""
    if half_life is None or not len(at):
        return None
    worth: Floats = np.power(0.5, (at.max() - at) / half_life)
    scaled: Floats = worth / float(worth.mean())
    return scaled
