"""Scores: made after a change, complete, adding up, told where they tell news, and never stored by a mere question."""

from typing import Any
from uuid import UUID

import pytest
from litestar.testing import AsyncTestClient

from service.access import HIDDEN
from service.db import Database
from service.worker import Worker
from tests.conftest import People

pytestmark = pytest.mark.anyio

DEAL_FIELDS = {
    "win_probability", "win_in_period_probability", "slip_probability", "likely_close_week", "amount_p10", "amount_p50",
    "amount_p90", "convert_30d_probability", "convert_60d_probability", "convert_90d_probability",
}  # fmt: skip


async def make_deal(client: AsyncTestClient, people: People, **fields: Any) -> dict[str, Any]:
    draft = {"name": "Deal", "amount": "10000", "currency": "USD", "close_date": "2030-03-01", **fields}
    made = await client.post("/opportunities", headers=people.rep.headers, json=draft)
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def score_of(client: AsyncTestClient, people: People, deal: dict[str, Any]) -> dict[str, Any]:
    answered = await client.get(f"/opportunities/{deal['id']}/score", headers=people.rep.headers)
    assert answered.status_code == 200, answered.text
    found: dict[str, Any] = answered.json()
    return found


def is_whole(score: dict[str, Any]) -> None:
    """What every score promises."""
    chance = (
        score["win_probability"]
        if score["entity_type"] == "opportunity"
        else score["convert_90d_probability"]
    )
    assert 0 < chance < 1
    assert score["score"] == min(99, max(1, round(100 * chance)))
    assert abs(score["base_value"] + sum(r["effect"] for r in score["reasons"]) - chance) < 1e-6
    assert len(score["reasons"]) >= 3
    assert score["reasons"][-1]["key"] == "other_factors"
    assert all((r["effect"] >= 0) == (r["direction"] == "up") for r in score["reasons"])
    for name in DEAL_FIELDS:
        assert (score[name] is None) == (name in score["missing"]), name
    assert set(score["gate"]) >= {"required", "present", "is_met"}
    assert set(score["calibration"]) == {"brier", "log_loss", "ece", "n"}
    assert score["watermark"] <= score["scored_at"]


async def test_a_new_deal_is_scored_and_the_news_is_told(
    client: AsyncTestClient, people: People, worker: Worker, database: Database
) -> None:
    deal = await make_deal(client, people)
    at_once = await score_of(client, people, deal)
    is_whole(at_once)
    assert at_once["id"] is None, "nothing is stored by a question"
    await worker.drain()
    score = await score_of(client, people, deal)
    is_whole(score)
    assert score["tier"] == "baseline"
    assert score["gate"]["is_met"] is False
    assert score["trend"] == "not_enough_information"
    assert score["is_stale"] is False
    events = await database.fetch(
        "SELECT data FROM ledger.events WHERE kind = 'opportunity.scored' AND entity_id = $1",
        UUID(deal["id"]),
    )
    assert [event["data"]["previous"]["score"] for event in events] == [None]


async def test_a_move_is_scored_anew(client: AsyncTestClient, people: People, worker: Worker) -> None:
    deal = await make_deal(client, people)
    await worker.drain()
    before = await score_of(client, people, deal)
    moved = await client.post(
        f"/opportunities/{deal['id']}/stage",
        headers=people.rep.headers | {"If-Match": "*"},
        json={"to": "negotiation"},
    )
    assert moved.status_code == 200, moved.text
    assert (await score_of(client, people, deal))["is_stale"] is True
    await worker.drain()
    after = await score_of(client, people, deal)
    is_whole(after)
    assert after["win_probability"] > before["win_probability"]
    listed = await client.get(f"/opportunities/{deal['id']}/score/history", headers=people.rep.headers)
    assert [item["score"] for item in listed.json()["items"]] == [after["score"], before["score"]]
    page = await client.get(f"/opportunities/{deal['id']}/score/history?limit=1", headers=people.rep.headers)
    rest = await client.get(
        f"/opportunities/{deal['id']}/score/history?limit=1&cursor={page.json()['next']}",
        headers=people.rep.headers,
    )
    assert [rest.json()["items"][0]["score"], rest.json()["next"]] == [before["score"], None]


