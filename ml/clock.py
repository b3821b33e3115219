"""Features that move by the clock alone: what they will be in k weeks, so that a chance can be rolled forward.

A clock maps a column to how it moves:

    grows            one more each week (an age in weeks); `grows days` counts days
    shrinks          one less each week (weeks to the close date); `shrinks days` counts days
    restarts         grows, and starts again at 0 when the deal moves to another stage; `restarts days` counts days
    stays            never moves, but works together with what does (the week of the quarter of the deal's creation)
    past             1 once the close date lies behind, read from the column `weeks_to_close_date`
    week_of_quarter  full weeks since the fiscal quarter began, 0 to 13
    month_of_quarter 0, 1 or 2
    days_to_quarter_end   0 on the last day
    closes_this_quarter   1 where the close date lies in the fiscal quarter of that day or before it

Everything else stays as it was. Instants are float days since 1970-01-01.
"""

from collections.abc import Mapping

import numpy as np

from ml.frame import Floats, Frame

Clock = Mapping[str, str]

DEAL_CLOCK: dict[str, str] = {
    "age_weeks": "grows",
    "weeks_in_stage": "restarts",
    "weeks_to_close_date": "shrinks",
    "is_past_close_date": "past",
    "week_of_quarter": "week_of_quarter",
    "days_to_period_end": "days_to_quarter_end",
    "closes_this_period": "closes_this_quarter",
    "created_week_of_quarter": "stays",
}
"""How the deal features of that name move."""

DEAL_JOINT: tuple[tuple[str, ...], ...] = (("age_weeks", "created_week_of_quarter", "week_of_quarter"),)
"""Columns of the clock that trees may combine: quarter-end pushes depend on when in its quarter a deal began."""

CLOSE_DATE = "weeks_to_close_date"
"""The column from which it is read whether the close date lies behind."""
BY_CLOSE_DATE = ("past", "closes_this_quarter")
CALENDAR = ("week_of_quarter", "month_of_quarter", "days_to_quarter_end", "closes_this_quarter")
PACES = ("grows", "shrinks", "restarts", "stays", "past", *CALENDAR)


def checked(clock: Clock) -> Clock:
    """The clock itself. ValueError where it holds a word that is not above."""
    for column, how in clock.items():
        if how.removesuffix(" days") not in PACES:
            raise ValueError(f"the clock of {column!r} says {how!r}")
    return clock


def later(how: str, column: str, frame: Frame, at: Floats, weeks: Floats, fiscal_start: int = 1) -> Floats:
    """The column's values `weeks` (k,) weeks after each row's instant `at` (n,): (n, k)."""
    pace, unit = how.removesuffix(" days"), 7.0 if how.endswith(" days") else 1.0
    if pace in ("grows", "restarts"):
        return frame.column(column)[:, None] + unit * weeks
    if pace == "shrinks":
        return frame.column(column)[:, None] - unit * weeks
    if pace == "stays":
        return np.repeat(frame.column(column)[:, None], len(weeks), axis=1)
    days = at[:, None] + 7.0 * weeks
    if pace == "past":
        left = frame.column(CLOSE_DATE)[:, None] - weeks
        return np.where(np.isfinite(left), (left < 0).astype(np.float64), np.nan)
    if pace == "closes_this_quarter":
        left = frame.column(CLOSE_DATE)[:, None] - weeks
        to_end = of_calendar("days_to_quarter_end", days, fiscal_start)
        return np.where(np.isfinite(left), (left * 7.0 <= to_end).astype(np.float64), np.nan)
    return of_calendar(pace, days, fiscal_start)


def week_of_quarter(days: Floats, fiscal_start: int = 1) -> Floats:
    """Full weeks since the fiscal quarter of each instant began."""
    return of_calendar("week_of_quarter", days, fiscal_start)


def quarter(days: Floats, fiscal_start: int = 1) -> tuple[Floats, Floats]:
    """First and last day of the fiscal quarter of each instant, in days since 1970-01-01."""
    dates = np.floor(days).astype(np.int64).astype("datetime64[D]")
    months = dates.astype("datetime64[M]").astype(np.int64)
    first = months - (months - (fiscal_start - 1)) % 3
    begins = first.astype("datetime64[M]").astype("datetime64[D]").astype(np.float64)
    ends = (first + 3).astype("datetime64[M]").astype("datetime64[D]").astype(np.float64) - 1.0
    return begins, ends


def of_calendar(pace: str, days: Floats, fiscal_start: int) -> Floats:
    """One of the paces that the calendar alone decides, at instants in days."""
    begins, ends = quarter(days, fiscal_start)
    if pace == "days_to_quarter_end":
        left: Floats = ends - np.floor(days)
        return left
    gone = np.floor(days) - begins
    return np.floor(gone / 7.0) if pace == "week_of_quarter" else np.minimum(np.floor(gone / 30.7), 2.0)
