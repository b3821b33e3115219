"""Beyond ownership: shares to read and to write, territories, custom roles; and the explanations of all that."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from litestar import Litestar

from service import ledger, writes
from service.access import SYSTEM
from service.db import Database
from service.domains.accounts import resource as accounts
from service.domains.opportunities import resource as opportunities
from service.domains.shares import resource as shares
from service.domains.territories import models
from tests.conftest import People, Person

pytestmark = pytest.mark.anyio

Client = httpx.AsyncClient


async def post(client: Client, who: Person, path: str, status: int = 201, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=who.headers, json=body)
    assert answer.status_code == status, (path, answer.text)
    return answer.json()  # type: ignore[no-any-return]


@pytest.fixture
async def deal(client: Client, people: People) -> dict[str, Any]:
    account = await post(client, people.rep, "/accounts", name="Acme")
    return await post(
        client, people.rep, "/opportunities", name="Deal", account_id=account["id"], amount="100"
    )


async def status(client: Client, who: Person, deal: dict[str, Any]) -> tuple[int, int]:
    """Of a look at the deal, and of a change."""
    url = f"/opportunities/{deal['id']}"
    read = await client.get(url, headers=who.headers)
    written = await client.patch(url, headers=who.headers, json={"next_step": str(uuid4())})
    return read.status_code, written.status_code


async def share(client: Client, who: Person, deal: dict[str, Any], **more: Any) -> dict[str, Any]:
    return await post(client, who, "/shares", resource="opportunities", record_id=deal["id"], **more)


async def test_a_share_opens_one_record_at_its_level_until_it_ends(
    client: Client, people: People, deal: dict[str, Any]
) -> None:
    assert await status(client, people.stranger, deal) == (404, 404)
    made = await share(
        client, people.rep, deal, user_id=str(people.stranger.id), reason="helps with security"
    )
    assert await status(client, people.stranger, deal) == (200, 403)
    refused = await client.patch(
        f"/opportunities/{deal['id']}", headers=people.stranger.headers, json={"next_step": "mine"}
    )
    assert "to read, not to change: helps with security" in refused.json()["detail"]
    listed = await client.get("/opportunities?count=true", headers=people.stranger.headers)
    assert [item["id"] for item in listed.json()["items"]] == [deal["id"]]
    assert (
        await client.get(f"/accounts/{deal['account_id']}", headers=people.stranger.headers)
    ).status_code == 200
    for method, path, body in (
        ("POST", "stage", {"to": "proposal"}),
        ("POST", "stakeholders", {"contact_id": str(uuid4()), "role": "champion"}),
        ("DELETE", "", None),
    ):
        url = f"/opportunities/{deal['id']}/{path}".rstrip("/")
        answer = await client.request(
            method, url, headers=people.stranger.headers | {"If-Match": "*"}, json=body
        )
        assert answer.status_code == 403, (method, path, answer.text)

    patched = await client.patch(f"/shares/{made['id']}", headers=people.rep.headers, json={"level": "write"})
    assert patched.status_code == 200, patched.text
    assert await status(client, people.stranger, deal) == (200, 200)
    assert (await client.delete(f"/shares/{made['id']}", headers=people.rep.headers)).status_code == 204
    assert await status(client, people.stranger, deal) == (404, 404)


async def test_a_share_that_is_over_opens_nothing(
    client: Client, people: People, deal: dict[str, Any], app: Litestar, database: Database
) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = await share(client, people.rep, deal, user_id=str(people.stranger.id), expires_at=soon)
    assert await status(client, people.stranger, deal) == (200, 403)
    async with database.begin() as tx:
        row = await writes.locked(tx, shares, SYSTEM, UUID(made["id"]))
        await ledger.record(tx, SYSTEM, "share.updated", "share", row["id"], version=row["version"] + 1)
        await writes._write(tx, shares, SYSTEM, row["id"], {"expires_at": datetime.now(UTC)})
    app.state.gate.forget()
    assert await status(client, people.stranger, deal) == (404, 404)


async def test_a_team_s_share_reaches_its_people_and_a_managers_people_s(
    client: Client, people: People, deal: dict[str, Any]
) -> None:
    theirs = await post(client, people.stranger, "/opportunities", name="Theirs")
    team = people.rep.actor.team_id
    await share(client, people.stranger, theirs, team_id=str(team), level="write")
    for who in (people.rep, people.rep2, people.manager):
        assert await status(client, who, theirs) == (200, 200)
    other = await post(client, people.stranger, "/opportunities", name="Other")
    await share(client, people.stranger, other, user_id=str(people.rep.id))
    assert await status(client, people.manager, other) == (200, 403)
    assert await status(client, people.rep2, other) == (404, 404)


async def test_who_may_share_what(client: Client, people: People, deal: dict[str, Any]) -> None:
    body = {"resource": "opportunities", "record_id": deal["id"], "user_id": str(people.rep2.id)}
    await post(client, people.stranger, "/shares", 422, **body)
    await share(client, people.rep, deal, user_id=str(people.stranger.id), level="write")
    await post(client, people.stranger, "/shares", 403, **body)
    await post(client, people.data, "/shares", 403, **body)
    made = await share(client, people.manager, deal, user_id=str(people.rep2.id))
    await post(client, people.rep, "/shares", 409, **body)
    assert (await client.delete(f"/shares/{made['id']}", headers=people.rep2.headers)).status_code == 403
    assert (await client.delete(f"/shares/{made['id']}", headers=people.stranger.headers)).status_code == 404
    assert (await client.delete(f"/shares/{made['id']}", headers=people.rep.headers)).status_code == 204
    both = body | {"team_id": str(people.rep.actor.team_id), "user_id": str(people.stranger.id)}
    await post(client, people.rep, "/shares", 422, **both)
    past = body | {"expires_at": "2020-01-01T00:00:00Z"}
    await post(client, people.rep, "/shares", 422, **past)


@pytest.fixture
async def territory(
    client: Client, people: People, database: Database, app: Litestar, deal: dict[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """A territory of the active model, with the deal in it and `stranger` as its member."""
    model = await post(client, people.ops, "/territory-models", name=f"Model {uuid4()}")
    parent = await post(client, people.ops, "/territories", model_id=model["id"], name="Europe")
    made = await post(
        client, people.ops, "/territories", model_id=model["id"], name="North", parent_id=parent["id"],
        member_ids=[str(people.stranger.id)],
    )  # fmt: skip
    async with database.begin() as tx:
        row = await writes.locked(tx, models, SYSTEM, UUID(model["id"]))
        await writes.update(tx, models, SYSTEM, row, {"status": "active"})
        for of, record in ((opportunities, deal["id"]), (accounts, deal["account_id"])):
            row = await writes.locked(tx, of, SYSTEM, UUID(record))
            await writes.update(tx, of, SYSTEM, row, {"territory_id": UUID(made["id"])})
    app.state.gate.forget()
    yield made | {"parent": parent["id"]}
    async with database.begin() as tx:
        row = await writes.locked(tx, models, SYSTEM, UUID(model["id"]))
        await writes.update(tx, models, SYSTEM, row, {"status": "archived"})
    app.state.gate.forget()


async def test_a_territory_of_the_active_model_is_read_by_its_owner_and_members(
    client: Client, people: People, deal: dict[str, Any], territory: dict[str, Any]
) -> None:
    assert await status(client, people.stranger, deal) == (200, 403)
    assert await status(client, people.rep2, deal) == (404, 404)
    above = await client.patch(
        f"/territories/{territory['parent']}",
        headers=people.ops.headers,
        json={"owner_id": str(people.rep2.id)},
    )
    assert above.status_code == 200
    assert await status(client, people.rep2, deal) == (200, 403)
    account = f"/accounts/{deal['account_id']}"
    assert (await client.get(account, headers=people.stranger.headers)).status_code == 200
    assert (
        await client.patch(account, headers=people.stranger.headers, json={"name": "X"})
    ).status_code == 403


async def test_a_custom_role_takes_away_and_nothing_else(client: Client, people: People) -> None:
    role = await post(
        client, people.admin, "/roles", key="junior", name="Junior rep", base_role="rep",
        removed_permissions=["opportunities:delete"], hidden_fields=["accounts.annual_revenue"],
        read_only_fields=["accounts.industry"],
    )  # fmt: skip
    assert "delete" in role["permissions"]["opportunities"]
    me = f"/users/{people.rep2.id}"
    assert (
        await client.patch(me, headers=people.ops.headers, json={"role_id": role["id"]})
    ).status_code == 200
    account = await post(client, people.rep2, "/accounts", name="A")
    assert "annual_revenue" not in account
    url = f"/accounts/{account['id']}"
    for body, code in (({"annual_revenue": "1"}, 422), ({"industry": "x"}, 403), ({"name": "B"}, 200)):
        answer = await client.patch(url, headers=people.rep2.headers, json=body)
        assert answer.status_code == code, answer.text
    assert (
        await client.get("/accounts?annual_revenue[gt]=0", headers=people.rep2.headers)
    ).status_code == 400
    deal = await post(client, people.rep2, "/opportunities", name="D")
    gone = await client.delete(f"/opportunities/{deal['id']}", headers=people.rep2.headers)
    assert gone.status_code == 403
    assert "Junior rep" in gone.json()["detail"]
    assert (await client.delete(f"/roles/{role['id']}", headers=people.admin.headers)).status_code == 409
    assert (await client.patch(me, headers=people.ops.headers, json={"role_id": None})).status_code == 200
    assert "annual_revenue" in (await client.get(url, headers=people.rep2.headers)).json()


async def test_a_field_hidden_by_a_custom_role_is_hidden_everywhere(client: Client, people: People) -> None:
    """On the deal's page, in its history, timeline and events, on the board, in the day, by GraphQL."""
    deal = await post(client, people.rep2, "/opportunities", name="Kept", next_step="canary5c")
    url = f"/opportunities/{deal['id']}"
    role = await post(
        client,
        people.admin,
        "/roles",
        key="narrow",
        name="Narrow",
        base_role="rep",
        hidden_fields=["opportunities.next_step"],
    )
    page = "http://testserver.local"
    looks = (
        url, f"{url}/history", f"{url}/timeline", f"{url}/room", f"{url}/recommendations", "/opportunities", "/board",
        "/events?limit=200", "/me/day", "/changes", "/search?q=canary5c", f"{page}/deals/{deal['id']}", f"{page}/board",
    )  # fmt: skip
    shown = [(await client.get(look, headers=people.rep2.headers)).text for look in looks]
    assert sum("canary5c" in text for text in shown) >= 4
    me = f"/users/{people.rep2.id}"
    assert (
        await client.patch(me, headers=people.ops.headers, json={"role_id": role["id"]})
    ).status_code == 200
    for look in looks:
        answer = await client.get(look, headers=people.rep2.headers)
        assert answer.status_code == 200, (look, answer.text)
        assert "canary5c" not in answer.text.replace("q=canary5c", ""), look
    question = {"query": f'{{ opportunity(id: "{deal["id"]}") {{ name next_step }} }}'}
    answered = await client.post(f"{page}/graphql", headers=people.rep2.headers, json=question)
    assert "Cannot query field 'next_step'" in answered.json()["errors"][0]["message"]
    assert (await client.patch(me, headers=people.ops.headers, json={"role_id": None})).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"removed_permissions": ["audit:read"]}, "/removed_permissions/0"),
        ({"hidden_fields": ["opportunities.amount"]}, "/hidden_fields/0"),
        ({"hidden_fields": ["accounts.no_such"]}, "/hidden_fields/0"),
        ({"read_only_fields": ["users.name"]}, "/read_only_fields/0"),
    ],
)
async def test_a_role_that_makes_no_sense_is_refused(
    client: Client, people: People, body: dict[str, Any], pointer: str
) -> None:
    answer = await post(
        client, people.admin, "/roles", 422, key=f"k{uuid4().hex}", name="R", base_role="rep", **body
    )
    assert answer["errors"][0]["pointer"] == pointer


