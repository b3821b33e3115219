import numpy as np
import pytest

from ml import metrics
from ml.amount import AmountModel
from ml.frame import Frame

RANDOM = np.random.default_rng(0)
SEGMENT = RANDOM.integers(0, 2, 3000)
FRAME = Frame.of({"segment": SEGMENT, "x": RANDOM.normal(size=3000)}, {"segment": ("small", "large")})
RATIO = np.exp(RANDOM.normal(-0.1, 0.1 + 0.3 * SEGMENT))


@pytest.mark.parametrize("tier", ["baseline", "gbm"])
def test_quantiles_hold_what_they_promise(tier):
    model = AmountModel(tier, by="segment").fit(FRAME.take(slice(0, 2000)), RATIO[:2000])
    said = model.ratios(FRAME.take(slice(2000, None)))
    assert (np.diff(said, axis=1) >= 0).all()
    assert metrics.coverage(said[:, 0], said[:, 2], RATIO[2000:]).value == pytest.approx(0.8, abs=0.05)
    width = np.log(said[:, 2] / said[:, 0])
    assert width[SEGMENT[2000:] == 1].mean() > 2 * width[SEGMENT[2000:] == 0].mean()


def test_before_the_first_win_the_amount_is_about_what_it_is():
    model = AmountModel().fit(FRAME.take(slice(0, 0)), RATIO[:0])
    low, middle, high = model.amounts(FRAME.take(slice(0, 1)), np.array([1000.0]))[0]
    assert low < 1000
    assert middle == 1000
    assert high > 1000


def test_a_small_cell_leans_on_all():
    few = np.r_[np.zeros(500, int), np.ones(2, int)]
    ratios = np.r_[np.full(500, 1.0), np.full(2, 3.0)]
    model = AmountModel(by="segment").fit(Frame.of({"segment": few}, {"segment": ("small", "large")}), ratios)
    assert model.ratios(Frame.of({"segment": [1]}, {"segment": ("small", "large")}))[0, 1] == pytest.approx(
        1.0, abs=0.05
    )


def test_unknown_amounts_and_ratios():
    model = AmountModel().fit(FRAME, np.where(np.arange(3000) < 5, np.nan, RATIO))
    assert model.n_ == 2995
    assert np.isnan(model.amounts(FRAME.take(slice(0, 1)), np.array([np.nan]))).all()
    with pytest.raises(ValueError, match="no tier"):
        AmountModel("magic").fit(FRAME, RATIO)
