import dataclasses

import numpy as np
import pytest

from ml.roll import Odds, gradient, rolled

RANDOM = np.random.default_rng(0)
MOVES = np.array([[0, 0.8, 0.15, 0.05], [0.1, 0, 0.7, 0.2], [0, 0.1, 0, 0.9]])


def odds(n=6, weeks=40, stages=3, depth=5):
    shared, own = RANDOM.normal(-2, 0.6, (n, weeks, stages, 2)), RANDOM.normal(0, 0.3, (n, weeks, 2))
    return Odds(shared, own, RANDOM.normal(0, 0.4, (stages, 2, depth)), RANDOM.integers(0, stages, n), MOVES)


def test_chances_only_rise_and_sum_to_one():
    won, lost = rolled(odds(200))
    assert (np.diff(won, axis=1) >= 0).all()
    assert (np.diff(lost, axis=1) >= 0).all()
    assert (won + lost <= 1 + 1e-12).all()


def test_it_equals_a_simulation():
    given = odds(1, 20)
    won, lost = rolled(given)
    ends = np.array([simulated(given, np.random.default_rng(seed)) for seed in range(4000)])
    assert np.mean(ends == 1) == pytest.approx(won[0, -1], abs=0.025)
    assert np.mean(ends == -1) == pytest.approx(lost[0, -1], abs=0.025)


def simulated(given, random):
    stage, since = int(given.start[0]), None
    for week in range(given.shared.shape[1]):
        depth = min(since or 0, given.fresh.shape[2] - 1)
        extra = given.own[0, week] if since is None else given.fresh[stage, :, depth]
        rates = np.exp(given.shared[0, week, stage] + extra)
        draw = random.random() * (1 + rates.sum())
        if draw < rates[0]:
            to = int(random.choice(4, p=given.moves[stage]))
            if to == 3:
                return 1
            stage, since = to, 0
        elif draw < rates.sum():
            return -1
        elif since is not None:
            since += 1
    return 0


def test_one_stage_is_a_competing_risk():
    rates = np.full((1, 10, 1, 2), np.log([0.2, 0.3]))[..., :]
    one = Odds(rates, np.zeros((1, 10, 2)), np.zeros((1, 2, 3)), np.zeros(1, int), np.array([[0.0, 1.0]]))
    won, lost = rolled(one)
    stay = (1 / 1.5) ** 10
    assert won[0, -1] == pytest.approx((1 - stay) * 0.4)
    assert lost[0, -1] == pytest.approx((1 - stay) * 0.6)


def test_the_gradient_is_the_derivative():
    given = odds()
    chance, slope, slope_own = gradient(given)

    def at_last(**changes):
        won, lost = rolled(dataclasses.replace(given, **changes))
        return won[:, -1] / (won[:, -1] + lost[:, -1])

    assert np.allclose(chance, at_last())
    for place in [(0, 0, 0, 0), (1, 7, 1, 1), (2, 20, 2, 0), (3, 3, int(given.start[3]), 1)]:
        step = np.zeros_like(given.shared)
        step[place] = 1e-5
        numeric = (at_last(shared=given.shared + step) - at_last(shared=given.shared - step))[place[0]] / 2e-5
        assert slope[place] == pytest.approx(numeric, abs=1e-8)
    step = np.zeros_like(given.own)
    step[4, 2, 1] = 1e-5
    numeric = (at_last(own=given.own + step) - at_last(own=given.own - step))[4] / 2e-5
    assert slope_own[4, 2, 1] == pytest.approx(numeric, abs=1e-8)
