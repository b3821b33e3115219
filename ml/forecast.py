"""Draws of a period's revenue that add up: closed + open + yet to be created, person by person.

Every leaf (one person's book) gets N draws in whole cents. All leaves share the same company and team shocks draw by
draw, so a node of the hierarchy is nothing but the sum of its leaves *in every draw*; quantiles of a sum are read from
the summed draws and never from the leaves' quantiles.

An open deal is won by an instant when its latent normal x lies below the normal score of P(won by then):
x = (noise - company shock - team shock) / s, the one-factor model of Vasicek (2002, "The distribution of loan portfolio
value"). It leaves every deal's own probability exactly as it was and only ties deals to each other. Deals that are
still to be created arrive as Poisson counts whose rate carries the same shocks.

Money comes in as floats in units of the home currency and leaves as int64 cents; time is counted in days from the
forecast's instant.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 2_000
LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9
MISS = 1 - (HIGH - LOW)
"""The share of outcomes that P10-P90 leaves outside when it is right."""
_SCORE_OF_P90 = 1.2815515655446004
_WIDEST_SCORE = 3.0
"""Amounts are drawn within three normal scores of the median: a tail beyond what was ever seen is not sold."""


@dataclass(frozen=True)
class Shocks:
    """How far a whole company, and a team beside it, strays from what its deals promise (standard deviations)."""

    company: float
    team: float
    inflation: float = 1.0
    """What both are multiplied by so that past bands would have held as often as they claim."""
    n_origins: int = 0
    blend: float = 0.5
    """How much the level of the open deals follows deals of their age in the past, and not their own curves."""


@dataclass(frozen=True)
class OpenDeals:
    """The open deals of all leaves.

    `leaf` (n,) is the index of the owner's leaf, `won_by` (n, weeks) the cumulative chance to be won by the end of
    week 1, 2, …, `amount` (n, 3) the P10, P50 and P90 of the amount if won.
    """

    leaf: Ints
    won_by: Floats
    amount: Floats
    shift: float = 0.0
    """Added to the normal score of every chance: moves the level of all, keeps their order."""

    def of(self, leaf: int) -> "OpenDeals":
        """One leaf's deals."""
        mine = self.leaf == leaf
        return OpenDeals(self.leaf[mine], self.won_by[mine], self.amount[mine], self.shift)


@dataclass(frozen=True)
class NewBusiness:
    """What each leaf will yet create and win.

    `wins` (leaves, points) is the expected number of deals created from now on and won within each interval,
    `certainty` (leaves,) the gamma shape of what is known of that rate, `amount` (leaves, q) an evenly spaced
    quantile grid of the amount of a won deal.
    """

    wins: Floats
    certainty: Floats
    amount: Floats


@dataclass(frozen=True)
class Draws:
    """Cumulative cents won by each point of time: (leaves, points, draws), without what is closed already."""

    open: Ints
    created: Ints

    @property
    def total(self) -> Ints:
        """(leaves, draws): open and created at the last point, the end of the period."""
        return self.open[:, -1] + self.created[:, -1]

    def since_first(self) -> "Draws":
        """Only what is won after the first point: for a period that has not begun."""
        return Draws(self.open[:, 1:] - self.open[:, :1], self.created[:, 1:] - self.created[:, :1])


@dataclass(frozen=True)
class Band:
    """One node's outlook in cents; `attain` is the chance to reach the quota, None without one."""

    p10: int
    p50: int
    p90: int
    attain: float | None


def chance_by(won_by: Floats, days: Floats) -> Floats:
    """P(won by each of `days`) read between the weekly points of the curves; flat beyond the last week."""
    weeks = np.clip(np.asarray(days, float) / 7, 0, won_by.shape[1])
    steps = np.hstack([np.zeros((len(won_by), 1)), won_by])
    left = np.minimum(weeks.astype(int), won_by.shape[1] - 1)
    share = weeks - left
    return np.asarray(steps[:, left] * (1 - share) + steps[:, left + 1] * share)


def shared_normals(rng: np.random.Generator, rows: int, draws: int) -> Floats:
    """(rows, draws) normals, each row a shuffled set of evenly spaced normal scores: no luck in the mean."""
    scores = ndtri((np.arange(draws) + 0.5) / draws)
    return rng.permuted(np.broadcast_to(scores, (rows, draws)), axis=1)


def draw_amounts(quantiles: Floats, scores: Floats) -> Ints:
    """Cents at the normal `scores` of two half log-normals through P10, P50 and P90 (rows of `quantiles`)."""
    logs = np.log(np.maximum(quantiles, 0.01))
    down, up = logs[:, 1] - logs[:, 0], logs[:, 2] - logs[:, 1]
    scores = np.clip(scores, -_WIDEST_SCORE, _WIDEST_SCORE)
    spread = np.where(scores < 0, np.maximum(down, 0), np.maximum(up, 0)) / _SCORE_OF_P90
    return np.asarray(np.rint(np.exp(logs[:, 1] + spread * scores) * 100), np.int64)


def draw_open(deals: OpenDeals, ends: Floats, good: Floats, spread: float, rng: np.random.Generator) -> Ints:
    """(points, draws) cents that one leaf's deals bring by each of `ends`.

    `good` (draws,) is the sum of the shared shocks, positive when business is better than promised, and `spread`
    its variance.
    """
    draws = good.shape[0]
    if not len(deals.leaf):
        return np.zeros((len(ends), draws), np.int64)
    latent = (rng.standard_normal((len(deals.leaf), draws)) - good) / np.sqrt(1 + spread)
    limits = ndtri(np.clip(chance_by(deals.won_by, ends), 0, 1)) + deals.shift
    deal, draw = np.nonzero(latent < limits[:, -1:])
    first = (latent[deal, draw][:, None] >= limits[deal]).sum(axis=1)
    cents = draw_amounts(deals.amount[deal], rng.standard_normal(len(deal)))
    return _totals(first, draw, cents, len(ends), draws)


