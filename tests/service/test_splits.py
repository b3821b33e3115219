"""Splits: revenue is shared out once, overlay credit is free, and credit opens no doors."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.conftest import People

pytestmark = pytest.mark.anyio


async def _deal(client: httpx.AsyncClient, people: People) -> str:
    made = await client.post("/opportunities", headers=people.rep.headers, json={"name": "Deal"})
    return f"/opportunities/{made.json()['id']}"


async def _split(
    client: httpx.AsyncClient, people: People, deal: str, who: str, **body: Any
) -> httpx.Response:
    body = {"user_id": str(getattr(people, who).id)} | body
    return await client.post(f"{deal}/splits", headers=people.rep.headers, json=body)


async def test_revenue_is_shared_out_once_and_overlay_is_free(
    client: httpx.AsyncClient, people: People
) -> None:
    deal = await _deal(client, people)
    first = await _split(client, people, deal, "rep", percent=60)
    assert (first.status_code, first.json()["type"]) == (201, "revenue")
    over = await _split(client, people, deal, "rep2", percent=50)
    assert over.status_code == 409
    assert over.json()["errors"] == [{"pointer": "/percent", "detail": "leaves 40 percent at most"}]
    assert (await _split(client, people, deal, "rep2", percent=40)).status_code == 201
    for who in ("manager", "rep", "rep2"):
        assert (await _split(client, people, deal, who, percent=100, type="overlay")).status_code == 201
    twice = await _split(client, people, deal, "rep", percent=1, type="overlay")
    assert twice.status_code == 409
    url = f"{deal}/splits/{first.json()['id']}"
    assert (await client.patch(url, headers=people.rep.headers, json={"percent": 61})).status_code == 409
    assert (await client.patch(url, headers=people.rep.headers, json={"percent": 10})).status_code == 200
    assert (await client.delete(url, headers=people.rep.headers)).status_code == 204
    assert (await _split(client, people, deal, "manager", percent=60)).status_code == 201
    back = await client.post(f"{url}/restore", headers=people.rep.headers)
    assert back.status_code == 409, "a split that comes back is judged like any other"


async def test_splits_that_come_at_once_stay_within_the_deal(
    client: httpx.AsyncClient, people: People
) -> None:
    deal = await _deal(client, people)
    answers = await asyncio.gather(
        *(_split(client, people, deal, who, percent=60) for who in ("rep", "rep2", "manager", "ops"))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_thirds_are_all(client: httpx.AsyncClient, people: People) -> None:
    deal = await _deal(client, people)
    for who in ("rep", "rep2", "manager"):
        assert (await _split(client, people, deal, who, percent=33.3333334)).status_code == 201
    for percent in (0, -1, 100.1):
        assert (await _split(client, people, deal, "ops", percent=percent)).status_code == 422


async def test_credit_is_no_key(client: httpx.AsyncClient, people: People) -> None:
    deal = await _deal(client, people)
    assert (await _split(client, people, deal, "stranger", percent=10)).status_code == 201
    assert (await client.get(deal, headers=people.stranger.headers)).status_code == 404
    assert (await client.get(f"{deal}/splits", headers=people.stranger.headers)).status_code == 404
