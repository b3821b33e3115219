"""Shocks are found again on companies whose truth is planted, and bands hold about as often as they claim."""

from dataclasses import replace

import numpy as np

from ml import forecast, shocks
from ml.forecast import OpenDeals, Shocks
from ml.shocks import Origin
from tests.ml.test_forecast import GRID, TEAM, book, business


def happens(
    rng: np.random.Generator, deals: OpenDeals, wins: float, company: float, team: float
) -> np.ndarray:
    """What the leaves win in a planted quarter whose company and teams are shocked by the given deviations."""
    by_team = rng.standard_normal(3) * team + rng.standard_normal() * company
    good = by_team[TEAM]
    scale = np.sqrt(1 + company**2 + team**2)
    latent = (rng.standard_normal(len(deals.leaf)) - good[deals.leaf]) / scale
    won = latent < forecast.ndtri(deals.won_by[:, -1])
    cents = forecast.draw_amounts(deals.amount, rng.standard_normal(len(won))) / 100
    actual = np.bincount(deals.leaf, weights=won * cents, minlength=len(TEAM))
    for leaf, count in enumerate(rng.poisson(wins * np.exp(good - (company**2 + team**2) / 2))):
        actual[leaf] += np.interp(rng.random(count), np.linspace(0, 1, len(GRID)), GRID).sum()
    return actual


def company(seed: int, origins: int, company_shock: float, team_shock: float) -> list[Origin]:
    """A planted company forecast at the start of each of `origins` quarters."""
    rng = np.random.default_rng(seed)
    past = []
    for quarter in range(origins):
        deals = book(rng)
        past.append(
            Origin(
                at=quarter * 91.0, known=quarter * 91.0 + 91, period=f"q{quarter}", team=TEAM, deals=deals,
                business=business(), ends=np.array([91.0]),
                actual=happens(rng, deals, 2.0, company_shock, team_shock),
            )
        )  # fmt: skip
    return past


def test_the_blend_that_would_have_missed_least_is_found() -> None:
    past = company(2, 8, 0.05, 0.05)
    honest = [replace(one, by_age=one.deals.won_by[:, -1] / 3) for one in past]
    boastful = [
        replace(one, by_age=one.deals.won_by[:, -1], deals=replace(one.deals, won_by=one.deals.won_by / 3))
        for one in past
    ]
    assert shocks.best_blend(honest, 8 * 91) <= 0.25
    assert shocks.best_blend(boastful, 8 * 91) >= 0.75


def test_planted_shocks_are_found_again() -> None:
    calm = [shocks.estimate_shocks(company(seed, 16, 0.0, 0.0), 16 * 91) for seed in range(4)]
    wild = [shocks.estimate_shocks(company(seed, 16, 0.35, 0.0), 16 * 91) for seed in range(4)]
    assert np.mean([s.company for s in calm]) < 0.12
    assert 0.2 < np.mean([s.company for s in wild]) < 0.45


def test_a_shock_fades_so_that_bands_do_not_stay_wide() -> None:
    late, early = [], []
    for seed in range(4):
        quiet, stormy = company(seed, 14, 0.0, 0.0), company(seed + 100, 14, 0.8, 0.0)
        late.append(shocks.estimate_shocks([*quiet[:10], *stormy[10:]], 14 * 91).company)
        early.append(shocks.estimate_shocks([*stormy[:4], *quiet[4:]], 14 * 91).company)
    assert np.mean(late) > 1.7 * np.mean(early)


def test_bands_of_planted_companies_hold_about_as_often_as_they_claim() -> None:
    judged = [shocks.judge(company(seed, 10, 0.25, 0.15)) for seed in range(5)]
    pooled = np.mean([one.coverage["company"] for one in judged if one])
    teams = np.mean([one.coverage["team"] for one in judged if one])
    assert 0.68 <= pooled <= 0.92
    assert 0.70 <= teams <= 0.92


def test_independent_draws_would_hold_far_less_often() -> None:
    misses = []
    for seed in range(8):
        for origin in company(seed, 12, 0.25, 0.15)[4:]:
            total = origin.draw(Shocks(0.0, 0.0)).sum(axis=0)
            low, high = np.quantile(total, (0.1, 0.9))
            misses.append(low <= origin.actual.sum() * 100 <= high)
    assert np.mean(misses) < 0.68


def test_an_origin_is_judged_only_by_origins_whose_outcome_was_known() -> None:
    assert shocks.judge(company(1, 4, 0.2, 0.1)) is None
    judged = shocks.judge(company(1, 6, 0.2, 0.1))
    assert judged is not None
    assert (judged.n_origins, judged.n_periods, judged.n["company"]) == (2, 2, 2)
