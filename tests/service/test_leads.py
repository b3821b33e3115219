"""Leads: owners, statuses and conversion."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from service.db import Database
from tests.conftest import People, Person, define

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


async def test_a_lead_is_not_given_to_who_is_away(client: httpx.AsyncClient, people: People) -> None:
    today = datetime.now(UTC).date()
    away = {
        "absences": [
            {"start_date": str(today - timedelta(days=1)), "end_date": str(today + timedelta(days=1))}
        ]
    }
    lead = await _lead(client, people.ops)
    for person, absence in (
        (people.rep, away),
        (people.rep2, {"end_date": str(today - timedelta(days=2))}),
        (people.stranger, {"start_date": str(today + timedelta(days=2))}),
    ):
        url = f"/users/{person.id}"
        assert (await client.patch(url, headers=people.ops.headers, json=absence)).status_code == 200
    refused = await _verb(client, people.ops, lead, "assign")
    assert (refused.status_code, "here today" in refused.json()["detail"]) == (409, True)
    back = {"absences": [], "start_date": None, "end_date": None}
    await client.patch(f"/users/{people.rep.id}", headers=people.ops.headers, json=back)
    routed = await _verb(client, people.ops, lead, "assign")
    assert routed.json()["owner_id"] == str(people.rep.id)
    for person in (people.rep2, people.stranger):
        await client.patch(f"/users/{person.id}", headers=people.ops.headers, json=back)


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


async def test_a_lead_follows_its_path(client: httpx.AsyncClient, people: People) -> None:
    lead = await _lead(client, people.rep)
    assert (await _verb(client, people.rep, lead, "status", to="qualified")).status_code == 200
    back = await _verb(client, people.rep, lead, "status", to="new")
    assert back.status_code == 409
    assert (
        back.json()["detail"]
        == "A lead that is qualified becomes working or nurturing or unqualified, not new."
    )
    given_up = await _verb(client, people.rep, lead, "status", to="unqualified", reason="moved away")
    assert given_up.status_code == 200
    assert (await _verb(client, people.rep, lead, "status", to="qualified")).status_code == 409
    assert (await _verb(client, people.rep, lead, "status", to="nurturing")).status_code == 200


async def test_the_clock_of_an_answer_runs_from_the_assignment(
    client: httpx.AsyncClient, people: People
) -> None:
    rule = {"name": "Hot first", "position": 1, "target": "user", "user_id": str(people.rep.id)}
    hot = [{"field": "rating", "op": "eq", "value": "hot"}]
    made = await client.post(
        "/routing-rules", headers=people.ops.headers, json=rule | {"criteria": hot, "sla_minutes": 30}
    )
    assert made.status_code == 201, made.text
    lead = await _lead(client, people.rep, rating="hot")
    due, since = (datetime.fromisoformat(lead[name]) for name in ("response_due_at", "assigned_at"))
    assert due - since == timedelta(minutes=30)
    assert lead["is_response_overdue"] is False
    assert (await _lead(client, people.rep, rating="cold"))["response_due_at"] is None
    waiting = await _lead(client, people.ops, rating="hot")
    assert waiting["response_due_at"] is None, "nobody has it yet"
    given = (await _verb(client, people.ops, waiting, "assign", owner_id=str(people.rep.id))).json()
    assert given["response_due_at"] > given["assigned_at"]
    call = {
        "type": "call",
        "occurred_at": "2099-01-01T00:00:00Z",
        "status": "completed",
        "direction": "outbound",
    }
    await client.post("/activities", headers=people.rep.headers, json=call | {"lead_id": lead["id"]})
    late = await client.get("/leads?is_response_overdue=true", headers=people.rep.headers)
    assert [item["id"] for item in late.json()["items"]] == [lead["id"]], "the answer came 70 years later"
    await client.delete(f"/routing-rules/{made.json()['id']}", headers=people.ops.headers)


async def test_conversion_maps_what_the_lead_told(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    for entity in ("lead", "account", "contact", "opportunity"):
        await define(database, entity, region="text")
    await define(database, "lead", campaign_word="text")
    address = {"street": "Main 1", "city": "Bern", "country": "CH"}
    told = {
        "company": "Mapped",
        "email": "m@x.example",
        "address": address,
        "cf": {"region": "emea", "campaign_word": "spring"},
    }
    lead = await _lead(client, people.rep, **told, do_not_call=True, consent_at="2026-01-01T00:00:00Z")
    made = (await _verb(client, people.rep, lead, "convert")).json()
    assert made["account"]["billing_address"] == made["contact"]["mailing_address"] == address
    assert made["contact"]["consent_at"].startswith("2026-01-01")
    assert made["contact"]["do_not_call"] is True
    assert [made[part]["cf"] for part in ("account", "contact", "opportunity")] == [{"region": "emea"}] * 3
    again = await _verb(client, people.rep, lead, "convert")
    assert again.status_code == 409
    assert again.json()["converted"]["opportunity"] == made["opportunity"]["id"]


async def test_conversion_joins_a_deal_and_fills_what_is_empty(
    client: httpx.AsyncClient, people: People
) -> None:
    rep = people.rep.headers
    account = (await client.post("/accounts", headers=rep, json={"name": "Old", "industry": "steel"})).json()
    person = (
        await client.post("/contacts", headers=rep, json={"last_name": "Kim", "account_id": account["id"]})
    ).json()
    deal = (
        await client.post("/opportunities", headers=rep, json={"name": "Open", "account_id": account["id"]})
    ).json()
    lead = await _lead(
        client, people.rep, company="New name", industry="retail", phone="7", title="CEO", email_opt_out=True
    )
    body = {"opportunity_id": deal["id"], "contact_id": person["id"]}
    made = (await _verb(client, people.rep, lead, "convert", **body)).json()
    assert (made["account"]["id"], made["opportunity"]["id"]) == (account["id"], deal["id"])
    known = [made["account"][name] for name in ("name", "industry", "phone")]
    assert known == ["Old", "steel", "7"]
    assert (made["contact"]["title"], made["contact"]["email_opt_out"]) == ("CEO", True)
    assert made["opportunity"]["primary_contact_id"] == person["id"]
    elsewhere = (await client.post("/accounts", headers=rep, json={"name": "Elsewhere"})).json()
    other = await _lead(client, people.rep)
    for wrong, pointer in (
        (body | {"account_id": elsewhere["id"]}, "/opportunity_id"),
        ({"contact_id": person["id"], "account_id": elsewhere["id"]}, "/contact_id"),
        ({"opportunity_id": lead["id"]}, "/opportunity_id"),
    ):
        refused = await _verb(client, people.rep, other, "convert", **wrong)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    await client.post(
        f"/opportunities/{deal['id']}/stage", headers=rep | {"If-Match": "*"}, json={"to": "won"}
    )
    closed = await _verb(client, people.rep, other, "convert", opportunity_id=deal["id"])
    assert closed.json()["errors"] == [{"pointer": "/opportunity_id", "detail": "is closed"}]


async def test_a_conversion_is_taken_back_as_one(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    account = (await client.post("/accounts", headers=people.rep.headers, json={"name": "Joined"})).json()
    lead = await _lead(client, people.rep, company="Undone", phone="7")
    made = (await _verb(client, people.rep, lead, "convert", account_id=account["id"])).json()
    change = await database.fetchval(
        "SELECT change_id FROM ledger.events WHERE kind = 'lead.converted' AND entity_id = $1::uuid",
        lead["id"],
    )
    undone = await client.post(f"/changes/{change}/undo", headers=people.ops.headers)
    assert undone.status_code == 200, undone.text
    for path, part in (("contacts", "contact"), ("opportunities", "opportunity")):
        gone = await client.get(f"/{path}/{made[part]['id']}", headers=people.rep.headers)
        assert gone.status_code == 404
    kept = (await client.get(f"/accounts/{account['id']}", headers=people.rep.headers)).json()
    assert kept["phone"] is None, "what the account learnt is taken back"
    before = (await client.get(f"/leads/{lead['id']}", headers=people.rep.headers)).json()
    assert (before["status"], before["converted_account_id"]) == ("new", None)
    assert (await _verb(client, people.rep, lead, "convert")).status_code == 200


async def test_a_conversion_says_what_its_records_look_like(
    client: httpx.AsyncClient, people: People
) -> None:
    told = {
        "company": "Twin Works Ltd",
        "first_name": "Ada",
        "last_name": "Byron",
        "email": "ada@twin.example",
    }
    first = (await _verb(client, people.rep, await _lead(client, people.rep, **told), "convert")).json()
    assert first["duplicates"] == {"account": [], "contact": []}
    second = (await _verb(client, people.rep, await _lead(client, people.rep, **told), "convert")).json()
    for part in ("account", "contact"):
        assert [like["id"] for like in second["duplicates"][part]] == [first[part]["id"]]
    joined = await _verb(
        client, people.rep, await _lead(client, people.rep, **told), "convert",
        account_id=first["account"]["id"], contact_id=first["contact"]["id"],
    )  # fmt: skip
    assert joined.json()["duplicates"] == {"account": [], "contact": []}
