"""The odds of one week: to move to another stage, and to be lost, against staying.

Two binary models, each against "stays" (Begg & Gray 1984, "Calculation of polychotomous logistic regression
parameters using individualized regressions"). Both are additive in the columns that move by the clock, given the
stage: so the part that stands still is asked for once a deal, and the moving parts are read from small tables.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from ml.baseline import BetaBinomial
from ml.blend import Blend
from ml.clock import DEAL_CLOCK, DEAL_JOINT, checked, later
from ml.estimator import Classifier, Estimator
from ml.frame import Bools, Floats, Frame, Ints
from ml.logistic import Logistic
from ml.panel import WEEK, WON, Panel

STAGE = "stage"
WEEKLY_PRIOR = 0.05
CELLS, JOINT_CELLS = 360, 60
SAMPLE, TERM_SAMPLE = 4_000, 300
"""Peers whose average is taken: of their odds, and of the parts of those (exact attributions of trees take long)."""


@dataclass(eq=False)
class Table(Estimator):
    """A function of a few numbers, read from a grid: the nearest cell counts, beyond the ends the last one."""

    lows_: Floats = field(init=False, repr=False)
    highs_: Floats = field(init=False, repr=False)
    cells_: Ints = field(init=False, repr=False)
    effects_: Floats = field(init=False, repr=False)

    def read(self, values: Sequence[Floats]) -> Floats:
        """The effects (…, S, 2) of arrays of equal shape, one for each axis; NaN reads the cell of the unknown."""
        place = np.zeros(values[0].shape, dtype=np.int64)
        for axis_values, low, high, cells in zip(values, self.lows_, self.highs_, self.cells_, strict=True):
            step = (high - low) / (cells - 1) if cells > 1 else 1.0
            inside = np.rint((np.clip(axis_values, low, high) - low) / step)
            place = place * (cells + 1) + np.where(np.isfinite(axis_values), inside, cells).astype(np.int64)
        return self.effects_[place]


@dataclass(eq=False)
class StageOdds(Estimator):
    """Log odds to move and to lose in a week, by stage and features. `tier`: which models give them."""

    stages: tuple[str, ...] = ("open",)
    tier: str = "logistic"
    clock: dict[str, str] = field(default_factory=lambda: dict(DEAL_CLOCK))
    joint: tuple[tuple[str, ...], ...] = DEAL_JOINT
    """Sets of the clock's columns that trees may combine; all others stand alone."""
    ignored: tuple[str, ...] = ("stage_index", "stage_probability", "forecast_category")
    segment: str | None = None
    fiscal_start: int = 1
    half_life: float | None = None
    """Weeks after which a row counts half; None: all rows count the same."""
    seed: int = 0
    threads: int = 1
    move_: Classifier = field(init=False, repr=False)
    lose_: Classifier = field(init=False, repr=False)
    moves_: Floats = field(init=False, repr=False)
    doubles_: tuple[str, ...] = field(init=False, repr=False)
    groups_: tuple[tuple[str, ...], ...] = field(init=False, repr=False)
    tables_: list[Table] = field(init=False, repr=False)
    standing_mean_: Floats = field(init=False, repr=False)
    moving_mean_: Floats = field(init=False, repr=False)
    term_mean_: Floats = field(init=False, repr=False)
    mix_: Floats = field(init=False, repr=False)

    def fit(self, panel: Panel, like: "StageOdds | None" = None, *, explains: bool = True) -> Self:
        """Learn from a panel. `like`: take the strengths that another fit has chosen instead of choosing again.
        Without `explains` the parts of the average deal are left at 0: they take long, and a trial needs none."""
        checked(self.clock)
        self.doubles_ = doubles(panel.frame, self.clock)
        rows = self.rows(panel.frame, panel.stage)
        moved, lost = panel.moved, panel.lost
        self.groups_ = self._groups(rows)
        self.move_ = self._model(like.move_ if like else None)
        self.lose_ = self._model(like.lose_ if like else None)
        weight = self._weight(panel)
        for model, hit, others in ((self.move_, moved, lost), (self.lose_, lost, moved)):
            here = ~others
            own = None if weight is None else weight[here]
            model.fit(rows.take(here), hit[here].astype(np.float64), panel.at[here], own)
        self.moves_ = destinations(panel, len(self.stages))
        self.tables_ = [self._table(rows, group) for group in self.groups_]
        self._averages(rows, panel, explains)
        return self

    @property
    def moving(self) -> tuple[str, ...]:
        """The clock's columns that the models read."""
        return tuple(name for group in self.groups_ for name in group)

    @property
    def standing(self) -> tuple[str, ...]:
        """The other columns that the models read, the stage among them."""
        known = set(getattr(self.move_, "columns_", ())) | {STAGE}
        return tuple(sorted(known - set(self.moving)))

    def rows(self, frame: Frame, stage: Ints | int) -> Frame:
        """What the models read: the features without doubles of the stage, and the stage."""
        kept = frame.without([STAGE, *self.ignored, *self.doubles_])
        return kept.joined({STAGE: np.broadcast_to(stage, len(frame))}, {STAGE: self.stages})

    def now(self, frame: Frame, stage: Ints) -> Floats:
        """The log odds of the week that begins now, (n, 2): to move, to lose."""
        rows = self.rows(frame, stage)
        return np.column_stack([self.move_.margin(rows), self.lose_.margin(rows)])

    def standing_odds(self, frame: Frame) -> Floats:
        """What does not move by the clock, for every stage: (n, S, 2)."""
        return self._in_every_stage(self.still(frame, 0))

    def _in_every_stage(self, rows: Frame) -> Floats:
        size = len(self.stages)
        return np.stack([model.margins(rows, STAGE, size) for model in (self.move_, self.lose_)], axis=2)

    def standing_terms(self, frame: Frame, stage: int) -> Floats:
        """The same taken apart by `standing`, for one stage: (n, columns, 2). What belongs to no column stands with
        the stage, so the sum over columns is `standing_odds`."""
        rows, names = self.still(frame, stage), self.standing
        found = np.zeros((len(frame), len(names), 2))
        for cause, model in enumerate((self.move_, self.lose_)):
            base, parts = model.terms(rows)
            columns = getattr(model, "columns_", ())
            for j, name in enumerate(columns):
                place = names.index(name) if name in names else names.index(STAGE)
                found[:, place, cause] += parts[:, j]
            found[:, names.index(STAGE), cause] += base
        return found

    def moving_odds(self, frame: Frame, at: Floats, weeks: Floats, group: int) -> Floats:
        """What a group of the clock's columns adds in each of `weeks` from now, for every stage: (n, k, S, 2)."""
        columns = self.groups_[group]
        values = [later(self.clock[name], name, frame, at, weeks, self.fiscal_start) for name in columns]
        return self.tables_[group].read(values)

    def fresh_odds(self, depth: int) -> Floats:
        """What weeks in the stage add 0, 1, … depth - 1 weeks after a move: (S, 2, depth)."""
        total = np.zeros((len(self.stages), 2, depth))
        for group, (name, *_) in enumerate(self.groups_):
            if self.restarts(group):
                unit = 7.0 if self.clock[name].endswith(" days") else 1.0
                ages = unit * np.arange(depth, dtype=np.float64)
                total += np.moveaxis(self.tables_[group].read([ages]), 0, 2)
        return total

    def restarts(self, group: int) -> bool:
        """Whether the group starts again with a new stage."""
        return self.clock[self.groups_[group][0]].startswith("restarts")

    def still(self, frame: Frame, stage: Ints | int) -> Frame:
        """The rows with the clock's columns unknown."""
        return self.rows(frame, stage).replaced(dict.fromkeys(self.moving, np.nan))

    def _model(self, like: Classifier | None) -> Classifier:
        if self.tier == "baseline":
            by = (STAGE, self.segment) if self.segment else (STAGE,)
            return BetaBinomial(by=by, prior=WEEKLY_PRIOR)
        strengths = like.strengths if like else {}
        if self.tier == "gbm":
            return Blend(STAGE, self.groups_, WEEKLY_PRIOR, seed=self.seed, threads=self.threads, **strengths)
        if self.tier == "logistic":
            return Logistic(STAGE, prior=WEEKLY_PRIOR, **strengths)
        raise ValueError(f"there is no tier {self.tier!r}")

    def _weight(self, panel: Panel) -> Floats | None:
        """How much each row counts; on average 1, so that ridges mean the same."""
        if self.half_life is None:
            return None
        worth: Floats = np.power(0.5, (panel.end - panel.at) / (WEEK * self.half_life))
        scaled: Floats = worth / float(worth.mean())
        return scaled

    def _groups(self, rows: Frame) -> tuple[tuple[str, ...], ...]:
        """The clock's columns that are there, in the sets in which the models may combine them."""
        if self.tier == "baseline":
            return ()
        there = [name for name in sorted(self.clock) if name in rows.columns]
        sets = (
            [tuple(name for name in names if name in there) for names in self.joint]
            if self.tier == "gbm"
            else []
        )
        taken = {name for names in sets if len(names) > 1 for name in names}
        kept = [names for names in sets if len(names) > 1] + [(name,) for name in there if name not in taken]
        return tuple(group for group in kept if any(self.clock[name] != "stays" for name in group))

    def _table(self, rows: Frame, group: tuple[str, ...]) -> Table:
        """The effect of a group of columns against their being unknown, at evenly spaced values, for every stage."""
        axes = [axis(rows.column(name), CELLS if len(group) == 1 else JOINT_CELLS) for name in group]
        grid = np.array(list(itertools.product(*[np.append(values, np.nan) for values in axes])))
        unknown = Frame(rows.columns, np.full((1, len(rows.columns)), np.nan), rows.words)
        given = unknown.take(np.zeros(len(grid), dtype=np.int64)).replaced(
            dict(zip(group, grid.T, strict=True))
        )
        effects = self._in_every_stage(given) - self._in_every_stage(unknown)
        lows, highs = np.array([values[0] for values in axes]), np.array([values[-1] for values in axes])
        table = Table()
        table.lows_, table.highs_, table.effects_ = lows, highs, effects
        table.cells_ = np.array([len(values) for values in axes])
        return table

    def _averages(self, rows: Frame, panel: Panel, explains: bool) -> None:
        """The average deal of each stage: what its peers' odds would be in every stage, and each column's part of
        them."""
        stages, names = len(self.stages), self.standing
        self.standing_mean_ = np.zeros((stages, stages, 2))
        self.term_mean_ = np.zeros((stages, stages, len(names), 2))
        self.moving_mean_ = np.zeros((stages, len(self.groups_), 2))
        self.mix_ = np.bincount(panel.stage, minlength=stages).astype(np.float64) + 1.0
        self.mix_ /= self.mix_.sum()
        random = np.random.default_rng(self.seed)
        for stage in range(stages):
            here = np.flatnonzero(panel.stage == stage)
            sample = (
                np.sort(random.permutation(here)[:SAMPLE]) if len(here) else np.arange(len(panel))[:SAMPLE]
            )
            peers = rows.take(sample)
            for j, group in enumerate(self.groups_):
                values = [peers.column(name) for name in group]
                self.moving_mean_[stage, j] = self.tables_[j].read(values)[:, stage].mean(axis=0)
            self.standing_mean_[stage] = self.standing_odds(peers).mean(axis=0)
            few = peers.take(
                np.linspace(0, max(len(peers) - 1, 0), min(len(peers), TERM_SAMPLE)).astype(np.int64)
            )
            for other in range(stages) if explains else ():
                parts = self.standing_terms(few, other).mean(axis=0)
                parts[names.index(STAGE)] += self.standing_mean_[stage, other] - parts.sum(axis=0)
                self.term_mean_[stage, other] = parts


