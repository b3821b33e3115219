"""Deals: how they begin, move, close and open again, and what stays of it."""

from typing import Any

import httpx
import pytest

from service.db import Database
from tests.conftest import People, Person

pytestmark = pytest.mark.anyio
ANY = {"If-Match": "*"}


async def _deal(client: httpx.AsyncClient, person: Person, **members: Any) -> dict[str, Any]:
    answer = await client.post("/opportunities", headers=person.headers, json={"name": "Deal"} | members)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _move(
    client: httpx.AsyncClient, person: Person, deal: dict[str, Any], **body: Any
) -> httpx.Response:
    return await client.post(f"/opportunities/{deal['id']}/stage", headers=person.headers | ANY, json=body)


async def _kinds(database: Database, deal: dict[str, Any]) -> list[str]:
    rows = await database.fetch(
        "SELECT kind FROM ledger.events WHERE entity_id = $1::uuid AND door <> 'job' ORDER BY position",
        deal["id"],
    )
    return [row["kind"] for row in rows]


async def test_a_deal_begins_with_its_creator_in_the_first_stage(
    client: httpx.AsyncClient, people: People
) -> None:
    deal = await _deal(client, people.rep, amount="1000.50", close_date="2027-03-31")
    assert deal["owner_id"] == str(people.rep.id)
    assert (deal["stage"], deal["status"], deal["probability"]) == ("prospecting", "open", 0.1)
    assert (deal["forecast_category"], deal["forecast_category_source"]) == ("pipeline", "stage")
    assert (deal["currency"], deal["amount"], deal["amount_home"]) == ("USD", "1000.5000", "1000.5000")
    assert deal["expected_revenue"] == "100.0500"
    assert deal["push_count"] == 0
    assert deal["last_activity_at"] is None


async def test_moving_sets_what_follows_from_the_stage(client: httpx.AsyncClient, people: People) -> None:
    deal = await _deal(client, people.rep, amount=1000)
    moved = (await _move(client, people.rep, deal, to="negotiation")).json()
    assert (moved["stage"], moved["probability"], moved["forecast_category"]) == (
        "negotiation",
        0.7,
        "commit",
    )
    assert moved["expected_revenue"] == "700.0000"
    assert moved["stage_entered_at"] > deal["stage_entered_at"]
    assert moved["version"] == 2


async def test_a_move_needs_the_version_that_was_seen(client: httpx.AsyncClient, people: People) -> None:
    deal = await _deal(client, people.rep)
    url = f"/opportunities/{deal['id']}/stage"
    assert (await client.post(url, headers=people.rep.headers, json={"to": "proposal"})).status_code == 428
    stale = await client.post(url, headers=people.rep.headers | {"If-Match": '"9"'}, json={"to": "proposal"})
    assert stale.status_code == 412
    fresh = await client.post(url, headers=people.rep.headers | {"If-Match": '"1"'}, json={"to": "proposal"})
    assert fresh.status_code == 200
    assert fresh.headers["etag"] == '"2"'


