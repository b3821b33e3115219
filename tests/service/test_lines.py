"""Lines: their totals, and the deal's amount that follows them."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.conftest import People

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def product(client: httpx.AsyncClient, people: People) -> dict[str, Any]:
    body = {"code": "GTX", "name": "GTX Basic", "list_price": "550", "currency": "USD"}
    return (await client.post("/products", headers=people.ops.headers, json=body)).json()


async def _deal(client: httpx.AsyncClient, people: People, **members: Any) -> str:
    made = await client.post("/opportunities", headers=people.rep.headers, json={"name": "Deal"} | members)
    return f"/opportunities/{made.json()['id']}"


async def _amount(client: httpx.AsyncClient, people: People, url: str) -> Any:
    return (await client.get(url, headers=people.rep.headers)).json()["amount"]


async def test_the_amount_is_the_sum_of_the_lines(
    client: httpx.AsyncClient, people: People, product: dict[str, Any]
) -> None:
    url = await _deal(client, people, amount=1)
    listed = await client.post(
        url + "/lines", headers=people.rep.headers, json={"product_id": product["id"], "quantity": 2}
    )
    assert listed.status_code == 201, listed.text
    assert (listed.json()["unit_price"], listed.json()["total_price"]) == ("550.0000", "1100.0000")
    assert listed.headers["location"].endswith(f"{url}/lines/{listed.json()['id']}")
    cut = {"product_id": product["id"], "quantity": 3, "unit_price": "100.10", "discount_percent": 12.5}
    second = (await client.post(url + "/lines", headers=people.rep.headers, json=cut)).json()
    assert second["total_price"] == "262.7625"
    assert await _amount(client, people, url) == "1362.7625"
    refused = await client.patch(url, headers=people.rep.headers, json={"amount": 5})
    assert refused.status_code == 409
    assert refused.json()["errors"][0]["pointer"] == "/amount"
    line = f"{url}/lines/{second['id']}"
    await client.patch(line, headers=people.rep.headers, json={"quantity": 1, "discount_percent": None})
    assert await _amount(client, people, url) == "1200.1000"
    await client.delete(line, headers=people.rep.headers)
    assert await _amount(client, people, url) == "1100.0000"
    await client.post(line + "/restore", headers=people.rep.headers)
    assert await _amount(client, people, url) == "1200.1000"


async def test_lines_that_come_at_once_add_up(
    client: httpx.AsyncClient, people: People, product: dict[str, Any]
) -> None:
    url = await _deal(client, people)
    body = {"product_id": product["id"], "quantity": 1, "unit_price": 10}
    answers = await asyncio.gather(
        *(client.post(url + "/lines", headers=people.rep.headers, json=body) for _ in range(8))
    )
    assert [answer.status_code for answer in answers] == [201] * 8
    assert await _amount(client, people, url) == "80.0000"


async def test_a_list_price_comes_in_the_deals_currency(
    client: httpx.AsyncClient, people: People, product: dict[str, Any]
) -> None:
    rate = {"currency": "CHF", "date": "2026-01-01", "rate": "1.10"}
    assert (await client.post("/exchange-rates", headers=people.ops.headers, json=rate)).status_code == 201
    url = await _deal(client, people, currency="CHF")
    line = await client.post(
        url + "/lines", headers=people.rep.headers, json={"product_id": product["id"], "quantity": 1}
    )
    assert line.json()["unit_price"] == "500.0000"
    deal = (await client.get(url, headers=people.rep.headers)).json()
    assert (deal["amount"], deal["amount_home"]) == ("500.0000", "550.0000")


async def test_lines_and_stakeholders_follow_their_deal(
    client: httpx.AsyncClient, people: People, product: dict[str, Any]
) -> None:
    url, other = await _deal(client, people), await _deal(client, people)
    line = await client.post(
        url + "/lines", headers=people.rep.headers, json={"product_id": product["id"], "quantity": 1}
    )
    person = (await client.post("/contacts", headers=people.rep.headers, json={"last_name": "Poe"})).json()
    part = {"contact_id": person["id"], "role": "champion", "influence": "high"}
    made = await client.post(url + "/stakeholders", headers=people.rep.headers, json=part)
    assert made.status_code == 201, made.text
    for path in ("/lines", "/stakeholders"):
        assert len((await client.get(url + path, headers=people.manager.headers)).json()["items"]) == 1
        assert (await client.get(url + path, headers=people.stranger.headers)).status_code == 404
        assert (await client.get(other + path, headers=people.rep.headers)).json()["items"] == []
    elsewhere = await client.get(f"{other}/lines/{line.json()['id']}", headers=people.rep.headers)
    assert elsewhere.status_code == 404
