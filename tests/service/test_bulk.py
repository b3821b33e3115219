"""Bulk: bound to the filter as it was, by the rules of each record, told row by row, undone as one."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from service.db import Database
from service.domains import bulk
from service.ids import new_id
from service.worker import Worker
from tests.conftest import People, Person, define

pytestmark = pytest.mark.anyio


async def make(client: httpx.AsyncClient, person: Person, path: str, **values: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=person.headers, json=values)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def accounts(client: httpx.AsyncClient, person: Person, mark: str, number: int) -> list[str]:
    return [
        (await make(client, person, "/accounts", name=f"{mark} {n}", industry=mark))["id"]
        for n in range(number)
    ]


async def send(client: httpx.AsyncClient, person: Person, **body: Any) -> httpx.Response:
    return await client.post("/bulk", headers=person.headers, json={"resource": "accounts"} | body)


async def finished(
    client: httpx.AsyncClient, person: Person, worker: Worker, started: httpx.Response
) -> dict[str, Any]:
    assert started.status_code == 202, started.text
    await worker.drain()
    return (await client.get(f"/jobs/{started.json()['job']}", headers=person.headers)).json()  # type: ignore[no-any-return]


async def phones(client: httpx.AsyncClient, person: Person, mark: str) -> list[str]:
    items = (await client.get(f"/accounts?industry={mark}&sort=name", headers=person.headers)).json()["items"]
    return [item["phone"] for item in items]


async def test_what_a_filter_finds_is_changed_and_comes_back(
    client: httpx.AsyncClient, people: People, worker: Worker
) -> None:
    rep = people.rep
    ids = await accounts(client, rep, "alpha", 3)
    await accounts(client, people.stranger, "alpha", 1)
    wish: dict[str, Any] = {
        "action": "update",
        "filter": [{"field": "industry", "op": "eq", "value": "alpha"}],
        "set": {"phone": "7"},
    }
    said = await client.post("/bulk/preview", headers=rep.headers, json={"resource": "accounts"} | wish)
    assert said.status_code == 200, said.text
    assert said.json()["count"] == 3
    assert [item["id"] for item in said.json()["sample"]] == ids
    job = await finished(client, rep, worker, await send(client, rep, token=said.json()["token"], **wish))
    assert (job["status"], job["total"], job["processed"], job["counts"]) == ("done", 3, 3, {"updated": 3})
    assert await phones(client, rep, "alpha") == ["7", "7", "7"]
    assert await phones(client, people.stranger, "alpha") == [None], "each changes what is theirs"
    events = (await client.get(f"/events?entity_id={ids[0]}", headers=rep.headers)).json()["items"]
    assert (events[-1]["kind"], events[-1]["door"], events[-1]["actor_id"]) == (
        "account.updated",
        "job",
        str(rep.id),
    )
    await client.patch(f"/accounts/{ids[0]}", headers=rep.headers, json={"website": "later.example"})
    undone = await client.post(f"/jobs/{job['id']}/undo", headers=rep.headers)
    assert undone.json()["counts"] == {"accounts": 3}, undone.text
    assert await phones(client, rep, "alpha") == [None, None, None]


async def test_a_preview_binds_the_job_to_what_it_showed(client: httpx.AsyncClient, people: People) -> None:
    rep = people.rep
    ids = await accounts(client, rep, "beta", 2)
    wish: dict[str, Any] = {"action": "delete", "filter": "industry=beta"}
    body = {"resource": "accounts"} | wish

    async def token() -> str:
        return (await client.post("/bulk/preview", headers=rep.headers, json=body)).json()["token"]  # type: ignore[no-any-return]

    first = await token()
    await client.patch(f"/accounts/{ids[0]}", headers=rep.headers, json={"phone": "1"})
    stale = await send(client, rep, token=first, **wish)
    assert (stale.status_code, stale.json()["previewed"], stale.json()["found"]) == (409, 2, 2)
    second = await token()
    await accounts(client, rep, "beta", 1)
    stale = await send(client, rep, token=second, **wish)
    assert (stale.status_code, stale.json()["previewed"], stale.json()["found"]) == (409, 2, 3)
    other = await send(client, rep, token=await token(), action="delete", filter="industry=gamma")
    assert other.json()["errors"][0]["pointer"] == "/token"
    assert (await send(client, rep, token="x", **wish)).json()["errors"][0]["pointer"] == "/token"
    assert (await send(client, rep, token=await token(), **wish)).status_code == 202


async def test_rows_that_changed_meanwhile_are_told_and_left_alone(
    client: httpx.AsyncClient, people: People, worker: Worker
) -> None:
    rep = people.rep
    ids = await accounts(client, rep, "delta", 4)
    started = await send(client, rep, action="update", filter={"industry": "delta"}, set={"phone": "7"})
    await client.patch(f"/accounts/{ids[1]}", headers=rep.headers, json={"phone": "mine"})
    await client.delete(f"/accounts/{ids[2]}", headers=rep.headers)
    late = await accounts(client, rep, "delta", 1)
    job = await finished(client, rep, worker, started)
    assert job["counts"] == {"updated": 2, "failed": 2}
    assert {error["id"]: error["detail"] for error in job["errors"]} == {
        ids[1]: "was changed meanwhile: version 1 then, 2 now",
        ids[2]: "There is no such account.",
    }
    record = await client.get(f"/accounts/{late[0]}", headers=rep.headers)
    assert record.json()["phone"] is None, "it was not there when the job was asked for"
    assert sorted(map(str, await phones(client, rep, "delta"))) == ["7", "7", "None", "mine"]


async def test_rules_hold_row_by_row(client: httpx.AsyncClient, people: People, worker: Worker) -> None:
    rep = people.rep
    product = await make(client, people.ops, "/products", code="x", name="X")
    plain = await make(client, rep, "/opportunities", name="Epsilon 1", type="renewal")
    lined = await make(client, rep, "/opportunities", name="Epsilon 2", type="renewal")
    await make(
        client,
        rep,
        f"/opportunities/{lined['id']}/lines",
        product_id=product["id"],
        quantity=1,
        unit_price="5",
    )
    wish: dict[str, Any] = {
        "resource": "opportunities",
        "action": "update",
        "filter": "name[starts]=Epsilon",
        "set": {"amount": "9"},
    }
    job = await finished(client, rep, worker, await send(client, rep, **wish))
    assert job["counts"] == {"updated": 1, "failed": 1}
    assert [(error["id"], error["column"]) for error in job["errors"]] == [(lined["id"], "amount")]
    now = (await client.get(f"/opportunities/{plain['id']}", headers=rep.headers)).json()
    assert (now["amount"], now["amount_home"]) == ("9.0000", "9.0000")


async def test_records_are_handed_over_and_deleted(
    client: httpx.AsyncClient, people: People, worker: Worker
) -> None:
    manager = people.manager
    for n in range(3):
        await make(client, people.rep, "/leads", last_name=f"Zeta {n}", company="Zeta")
    wish: dict[str, Any] = {
        "resource": "leads",
        "action": "assign",
        "filter": "company=Zeta",
        "set": {"owner_id": str(people.rep2.id)},
    }
    assert (await send(client, people.rep, **wish)).status_code == 403
    beyond = await send(client, manager, **wish | {"set": {"owner_id": str(people.stranger.id)}})
    assert beyond.status_code == 422
    job = await finished(client, manager, worker, await send(client, manager, **wish))
    assert job["counts"] == {"updated": 3}
    found = (await client.get("/leads?company=Zeta", headers=people.rep2.headers)).json()["items"]
    assert {item["owner_id"] for item in found} == {str(people.rep2.id)}
    assert all(item["assigned_at"] for item in found)
    gone = {"resource": "leads", "action": "delete", "filter": "company=Zeta"}
    job = await finished(client, manager, worker, await send(client, manager, **gone))
    assert job["counts"] == {"deleted": 3}
    assert (await client.get("/leads?company=Zeta", headers=manager.headers)).json()["items"] == []
    await client.post(f"/jobs/{job['id']}/undo", headers=manager.headers)
    assert len((await client.get("/leads?company=Zeta", headers=manager.headers)).json()["items"]) == 3


async def test_a_job_goes_on_where_a_killed_one_stopped(
    client: httpx.AsyncClient,
    people: People,
    worker: Worker,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rep = people.rep
    await accounts(client, rep, "eta", 5)
    started = await send(client, rep, action="update", filter="industry=eta", set={"phone": "7"})
    monkeypatch.setattr(bulk, "CHUNK", 2)
    change, chunks = bulk._change, []

    async def killed(*args: Any) -> str:
        chunks.append(1)
        if len(chunks) == 4:
            raise asyncio.CancelledError
        return await change(*args)

    monkeypatch.setattr(bulk, "_change", killed)
    with pytest.raises(asyncio.CancelledError):
        await worker.drain()
    job_id = UUID(started.json()["job"])
    await database.execute("UPDATE jobs SET lease_until = NULL, run_at = now() WHERE id = $1", job_id)
    job = await finished(client, rep, worker, started)
    assert (job["status"], job["processed"], job["counts"]) == ("done", 5, {"updated": 5})
    assert await phones(client, rep, "eta") == ["7"] * 5
    versions = await database.fetchval(
        "SELECT max(version) FROM accounts WHERE industry = 'eta' /* access:accounts */"
    )
    assert versions == 2, "none was changed twice"


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"action": "update", "filter": "nose=1", "set": {"phone": "1"}}, 400, "nose"),
        ({"action": "update", "filter": {"nose": 1}, "set": {"phone": "1"}}, 400, "nose"),
        ({"action": "update", "filter": "limit=3", "set": {"phone": "1"}}, 400, "/filter"),
        ({"action": "update", "filter": "name[like]=a", "set": {"phone": "1"}}, 400, None),
        ({"action": "update", "filter": "", "set": {"phone": "1"}}, 422, "/filter"),
        ({"action": "update", "filter": [], "set": {"phone": "1"}}, 422, "/filter"),
        ({"action": "update", "set": {"phone": "1"}}, 422, "/filter"),
        ({"action": "update", "filter": "name=a"}, 422, "/set"),
        ({"action": "update", "filter": "name=a", "set": {}}, 422, "/set"),
        ({"action": "update", "filter": "name=a", "set": {"nose": 1}}, 422, "/set/nose"),
        ({"action": "update", "filter": "name=a", "set": {"phone": 1}}, 422, "/set/phone"),
        ({"action": "update", "filter": "name=a", "set": {"owner_id": None}}, 422, "/set/owner_id"),
        ({"action": "assign", "filter": "name=a", "set": {"phone": "1"}}, 422, "/set"),
        ({"action": "assign", "filter": "name=a", "set": {"owner_id": "x"}}, 422, "/set/owner_id"),
        ({"action": "delete", "filter": "name=a", "set": {"phone": "1"}}, 422, "/set"),
        ({"action": "delete", "filter": "name=a", "items": [{}]}, 422, "/items"),
        ({"action": "burn", "filter": "name=a"}, 422, "/action"),
        ({"action": "create", "items": []}, 422, "/items"),
        ({"action": "create", "items": [{}] * 1_001}, 422, "/items"),
        ({"action": "create", "items": [{"name": "a"}], "filter": "name=a"}, 422, "/filter"),
        ({"resource": "deals", "action": "delete", "filter": "name=a"}, 422, "/resource"),
        ({"resource": "lines", "action": "delete", "filter": "quantity=1"}, 422, "/resource"),
    ],
)
async def test_what_is_none_is_refused(
    client: httpx.AsyncClient, people: People, body: dict[str, Any], status: int, pointer: str | None
) -> None:
    answer = await send(client, people.ops, **body)
    assert answer.status_code == status, answer.text
    assert pointer is None or answer.json()["errors"][0]["pointer"] == pointer


async def test_who_studies_models_changes_nothing(client: httpx.AsyncClient, people: People) -> None:
    refused = await send(client, people.data, action="delete", filter="name=a")
    assert refused.status_code == 403
    rep = await send(client, people.rep, resource="products", action="delete", filter="name=a")
    assert rep.status_code == 403


async def test_too_many_are_refused(
    client: httpx.AsyncClient, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accounts(client, people.rep, "theta", 3)
    monkeypatch.setattr(bulk, "MOST_CHANGED", 2)
    answer = await send(client, people.rep, action="delete", filter="industry=theta")
    assert answer.json()["errors"] == [
        {"pointer": "/filter", "detail": "finds more than 2 records: narrow it down"}
    ]


async def test_a_thousand_are_created_at_once_or_none(
    client: httpx.AsyncClient, people: People, worker: Worker, database: Database
) -> None:
    await define(database, "opportunity", n="integer")
    rep = people.rep
    items = [{"name": f"Iota {n}", "amount": "10", "cf": {"n": n}} for n in range(1_000)]
    key = rep.headers | {"Idempotency-Key": "iota"}
    body = {"resource": "opportunities", "action": "create", "items": items}
    made = await client.post("/bulk", headers=key, json=body)
    assert made.status_code == 201, made.text
    assert (await client.post("/bulk", headers=key, json=body)).text == made.text
    ids = made.json()["ids"]
    assert len(set(ids)) == 1_000
    one = (await client.get(f"/opportunities/{ids[7]}", headers=rep.headers)).json()
    assert (one["name"], one["amount_home"], one["owner_id"], one["cf"]) == (
        "Iota 7",
        "10.0000",
        str(rep.id),
        {"n": 7},
    )
    (event,) = (await client.get(f"/events?entity_id={ids[7]}", headers=rep.headers)).json()["items"]
    assert (event["kind"], event["entity_version"]) == ("opportunity.created", 1)
    assert {"field": "name", "old": None, "new": "Iota 7"} in event["changes"]
    undone = await client.post(f"/changes/{made.json()['change_id']}/undo", headers=rep.headers)
    assert undone.json()["counts"] == {"opportunities": 1_000}, undone.text
    wrong = [{"name": "Kappa"}, {"name": ""}, {"nose": 1}, {"name": "K", "account_id": str(new_id())}]
    refused = await send(client, rep, resource="opportunities", action="create", items=wrong)
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/items/1/name", "/items/2/nose"]
    refused = await send(client, rep, resource="opportunities", action="create", items=[wrong[0], wrong[3]])
    assert refused.json()["errors"] == [
        {"pointer": "/items/1/account_id", "detail": "there is no such record"}
    ]
    found = (await client.get("/opportunities?name=Kappa", headers=rep.headers)).json()["items"]
    assert found == []


async def test_records_that_write_elsewhere_are_created_too(
    client: httpx.AsyncClient, people: People
) -> None:
    lead = await make(client, people.rep, "/leads", last_name="Lambda")
    call = {
        "type": "call",
        "occurred_at": "2026-01-05T09:00:00Z",
        "direction": "outbound",
        "lead_id": lead["id"],
    }
    made = await send(client, people.rep, resource="activities", action="create", items=[call, call])
    assert made.status_code == 201, made.text
    assert len(made.json()["ids"]) == 2
