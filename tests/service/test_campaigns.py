"""Campaigns: named by leads and deals, found by their name, and pointed at only when they are there."""

from uuid import uuid4

import httpx
import pytest

from tests.conftest import People

pytestmark = pytest.mark.anyio


async def test_leads_and_deals_name_their_campaign(client: httpx.AsyncClient, people: People) -> None:
    body = {
        "name": "Spring fair",
        "type": "event",
        "cost": "1000",
        "currency": "EUR",
        "start_date": "2026-03-01",
    }
    made = await client.post("/campaigns", headers=people.ops.headers, json=body)
    assert (made.status_code, made.json()["status"]) == (201, "planned")
    campaign = made.json()["id"]
    for path, draft in (("/leads", {"last_name": "L"}), ("/opportunities", {"name": "D"})):
        named = await client.post(path, headers=people.rep.headers, json=draft | {"campaign_id": campaign})
        assert named.status_code == 201, named.text
        await client.post(path, headers=people.rep.headers, json=draft)
        found = await client.get(
            f"{path}?campaign.name=Spring fair&expand=campaign", headers=people.rep.headers
        )
        assert [item["campaign"]["name"] for item in found.json()["items"]] == ["Spring fair"]
        for ghost in (str(uuid4()), str(people.rep.id)):
            url = f"{path}/{named.json()['id']}"
            for call in (
                client.post(path, headers=people.rep.headers, json=draft | {"campaign_id": ghost}),
                client.patch(url, headers=people.rep.headers, json={"campaign_id": ghost}),
            ):
                answer = await call
                assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/campaign_id")


async def test_a_campaign_is_kept_by_operations(client: httpx.AsyncClient, people: People) -> None:
    refused = await client.post("/campaigns", headers=people.rep.headers, json={"name": "Mine"})
    assert refused.status_code == 403
    made = await client.post("/campaigns", headers=people.ops.headers, json={"name": "C"})
    url = f"/campaigns/{made.json()['id']}"
    backwards = {"start_date": "2026-02-01", "end_date": "2026-01-01"}
    answer = await client.patch(url, headers=people.ops.headers, json=backwards)
    assert answer.json()["errors"][0]["pointer"] == "/end_date"
    assert (await client.delete(url, headers=people.ops.headers)).status_code == 204
    gone = await client.post(
        "/leads", headers=people.rep.headers, json={"last_name": "L", "campaign_id": made.json()["id"]}
    )
    assert gone.json()["errors"][0]["pointer"] == "/campaign_id"
    assert (await client.post(f"{url}/restore", headers=people.ops.headers)).status_code == 200


async def test_what_came_of_a_campaign(client: httpx.AsyncClient, people: People) -> None:
    ops = people.ops.headers
    body = {"name": "Year", "cost": "100", "currency": "USD"}
    year = (await client.post("/campaigns", headers=ops, json=body)).json()["id"]
    fair = (await client.post("/campaigns", headers=ops, json=body | {"parent_id": year})).json()["id"]
    for person in (people.rep, people.rep2):
        for converts in (True, False):
            lead = await client.post(
                "/leads", headers=person.headers, json={"last_name": "L", "campaign_id": fair}
            )
            if converts:
                deal = {"name": "Won", "amount": "300"}
                made = await client.post(
                    f"/leads/{lead.json()['id']}/convert", headers=person.headers, json={"opportunity": deal}
                )
                assert made.json()["opportunity"]["campaign_id"] == fair
    won = made.json()["opportunity"]["id"]
    moved = await client.post(
        f"/opportunities/{won}/stage", headers=people.rep2.headers | {"If-Match": "*"}, json={"to": "won"}
    )
    assert moved.status_code == 200
    told = (await client.get(f"/campaigns/{fair}/results", headers=ops)).json()
    assert [told[name] for name in ("leads", "converted_leads", "opportunities", "open", "won")] == [
        4,
        2,
        2,
        1,
        1,
    ]
    assert (told["pipeline_amount"], told["won_amount"]) == ("300.0000", "300.0000")
    assert (told["cost_per_lead"], told["return_on_cost"]) == ("25.0000", 2.0)
    assert (await client.get(f"/campaigns/{year}/results", headers=ops)).json()["leads"] == 0
    whole = (await client.get(f"/campaigns/{year}/results?include=children", headers=ops)).json()
    assert (whole["campaigns"], whole["leads"], whole["cost"]) == (2, 4, "200.0000")
    own = (await client.get(f"/campaigns/{fair}/results", headers=people.rep.headers)).json()
    assert (own["leads"], own["won_amount"], own["return_on_cost"]) == (2, "0.0000", None)
    wrong = await client.get(f"/campaigns/{fair}/results?include=friends", headers=ops)
    assert wrong.status_code == 400
