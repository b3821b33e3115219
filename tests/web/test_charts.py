"""Geometry of the charts: what is drawn is where the figures say."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from service.web import charts

START = datetime(2026, 10, 1, tzinfo=UTC)


def test_reasons_walk_from_the_base_value_to_the_chance() -> None:
    start, bars = charts.reason_bars(0.3, [0.2, -0.1, 0.05])
    scale = bars[0].width / 0.2
    assert start == pytest.approx(bars[0].x)
    assert [bar.width for bar in bars] == pytest.approx([0.2 * scale, 0.1 * scale, 0.05 * scale])
    assert bars[-1].edge - start == pytest.approx(0.15 * scale)
    assert all(bar.x >= 0 and bar.x + bar.width <= 168 for bar in bars)


def test_a_history_needs_two_scores_and_never_leaves_its_frame() -> None:
    assert charts.spark([(START, 0.4)]) is None
    points = [(START + timedelta(days=day), chance) for day, chance in enumerate([0.31, 0.34, 0.3, 0.97])]
    made = charts.spark(points)
    assert made is not None
    assert made.low <= 0.3
    assert made.high >= 0.97
    assert made.x == pytest.approx(220)
    assert 0 <= made.y <= 52


def test_a_flat_history_is_drawn_as_flat() -> None:
    points = [(START + timedelta(days=day), 0.501 + day / 1000) for day in range(4)]
    made = charts.spark(points)
    assert made is not None
    assert made.high - made.low >= 0.2


def course(**changes: object) -> charts.Course:
    given = {
        "start": date(2026, 10, 1),
        "days": 92,
        "today": 54.5,
        "closed": [(10.0, 100_000.0), (50.0, 400_000.0)],
        "band": [(54.5, 4e5, 4e5, 4e5), (70.0, 4.5e5, 5e5, 6e5), (92.0, 5e5, 7e5, 9e5)],
        "quota": 800_000.0,
    }
    return charts.Course(**(given | changes))  # type: ignore[arg-type]


def test_the_fan_ends_at_its_quantiles_below_the_ceiling() -> None:
    made = charts.fan(course())
    assert made.ends is not None
    low, middle, high = made.ends
    assert low > middle > high >= made.top
    assert made.quota is not None
    assert high < made.quota < middle
    assert made.today == pytest.approx(made.left + 54.5 / 92 * (made.right - made.left))
    assert [day for _, day in made.days] == [date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1)]


def test_a_period_that_is_over_has_no_band_and_no_today() -> None:
    made = charts.fan(course(today=200.0, band=[]))
    assert (made.band, made.today, made.ends) == ("", None, None)


def test_nothing_at_all_still_draws() -> None:
    made = charts.fan(course(closed=[], band=[], quota=None))
    assert made.closed.startswith("M")


@pytest.mark.parametrize("highest", [1.0, 37.0, 999.0, 1_000.0, 2_345_678.0, 9.9e9])
def test_the_scale_is_round_and_high_enough(highest: float) -> None:
    ceiling, step = charts._scale(highest)
    assert ceiling > highest
    assert 2 <= ceiling / step <= 7


def test_labels_move_apart_and_keep_their_order() -> None:
    moved = charts.spread_labels([50.0, 52.0, 10.0, 51.0])
    assert moved[2] < moved[0] < moved[3] < moved[1]
    ordered = sorted(moved)
    assert all(after - before >= 14 for before, after in pairwise(ordered[1:]))
