from datetime import date

import numpy as np
import pytest

from ml.clock import checked, later, quarter, week_of_quarter
from ml.frame import Frame


def days(year, month, day):
    return float((date(year, month, day) - date(1970, 1, 1)).days)


def test_quarters_follow_the_fiscal_year():
    first, last = quarter(np.array([days(2026, 2, 14)]))
    assert (first[0], last[0]) == (days(2026, 1, 1), days(2026, 3, 31))
    first, last = quarter(np.array([days(2026, 1, 14)]), fiscal_start=2)
    assert (first[0], last[0]) == (days(2025, 11, 1), days(2026, 1, 31))
    assert week_of_quarter(np.array([days(2026, 4, 1), days(2026, 6, 30) + 0.9])).tolist() == [0, 12]


def test_each_pace():
    frame = Frame.of({"age_weeks": [2.0], "gap": [10.0], "weeks_to_close_date": [1.5], "born": [3.0]})
    at, weeks = np.array([days(2026, 3, 25)]), np.array([0.0, 1.0, 2.0])

    def moved(how, column="age_weeks"):
        return later(how, column, frame, at, weeks)[0].tolist()

    assert moved("grows") == [2, 3, 4]
    assert moved("grows days", "gap") == [10, 17, 24]
    assert moved("shrinks", "weeks_to_close_date") == [1.5, 0.5, -0.5]
    assert moved("stays", "born") == [3, 3, 3]
    assert moved("past", "x") == [0, 0, 1]
    assert moved("week_of_quarter", "x") == [11, 0, 1]
    assert moved("days_to_quarter_end", "x") == [6, 90, 83]
    assert moved("closes_this_quarter", "x") == [0, 1, 1]


def test_unknown_stays_unknown_and_nonsense_is_refused():
    frame = Frame.of({"weeks_to_close_date": [np.nan]})
    assert np.isnan(later("past", "x", frame, np.zeros(1), np.arange(3.0))).all()
    with pytest.raises(ValueError, match="sideways"):
        checked({"age_weeks": "sideways"})
