"""How far a company strays from what its deals promise, measured on past origins; and how past bands have held.

An origin is a past instant, forecast with what was known then. From many of them come the sizes of the shared shocks,
the inflation that brings past bands to their claim, the blend of the deals' own level with that of the past, and the
coverage that is shown beside a band: of bands that were made with what was known at their own origin.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ml.forecast import (
    HIGH,
    LOW,
    Floats,
    Ints,
    NewBusiness,
    OpenDeals,
    Shocks,
    chance_by,
    coverage,
    draw_leaves,
    interval_score,
    levelled,
    mean_amounts,
)


@dataclass(frozen=True)
class Origin:
    """A past instant, forecast with what was known then, and what came of it.

    `at` and `known` count days on one axis: when the forecast was made and when its outcome was known. `actual`
    (leaves,) is what the leaves won between the two, in units of money.
    """

    at: float
    known: float
    period: str
    team: Ints
    deals: OpenDeals
    business: NewBusiness | None
    ends: Floats
    actual: Floats
    by_age: Floats | None = None
    """(deals,) the chance to be won by the end of deals of that age; None: no view of the kind."""

    def expected(self, blend: float) -> float:
        """The mean of the company's total at this blend, in units of money."""
        own = chance_by(self.deals.won_by, self.ends[-1:])[:, 0] if len(self.deals.leaf) else np.zeros(0)
        chance = own if self.by_age is None else (1 - blend) * own + blend * self.by_age
        total = float(chance @ mean_amounts(self.deals.amount))
        if self.business is not None:
            total += float((self.business.wins.sum(axis=1) * self.business.amount.mean(axis=1)).sum())
        return total

    def draw(self, shocks: Shocks, *, seed: int = 0, draws: int = 400) -> Ints:
        """(leaves, draws) cents as they would have been drawn then under `shocks`."""
        deals = self.deals
        if self.by_age is not None:
            deals = levelled(deals, self.by_age, float(self.ends[-1]), shocks.blend)
        return draw_leaves(deals, self.business, self.team, self.ends, shocks, seed=seed, draws=draws).total


@dataclass(frozen=True)
class _Moments:
    mean: Floats
    variance: Floats
    actual: Floats
    weight: float


HALF_LIFE_DAYS = 273.0
"""A shock counts half after three quarters: one bad quarter must not widen the bands for ever."""
_PRIOR_SHARE = 3.0
_PRIOR = (0.10, 0.10)
"""Before anything is measured: a tenth for the company and as much for a team, worth three origins."""


BLENDS = (0.0, 0.25, 0.5, 0.75, 1.0)


def best_blend(origins: Sequence[Origin], now: float) -> float:
    """The blend whose totals missed least, by squares relative to what came; half and half until something did."""
    seen = [origin for origin in origins if origin.by_age is not None and origin.actual.sum() > 0]
    if not seen:
        return Shocks(*_PRIOR).blend
    weights = np.array([0.5 ** ((now - origin.at) / HALF_LIFE_DAYS) for origin in seen])
    actual = np.array([origin.actual.sum() for origin in seen])
    losses = [
        float(
            np.average(
                (np.array([origin.expected(blend) for origin in seen]) / actual - 1) ** 2, weights=weights
            )
        )
        for blend in BLENDS
    ]
    return BLENDS[int(np.argmin(losses))]


def _moments(origin: Origin, now: float, blend: float) -> _Moments:
    """Mean and variance by team if nothing but chance were at work, beside what happened."""
    draws = origin.draw(Shocks(0.0, 0.0, blend=blend)) / 100.0
    teams = np.unique(origin.team)
    by_team = np.stack([draws[origin.team == team].sum(axis=0) for team in teams])
    actual = np.array([origin.actual[origin.team == team].sum() for team in teams])
    weight = 0.5 ** ((now - origin.at) / HALF_LIFE_DAYS)
    return _Moments(by_team.mean(axis=1), by_team.var(axis=1), actual, weight)


def estimate_shocks(origins: Sequence[Origin], now: float) -> Shocks:
    """Shock sizes by the method of moments: squared misses beyond chance, relative to the expected revenue.

    What two teams miss together belongs to the company, the rest of each miss to the team.
    """
    together = alone = pairs = squares = total_weight = 0.0
    blend = best_blend(origins, now)
    for moments in (_moments(origin, now, blend) for origin in origins):
        miss, weight = moments.actual - moments.mean, moments.weight
        scale = moments.mean.sum() ** 2
        if scale <= 0:
            continue
        own = float((moments.mean**2).sum())
        excess = float((miss**2 - moments.variance).sum())
        cross = float(miss.sum() ** 2 - (miss**2).sum()) if len(miss) > 1 else excess
        together += weight * cross / scale
        pairs += weight * ((scale - own) / scale if len(miss) > 1 else 1.0)
        alone += weight * excess / scale
        squares += weight * own / scale
        total_weight += weight
    if not total_weight:
        return Shocks(*_PRIOR, blend=blend)
    pairs, squares = pairs / total_weight, squares / total_weight
    company = max(together / total_weight / max(pairs, 1e-9), 0.0)
    team = max(alone / total_weight / max(squares, 1e-9) - company, 0.0)
    trust = total_weight / (total_weight + _PRIOR_SHARE)
    mixed = [
        np.sqrt(trust * got + (1 - trust) * prior**2)
        for got, prior in zip((company, team), _PRIOR, strict=True)
    ]
    return Shocks(float(mixed[0]), float(mixed[1]), n_origins=len(origins), blend=blend)


