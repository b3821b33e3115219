"""Every resource's timeline, page by page, and the way back to a version."""

from typing import Any

import httpx
import pytest

from service.resource import Resource
from tests.conftest import People
from tests.test_house import resources

pytestmark = pytest.mark.anyio


async def make(client: httpx.AsyncClient, people: People, path: str, **values: Any) -> str:
    answer = await client.post(path, headers=people.rep.headers, json=values)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_every_version_is_told_newest_first_and_by_pages(
    client: httpx.AsyncClient, people: People
) -> None:
    record, headers = await make(client, people, "/accounts", name="Acme", phone="0"), people.rep.headers
    for number in range(1, 6):
        await client.patch(f"/accounts/{record}", headers=headers, json={"phone": str(number)})
    found, cursor = [], ""
    while cursor is not None:
        url = f"/accounts/{record}/history?limit=2{cursor and '&cursor=' + cursor}"
        page = (await client.get(url, headers=headers)).json()
        assert len(page["items"]) <= 2
        found += page["items"]
        cursor = page["next"]
    assert [item["version"] for item in found] == [6, 5, 4, 3, 2, 1]
    assert found[0]["changes"] == [{"field": "phone", "old": "4", "new": "5"}]
    assert {change["field"] for change in found[-1]["changes"]} >= {"name", "phone", "owner_id"}
    assert found[0]["kind"] == "account.updated"
    assert found[0]["actor_id"] == str(people.rep.id)


async def test_a_timeline_shows_what_its_reader_may_see(client: httpx.AsyncClient, people: People) -> None:
    record = await make(client, people, "/contacts", last_name="Doe", email="doe@acme.example")
    url = f"/contacts/{record}/history"
    assert "doe@acme.example" in (await client.get(url, headers=people.rep.headers)).text
    studied = await client.get(url, headers=people.data.headers)
    assert studied.status_code == 200
    assert "acme.example" not in studied.text
    await client.patch(f"/contacts/{record}", headers=people.rep.headers, json={"email": "new@acme.example"})
    assert (await client.get(url, headers=people.data.headers)).json()["items"][0]["changes"] == []
    await client.delete(f"/contacts/{record}", headers=people.rep.headers)
    assert (await client.get(url, headers=people.rep.headers)).json()["items"][0]["kind"] == "contact.deleted"
    lead = await make(client, people, "/leads", last_name="Roe")
    assert (await client.get(f"/leads/{lead}/history", headers=people.stranger.headers)).status_code == 404


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=WzEsMl0", "limit=x", "name=x", "sort=name", "as_of=2026-01-01T00:00:00Z"]
)
async def test_a_timeline_takes_limit_and_cursor_only(
    client: httpx.AsyncClient, people: People, query: str
) -> None:
    record = await make(client, people, "/accounts", name="Acme")
    answer = await client.get(f"/accounts/{record}/history?{query}", headers=people.rep.headers)
    assert answer.status_code == 400


async def test_a_nested_timeline_lives_under_its_own_parent(
    client: httpx.AsyncClient, people: People
) -> None:
    contact = await make(client, people, "/contacts", last_name="Doe")
    deals = [await make(client, people, "/opportunities", name=name) for name in ("A", "B")]
    path = f"/opportunities/{deals[0]}/stakeholders"
    part = await make(client, people, path, contact_id=contact, role="champion")
    headers = people.rep.headers
    assert (await client.get(f"{path}/{part}/history", headers=headers)).status_code == 200
    elsewhere = f"/opportunities/{deals[1]}/stakeholders/{part}/history"
    assert (await client.get(elsewhere, headers=headers)).status_code == 404


