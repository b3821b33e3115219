"""What the features say, against a slow reading of the same histories by another way; and faults that this must see."""

import itertools
import json
import sys
import types
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import numpy as np
import polars as pl
import pytest

from features import facts, offline
from features.catalogue import ENTITIES, SETS, own_set
from features.facts import Array, Calendar
from features.offline import training_set
from features.reading import Spine, loader, values
from tests.features.test_parity import CALENDAR, FIELDS, differences, history, spine
from tests.features.world import FOREVER, Row, World, fill

pytestmark = pytest.mark.anyio

__all__ = ["history"]

DEALS = own_set("opportunity", FIELDS)
SOURCE = Path(facts.__file__).read_text()


def known(world: World, table: str, at: datetime) -> list[Row]:
    """Versions known at an instant, none of them deleted."""
    rows = world.rows.get(table, [])
    return [row for row in rows if row["known_from"] <= at < row["known_to"] and not row.get("deleted_at")]


def slowly(world: World, deal: UUID, at: datetime) -> dict[str, float | str] | None:
    """A few features of a deal, read row by row."""
    now = next((row for row in known(world, "opportunities", at) if row["id"] == deal), None)
    if now is None:
        return None
    past = [row for row in world.rows["opportunities"] if row["id"] == deal and row["known_from"] <= at]
    steps = list(itertools.pairwise(past))
    entered = [b["known_from"] for a, b in steps if a["stage"] != b["stage"]] or [past[0]["known_from"]]
    acts = [row for row in known(world, "activities", at) if row["opportunity_id"] == deal]
    done = [row for row in acts if row["status"] == "completed" and row["occurred_at"] <= at]
    people = [row for row in known(world, "stakeholders", at) if row["opportunity_id"] == deal]
    found: dict[str, float | str] = {
        "stage": now["stage"],
        "age_weeks": (at - now["created_at"]) / timedelta(weeks=1),
        "weeks_in_stage": (at - entered[-1]) / timedelta(weeks=1),
        "stage_moves": sum(a["stage"] != b["stage"] for a, b in steps),
        "push_count": sum(b["close_date"] > a["close_date"] for a, b in steps),
        "owner_changes": sum(a["owner_id"] != b["owner_id"] for a, b in steps),
        "weeks_to_close_date": (now["close_date"] - at.date()).days / 7,
        "meetings_held": sum(row["type"] in ("meeting", "demo") for row in done),
        "champion_present": float(any(row["role"] == "champion" for row in people)),
        "stakeholder_count": len(people),
        "days_since_last_activity": min(
            ((at - r["occurred_at"]) / timedelta(days=1) for r in done), default=np.nan
        ),
    }
    came = visits(world, deal, at)
    lately = [row for row in came if at - row["opened_at"] < timedelta(days=14)]
    found["room_visits_14d"] = len(lately)
    found["room_guests_14d"] = len({row["guest_link_id"] for row in lately})
    found["days_since_room_visit"] = min(
        ((at - row["opened_at"]) / timedelta(days=1) for row in came), default=np.nan
    )
    said = [row for row in known(world, "comments", at) if row["opportunity_id"] == deal]
    found["guest_comments_28d"] = sum(
        row["side"] == "theirs" and at - row["created_at"] < timedelta(days=28) for row in said
    )
    texts = [
        row
        for row in known(world, "notes", at)
        if row["opportunity_id"] == deal and row["kind"] == "note" and not row["is_private"]
    ]
    found["notes_28d"] = sum(at - row["created_at"] < timedelta(days=28) for row in texts)
    found["note_length_log"] = np.log1p(sum(len(row["body"]) for row in texts))
    plan = [row for row in known(world, "plan_items", at) if row["opportunity_id"] == deal]
    late = [r for r in plan if r["status"] == "open" and r["due_date"] and r["due_date"] < at.date()]
    found["plan_items_done"] = sum(row["status"] == "done" for row in plan)
    found["plan_items_overdue_theirs"] = sum(row["contact_id"] is not None for row in late)
    values = json.loads(now["cf"])
    found["opportunity_cf_seats"] = (
        values["seats"] if isinstance(values.get("seats"), int | float) else np.nan
    )
    found["opportunity_cf_tier"] = values["tier"] if isinstance(values.get("tier"), str) else ""
    found["opportunity_cf_remark"] = float(bool(values.get("remark")))
    for days in (7, 14, 28, 90):
        found[f"activities_{days}d"] = sum(at - row["occurred_at"] < timedelta(days=days) for row in done)
        replied = [
            row
            for row in done
            if row["direction"] == "inbound" and at - row["occurred_at"] < timedelta(days=days)
        ]
        found[f"replies_{days}d"] = len(replied)
    return found


def visits(world: World, deal: UUID, at: datetime) -> list[Row]:
    """Visits known at an instant, by links that were the deal's then."""
    links = {row["id"] for row in known(world, "guest_links", at) if row["opportunity_id"] == deal}
    return [row for row in world.visits if row["guest_link_id"] in links and row["recorded_at"] <= at]


async def wrong(
    connection: asyncpg.Connection, world: World, pairs: list[tuple[UUID, datetime]]
) -> list[str]:
    """Features whose value differs from the slow reading, over all pairs."""
    columns = await values(loader(connection.fetch, CALENDAR), DEALS, spine(pairs))
    found = set()
    for index, (deal, at) in enumerate(pairs):
        for name, value in (slowly(world, deal, at) or {}).items():
            ours = columns[name][index]
            same = ours == value if isinstance(value, str) else np.isclose(float(ours), value, equal_nan=True)
            if not same:
                found.add(name)
    return sorted(found)


