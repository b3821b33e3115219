"""Gates, each with words that say what was found."""

import pytest

from registry import verdict
from registry.verdict import Gate, Verdict


@pytest.mark.parametrize(("low", "passed"), [(0.049, True), (0.05, True), (0.051, False)])
def test_calibration_is_refused_where_the_whole_interval_lies_above_the_limit(low, passed):
    gate = verdict.calibration(0.06, low, 0.08, 1200)
    assert gate.passed is passed
    assert gate.words == f"calibration error 0.060 [{low:.3f}, 0.080] on 1200 later rows; the limit is 0.05"


def test_a_tier_must_beat_the_one_below():
    assert verdict.better_than_below(0.41, 0.42, "gbm", "logistic", 10).passed
    equal = verdict.better_than_below(0.42, 0.42, "gbm", "logistic", 10)
    assert not equal.passed
    assert "against 0.4200 of logistic on the same 10 rows" in equal.words
    assert verdict.better_than_below(0.9, None, "baseline", "", 10).passed


def test_too_good_to_be_true_is_a_leak():
    assert verdict.plausible(0.97, 50).passed
    assert not verdict.plausible(0.98, 50).passed
    assert verdict.plausible(None, 0).passed


def test_the_worst_segment_decides():
    gate = verdict.no_worse_segment({"smb": 0.01, "enterprise": 0.08}, {"smb": 900, "enterprise": 90})
    assert not gate.passed
    assert (
        gate.words
        == "worst segment enterprise: log loss +0.0800 beside the champion's (n = 90); the limit is +0.05"
    )
    assert verdict.no_worse_segment({"smb": 0.05}, {"smb": 9}).passed


def test_missing_data_are_counted():
    gate = verdict.enough(
        {"closed_won": 100, "months_of_history": 6}, {"closed_won": 12, "months_of_history": 8}
    )
    assert not gate.passed
    assert gate.words == "closed_won 12 of 100"


def test_one_failed_gate_refuses():
    good, bad = Gate("a", True, "fine"), Gate("b", False, "not fine")
    assert Verdict((good,)).is_publishable
    said = Verdict((good, bad)).document()
    assert said["is_publishable"] is False
    assert said["gates"][1] == {"name": "b", "passed": False, "words": "not fine"}
