"""Clones: what they take over, what they do not, and who may make one."""

from typing import Any

import httpx
import pytest

from tests.conftest import People, Person

pytestmark = pytest.mark.anyio
Client = httpx.AsyncClient


async def post(
    client: Client, who: Person, path: str, expected: int = 201, /, **members: Any
) -> dict[str, Any]:
    answer = await client.post(path, headers=who.headers, json=members)
    assert answer.status_code == expected, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_a_clone_has_the_values_and_an_owner_of_its_own(client: Client, people: People) -> None:
    made = await post(
        client, people.rep, "/accounts", name="Acme", industry="retail", annual_revenue="12.5", currency="EUR",
        billing_address={"city": "Bern"}, external_ids={"crm": "A-1"},
    )  # fmt: skip
    clone = await post(client, people.manager, f"/accounts/{made['id']}/clone", name="Acme East")
    assert clone["id"] != made["id"]
    assert (clone["name"], clone["industry"], clone["annual_revenue"]) == ("Acme East", "retail", "12.5000")
    assert (clone["currency"], clone["billing_address"]) == ("EUR", {"city": "Bern"})
    assert (clone["external_ids"], clone["version"]) == ({}, 1)
    assert clone["owner_id"] == str(people.manager.id)


async def test_a_deal_is_cloned_anew_and_with_its_lines_if_asked(client: Client, people: People) -> None:
    product = await post(client, people.ops, "/products", code="C1", name="P", list_price="100")
    deal = await post(client, people.rep, "/opportunities", name="Deal", close_date="2027-01-31")
    for position, discount in ((2, 10), (1, 0)):
        await post(
            client, people.rep, f"/opportunities/{deal['id']}/lines", product_id=product["id"], quantity=2,
            discount_percent=discount, position=position,
        )  # fmt: skip
    lost = await client.post(
        f"/opportunities/{deal['id']}/stage", headers=people.rep.headers | {"If-Match": "*"},
        json={"to": "lost", "reason": "price"},
    )  # fmt: skip
    assert lost.status_code == 200, lost.text
    url = f"/opportunities/{deal['id']}/clone"
    bare = await post(client, people.rep, url, close_date="2028-01-31")
    assert (bare["status"], bare["stage"], bare["loss_reason"]) == ("open", "prospecting", None)
    assert (bare["name"], bare["close_date"], bare["amount"]) == ("Deal", "2028-01-31", "380.0000")
    whole = await post(client, people.rep, url, name="Again", with_lines=True)
    found = await client.get(f"/opportunities/{whole['id']}/lines?sort=position", headers=people.rep.headers)
    assert [(line["quantity"], line["total_price"]) for line in found.json()["items"]] == [
        (2.0, "200.0000"), (2.0, "180.0000"),
    ]  # fmt: skip
    none = await client.get(f"/opportunities/{bare['id']}/lines", headers=people.rep.headers)
    assert (whole["amount"], none.json()["items"]) == ("380.0000", [])


async def test_what_must_be_unique_is_asked_for(client: Client, people: People) -> None:
    product = await post(client, people.ops, "/products", code="U1", name="P", list_price="100")
    missing = await post(client, people.ops, f"/products/{product['id']}/clone", 422)
    assert missing["errors"][0]["pointer"] == "/code"
    clone = await post(client, people.ops, f"/products/{product['id']}/clone", code="U2")
    assert (clone["code"], clone["list_price"]) == ("U2", "100.0000")
    field = {"entity": "account", "key": "tax_id", "label": "Tax id", "type": "text", "is_unique": True}
    await post(client, people.ops, "/fields", **field)
    await post(client, people.ops, "/fields", **field | {"key": "tier", "is_unique": False})
    made = await post(client, people.rep, "/accounts", name="A", cf={"tax_id": "1", "tier": "gold"})
    clone = await post(client, people.rep, f"/accounts/{made['id']}/clone")
    assert clone["cf"] == {"tier": "gold"}


async def test_a_lead_begins_anew_and_without_what_its_maker_may_not_set(
    client: Client, people: People
) -> None:
    mql = "2026-01-05T09:00:00+00:00"
    made = await post(
        client, people.ops, "/leads", last_name="Roe", mql_at=mql, owner_id=str(people.rep.id), status="unqualified",
        unqualified_reason="no budget",
    )  # fmt: skip
    clone = await post(client, people.rep, f"/leads/{made['id']}/clone")
    assert (clone["status"], clone["unqualified_reason"], clone["mql_at"]) == ("new", None, None)
    whole = await post(client, people.ops, f"/leads/{made['id']}/clone")
    assert (whole["mql_at"], whole["owner_id"]) == (mql, None)


async def test_who_does_not_see_it_or_may_not_make_one_gets_none(client: Client, people: People) -> None:
    made = await post(client, people.rep, "/opportunities", name="Deal")
    await post(client, people.stranger, f"/opportunities/{made['id']}/clone", 404)
    await post(client, people.data, f"/opportunities/{made['id']}/clone", 403)
    unknown = await post(client, people.rep, f"/opportunities/{made['id']}/clone", 422, status="won")
    assert unknown["errors"][0]["pointer"] == "/status"


async def test_a_repeated_request_makes_one_clone(client: Client, people: People) -> None:
    made = await post(client, people.rep, "/contacts", last_name="Twice", email="twice@acme.example")
    headers = people.rep.headers | {"Idempotency-Key": "clone-1"}
    answers = [await client.post(f"/contacts/{made['id']}/clone", headers=headers, json={}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert "Duplicate-Candidates" in answers[0].headers
