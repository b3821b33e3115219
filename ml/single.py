"""One deal scored alone: what `WinModel.curves` says of a row, at a thirtieth of its time.

What belongs to the model is laid out once: coefficients as one matrix, trees behind LightGBM's single-row interface on
one thread, the clock's tables as places in them, and a `Chain` for each stage that a deal may stand in. A row is then
some sixty calls of numpy. Numbers agree with `curves` to about 1e-15 and are held to 1e-12 by the tests; what is stored
is always made by `curves`, so that it can be replayed bit for bit.
"""

import math
import threading
from collections.abc import Mapping, Sequence

import numpy as np

from ml.chain import Chain
from ml.clock import BY_CLOSE_DATE, CALENDAR, CLOSE_DATE, of_calendar
from ml.frame import Floats, Frame, Ints
from ml.odds import StageOdds
from ml.rolling import DEPTH, Roller
from ml.rows import Reading

DAYS = 8
"""Days whose calendar is kept."""


class Single:
    """A roller laid out for single rows. Any thread may ask; one is answered at a time."""

    def __init__(self, roller: Roller, weeks: int) -> None:
        odds, stages = roller.odds_, np.arange(len(roller.odds_.stages))
        self.odds, self.weeks = odds, weeks
        self.reading = Reading(odds)
        average, self.peers = roller.averages(stages)
        self.level = average + roller.offsets_
        self.strength = roller.strength(stages, weeks)[..., None]
        fresh = odds.fresh_odds(DEPTH)
        self.chains = [Chain(odds.moves_, fresh, stage, weeks) for stage in stages.tolist()]
        self.clock = Hands(odds, self.reading.place, weeks)
        self.lock = threading.Lock()

    def rolled(self, frame: Frame, stage: int, at: float) -> tuple[Floats, Floats]:
        """P(won by t) and P(lost by t) (K,), at the ends of weeks 1 … K, of the frame's one row."""
        row = self.reading.row(frame)
        chain = self.chains[stage]
        with self.lock:
            standing = self.reading.margins(row, frame, chain.met)
            shared = self.strength[stage] * (standing - self.peers[stage])
            shared += self.level
            own = self.clock.add(row, at, stage, shared)
            return chain.rolled(shared[:, chain.stages], own)


class Hands:
    """What the clock's columns will add in each of the weeks to come: places in the tables of `StageOdds`."""

    def __init__(self, odds: StageOdds, place: Mapping[str, int], weeks: int) -> None:
        names = [name for group in odds.groups_ for name in group]
        self.fiscal_start, self.weeks = odds.fiscal_start, weeks
        self.given = np.array([place[name] for name in names], dtype=np.int64)
        self.ahead = np.arange(weeks, dtype=np.float64)
        self.steps = np.array([_step(odds.clock[name]) for name in names]).reshape(-1, 1) * self.ahead
        self.fixed = [
            (j, odds.clock[name]) for j, name in enumerate(names) if odds.clock[name] in (*CALENDAR, "past")
        ]
        self.due = place.get(CLOSE_DATE)
        self.lows, self.highs = (
            _column([t.lows_ for t in odds.tables_]),
            _column([t.highs_ for t in odds.tables_]),
        )
        self.cells = _column([t.cells_ for t in odds.tables_])
        spans = self.highs - self.lows
        self.widths = np.where(self.cells > 1, spans / np.maximum(self.cells - 1, 1), 1.0)
        self.strides = _column([_strides(t.cells_) for t in odds.tables_])
        ends = np.cumsum([len(group) for group in odds.groups_]).tolist()
        axes = [slice(end - len(group), end) for group, end in zip(odds.groups_, ends, strict=True)]
        effects = [table.effects_ for table in odds.tables_]
        self.shared = [(axes[j], one) for j, one in enumerate(effects) if not odds.restarts(j)]
        self.restarting = [  # of these a stage reads its own part alone
            (axes[j], [np.ascontiguousarray(one[:, stage]) for stage in range(one.shape[1])])
            for j, one in enumerate(effects) if odds.restarts(j)
        ]  # fmt: skip
        self.days: dict[int, dict[str, Floats]] = {}

    def add(self, row: Floats, at: float, stage: int, shared: Floats) -> Floats:
        """Adds to `shared` (K, S, 2) what the clock does in every stage; gives (K, 2), what time in the first stage does."""
        own = np.zeros((self.weeks, 2))
        if not len(self.given):
            return own
        values = row[self.given][:, None] + self.steps
        for j, pace in self.fixed:
            values[j] = self._fixed(pace, row, at)
        place = np.minimum(np.maximum(values, self.lows), self.highs)
        place -= self.lows
        place /= self.widths
        np.rint(place, out=place)
        np.copyto(place, self.cells, where=~np.isfinite(values))
        place *= self.strides
        cells = place.astype(np.int64)
        for axes, effects in self.shared:
            shared += effects.take(_together(cells[axes]), axis=0)
        for axes, by_stage in self.restarting:
            own += by_stage[stage].take(_together(cells[axes]), axis=0)
        return own

    def _fixed(self, pace: str, row: Floats, at: float) -> Floats:
        """What the calendar decides; with the deal's close date where that matters."""
        if pace not in BY_CLOSE_DATE:
            return self._calendar(at, pace)
        left = row[self.due] - self.ahead
        if np.isnan(left[0]):
            return left
        is_so = left < 0 if pace == "past" else left * 7.0 <= self._calendar(at, "days_to_quarter_end")
        return is_so.astype(np.float64)

    def _calendar(self, at: float, pace: str) -> Floats:
        """Known for the day, once asked for."""
        day = math.floor(at)
        if day not in self.days:
            while len(self.days) >= DAYS:
                self.days.pop(next(iter(self.days)))
            self.days[day] = {}
        known = self.days[day]
        if pace not in known:
            known[pace] = of_calendar(pace, day + 7.0 * self.ahead, self.fiscal_start)
        return known[pace]


def _together(cells: Ints) -> Ints:
    """The cell of a table from what each of its axes adds."""
    found: Ints = cells[0] if len(cells) == 1 else np.add.reduce(cells, axis=0)
    return found


def _step(how: str) -> float:
    """How far a column moves in a week."""
    pace, unit = how.removesuffix(" days"), 7.0 if how.endswith(" days") else 1.0
    return unit if pace in ("grows", "restarts") else -unit if pace == "shrinks" else 0.0


def _column(arrays: Sequence[Floats | Ints]) -> Floats:
    """Arrays below each other, as a column."""
    return np.concatenate(arrays, dtype=np.float64)[:, None] if arrays else np.zeros((0, 1))


def _strides(cells: Ints) -> Floats:
    """How many cells of a table one step on each of its axes passes over; each axis has one more for the unknown."""
    sizes = [int(cell) + 1 for cell in cells]
    return np.array([math.prod(sizes[j + 1 :]) for j in range(len(sizes))], dtype=np.float64)