async def test_winning_closes_and_says_so_once(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    deal = await _deal(client, people.rep, amount=10)
    won = (await _move(client, people.rep, deal, to="won", note="Signed at last")).json()
    assert (won["status"], won["forecast_category"], won["probability"]) == ("won", "closed", 1.0)
    assert won["closed_at"] is not None
    assert won["closed_on"] == won["closed_at"][:10]
    assert won["closed_note"] == "Signed at last"
    assert await _kinds(database, deal) == ["opportunity.created", "opportunity.stage_changed", "deal.won"]
    again = await _move(client, people.manager, deal, to="won")
    assert again.status_code == 409
    assert (await _kinds(database, deal)).count("deal.won") == 1


async def test_a_loss_needs_its_reason(client: httpx.AsyncClient, people: People) -> None:
    rival = await client.post("/competitors", headers=people.ops.headers, json={"name": "Rival"})
    deal = await _deal(client, people.rep)
    bare = await _move(client, people.rep, deal, to="lost")
    assert bare.status_code == 422
    assert bare.json()["errors"][0]["pointer"] == "/reason"
    lost = await _move(
        client, people.rep, deal, to="lost", reason="competitor", competitor_id=rival.json()["id"]
    )
    assert lost.json()["loss_reason"] == "competitor"
    assert lost.json()["competitor_id"] == rival.json()["id"]
    assert lost.json()["forecast_category"] == "omitted"


async def test_a_reason_belongs_to_a_loss_and_a_stage_to_the_pipeline(
    client: httpx.AsyncClient, people: People
) -> None:
    deal = await _deal(client, people.rep)
    for body, pointer in (
        ({"to": "proposal", "reason": "price"}, "/reason"),
        ({"to": "nowhere"}, "/to"),
        ({"to": "lost", "reason": "bad luck"}, "/reason"),
        ({"to": "won", "competitor_id": str(people.rep.id)}, "/competitor_id"),
        ({"to": "won", "pipeline_id": str(people.rep.id)}, "/pipeline_id"),
        ({"to": "won", "stage": "won"}, "/stage"),
    ):
        answer = await _move(client, people.rep, deal, **body)
        assert answer.status_code == 422, (body, answer.text)
        assert answer.json()["errors"][0]["pointer"] == pointer
    unmoved = await client.get(f"/opportunities/{deal['id']}", headers=people.rep.headers)
    assert unmoved.json()["version"] == 1


async def test_only_managers_reopen(client: httpx.AsyncClient, people: People) -> None:
    deal = await _deal(client, people.rep, forecast_category="best_case")
    await _move(client, people.rep, deal, to="lost", reason="price", note="too dear")
    assert (await _move(client, people.rep, deal, to="proposal")).status_code == 403
    opened = (await _move(client, people.manager, deal, to="proposal")).json()
    assert (opened["status"], opened["closed_at"], opened["closed_on"]) == ("open", None, None)
    assert (opened["loss_reason"], opened["closed_note"]) == (None, None)
    assert (opened["forecast_category"], opened["forecast_category_source"]) == ("best_case", "stage")


async def test_exit_criteria_are_named_when_they_are_missed(
    client: httpx.AsyncClient, people: People
) -> None:
    pipeline = (
        await client.post("/pipelines", headers=people.ops.headers, json={"key": "strict", "name": "Strict"})
    ).json()["id"]
    asks = [
        {"field": "amount", "op": "gte", "value": 1000},
        {"field": "next_step", "op": "is_null", "value": False},
    ]
    for position, (key, status, chance, category, criteria) in enumerate(
        [
            ("talk", "open", 0.2, "pipeline", asks[:1]),
            ("offer", "open", 0.5, "best_case", asks[1:]),
            ("won", "won", 1, "closed", []),
            ("lost", "lost", 0, "omitted", []),
        ]
    ):
        stage = {
            "pipeline_id": pipeline,
            "key": key,
            "name": key.title(),
            "position": position,
            "status": status,
        }
        stage |= {"probability": chance, "forecast_category": category, "exit_criteria": criteria}
        made = await client.post("/stages", headers=people.ops.headers, json=stage)
        assert made.status_code == 201, made.text
    deal = await _deal(client, people.rep, pipeline_id=pipeline, amount=999)
    skipping = await _move(client, people.rep, deal, to="won")
    assert skipping.status_code == 409
    assert [error["pointer"] for error in skipping.json()["errors"]] == ["/amount", "/next_step"]
    assert "Talk asks for amount at least 1000" in skipping.json()["detail"]
    await client.patch(f"/opportunities/{deal['id']}", headers=people.rep.headers, json={"amount": 1000})
    assert (await _move(client, people.rep, deal, to="offer")).status_code == 200
    assert (await _move(client, people.rep, deal, to="talk")).status_code == 200, (
        "going back asks for nothing"
    )
    assert (await _move(client, people.rep, deal, to="lost", reason="price")).status_code == 200


async def test_a_persons_forecast_category_survives_moves(client: httpx.AsyncClient, people: People) -> None:
    deal = await _deal(client, people.rep)
    url = f"/opportunities/{deal['id']}"
    chosen = await client.patch(url, headers=people.rep.headers, json={"forecast_category": "commit"})
    assert chosen.json()["forecast_category_source"] == "user"
    moved = (await _move(client, people.rep, deal, to="qualification")).json()
    assert (moved["forecast_category"], moved["forecast_category_source"]) == ("commit", "user")
    closed = await client.patch(url, headers=people.rep.headers, json={"forecast_category": "closed"})
    assert closed.status_code == 422
    back = await client.patch(url, headers=people.rep.headers, json={"forecast_category": None})
    assert (back.json()["forecast_category"], back.json()["forecast_category_source"]) == (
        "pipeline",
        "stage",
    )


async def test_history_tells_changes_pushes_and_stages(client: httpx.AsyncClient, people: People) -> None:
    deal = await _deal(client, people.rep, close_date="2027-01-31")
    url = f"/opportunities/{deal['id']}"
    for day in ("2027-02-28", "2027-02-01", "2027-04-30"):
        changed = await client.patch(url, headers=people.rep.headers, json={"close_date": day})
    assert changed.json()["push_count"] == 2
    await _move(client, people.rep, deal, to="proposal")
    await _move(client, people.rep, deal, to="qualification")
    told = (await client.get(url + "/history", headers=people.rep.headers)).json()
    assert [item["version"] for item in told["items"]] == [6, 5, 4, 3, 2, 1]
    assert told["items"][-2]["changes"] == [{"field": "close_date", "old": "2027-01-31", "new": "2027-02-28"}]
    assert told["items"][0]["kind"] == "opportunity.stage_changed"
    assert told["items"][0]["actor_id"] == str(people.rep.id)
    assert [(visit["stage"], visit["direction"]) for visit in told["stages"]] == [
        ("qualification", "back"), ("proposal", "forward"), ("prospecting", "start"),
    ]  # fmt: skip
    assert told["stages"][0]["left_at"] is None
    assert told["stages"][1]["seconds"] > 0
    unseen = await client.get(url + "/history", headers=people.stranger.headers)
    assert unseen.status_code == 404


async def test_last_activity_is_the_last_that_happened(client: httpx.AsyncClient, people: People) -> None:
    deal = await _deal(client, people.rep)
    for at, status in (("2026-01-05T10:00:00Z", "completed"), ("2026-02-05T10:00:00Z", "canceled")):
        body = {"type": "call", "occurred_at": at, "status": status, "opportunity_id": deal["id"]}
        assert (await client.post("/activities", headers=people.rep.headers, json=body)).status_code == 201
    body = {"type": "meeting", "occurred_at": "2099-01-01T10:00:00Z", "opportunity_id": deal["id"]}
    planned = await client.post("/activities", headers=people.rep.headers, json=body)
    assert planned.json()["status"] == "planned"
    seen = (await client.get(f"/opportunities/{deal['id']}", headers=people.rep.headers)).json()
    assert seen["last_activity_at"].startswith("2026-01-05T10:00:00")


async def test_derived_fields_as_of_an_instant_are_those_of_then(
    client: httpx.AsyncClient, people: People
) -> None:
    headers = people.rep.headers
    deal = await _deal(client, people.rep, close_date="2027-01-31")
    url = f"/opportunities/{deal['id']}"
    body = {"type": "call", "occurred_at": "2026-01-05T10:00:00Z", "opportunity_id": deal["id"]}
    assert (await client.post("/activities", headers=headers, json=body)).status_code == 201
    await client.patch(url, headers=headers, json={"close_date": "2027-02-28"})
    items = (await client.get(url + "/history", headers=headers)).json()["items"]
    for known, pushes, called in ((items[0], 1, True), (items[1], 0, False)):
        at = known["known_from"].replace("+00:00", "Z")
        one = (await client.get(f"{url}?as_of={at}", headers=headers)).json()
        assert (one["push_count"], one["last_activity_at"] is not None) == (pushes, called)
        many = f"/opportunities?id={deal['id']}&push_count={pushes}&as_of={at}"
        (item,) = (await client.get(many, headers=headers)).json()["items"]
        assert item == one


async def test_derived_fields_filter_and_sort_as_what_they_are(
    client: httpx.AsyncClient, people: People
) -> None:
    made = [await _deal(client, people.stranger, name=f"Derived {number}") for number in range(3)]
    for deal, hour in ((made[0], 9), (made[1], 10)):
        body = {"type": "call", "occurred_at": f"2026-03-01T{hour:02}:00:00Z", "opportunity_id": deal["id"]}
        assert (
            await client.post("/activities", headers=people.stranger.headers, json=body)
        ).status_code == 201
    for query, expected in (
        ("last_activity_at[gt]=2026-03-01T09:30:00Z", [1]),
        ("last_activity_at[lt]=2026-03-01T09:30:00Z", [0]),
        ("last_activity_at[is_null]=true", [2]),
        ("push_count[gte]=1", []),
        ("push_count=0&sort=-last_activity_at", [1, 0, 2]),
        ("sort=last_activity_at", [0, 1, 2]),
    ):
        url = f"/opportunities?name[starts]=Derived&{query}"
        page = (await client.get(url, headers=people.stranger.headers)).json()
        found = [item["id"] for item in page["items"]]
        wanted = [made[number]["id"] for number in expected]
        assert (found if "sort" in query else sorted(found)) == (
            wanted if "sort" in query else sorted(wanted)
        ), query
    first = (
        await client.get(
            "/opportunities?name[starts]=Derived&sort=-last_activity_at&limit=1",
            headers=people.stranger.headers,
        )
    ).json()
    rest = (
        await client.get(
            "/opportunities?name[starts]=Derived&sort=-last_activity_at&cursor=" + first["next"],
            headers=people.stranger.headers,
        )
    ).json()
    assert [item["id"] for item in rest["items"]] == [made[0]["id"], made[2]["id"]]


async def test_a_rate_of_the_day_makes_home_amounts_and_a_close_freezes_them(
    client: httpx.AsyncClient, people: People
) -> None:
    deal = await _deal(client, people.rep, amount=100, currency="EUR")
    assert deal["amount_home"] is None, "no rate is known yet"
    closed = await _deal(client, people.rep, amount=100, currency="EUR")
    rate = {"currency": "EUR", "date": "2026-01-01", "rate": "1.25"}
    assert (await client.post("/exchange-rates", headers=people.ops.headers, json=rate)).status_code == 201
    won = (await _move(client, people.rep, closed, to="won")).json()
    assert won["amount_home"] == "125.0000"
    newer = rate | {"date": "2026-06-01", "rate": 1.5}
    assert (await client.post("/exchange-rates", headers=people.ops.headers, json=newer)).status_code == 201
    seen = (await client.get(f"/opportunities/{deal['id']}", headers=people.rep.headers)).json()
    assert seen["amount_home"] == "150.0000"
    frozen = (await client.get(f"/opportunities/{closed['id']}", headers=people.rep.headers)).json()
    assert frozen["amount_home"] == "125.0000"


async def test_deals_that_are_born_closed(client: httpx.AsyncClient, people: People) -> None:
    won = await _deal(client, people.rep, stage="won", amount=5)
    assert (won["status"], won["closed_on"] is not None) == ("won", True)
    lost = await client.post(
        "/opportunities", headers=people.rep.headers, json={"name": "x", "stage": "lost"}
    )
    assert lost.json()["errors"][0]["pointer"] == "/loss_reason"


async def test_a_replayed_move_happens_once(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    deal = await _deal(client, people.rep)
    headers = people.rep.headers | {"If-Match": '"1"', "Idempotency-Key": "move-1"}
    first = await client.post(f"/opportunities/{deal['id']}/stage", headers=headers, json={"to": "won"})
    second = await client.post(f"/opportunities/{deal['id']}/stage", headers=headers, json={"to": "won"})
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert (await _kinds(database, deal)).count("deal.won") == 1


async def test_a_stage_passes_its_new_chance_on_and_stays_while_deals_stand_in_it(
    client: httpx.AsyncClient, people: People
) -> None:
    deal = await _deal(client, people.rep, stage="qualification", amount=1000)
    found = await client.get("/stages?key=qualification", headers=people.rep.headers)
    stage = next(item for item in found.json()["items"] if item["pipeline_id"] == deal["pipeline_id"])
    url = f"/stages/{stage['id']}"
    changed = await client.patch(url, headers=people.ops.headers, json={"probability": 0.25})
    assert changed.status_code == 200, changed.text
    seen = (await client.get(f"/opportunities/{deal['id']}", headers=people.rep.headers)).json()
    assert (seen["probability"], seen["expected_revenue"]) == (0.25, "250.0000")
    for doing in (client.delete(url, headers=people.ops.headers),
                  client.patch(url, headers=people.ops.headers, json={"key": "other"})):  # fmt: skip
        assert (await doing).status_code == 409
    certain = await client.patch(url, headers=people.ops.headers, json={"probability": 1})
    assert certain.json()["errors"][0]["pointer"] == "/probability"
    assert (await client.patch(url, headers=people.rep.headers, json={"name": "x"})).status_code == 403


async def test_there_is_one_default_pipeline(client: httpx.AsyncClient, people: People) -> None:
    first = (await client.get("/pipelines?is_default=true", headers=people.ops.headers)).json()["items"]
    made = await client.post(
        "/pipelines", headers=people.ops.headers, json={"key": "second", "name": "Second", "is_default": True}
    )
    assert made.status_code == 201, made.text
    now = (await client.get("/pipelines?is_default=true", headers=people.ops.headers)).json()["items"]
    assert [item["key"] for item in now] == ["second"]
    empty = await client.post("/opportunities", headers=people.rep.headers, json={"name": "x"})
    assert empty.status_code == 409, "a pipeline without stages takes no deals"
    url = f"/pipelines/{first[0]['id']}"
    back = await client.patch(url, headers=people.ops.headers, json={"is_default": True})
    assert back.status_code == 200, back.text


async def test_a_put_replaces_what_a_person_may_change(client: httpx.AsyncClient, people: People) -> None:
    deal = await _deal(client, people.rep, amount=5, next_step="call", close_date="2027-01-01")
    url = f"/opportunities/{deal['id']}"
    assert (await client.put(url, headers=people.rep.headers, json={"name": "New"})).status_code == 428
    put = await client.put(
        url, headers=people.rep.headers | ANY, json={"name": "New", "close_date": "2027-02-01"}
    )
    assert put.status_code == 200, put.text
    now = put.json()
    assert (now["name"], now["close_date"], now["amount"], now["next_step"]) == (
        "New",
        "2027-02-01",
        None,
        None,
    )
    assert (now["stage"], now["owner_id"], now["currency"]) == (deal["stage"], deal["owner_id"], "USD")


async def test_a_put_empties_lists_as_lists(client: httpx.AsyncClient, people: People) -> None:
    steps = [{"action": "call", "title": "Call them"}]
    made = await client.post("/playbooks", headers=people.ops.headers, json={"name": "P", "steps": steps})
    assert made.json()["steps"] == [{"action": "call", "title": "Call them"}]
    url = f"/playbooks/{made.json()['id']}"
    put = await client.put(url, headers=people.ops.headers | ANY, json={"name": "P"})
    assert (put.json()["steps"], put.json()["criteria"], put.json()["cf"]) == ([], [], {})


async def _pipeline(client: httpx.AsyncClient, people: People, key: str, **rules: Any) -> dict[str, Any]:
    """A pipeline of two open stages, won and lost; the second open one asks for an amount to come in."""
    ops = people.ops.headers
    made = await client.post("/pipelines", headers=ops, json={"key": key, "name": key})
    assert made.status_code == 201, made.text
    amount = [{"field": "amount", "op": "gte", "value": 100}]
    for position, (stage, status, chance, category, entry) in enumerate((
        ("talk", "open", 0.2, "pipeline", []),
        ("offer", "open", 0.6, "best_case", amount),
        ("won", "won", 1.0, "closed", []),
        ("lost", "lost", 0.0, "omitted", []),
    )):  # fmt: skip
        body = {"pipeline_id": made.json()["id"], "key": stage, "name": stage.title(), "position": position}
        body |= {
            "status": status,
            "probability": chance,
            "forecast_category": category,
            "entry_criteria": entry,
        }
        assert (await client.post("/stages", headers=ops, json=body)).status_code == 201
    changed = await client.patch(f"/pipelines/{made.json()['id']}", headers=ops, json=rules)
    assert changed.status_code == 200, changed.text
    return changed.json()  # type: ignore[no-any-return]


async def test_a_stage_is_entered_with_what_it_asks_for(client: httpx.AsyncClient, people: People) -> None:
    pipeline = await _pipeline(client, people, "entry")
    small = await _deal(client, people.rep, pipeline_id=pipeline["id"], amount=99)
    refused = await _move(client, people.rep, small, to="offer")
    assert refused.status_code == 409
    assert refused.json()["errors"] == [
        {"pointer": "/amount", "detail": "entering Offer asks for amount at least 100"}
    ]
    born = await client.post(
        "/opportunities",
        headers=people.rep.headers,
        json={"name": "Deal", "pipeline_id": pipeline["id"], "stage": "offer"},
    )
    assert born.status_code == 409
    await client.patch(f"/opportunities/{small['id']}", headers=people.rep.headers, json={"amount": 100})
    assert (await _move(client, people.rep, small, to="offer")).status_code == 200


async def test_a_closed_deal_comes_back_by_the_rule_of_its_pipeline(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    rules = {"reopen_roles": ["manager"], "reopen_within_days": 30, "reopen_stage": "talk"}
    pipeline = await _pipeline(client, people, "reopening", **rules)
    deal = await _deal(client, people.rep, pipeline_id=pipeline["id"], amount=500)
    assert (await _move(client, people.rep, deal, to="won")).status_code == 200
    assert (await _move(client, people.rep, deal, to="talk")).status_code == 403
    for person, to, why in (
        (people.ops, "talk", "Closed deals of this pipeline are reopened by manager."),
        (people.manager, "offer", "A closed deal of this pipeline is reopened into talk."),
    ):
        refused = await _move(client, person, deal, to=to)
        assert (refused.status_code, refused.json()["detail"]) == (409, why)
    async with database.begin() as tx:
        await tx.execute("SELECT set_config('sales.event', gen_random_uuid()::text, TRUE)")
        await tx.execute(
            "UPDATE opportunities SET closed_at = closed_at - interval '31 days' WHERE id = $1::uuid"
            " /* access:opportunities */",
            deal["id"],
        )
    late = await _move(client, people.manager, deal, to="talk")
    assert late.status_code == 409
    assert "30 days" in late.json()["detail"]
    url = f"/pipelines/{pipeline['id']}"
    await client.patch(url, headers=people.ops.headers, json={"reopen_within_days": None})
    assert (await _move(client, people.manager, deal, to="talk")).status_code == 200
    stage = await client.get(f"/stages?pipeline_id={pipeline['id']}&key=talk", headers=people.ops.headers)
    gone = await client.delete(f"/stages/{stage.json()['items'][0]['id']}", headers=people.ops.headers)
    assert gone.status_code == 409
    for stage_key in ("won", "nowhere"):
        wrong = await client.patch(url, headers=people.ops.headers, json={"reopen_stage": stage_key})
        assert wrong.json()["errors"][0]["pointer"] == "/reopen_stage"
