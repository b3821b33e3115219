"""People who leave: everything goes to others and comes back, sessions end, an administrator remains."""

import asyncio
from typing import Any

import httpx
import pytest
from litestar import Litestar

from service.access import SYSTEM
from service.db import Database
from service.domains.sessions import open_session
from service.domains.users import resource as users
from service.merging import references_to
from service.transferring import STAYS
from service.writes import insert, locked
from tests.conftest import People, Person

pytestmark = pytest.mark.anyio


async def make(client: httpx.AsyncClient, person: Person, path: str, **values: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=person.headers, json=values)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def get(client: httpx.AsyncClient, person: Person, path: str) -> dict[str, Any]:
    answer = await client.get(path, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def somebody(client: httpx.AsyncClient, people: People, name: str, **values: Any) -> dict[str, Any]:
    draft = {"email": f"{name}@leaving.example", "name": name, "role": "rep"} | values
    return await make(client, people.admin, "/users", **draft)


async def transfer(
    client: httpx.AsyncClient, person: Person, leaver: Any, path: str = "transfer", **body: Any
) -> httpx.Response:
    return await client.post(f"/users/{leaver['id']}/{path}", headers=person.headers, json=body)


async def filled(
    client: httpx.AsyncClient, people: People, leaver: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """One of each kind in the leaver's hands."""
    ops, owner = people.ops, {"owner_id": leaver["id"]}
    account = await make(client, ops, "/accounts", name="Acme", industry="steel", **owner)
    won = await make(client, ops, "/opportunities", name="Won", **owner)
    closed = await client.post(
        f"/opportunities/{won['id']}/stage", headers=ops.headers | {"If-Match": "*"}, json={"to": "won"}
    )
    assert closed.status_code == 200, closed.text
    task = {"type": "task", "due_at": "2030-01-01T00:00:00Z", "subject": "Call"}
    return {
        "account": account,
        "other": await make(client, ops, "/accounts", name="Other", industry="retail", **owner),
        "lead": await make(client, ops, "/leads", last_name="Roe", **owner),
        "deal": await make(client, ops, "/opportunities", name="Open", account_id=account["id"], **owner),
        "won": won,
        "task": await make(client, ops, "/activities", **task, **owner),
        "team": await make(client, ops, "/teams", name="East", manager_id=leaver["id"]),
        "report": await somebody(client, people, f"report-of-{leaver['name']}", manager_id=leaver["id"]),
    }


PATHS = {
    "account": ("/accounts", "owner_id"), "other": ("/accounts", "owner_id"), "lead": ("/leads", "owner_id"),
    "deal": ("/opportunities", "owner_id"), "won": ("/opportunities", "owner_id"), "task": ("/activities", "owner_id"),
    "team": ("/teams", "manager_id"), "report": ("/users", "manager_id"),
}  # fmt: skip


async def holders(client: httpx.AsyncClient, people: People, held: dict[str, Any]) -> dict[str, Any]:
    return {
        name: (await get(client, people.ops, f"{PATHS[name][0]}/{held[name]['id']}"))[PATHS[name][1]]
        for name in PATHS
    }


async def test_everything_goes_as_one_and_comes_back(client: httpx.AsyncClient, people: People) -> None:
    leaver = await somebody(client, people, "Lea")
    heir, steel = [await somebody(client, people, name) for name in ("Heir", "Steel")]
    held = await filled(client, people, leaver)
    before = await holders(client, people, held)
    assert set(before.values()) == {leaver["id"]}
    rules = [{"resource": "accounts", "to": steel["id"], "filter": {"industry": "steel"}}]
    wish = {"to": heir["id"], "rules": rules, "deactivate": True}
    plan = await transfer(client, people.ops, leaver, "transfer/preview", **wish)
    assert plan.status_code == 200, plan.text
    moved = {(one["resource"], one["to_id"]): one["count"] for one in plan.json()["moved"]}
    assert moved == {
        ("accounts", steel["id"]): 1, ("accounts", heir["id"]): 1, ("leads", heir["id"]): 1,
        ("opportunities", heir["id"]): 1, ("activities", heir["id"]): 1, ("teams", heir["id"]): 1,
        ("users", heir["id"]): 1,
    }  # fmt: skip
    assert plan.json()["left"] == []
    assert await holders(client, people, held) == before, "a preview changes nothing"

    done = await transfer(client, people.ops, leaver, **wish)
    assert done.status_code == 200, done.text
    assert done.json()["moved"] == plan.json()["moved"]
    after = await holders(client, people, held)
    assert after.pop("account") == steel["id"]
    assert after.pop("won") == leaver["id"], "closed business stays whose it was"
    assert set(after.values()) == {heir["id"]}
    assert (await get(client, people.ops, f"/users/{leaver['id']}"))["is_active"] is False
    events = (await get(client, people.ops, f"/events?entity_id={held['lead']['id']}"))["items"]
    assert events[-1]["change_id"] == done.json()["change_id"]

    undone = await client.post(f"/changes/{done.json()['change_id']}/undo", headers=people.ops.headers)
    assert undone.status_code == 200, undone.text
    assert await holders(client, people, held) == before
    assert (await get(client, people.ops, f"/users/{leaver['id']}"))["is_active"] is True


async def test_who_takes_over_reports_to_whom_the_leaver_reported_to(
    client: httpx.AsyncClient, people: People
) -> None:
    boss = await somebody(client, people, "Boss")
    leaver = await somebody(client, people, "Middle", manager_id=boss["id"])
    heir = await somebody(client, people, "Promoted", manager_id=leaver["id"])
    peer = await somebody(client, people, "Peer", manager_id=leaver["id"])
    low = await somebody(client, people, "Low", manager_id=peer["id"])
    ring = await transfer(client, people.ops, leaver, to=low["id"])
    assert ring.status_code == 409
    assert (await transfer(client, people.ops, leaver, to=heir["id"])).status_code == 200
    managers = [(await get(client, people.ops, f"/users/{one['id']}"))["manager_id"] for one in (heir, peer)]
    assert managers == [boss["id"], heir["id"]]


async def test_wrong_transfers_are_refused(client: httpx.AsyncClient, people: People) -> None:
    leaver, heir = [await somebody(client, people, name) for name in ("Lew", "Hank")]
    ops = people.ops
    for body, pointer in (
        ({}, "/to"),
        ({"to": leaver["id"]}, "/to"),
        ({"to": "01890000-0000-7000-8000-000000000000"}, "/to"),
        ({"rules": [{"resource": "deals", "to": heir["id"]}]}, "/rules/0/resource"),
        ({"rules": [{"resource": "accounts", "to": heir["id"], "filter": ""}]}, "/rules/0/filter"),
        ({"rules": [{"resource": "accounts", "to": heir["id"], "filter": "nose=1"}]}, "nose"),
    ):  # fmt: skip
        answer = await transfer(client, ops, leaver, "transfer/preview", **body)  # type: ignore[arg-type]  # bodies of all kinds
        assert answer.status_code == (400 if pointer == "nose" else 422), answer.text
        assert answer.json()["errors"][0]["pointer"] == pointer
    assert (await transfer(client, people.manager, leaver, to=heir["id"])).status_code == 403
    nobody = {"id": "01890000-0000-7000-8000-000000000000"}
    assert (await transfer(client, ops, nobody, to=heir["id"])).status_code == 404
    headers = ops.headers | {"If-Match": '"9"'}
    stale = await client.post(f"/users/{leaver['id']}/transfer", headers=headers, json={"to": heir["id"]})
    assert stale.status_code == 412
    key = ops.headers | {"Idempotency-Key": "handed"}
    answers = [
        await client.post(f"/users/{leaver['id']}/transfer", headers=key, json={"to": heir["id"]})
        for _ in range(2)
    ]
    assert answers[0].text == answers[1].text


async def test_access_ends_at_once_and_what_waits_is_told(
    client: httpx.AsyncClient, people: People, app: Litestar, database: Database
) -> None:
    leaver = await somebody(client, people, "Gone")
    await make(client, people.ops, "/accounts", name="Left behind", owner_id=leaver["id"])
    row = await database.fetchrow("SELECT id FROM users WHERE name = 'Gone'")

    async def signed_in() -> dict[str, str]:
        session, _ = await open_session(database, row["id"], "token")
        return {"Authorization": f"Bearer {app.state.gate.tokens.issue(row['id'], session, seconds=3600)}"}

    headers = await signed_in()
    assert (await client.get("/me", headers=headers)).status_code == 200
    done = await client.post(f"/users/{leaver['id']}/deactivate", headers=people.ops.headers, json={})
    assert done.status_code == 200, done.text
    assert [(one["resource"], one["count"]) for one in done.json()["holdings"]] == [("accounts", 1)]
    assert (await client.get("/me", headers=headers)).status_code == 401
    held = await get(client, people.ops, f"/users/{leaver['id']}/holdings")
    assert held["items"] == done.json()["holdings"]
    await client.patch(f"/users/{leaver['id']}", headers=people.ops.headers, json={"is_active": True})
    assert (await client.get("/me", headers=headers)).status_code == 401, "the old session stays ended"
    headers = await signed_in()
    await client.patch(f"/users/{leaver['id']}", headers=people.ops.headers, json={"is_active": False})
    assert (await client.get("/me", headers=headers)).status_code == 401


async def test_an_administrator_always_remains(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    url = f"/users/{people.admin.id}"
    for values in ({"is_active": False}, {"role": "rep"}):
        answer = await client.patch(url, headers=people.admin.headers, json=values)
        assert answer.status_code == 409, answer.text
    assert (await client.delete(url, headers=people.admin.headers)).status_code == 409
    assert (await client.post(f"{url}/deactivate", headers=people.admin.headers, json={})).status_code == 409
    second = await somebody(client, people, "Second", role="admin")
    created = (await get(client, people.admin, f"/users/{second['id']}/history"))["items"][0]["change_id"]
    async with database.begin() as tx:
        admin = await locked(tx, users, SYSTEM, people.admin.id)
        assert admin["is_active"]
    assert (await client.delete(f"/users/{second['id']}", headers=people.admin.headers)).status_code == 204
    undone = await client.post(f"/changes/{created}/undo", headers=people.admin.headers)
    assert undone.status_code == 200, "it is gone already"


async def test_two_administrators_do_not_unmake_each_other_at_once(
    client: httpx.AsyncClient, people: People, database: Database, app: Litestar
) -> None:
    async with database.begin() as tx:
        second = await insert(
            tx, users, SYSTEM, {"email": "other@admin.example", "name": "Other", "role": "admin"}
        )
    session, _ = await open_session(database, second["id"], "token")
    other = {"Authorization": f"Bearer {app.state.gate.tokens.issue(second['id'], session, seconds=3600)}"}
    answers = await asyncio.gather(
        client.patch(f"/users/{second['id']}", headers=people.admin.headers, json={"role": "rep"}),
        client.patch(f"/users/{people.admin.id}", headers=other, json={"role": "rep"}),
    )
    assert sorted(answer.status_code for answer in answers) in ([200, 403], [200, 409], [200, 401])
    left = await database.fetchval(
        "SELECT count(*) FROM users WHERE role = 'admin' AND is_active AND deleted_at IS NULL"
    )
    assert left == 1


def test_what_stays_is_there() -> None:
    names = {reference.name for reference in references_to("users")}
    assert set(STAYS) <= names
    assert {"accounts.owner_id", "teams.manager_id", "users.manager_id", "territories.member_ids"} <= names


async def test_who_is_not_active_is_given_nothing_new(client: httpx.AsyncClient, people: People) -> None:
    leaver = await somebody(client, people, "Away")
    contact = await make(client, people.ops, "/contacts", last_name="Doe", owner_id=leaver["id"])
    other = await make(client, people.ops, "/contacts", last_name="Roe")
    headers, owner = people.ops.headers, {"owner_id": leaver["id"]}
    await client.post(f"/users/{leaver['id']}/deactivate", headers=headers, json={})
    answers = [
        await client.post("/accounts", headers=headers, json={"name": "A"} | owner),
        await client.post("/opportunities", headers=headers, json={"name": "D"} | owner),
        await client.patch(f"/contacts/{other['id']}", headers=headers, json=owner),
        await client.post(
            "/bulk", headers=headers,
            json={"resource": "contacts", "action": "create", "items": [{"last_name": "B"} | owner]},
        ),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [422] * 4
    errors = [answer.json()["errors"][0] for answer in answers]
    assert {error["detail"] for error in errors} == {"is not an active user"}
    assert [error["pointer"] for error in errors] == ["/owner_id"] * 3 + ["/items/0/owner_id"]
    kept = await client.patch(f"/contacts/{contact['id']}", headers=headers, json={"phone": "1"})
    assert (kept.status_code, kept.json()["owner_id"]) == (200, leaver["id"])
