"""Undo: a change set and its inverse, edits since, and who may."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from service.db import Database
from tests.conftest import People, Person

pytestmark = pytest.mark.anyio


async def make(client: httpx.AsyncClient, person: Person, **values: Any) -> dict[str, Any]:
    answer = await client.post("/accounts", headers=person.headers, json={"name": "Acme"} | values)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def edit(client: httpx.AsyncClient, person: Person, record: str, **values: Any) -> None:
    answer = await client.patch(f"/accounts/{record}", headers=person.headers, json=values)
    assert answer.status_code == 200, answer.text


async def change_of(database: Database, record: str, version: int) -> str:
    change: UUID = await database.fetchval(
        "SELECT change_id FROM history.accounts WHERE id = $1 AND version = $2 /* access:accounts */",
        UUID(record),
        version,
    )
    return str(change)


async def undo(client: httpx.AsyncClient, person: Person, change: str) -> httpx.Response:
    return await client.post(f"/changes/{change}/undo", headers=person.headers)


async def test_an_edit_is_undone_and_other_edits_stay(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    account = await make(client, people.rep, industry="retail", phone="1")
    await edit(client, people.rep, account["id"], industry="steel")
    await edit(client, people.rep, account["id"], phone="2")
    answer = await undo(client, people.rep, await change_of(database, account["id"], 2))
    assert answer.status_code == 200, answer.text
    assert answer.json()["counts"] == {"accounts": 1}
    now = (await client.get(f"/accounts/{account['id']}", headers=people.rep.headers)).json()
    assert (now["industry"], now["phone"], now["version"]) == ("retail", "2", 4)
    again = await undo(client, people.rep, answer.json()["change_id"])
    assert again.status_code == 200
    now = (await client.get(f"/accounts/{account['id']}", headers=people.rep.headers)).json()
    assert (now["industry"], now["phone"]) == ("steel", "2")


async def test_a_field_that_was_edited_since_is_a_conflict_that_lists_it(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    account = await make(client, people.rep, industry="retail")
    await edit(client, people.rep, account["id"], industry="steel", phone="1")
    await edit(client, people.rep, account["id"], industry="mining")
    answer = await undo(client, people.rep, await change_of(database, account["id"], 2))
    assert answer.status_code == 409
    assert answer.json()["conflicts"] == [
        {"resource": "accounts", "id": account["id"], "field": "industry", "made": "steel", "now": "mining"}
    ]
    now = (await client.get(f"/accounts/{account['id']}", headers=people.rep.headers)).json()
    assert (now["industry"], now["phone"], now["version"]) == ("mining", "1", 3)


async def test_a_create_and_a_delete_are_undone(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    account = await make(client, people.rep)
    url = f"/accounts/{account['id']}"
    answer = await undo(client, people.rep, await change_of(database, account["id"], 1))
    assert answer.status_code == 200
    assert (await client.get(url, headers=people.rep.headers)).status_code == 404
    assert (await undo(client, people.rep, answer.json()["change_id"])).status_code == 200
    assert (await client.get(url, headers=people.rep.headers)).status_code == 200


async def test_one_undoes_what_is_ones_own(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    account = await make(client, people.rep)
    change = await change_of(database, account["id"], 1)
    assert (await undo(client, people.rep2, change)).status_code == 403
    assert (await undo(client, people.stranger, change)).status_code == 403
    assert (await undo(client, people.ops, change)).status_code == 200


async def test_an_unknown_change_set(client: httpx.AsyncClient, people: People) -> None:
    assert (await undo(client, people.ops, str(uuid4()))).status_code == 404
    assert (await undo(client, people.ops, "7")).status_code == 404
