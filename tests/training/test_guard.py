"""A feature that knows the close is refused before anything learns, and the reason can be read."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from features.catalogue import SETS
from registry.verdict import REQUIRED_DEALS
from training import guard, judge, win
from training.dataset import deal_panel
from training.trained import Evidence

pytestmark = pytest.mark.anyio
MET = Evidence(REQUIRED_DEALS, dict.fromkeys(REQUIRED_DEALS, 1000000.0))


@pytest.fixture(scope="module")
async def deals(database, company):
    return await deal_panel(database.fetch, SETS["deal_win"], datetime.now(UTC))


def reasons(found, feature_set="deal_win"):
    return {one.column: one for one in guard.refused(found, SETS[feature_set])}


async def test_honest_features_pass(deals):
    # whom one lost or won against is written at the close, in the simulation as in life
    assert set(reasons(deals)) <= {"competitor_count", "competitor_present"}


async def test_a_column_that_is_filled_at_the_close_is_refused(deals):
    late = replace(deals, filled_at=deals.filled_at | {"account_id": deals.fates.closed_at})
    found = reasons(late)
    assert {"account_industry", "account_win_rate"} <= set(found)
    assert "got its value at the close" in found["account_industry"].reason


async def test_a_value_that_knows_the_outcome_is_refused(deals):
    won = deals.fates.won[deals.panel.deal].astype(float)
    noise = np.random.default_rng(0).random(len(won)) * 0.1
    planted = replace(
        deals, panel=replace(deals.panel, frame=deals.panel.frame.replaced({"discount": won + noise}))
    )
    assert "discount alone tells the outcome" in reasons(planted)["discount"].reason


async def test_a_column_that_is_missing_only_where_deals_are_lost_is_refused(deals):
    won = deals.fates.won[deals.panel.deal]
    planted = replace(
        deals,
        panel=replace(
            deals.panel, frame=deals.panel.frame.replaced({"discount": np.where(won, 1.0, np.nan)})
        ),
    )
    assert "Whether discount is filled in tells the outcome" in reasons(planted)["discount"].reason


async def test_a_model_that_is_too_good_may_not_serve(deals):
    """A leak that no single column shows by itself still ends at the gate."""
    rows = win.judged_rows(deals, deals.panel.end - 2 * judge.STRETCH)
    judged = win.judged_of(deals, rows)
    said = {name: np.clip(came, 0.02, 0.98) for name, came in judged.outcome.items()}
    gates = judge.gates(judged, "won_90d", said, {"logistic": 0.02}, "logistic", None)
    failed = [gate.words for gate in gates if not gate.passed]
    assert failed == [f"AUC 1.000 on {judged.known['won_90d'].sum()} later rows; above 0.97 is a leak"]


async def test_with_little_data_the_baseline_serves_and_says_what_is_missing(deals):
    few = Evidence(
        REQUIRED_DEALS,
        {"closed_won": 12, "closed_lost": 40, "months_of_history": 3, "stage_history_share": 1.0},
    )
    candidates = win.learn(deals, SETS["deal_win"], datetime.now(UTC), evidence=few, workers=1)
    assert [one.tier for one in candidates] == ["baseline"]
    assert candidates[0].evidence.document()["is_met"] is False
    assert candidates[0].evidence.document()["present"]["closed_won"] == 12


async def test_nothing_is_learned_from_nothing(deals):
    empty = replace(deals, panel=deals.panel.take(np.zeros(0, np.int64)), amount=np.zeros(0))
    assert win.learn(empty, SETS["deal_win"], datetime.now(UTC), evidence=MET) == []
