"""Past periods are forecast with what was known then, and with nothing else."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from features.facts import Calendar
from ml.forecast import Shocks
from training import backtest
from training.backtest import Replay
from training.past import Past, Quarter, days, quarter_of, quarters

pytestmark = pytest.mark.anyio

START = days(datetime(2024, 1, 1, tzinfo=UTC))
END = days(datetime(2026, 1, 1, tzinfo=UTC))
PEOPLE = {f"rep{number}": ("east" if number < 3 else "west", START) for number in range(6)}


def planted(seed: int = 0, until: float = END) -> Past:
    """Six people create about a deal a week each; a deal is won or lost after up to 150 days, its amount moves once."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(700):
        created = START + rng.random() * (END - START)
        closed = created + 20 + rng.random() * 130
        owner, amount, won = f"rep{rng.integers(6)}", float(rng.lognormal(9, 0.5)), rng.random() < 0.35
        moved = created + (closed - created) / 2
        due = np.floor(closed + rng.normal(0, 20))
        name = f"deal{number:04}"
        rows.append((name, created, moved, owner, "open", "proposal", amount, due, created, np.nan, 0.4))
        last = closed if closed < until else np.inf
        rows.append((name, moved, last, owner, "open", "proposal", amount * 0.9, due, created, np.nan, 0.4))
        if closed < until:
            end = ("won", 1.0) if won else ("lost", 0.0)
            rows.append(
                (name, closed, np.inf, owner, end[0], end[0], amount * 0.9, due, created, closed, end[1])
            )
    rows = [row for row in rows if row[1] < until]
    names = [
        "id",
        "from_at",
        "to_at",
        "owner",
        "status",
        "stage",
        "amount",
        "close_date",
        "created_at",
        "closed_at",
        "probability",
    ]
    texts = {"id", "owner", "status", "stage"}
    columns = {
        name: np.array(column, dtype=object if name in texts else float)
        for name, column in zip(names, zip(*sorted(rows), strict=True), strict=True)
    }
    return Past(columns, PEOPLE, Calendar())


async def looked(past: Past, quarter: Quarter, before: int) -> backtest.Look:
    """A look without a trained model: nothing is fetched."""
    return await backtest.look(None, None, (), past, None, None, quarter, before)  # type: ignore[arg-type]


def test_quarters_follow_the_fiscal_year() -> None:
    calendar = Calendar("UTC", 2)
    day = days(datetime(2026, 1, 15, tzinfo=UTC))
    found = quarter_of(day, calendar)
    assert (found.key, found.start) == ("2026Q4", days(datetime(2025, 11, 1, tzinfo=UTC)))
    assert found.end == days(datetime(2026, 2, 1, tzinfo=UTC))
    keys = [quarter.key for quarter in quarters(START, END, Calendar())]
    assert keys == ["2024Q1", "2024Q2", "2024Q3", "2024Q4", "2025Q1", "2025Q2", "2025Q3", "2025Q4"]


def test_a_zone_moves_the_quarters_ends() -> None:
    assert quarter_of(START + 1, Calendar("America/New_York")).start == START + 5 / 24


async def test_what_happens_later_changes_no_forecast_but_its_outcome() -> None:
    quarter = Quarter(
        "2025Q2", days(datetime(2025, 4, 1, tzinfo=UTC)), days(datetime(2025, 7, 1, tzinfo=UTC))
    )
    whole = await looked(planted(), quarter, 30)
    known = whole.origin.at
    cut = planted()
    later = cut.columns["from_at"] > known
    cut = replace(cut, columns={name: column[~later] for name, column in cut.columns.items()})
    ended = cut.columns["to_at"] > known
    cut.columns["to_at"] = np.where(ended, np.inf, cut.columns["to_at"])
    then = await looked(cut, quarter, 30)
    place = [whole.owners.index(owner) for owner in then.owners]
    total = whole.origin.draw(Shocks(0.1, 0.1)).sum()
    assert then.origin.draw(Shocks(0.1, 0.1)).sum() == pytest.approx(total, rel=1e-9)
    np.testing.assert_allclose(then.closed, whole.closed[place])
    for name in whole.naive:
        np.testing.assert_allclose(then.naive[name], whole.naive[name][place])
    assert whole.origin.actual.sum() > 0
    assert then.origin.actual.sum() == 0


async def test_closed_and_later_wins_make_the_whole_quarter() -> None:
    past = planted()
    quarter = quarters(START, END, Calendar())[4]
    look = await looked(past, quarter, 45)
    assert look.actual.sum() == pytest.approx(np.nansum(past.won(quarter.start, quarter.end)["amount"]))
    assert 0 < look.closed.sum() < look.actual.sum()


@pytest.fixture(scope="module")
async def replayed() -> Replay:
    past = planted()
    looks = [
        await looked(past, quarter, before)
        for quarter in quarters(START + 180, END, Calendar())
        for before in sorted({*backtest.BEFORE, *backtest.ROLLING}, reverse=True)
    ]
    return Replay(past, END, looks)


async def test_the_league_has_a_row_for_each_method_node_and_distance(replayed: Replay) -> None:
    rows = backtest.league(replayed)
    assert {row["node_id"] for row in rows} == {None, "east", "west"}
    assert {row["days_before"] for row in rows} == set(backtest.BEFORE)
    assert {row["method"] for row in rows} == {"ai", "stage_weighted", "last_period", "run_rate"}
    first = [row for row in rows if row["period"] == "2024Q3" and row["method"] == "ai"]
    last = [row for row in rows if row["period"] == "2025Q4" and row["method"] == "ai"]
    assert all(row["low"] is None for row in first), "no band before four forecasts have met their outcome"
    assert all(row["low"] <= row["forecast"] <= row["high"] for row in last)


async def test_the_nearer_the_end_the_smaller_the_miss(replayed: Replay) -> None:
    found = backtest.compared(replayed)
    assert found["ape_ai_1d"]["value"] < found["ape_ai_30d"]["value"] < 0.5
    assert found["ape_ai_1d"]["n"] == 6


async def test_ai_beats_the_pace_so_far_early_in_the_quarter(replayed: Replay) -> None:
    found = backtest.compared(replayed)
    assert found["ape_ai_60d"]["value"] < found["ape_run_rate_60d"]["value"]
