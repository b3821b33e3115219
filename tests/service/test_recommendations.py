"""What is proposed, what forbids it, how often chance decides, and what people's answers do."""

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from service import plays
from service.db import Database
from service.domains.recommendations import step
from service.errors import Conflict
from service.plays import Card, Play, Situation
from service.recommending import POLICY
from service.worker import Worker
from tests.conftest import People
from tests.service.test_search import pipeline, post

__all__ = ["pipeline"]
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def situation(**known: Any) -> Situation:
    """A healthy deal in the middle, of which nothing is left to say but to keep in touch."""
    plain = {
        "id": UUID(int=1),
        "record": {"stage": "proposal", "amount": "1000", "pipeline_id": None},
        "now": NOW,
        "today": NOW.date(),
        "stage": "proposal",
        "stage_name": "Proposal",
        "progress": 0.5,
        "stage_since": NOW - timedelta(days=3),
        "rotting_days": None,
        "close_date": date(2026, 7, 1),
        "amount": 1000.0,
        "chance": 0.2,
        "last_touch": NOW - timedelta(days=3),
        "last_of_type": {"demo": NOW - timedelta(days=3)},
        "has_meeting_ahead": True,
        "roles": frozenset({"economic_buyer", "champion"}),
        "people": 3,
    }
    return Situation(**(plain | known))


def actions(**known: Any) -> list[str]:
    return [candidate.action for candidate in plays.candidates(situation(**known))]


def test_a_healthy_deal_is_only_kept_in_touch_with() -> None:
    assert actions() == ["call"]


@pytest.mark.parametrize(
    ("known", "first"),
    [
        ({"close_date": date(2026, 5, 20)}, "correct_close_date"),
        ({"owner_is_active": False}, "hand_over"),
        ({"last_touch": NOW - timedelta(days=40)}, "re_engage"),
        ({"last_touch": NOW - timedelta(days=11), "rotting_days": 10}, "re_engage"),
        ({"last_touch": NOW - timedelta(days=90), "chance": 0.02}, "disqualify"),
        ({"cards": (Card(UUID(int=7), "Acme"),)}, "send_battle_card"),
        ({"roles": frozenset({"champion"})}, "add_stakeholder"),
        ({"roles": frozenset({"economic_buyer"})}, "add_stakeholder"),
        ({"chance": 0.6}, "send_proposal"),
        ({"chance": 0.6, "progress": 1.0}, "mutual_action_plan"),
        ({"amount": 9e6, "large": 1e6}, "executive_sponsor"),
        ({"has_meeting_ahead": False}, "meeting"),
        ({"last_of_type": {}}, "demo"),
        ({"pushes": 3, "progress": 1.0, "chance": 0.1}, "offer"),
    ],
)
def test_what_speaks_for_an_action(known: dict[str, Any], first: str) -> None:
    found = plays.candidates(situation(**known))
    assert found[0].action == first
    assert found[0].reason
    assert found[0].title


def test_the_battle_card_is_named() -> None:
    [card, *_] = plays.candidates(situation(cards=(Card(UUID(int=7), "Acme"),)))
    assert card.battle_card_id == UUID(int=7)
    assert "Acme" in card.reason


def test_who_opted_out_is_not_mailed_and_who_must_not_be_called_is_not() -> None:
    silent = {"last_touch": NOW - timedelta(days=10)}
    assert {"call", "email"} <= set(actions(**silent))
    assert "email" not in actions(**silent, may_mail=False)
    assert "call" not in actions(**silent, may_call=False)
    gone = {"last_touch": NOW - timedelta(days=50)}
    assert "re_engage" in actions(**gone, may_mail=False)
    assert "re_engage" not in actions(**gone, may_mail=False, may_call=False)


def test_what_was_just_done_or_refused_rests() -> None:
    assert "call" not in actions(rested={"call": NOW + timedelta(days=1)})
    assert "call" in actions(rested={"call": NOW - timedelta(days=1)})
    assert "call" not in actions(last_of_type={"call": NOW - timedelta(days=1), "demo": NOW})


def test_a_long_list_gets_only_what_is_urgent() -> None:
    late = {"close_date": date(2026, 5, 20), "owner_has_open": plays.LONG_LIST}
    assert actions(**late) == ["correct_close_date"]


