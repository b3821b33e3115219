"""How good a model would have been: learned up to an origin, judged on the rows of the weeks after it.

Two origins, each followed by a stretch whose outcomes are known by now. All candidates are judged on the same rows,
beside what a sceptic with a spreadsheet would have said there. Intervals are resampled by deal, never by row.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from time import perf_counter
from typing import Any

import numpy as np

from features.spec import FeatureSet
from ml import leak, metrics
from ml.baseline import Constant, TrailingRate, stage_rate
from ml.estimator import Classifier
from ml.frame import Bools, Floats, Frame, Ints
from registry import verdict
from registry.verdict import Gate
from training import ending

STRETCH = 91.0
"""Days after an origin whose rows are judged, and days until their outcome is known."""
HORIZONS = (30, 60, 90)
TRAILING = 300
FEWEST = 60
"""Rows below which a segment is not reported."""

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Said:
    """What one candidate said of the judged rows: chances (n, horizons), and what it took to say so."""

    chances: dict[str, Floats]
    text: str = ""


@dataclass(frozen=True)
class Judged:
    """Rows after the origins with their outcomes, the same for all candidates. `known` says which count.

    Keys are targets such as `won_90d`; `labels` are parallel to the rows, `segments` name what each row belongs to.
    """

    group: Ints
    outcome: dict[str, Floats]
    known: dict[str, Bools]
    segments: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.group)

    def losses(self, chances: Mapping[str, Floats], targets: Sequence[str]) -> Floats:
        """Each row's log loss, averaged over those targets; rows must be known in all of them."""
        mean: Floats = np.mean(
            [metrics.log_losses(chances[name], self.outcome[name]) for name in targets], axis=0
        )
        return mean

    def common(self, targets: Sequence[str]) -> Bools:
        """The rows whose outcome is known in all targets."""
        found: Bools = np.logical_and.reduce([self.known[name] for name in targets])
        return found


def origins(first: float, end: float, stretch: float = STRETCH) -> tuple[float, ...]:
    """Where to stand: two origins a stretch apart, the later one two stretches before the end; none in a short history.
    A young company is judged over shorter stretches."""
    own = min(stretch, (end - first) / 5)
    return () if own < 14 else (end - 3 * own, end - 2 * own)


def stretch_of(first: float, end: float, stretch: float = STRETCH) -> float:
    """How long the judged stretch after each origin is, in days."""
    return float(min(stretch, (end - first) / 5))


def targets_of(stretch: float, word: str = "won") -> tuple[str, ...]:
    """The horizons whose outcome is known a stretch after the last judged row."""
    return tuple(f"{word}_{days}d" for days in HORIZONS if days <= stretch)


def naive(frame: Frame, outcome: Floats, at: Floats, later: Frame) -> dict[str, Floats]:
    """The chances that trivial forecasts would have given to later rows: constant, trailing rate, rate of the stage."""
    if not len(outcome):
        return {name: np.full(len(later), 0.5) for name in ("constant", "trailing_rate", "stage_rate")}
    found: dict[str, Classifier] = {
        "constant": Constant().fit(frame, outcome),
        "trailing_rate": TrailingRate(TRAILING).fit(frame, outcome, at),
    }
    if "stage" in frame.columns:
        found["stage_rate"] = stage_rate(frame, outcome)
    return {name: model.probability(later) for name, model in found.items()}


def measured(judged: Judged, chances: Mapping[str, Floats]) -> dict[str, Any]:
    """Log loss, Brier score, calibration error and AUC by target, with n and intervals."""
    found: dict[str, Any] = {}
    for name, said in chances.items():
        rows = judged.known[name]
        if rows.any():
            figures = metrics.summary(said[rows], judged.outcome[name][rows], judged.group[rows])
            found |= {f"{figure}_{name}": measure.document() for figure, measure in figures.items()}
    return found


def by_segment(judged: Judged, chances: Mapping[str, Floats], target: str) -> dict[str, dict[str, Any]]:
    """Log loss and calibration error by stage, amount band and so on, where there are rows enough."""
    found: dict[str, dict[str, Any]] = {}
    for segment, labels in judged.segments.items():
        for label in sorted(set(np.asarray(labels)[judged.known[target]])):
            rows = judged.known[target] & (labels == label)
            if rows.sum() < FEWEST:
                continue
            said, came, group = chances[target][rows], judged.outcome[target][rows], judged.group[rows]
            found.setdefault(segment, {})[str(label)] = {
                "log_loss": metrics.log_loss(said, came, group).document(),
                "ece": metrics.ece(said, came, group).document(),
            }
    return found


