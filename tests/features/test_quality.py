"""A feature that jumps is named; weeks in which nothing jumped raise no alarm; definitions are held to."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from features.catalogue import SETS
from features.offline import training_set
from features.quality import broken, described, distance, drift, stability
from service.importing import runs
from training import synthetic

pytestmark = pytest.mark.anyio
SET = SETS["deal_win"]
WEEKS = 30


@pytest.fixture(scope="module")
async def company(database, tmp_path_factory):
    """A simulated company with some hundred open deals at any time."""
    folder = tmp_path_factory.mktemp("company")
    until = date.today() - timedelta(days=1)  # noqa: DTZ011  # the company's days are this machine's
    await asyncio.to_thread(synthetic.write, folder, 1_200, 5, until, leads=10, landmarks=0)
    return await runs.run(database, folder, "demo")


@pytest.fixture(scope="module")
async def weeks(database, company):
    """The vectors of all deals that were open on each of the last Mondays, the newest first, as known then."""
    monday = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = []
    for week in range(WEEKS):
        at = monday - timedelta(weeks=week)
        rows = await database.fetch(
            "SELECT id::text FROM known.opportunities WHERE from_at <= $1 AND $1 < to_at AND status = 'open'"
            " AND NOT is_deleted ORDER BY id",
            at,
        )
        spine = pl.DataFrame({"entity_id": [row[0] for row in rows], "as_of": [at] * len(rows)}).with_columns(
            pl.col("as_of").dt.cast_time_unit("us")
        )
        frame = await training_set(database.fetch, SET, spine)
        found.append(
            {
                name: frame[name].fill_null("").to_numpy().astype(np.str_)
                if name in SET.categories
                else frame[name].fill_null(np.nan).to_numpy()
                for name in SET.names
            }
        )
    return found


async def test_twenty_weeks_without_a_shift_raise_at_most_one_alarm(weeks):
    alarms = [
        (week, one.name, round(one.distance, 3), round(one.threshold, 3))
        for week in range(20)
        for one in drift(weeks[week : week + 10], SET.categories)
        if one.is_drifted
    ]
    assert len(alarms) <= 1, alarms
    assert len(weeks[0]["stage"]) >= 60


@pytest.mark.parametrize(
    ("name", "shift"),
    [
        ("amount_log", lambda values: values + np.log(100.0)),  # cents for units
        ("rep_win_rate", lambda values: values * 100),  # percent for a share
        (
            "emails_28d",
            lambda values: np.where(np.arange(len(values)) % 3, np.nan, values),
        ),  # a source that fails
        ("lead_source", lambda values: np.char.upper(values)),  # another spelling
    ],
)
async def test_a_shifted_feature_alarms_by_name(weeks, name, shift):
    now = dict(weeks[0])
    now[name] = shift(now[name])
    drifted = [one.name for one in drift([now, *weeks[1:10]], SET.categories) if one.is_drifted]
    assert drifted == [name]


async def test_too_little_past_says_nothing(weeks):
    assert drift(weeks[:4], SET.categories) == []


async def test_values_keep_to_their_definitions(weeks):
    everyone = np.ones(len(weeks[0]["stage"]), bool)
    faults = {
        name: broken(SET[name], weeks[0][name], everyone)
        for name in SET.names
        if SET[name].entity == "opportunity"
    }
    assert {name: fault for name, fault in faults.items() if fault} == {}
    assert broken(SET["discount"], np.array([10.0, 101.0])) == ["1 values lie above 100"]
    assert broken(SET["emails_7d"], np.array([np.nan, -1.0]), np.array([True, True])) == [
        "1 values lie below 0", "1 values are missing, which a count never is",
    ]  # fmt: skip


async def test_kept_statistics_know_their_own_values_again(weeks):
    kept = described(weeks[0], SET.categories)
    for name, values in weeks[0].items():
        assert stability(kept[name], values) < 0.05, name
    assert stability(kept["amount_log"], weeks[0]["amount_log"] + 3) > 0.25
    assert stability(kept["stage"], np.full(50, "elsewhere")) > 0.25


def test_distances_lie_between_alike_and_apart():
    random = np.random.default_rng(0)
    numbers, words = random.normal(size=400), random.choice(["a", "b", ""], 400)
    assert distance(numbers, numbers, is_category=False) == 0
    assert distance(numbers, numbers + 100, is_category=False) == 1
    assert distance(words, words, is_category=True) == 0
    assert distance(words, np.full(10, "c"), is_category=True) == pytest.approx(1)
    assert distance(numbers, np.full(400, np.nan), is_category=False) == 1
