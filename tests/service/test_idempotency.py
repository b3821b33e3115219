"""A POST with an Idempotency-Key happens once: races over the pool, replays, other bodies, failures."""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from uuid import uuid4

import httpx
import pytest

from service.db import Database
from tests.conftest import People

pytestmark = pytest.mark.anyio

RACE = 25


@pytest.fixture(scope="module")
async def pipeline(client: httpx.AsyncClient, people: People) -> None:
    """Deals are made in a transaction of several statements, accounts in one statement: both are tried."""
    admin = people.admin.headers
    made = (
        await client.post("/pipelines", headers=admin, json={"key": "p", "name": "P", "is_default": True})
    ).json()
    await client.post("/stages", headers=admin, json={
        "pipeline_id": made["id"], "key": "open", "name": "Open", "position": 1, "status": "open",
        "probability": 0.5, "forecast_category": "pipeline",
    })  # fmt: skip


async def count(database: Database, table: str, name: str) -> tuple[int, int]:
    """Rows of this name, and events about them."""
    rows = await database.fetch(f"SELECT id FROM {table} WHERE name = $1 /* access:{table} */", name)
    events = await database.fetchval(
        "SELECT count(*) FROM ledger.events WHERE entity_id = ANY($1::uuid[])", [row["id"] for row in rows]
    )
    return len(rows), events


def post(client: httpx.AsyncClient, people: People, path: str, key: str, name: str) -> Any:
    return client.post(path, headers=people.rep.headers | {"Idempotency-Key": key}, json={"name": name})


@pytest.mark.proof
@pytest.mark.parametrize("path", ["/accounts", "/opportunities"])
async def test_concurrent_posts_make_one_row_and_one_event(
    client: httpx.AsyncClient, people: People, database: Database, pipeline: None, path: str,
    size: Callable[[int, int], int],
) -> None:  # fmt: skip
    for round_ in range(size(4, 200)):
        key, name = str(uuid4()), f"race {round_} {path}"
        answers = await asyncio.gather(*(post(client, people, path, key, name) for _ in range(RACE)))
        assert {answer.status_code for answer in answers} <= {201, 409}
        made = [answer for answer in answers if answer.status_code == 201]
        assert made
        assert len({answer.content for answer in made}) == 1
        assert len([answer for answer in made if "idempotent-replay" not in answer.headers]) == 1
        assert await count(database, path[1:], name) == (1, 1)
        replay = await post(client, people, path, key, name)
        assert replay.content == made[0].content
        assert replay.status_code == 201
        assert replay.headers["idempotent-replay"] == "true"
        assert replay.headers["location"] == made[0].headers["location"]
        assert replay.headers["etag"] == '"1"'


@pytest.mark.parametrize("path", ["/accounts", "/opportunities"])
async def test_another_body_under_the_same_key_is_422(
    client: httpx.AsyncClient, people: People, database: Database, pipeline: None, path: str
) -> None:
    key = str(uuid4())
    assert (await post(client, people, path, key, "first")).status_code == 201
    assert (await post(client, people, path, key, "second")).status_code == 422
    assert await count(database, path[1:], "second") == (0, 0)
    other_path = "/contacts"
    answer = await client.post(
        other_path, headers=people.rep.headers | {"Idempotency-Key": key}, json={"last_name": "first"}
    )
    assert answer.status_code == 422


@pytest.mark.parametrize("path", ["/accounts", "/opportunities"])
async def test_a_failure_is_not_kept(
    client: httpx.AsyncClient, people: People, database: Database, pipeline: None, path: str
) -> None:
    key = str(uuid4())
    headers = people.rep.headers | {"Idempotency-Key": key}
    wrong = await client.post(path, headers=headers, json={"name": "n", "owner_id": str(people.stranger.id)})
    assert wrong.status_code == 422
    right = await client.post(path, headers=headers, json={"name": f"mended {path}"})
    assert right.status_code == 201
    assert await count(database, path[1:], f"mended {path}") == (1, 1)


async def test_keys_belong_to_their_person(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    key = str(uuid4())
    ids = set()
    for person in (people.rep, people.rep2):
        answer = await client.post(
            "/accounts", headers=person.headers | {"Idempotency-Key": key}, json={"name": "mine"}
        )
        assert answer.status_code == 201
        ids.add(answer.json()["id"])
    assert len(ids) == 2


@pytest.mark.parametrize("path", ["/accounts", "/opportunities"])
async def test_a_key_in_flight_is_409(
    client: httpx.AsyncClient, people: People, database: Database, pipeline: None, path: str
) -> None:
    """While the first call's transaction is open the second one hears so, and nothing of it stays."""
    key = str(uuid4())
    lock = sha256(f"{people.rep.id}:{key}".encode()).digest()[:8]
    async with database.begin() as tx:
        await tx.fetchval("SELECT pg_advisory_xact_lock($1)", int.from_bytes(lock, "big", signed=True))
        answer = await post(client, people, path, key, f"flying {path}")
        assert answer.status_code == 409
        assert await count(database, path[1:], f"flying {path}") == (0, 0)
    assert (await post(client, people, path, key, f"flying {path}")).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "tab\there"])
async def test_a_key_that_is_none(client: httpx.AsyncClient, people: People, key: str) -> None:
    assert (await post(client, people, "/accounts", key, "never")).status_code == 400


async def test_a_kept_answer_is_still_only_for_who_may_create(
    client: httpx.AsyncClient, people: People
) -> None:
    """The key of one who may not write at all is no way in."""
    headers = people.data.headers | {"Idempotency-Key": str(uuid4())}
    assert (await client.post("/accounts", headers=headers, json={"name": "x"})).status_code == 403
