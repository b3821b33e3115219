"""The pace, the odds by age and the amounts of business to come, recovered from a planted company."""

import numpy as np
import pytest

from ml.arrivals import GRID, WEEKS_OF_PERIOD, Ahead, Arrivals, Deals, selling_since, week_of_quarter
from ml.estimator import load

NOW = 910.0
PACE = np.array([0.5, 1.0, 2.0, 1.0])
TEAM = np.array([0, 0, 1, 1])
WIN, LOSS = 0.03, 0.06


def planted(seed: int, end: float = NOW, quarter_end: float = 1.0) -> Deals:
    """Four people who create at a constant pace; each week a deal is won or lost by constant odds.

    `quarter_end` multiplies the odds to win in the last week of each quarter.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for leaf, pace in enumerate(PACE):
        for created in np.sort(rng.random(rng.poisson(pace * end / 7)) * end):
            day, closed, won = created, np.nan, False
            while day + 7 <= end:
                last_week = int(day // 7) % WEEKS_OF_PERIOD == WEEKS_OF_PERIOD - 1
                win = WIN * (quarter_end if last_week else 1.0)
                draw = rng.random()
                if draw < win + LOSS:
                    closed, won = day + 7 * rng.random(), bool(draw < win)
                    break
                day += 7
            amount = float(np.exp(rng.normal(9.0 + 0.4 * TEAM[leaf], 0.5)))
            rows.append((leaf, TEAM[leaf], created, closed, won, amount, int(created // 7) % WEEKS_OF_PERIOD))
    leaf_, team, created_, closed_, won_, amount_, week = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    return Deals(leaf_, team, created_, closed_, won_.astype(bool), amount_, week)


def truth(weeks: int) -> float:
    """Deals won within `weeks` for one creation a week, by the planted odds, arrivals in the middle of their week."""
    stay = 1 - WIN - LOSS
    by_age = [WIN / (WIN + LOSS) * (1 - stay**age) for age in range(weeks + 1)]
    return sum((by_age[age] + by_age[age + 1]) / 2 for age in range(weeks))


@pytest.fixture(scope="module")
def model() -> Arrivals:
    return Arrivals().fit(planted(1), NOW)


def test_the_pace_of_each_person_is_found(model: Arrivals) -> None:
    paces = [model.pace(planted(seed), NOW, np.zeros(4), TEAM)[0] for seed in range(6)]
    assert np.mean(paces, axis=0) == pytest.approx(PACE, rel=0.25)


def test_a_company_of_yesterday_is_not_taken_for_a_giant(model: Arrivals) -> None:
    deals = planted(1)
    now = float(deals.created.min()) + 0.01
    first = Deals(*(getattr(deals, name)[:3] for name in Deals.__dataclass_fields__))
    pace, _ = model.pace(first, now, np.full(4, now - 0.001), TEAM)
    assert pace.sum() < 5


def test_who_sells_nothing_creates_nothing(model: Arrivals) -> None:
    pace, _ = model.pace(planted(1), NOW, np.array([0.0, np.nan, 0.0, 0.0]), TEAM)
    assert pace[1] == 0
    assert pace[0] > 0


def test_since_when_somebody_sells() -> None:
    owner, created = np.array([0, 0, 1]), np.array([100.0, 900.0, 200.0])
    started = np.array([50.0, np.nan, 880.0, np.nan, 10.0])
    sells = np.array([True, True, True, True, False])
    since = selling_since(owner, created, started, sells, NOW)
    np.testing.assert_array_equal(since, [100.0, np.nan, 880.0, np.nan, np.nan])


def test_a_new_colleague_starts_at_the_pace_of_the_team(model: Arrivals) -> None:
    deals = planted(1)
    pace, _ = model.pace(deals, NOW, np.array([0.0, 0.0, 0.0, 0.0, NOW]), np.array([0, 0, 1, 1, 1]))
    assert pace[4] == pytest.approx((pace[2] + pace[3]) / 2, rel=0.3)


def test_wins_of_deals_yet_to_be_created_follow_the_planted_odds() -> None:
    got = [
        Arrivals().fit(planted(seed), NOW).wins_per_pace(Ahead(np.array([91.0]), 0.0))[0] for seed in range(6)
    ]
    assert np.mean(got) == pytest.approx(truth(13), rel=0.12)


def test_open_deals_of_an_age_are_won_by_the_planted_odds() -> None:
    ahead, ages = Ahead(np.array([91.0]), 0.0), np.array([0.0, 5.0, 20.0])
    got = [Arrivals().fit(planted(seed), NOW).won_by_age(ages, ahead) for seed in range(6)]
    expected = WIN / (WIN + LOSS) * (1 - (1 - WIN - LOSS) ** 13)
    assert np.mean(got, axis=0) == pytest.approx(np.full(3, expected), rel=0.2)
    assert Arrivals().fit(planted(1), NOW).won_by_age(ages, Ahead(np.array([0.0]), 0.0)).sum() == 0


def test_open_deals_are_censored_not_lost() -> None:
    odds = [Arrivals().fit(planted(seed, end=300.0), 300.0).win_odds_[:20].mean() for seed in range(8)]
    assert np.mean(odds) == pytest.approx(WIN, rel=0.2)


def test_quarter_ends_are_noticed() -> None:
    model = Arrivals().fit(planted(2, quarter_end=4.0), NOW)
    assert model.win_by_week_[-1] > 1.5 * model.win_by_week_[:-1].mean()


def test_nothing_is_won_in_no_time_and_more_in_more_time(model: Arrivals) -> None:
    by_end = model.wins_per_pace(Ahead(np.array([0.0, 7.0, 14.0, 91.0]), 3.0))
    assert by_end[0] == 0
    assert (np.diff(by_end) > 0).all()


def test_amounts_differ_by_team(model: Arrivals) -> None:
    assert model.scale_by_team_[1] > model.scale_by_team_[0]
    assert np.interp(0.5, GRID, model.amounts_) == pytest.approx(np.exp(9.25), rel=0.15)


def test_skill_is_near_one_where_all_are_equal_and_low_for_who_never_wins(model: Arrivals) -> None:
    deals = planted(1)
    assert model.skill(deals, NOW, 4) == pytest.approx(np.ones(4), abs=0.25)
    never = Deals(
        deals.leaf, deals.team, deals.created, deals.closed, deals.won & (deals.leaf != 2), deals.amount,
        deals.week_created,
    )  # fmt: skip
    assert model.skill(never, NOW, 4)[2] < 0.5


def test_saved_is_loaded(model: Arrivals) -> None:
    again = load(model.to_text())
    ahead, certainty = Ahead(np.array([30.0, 60.0]), 2.0), np.full(4, 10.0)
    mine, theirs = (one.expected(PACE, certainty, TEAM, ahead) for one in (model, again))
    np.testing.assert_array_equal(mine.wins, theirs.wins)
    np.testing.assert_array_equal(mine.amount, theirs.amount)


def test_teams_keep_their_amounts_under_another_numbering(model: Arrivals) -> None:
    other = model.name_teams(["east", "west"]).for_teams(["north", "west", "east"])
    assert other.scale_by_team_ == pytest.approx([1.0, model.scale_by_team_[1], model.scale_by_team_[0]])


def test_the_order_of_the_deals_is_irrelevant(model: Arrivals) -> None:
    deals = planted(1)
    turn = np.random.default_rng(0).permutation(len(deals.leaf))
    shuffled = Deals(*(getattr(deals, name)[turn] for name in Deals.__dataclass_fields__))
    again = Arrivals().fit(shuffled, NOW)
    assert again.win_odds_ == pytest.approx(model.win_odds_)
    assert again.amounts_ == pytest.approx(model.amounts_)


def test_an_empty_company_expects_nothing() -> None:
    none = Deals(*(np.zeros(0, kind) for kind in (int, int, float, float, bool, float, int)))
    model = Arrivals().fit(none, NOW)
    business = model.expected(np.zeros(1), np.ones(1), [0], Ahead(np.array([91.0]), 0.0))
    assert business.wins.sum() == 0


def test_weeks_are_counted_from_the_start_of_the_fiscal_quarter() -> None:
    days = np.array(["2026-01-01", "2026-01-08", "2026-03-31", "2026-04-01"], dtype="datetime64[D]").astype(
        float
    )
    assert week_of_quarter(days).tolist() == [0, 1, 12, 0]
    assert week_of_quarter(days, first_month=2).tolist() == [8, 9, 8, 8]
