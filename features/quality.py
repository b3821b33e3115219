"""Whether features still are what they were: expectations, statistics kept with a model, drift with learned thresholds.

Drift compares the newest week's vectors with those of the weeks before. What is usual for a feature is learned from those
weeks themselves: the calendar moves each week and is no news; what jumps further than it ever did, beyond the noise of so
many rows, is. Distances lie in [0, 1]: Kolmogorov and Smirnov's for numbers, half the sum of differences of shares for
words, and the difference of the share that is missing, whichever is largest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2_contingency, ks_2samp

from features.about import may_be_missing
from features.facts import Array
from features.spec import Feature

NOISE = 1.95
"""Of Kolmogorov's distribution: passed once in a thousand samples by chance."""
MARGIN = 1.5
"""How far beyond the largest past step a step must go."""
FEWEST_ROWS, FEWEST_WEEKS = 30, 5
BINS = 10
MOST_WORDS = 30

Columns = Mapping[str, Array]


# expectations


def broken(one: Feature, values: Array, present: Array | None = None) -> list[str]:
    """What a column's values break of its definition: range, null policy. `present`: whose record is known."""
    if one.is_category:
        return []
    found, known = [], np.isfinite(values)
    low = int(np.sum(values[known] < one.low)) if one.low is not None else 0
    high = int(np.sum(values[known] > one.high)) if one.high is not None else 0
    if low:
        found.append(f"{low} values lie below {one.low:g}")
    if high:
        found.append(f"{high} values lie above {one.high:g}")
    if present is not None and not may_be_missing(one) and (missing := int(np.sum(~known & present))):
        found.append(f"{missing} values are missing, which a count never is")
    return found


# statistics


def described(columns: Columns, categories: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Each column in few numbers, as they are kept with a model: n, the share that is missing, and the shares of words or of tenths of the
    range."""
    found: dict[str, dict[str, Any]] = {}
    for name, values in columns.items():
        if name in categories:
            words, counts = np.unique(values[values != ""], return_counts=True)
            order = np.argsort(-counts, kind="stable")[:MOST_WORDS]
            shares = {str(words[i]): round(float(counts[i] / max(len(values), 1)), 6) for i in order}
            found[name] = {"n": len(values), "missing": _share(values == ""), "shares": shares}
        else:
            known = values[np.isfinite(values)]
            edges = (
                np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
                if len(known)
                else np.zeros(0)
            )
            found[name] = {"n": len(values), "missing": _share(~np.isfinite(values)), "edges": edges.tolist()}
            found[name]["bins"] = _bins(values, edges).tolist()
    return found


def stability(kept: Mapping[str, Any], values: Array) -> float:
    """The population stability index of values against kept statistics: below .1 alike, above .25 another population."""
    if "shares" in kept:
        words = list(kept["shares"])
        then = np.array([kept["shares"][word] for word in words])
        now = np.array([_share(values == word) for word in words])
        then = np.append(then, [kept["missing"], max(1 - then.sum() - kept["missing"], 0)])
        now = np.append(now, [_share(values == ""), max(1 - now.sum() - _share(values == ""), 0)])
    else:
        then = np.append(kept["bins"], kept["missing"])
        now = np.append(_bins(values, np.array(kept["edges"])), _share(~np.isfinite(values)))
    then, now = np.maximum(then, 1e-4), np.maximum(now, 1e-4)
    return float(np.sum((now - then) * np.log(now / then)))


def _bins(values: Array, edges: Array) -> Array:
    """The share of all values between the edges; what is missing is in none."""
    place = np.searchsorted(edges, values[np.isfinite(values)], side="left")
    return np.round(np.bincount(place, minlength=len(edges) + 1) / max(len(values), 1), 6)


def _share(mask: Array) -> float:
    return float(np.mean(mask)) if len(mask) else 0.0


# drift


@dataclass(frozen=True)
class Drift:
    """One feature's newest week beside the weeks before. `p` is that of the two-sample test (KS, chi-square)."""

    name: str
    distance: float
    threshold: float
    p: float
    missing: float
    missing_before: float
    new_words: tuple[str, ...]

    @property
    def is_drifted(self) -> bool:
        return self.distance > self.threshold


def distance(one: Array, other: Array, *, is_category: bool) -> float:
    """How far two samples lie apart, in [0, 1]."""
    if is_category:
        words = np.union1d(one, other)
        gap = sum(abs(_share(one == word) - _share(other == word)) for word in words) / 2
        return float(gap)
    known = [column[np.isfinite(column)] for column in (one, other)]
    missing = abs(_share(~np.isfinite(one)) - _share(~np.isfinite(other)))
    if min(len(column) for column in known) < FEWEST_ROWS:
        return missing
    return float(max(missing, _largest_gap(*known)))


def _largest_gap(one: Array, other: Array) -> float:
    every = np.sort(np.concatenate([one, other]))
    steps = [np.searchsorted(np.sort(column), every, side="right") / len(column) for column in (one, other)]
    return float(np.max(np.abs(steps[0] - steps[1])))


def drift(weeks: Sequence[Columns], categories: Sequence[str]) -> list[Drift]:
    """Each feature of the newest week (the first) beside all weeks before it; none where there are too few of them.

    The threshold of a feature is its largest step of the past, `MARGIN` times, and the noise of so many rows.
    """
    enough = [week for week in weeks if len(next(iter(week.values()), ())) >= FEWEST_ROWS]
    if len(enough) <= FEWEST_WEEKS or enough[0] is not weeks[0]:
        return []
    return [_of_one(name, [week[name] for week in enough], name in categories) for name in enough[0]]


def _of_one(name: str, weeks: list[Array], is_category: bool) -> Drift:
    pooled = [np.concatenate(weeks[place + 1 :]) for place in range(len(weeks) - 1)]
    steps = [distance(week, pool, is_category=is_category) for week, pool in zip(weeks, pooled, strict=False)]
    usual = max(steps[1 : max(len(steps) - 1, 2)])
    now, before = weeks[0], pooled[0]
    noise = NOISE * np.sqrt(1 / len(now) + 1 / len(before))
    gone, gone_before = (one == "" if is_category else ~np.isfinite(one) for one in (now, before))
    new = np.setdiff1d(now[now != ""], before) if is_category else np.zeros(0)
    return Drift(
        name, steps[0], float(MARGIN * usual + noise), _p(now, before, is_category=is_category),
        _share(gone), _share(gone_before), tuple(str(word) for word in new[:5]),
    )  # fmt: skip


def _p(now: Array, before: Array, *, is_category: bool) -> float:
    if is_category:
        words = np.union1d(now, before)
        table = np.array([[np.sum(column == word) for word in words] for column in (now, before)])
        return float(chi2_contingency(table).pvalue) if len(words) > 1 else 1.0
    known = [column[np.isfinite(column)] for column in (now, before)]
    return float(ks_2samp(*known).pvalue) if min(map(len, known)) >= FEWEST_ROWS else 1.0