def axis(values: Floats, most: int) -> Floats:
    """Evenly spaced values from the lowest to the highest usual one; whole numbers are among them where they fit."""
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, [0.005, 0.995]) if len(known) else (0.0, 0.0)
    low, high = float(np.floor(low)), float(np.ceil(high))
    span = int(high - low)
    return np.linspace(low, high, span * max(1, most // max(span, 1)) + 1 if span <= most else most)


def doubles(frame: Frame, clock: Mapping[str, str]) -> tuple[str, ...]:
    """Columns that restart with a stage but never did: in a pipeline of one stage they only repeat the age."""
    ages = [frame.column(name) for name, how in clock.items() if how == "grows" and name in frame.columns]
    found = []
    for name in (name for name, how in clock.items() if how == "restarts" and name in frame.columns):
        values = frame.column(name)
        if any(np.mean(np.abs(values - age) < 1e-9) > 0.99 for age in ages):
            found.append(name)
    return tuple(found)


def chances(odds: Floats) -> tuple[Floats, Floats]:
    """P(move) and P(lose) within a week from log odds (n, 2)."""
    rates = np.exp(np.clip(odds, -30, 30))
    rest = 1 / (1 + rates.sum(axis=-1))
    return rates[..., 0] * rest, rates[..., 1] * rest


def step_loss(odds: Floats, moved: Bools, lost: Bools) -> Floats:
    """The log loss of each row's week: moved, lost or stayed."""
    go, lose = chances(odds)
    hit = np.where(moved, go, np.where(lost, lose, 1 - go - lose))
    losses: Floats = -np.log(np.maximum(hit, 1e-12))
    return losses


def offsets(odds: Floats, moved: Bools, lost: Bools, prior: float = 0.5) -> Floats:
    """The two offsets (move, lose) that fit these rows best, drawn towards 0."""
    shift = np.zeros(2)
    target = np.column_stack([moved, lost]).astype(np.float64)
    for _ in range(20):
        said = np.column_stack(chances(odds + shift))
        slope = (target - said).sum(axis=0) - shift / prior**2
        curvature = np.diag(said.sum(axis=0)) - said.T @ said + np.eye(2) / prior**2
        step = np.clip(np.linalg.solve(curvature, slope), -1, 1)
        shift = np.clip(shift + step, -3, 3)
        if np.abs(step).max() < 1e-9:
            break
    return shift


def destinations(panel: Panel, stages: int, weight: float = 3.0) -> Floats:
    """Where moves lead, by stage: (S, S + 1), the last column is won. The next stage has `weight` imagined moves."""
    counts = np.zeros((stages, stages + 1))
    counts[np.arange(stages), np.arange(stages) + 1] = weight
    rows = np.flatnonzero(panel.moved)
    to = np.where(panel.outcome[rows] == WON, stages, panel.outcome[rows])
    np.add.at(counts, (panel.stage[rows], to), 1.0)
    shares: Floats = counts / counts.sum(axis=1, keepdims=True)
    return shares