async def test_built_in_roles_are_listed_and_stay(client: Client, people: People) -> None:
    found = (await client.get("/roles?is_built_in=true&sort=key", headers=people.rep.headers)).json()["items"]
    assert [role["key"] for role in found] == [
        "admin", "data_scientist", "integration", "manager", "ops", "rep",
    ]  # fmt: skip
    url = f"/roles/{found[0]['id']}"
    assert (await client.patch(url, headers=people.admin.headers, json={"name": "X"})).status_code == 409
    assert (await client.delete(url, headers=people.admin.headers)).status_code == 409
    mismatch = await client.patch(
        f"/users/{people.rep.id}", headers=people.ops.headers, json={"role_id": found[0]["id"]}
    )
    assert mismatch.status_code == 422


async def test_read_only_fields_of_a_built_in_role(client: Client, people: People) -> None:
    lead = {"last_name": "L", "mql_at": "2026-01-01T00:00:00Z"}
    assert (await client.post("/leads", headers=people.rep.headers, json=lead)).status_code == 403
    assert (await client.post("/leads", headers=people.ops.headers, json=lead)).status_code == 201


async def explain(client: Client, asker: Person, record: str, **more: Any) -> dict[str, Any]:
    answer = await client.get("/access/explain", headers=asker.headers, params={"record": record} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_an_explanation_says_what_happens(
    client: Client, people: People, deal: dict[str, Any], territory: dict[str, Any]
) -> None:
    """For each person and record: the verdict is what the door itself answers."""
    await share(client, people.rep, deal, user_id=str(people.rep2.id), level="write", reason="on leave")
    rules = {
        "rep": "ownership", "rep2": "share", "stranger": "territory", "manager": "team_hierarchy", "ops": "all_records",
        "data": "all_records", "admin": "all_records",
    }  # fmt: skip
    for name, rule in rules.items():
        who = getattr(people, name)
        told = await explain(client, people.ops, f"opportunities:{deal['id']}", user=str(who.id))
        read, written = await status(client, who, deal)
        assert (told["can_read"], told["can_write"]) == (read == 200, written == 200), (name, told)
        assert rule in [step["rule"] for step in told["chain"] if step["allows"]], (name, told)
    text = str(await explain(client, people.admin, deal["id"], user=str(people.manager.id)))
    assert "manages the team West" in text
    assert "on leave" in str(await explain(client, people.ops, deal["id"], user=str(people.rep2.id)))


async def test_an_explanation_of_a_field(client: Client, people: People) -> None:
    lead = await post(client, people.rep, "/leads", last_name="L", email="l@acme.example")
    told = await explain(client, people.ops, f"leads:{lead['id']}", user=str(people.data.id), field="phone")
    assert told["field"] == {"name": "phone", "can_read": False, "can_write": False}
    assert any(step["rule"] == "hidden_field" and not step["allows"] for step in told["chain"])
    mine = await explain(client, people.rep, f"leads:{lead['id']}", field="mql_at")
    assert mine["field"] == {"name": "mql_at", "can_read": True, "can_write": False}
    for field in ("phone", "no_such_field"):
        answer = await client.get(
            f"/access/explain?record=leads:{lead['id']}&field={field}", headers=people.data.headers
        )
        assert answer.status_code == 400
        assert answer.json()["detail"] == f"There is no field {field!r} here."


async def test_explanations_are_for_oneself_and_for_operations(
    client: Client, people: People, deal: dict[str, Any]
) -> None:
    url = f"/access/explain?record=opportunities:{deal['id']}"
    assert (await client.get(url, headers=people.rep.headers)).status_code == 200
    asked = await client.get(f"{url}&user={people.rep2.id}", headers=people.rep.headers)
    assert asked.status_code == 403
    hidden = await client.get(url, headers=people.stranger.headers)
    missing = await client.get(
        f"/access/explain?record=opportunities:{uuid4()}", headers=people.stranger.headers
    )
    assert hidden.status_code == missing.status_code == 404
    assert hidden.json()["detail"] == missing.json()["detail"]
    for bad in ("record=x", "record=nothing:" + deal["id"], "", "record=jobs:" + deal["id"]):
        assert (await client.get(f"/access/explain?{bad}", headers=people.ops.headers)).status_code == 400, (
            bad
        )
    nobody = await client.get(f"{url}&user={uuid4()}", headers=people.ops.headers)
    assert nobody.status_code == 404
