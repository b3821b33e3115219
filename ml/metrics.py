"""How good a forecast was: every figure with its n and a 95 % interval, resampled by deal and not by row.

Rows of one deal share its fate, so the bootstrap draws whole deals (Field & Welsh 2007, "Bootstrapping clustered
data"). `group` is the deal of each row; without it every row is its own. All is seeded.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ml.frame import Floats, Ints

DRAWS = 400
BINS = 10


@dataclass(frozen=True)
class Measure:
    """A figure, its 95 % interval, and how many rows and deals it rests on. NaN where there were none."""

    value: float
    low: float
    high: float
    n: int
    groups: int

    def document(self) -> dict[str, float | int | None]:
        """As it is stored and shown; None for a figure that the data cannot give."""
        figures = {"value": self.value, "low": self.low, "high": self.high}
        return {name: float(x) if np.isfinite(x) else None for name, x in figures.items()} | {
            "n": self.n, "groups": self.groups,
        }  # fmt: skip


@dataclass(frozen=True)
class Bin:
    """One line of a reliability table: what was said, what came, in how many rows."""

    low: float
    high: float
    said: float
    came: float
    n: int


def log_losses(chance: Floats, outcome: Floats) -> Floats:
    """The log loss of each row, in nats."""
    inside = np.clip(chance, 1e-9, 1 - 1e-9)
    losses: Floats = -(outcome * np.log(inside) + (1 - outcome) * np.log1p(-inside))
    return losses


def log_loss(chance: Floats, outcome: Floats, group: Ints | None = None, *, seed: int = 0) -> Measure:
    """Mean log loss in nats: proper, lower is better."""
    return mean(log_losses(chance, outcome), group, seed=seed)


def brier(chance: Floats, outcome: Floats, group: Ints | None = None, *, seed: int = 0) -> Measure:
    """Mean squared error of the chance: proper, lower is better."""
    return mean((chance - outcome) ** 2, group, seed=seed)


def ece(
    chance: Floats, outcome: Floats, group: Ints | None = None, *, bins: int = BINS, seed: int = 0
) -> Measure:
    """Expected calibration error over bins of equal size: mean |said - came|. Never negative, so noise alone makes it
    positive: read it with n. Each draw adds noise of its own, so the interval is moved back by its mean excess."""
    index = _bins(chance, bins)
    columns = np.zeros((len(chance), bins))
    columns[np.arange(len(chance)), index] = outcome - chance

    def error(sums: Floats, rows: Floats) -> Floats:
        gaps: Floats = np.abs(sums).sum(axis=-1) / np.maximum(rows, 1e-12)
        return gaps

    return _resampled(columns, group, error, seed, is_biased=True)


def auc(chance: Floats, outcome: Floats, group: Ints | None = None, *, seed: int = 0) -> Measure:
    """The chance that a random success stands above a random failure; ties count half."""
    rows, count, draws = _weights(group, len(chance), min(DRAWS, 200), seed)
    order = np.argsort(chance, kind="stable")
    _, tie = np.unique(chance[order], return_inverse=True)
    value = float(_auc(outcome[order], tie, np.ones((1, len(chance))))[0])
    spread = _auc(outcome[order], tie, draws[:, rows][:, order]) if len(chance) else np.zeros(0)
    return _measure(value, spread, len(chance), count)


def mean(values: Floats, group: Ints | None = None, *, seed: int = 0) -> Measure:
    """The mean of a figure by row, with its interval by deal."""
    return _resampled(values[:, None], group, lambda sums, rows: sums[..., 0] / np.maximum(rows, 1e-12), seed)


def difference(ours: Floats, theirs: Floats, group: Ints | None = None, *, seed: int = 0) -> Measure:
    """Mean of ours less theirs over the same rows, by row losses: an interval below zero says ours is better."""
    return mean(ours - theirs, group, seed=seed)


def coverage(
    low: Floats, high: Floats, actual: Floats, group: Ints | None = None, *, seed: int = 0
) -> Measure:
    """The share of outcomes inside [low, high]."""
    return mean(((actual >= low) & (actual <= high)).astype(np.float64), group, seed=seed)


def interval_score(
    low: Floats, high: Floats, actual: Floats, group: Ints | None = None, *, level: float = 0.8, seed: int = 0
) -> Measure:
    """Width of the band plus 2 / (1 - level) for each unit outside (Gneiting & Raftery 2007): lower is better."""
    miss = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
    return mean(high - low + miss * 2 / (1 - level), group, seed=seed)


def pinball(
    quantile: float, said: Floats, actual: Floats, group: Ints | None = None, *, seed: int = 0
) -> Measure:
    """Mean pinball loss of a quantile: proper, lower is better."""
    gap = actual - said
    return mean(np.maximum(quantile * gap, (quantile - 1) * gap), group, seed=seed)


def reliability(chance: Floats, outcome: Floats, *, bins: int = BINS) -> list[Bin]:
    """What was said against what came, in bins of equal size."""
    index = _bins(chance, bins)
    table = []
    for at in range(bins):
        inside = index == at
        if inside.any():
            said, came = chance[inside], outcome[inside]
            table.append(
                Bin(
                    float(said.min()),
                    float(said.max()),
                    float(said.mean()),
                    float(came.mean()),
                    int(inside.sum()),
                )
            )
    return table


def summary(
    chance: Floats, outcome: Floats, group: Ints | None = None, *, seed: int = 0
) -> dict[str, Measure]:
    """Log loss, Brier score, calibration error and AUC of the same rows."""
    figures = {"log_loss": log_loss, "brier": brier, "ece": ece, "auc": auc}
    return {name: figure(chance, outcome, group, seed=seed) for name, figure in figures.items()}


def by_segment(
    chance: Floats,
    outcome: Floats,
    segment: Sequence[str] | Ints,
    group: Ints | None = None,
    *,
    seed: int = 0,
) -> dict[str, dict[str, Measure]]:
    """The summary of each value of a segment."""
    labels = np.asarray(segment).astype(np.str_)
    return {
        str(label): summary(chance[here], outcome[here], None if group is None else group[here], seed=seed)
        for label in np.unique(labels)
        for here in [labels == label]
    }


def origins(first: float, last: float, every: float) -> Iterator[tuple[float, float]]:
    """Rolling origins: at each cut-off learn from what was known then, judge until the next one (days)."""
    cut = first
    while cut < last:
        yield cut, min(cut + every, last)
        cut += every


def observed_over_expected(
    chance: Floats, outcome: Floats, at: Floats, width: float = 7.0
) -> list[tuple[float, float, float, float]]:
    """By week: (start in days, came, said, z). |z| above 3 says that the model no longer fits the days."""
    weeks = np.floor(at / width)
    table = []
    for week in np.unique(weeks):
        here = weeks == week
        came, said = float(outcome[here].sum()), float(chance[here].sum())
        spread = float(np.sqrt(np.sum(chance[here] * (1 - chance[here]))))
        table.append((float(week * width), came, said, (came - said) / max(spread, 1e-9)))
    return table


def _bins(chance: Floats, bins: int) -> Ints:
    edges = np.quantile(chance, np.linspace(0, 1, bins + 1)[1:-1]) if len(chance) else np.zeros(bins - 1)
    found: Ints = np.searchsorted(edges, chance, side="left").astype(np.int64)
    return found


def _weights(group: Ints | None, n: int, draws: int, seed: int) -> tuple[Ints, int, Floats]:
    """The group of each row, how many there are, and how often each draw took each group."""
    names, rows = np.unique(np.arange(n) if group is None else group, return_inverse=True)
    count = len(names)
    random = np.random.default_rng(seed)
    taken = np.zeros((draws, count))
    for draw in range(draws if count else 0):
        taken[draw] = np.bincount(random.integers(0, count, count), minlength=count)
    return rows.reshape(-1).astype(np.int64), count, taken


def _resampled(
    columns: Floats,
    group: Ints | None,
    figure: Callable[[Floats, Floats], Floats],
    seed: int,
    is_biased: bool = False,
) -> Measure:
    n = len(columns)
    if n == 0:
        return Measure(np.nan, np.nan, np.nan, 0, 0)
    rows, count, taken = _weights(group, n, DRAWS, seed)
    sums = np.column_stack([np.bincount(rows, column, minlength=count) for column in columns.T])
    sizes = np.bincount(rows, minlength=count).astype(np.float64)
    value = float(figure(columns.sum(axis=0), np.asarray(float(n))))
    spread = figure(taken @ sums, taken @ sizes)
    if is_biased:
        spread = np.maximum(spread - max(float(spread.mean()) - value, 0.0), 0.0)
    return _measure(value, spread, n, count)


def _measure(value: float, spread: Floats, n: int, groups: int) -> Measure:
    spread = spread[np.isfinite(spread)]
    low, high = np.quantile(spread, [0.025, 0.975]) if groups > 1 and len(spread) else (np.nan, np.nan)
    return Measure(value, float(low), float(high), n, groups)


def _auc(outcome: Floats, tie: Ints, weights: Floats) -> Floats:
    """Weighted AUC of rows in rising order of the chance; `weights` is (draws, rows)."""
    values = np.full(len(weights), np.nan)
    size = int(tie.max()) + 1 if len(tie) else 0
    for draw, weight in enumerate(weights):
        won = np.bincount(tie, weight * outcome, minlength=size)
        lost = np.bincount(tie, weight * (1 - outcome), minlength=size)
        below = np.cumsum(lost) - lost
        total = won.sum() * lost.sum()
        if total > 0:
            values[draw] = float(np.sum(won * (below + lost / 2)) / total)
    return values