def test_a_playbook_speaks_where_its_stage_and_criteria_fit() -> None:
    play = Play(
        id=UUID(int=3),
        name="Proposal play",
        pipeline_id=None,
        stage="proposal",
        criteria=[{"field": "amount", "op": "gte", "value": "500"}],
        steps=[
            {"action": "meeting", "title": "Walk through it", "position": 1},
            {"action": "sing", "title": "x"},
        ],
    )
    [first, *_] = plays.candidates(situation(plays=(play,)))
    assert (first.action, first.title, first.rule) == ("meeting", "Walk through it", f"playbook:{play.id}")
    assert "Proposal play" in first.reason
    for other in (
        msgspec.structs.replace(play, stage="negotiation"),
        msgspec.structs.replace(play, criteria=[{"field": "amount", "op": "gt", "value": "1000"}]),
        msgspec.structs.replace(play, pipeline_id=UUID(int=9)),
        msgspec.structs.replace(play, stage=None, criteria=[]),
        msgspec.structs.replace(play, steps=[{"action": "disqualify", "title": "Give it up"}]),
    ):
        assert plays.candidates(situation(plays=(other,)))[0].action == "call"


def test_chance_decides_as_often_as_the_logged_propensities_say() -> None:
    found = plays.candidates(situation(close_date=date(2026, 5, 20), has_meeting_ahead=False, chance=0.6))
    draw = random.Random(1)
    decisions = [plays.decide(found, draw, 0.3) for _ in range(20_000)]
    firsts = Counter(decision.chosen[0].action for decision in decisions)
    propensities = decisions[0].propensities
    assert sum(propensities.values()) == pytest.approx(1)
    for action, chance in propensities.items():
        assert firsts[action] / 20_000 == pytest.approx(chance, abs=0.015), action
    assert all(d.explored == (d.chosen[0] != found[0]) for d in decisions)
    assert plays.decide(found, draw, 0.0).chosen[0] == found[0]
    assert plays.decide([], draw).chosen == []


def test_verbs_move_once() -> None:
    assert step("open", "done")
    assert step("snoozed", "dismissed")
    assert not step("done", "done")
    assert step("snoozed", "snoozed")
    for closed in ("done", "dismissed", "expired"):
        with pytest.raises(Conflict):
            step(closed, "snoozed")


# Through the service -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def deal(
    client: httpx.AsyncClient, people: People, pipeline: dict[str, Any], worker: Worker
) -> dict[str, Any]:
    made = await post(
        client,
        people.rep,
        "/opportunities",
        name="Overdue",
        amount="1000",
        currency="USD",
        close_date="2020-01-31",
    )
    await worker.drain()
    return made


async def proposed(
    client: httpx.AsyncClient, who: Any, deal: dict[str, Any], **query: str
) -> list[dict[str, Any]]:
    answer = await client.get(
        f"/opportunities/{deal['id']}/recommendations", params=query, headers=who.headers
    )
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@pytest.mark.anyio
async def test_a_new_deal_is_told_what_to_do(
    client: httpx.AsyncClient, people: People, deal: dict[str, Any], database: Database
) -> None:
    items = await proposed(client, people.rep, deal)
    assert "correct_close_date" in {item["action"] for item in items}
    assert [item["rank"] for item in items] == list(range(1, len(items) + 1))
    for item in items:
        assert item["source"] in ("rule", "exploration")
        assert item["expected_lift"] is None
        assert set(item["missing"]) == {"expected_lift", "lift_low", "lift_high", "expected_value"}
    told = await database.fetchval("SELECT count(*) FROM ledger.events WHERE kind = 'recommendation.created'")
    assert told >= len(items)
    logged = await database.fetchrow("SELECT * FROM action_log WHERE opportunity_id = $1", UUID(deal["id"]))
    assert logged["policy"] == POLICY
    assert sum(logged["candidates"].values()) == pytest.approx(1)
    assert logged["propensity"] == pytest.approx(logged["candidates"][logged["action"]])


@pytest.mark.anyio
async def test_looking_again_changes_nothing(
    client: httpx.AsyncClient, people: People, deal: dict[str, Any], worker: Worker
) -> None:
    before = await proposed(client, people.rep, deal)
    await client.patch(f"/opportunities/{deal['id']}", json={"next_step": "call"}, headers=people.rep.headers)
    await worker.drain()
    assert [i["id"] for i in await proposed(client, people.rep, deal)] == [i["id"] for i in before]


