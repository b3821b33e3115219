"""Forecasts that add up, repeat themselves, and hold as often as they claim, on companies whose truth is planted."""

import numpy as np
import pytest

from ml import forecast
from ml.forecast import NewBusiness, OpenDeals, Shocks

TEAM = np.array([0, 0, 0, 1, 1, 1, 2, 2])
WEEKS = 13
AMOUNT = np.array([4_000.0, 10_000.0, 25_000.0])
GRID = np.exp(np.log(10_000) + np.linspace(-1.2, 1.2, 21))


def curves(final: np.ndarray) -> np.ndarray:
    """Chances that grow evenly to `final` over the weeks."""
    return final[:, None] * np.arange(1, WEEKS + 1) / WEEKS


def book(rng: np.random.Generator, per_leaf: int = 25) -> OpenDeals:
    leaf = np.repeat(np.arange(len(TEAM)), per_leaf)
    final = rng.beta(2, 4, len(leaf))
    return OpenDeals(leaf, curves(final), np.tile(AMOUNT, (len(leaf), 1)))


def business(wins: float = 2.0) -> NewBusiness:
    """As much to be created for each leaf, known well."""
    each = np.full((len(TEAM), 1), wins)
    return NewBusiness(each, np.full(len(TEAM), 50.0), np.tile(GRID, (len(TEAM), 1)))


@pytest.fixture(scope="module")
def drawn() -> forecast.Draws:
    rng = np.random.default_rng(0)
    return forecast.draw_leaves(book(rng), business(), TEAM, [91.0], Shocks(0.2, 0.1), seed=5)


def test_draws_are_whole_cents_and_never_negative(drawn: forecast.Draws) -> None:
    assert drawn.total.dtype == np.int64
    assert drawn.total.shape == (len(TEAM), forecast.DRAWS)
    assert drawn.open.min() >= 0
    assert drawn.created.min() >= 0


def test_the_same_seed_draws_the_same_and_another_does_not(drawn: forecast.Draws) -> None:
    deals = book(np.random.default_rng(0))
    again = forecast.draw_leaves(deals, business(), TEAM, [91.0], Shocks(0.2, 0.1), seed=5)
    other = forecast.draw_leaves(deals, business(), TEAM, [91.0], Shocks(0.2, 0.1), seed=6)
    np.testing.assert_array_equal(drawn.total, again.total)
    assert (drawn.total != other.total).any()


def test_quantiles_of_a_parent_come_from_summed_draws_and_are_narrower_than_summed_quantiles(
    drawn: forecast.Draws,
) -> None:
    parent = forecast.band(drawn.total.sum(axis=0))
    children = [forecast.band(leaf) for leaf in drawn.total]
    assert parent.p90 - parent.p10 < sum(child.p90 - child.p10 for child in children)
    assert parent.p10 <= parent.p50 <= parent.p90


def test_one_leafs_deals_do_not_disturb_anothers_draws(drawn: forecast.Draws) -> None:
    deals = book(np.random.default_rng(0))
    fewer = OpenDeals(deals.leaf[25:], deals.won_by[25:], deals.amount[25:])
    without = forecast.draw_leaves(fewer, business(), TEAM, [91.0], Shocks(0.2, 0.1), seed=5)
    np.testing.assert_array_equal(without.total[1:], drawn.total[1:])
    assert without.open[0].sum() == 0


@pytest.mark.parametrize("shock", [0.0, 0.3, 0.8])
def test_shocks_tie_deals_together_but_leave_each_chance_as_it_was(shock: float) -> None:
    final = np.linspace(0.05, 0.9, 40)
    deals = OpenDeals(np.zeros(40, int), curves(final), np.full((40, 3), 100.0))
    draws = forecast.draw_leaves(deals, None, [0], [91.0], Shocks(shock, 0.0), draws=40_000)
    assert draws.total[0].mean() / 10_000 == pytest.approx(final.sum(), rel=0.01)


def test_shared_shocks_widen_the_companys_band_more_than_chance_does() -> None:
    deals = book(np.random.default_rng(1))
    calm = forecast.draw_leaves(deals, None, TEAM, [91.0], Shocks(0.0, 0.0)).total.sum(axis=0)
    wild = forecast.draw_leaves(deals, None, TEAM, [91.0], Shocks(0.3, 0.0)).total.sum(axis=0)
    assert wild.std() > 1.5 * calm.std()


