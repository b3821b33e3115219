"""Days that move with the calendar: as spans, on the days on which months, leap years and fiscal years turn."""

from datetime import date

import pytest

from service.calendar import Company
from service.values import Span, is_relative, span

FEBRUARY = Company(fiscal_year_start=2, week_start=1)


@pytest.mark.parametrize(
    ("text", "today", "start", "after"),
    [
        ("today", "2026-02-28", "2026-02-28", "2026-03-01"),
        ("yesterday", "2026-03-01", "2026-02-28", "2026-03-01"),
        ("tomorrow", "2028-02-28", "2028-02-29", "2028-03-01"),
        ("this_week", "2026-11-24", "2026-11-23", "2026-11-30"),
        ("last_week", "2026-11-23", "2026-11-16", "2026-11-23"),
        ("next_week", "2026-11-29", "2026-11-30", "2026-12-07"),
        ("last_month", "2026-03-31", "2026-02-01", "2026-03-01"),
        ("this_quarter", "2026-01-15", "2025-11-01", "2026-02-01"),
        ("next_quarter", "2026-01-15", "2026-02-01", "2026-05-01"),
        ("this_year", "2026-01-15", "2025-02-01", "2026-02-01"),
        ("last_30_days", "2026-11-24", "2026-10-25", "2026-11-24"),
        ("next_7_days", "2026-11-24", "2026-11-25", "2026-12-02"),
        ("-30d", "2026-11-24", "2026-10-25", "2026-10-26"),
        ("+1m", "2026-01-31", "2026-02-28", "2026-03-01"),
        (" 1m", "2026-01-31", "2026-02-28", "2026-03-01"),
        ("-1y", "2028-02-29", "2027-02-28", "2027-03-01"),
        ("+2w", "2026-11-24", "2026-12-08", "2026-12-09"),
    ],
)
def test_spans(text: str, today: str, start: str, after: str) -> None:
    assert is_relative(text)
    assert span(text, FEBRUARY, date.fromisoformat(today)) == Span(
        date.fromisoformat(start), date.fromisoformat(after)
    )


@pytest.mark.parametrize(
    "text", ["2026-01-31", "last", "last_days", "30d", "-d", "this_day", "last_x_days", ""]
)
def test_other_texts_are_no_spans(text: str) -> None:
    assert not is_relative(text)


@pytest.mark.parametrize("text", ["-9999y", "next_9999_days"])
def test_beyond_the_calendar(text: str) -> None:
    with pytest.raises(ValueError, match="calendar"):
        span(text, FEBRUARY, date(9990, 1, 1) if text.startswith("next") else date(2026, 1, 1))