@pytest.mark.anyio
async def test_only_who_sees_the_deal_sees_its_actions(
    client: httpx.AsyncClient, people: People, deal: dict[str, Any]
) -> None:
    [first, *_] = await proposed(client, people.manager, deal)
    path = f"/opportunities/{deal['id']}/recommendations"
    assert (await client.get(path, headers=people.stranger.headers)).status_code == 404
    listed = (await client.get("/recommendations", headers=people.stranger.headers)).json()["items"]
    assert listed == []
    for verb in ("done", "dismiss", "snooze"):
        answer = await client.post(f"/recommendations/{first['id']}/{verb}", headers=people.stranger.headers)
        assert answer.status_code == 404
        answer = await client.post(f"/recommendations/{first['id']}/{verb}", headers=people.data.headers)
        assert answer.status_code == 403


@pytest.mark.anyio
async def test_feedback(
    client: httpx.AsyncClient, people: People, deal: dict[str, Any], worker: Worker, database: Database
) -> None:
    headers = people.rep.headers
    by_action = {item["action"]: item for item in await proposed(client, people.rep, deal)}
    call, close = by_action.get("call") or by_action["add_stakeholder"], by_action["correct_close_date"]
    snoozed = await client.post(f"/recommendations/{call['id']}/snooze", json={"days": 3}, headers=headers)
    assert snoozed.json()["status"] == "snoozed"
    body = {"reason": "They asked for time"}
    first = await client.post(f"/recommendations/{close['id']}/dismiss", json=body, headers=headers)
    second = await client.post(f"/recommendations/{close['id']}/dismiss", json=body, headers=headers)
    assert first.json() == second.json()
    assert first.json()["status"] == "dismissed"
    assert first.json()["feedback_reason"] == "They asked for time"
    told = "SELECT count(*) FROM ledger.events WHERE kind = 'recommendation.dismissed' AND entity_id = $1"
    assert await database.fetchval(told, UUID(close["id"])) == 1
    assert (await client.post(f"/recommendations/{close['id']}/done", headers=headers)).status_code == 409
    for odd in ({"days": 0}, {"until": "2020-01-01T00:00:00Z"}, {"until": "2099-01-01T00:00:00Z"}, {"to": 1}):
        answer = await client.post(f"/recommendations/{call['id']}/snooze", json=odd, headers=headers)
        assert answer.status_code == 422, odd
    await client.patch(f"/opportunities/{deal['id']}", json={"next_step": "wait"}, headers=headers)
    await worker.drain()
    left = {item["action"] for item in await proposed(client, people.rep, deal)}
    assert left.isdisjoint({"correct_close_date", call["action"]})
    await database.execute(
        "UPDATE recommendations SET snoozed_until = now() - interval '1 second' WHERE id = $1"
        " /* access:recommendations */",
        UUID(call["id"]),
    )
    await client.patch(f"/opportunities/{deal['id']}", json={"next_step": "go"}, headers=headers)
    await worker.drain()
    assert call["id"] in {item["id"] for item in await proposed(client, people.rep, deal)}
    earlier = await proposed(client, people.rep, deal, status="dismissed")
    assert [item["id"] for item in earlier] == [close["id"]]


@pytest.mark.anyio
async def test_done_is_done_once_and_a_closed_deal_wants_nothing(
    client: httpx.AsyncClient, people: People, pipeline: dict[str, Any], worker: Worker
) -> None:
    deal = await post(
        client,
        people.rep,
        "/opportunities",
        name="Soon won",
        amount="5",
        currency="USD",
        close_date="2020-01-31",
    )
    await worker.drain()
    [first, *rest] = await proposed(client, people.rep, deal)
    key = people.rep.headers | {"Idempotency-Key": "once"}
    one = await client.post(f"/recommendations/{first['id']}/done", json={}, headers=key)
    two = await client.post(f"/recommendations/{first['id']}/done", json={}, headers=key)
    assert one.status_code == two.status_code == 200
    assert one.content == two.content
    assert rest
    await client.post(
        f"/opportunities/{deal['id']}/stage",
        json={"to": "won"},
        headers=people.rep.headers | {"If-Match": "*"},
    )
    await worker.drain()
    assert await proposed(client, people.rep, deal) == []
    everything = await proposed(client, people.rep, deal, status="all")
    assert {item["status"] for item in everything} == {"done", "expired"}