def gates(
    judged: Judged,
    target: str,
    chances: Mapping[str, Floats],
    losses: Mapping[str, float],
    tier: str,
    below: str | None,
) -> list[Gate]:
    """The gates that later rows decide: calibration, better than the tier below, too good to be true."""
    rows = judged.known[target]
    if not rows.any():
        words = "there is no later time to judge on yet"
        return [
            Gate("calibration", below is None, words),
            Gate("better than the tier below", below is None, words),
        ]
    said, came, group = chances[target][rows], judged.outcome[target][rows], judged.group[rows]
    error, area = metrics.ece(said, came, group), metrics.auc(said, came, group)
    return [
        verdict.calibration(error.value, error.low, error.high, error.n),
        verdict.better_than_below(
            losses[tier], losses[below] if below else None, tier, below or "", int(rows.sum())
        ),
        verdict.plausible(area.value if np.isfinite(area.value) else None, area.n),
    ]


def against_champion(judged: Judged, ours: Floats, theirs: Floats, target: str) -> list[Gate]:
    """Ours and the champion's chances of the same later rows (NaN where it has learned from one), whole and by segment."""
    rows = judged.known[target]
    if not rows.any():
        return []
    came = judged.outcome[target]
    mine = np.where(rows, metrics.log_losses(ours, came), np.nan)
    its = np.where(rows & np.isfinite(theirs), metrics.log_losses(theirs, came), np.nan)
    return beside(mine, its, judged.group, judged.segments)


def beside(
    ours: Floats,
    theirs: Floats,
    group: Ints,
    segments: Mapping[str, Any],
    what: str = "log loss",
    bound: float = verdict.WORST_SEGMENT,
) -> list[Gate]:
    """Losses of the same rows, ours and the champion's (NaN where there is none): no segment worse by more than `bound`, and
    not worse for certain over all."""
    rows = np.isfinite(ours) & np.isfinite(theirs)
    differences: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for segment, labels in segments.items():
        for label in sorted(set(np.asarray(labels)[rows])):
            here = rows & (np.asarray(labels) == label)
            if here.sum() >= FEWEST:
                name = f"{segment} {label}"
                differences[name], sizes[name] = float((ours - theirs)[here].mean()), int(here.sum())
    worst = verdict.no_worse_segment(differences, sizes, what, bound)
    if rows.sum() < FEWEST:
        return [worst, verdict.not_worse_than_champion(None, 0.0, 0.0, 0)]
    gap = metrics.difference(ours[rows], theirs[rows], group[rows])
    return [worst, verdict.not_worse_than_champion(gap.value, gap.low, gap.high, gap.n, what)]


def no_leak(judged: Judged, ours: Mapping[str, Floats], target: str) -> Gate:
    """Whether the model knows too much of later rows; what the guard refused has been left out before."""
    rows = judged.known[target]
    found = leak.too_good(ours[target][rows], judged.outcome[target][rows]) if rows.any() else []
    return verdict.no_leak([one.reason for one in found])


def online(
    columns: Sequence[str], feature_set: FeatureSet, ask: Callable[[int], Any], size: int
) -> list[Gate]:
    """Whether all that the model reads is in the set that is kept online, and how long the slowest single row takes."""
    missing = [name for name in columns if name not in feature_set.names]
    return [verdict.available(missing), verdict.fast(slowest(ask, size, 30))]


def slowest(ask: Callable[[int], Any], size: int, times: int = 100) -> float:
    """Milliseconds that the slowest of some single questions takes, the first one aside: it warms up."""
    found = []
    for index in range(min(times, size) + 1):
        began = perf_counter()
        ask(index % max(size, 1))
        found.append(perf_counter() - began)
    return 1000 * max(found[1:], default=0.0)


def side_by_side(
    work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], tell: Tell | None, stage: str, workers: int
) -> list[Any]:
    """The results of `work(*task)` in the order of tasks; by processes where there are several cores."""
    if workers < 2 or len(tasks) < 2:
        return [_told(work(*task), tell, stage, i, len(tasks)) for i, task in enumerate(tasks)]
    return _gathered(_pool(workers), work, tasks, tell, stage)


@cache
def _pool(workers: int) -> Executor:
    """Processes that stay for the run: each takes seconds to start. They end with this one."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=ending.with_the_parent)


def _gathered(
    pool: Executor, work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], tell: Tell | None, stage: str
) -> list[Any]:
    waiting: list[Future[Any]] = [pool.submit(work, *task) for task in tasks]
    left = set(waiting)
    while left:
        _done, left = wait(left, return_when="FIRST_COMPLETED")
        if tell:
            tell(stage, len(tasks) - len(left), len(tasks))
    return [one.result() for one in waiting]


def _told(result: Any, tell: Tell | None, stage: str, done: int, total: int) -> Any:
    if tell:
        tell(stage, done + 1, total)
    return result
