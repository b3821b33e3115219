"""Who sees which rows and fields, through the door: each guarded resource for each kind of person."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from service.access import HIDDEN, PERMISSIONS, ROLES, ROWS, Actor, may, visible
from service.db import Params
from tests.conftest import People

pytestmark = pytest.mark.anyio

WHO = ("rep", "rep2", "stranger", "manager", "ops", "data", "admin")
SEES = {
    "rep": True,
    "rep2": False,
    "stranger": False,
    "manager": True,
    "ops": True,
    "data": True,
    "admin": True,
}


@pytest.fixture(scope="module")
async def records(client: httpx.AsyncClient, people: People) -> dict[str, str]:
    """One of each guarded resource, all of them the rep's; path → id."""

    async def post(path: str, **body: Any) -> str:
        answer = await client.post(path, headers=people.rep.headers, json=body)
        assert answer.status_code == 201, (path, answer.text)
        return answer.json()["id"]  # type: ignore[no-any-return]

    account = await post("/accounts", name="Acme")
    deal = await post("/opportunities", name="Deal", account_id=account)
    contact = await post("/contacts", last_name="Doe", account_id=account, email="doe@acme.example")
    lead = await post("/leads", last_name="Roe", email="roe@acme.example")
    product = (
        await client.post("/products", headers=people.admin.headers, json={"code": "p", "name": "P"})
    ).json()["id"]
    found = {"/accounts": account, "/opportunities": deal, "/contacts": contact, "/leads": lead}
    inside = f"/opportunities/{deal}"
    found[f"{inside}/lines"] = await post(f"{inside}/lines", product_id=product, quantity=1, unit_price="5")
    found[f"{inside}/stakeholders"] = await post(
        f"{inside}/stakeholders", contact_id=contact, role="champion"
    )
    found[f"{inside}/splits"] = await post(f"{inside}/splits", user_id=str(people.rep.id), percent=50)
    found["/quotes"] = await post("/quotes", opportunity_id=deal, lines=[])
    found["/relationships"] = await post(
        "/relationships", contact_id=contact, related_account_id=account, type="employee"
    )
    found["/activities"] = await post(
        "/activities",
        type="call",
        occurred_at="2026-01-05T09:00:00Z",
        opportunity_id=deal,
        status="completed",
    )
    found["/notes"] = await post("/notes", body="Their budget is small.", opportunity_id=deal)
    found["/documents"] = await post("/documents", name="Offer", opportunity_id=deal)
    found["/plan-items"] = await post("/plan-items", title="Sign", opportunity_id=deal)
    found["/comments"] = await post("/comments", body="Ready?", opportunity_id=deal)
    found["/guest-links"] = await post("/guest-links", name="Ann", opportunity_id=deal)
    return found


@pytest.mark.parametrize("who", WHO)
async def test_a_record_is_seen_by_its_owner_and_those_above(
    client: httpx.AsyncClient, people: People, records: dict[str, str], who: str
) -> None:
    """One by one, in lists, in counts, as of now, and for changes: always the same answer."""
    headers = getattr(people, who).headers
    for path, record in records.items():
        one = await client.get(f"{path}/{record}", headers=headers)
        assert one.status_code == (200 if SEES[who] else 404), (path, who, one.text)
        many = await client.get(f"{path}?count=true", headers=headers)
        nested = path.startswith("/opportunities/") and not SEES[who]
        assert many.status_code == (404 if nested else 200), (path, who)
        if not nested:
            ids = [item["id"] for item in many.json()["items"]]
            assert (record in ids) is SEES[who], (path, who)
            assert many.json()["count"] == len(ids)
        if not SEES[who]:
            for call in (
                client.patch(f"{path}/{record}", headers=headers, json={}),
                client.delete(f"{path}/{record}", headers=headers),
            ):
                assert (await call).status_code == 404, (path, who)


@pytest.mark.parametrize("who", WHO)
async def test_reminders_are_for_one_persons_eyes(
    client: httpx.AsyncClient, people: People, records: dict[str, str], who: str
) -> None:
    """Not even for those who see all."""
    body = {
        "record_type": "opportunity",
        "record_id": records["/opportunities"],
        "remind_at": "2030-01-01T09:00:00Z",
        "text": f"of {who}",
    }
    headers = getattr(people, who).headers
    made = await client.post("/reminders", headers=headers, json=body)
    if not SEES[who]:
        assert (made.status_code, made.json()["errors"][0]["pointer"]) == (422, "/record_id")
        return
    assert made.status_code == 201, made.text
    url = f"/reminders/{made.json()['id']}"
    for other in WHO:
        status = 200 if other == who else 404
        theirs = getattr(people, other).headers
        assert (await client.get(url, headers=theirs)).status_code == status, other
        listed = (await client.get("/reminders", headers=theirs)).json()["items"]
        assert all(item["user_id"] == str(getattr(people, other).id) for item in listed)
    assert (await client.delete(url, headers=headers)).status_code == 204


