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