async def test_a_slow_reading_finds_the_same_values(history: asyncpg.Connection) -> None:
    world = World(12)
    await fill(history, world.whole())
    assert await wrong(history, world, world.spine(world.deals, 4000)) == []


@pytest.mark.parametrize(
    ("fault", "seen_in"),
    [
        ("at > self.as_of - days * DAY|at >= self.as_of - days * DAY", "activities_7d"),
        ("keep = at <= self.as_of|keep = at <= self.as_of + DAY", "activities_28d"),
        (
            '(events["from_at"][row] <= at) & (at < events["to_at"][row])|at < events["to_at"][row]',
            "activities_90d",
        ),
        ('at < events["to_at"][row]|at <= events["to_at"][row]', "stakeholder_count"),
    ],
)
async def test_a_fault_in_the_counting_is_seen(
    history: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, fault: str, seen_in: str
) -> None:
    """The windows' edges and the two clocks are held by the histories of the tests: each fault changes a value."""
    right, planted = fault.split("|")
    assert right in SOURCE
    broken = types.ModuleType("broken")
    monkeypatch.setitem(sys.modules, "broken", broken)
    exec(compile(SOURCE.replace(right, planted), "broken", "exec"), broken.__dict__)
    monkeypatch.setattr(facts.Known, "of", broken.Known.of)
    monkeypatch.setattr(facts.Known, "_where", broken.Known._where)
    world = World(12)
    await fill(history, world.whole())
    assert seen_in in await wrong(history, world, world.spine(world.deals, 4000))


@pytest.mark.parametrize(
    ("source", "fault", "seen_in"),
    [
        ("deals", "s.known_at < v.to_at|s.known_at <= v.to_at", "stage"),
        ("deals", "v.from_at <= s.known_at|v.from_at < s.known_at", "stage"),
        ("deals", "ORDER BY o.from_at, o.version|ORDER BY o.from_at DESC, o.version", "push_count"),
        ("deal_activities", "AND NOT a.is_deleted|", "activities_90d"),
        ("deals", "v.competitors, v.custom|v.competitors, NULL", "opportunity_cf_seats"),
        ("deal_room", "AND NOT c.is_deleted|", "guest_comments_28d"),
        ("deal_notes", "AND NOT n.is_deleted|", "notes_28d"),
        ("deal_room", "p.status, p.due_date|'open', p.due_date", "plan_items_done"),
    ],
)
async def test_a_fault_in_the_sql_is_seen(
    history: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, source: str, fault: str, seen_in: str
) -> None:
    right, planted = fault.split("|")
    one = next(s for s in ENTITIES["opportunity"].sources if s.name == source)
    assert right in one.statement
    monkeypatch.setitem(one.__dict__, "statement", one.statement.replace(right, planted))
    world = World(12)
    await fill(history, world.whole())
    assert seen_in in await wrong(history, world, world.spine(world.deals, 4000))


async def test_a_training_set_keeps_the_spine_and_its_order(history: asyncpg.Connection) -> None:
    world = World(12)
    await fill(history, world.whole())
    pairs = world.spine(world.deals, 50)
    frame = pl.DataFrame(
        {"entity_id": [str(n) for n, _ in pairs], "as_of": [at for _, at in pairs], "y": range(50)}
    )
    offline_chunk = offline.CHUNK
    whole = await training_set(history.fetch, SETS["deal_win"], frame, calendar=CALENDAR)
    offline.CHUNK = 7
    try:
        parts = await training_set(history.fetch, SETS["deal_win"], frame, calendar=CALENDAR)
    finally:
        offline.CHUNK = offline_chunk
    assert whole.equals(parts)
    assert whole.columns == ["entity_id", "as_of", "y", *SETS["deal_win"].names]
    assert whole["y"].to_list() == list(range(50))


async def test_knowledge_after_a_standing_clock_counts(history: asyncpg.Connection) -> None:
    """In a home whose data ended long ago the clock stands, and what the import tells today is known."""
    world = World(13)
    await fill(history, world.whole())
    at = facts.instant(max(row["created_at"] for row in world.rows["opportunities"]) - timedelta(days=100))
    asked = spine([(deal, FOREVER - timedelta(days=1)) for deal in world.deals])
    standing = Spine(asked.ids, np.full(len(asked), at), asked.known_at)
    columns = await values(loader(history.fetch, CALENDAR), DEALS, standing)
    assert set(columns["age_weeks"][~np.isnan(columns["age_weeks"])] >= 0) == {True}
    assert np.isfinite(columns["age_weeks"]).sum() > len(world.deals) * 0.8


def test_the_fiscal_calendar() -> None:
    calendar = Calendar("America/New_York", first_month=2)
    instants = np.array(
        [
            facts.instant(datetime.fromisoformat(text))
            for text in (
                "2026-02-01T04:59:00+00:00",
                "2026-02-01T05:00:00+00:00",
                "2026-04-30T12:00:00+00:00",
                "2026-05-01T12:00:00+00:00",
            )
        ]
    )
    first, last = calendar.quarter(calendar.days(instants))
    assert as_days(first) == ["2025-11-01", "2026-02-01", "2026-02-01", "2026-05-01"]
    assert as_days(last) == ["2026-01-31", "2026-04-30", "2026-04-30", "2026-07-31"]


def as_days(days: Array) -> list[str]:
    return [str(np.datetime64(int(day), "D")) for day in days]


def test_differences_are_differences() -> None:
    assert differences({"a": np.array([1.0, np.nan])}, {"a": np.array([1.0, np.nan])}) == []
    assert differences({"a": np.array([1.0])}, {"a": np.array([2.0])}) != []
