"""Trees: accounts, teams, reporting lines; whole, as far as one sees, and never in a ring."""

import asyncio
from typing import Any

import httpx
import pytest

from service import trees
from service.db import Database
from tests.conftest import People, Person

pytestmark = pytest.mark.anyio


async def _account(client: httpx.AsyncClient, person: Person, name: str, parent: str | None = None) -> str:
    answer = await client.post("/accounts", headers=person.headers, json={"name": name, "parent_id": parent})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]  # type: ignore[no-any-return]


async def _tree(client: httpx.AsyncClient, person: Person, path: str) -> dict[str, Any]:
    answer = await client.get(f"{path}/tree", headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_the_whole_tree_is_told_from_anywhere_in_it(client: httpx.AsyncClient, people: People) -> None:
    top = await _account(client, people.rep, "Top")
    left = await _account(client, people.rep, "Left", top)
    right = await _account(client, people.rep, "Right", top)
    leaf = await _account(client, people.rep, "Leaf", left)
    for start in (top, left, right, leaf):
        told = await _tree(client, people.rep, f"/accounts/{start}")
        shape = [(item["name"], item["depth"], item["children"]) for item in told["items"]]
        assert shape == [("Top", 0, 2), ("Left", 1, 1), ("Leaf", 2, 0), ("Right", 1, 0)]
        assert (told["root_id"], told["is_whole"]) == (top, True)
    assert told["items"][2]["parent_id"] == left
    assert told["items"][0]["record"]["owner_id"] == str(people.rep.id)
    await client.delete(f"/accounts/{left}", headers=people.rep.headers)
    assert [item["name"] for item in (await _tree(client, people.rep, f"/accounts/{leaf}"))["items"]] == [
        "Leaf"
    ]


async def test_a_branch_ends_at_what_one_does_not_see(client: httpx.AsyncClient, people: People) -> None:
    top = await _account(client, people.stranger, "Theirs")
    middle = await _account(client, people.ops, "Mine")
    await client.post(
        f"/accounts/{middle}/assign", headers=people.ops.headers, json={"owner_id": str(people.rep.id)}
    )
    await client.patch(f"/accounts/{middle}", headers=people.ops.headers, json={"parent_id": top})
    assert [item["name"] for item in (await _tree(client, people.rep, f"/accounts/{middle}"))["items"]] == [
        "Mine"
    ]
    assert len((await _tree(client, people.ops, f"/accounts/{middle}"))["items"]) == 2
    assert [i["name"] for i in (await _tree(client, people.stranger, f"/accounts/{top}"))["items"]] == [
        "Theirs"
    ]
    unseen = await client.get(f"/accounts/{top}/tree", headers=people.rep.headers)
    assert unseen.status_code == 404


@pytest.mark.parametrize(
    ("path", "column", "body"),
    [
        ("/accounts", "parent_id", {"name": "N"}),
        ("/teams", "parent_id", {"name": "N"}),
        ("/contacts", "reports_to_id", {"last_name": "N"}),
        ("/campaigns", "parent_id", {"name": "N"}),
    ],
)
async def test_a_ring_is_a_conflict(
    client: httpx.AsyncClient, people: People, path: str, column: str, body: dict[str, Any]
) -> None:
    ops = people.ops.headers
    upper = (await client.post(path, headers=ops, json=body)).json()["id"]
    middle = (await client.post(path, headers=ops, json=body | {column: upper})).json()["id"]
    lower = (await client.post(path, headers=ops, json=body | {column: middle})).json()["id"]
    for target in (lower, middle, upper):
        answer = await client.patch(f"{path}/{upper}", headers=ops, json={column: target})
        assert answer.status_code == 409, answer.text
        assert answer.json()["errors"] == [{"pointer": f"/{column}", "detail": "would make a ring"}]
    told = await _tree(client, people.ops, f"{path}/{lower}")
    assert [item["depth"] for item in told["items"]] == [0, 1, 2]
    fine = await client.patch(f"{path}/{lower}", headers=ops, json={column: upper})
    assert fine.status_code == 200


async def test_two_changes_at_once_close_no_ring(client: httpx.AsyncClient, people: People) -> None:
    for _ in range(5):
        one = await _account(client, people.rep, "One")
        two = await _account(client, people.rep, "Two")
        answers = await asyncio.gather(
            client.patch(f"/accounts/{one}", headers=people.rep.headers, json={"parent_id": two}),
            client.patch(f"/accounts/{two}", headers=people.rep.headers, json={"parent_id": one}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_a_tree_is_bounded_and_a_ring_from_elsewhere_ends(
    client: httpx.AsyncClient, people: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "MOST_NODES", 3)
    top = await _account(client, people.rep, "Wide")
    for number in range(5):
        await _account(client, people.rep, f"Part {number}", top)
    told = await _tree(client, people.rep, f"/accounts/{top}")
    assert (len(told["items"]), told["is_whole"]) == (3, False)
    one = await _account(client, people.rep, "One")
    two = await _account(client, people.rep, "Two", one)
    async with database.begin() as tx:
        await tx.execute("SELECT set_config('sales.event', gen_random_uuid()::text, TRUE)")
        await tx.execute(
            "UPDATE accounts SET parent_id = $2::uuid WHERE id = $1::uuid /* access:accounts */", one, two
        )
    told = await _tree(client, people.rep, f"/accounts/{one}")
    assert {item["name"] for item in told["items"]} == {"One", "Two"}


async def test_those_who_take_part_report_within_the_deal(client: httpx.AsyncClient, people: People) -> None:
    rep = people.rep.headers
    person = (await client.post("/contacts", headers=rep, json={"last_name": "Poe"})).json()["id"]
    deals = [
        f"/opportunities/{(await client.post('/opportunities', headers=rep, json={'name': 'D'})).json()['id']}"
        for _ in range(2)
    ]
    body = {"contact_id": person, "role": "champion"}
    boss, other = [
        (await client.post(f"{deal}/stakeholders", headers=rep, json=body)).json()["id"] for deal in deals
    ]
    below = await client.post(f"{deals[0]}/stakeholders", headers=rep, json=body | {"reports_to_id": boss})
    assert below.status_code == 201
    elsewhere = await client.post(
        f"{deals[0]}/stakeholders", headers=rep, json=body | {"reports_to_id": other}
    )
    assert (elsewhere.status_code, elsewhere.json()["errors"][0]["pointer"]) == (422, "/reports_to_id")
    ring = await client.patch(
        f"{deals[0]}/stakeholders/{boss}", headers=rep, json={"reports_to_id": below.json()["id"]}
    )
    assert ring.status_code == 409
