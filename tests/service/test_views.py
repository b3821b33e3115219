"""Saved views, personal and shared, on lists; validation rules wherever a record is written."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.conftest import People, Person

pytestmark = pytest.mark.anyio

Client = httpx.AsyncClient


async def post(client: Client, who: Person, path: str, status: int = 201, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=who.headers, json=body)
    assert answer.status_code == status, (path, answer.text)
    return answer.json()  # type: ignore[no-any-return]


async def names(client: Client, who: Person, query: str) -> list[str]:
    answer = await client.get(f"/accounts?{query}", headers=who.headers)
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


@pytest.fixture(scope="module")
async def view(client: Client, people: People) -> dict[str, Any]:
    for name, industry, staff in (("A", "retail", 5), ("B", "retail", 50), ("C", "energy", 500)):
        await post(client, people.rep, "/accounts", name=name, industry=industry, number_of_employees=staff)
    return await post(
        client, people.rep, "/views", name="Retail, largest first", resource="accounts",
        filter=[{"field": "industry", "op": "in", "value": ["retail", "media"]}], sort=["-number_of_employees"],
        columns=["name", "industry"],
    )  # fmt: skip


async def test_a_view_filters_sorts_and_chooses_columns(
    client: Client, people: People, view: dict[str, Any]
) -> None:
    url = f"view={view['id']}"
    assert await names(client, people.rep, url) == ["B", "A"]
    assert await names(client, people.rep, f"{url}&sort=name") == ["A", "B"]
    assert await names(client, people.rep, f"{url}&number_of_employees[lt]=10") == ["A"]
    first = (await client.get(f"/accounts?{url}&limit=1", headers=people.rep.headers)).json()
    assert set(first["items"][0]) == {"id", "name", "industry"}
    assert await names(client, people.rep, f"{url}&cursor={first['next']}") == ["A"]


async def test_a_view_is_its_makers_until_it_is_shared(
    client: Client, people: People, view: dict[str, Any]
) -> None:
    for who in (people.rep2, people.manager, people.admin):
        assert (await client.get(f"/views/{view['id']}", headers=who.headers)).status_code == 404
        answer = await client.get(f"/accounts?view={view['id']}", headers=who.headers)
        assert answer.status_code == 400
        assert answer.json()["detail"] == "view: there is no such view of this list."
    shared = {"shared_team_ids": [str(people.rep.actor.team_id)]}
    url = f"/views/{view['id']}"
    assert (await client.patch(url, headers=people.rep.headers, json=shared)).status_code == 200
    for who, code in (
        (people.rep2, 403), (people.manager, 403), (people.data, 403), (people.stranger, 404), (people.ops, 200),
    ):  # fmt: skip
        assert (await client.get(url, headers=who.headers)).status_code == (404 if code == 404 else 200)
        assert (await client.patch(url, headers=who.headers, json={"name": "X"})).status_code == code
    assert await names(client, people.manager, f"view={view['id']}") == ["B", "A"]
    assert (await client.get(f"/contacts?view={view['id']}", headers=people.rep.headers)).status_code == 400


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"resource": "nothing"}, "/resource"),
        ({"filter": [{"field": "no_such", "op": "eq", "value": 1}]}, "/filter/0"),
        ({"filter": [{"field": "number_of_employees", "op": "eq", "value": "x"}]}, "/filter/0"),
        ({"sort": ["name", "no_such"]}, "/sort/1"),
        ({"columns": ["no_such"]}, "/columns/0"),
        ({"shared_team_ids": [str(uuid4())]}, "/shared_team_ids/0"),
    ],
)
async def test_a_view_that_its_list_would_refuse_is_refused(
    client: Client, people: People, body: dict[str, Any], pointer: str
) -> None:
    answer = await post(client, people.rep, "/views", 422, **{"name": "V", "resource": "accounts"} | body)
    assert answer["errors"][0]["pointer"] == pointer


async def test_a_hidden_field_is_no_field_of_a_view(client: Client, people: People) -> None:
    body = {"name": "V", "resource": "contacts", "filter": [{"field": "email", "op": "eq", "value": "x"}]}
    refused = await post(client, people.data, "/views", 422, **body)
    unknown = body | {"filter": [{"field": "no_such", "op": "eq", "value": "x"}]}
    missing = await post(client, people.data, "/views", 422, **unknown)
    assert refused["detail"].replace("email", "no_such") == missing["detail"]


@pytest.fixture(scope="module")
async def rule(client: Client, people: People) -> dict[str, Any]:
    return await post(
        client, people.ops, "/validation-rules", entity="opportunity", name="Close date from proposal on",
        when=[{"field": "stage", "op": "in", "value": ["proposal", "negotiation"]},
              {"field": "amount", "op": "gt", "value": 0}],
        require=[{"field": "close_date", "op": "is_null", "value": False}],
        message="An amount needs a close date from proposal on.",
    )  # fmt: skip


async def test_a_rule_is_judged_at_create_at_a_change_and_at_a_move(
    client: Client, people: People, rule: dict[str, Any]
) -> None:
    refused = await post(client, people.rep, "/opportunities", 422, name="D", stage="proposal", amount="5")
    assert refused["errors"] == [{
        "pointer": "/close_date", "detail": "An amount needs a close date from proposal on.",
        "rule": "Close date from proposal on",
    }]  # fmt: skip
    deal = await post(client, people.rep, "/opportunities", name="D", amount="5")
    url = f"/opportunities/{deal['id']}"
    headers = people.rep.headers | {"If-Match": "*"}
    moved = await client.post(f"{url}/stage", headers=headers, json={"to": "proposal"})
    assert moved.status_code == 422
    assert moved.json()["errors"][0]["rule"] == rule["name"]
    assert (await client.patch(url, headers=headers, json={"close_date": "2027-01-01"})).status_code == 200
    assert (await client.post(f"{url}/stage", headers=headers, json={"to": "proposal"})).status_code == 200
    assert (await client.patch(url, headers=headers, json={"close_date": None})).status_code == 422
    assert (
        await client.patch(url, headers=headers, json={"close_date": None, "amount": None})
    ).status_code == 200


async def test_a_rule_counts_at_once_and_only_while_it_is_active(
    client: Client, people: People, rule: dict[str, Any]
) -> None:
    await post(client, people.ops, "/fields", entity="account", key="region", label="Region", type="text")
    made = await post(
        client, people.ops, "/validation-rules", entity="account", name="Region", message="Say the region.",
        require=[{"field": "cf.region", "op": "in", "value": ["emea", "apac"]}],
    )  # fmt: skip
    answer = await post(client, people.rep, "/accounts", 422, name="A")
    assert answer["errors"][0]["pointer"] == "/cf/region"
    await post(client, people.rep, "/accounts", name="A", cf={"region": "emea"})
    off = await client.patch(
        f"/validation-rules/{made['id']}", headers=people.ops.headers, json={"is_active": False}
    )
    assert off.status_code == 200
    await post(client, people.rep, "/accounts", name="A")
    assert (await client.post("/validation-rules", headers=people.rep.headers, json={})).status_code == 403


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"entity": "nothing"}, "/entity"),
        ({"entity": "opportunities"}, "/entity"),
        ({"when": [{"field": "no_such", "op": "eq"}]}, "/when/0/field"),
        ({"require": [{"field": "account.name", "op": "eq", "value": "x"}]}, "/require/0/field"),
        ({"field": "no_such"}, "/field"),
        ({"require": []}, "/require"),
    ],
)
async def test_a_rule_of_nothing_is_refused(
    client: Client, people: People, body: dict[str, Any], pointer: str
) -> None:
    good = {
        "entity": "opportunity",
        "name": "N",
        "message": "M",
        "require": [{"field": "name", "op": "ne", "value": ""}],
    }
    answer = await post(client, people.ops, "/validation-rules", 422, **good | body)
    assert answer["errors"][0]["pointer"] == pointer
