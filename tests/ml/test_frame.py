import numpy as np
import pytest

from ml.frame import Frame, stacked


def test_categories_are_matched_by_word():
    frame = Frame.of({"stage": [0, 1, 2, np.nan]}, {"stage": ("a", "b", "c")})
    recoded = frame.only(["stage"], {"stage": ("c", "a")}).column("stage")
    assert recoded[0] == 1
    assert recoded[2] == 0
    assert np.isnan(recoded[[1, 3]]).all()


def test_columns_are_found_by_name_only():
    frame = Frame.of({"x": [1.0], "y": [2.0]})
    assert frame.only(["y", "x"]).values.tolist() == [[2.0, 1.0]]
    with pytest.raises(KeyError, match="no column 'z'"):
        frame.only(["z"])
    with pytest.raises(ValueError, match="same name"):
        frame.joined({"x": [3.0]})
    with pytest.raises(ValueError, match="names for an array"):
        Frame(("x",), np.zeros((2, 2)))


def test_frames_stack_whatever_their_order():
    below = Frame.of({"y": [4.0], "x": [3.0]})
    assert stacked([Frame.of({"x": [1.0], "y": [2.0]}), below]).values.tolist() == [[1.0, 2.0], [3.0, 4.0]]
