import numpy as np

from ml.baseline import BetaBinomial, Constant, TrailingRate, stage_rate
from ml.frame import Frame

STAGE = {"stage": ("early", "late"), "segment": ("small", "large")}


def frame(stage, segment=None):
    return Frame.of(
        {"stage": stage, "segment": segment if segment is not None else np.zeros(len(stage))}, STAGE
    )


def test_it_serves_before_the_first_deal():
    none = BetaBinomial(prior=0.25).fit(frame([]), np.zeros(0))
    assert none.probability(frame([0, 1, np.nan])).tolist() == [0.25, 0.25, 0.25]
    low, high = none.interval(frame([0]))[0]
    assert low < 0.25 < high


def test_few_rows_lean_on_all_and_many_stand_alone():
    stage = np.array([0] * 1000 + [1] * 3)
    outcome = np.array([1.0] * 300 + [0.0] * 700 + [1.0] * 3)
    chance = BetaBinomial().fit(frame(stage), outcome).probability(frame([0, 1]))
    assert abs(chance[0] - 0.3) < 0.01
    assert 0.31 < chance[1] < 0.9


def test_the_interval_narrows_with_evidence():
    few, many = (
        BetaBinomial().fit(frame([0] * n), np.tile([0.0, 1.0], n // 2)).interval(frame([0])) for n in (6, 600)
    )
    assert np.ptp(many) < np.ptp(few) / 3


def test_terms_add_up_to_the_margin():
    random = np.random.default_rng(0)
    rows = frame(random.integers(0, 2, 200), random.integers(0, 2, 200))
    model = BetaBinomial(by=("stage", "segment")).fit(rows, (random.random(200) < 0.4).astype(float))
    base, parts = model.terms(rows)
    assert np.allclose(base + parts.sum(axis=1), model.margin(rows), atol=1e-12)


def test_trailing_rate_sees_the_newest_labels_only():
    outcome = np.array([0.0] * 100 + [1.0] * 10)
    assert TrailingRate(window=10).fit(frame([0] * 110), outcome).rate_ > 0.9
    assert TrailingRate(window=10).fit(frame([0] * 110), outcome, -np.arange(110.0)).rate_ < 0.1
    assert Constant().fit(frame([0] * 110), outcome).rate_ == 11 / 112


def test_stage_rate_is_the_rate_by_stage():
    rate = stage_rate(
        frame([0] * 500 + [1] * 500), np.array([1.0] * 100 + [0.0] * 400 + [1.0] * 250 + [0.0] * 250)
    )
    assert np.allclose(rate.probability(frame([0, 1])), [0.2, 0.5], atol=0.01)
