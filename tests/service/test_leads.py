"""Leads: owners, statuses and conversion."""

from typing import Any

import httpx
import pytest

from service.db import Database
from tests.conftest import People, Person

pytestmark = pytest.mark.anyio


async def _lead(client: httpx.AsyncClient, person: Person, **members: Any) -> dict[str, Any]:
    answer = await client.post("/leads", headers=person.headers, json={"last_name": "Lee"} | members)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _verb(
    client: httpx.AsyncClient, person: Person, lead: dict[str, Any], verb: str, **body: Any
) -> Any:
    return await client.post(f"/leads/{lead['id']}/{verb}", headers=person.headers, json=body)


async def test_a_lead_is_somebody(client: httpx.AsyncClient, people: People) -> None:
    nobody = await client.post("/leads", headers=people.rep.headers, json={"title": "CEO"})
    assert nobody.status_code == 422
    assert nobody.json()["errors"][0]["pointer"] == "/last_name"
    by_mail = await client.post("/leads", headers=people.rep.headers, json={"email": "x@y.example"})
    assert by_mail.json()["status"] == "new"
    url = f"/leads/{by_mail.json()['id']}"
    emptied = await client.patch(url, headers=people.rep.headers, json={"email": None})
    assert emptied.status_code == 422


async def test_who_sells_owns_what_they_enter(client: httpx.AsyncClient, people: People) -> None:
    assert (await _lead(client, people.rep))["owner_id"] == str(people.rep.id)
    assert (await _lead(client, people.ops))["owner_id"] is None
    stolen = await client.post(
        "/leads", headers=people.rep.headers, json={"last_name": "x", "owner_id": str(people.stranger.id)}
    )
    assert stolen.json()["errors"][0]["pointer"] == "/owner_id"


async def test_assigning_says_so(client: httpx.AsyncClient, people: People, database: Database) -> None:
    lead = await _lead(client, people.ops)
    assert (await _verb(client, people.rep, lead, "assign")).status_code == 403
    given = await _verb(client, people.ops, lead, "assign", owner_id=str(people.rep2.id), reason="knows them")
    assert given.json()["owner_id"] == str(people.rep2.id)
    assert given.json()["assigned_at"] is not None
    event = await database.fetchrow(
        "SELECT data, actor_id FROM ledger.events WHERE kind = 'lead.assigned' AND entity_id = $1::uuid",
        lead["id"],
    )
    assert event["data"]["reason"] == "knows them"
    assert event["actor_id"] == people.ops.id


async def test_a_lead_without_a_named_owner_goes_to_who_has_the_fewest(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    for person in (people.rep, people.rep2, people.rep2, people.rep, people.rep):
        await _lead(client, person)
    lead = await _lead(client, people.ops)
    routed = await _verb(client, people.ops, lead, "assign")
    assert routed.json()["owner_id"] == str(people.stranger.id)
    data = await database.fetchval(
        "SELECT data FROM ledger.events WHERE kind = 'lead.assigned' AND entity_id = $1::uuid", lead["id"]
    )
    assert data["trace"] == ["Stranger has the fewest open leads: 0."]


async def test_statuses_change_by_their_verb(client: httpx.AsyncClient, people: People) -> None:
    lead = await _lead(client, people.rep)
    url = f"/leads/{lead['id']}"
    assert (
        await client.patch(url, headers=people.rep.headers, json={"status": "working"})
    ).status_code == 422
    working = await _verb(client, people.rep, lead, "status", to="working")
    assert working.json()["first_response_at"] is not None
    bare = await _verb(client, people.rep, lead, "status", to="unqualified")
    assert bare.json()["errors"][0]["pointer"] == "/reason"
    ended = await _verb(client, people.rep, lead, "status", to="unqualified", reason="no need")
    assert ended.json()["unqualified_reason"] == "no need"
    assert (await _verb(client, people.rep, lead, "convert")).status_code == 409
    assert (await _verb(client, people.rep, lead, "status", to="converted")).status_code == 409
    again = await _verb(client, people.rep, lead, "status", to="working")
    assert again.json()["unqualified_reason"] is None
    assert (await _verb(client, people.rep, lead, "status", to="sleeping")).status_code == 422
    assert (await _verb(client, people.stranger, lead, "status", to="new")).status_code == 404


async def test_conversion_makes_three_records_or_none(client: httpx.AsyncClient, people: People) -> None:
    lead = await _lead(
        client, people.rep, first_name="Ann", company="Acme", email="ann@acme.example", lead_source="event"
    )
    bad = await _verb(client, people.rep, lead, "convert", opportunity={"name": "New", "stage": "nowhere"})
    assert bad.status_code == 422
    none = await client.get("/accounts?name=Acme", headers=people.ops.headers)
    assert none.json()["items"] == [], "a conversion that fails leaves nothing"
    answer = await _verb(client, people.rep, lead, "convert", opportunity={"name": "New", "amount": "500"})
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert (made["account"]["name"], made["account"]["owner_id"]) == ("Acme", str(people.rep.id))
    assert made["contact"]["account_id"] == made["account"]["id"]
    assert made["opportunity"]["primary_contact_id"] == made["contact"]["id"]
    assert (made["opportunity"]["amount"], made["opportunity"]["lead_source"]) == ("500.0000", "event")
    assert made["lead"]["status"] == "converted"
    assert made["lead"]["converted_opportunity_id"] == made["opportunity"]["id"]
    assert (await _verb(client, people.rep, lead, "convert")).status_code == 409
    assert (await _verb(client, people.rep, lead, "status", to="new")).status_code == 409


async def test_conversion_into_records_that_exist(client: httpx.AsyncClient, people: People) -> None:
    account = (await client.post("/accounts", headers=people.rep.headers, json={"name": "Old"})).json()
    hidden = (await client.post("/accounts", headers=people.stranger.headers, json={"name": "Theirs"})).json()
    lead = await _lead(client, people.rep)
    unseen = await _verb(client, people.rep, lead, "convert", account_id=hidden["id"])
    assert unseen.json()["errors"][0]["pointer"] == "/account_id"
    made = (
        await _verb(client, people.rep, lead, "convert", account_id=account["id"], create_opportunity=False)
    ).json()
    assert made["account"]["id"] == account["id"]
    assert made["opportunity"] is None


async def test_the_first_word_out_is_the_first_response(client: httpx.AsyncClient, people: People) -> None:
    lead = await _lead(client, people.rep)
    call = {
        "type": "call",
        "occurred_at": "2099-01-01T00:00:00Z",
        "lead_id": lead["id"],
        "direction": "outbound",
    }
    assert (await client.post("/activities", headers=people.rep.headers, json=call)).status_code == 201
    seen = (await client.get(f"/leads/{lead['id']}", headers=people.rep.headers)).json()
    assert seen["first_response_at"] is None, "a plan is no response"
    done = call | {"status": "completed"}
    assert (await client.post("/activities", headers=people.rep.headers, json=done)).status_code == 201
    seen = (await client.get(f"/leads/{lead['id']}", headers=people.rep.headers)).json()
    assert seen["first_response_at"].startswith("2099-01-01T00:00:00")
