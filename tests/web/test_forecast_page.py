"""The forecast page's figures, words and chart, with a band and without one."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from service.calendar import Period
from service.web import charts, forecast_page, render
from service.web.render import Frame
from service.web.words import NARROW, Words

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SAY = Words(now=NOW)
QUARTER = Period(
    key="2026Q4", type="quarter", start_date=date(2026, 10, 1), end_date=date(2026, 12, 31), fiscal_year=2026
)


def row(name: str, scale: int, *, banded: bool = True) -> dict[str, Any]:
    """One node's forecast, as the API answers it."""
    money = {key: Decimal(value * scale) for key, value in {"p10": 700, "p50": 1000, "p90": 1400}.items()}
    parts = {"mean": 1030, "closed": 400, "open": 500, "to_be_created": 130}
    ai: dict[str, Any] = {key: Decimal(value * scale) for key, value in parts.items()}
    ai |= money if banded else money | {"p10": None, "p90": None}
    ai |= {"interval_coverage": 0.78, "n_origins": 18, "n_periods": 9, "reason": None, "as_of": NOW}
    return {
        "name": name, "node": {"type": "user", "id": None}, "currency": "USD", "quota": Decimal(1100 * scale),
        "closed": Decimal(400 * scale), "commit": Decimal(300 * scale), "weighted": Decimal(900 * scale),
        "overrides": {}, "attainment": 0.36, "attain_probability": 0.41 if banded else None, "ai": ai,
        "href": "/forecast",
    }  # fmt: skip


def page(*, banded: bool) -> str:
    """The page of a team of two."""
    whole = row("North", 2000, banded=banded) | {"fan": [], "children": []}
    children = [row("Lena Koch", 1000, banded=banded), row("Tomas Rivera", 1000, banded=banded)]
    band = [(54.5, 8e5, 8e5, 8e5), (92.0, 1.4e6, 2e6, 2.8e6)] if banded else []
    course = charts.Course(
        start=QUARTER.start_date, days=QUARTER.days, today=54.5, closed=[(20.0, 8e5)], band=band, quota=2.2e6
    )  # fmt: skip
    fan = charts.fan(course)
    labels = forecast_page._labels(fan, whole, SAY)
    return render.html(
        "forecast.html", Frame(name="Mara Lind"), SAY, node={"key": "team:1", "name": "North"},
        period={"key": "2026Q4", "name": "2026 Q4", "start_date": QUARTER.start_date, "end_date": QUARTER.end_date},
        days_left="38 days left", periods=[], nodes=[], crumbs=[], forecast=whole,
        figures=forecast_page.figures(whole, SAY), closed=[(date(2026, 10, 21), Decimal(800_000))], fan=fan,
        labels=labels, fan_narrow=fan, labels_narrow=labels, sentences=[forecast_page.coverage(whole["ai"], SAY)],
        children=children, has_bands=banded, children_are_people=True, ceiling=forecast_page._ceiling(children),
    )  # fmt: skip


def test_a_band_is_drawn_named_and_put_in_words() -> None:
    shown = page(banded=True)
    assert shown.count('class="band"') >= 4
    for text in (
        "P90 $2.8M",
        "P50 $2M",
        "P10 $1.4M",
        "Quota $2.2M",
        f"41{NARROW}%",
        "P10 $1.4M to P90 $2.8M",
    ):
        assert text in shown, text
    assert shown.count('class="range-bar"') == 2
    assert "$700K to $1.4M" in shown


def test_without_a_band_nothing_pretends_to_be_one() -> None:
    shown = page(banded=False)
    assert "no band yet" in shown
    assert 'class="range-bar"' not in shown
    assert "P90 $" not in shown
    assert "$1.4M" not in shown


def test_the_coverage_says_how_little_few_periods_prove() -> None:
    said = forecast_page.coverage(row("North", 1)["ai"], SAY)
    assert f"78{NARROW}% of the outcomes lay between P10 and P90, where 80{NARROW}% is meant" in said
    low, high = forecast_page._between(0.78, 9)
    assert (round(low, 2), round(high, 2)) == (0.45, 0.94)
    unknown = row("North", 1)["ai"] | {"interval_coverage": None, "reason": "There is no past yet."}
    assert forecast_page.coverage(unknown, SAY) == "There is no past yet."


def test_the_parts_of_the_mean_are_named() -> None:
    said = forecast_page.made_of(row("North", 1000), SAY)
    assert said.startswith("The mean is $1.03M: $400K is closed, $500K is expected of deals that are open")


@pytest.mark.parametrize(
    ("today", "said"),
    [
        (date(2026, 9, 30), "begins in 1 day"),
        (date(2026, 11, 24), "38 days left"),
        (date(2026, 12, 31), "1 day left"),
        (date(2027, 1, 2), "ended 2 days ago"),
    ],
)
def test_the_time_that_is_left(today: date, said: str) -> None:
    assert forecast_page.time_left(QUARTER, today) == said