async def test_what_one_may_not_see_cannot_be_pointed_at_or_reached_sideways(
    client: httpx.AsyncClient, people: People, records: dict[str, str]
) -> None:
    stranger = people.stranger.headers
    refused = await client.post(
        "/contacts", headers=stranger, json={"last_name": "X", "account_id": records["/accounts"]}
    )
    assert refused.status_code == 422
    mine = await client.post("/opportunities", headers=stranger, json={"name": "Mine"})
    assert mine.status_code == 201
    found = await client.get("/opportunities?account.name=Acme", headers=stranger)
    assert found.json()["items"] == []
    own = await client.get("/opportunities?expand=account", headers=stranger)
    assert [item["account"] for item in own.json()["items"]] == [None]


async def test_an_account_shows_to_who_has_a_deal_with_it(client: httpx.AsyncClient, people: People) -> None:
    made = (
        await client.post(
            "/accounts",
            headers=people.ops.headers,
            json={"name": "Shared", "owner_id": str(people.stranger.id)},
        )
    ).json()
    assert (await client.get(f"/accounts/{made['id']}", headers=people.rep.headers)).status_code == 404
    deal = await client.post("/opportunities", headers=people.ops.headers, json={
        "name": "Bridge", "account_id": made["id"], "owner_id": str(people.rep.id),
    })  # fmt: skip
    assert deal.status_code == 201, deal.text
    assert (await client.get(f"/accounts/{made['id']}", headers=people.rep.headers)).status_code == 200
    assert (await client.get(f"/accounts/{made['id']}", headers=people.rep2.headers)).status_code == 404


@pytest.mark.parametrize("resource", sorted(HIDDEN))
async def test_a_hidden_field_behaves_like_one_that_does_not_exist(
    client: httpx.AsyncClient, people: People, records: dict[str, str], resource: str
) -> None:
    for field in sorted(HIDDEN[resource]["data_scientist"]):
        for form in (f"{field}=x", f"{field}[is_null]=false", f"sort={field}", f"fields=id,{field}"):
            answers = [
                (await client.get(f"/{resource}?{form.replace(field, name)}", headers=people.data.headers))
                for name in (field, "no_such_field")
            ]
            hidden, missing = ((each.status_code, each.json()["detail"]) for each in answers)
            assert hidden[0] == missing[0] == 400
            assert hidden[1].replace(field, "no_such_field") == missing[1]
    for url in (f"/{resource}", f"/{resource}/{records['/' + resource]}"):
        answer = await client.get(url, headers=people.data.headers)
        assert answer.status_code == 200
        assert "acme.example" not in answer.text
    assert "acme.example" in (await client.get(f"/{resource}", headers=people.rep.headers)).text


async def test_a_hidden_field_is_hidden_in_what_is_beside_it(
    client: httpx.AsyncClient, people: People, records: dict[str, str]
) -> None:
    deal = records["/opportunities"]
    patched = await client.patch(
        f"/opportunities/{deal}",
        headers=people.rep.headers,
        json={"primary_contact_id": records["/contacts"]},
    )
    assert patched.status_code == 200
    for person, shown in ((people.rep, True), (people.data, False)):
        answer = await client.get(f"/opportunities/{deal}?expand=primary_contact", headers=person.headers)
        assert answer.json()["primary_contact"]["last_name"] == "Doe"
        assert ("doe@acme.example" in answer.text) is shown
    joined = await client.get(
        "/opportunities?primary_contact.email[contains]=doe", headers=people.data.headers
    )
    assert joined.status_code == 400


async def test_roles_may_do_what_the_one_table_says(client: httpx.AsyncClient, people: People) -> None:
    for who in WHO:
        person = getattr(people, who)
        answer = await client.post("/competitors", headers=person.headers, json={"name": f"Rival of {who}"})
        allowed = "create" in PERMISSIONS[person.role]["competitors"]
        assert answer.status_code == (201 if allowed else 403), who
        deal = await client.post("/opportunities", headers=person.headers, json={"name": f"of {who}"})
        assert deal.status_code == (201 if "create" in PERMISSIONS[person.role]["opportunities"] else 403), (
            who
        )
    assert (await client.get("/accounts")).status_code == 401


def test_scopes_narrow_and_never_widen() -> None:
    def key(role: str, *scopes: str) -> Actor:
        return Actor(id=UUID(int=1), role=role, scopes=frozenset(scopes))

    assert may(key("rep", "*"), "accounts", "read")
    assert may(key("rep", "accounts:*"), "accounts", "update")
    assert may(key("rep", "*:read"), "accounts", "read")
    assert not may(key("rep", "*:read"), "accounts", "update")
    assert not may(key("rep", "contacts:*"), "accounts", "read")
    assert not may(key("rep"), "accounts", "read")
    assert not may(key("rep", "*"), "competitors", "create")
    assert set(PERMISSIONS) == set(ROLES)


def test_a_scope_is_read_once_not_for_every_row() -> None:
    """A bare cast of the owners' text was parsed again for each row: seconds instead of milliseconds."""
    actor = Actor(id=UUID(int=1), role="manager", owners=(UUID(int=1), UUID(int=2)), teams=(UUID(int=3),))
    for table in [*ROWS, "quotas"]:
        text = visible(actor, table, "t", Params())
        assert text.count("::text::uuid[]") == text.count("SELECT unnest(")
