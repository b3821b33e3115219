"""Forecasts from outside: figures that add up by node, who sees which, judgements with their reasons, as of then."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from ml.forecast import DRAWS
from service import calendar, figures, forecast_inputs, forecasting, outlook
from service.access import SYSTEM
from service.db import Database
from service.domains import league
from service.settings import Settings
from service.worker import Worker
from tests.conftest import People, Person

pytestmark = pytest.mark.anyio

Client = AsyncTestClient[Litestar]


async def get(client: Client, who: Person, **params: str) -> Any:
    return await client.get("/forecasts", params=params, headers=who.headers)


async def seen(client: Client, who: Person, **params: str) -> dict[str, Any]:
    answer = await get(client, who, **params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def make(client: Client, who: Person, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/opportunities", json=fields, headers=who.headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def move(client: Client, who: Person, deal: dict[str, Any], **body: Any) -> None:
    answer = await client.post(
        f"/opportunities/{deal['id']}/stage", json=body, headers=who.headers | {"If-Match": "*"}
    )
    assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
async def period(database: Database) -> calendar.Period:
    return await calendar.period(database, None, datetime.now(UTC))


@pytest.fixture(scope="module")
async def deals(client: Client, people: People, period: calendar.Period, worker: Worker) -> dict[str, Any]:
    """Three people with deals of this quarter: one won, several open, one that closes in the next quarter."""
    closes = period.end_date.isoformat()
    later = (period.end_date + timedelta(days=20)).isoformat()
    made = {
        "won": await make(client, people.rep, name="Won", amount="1000.10", currency="USD", close_date=closes),
        "commit": await make(
            client, people.rep, name="Commit", amount="200.20", currency="USD", close_date=closes,
            forecast_category="commit",
        ),
        "best": await make(
            client, people.rep2, name="Best", amount="300.30", currency="USD", close_date=closes,
            forecast_category="best_case",
        ),
        "later": await make(client, people.rep2, name="Later", amount="900", currency="USD", close_date=later),
        "own": await make(client, people.manager, name="Own", amount="50", currency="USD", close_date=closes),
        "stranger": await make(client, people.stranger, name="Far", amount="7000", currency="USD", close_date=closes),
    }  # fmt: skip
    await move(client, people.rep, made["won"], to="won")
    await settle(worker)
    return made


async def settle(worker: Worker) -> None:
    """Runs what is due, the pause before a refresh included."""
    await worker.drain()
    await worker.database.execute("UPDATE jobs SET run_at = now() WHERE type = 'forecast.refresh'")
    await worker.drain()


async def test_a_rep_sees_their_own_figures(client: Client, people: People, deals: dict[str, Any]) -> None:
    mine = await seen(client, people.rep)
    assert mine["node"] == {"type": "user", "id": str(people.rep.id)}
    assert (mine["closed"], mine["commit"], mine["best_case"]) == ("1000.10", "200.20", "0.00")
    assert mine["currency"] == "USD"
    assert mine["children"] == []
    assert Decimal(mine["weighted"]) > Decimal(mine["closed"])


async def test_a_manager_sees_the_team_with_its_people(
    client: Client, people: People, deals: dict[str, Any]
) -> None:
    team = await seen(client, people.manager)
    assert team["node"]["type"] == "team"
    assert (team["closed"], team["commit"], team["best_case"]) == ("1000.10", "200.20", "300.30")
    names = {child["name"] for child in team["children"]}
    assert names == {"Manager", "Rep", "Rep2"}


async def test_who_sees_all_is_given_the_root(client: Client, people: People, deals: dict[str, Any]) -> None:
    for who in (people.admin, people.ops, people.data):
        found = await seen(client, who)
        assert found["name"] == "Sales"
        assert found["closed"] == "1000.10"
        assert {child["node"]["type"] for child in found["children"]} == {"team", "user"}


async def test_means_and_sums_of_children_add_up_to_the_cent(
    client: Client, people: People, deals: dict[str, Any], database: Database
) -> None:
    root = await seen(client, people.admin)
    for node in (root, await seen(client, people.manager)):
        for name in ("closed", "commit", "best_case", "pipeline", "omitted", "weighted"):
            assert Decimal(node[name]) == sum(Decimal(child[name]) for child in node["children"])
        for name in ("mean", "closed", "open", "to_be_created"):
            assert Decimal(node["ai"][name]) == sum(Decimal(child["ai"][name]) for child in node["children"])
        ai = node["ai"]
        parts = sum(Decimal(ai[name]) for name in ("closed", "open", "to_be_created"))
        assert Decimal(ai["mean"]) == parts
    assert Decimal(root["ai"]["open"]) > 0


async def test_every_draw_of_the_company_is_the_sum_of_its_leaves(
    database: Database, deals: dict[str, Any]
) -> None:
    rows = await database.fetch(
        "SELECT d.draws, d.open_cents, d.created_cents FROM forecast_draws d JOIN forecast_runs r ON r.id = d.run_id"
    )
    assert rows
    for row in rows:
        draws = np.frombuffer(row["draws"], "<i8")
        assert draws.shape == (DRAWS,)
        assert abs(draws.mean() - row["open_cents"] - row["created_cents"]) <= 2


async def test_bands_without_past_forecasts_say_why_they_are_missing(
    client: Client, people: People, deals: dict[str, Any]
) -> None:
    ai = (await seen(client, people.admin))["ai"]
    assert (ai["p10"], ai["p90"], ai["interval_coverage"], ai["n_periods"]) == (None, None, None, 0)
    assert "four past forecasts" in ai["reason"]
    assert ai["p50"] is not None


@pytest.mark.parametrize("name", ["rep2", "stranger", "manager"])
async def test_a_rep_does_not_find_anybody_else(
    client: Client, people: People, deals: dict[str, Any], name: str
) -> None:
    other: Person = getattr(people, name)
    assert (await get(client, people.rep, node=f"user:{other.id}")).status_code == 404


async def test_a_team_is_found_by_its_manager_alone(
    client: Client, people: People, deals: dict[str, Any]
) -> None:
    team = (await seen(client, people.manager))["node"]["id"]
    assert (await get(client, people.rep, node=f"team:{team}")).status_code == 404
    assert (await get(client, people.stranger, node=f"team:{team}")).status_code == 404
    assert (await get(client, people.admin, node=f"team:{team}")).status_code == 200
    assert (await get(client, people.manager, node=f"user:{people.rep.id}")).status_code == 200
    assert (await get(client, people.manager, node=f"user:{people.stranger.id}")).status_code == 404
    assert (await get(client, people.manager, node="company")).status_code == 404


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"node": "user:nobody"}, 400),
        ({"node": "planet:1"}, 400),
        ({"node": "user:00000000-0000-7000-8000-000000000000"}, 404),
        ({"period": "sometime"}, 400),
        ({"as_of": "yesterday"}, 400),
        ({"as_of": "2999-01-01T00:00:00Z"}, 400),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    client: Client, people: People, params: dict[str, str], status: int
) -> None:
    assert (await get(client, people.admin, **params)).status_code == status


async def test_another_period_has_other_deals(
    client: Client, people: People, deals: dict[str, Any], period: calendar.Period
) -> None:
    after = (await seen(client, people.rep2, period=_next_key(period)))["pipeline"]
    assert Decimal(after) == Decimal("900")


def _next_key(period: calendar.Period) -> str:
    day = period.end_date + timedelta(days=1)
    return calendar.period_of(calendar.Company(), day).key


async def test_a_period_that_is_over_holds_what_was_closed(client: Client, people: People) -> None:
    found = await seen(client, people.admin, period="2019Q1")
    ai = found["ai"]
    assert (ai["p10"], ai["p50"], ai["p90"], ai["mean"]) == ("0.00", "0.00", "0.00", "0.00")
    assert "over" in ai["reason"]


async def test_a_won_deal_moves_from_open_to_closed(
    client: Client, people: People, deals: dict[str, Any], period: calendar.Period, worker: Worker
) -> None:
    before = await seen(client, people.rep2)
    deal = await make(
        client, people.rep2, name="Quick", amount="40", currency="USD", close_date=period.end_date.isoformat()
    )
    await move(client, people.rep2, deal, to="won")
    await settle(worker)
    after = await seen(client, people.rep2)
    assert Decimal(after["closed"]) == Decimal(before["closed"]) + 40
    assert Decimal(after["ai"]["closed"]) == Decimal(before["ai"]["closed"]) + 40
    changed = await worker.database.fetchval(
        "SELECT count(*) FROM ledger.events WHERE kind = 'forecast.changed'"
    )
    assert changed >= 1


async def test_as_of_shows_what_was_known_then(
    client: Client, people: People, deals: dict[str, Any], period: calendar.Period, worker: Worker
) -> None:
    then = datetime.now(UTC)
    before = await seen(client, people.stranger)
    deal = await make(
        client,
        people.stranger,
        name="New",
        amount="77",
        currency="USD",
        close_date=period.end_date.isoformat(),
    )
    await move(client, people.stranger, deal, to="won")
    now = await seen(client, people.stranger)
    past = await seen(client, people.stranger, as_of=then.isoformat())
    assert Decimal(now["closed"]) == Decimal(before["closed"]) + 77
    assert past["closed"] == before["closed"]
    assert past["pipeline"] == before["pipeline"]
    assert datetime.fromisoformat(past["as_of"]) == then


async def test_quotas_attainment_and_their_sum(
    client: Client, people: People, deals: dict[str, Any], period: calendar.Period
) -> None:
    key = {"key": period.key, "type": "quarter"} | {
        "start_date": period.start_date.isoformat(), "end_date": period.end_date.isoformat()
    }  # fmt: skip
    made = await client.post("/periods", json=key, headers=people.ops.headers)
    found = await client.get("/periods", params={"key": period.key}, headers=people.ops.headers)
    period_id = made.json()["id"] if made.status_code == 201 else found.json()["items"][0]["id"]
    for who, amount in ((people.rep, "2000"), (people.rep2, "1000")):
        quota = {"period_id": period_id, "user_id": str(who.id), "amount": amount, "currency": "USD"}
        answer = await client.post("/quotas", json=quota, headers=people.ops.headers)
        assert answer.status_code == 201, answer.text
    mine = await seen(client, people.rep)
    assert mine["quota"] == "2000.00"
    assert mine["attainment"] == pytest.approx(0.50005)
    assert (await seen(client, people.manager))["quota"] == "3000.00"


async def test_a_submission_is_kept_and_the_newest_counts(
    client: Client, people: People, deals: dict[str, Any], period: calendar.Period
) -> None:
    for amount in ("100", "150.55"):
        body = {
            "period": period.key,
            "node": f"user:{people.rep.id}",
            "commit": amount,
            "note": "as I see it",
        }
        answer = await client.post("/forecasts", json=body, headers=people.rep.headers)
        assert answer.status_code == 201, answer.text
    assert (await seen(client, people.rep))["submission"]["commit"] == "150.55"
    there = await client.get(answer.headers["location"].removeprefix("/api/v1"), headers=people.rep.headers)
    assert there.json()["submission"]["note"] == "as I see it"


async def test_nobody_submits_for_others_or_nonsense(
    client: Client, people: People, period: calendar.Period
) -> None:
    body = {"period": period.key, "node": f"user:{people.rep.id}", "commit": "1"}
    post = client.post
    assert (await post("/forecasts", json=body, headers=people.rep2.headers)).status_code == 404
    for wrong in ({"commit": "-1"}, {"commit": "x"}, {"extra": 1}, {"node": 7}, {"period": 4}):
        answer = await post("/forecasts", json=body | wrong, headers=people.rep.headers)
        assert answer.status_code == 422, (wrong, answer.text)
        assert answer.json()["errors"]


async def test_an_override_needs_the_version_a_reason_and_a_manager(
    client: Client, people: People, deals: dict[str, Any], period: calendar.Period
) -> None:
    before = await get(client, people.manager, node=f"user:{people.rep.id}")
    body = {
        "period": period.key, "node": f"user:{people.rep.id}", "category": "commit", "amount": "999",
        "reason": "the customer called",
    }  # fmt: skip
    url, tag = "/forecasts/override", {"If-Match": before.headers["etag"]}
    assert (await client.post(url, json=body, headers=people.manager.headers)).status_code == 428
    assert (await client.post(url, json=body, headers=people.rep.headers | tag)).status_code == 403
    blank = await client.post(url, json=body | {"reason": " "}, headers=people.manager.headers | tag)
    assert blank.status_code == 422
    made = await client.post(url, json=body, headers=people.manager.headers | tag)
    assert made.status_code == 201, made.text
    assert (made.json()["original"], made.json()["amount"]) == ("200.20", "999.00")
    assert (await client.post(url, json=body, headers=people.manager.headers | tag)).status_code == 412
    after = await seen(client, people.manager, node=f"user:{people.rep.id}")
    assert after["commit"] == "999.00"
    assert after["overrides"]["commit"]["reason"] == "the customer called"


async def test_a_locked_period_takes_no_judgement(client: Client, people: People, database: Database) -> None:
    key = {"key": "2020Q1", "type": "quarter", "start_date": "2020-01-01", "end_date": "2020-03-31"}
    await client.post("/periods", json=key, headers=people.ops.headers)
    await _lock(database)
    body = {"period": "2020Q1", "node": f"user:{people.rep.id}", "commit": "1"}
    assert (await client.post("/forecasts", json=body, headers=people.rep.headers)).status_code == 409


async def _lock(database: Database) -> None:
    async with database.begin() as tx:
        await tx.execute("SELECT set_config('sales.event', gen_random_uuid()::text, TRUE)")
        await tx.execute("UPDATE periods SET status = 'locked', version = version + 1 WHERE key = '2020Q1'")


async def test_dates_of_the_fixture_are_of_this_quarter(period: calendar.Period) -> None:
    assert period.start_date <= date.today() <= period.end_date  # noqa: DTZ011  # the tests' company lives in UTC


LEAGUE_ROWS = [
    {
        "period": f"2025Q{quarter}", "node_type": "company", "node_id": None, "method": method, "days_before": 30,
        "as_of": "2025-01-01T00:00:00+00:00", "forecast": said, "low": low, "high": high, "actual": 100.0,
    }
    for quarter in (1, 2)
    for method, said, low, high in (("ai", 90.0, 80.0, 110.0), ("last_period", 150.0, None, None))
]  # fmt: skip


async def test_the_league_sums_up_past_forecasts(client: Client, people: People, database: Database) -> None:
    empty = await client.get("/forecasts/league", headers=people.ops.headers)
    assert empty.json()["items"] == []
    assert "sales league" in empty.json()["reason"]
    await league.keep(database, LEAGUE_ROWS)
    await league.keep(database, LEAGUE_ROWS)
    found = (await client.get("/forecasts/league", headers=people.data.headers)).json()
    assert found["periods"] == ["2025Q1", "2025Q2"]
    ai, last = found["items"]
    assert (ai["method"], ai["ape"], ai["bias"], ai["coverage"], ai["n"]) == ("ai", 0.1, -0.1, 1.0, 2)
    assert (last["method"], last["ape"], last["coverage"], last["interval_score"]) == (
        "last_period",
        0.5,
        None,
        None,
    )
    assert Decimal(ai["interval_score"]) == 30


async def test_the_league_is_not_for_reps_and_a_manager_sees_their_teams_alone(
    client: Client, people: People, database: Database
) -> None:
    await league.keep(database, LEAGUE_ROWS)
    assert (await client.get("/forecasts/league", headers=people.rep.headers)).status_code == 403
    seen_by_manager = (await client.get("/forecasts/league", headers=people.manager.headers)).json()
    assert seen_by_manager["items"] == []


async def test_a_run_drawn_again_from_the_same_is_the_same(
    database: Database, period: calendar.Period, deals: dict[str, Any]
) -> None:
    now = datetime.now(UTC)
    inputs = await forecast_inputs.gather(database, period, now, forecast_inputs.Evidence())
    first, second = forecasting.draw(period, inputs), forecasting.draw(period, inputs)
    np.testing.assert_array_equal(first.total, second.total)


async def test_bands_appear_once_past_forecasts_stand_behind_them(
    client: Client,
    people: People,
    database: Database,
    period: calendar.Period,
    deals: dict[str, Any],
    settings: Settings,
) -> None:
    now = datetime.now(UTC)
    proof = forecast_inputs.Evidence(
        n_origins=9, n_periods=3, coverage={"company": 0.8, "team": 0.75, "person": 0.7},
        interval_score={"company": 1000.0, "team": 500.0, "person": 300.0},
    )  # fmt: skip
    inputs = await forecast_inputs.gather(database, period, now, proof)
    run = figures.run_of(inputs, forecasting.draw(period, inputs))
    found, root = await outlook.read(database, settings, SYSTEM, None, None, None)
    found.run = run
    node = found.answer(root)
    ai = node["ai"]
    assert ai["p10"] <= ai["p50"] <= ai["p90"]
    assert (ai["interval_coverage"], ai["interval_score"], ai["reason"]) == (0.8, Decimal("1000.00"), None)
    person = next(child for team in node["children"] for child in [team] if child["node"]["type"] == "user")
    assert person["ai"]["interval_coverage"] == 0.7
    widths = [child["ai"]["p90"] - child["ai"]["p10"] for child in node["children"]]
    assert ai["p90"] - ai["p10"] <= sum(widths)