def test_points_of_time_are_cumulative_and_the_mean_follows_the_curves() -> None:
    deals = OpenDeals(np.zeros(50, int), curves(np.full(50, 0.5)), np.full((50, 3), 100.0))
    draws = forecast.draw_leaves(deals, None, [0], [45.5, 91.0], Shocks(0.1, 0.1), draws=20_000)
    assert (np.diff(draws.open, axis=1) >= 0).all()
    means = draws.open[0].mean(axis=1) / 10_000
    assert means == pytest.approx([12.5, 25.0], rel=0.02)


def test_a_period_that_has_not_begun_counts_only_what_is_won_in_it() -> None:
    deals = OpenDeals(np.zeros(50, int), curves(np.full(50, 0.5)), np.full((50, 3), 100.0))
    draws = forecast.draw_leaves(deals, None, [0], [45.5, 91.0], Shocks(0.1, 0.1))
    np.testing.assert_array_equal(draws.since_first().total[0], draws.open[0, 1] - draws.open[0, 0])


def test_chances_between_weeks_are_read_on_the_line_and_end_flat() -> None:
    won_by = np.array([[0.1, 0.3]])
    got = forecast.chance_by(won_by, np.array([0.0, 3.5, 7.0, 10.5, 14.0, 700.0]))
    assert got[0] == pytest.approx([0.0, 0.05, 0.1, 0.2, 0.3, 0.3])


def test_amounts_follow_their_quantiles() -> None:
    scores = np.random.default_rng(2).standard_normal(100_000)
    cents = forecast.draw_amounts(np.tile(AMOUNT, (len(scores), 1)), scores)
    assert np.quantile(cents / 100, (0.1, 0.5, 0.9)) == pytest.approx(AMOUNT, rel=0.02)


def test_new_business_brings_what_its_rates_say() -> None:
    draws = forecast.draw_leaves(
        OpenDeals(np.zeros(0, int), np.zeros((0, WEEKS)), np.zeros((0, 3))),
        business(3.0), TEAM, [91.0], Shocks(0.2, 0.1), draws=20_000,
    )  # fmt: skip
    assert draws.created.mean() / 100 == pytest.approx(3.0 * np.trapezoid(GRID, dx=1 / 20), rel=0.03)


@pytest.mark.parametrize("blend", [0.0, 0.5, 1.0])
def test_a_model_that_promises_too_much_is_brought_to_the_level_of_the_past(blend: float) -> None:
    final = np.linspace(0.2, 0.9, 60)
    deals = OpenDeals(np.zeros(60, int), curves(final), np.full((60, 3), 100.0))
    moved = forecast.levelled(deals, final / 2, 91.0, blend)
    draws = forecast.draw_leaves(moved, None, [0], [91.0], Shocks(0.1, 0.0), draws=20_000)
    assert draws.total[0].mean() / 10_000 == pytest.approx(final.sum() * (1 - blend / 2), rel=0.02)


def test_an_empty_company_forecasts_nothing() -> None:
    none = OpenDeals(np.zeros(0, int), np.zeros((0, WEEKS)), np.zeros((0, 3)))
    draws = forecast.draw_leaves(none, None, [], [91.0], Shocks(0.1, 0.1))
    assert draws.total.shape == (0, forecast.DRAWS)
    assert forecast.band(draws.total.sum(axis=0), 100) == forecast.Band(0, 0, 0, 0.0)


def test_the_chance_to_attain_is_the_share_of_draws_at_or_over_the_quota() -> None:
    draws = np.arange(1, 101)
    assert forecast.band(draws, 41).attain == pytest.approx(0.6)
    assert forecast.band(draws, None).attain is None


def test_the_interval_score_punishes_a_miss_ten_times() -> None:
    inside = forecast.interval_score(np.array([5.0]), np.array([0.0]), np.array([10.0]))
    outside = forecast.interval_score(np.array([12.0]), np.array([0.0]), np.array([10.0]))
    assert (inside, outside) == pytest.approx((10.0, 30.0))
