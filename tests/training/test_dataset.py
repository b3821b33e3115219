"""Training sets: named by their bytes, blind to what came later."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from features.catalogue import SETS
from ml.panel import LOST, WON
from service.access import SYSTEM
from service.domains.opportunities import resource as opportunities
from service.writes import update
from training.dataset import Shares, deal_panel, lead_set, sampled
from training.states import DAY, States, fates, filled_at, first_close

pytestmark = pytest.mark.anyio
THEN = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=60)


async def test_later_events_change_nothing(database, company):
    before = await deal_panel(database.fetch, SETS["deal_win"], THEN)
    assert len(before.panel) > 500
    async with database.begin() as tx:
        rows = await tx.fetch(
            "SELECT * FROM opportunities WHERE status = 'open' LIMIT 5 /* access:opportunities */"
        )
        for row in rows:
            await update(
                tx, opportunities, SYSTEM, dict(row), {"next_step": "later", "close_date": date(2031, 1, 1)}
            )
    after = await deal_panel(database.fetch, SETS["deal_win"], THEN)
    assert after.sha256 == before.sha256
    now = await deal_panel(database.fetch, SETS["deal_win"], datetime.now(UTC))
    assert now.sha256 != before.sha256


async def test_no_week_is_used_that_had_not_ended(database, company):
    found = await deal_panel(database.fetch, SETS["deal_win"], THEN)
    assert found.panel.at.max() + 7 <= THEN.timestamp() * 1e6 / DAY
    won, known = found.won_within(30.0)
    assert ((found.panel.at + 30 <= found.panel.end) <= known).all()
    closed = found.panel.outcome < 0
    assert set(found.panel.outcome[closed]) == {WON, LOST}
    assert (won[(found.panel.outcome == WON) & known] == 1).all()
    assert not known[found.panel.at + 30 > found.panel.end].any(), (
        "an early win is not known before an early silence"
    )


async def test_a_bounded_set_keeps_deals_whole(database, company):
    whole = await deal_panel(database.fetch, SETS["deal_win"], THEN)
    part = await deal_panel(database.fetch, SETS["deal_win"], THEN, most=len(whole.panel) // 2)
    assert 0.3 < len(part.panel) / len(whole.panel) < 0.7
    assert part.available == len(whole.panel)
    for deal in np.unique(part.panel.deal)[:20]:
        assert (part.panel.deal == deal).sum() == (whole.panel.deal == deal).sum()


async def test_leads_are_followed_from_their_creation(database, company):
    found = await lead_set(database.fetch, SETS["lead_convert"], THEN)
    assert len(found.panel) > 300
    converted, known = found.converted_within(90.0)
    assert 0 < converted[known].mean() < 0.6
    assert (found.panel.converted_at > found.panel.at).all()


def test_the_sample_belongs_to_the_ids():
    names = tuple(f"deal {i}" for i in range(1000))
    deal = np.repeat(np.arange(1000), 3)
    kept = sampled(names, deal, 1500)
    assert 1300 < len(kept) < 1700
    assert (np.bincount(deal[kept], minlength=1000) % 3 == 0).all()
    assert (sampled(names, deal, 1500) == kept).all()


def history(rows):
    """States from (deal, from day, to day or None, stage, status, account known)."""
    deal, start, end, stage, status, account = zip(*rows, strict=True)
    return States(
        ("a", "b"), np.array(deal), np.array(start) * DAY, np.array([np.nan if e is None else e * DAY for e in end]),
        np.array(stage, dtype=object), np.array(status, dtype=object), np.full(len(rows), 5.0), np.full(len(rows), np.nan),
        {"account_id": np.array(account)},
    )  # fmt: skip


def test_a_reopened_deal_counts_by_its_newest_state():
    found = history([
        (0, 1, 8, "p", "open", False), (0, 8, 20, "won", "won", True), (0, 20, None, "p", "open", True),
        (1, 2, 9, "p", "open", True), (1, 9, 10, "lost", "lost", True), (1, 10, None, "lost", "lost", True),
    ])  # fmt: skip
    closed = fates(found)
    assert np.isnan(closed.closed_at[0])
    assert closed.closed_at[1] == 9 * DAY
    assert list(closed.is_won) == [False, False]
    assert list(filled_at(found)["account_id"] / DAY) == [8.0, 2.0]


def test_neighbouring_microseconds_are_told_apart_however_many_deals():
    """Deal and instant do not fit into one float: 300,000 deals × 10^15 µs would round to minutes."""
    count, start = 300_000, 1_700_000_000_000_001.0
    deal = np.repeat(np.arange(count), 2)
    begins = np.tile([start, start + 1], count)
    found = States(
        tuple(map(str, range(count))), deal, begins, np.tile([start + 1, np.nan], count), np.full(2 * count, "p", object),
        np.full(2 * count, "open", object), np.full(2 * count, 5.0), np.full(2 * count, np.nan), {},
    )  # fmt: skip
    last = np.array([count - 1, count - 1, count - 1, 0])
    at = np.array([start - 1, start, start + 1, start])
    assert found.at(last, at).tolist() == [-1, 2 * count - 2, 2 * count - 1, 0]


def test_weeks_before_anything_could_close_are_left_out():
    opened = [(0, 1, 200, "p", "open", True), (0, 200, None, "won", "won", True)]
    assert first_close(history(opened)) == 200 * DAY
    assert first_close(history(opened[:1])) == -np.inf


def test_an_origin_learns_from_as_many_rows_as_there_would_have_been_then():
    random = np.random.default_rng(0)
    at = np.sort(np.r_[random.uniform(0, 100, 2_000), random.uniform(100, 400, 18_000)])
    order = random.random(len(at))
    share = Shares.of(at, 400.0, 4_000)
    kept = share.kept(order, at)
    assert 0.18 < share.now < 0.22
    for cut in share.cuts:
        there = at + 7 <= cut
        mine = there[kept] & (order[kept] < share.at(cut))
        assert abs(mine.sum() - min(4_000, there.sum())) < 200
    assert len(Shares.of(at, 400.0, None).kept(order, at)) == len(at)
