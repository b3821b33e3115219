import numpy as np
import pytest

from ml.frame import Frame
from ml.panel import LOST, WON, Panel


def panel():
    """Deal 0 is won in its third week, deal 1 stays open, deal 2 is lost in its first."""
    deal, week = np.array([0, 0, 0, 1, 1, 1, 2]), np.array([0.0, 1, 2, 0, 1, 2, 1])
    outcome = np.array([0, 1, WON, 0, 0, 0, LOST])
    stage = np.array([0, 0, 1, 0, 0, 0, 0])
    return Panel(deal, 7 * week, stage, Frame.of({"x": week}), outcome, 21.0)


def test_weeks_that_had_not_ended_do_not_count():
    assert len(panel().known_by(14.0)) == 5
    assert not (panel().known_by(14.0).outcome == WON).any()
    with pytest.raises(ValueError, match="had not ended"):
        Panel(
            np.zeros(1, int),
            np.array([10.0]),
            np.zeros(1, int),
            Frame.of({"x": [0.0]}),
            np.zeros(1, int),
            12.0,
        )


def test_fates_are_censored_by_what_is_known():
    fates, known = panel().fates(2)
    assert fates[[1, 2, 6]].tolist() == [1, 1, 0]
    assert np.isnan(fates[[0, 3]]).all()
    assert known.tolist() == [True, True, False, True, True, False, True]


def test_moves_and_losses():
    assert panel().moved.tolist() == [False, True, True, False, False, False, False]
    assert panel().lost.tolist() == [False] * 6 + [True]
    final, has_one = panel().at_last()
    assert has_one.tolist() == [True] * 3 + [False] * 3 + [True]
    assert final[[0, 6]].tolist() == [1, 0]
