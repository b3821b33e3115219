import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as reference_log_loss

from ml import metrics

RANDOM = np.random.default_rng(0)
CHANCE = RANDOM.uniform(0.05, 0.95, 800)
OUTCOME = (RANDOM.random(800) < CHANCE).astype(float)
DEAL = np.repeat(np.arange(80), 10)


def test_figures_equal_the_reference():
    assert metrics.log_loss(CHANCE, OUTCOME).value == pytest.approx(reference_log_loss(OUTCOME, CHANCE))
    assert metrics.brier(CHANCE, OUTCOME).value == pytest.approx(brier_score_loss(OUTCOME, CHANCE))
    rounded = np.round(CHANCE, 1)  # with ties
    assert metrics.auc(rounded, OUTCOME).value == pytest.approx(roc_auc_score(OUTCOME, rounded))


@pytest.mark.parametrize("figure", [metrics.log_loss, metrics.brier, metrics.ece, metrics.auc])
def test_every_figure_has_n_and_an_interval_and_is_seeded(figure):
    measure = figure(CHANCE, OUTCOME, DEAL)
    assert (measure.n, measure.groups) == (800, 80)
    assert measure.low < measure.high
    assert measure.low <= measure.value <= measure.high
    assert measure == figure(CHANCE, OUTCOME, DEAL)
    assert measure != figure(CHANCE, OUTCOME, DEAL, seed=1)


def test_the_interval_is_wider_when_rows_of_a_deal_share_its_fate():
    shared = np.repeat(RANDOM.random(80) < 0.5, 10).astype(float)
    flat = np.full(800, 0.5) + RANDOM.normal(0, 0.01, 800)
    alone, together = metrics.brier(flat + 0.1, shared), metrics.brier(flat + 0.1, shared, DEAL)
    assert np.ptp([together.low, together.high]) > 2 * np.ptp([alone.low, alone.high])


def test_calibration_error_is_small_when_honest_and_large_when_not():
    assert metrics.ece(CHANCE, OUTCOME).value < 0.05
    too_sure = np.clip(CHANCE + 0.2 * np.sign(CHANCE - 0.5), 0.01, 0.99)
    assert metrics.ece(too_sure, OUTCOME).low > 0.05


def test_nothing_to_measure_is_not_a_number_and_no_crash():
    empty = metrics.summary(np.zeros(0), np.zeros(0))
    assert all(np.isnan(measure.value) and measure.n == 0 for measure in empty.values())
    assert empty["auc"].document()["value"] is None
    assert np.isnan(metrics.auc(np.array([0.2, 0.4]), np.zeros(2)).value)


def test_a_paired_difference_sees_what_two_intervals_cannot():
    worse = np.clip(CHANCE + 0.1, 0, 0.99)
    gap = metrics.difference(metrics.log_losses(CHANCE, OUTCOME), metrics.log_losses(worse, OUTCOME), DEAL)
    assert gap.high < 0
    assert metrics.log_loss(worse, OUTCOME, DEAL).low < metrics.log_loss(CHANCE, OUTCOME, DEAL).high


def test_bands():
    actual = RANDOM.normal(size=2000)
    low, high = np.full(2000, -1.2816), np.full(2000, 1.2816)
    assert metrics.coverage(low, high, actual).value == pytest.approx(0.8, abs=0.03)
    right = metrics.interval_score(low, high, actual).value
    assert right < metrics.interval_score(low / 3, high / 3, actual).value
    assert right < metrics.interval_score(low * 3, high * 3, actual).value
    assert metrics.pinball(0.9, high, actual).value < metrics.pinball(0.9, low, actual).value


def test_reliability_counts_every_row_once():
    assert sum(line.n for line in metrics.reliability(CHANCE, OUTCOME)) == 800


def test_weeks_that_do_not_fit_stand_out():
    outcome = np.r_[np.ones(350), np.zeros(350)]
    weeks = metrics.observed_over_expected(np.full(700, 0.5), outcome, np.arange(700.0))
    assert all(abs(week[3]) > 2.5 for week in weeks)


def test_origins_cover_the_span():
    assert list(metrics.origins(0, 10, 4)) == [(0, 4), (4, 8), (8, 10)]