async def test_an_edit_of_a_closed_deal_scores_nothing(
    client: AsyncTestClient, people: People, worker: Worker
) -> None:
    deal = await make_deal(client, people)
    await worker.drain()
    url = f"/opportunities/{deal['id']}"
    closed = await client.post(
        url + "/stage", headers=people.rep.headers | {"If-Match": "*"}, json={"to": "lost", "reason": "price"}
    )
    assert closed.status_code == 200, closed.text
    await worker.drain()
    last = await score_of(client, people, deal)
    await client.patch(url, headers=people.rep.headers, json={"description": "afterwards"})
    await worker.drain()
    again = await score_of(client, people, deal)
    assert again["id"] == last["id"]
    assert again["is_stale"] is False
    refused = await client.post(url + "/whatif", headers=people.rep.headers, json={"changes": {}})
    assert refused.status_code == 409


async def test_what_if_stores_nothing_and_tells_the_effect(
    client: AsyncTestClient, people: People, worker: Worker, database: Database
) -> None:
    deal = await make_deal(client, people)
    await worker.drain()
    count = await database.fetchval("SELECT count(*) FROM scores /* access:scores */")
    url = f"/opportunities/{deal['id']}/whatif"
    same = await client.post(url, headers=people.rep.headers, json={"changes": {}})
    assert same.status_code == 200, same.text
    is_whole(same.json())
    assert same.json()["forecast_effect"] == "0.00"
    stored = await score_of(client, people, deal)
    assert same.json()["win_probability"] == pytest.approx(stored["win_probability"])
    better = await client.post(url, headers=people.rep.headers, json={"changes": {"stage": "negotiation"}})
    is_whole(better.json())
    assert float(better.json()["forecast_effect"]) > 0
    later = await client.post(url, headers=people.rep.headers, json={"changes": {"close_date": None}})
    assert later.json()["missing"]["slip_probability"] == "the deal has no close date"
    assert await database.fetchval("SELECT count(*) FROM scores /* access:scores */") == count


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"stage": "nowhere"}, "/changes/stage"),
        ({"stage": "won"}, "/changes/stage"),
        ({"amount": "-1"}, "/changes/amount"),
        ({"colour": "red"}, "/changes/colour"),
        ({"close_date": "tomorrow"}, "/changes/close_date"),
        ({"account_id": "00000000-0000-0000-0000-000000000001"}, "/changes/account_id"),
    ],
)
async def test_a_bad_supposition_is_pointed_at(
    client: AsyncTestClient, people: People, changes: dict[str, Any], pointer: str
) -> None:
    deal = await make_deal(client, people)
    refused = await client.post(
        f"/opportunities/{deal['id']}/whatif", headers=people.rep.headers, json={"changes": changes}
    )
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == pointer


async def test_a_score_is_as_visible_as_its_deal(
    client: AsyncTestClient, people: People, worker: Worker
) -> None:
    deal = await make_deal(client, people)
    await worker.drain()
    for path in ("score", "score/history"):
        url = f"/opportunities/{deal['id']}/{path}"
        assert (await client.get(url, headers=people.manager.headers)).status_code == 200
        assert (await client.get(url, headers=people.stranger.headers)).status_code == 404
    url = f"/opportunities/{deal['id']}/whatif"
    assert (await client.post(url, headers=people.stranger.headers, json={"changes": {}})).status_code == 404


async def test_hidden_fields_are_other_factors(
    client: AsyncTestClient, people: People, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    deal = await make_deal(client, people)
    await worker.drain()
    keys = {reason["key"] for reason in (await score_of(client, people, deal))["reasons"]}
    assert "stage" in keys
    monkeypatch.setitem(HIDDEN, "opportunities", {"rep": frozenset({"stage"})})
    score = await score_of(client, people, deal)
    assert {reason["key"] for reason in score["reasons"]} == keys - {"stage"}
    assert (
        abs(score["base_value"] + sum(r["effect"] for r in score["reasons"]) - score["win_probability"])
        < 1e-6
    )
    assert "prospecting" not in str(score["reasons"])


async def test_a_lead_is_scored(client: AsyncTestClient, people: People, worker: Worker) -> None:
    made = await client.post(
        "/leads",
        headers=people.rep.headers,
        json={"company": "Acme", "lead_source": "web", "owner_id": str(people.rep.id)},
    )
    assert made.status_code == 201, made.text
    url = f"/leads/{made.json()['id']}/score"
    await worker.drain()
    score = (await client.get(url, headers=people.rep.headers)).json()
    is_whole(score)
    assert score["entity_type"] == "lead"
    assert (
        score["convert_30d_probability"]
        <= score["convert_60d_probability"]
        <= score["convert_90d_probability"]
    )
    assert (await client.get(url, headers=people.stranger.headers)).status_code == 404
