"""Undo: a change set and its inverse, edits since, and who may."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from service.db import Database
from service.domains.accounts import resource as accounts
from service.writes import locked, update
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


async def test_an_undo_that_would_make_a_ring_is_refused(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    top = await make(client, people.rep)
    low = await make(client, people.rep, parent_id=top["id"])
    await edit(client, people.rep, low["id"], parent_id=None)
    await edit(client, people.rep, top["id"], parent_id=low["id"])
    change = await change_of(database, low["id"], 2)
    answer = await undo(client, people.rep, change)
    assert answer.status_code == 409
    assert answer.json()["conflicts"] == [
        {"resource": "accounts", "id": low["id"], "field": "parent_id", "made": None, "now": None}
        | {"detail": "would make a ring"}
    ]
    told = (await client.get(f"/changes/{change}", headers=people.rep.headers)).json()["undo"]
    assert (told["is_possible"], told["reason"]) == (False, "This would make a ring.")
    await edit(client, people.rep, top["id"], parent_id=None)
    assert (await undo(client, people.rep, change)).status_code == 200


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
    assert (await undo(client, people.rep2, change)).status_code == 404
    assert (await undo(client, people.stranger, change)).status_code == 404
    assert (await client.get(f"/changes/{change}", headers=people.manager.headers)).status_code == 200
    assert (await undo(client, people.manager, change)).status_code == 403
    assert (await undo(client, people.ops, change)).status_code == 200


async def test_an_unknown_change_set(client: httpx.AsyncClient, people: People) -> None:
    assert (await undo(client, people.ops, str(uuid4()))).status_code == 404
    assert (await undo(client, people.ops, "7")).status_code == 404


async def test_custom_fields_and_external_ids_are_fields_by_key(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    for key, kind in (("region", "text"), ("tier", "integer"), ("vip", "boolean")):
        field = {"entity": "account", "key": key, "label": key.title(), "type": kind}
        assert (await client.post("/fields", headers=people.ops.headers, json=field)).status_code == 201
    account = await make(client, people.rep, cf={"region": "emea", "tier": 1}, external_ids={"erp": "1"})
    await edit(client, people.rep, account["id"], cf={"region": "apac", "tier": 1, "vip": True})
    await edit(client, people.rep, account["id"], cf={"region": "apac", "tier": 2, "vip": True})
    await edit(client, people.rep, account["id"], external_ids={"erp": "1", "crm": "2"})
    second = await change_of(database, account["id"], 2)
    assert (await undo(client, people.rep, second)).status_code == 200
    now = (await client.get(f"/accounts/{account['id']}", headers=people.rep.headers)).json()
    assert now["cf"] == {"region": "emea", "tier": 2}
    assert now["external_ids"] == {"erp": "1", "crm": "2"}
    third = await change_of(database, account["id"], 3)
    await edit(client, people.rep, account["id"], cf={"region": "emea", "tier": 3})
    answer = await undo(client, people.rep, third)
    assert answer.status_code == 409
    assert [(c["field"], c["made"], c["now"]) for c in answer.json()["conflicts"]] == [("cf.tier", 2, 3)]


async def test_an_undo_succeeds_after_a_thousand_unrelated_edits(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    account = await make(client, people.rep, industry="retail", phone="0")
    await edit(client, people.rep, account["id"], industry="steel")
    change = await change_of(database, account["id"], 2)
    async with database.begin() as tx:
        old = await locked(tx, accounts, people.rep.actor, UUID(account["id"]))
        for number in range(1_000):
            old = await update(tx, accounts, people.rep.actor, old, {"phone": str(number)})
    assert (await undo(client, people.rep, change)).status_code == 200
    now = (await client.get(f"/accounts/{account['id']}", headers=people.rep.headers)).json()
    assert (now["industry"], now["phone"]) == ("retail", "999")


async def test_a_set_is_undone_once_until_its_undo_is_undone(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    account = await make(client, people.rep, phone="1")
    await edit(client, people.rep, account["id"], phone="2")
    change = await change_of(database, account["id"], 2)
    first = (await undo(client, people.rep, change)).json()["change_id"]
    again = await undo(client, people.rep, change)
    assert (again.status_code, again.json()["undone_by"]) == (409, first)
    assert (await undo(client, people.rep, first)).status_code == 200
    assert (await undo(client, people.rep, change)).status_code == 200
    now = (await client.get(f"/accounts/{account['id']}", headers=people.rep.headers)).json()
    assert now["phone"] == "1"


async def test_what_was_created_and_deleted_since_does_not_stand_in_the_way(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    account = await make(client, people.rep)
    change = await change_of(database, account["id"], 1)
    await client.delete(f"/accounts/{account['id']}", headers=people.rep.headers)
    assert (await undo(client, people.rep, change)).status_code == 200


async def test_a_conversion_is_undone_as_one(client: httpx.AsyncClient, people: People) -> None:
    headers = people.rep.headers
    lead = (await client.post("/leads", headers=headers, json={"last_name": "Roe", "company": "Roe"})).json()
    made = (await client.post(f"/leads/{lead['id']}/convert", headers=headers, json={})).json()
    past = (await client.get(f"/leads/{lead['id']}/history", headers=headers)).json()["items"]
    answer = await undo(client, people.rep, past[0]["change_id"])
    assert answer.status_code == 200, answer.text
    assert (await client.get(f"/leads/{lead['id']}", headers=headers)).json()["status"] == "new"
    for path, part in (("accounts", "account"), ("contacts", "contact"), ("opportunities", "opportunity")):
        gone = await client.get(f"/{path}/{made[part]['id']}", headers=headers)
        assert gone.status_code == 404, path


async def test_each_record_of_an_undo_is_heard_of(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    account = await make(client, people.rep, phone="1")
    await edit(client, people.rep, account["id"], phone="2")
    await undo(client, people.rep, await change_of(database, account["id"], 2))
    events = (await client.get(f"/events?entity_id={account['id']}", headers=people.rep.headers)).json()
    last = events["items"][-1]
    assert (last["kind"], last["entity_version"]) == ("account.updated", 3)
    assert last["changes"] == [{"field": "phone", "old": "2", "new": "1"}]


async def test_change_sets_are_listed_and_told_whole(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    headers = people.rep2.headers
    account = await make(client, people.rep2, phone="1")
    for number in range(2, 5):
        await edit(client, people.rep2, account["id"], phone=str(number))
    found, cursor = [], ""
    while cursor is not None:
        page = (await client.get(f"/changes?limit=3{cursor and '&cursor=' + cursor}", headers=headers)).json()
        found += page["items"]
        cursor = page["next"]
    assert [item["kind"] for item in found] == ["account.updated"] * 3 + ["account.created"]
    assert {item["actor_id"] for item in found} == {str(people.rep2.id)}
    whole = (await client.get(f"/changes/{found[0]['id']}", headers=headers)).json()
    assert whole["counts"] == {"accounts": {"created": 0, "updated": 1, "deleted": 0}}
    assert whole["records"][0]["changes"] == [{"field": "phone", "old": "3", "new": "4"}]
    assert whole["undo"] == {"is_possible": True, "reason": None, "conflicts": []}
    earlier = (await client.get(f"/changes/{found[1]['id']}", headers=headers)).json()
    assert not earlier["undo"]["is_possible"]
    assert earlier["undo"]["conflicts"][0]["field"] == "phone"
    ids = {item["id"] for item in found}
    for person, sees in ((people.manager, True), (people.ops, True), (people.rep, False)):
        theirs = (await client.get("/changes?limit=200", headers=person.headers)).json()["items"]
        assert (ids <= {item["id"] for item in theirs}) is sees
        answer = await client.get(f"/changes/{found[0]['id']}", headers=person.headers)
        assert answer.status_code == (200 if sees else 404)
    assert (await client.get("/changes?cursor=x", headers=headers)).status_code == 400


async def test_an_undo_goes_no_further_than_one_sees(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    account = await make(client, people.rep)
    change = await change_of(database, account["id"], 1)
    given = await client.post(
        f"/accounts/{account['id']}/assign",
        headers=people.ops.headers,
        json={"owner_id": str(people.stranger.id)},
    )
    assert given.status_code == 200, given.text
    assert (await undo(client, people.rep, change)).status_code == 403


async def test_what_was_done_to_administrators_only_an_administrator_takes_back(
    client: httpx.AsyncClient, people: People
) -> None:
    draft = {"email": "second@test.example", "name": "Second", "role": "admin"}
    made = (await client.post("/users", headers=people.admin.headers, json=draft)).json()
    past = (await client.get(f"/users/{made['id']}/history", headers=people.admin.headers)).json()
    change = past["items"][0]["change_id"]
    assert (await undo(client, people.ops, change)).status_code == 403
    assert (await undo(client, people.admin, change)).status_code == 200
