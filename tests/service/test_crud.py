"""The ordinary routes: versions as ETags, races, what a body may not hold, and what stays after a failure."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from service.db import Database
from tests.conftest import People

pytestmark = pytest.mark.anyio


async def made(client: httpx.AsyncClient, person: Any, **values: Any) -> dict[str, Any]:
    answer = await client.post("/accounts", headers=person.headers, json={"name": "Acme"} | values)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def events(database: Database, record_id: str) -> list[str]:
    rows = await database.fetch(
        "SELECT kind FROM ledger.events WHERE entity_id = $1 ORDER BY position", UUID(record_id)
    )
    return [row["kind"] for row in rows]


async def test_a_create_answers_with_what_is_stored(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    field = {"entity": "account", "key": "region", "label": "Region", "type": "text"}
    assert (await client.post("/fields", headers=people.ops.headers, json=field)).status_code == 201
    answer = await client.post(
        "/accounts", headers=people.rep.headers, json={"name": "Acme", "cf": {"region": "emea"}}
    )
    account = answer.json()
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == f"/api/v1/accounts/{account['id']}"
    assert UUID(account["id"]).version == 7
    assert account["created_by_id"] == account["owner_id"] == str(people.rep.id)
    read = await client.get(f"/accounts/{account['id']}", headers=people.rep.headers)
    assert read.json() == account
    assert await events(database, account["id"]) == ["account.created"]
    assert (await client.get(
        f"/accounts/{account['id']}", headers=people.rep.headers | {"If-None-Match": '"1"'}
    )).status_code == 304  # fmt: skip


async def test_of_a_hundred_patches_with_one_etag_one_wins(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    account = await made(client, people.rep)
    answers = await asyncio.gather(*(
        client.patch(
            f"/accounts/{account['id']}", headers=people.rep.headers | {"If-Match": '"1"'}, json={"description": str(n)}
        )
        for n in range(100)
    ))  # fmt: skip
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 99
    (winner,) = [answer for answer in answers if answer.status_code == 200]
    assert winner.headers["etag"] == '"2"'
    stored = (await client.get(f"/accounts/{account['id']}", headers=people.rep.headers)).json()
    assert stored == winner.json()
    assert await events(database, account["id"]) == ["account.created", "account.updated"]
    loser = next(answer for answer in answers if answer.status_code == 412)
    assert loser.json()["version"] == 2


async def test_patches_without_an_etag_all_count(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    account = await made(client, people.rep)
    answers = await asyncio.gather(*(
        client.patch(f"/accounts/{account['id']}", headers=people.rep.headers, json={"description": str(n)})
        for n in range(20)
    ))  # fmt: skip
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 22))


async def test_a_patch_that_changes_nothing_makes_no_version(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    account = await made(client, people.rep, industry="retail")
    for body in ({}, {"industry": "retail"}, {"industry": "retail", "name": "Acme", "phone": None}):
        answer = await client.patch(f"/accounts/{account['id']}", headers=people.rep.headers, json=body)
        assert answer.json() == account
    assert await events(database, account["id"]) == ["account.created"]


@pytest.mark.parametrize(
    ("match", "status"),
    [('"1"', 200), ("1", 200), ('W/"1"', 200), ("*", 200), ('"7"', 412), ("soon", 412), ("", 412)],
)
async def test_if_match(client: httpx.AsyncClient, people: People, match: str, status: int) -> None:
    account = await made(client, people.rep)
    headers = people.rep.headers | {"If-Match": match}
    answer = await client.patch(f"/accounts/{account['id']}", headers=headers, json={"industry": "x"})
    assert answer.status_code == status


async def test_put_needs_the_version_and_clears_what_it_leaves_out(
    client: httpx.AsyncClient, people: People
) -> None:
    account = await made(client, people.rep, industry="retail", phone="1")
    url = f"/accounts/{account['id']}"
    assert (await client.put(url, headers=people.rep.headers, json={"name": "B"})).status_code == 428
    answer = await client.put(
        url, headers=people.rep.headers | {"If-Match": '"1"'}, json={"name": "B", "phone": "2"}
    )
    assert answer.status_code == 200, answer.text
    assert (answer.json()["name"], answer.json()["phone"], answer.json()["industry"]) == ("B", "2", None)
    assert answer.json()["owner_id"] == account["owner_id"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "A", "stage": "x"}, "/stage"),
        ({"name": "A", "version": 3}, "/version"),
        ({"name": "A", "deleted_at": None}, "/deleted_at"),
        ({"name": 7}, "/name"),
        ({"name": ""}, "/name"),
        ({"name": " "}, "/name"),
        ({"name": "x" * 256}, "/name"),
        ({"name": "A", "annual_revenue": "-1"}, "/annual_revenue"),
        ({"name": "A", "annual_revenue": "NaN"}, "/annual_revenue"),
        ({"name": "A", "number_of_employees": -1}, "/number_of_employees"),
        ({"name": "A", "parent_id": str(uuid4())}, "/parent_id"),
        ({"name": "A", "parent_id": "7"}, "/parent_id"),
        ({"name": "A", "billing_address": {"planet": "Mars"}}, "/billing_address/planet"),
        ({"name": "A", "cf": {"x": {"deep": 1}}}, "/cf"),
        ({"name": "a\0b"}, ""),
        ({}, "/name"),
    ],
)
async def test_a_wrong_body_is_422_and_stores_nothing(
    client: httpx.AsyncClient, people: People, database: Database, body: Any, pointer: str
) -> None:
    count = (
        "SELECT (SELECT count(*) FROM accounts /* access:accounts */), (SELECT count(*) FROM ledger.events)"
    )
    before = await database.fetchrow(count)
    answer = await client.post("/accounts", headers=people.rep.headers, json=body)
    assert answer.status_code == 422, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert await database.fetchrow(count) == before


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"", 400), (b"[]", 422), (b"null", 422), (b'"x"', 422), (b"\xff\xfe", 400), (b"{" * 5000, 400),
     (b'{"name": "' + b"x" * 1_100_000 + b'"}', 413)],
)  # fmt: skip
async def test_a_body_that_is_none(
    client: httpx.AsyncClient, people: People, content: bytes, status: int
) -> None:
    headers = people.rep.headers | {"Content-Type": "application/json"}
    answer = await client.post("/accounts", headers=headers, content=content)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_deleted_is_gone_until_it_is_restored(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    account = await made(client, people.rep, name="Gone Inc")
    url = f"/accounts/{account['id']}"
    assert (await client.delete(url, headers=people.rep.headers | {"If-Match": '"9"'})).status_code == 412
    assert (await client.delete(url, headers=people.rep.headers)).status_code == 204
    for call in (client.get(url, headers=people.rep.headers), client.delete(url, headers=people.rep.headers),
                 client.patch(url, headers=people.rep.headers, json={"name": "x"})):  # fmt: skip
        assert (await call).status_code == 404
    found = await client.get("/accounts?name=Gone Inc", headers=people.rep.headers)
    assert found.json()["items"] == []
    refused = await client.post(
        "/contacts", headers=people.rep.headers, json={"last_name": "X", "account_id": account["id"]}
    )
    assert refused.status_code == 422
    restored = await client.post(url + "/restore", headers=people.rep.headers)
    assert restored.json()["version"] == 3
    assert (await client.post(url + "/restore", headers=people.rep.headers)).status_code == 404
    assert await events(database, account["id"]) == ["account.created", "account.deleted", "account.restored"]


async def test_a_nested_resource_lives_under_its_parent(client: httpx.AsyncClient, people: People) -> None:
    """A stakeholder of one deal is none of another deal's."""
    admin = people.admin.headers
    pipeline = (
        await client.post("/pipelines", headers=admin, json={"key": "n", "name": "N", "is_default": True})
    ).json()
    await client.post("/stages", headers=admin, json={
        "pipeline_id": pipeline["id"], "key": "open", "name": "Open", "position": 1, "status": "open",
        "probability": 0.5, "forecast_category": "pipeline",
    })  # fmt: skip
    deals = [
        (await client.post("/opportunities", headers=people.rep.headers, json={"name": name})).json()["id"]
        for name in "ab"
    ]
    contact = (await client.post("/contacts", headers=people.rep.headers, json={"last_name": "Doe"})).json()
    answer = await client.post(
        f"/opportunities/{deals[0]}/stakeholders", headers=people.rep.headers,
        json={"contact_id": contact["id"], "role": "champion"},
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    assert (
        answer.headers["location"] == f"/api/v1/opportunities/{deals[0]}/stakeholders/{answer.json()['id']}"
    )
    where = answer.headers["location"].removeprefix("/api/v1")
    assert (await client.get(where, headers=people.rep.headers)).json() == answer.json()
    other = f"/opportunities/{deals[1]}/stakeholders"
    assert (await client.get(other, headers=people.rep.headers)).json()["items"] == []
    for call in (client.get(f"{other}/{answer.json()['id']}", headers=people.rep.headers),
                 client.patch(f"{other}/{answer.json()['id']}", headers=people.rep.headers, json={"notes": "x"}),
                 client.delete(f"{other}/{answer.json()['id']}", headers=people.rep.headers),
                 client.get(f"/opportunities/{deals[0]}/stakeholders", headers=people.stranger.headers),
                 client.post(f"/opportunities/{uuid4()}/stakeholders", headers=people.rep.headers,
                             json={"contact_id": contact["id"], "role": "champion"})):  # fmt: skip
        assert (await call).status_code == 404
