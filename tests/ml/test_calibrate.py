import numpy as np
import pytest

from ml.calibrate import Calibration, rolling
from ml.estimator import logit, sigmoid

RANDOM = np.random.default_rng(0)
TRUE = sigmoid(RANDOM.normal(-0.5, 1.2, 4000))
OUTCOME = (RANDOM.random(4000) < TRUE).astype(float)


def test_a_wrong_line_is_put_right():
    said = sigmoid(2.0 * logit(TRUE) + 0.8)
    model = Calibration().fit(said, OUTCOME)
    assert np.abs(model.apply(said) - TRUE).mean() < 0.03
    assert (np.diff(model.apply(np.sort(said))) >= 0).all()


def test_few_rows_change_little():
    model = Calibration().fit(np.full(5, 0.5), np.ones(5))
    assert model.apply(np.array([0.5]))[0] < 0.7
    assert Calibration().fit(np.zeros(0), np.zeros(0)).apply(np.array([0.3]))[0] == pytest.approx(0.3)


def test_open_deals_count_as_open_and_not_as_lost():
    """Half of the wins are not in yet after the look-back: the calibration must not learn that they are lost."""
    won_by, lost_by = 0.5 * TRUE, 0.5 * (1 - TRUE)
    fate = np.where(RANDOM.random(4000) < 0.5, OUTCOME, np.nan)
    model = Calibration().fit_censored(TRUE, won_by, lost_by, fate)
    assert np.abs(model.apply(TRUE) - TRUE).mean() < 0.02
    naive = Calibration().fit(TRUE, np.nan_to_num(fate))
    assert np.abs(naive.apply(TRUE) - TRUE).mean() > 0.1


def test_the_slope_is_the_derivative():
    model = Calibration().fit(sigmoid(1.5 * logit(TRUE)), OUTCOME)
    p = np.array([0.1, 0.5, 0.9])
    numeric = (model.apply(p + 1e-6) - model.apply(p - 1e-6)) / 2e-6
    assert np.allclose(model.slope_at(p), numeric, rtol=1e-5)


def test_a_line_follows_a_level_that_moves_and_knows_no_later_label():
    at = np.arange(800.0)
    moved = (RANDOM.random(800) < np.where(at < 400, 0.2, 0.6)).astype(float)
    adjusted = rolling(np.full(800, 0.2), moved, at, at + 1, 100)
    assert adjusted[600:].mean() == pytest.approx(0.6, abs=0.1)
    assert adjusted[0] == pytest.approx(0.2)
    assert adjusted[:401].max() < 0.4
