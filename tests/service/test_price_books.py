"""Price books: which price a line takes, in which currency, and which book is the default."""

from typing import Any

import httpx
import pytest

from tests.conftest import People

pytestmark = pytest.mark.anyio


async def _make(client: httpx.AsyncClient, headers: dict[str, str], path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=headers, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
async def catalogue(client: httpx.AsyncClient, people: People) -> dict[str, Any]:
    """Two products, one franc worth 1.10 dollars, and a book in francs that knows the first of them."""
    ops = people.ops.headers
    await _make(client, ops, "/exchange-rates", currency="CHF", date="2026-01-01", rate="1.10")
    known = await _make(client, ops, "/products", code="A", name="A", list_price="110", currency="USD")
    other = await _make(client, ops, "/products", code="B", name="B", list_price="220", currency="USD")
    entries = [{"product_id": known["id"], "unit_price": "80"}]
    book = await _make(client, ops, "/price-books", name="Swiss", currency="CHF", entries=entries)
    return {"known": known["id"], "other": other["id"], "book": book}


async def _price(client: httpx.AsyncClient, people: People, product: str, **deal: Any) -> Any:
    made = await _make(client, people.rep.headers, "/opportunities", name="Deal", **deal)
    path = f"/opportunities/{made['id']}/lines"
    line = await _make(client, people.rep.headers, path, product_id=product, quantity=1)
    return line["unit_price"]


async def test_a_line_takes_the_price_of_the_deals_book(
    client: httpx.AsyncClient, people: People, catalogue: dict[str, Any]
) -> None:
    book = catalogue["book"]["id"]
    assert catalogue["book"]["entries"] == [{"product_id": catalogue["known"], "unit_price": "80.0000"}]
    assert await _price(client, people, catalogue["known"], currency="CHF", price_book_id=book) == "80.0000"
    assert await _price(client, people, catalogue["known"], currency="USD", price_book_id=book) == "88.0000"
    fallback = await _price(client, people, catalogue["other"], currency="CHF", price_book_id=book)
    assert fallback == "200.0000", "what the book does not know costs its list price, at the rate of the day"
    assert await _price(client, people, catalogue["known"], currency="USD") == "110.0000"


async def test_there_is_one_default_and_deals_without_a_book_take_it(
    client: httpx.AsyncClient, people: People, catalogue: dict[str, Any]
) -> None:
    ops, first = people.ops.headers, f"/price-books/{catalogue['book']['id']}"
    assert (await client.patch(first, headers=ops, json={"is_default": True})).json()["is_default"] is True
    assert await _price(client, people, catalogue["known"], currency="CHF") == "80.0000"
    off = await client.patch(first, headers=ops, json={"is_active": False})
    assert (off.status_code, off.json()["errors"][0]["pointer"]) == (422, "/is_active")
    second = await _make(client, ops, "/price-books", name="World", currency="USD", is_default=True)
    assert (await client.get(first, headers=ops)).json()["is_default"] is False
    listed = await client.get("/price-books?is_default=true", headers=people.rep.headers)
    assert [item["id"] for item in listed.json()["items"]] == [second["id"]]
    await client.delete(f"/price-books/{second['id']}", headers=ops)


async def test_entries_are_judged_and_reps_only_read(
    client: httpx.AsyncClient, people: People, catalogue: dict[str, Any]
) -> None:
    entry = {"product_id": catalogue["known"], "unit_price": "1"}
    body: dict[str, Any] = {"name": "Bad", "currency": "USD"}
    for entries, pointer in (
        ([entry, entry], "/entries/1/product_id"),
        ([entry | {"unit_price": "-1"}], "/entries/0/unit_price"),
        ([entry | {"unit_price": "NaN"}], "/entries/0/unit_price"),
        ([entry, {"product_id": str(people.rep.id), "unit_price": "1"}], "/entries/1/product_id"),
    ):
        answer = await client.post(
            "/price-books", headers=people.ops.headers, json=body | {"entries": entries}
        )
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert (await client.post("/price-books", headers=people.rep.headers, json=body)).status_code == 403
    same = {"entries": catalogue["book"]["entries"]}
    url = f"/price-books/{catalogue['book']['id']}"
    before = (await client.get(url, headers=people.ops.headers)).json()["version"]
    again = await client.patch(url, headers=people.ops.headers, json=same)
    assert again.json()["version"] == before, "the same prices are no change"
