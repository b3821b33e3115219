"""A challenger that is no better is promoted by at most one in twenty; one that is better soon is."""

import numpy as np

from ml.sequential import is_better, wealth

OUTCOMES = 1_500


def gains(seed, skill, challenger):
    """Brier losses of the champion less the challenger's on the same outcomes; errors of both in log odds."""
    random = np.random.default_rng(seed)
    truth = random.normal(-0.5, 1.2, OUTCOMES)
    came = random.random(OUTCOMES) < 1 / (1 + np.exp(-truth))
    said = [1 / (1 + np.exp(-(truth + random.normal(0, error, OUTCOMES)))) for error in (skill, challenger)]
    champion, other = ((chance - came) ** 2 for chance in said)
    return champion - other


def test_at_most_one_in_twenty_null_challengers_is_promoted_by_mistake():
    alike = sum(is_better(gains(seed, 0.8, 0.8)) for seed in range(200))
    worse = sum(is_better(gains(seed, 0.8, 0.9)) for seed in range(200))
    assert alike <= 10
    assert worse <= alike


def test_a_better_challenger_is_found():
    found = sum(is_better(gains(seed, 1.2, 0.4)) for seed in range(50))
    assert found >= 45


def test_the_stake_never_looks_ahead():
    first = gains(3, 1.0, 0.5)
    other = np.r_[first[:700], -first[700:]]
    assert (wealth(first)[:700] == wealth(other)[:700]).all()
    assert (wealth(first) > 0).all()
    assert len(wealth(np.zeros(0))) == 0