async def test_a_record_goes_back_to_a_version_as_a_new_one(
    client: httpx.AsyncClient, people: People
) -> None:
    record, headers = await make(client, people, "/accounts", name="Acme", phone="1"), people.rep.headers
    url = f"/accounts/{record}"
    await client.patch(url, headers=headers, json={"phone": "2", "industry": "steel"})

    async def revert(version: int, body: dict[str, Any]) -> httpx.Response:
        return await client.post(f"{url}/revert", headers=headers | {"If-Match": f'"{version}"'}, json=body)

    missing = await client.post(f"{url}/revert", headers=headers, json={"version": 1})
    assert missing.status_code == 428
    assert (await revert(1, {"version": 1})).status_code == 412
    assert (await revert(2, {"version": 9})).status_code == 422
    assert (await revert(2, {"version": 1, "fields": ["phon"]})).json()["errors"][0]["pointer"] == "/fields/0"
    part = (await revert(2, {"version": 1, "fields": ["phone"]})).json()
    assert (part["phone"], part["industry"], part["version"]) == ("1", "steel", 3)
    whole = (await revert(3, {"version": 1})).json()
    assert (whole["phone"], whole["industry"], whole["version"]) == ("1", None, 4)
    assert (await revert(4, {"version": 2})).json()["industry"] == "steel"
    stranger = people.stranger.headers | {"If-Match": "*"}
    assert (await client.post(f"{url}/revert", headers=stranger, json={"version": 1})).status_code == 404


async def test_a_record_that_is_here_again_does_not_go_back_to_being_merged(
    client: httpx.AsyncClient, people: People
) -> None:
    headers = people.ops.headers
    winner, loser = [await make(client, people, "/accounts", name=name) for name in "AB"]
    body = {"resource": "accounts", "winner_id": winner, "loser_ids": [loser]}
    merged = (await client.post("/merge", headers=headers, json=body)).json()
    assert (await client.post(f"/changes/{merged['change_id']}/undo", headers=headers)).status_code == 200
    given = {"owner_id": str(people.rep2.id)}
    assert (await client.post(f"/accounts/{loser}/assign", headers=headers, json=given)).status_code == 200
    url, tag = f"/accounts/{loser}/revert", {"If-Match": '"4"'}
    back = (await client.post(url, headers=headers | tag, json={"version": 2})).json()
    assert (back["owner_id"], back["merged_into_id"]) == (str(people.rep.id), None)


async def test_what_a_verb_changed_goes_back_with_the_permission_to_undo(
    client: httpx.AsyncClient, people: People
) -> None:
    deal = await make(client, people, "/opportunities", name="Deal", amount="100")
    url, any_version = f"/opportunities/{deal}", {"If-Match": "*"}
    headers = people.rep.headers | any_version
    stages = (await client.get("/stages?status=open&sort=position", headers=headers)).json()["items"]
    moved = await client.post(f"{url}/stage", headers=headers, json={"to": stages[1]["key"]})
    assert moved.status_code == 200, moved.text
    await client.patch(url, headers=headers, json={"amount": "200"})
    refused = await client.post(f"{url}/revert", headers=headers, json={"version": 1})
    assert refused.status_code == 403
    assert "stage" in refused.json()["detail"]
    part = await client.post(f"{url}/revert", headers=headers, json={"version": 1, "fields": ["amount"]})
    assert (part.json()["amount"], part.json()["stage"]) == ("100.0000", stages[1]["key"])
    assert part.json()["amount_home"] == "100.0000"
    back = await client.post(f"{url}/revert", headers=people.ops.headers | any_version, json={"version": 1})
    assert (back.json()["stage"], back.json()["probability"]) == (stages[0]["key"], stages[0]["probability"])


@pytest.mark.parametrize("resource", resources(), ids=lambda resource: resource.path)
async def test_every_resource_has_a_timeline(
    client: httpx.AsyncClient, people: People, resource: Resource
) -> None:
    nowhere = "01890000-0000-7000-8000-000000000000"
    path = resource.path.replace("{parent_id:uuid}", nowhere)
    answer = await client.get(f"{path}/{nowhere}/history", headers=people.admin.headers)
    assert answer.status_code == 404
    assert answer.json()["detail"] != "Not Found", "there is no such route"
