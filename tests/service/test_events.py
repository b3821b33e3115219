"""The feed misses nothing while writers commit out of order, and shows nobody what is not theirs."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service.access import SYSTEM
from service.db import Database
from service.domains import events
from service.ids import new_id
from service.ledger import record
from tests.conftest import People

pytestmark = pytest.mark.anyio
PAUSE_SECONDS = 0.02
"""At most, before a writer commits."""


async def pages(client: httpx.AsyncClient, headers: dict[str, str], **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        answer = await client.get("/events", params=query, headers=headers)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        query["after"] = answer.json()["next"]
        if not answer.json()["items"]:
            return found


@pytest.mark.proof
async def test_nothing_is_missed_by_the_feed_and_much_by_a_naive_reader(
    database: Database, size: Callable[[int, int], int]
) -> None:
    entity = new_id()
    writers, each = 8, size(60, 6_250)

    async def write(number: int) -> None:
        rng = random.Random(number)
        for _ in range(each):
            async with database.begin() as tx:
                await record(tx, SYSTEM, "probe.imported", "probe", entity)
                await asyncio.sleep(rng.random() * PAUSE_SECONDS)

    async def naive(seen: list[int], stop: asyncio.Event) -> None:
        last = 0
        while not stop.is_set():
            rows = await database.fetch(
                "SELECT position FROM ledger.events WHERE position > $1 AND entity_id = $2 ORDER BY position",
                last,
                entity,
            )
            seen += [row["position"] for row in rows]
            last = seen[-1] if seen else 0
            await asyncio.sleep(0)

    async def careful(seen: list[int], stop: asyncio.Event) -> None:
        after = ("0", 0)
        while not stop.is_set():
            rows, after = await events.read(database, SYSTEM, after, 100, None, entity)
            seen += [row["position"] for row in rows]
            await asyncio.sleep(0)

    stop = asyncio.Event()
    missed: list[int] = []
    kept: list[int] = []
    readers = [asyncio.create_task(naive(missed, stop)), asyncio.create_task(careful(kept, stop))]
    await asyncio.gather(*(write(number) for number in range(writers)))
    for _ in range(size(100, 1_000)):
        if len(kept) >= writers * each:
            break
        await asyncio.sleep(0.05)
    stop.set()
    await asyncio.gather(*readers)
    assert len(kept) == len(set(kept)) == writers * each
    assert len(missed) < writers * each, "the control reader must miss some, or this test shows nothing"


async def test_changes_are_read_from_history(client: httpx.AsyncClient, people: People) -> None:
    made = (await client.post("/accounts", json={"name": "Before"}, headers=people.rep.headers)).json()
    await client.patch(f"/accounts/{made['id']}", json={"name": "After"}, headers=people.rep.headers)
    created, updated = await pages(client, people.rep.headers, entity_id=made["id"])
    assert created["kind"] == "account.created"
    assert {"field": "name", "old": None, "new": "Before"} in created["changes"]
    assert updated["changes"] == [{"field": "name", "old": "Before", "new": "After"}]
    assert updated["entity_version"] == 2
    assert updated["actor_id"] == str(people.rep.id)
    assert updated["door"] == "api"


async def test_others_records_are_not_in_the_feed(client: httpx.AsyncClient, people: People) -> None:
    made = (await client.post("/accounts", json={"name": "CANARY"}, headers=people.stranger.headers)).json()
    for person, sees in (
        (people.rep, False),
        (people.manager, False),
        (people.stranger, True),
        (people.ops, True),
    ):
        found = await pages(client, person.headers, limit=200)
        assert (made["id"] in {item["entity_id"] for item in found}) == sees, person.role
        assert ("CANARY" in str(found)) == sees, person.role


async def test_hidden_fields_are_not_in_the_feed(client: httpx.AsyncClient, people: People) -> None:
    body = {"last_name": "Doe", "email": "canary@hidden.example"}
    made = await client.post("/leads", json=body, headers=people.ops.headers)
    assert made.status_code == 201, made.text
    seen = await pages(client, people.data.headers, entity_id=made.json()["id"])
    assert seen
    assert "canary" not in str(seen)
    assert "canary" in str(await pages(client, people.ops.headers, entity_id=made.json()["id"]))


async def test_pages_follow_on_each_other(client: httpx.AsyncClient, people: People) -> None:
    for number in range(7):
        await client.post("/accounts", json={"name": f"Page {number}"}, headers=people.rep.headers)
    few = await pages(client, people.rep.headers, limit=3, kind="account.created")
    many = await pages(client, people.rep.headers, limit=200, kind="account.created")
    assert [item["id"] for item in few] == [item["id"] for item in many]
    assert len({item["id"] for item in few}) == len(few) >= 7


@pytest.mark.parametrize("after", ["x", "WzFd", "WyIxIiwgImEiXQ", "W10"])
async def test_a_made_up_position_is_refused(after: str, client: httpx.AsyncClient, people: People) -> None:
    assert (
        await client.get("/events", params={"after": after}, headers=people.rep.headers)
    ).status_code == 400


async def test_what_is_derived_stands_in_the_feed_without_changes(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    """A recommendation has a table and no history."""
    deal = (await client.post("/opportunities", headers=people.rep.headers, json={"name": "D"})).json()["id"]
    recommendation = new_id()
    async with database.begin() as tx:
        await tx.execute(
            "INSERT INTO recommendations (id, opportunity_id, action, title, reason, source, rank, expires_at)"
            " VALUES ($1, $2, 'call', 'Call', 'R', 'rule', 1, now())",
            recommendation,
            deal,
        )
        await record(tx, SYSTEM, "recommendation.created", "recommendation", recommendation)
    (told,) = await pages(client, people.rep.headers, entity_id=str(recommendation))
    assert (told["kind"], told["changes"]) == ("recommendation.created", [])
    assert await pages(client, people.stranger.headers, entity_id=str(recommendation)) == []