TUNING_DRAWS = 200
"""Draws of each past band while inflations are compared: many origins make up for few draws."""
INFLATIONS = (0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
LEAST_ORIGINS = 4


def nodes_of(origin: Origin, cents: Ints) -> dict[str, tuple[Ints, Ints]]:
    """Draws and outcome (cents) by level: the company, its teams, its leaves; rows are nodes."""
    actual = np.rint(origin.actual * 100).astype(np.int64)
    teams = [origin.team == team for team in np.unique(origin.team)]
    return {
        "company": (cents.sum(axis=0, keepdims=True), actual.sum(keepdims=True)),
        "team": (
            np.stack([cents[rows].sum(axis=0) for rows in teams]),
            np.array([actual[r].sum() for r in teams]),
        ),
        "person": (cents, actual),
    }


def tune(origins: Sequence[Origin], now: float) -> Shocks:
    """Shocks whose inflation brings the past bands of company and teams closest to their claim.

    Of equally good inflations the one with the lower interval score is taken; persons are not tuned for: they
    inherit the shared shocks.
    """
    shocks = estimate_shocks(origins, now)
    weights = np.array([0.5 ** ((now - origin.at) / HALF_LIFE_DAYS) for origin in origins])
    best, best_key = shocks, (np.inf, np.inf)
    for inflation in INFLATIONS:
        tried = replace(shocks, inflation=inflation)
        held, scores = zip(*(_held(origin, tried) for origin in origins), strict=True)
        miss = abs(float(np.average(held, weights=weights)) - (HIGH - LOW))
        key = (round(miss, 2), float(np.average(scores, weights=weights)))
        if key < best_key:
            best, best_key = tried, key
    return best


def _held(origin: Origin, shocks: Shocks) -> tuple[float, float]:
    """Coverage and relative interval score of one origin's company and team bands, the company counting half."""
    levels = nodes_of(origin, origin.draw(shocks, draws=TUNING_DRAWS))
    held, scores = [], []
    for level in ("company", "team"):
        draws, actual = levels[level]
        low, high = np.quantile(draws, (LOW, HIGH), axis=1, method="inverted_cdf").astype(float)
        scale = max(float(draws.mean(axis=1).sum()), 1.0)
        held.append(coverage(actual.astype(float), low, high))
        scores.append(interval_score(actual.astype(float), low, high) / scale)
    return float(np.mean(held)), float(np.mean(scores))


@dataclass(frozen=True)
class Judged:
    """How bands made with only what was known then have held: by level, with the number of bands and periods."""

    coverage: dict[str, float]
    interval_score: dict[str, float]
    n: dict[str, int]
    n_origins: int
    n_periods: int


def judge(origins: Sequence[Origin]) -> Judged | None:
    """Every origin's band under the shocks that were known at that origin; None when no origin had enough past.

    An origin teaches only once its outcome is known, and at least `LEAST_ORIGINS` must have taught.
    """
    rows: dict[str, list[tuple[float, float, float]]] = {"company": [], "team": [], "person": []}
    judged = []
    cache: dict[int, Shocks] = {}
    for origin in origins:
        past = [other for other in origins if other.known <= origin.at]
        if len(past) < LEAST_ORIGINS:
            continue
        shocks = cache.setdefault(len(past), tune(past, origin.at))
        judged.append(origin)
        for level, (draws, actual) in nodes_of(origin, origin.draw(shocks)).items():
            low, high = np.quantile(draws, (LOW, HIGH), axis=1, method="inverted_cdf")
            busy = (high > 0) | (actual > 0)  # who promises nothing and wins nothing proves nothing
            rows[level] += zip(actual[busy] / 100.0, low[busy] / 100.0, high[busy] / 100.0, strict=True)
    if not judged:
        return None
    tables = {level: np.array(values).T for level, values in rows.items()}
    return Judged(
        coverage={level: coverage(*table) for level, table in tables.items()},
        interval_score={level: interval_score(*table) for level, table in tables.items()},
        n={level: table.shape[1] for level, table in tables.items()},
        n_origins=len(judged),
        n_periods=len({origin.period for origin in judged}),
    )