_SCORES = ndtri((np.arange(15) + 0.5) / 15)


def mean_amounts(quantiles: Floats) -> Floats:
    """The mean in units of money of each amount that `draw_amounts` draws."""
    cents = np.stack([draw_amounts(quantiles, np.full(len(quantiles), score)) for score in _SCORES])
    return np.asarray(cents.mean(axis=0) / 100)


def levelled(deals: OpenDeals, by_age: Floats, end: float, blend: float) -> OpenDeals:
    """The deals with their level drawn towards what deals of their age have brought.

    A model may rank deals well and still promise too much or too little of them all together; the rate of the past by
    age and week of the period knows nothing of a deal and is hard to beat on the sum. `by_age` (n,) is each deal's
    chance to be won by `end` in that view; the sums in money are mixed by `blend`, and one shift moves all chances.
    """
    if not len(deals.leaf):
        return deals
    own, worth = chance_by(deals.won_by, np.array([end]))[:, 0], mean_amounts(deals.amount)
    target = (1 - blend) * float(own @ worth) + blend * float(by_age @ worth)
    scores = ndtri(np.clip(own, 0, 1))
    low, high = -3.0, 3.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if float(ndtr(scores + middle) @ worth) < target else (low, middle)
    return replace(deals, shift=(low + high) / 2)


def draw_created(
    wins: Floats, certainty: float, amount: Floats, good: Floats, spread: float, rng: np.random.Generator
) -> Ints:
    """(points, draws) cents of one leaf's deals yet to be created; `wins` (points,) as in `NewBusiness`."""
    points, draws = len(wins), good.shape[0]
    shape = max(certainty, 0.5)
    pace = np.exp(good - spread / 2) * rng.gamma(shape, 1 / shape, draws)
    counts = rng.poisson(wins[:, None] * pace)
    point, draw = np.divmod(np.repeat(np.arange(points * draws), counts.ravel()), draws)
    where = rng.random(len(draw)) * (len(amount) - 1)
    cents = np.rint(np.interp(where, np.arange(len(amount)), amount) * 100).astype(np.int64)
    return _totals(point, draw, cents, points, draws)


def _totals(point: Ints, draw: Ints, cents: Ints, points: int, draws: int) -> Ints:
    """Sums by (point, draw), cumulative over points. Floats hold cents exactly below 90 trillion units."""
    sums = np.bincount(point * draws + draw, weights=cents, minlength=points * draws)
    return np.cumsum(np.rint(sums).astype(np.int64).reshape(points, draws), axis=0)


def draw_leaves(
    deals: OpenDeals,
    business: NewBusiness | None,
    team: Sequence[int] | Ints,
    ends: Sequence[float] | Floats,
    shocks: Shocks,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    streams: Sequence[int] | None = None,
) -> Draws:
    """The draws of every leaf; `team` (leaves,) says which team's shock a leaf shares, `ends` ascend in days.

    Each leaf has its own stream of random numbers, so one leaf's deals never disturb another's draws. `streams` names
    them (by default the leaf's index), so that a forecast made again tomorrow moves by news and not by luck.
    """
    streams = range(len(team)) if streams is None else streams
    teams, points = np.asarray(team, int), np.asarray(ends, float)
    shared = np.random.default_rng([seed, 1])
    company = shared_normals(shared, 1, draws)[0] * shocks.company * shocks.inflation
    by_team = shared_normals(shared, int(teams.max(initial=0)) + 1, draws) * shocks.team * shocks.inflation
    spread = (shocks.company**2 + shocks.team**2) * shocks.inflation**2
    won = np.zeros((2, len(teams), len(points), draws), np.int64)
    for leaf, its_team in enumerate(teams):
        good = company + by_team[its_team]
        won[0, leaf] = draw_open(
            deals.of(leaf), points, good, spread, np.random.default_rng([seed, 2, streams[leaf]])
        )
        if business is not None and business.wins[leaf].sum() > 0:
            won[1, leaf] = draw_created(
                business.wins[leaf], float(business.certainty[leaf]), business.amount[leaf], good, spread,
                np.random.default_rng([seed, 3, streams[leaf]]),
            )  # fmt: skip
    return Draws(won[0], won[1])


def mean_cents(draws: Ints) -> int:
    """The mean in whole cents; means of leaves are rounded once and only added afterwards."""
    return round(float(draws.mean())) if draws.size else 0


def band(draws: Ints, quota_cents: int | None = None) -> Band:
    """P10, P50, P90 (order statistics, so whole cents) and the share of draws that reach the quota."""
    low, middle, high = np.quantile(draws, (LOW, MIDDLE, HIGH), method="inverted_cdf")
    attain = None if not quota_cents else float(np.mean(draws >= quota_cents))
    return Band(int(low), int(middle), int(high), attain)


def coverage(actual: Floats, low: Floats, high: Floats) -> float:
    """The share of outcomes within their bands, both ends included."""
    return float(np.mean((actual >= low) & (actual <= high)))


def interval_score(actual: Floats, low: Floats, high: Floats) -> float:
    """Mean interval score of the 80 % band (Gneiting & Raftery 2007), in the outcome's unit; less is better."""
    below, above = np.maximum(low - actual, 0), np.maximum(actual - high, 0)
    return float(np.mean((high - low) + 2 / MISS * (below + above)))
