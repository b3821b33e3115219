"""The product's clock: each night once, made up for when slept through, and nothing in a new home."""

from datetime import UTC, datetime, time

import pytest

from service import schedule
from service.db import Database
from service.schedule import Nightly, slot_of


@pytest.mark.parametrize(("hour", "slot"), [(1, "2026-11-23"), (2, "2026-11-24"), (23, "2026-11-24")])
def test_the_night_that_is_due(hour: int, slot: str) -> None:
    assert slot_of(Nightly("score.all", time(2, 0)), datetime(2026, 11, 24, hour, 0, tzinfo=UTC)) == slot


@pytest.mark.anyio
async def test_each_night_runs_once_and_a_new_home_has_none_behind_it(database: Database) -> None:
    first = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    assert await schedule.tick(database, first) == []
    assert await schedule.tick(database, first.replace(hour=13)) == []
    night = first.replace(day=25, hour=4)
    assert set(await schedule.tick(database, night)) == {entry.job for entry in schedule.SCHEDULE}
    assert await schedule.tick(database, night) == []
    assert "score.all" in await schedule.tick(database, night.replace(day=28)), (
        "a slept-through night is made up for"
    )
    queued = await database.fetchval(
        "SELECT count(*) FROM jobs WHERE type = 'score.all' AND status = 'queued'"
    )
    assert queued == 1
