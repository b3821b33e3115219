"""A feature that knows the close is refused before anything learns, and the reason can be read."""

from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import numpy as np
import pytest

from features.catalogue import SETS, learned_on, widened
from features.custom import Declared
from ml.frame import Frame
from registry.verdict import REQUIRED_DEALS
from training import guard, judge, win
from training.dataset import deal_panel, idle
from training.run import manifest_of
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
    won = deals.fates.is_won[deals.panel.deal].astype(float)
    noise = np.random.default_rng(0).random(len(won)) * 0.1
    planted = replace(
        deals, panel=replace(deals.panel, frame=deals.panel.frame.replaced({"discount": won + noise}))
    )
    assert "discount alone tells the outcome" in reasons(planted)["discount"].reason


async def test_a_column_that_is_missing_only_where_deals_are_lost_is_refused(deals):
    won = deals.fates.is_won[deals.panel.deal]
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


# --- planted, under names that say nothing ------------------------------------------------------------------------

HONEST_BUT_LATE = {"competitor_count", "competitor_present"}
"""Written at the close in the simulation, as in life: the guard may refuse them."""


def planted(deals, seed):
    """The company's looks, all columns renamed at random, with eight leaks among them; (looks, kind → name)."""
    random = np.random.default_rng(seed)
    panel = deals.panel
    closed, won = deals.row_closed_at, deals.fates.is_won[panel.deal].astype(float)
    ended = np.where(np.isfinite(closed), closed, np.nan)
    order = np.lexsort((panel.at, panel.deal))
    first = np.zeros(len(panel), bool)
    first[order[np.append(True, panel.deal[order][1:] != panel.deal[order][:-1])]] = True
    noise = random.normal(size=len(panel.deal))
    own = random.normal(size=panel.deal.max() + 1)[panel.deal]
    other = random.normal(size=panel.deal.max() + 1)[panel.deal]
    amount = np.exp(9 + own)
    flipped = np.where(random.random(panel.deal.max() + 1)[panel.deal] < 0.07, 1 - won, won)
    leaks = {
        "value": 3 * won + noise,
        "value without order": np.where(won > 0, np.sign(noise) * (4 + np.abs(noise)), noise),
        "missingness": np.where(won > 0, noise, np.nan),
        "ratio": np.where(first, amount, amount * np.where(won > 0, 0.9, 1.0)),
        "late fill": np.where(ended - panel.at <= 7, other, np.nan),
        "proxy": flipped + 0.01 * noise,
        "double": np.exp(3 * won + noise) * 100,
        "word": np.where(won > 0, 0.0, 1.0),
    }
    columns = {name: panel.frame.column(name) for name in panel.frame.columns if name not in HONEST_BUT_LATE}
    names = [f"c{number:x}" for number in random.permutation(10_000)[: len(columns) + len(leaks)]]
    called = dict(zip([*columns, *leaks], names, strict=True))
    shuffled = random.permutation(list(called))
    every = {called[one]: {**columns, **leaks}[one] for one in shuffled}
    words = {called[one]: of for one, of in panel.frame.words.items() if one in columns} | {
        called["word"]: ("a", "b")
    }
    looks = guard.Looks(Frame.of(every, words), panel.deal, panel.at, won, ended, panel.stage)
    return looks, {kind: called[kind] for kind in leaks}


@pytest.mark.parametrize("seed", range(4))
async def test_leaks_are_found_whatever_they_are_called_and_honest_columns_pass(deals, seed):
    looks, leaks = planted(deals, seed)
    found = {one.column: one for one in guard.inspected(looks)}
    assert {kind for kind, name in leaks.items() if name not in found} == set()
    assert set(found) == set(leaks.values()), {name: found[name].reason for name in found}
    assert all(one.reason.endswith(".") and one.column in one.reason for one in found.values())
    checks = {kind: found[name].check for kind, name in leaks.items()}
    assert checks == {
        "value": "value", "value without order": "value", "missingness": "missingness", "ratio": "ratio",
        "late fill": "availability", "proxy": checks["proxy"], "double": "value", "word": "value",
    }  # fmt: skip
    assert checks["proxy"] in ("proxy", "value")


# --- custom fields -------------------------------------------------------------------------------------------------


async def test_custom_fields_are_learned_from_unless_they_know_the_outcome(
    database, company, servers, database_name
):
    """One honest field, one that is filled in at the close, one that nobody fills in; planted in history."""
    owner = await asyncpg.connect(servers.owner_url(database_name))
    try:
        await owner.execute(
            "UPDATE history.opportunities SET cf = jsonb_build_object('seats', 1 + hashtext(id::text) % 7)"
            " || CASE WHEN status = 'open' THEN '{}'::jsonb ELSE jsonb_build_object('verdict', status) END"
        )
    finally:
        await owner.close()
    fields = tuple(
        Declared(entity="opportunity", key=key, label=key, type=kind)
        for key, kind in (("seats", "number"), ("verdict", "select"), ("unused", "date"))
    )
    learned = widened(SETS["deal_win"], fields)
    found = await deal_panel(database.fetch, learned, datetime.now(UTC))
    told = {one.column: one for one in guard.refused(found, learned)}
    assert "got its value at the close" in told["opportunity_cf_verdict"].reason
    assert "opportunity_cf_seats" not in told
    kept = found.without([*told, *idle(found, learned)])
    assert "opportunity_cf_seats" in kept.panel.frame.columns
    assert "opportunity_cf_unused" not in kept.panel.frame.columns
    few = Evidence(
        REQUIRED_DEALS,
        {"closed_won": 12, "closed_lost": 40, "months_of_history": 3, "stage_history_share": 1},
    )
    (trained,) = win.learn(kept, learned, datetime.now(UTC), evidence=few, workers=1)
    manifest = manifest_of(trained, 1)
    assert [one.key for one in manifest.declared] == ["seats"]
    again = learned_on("deal_win", manifest.definitions, manifest.declared)
    assert again["opportunity_cf_seats"].declared.label == "seats"
