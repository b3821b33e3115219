"""Quotes: copied from a deal's lines, changed by rule, revised, printed, and over when their last day is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from service.db import Database
from service.domains import quotes
from service.ids import new_id
from service.jobs import Job
from tests.conftest import People

pytestmark = pytest.mark.anyio
TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module")
async def deal(client: httpx.AsyncClient, people: People) -> str:
    """A deal of the rep with two lines, one of them cheaper by a tenth."""
    product = await client.post(
        "/products",
        headers=people.ops.headers,
        json={"code": "GTX", "name": "GTX <Pro>", "list_price": "100"},
    )
    account = await client.post("/accounts", headers=people.rep.headers, json={"name": "Acme & Sons"})
    body = {"name": "Deal", "account_id": account.json()["id"]}
    made = await client.post("/opportunities", headers=people.rep.headers, json=body)
    for quantity, discount in ((2, None), (3, 10)):
        line = {"product_id": product.json()["id"], "quantity": quantity, "discount_percent": discount}
        answer = await client.post(
            f"/opportunities/{made.json()['id']}/lines", headers=people.rep.headers, json=line
        )
        assert answer.status_code == 201, answer.text
    return str(made.json()["id"])


async def _quote(client: httpx.AsyncClient, people: People, deal: str, **body: Any) -> dict[str, Any]:
    answer = await client.post("/quotes", headers=people.rep.headers, json={"opportunity_id": deal} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def _patch(
    client: httpx.AsyncClient, people: People, quote: dict[str, Any], **body: Any
) -> httpx.Response:
    return await client.patch(f"/quotes/{quote['id']}", headers=people.rep.headers, json=body)


async def test_a_quote_copies_the_lines_and_keeps_them(
    client: httpx.AsyncClient, people: People, deal: str
) -> None:
    quote = await _quote(client, people, deal)
    assert (quote["status"], quote["revision"], quote["currency"]) == ("draft", 1, "USD")
    assert quote["number"].startswith("Q-")
    assert [line["total_price"] for line in quote["lines"]] == ["200.0000", "270.0000"]
    assert quote["total"] == "470.0000"
    lines = (await client.get(f"/opportunities/{deal}/lines", headers=people.rep.headers)).json()["items"]
    url = f"/opportunities/{deal}/lines/{lines[0]['id']}"
    await client.patch(url, headers=people.rep.headers, json={"unit_price": "1"})
    assert (await client.get(f"/quotes/{quote['id']}", headers=people.rep.headers)).json() == quote
    await client.patch(url, headers=people.rep.headers, json={"unit_price": "100"})
    own = await _patch(
        client, people, quote, lines=[{"name": "Hour", "quantity": 1.5, "unit_price": "10.01"}]
    )
    assert own.json()["total"] == "15.0150"
    same = await _patch(client, people, quote, lines=own.json()["lines"])
    assert same.json()["version"] == own.json()["version"], "what was read may be sent back"
    other = await _quote(client, people, deal)
    assert other["number"] != quote["number"]


async def test_a_status_follows_its_path(client: httpx.AsyncClient, people: People, deal: str) -> None:
    quote = await _quote(client, people, deal, valid_until=str(TODAY + timedelta(days=30)))
    early = await _patch(client, people, quote, status="accepted")
    assert (early.status_code, early.json()["errors"][0]["pointer"]) == (409, "/status")
    assert "sent" in early.json()["detail"]
    sent = (await _patch(client, people, quote, status="sent")).json()
    assert sent["sent_at"] is not None
    edited = await _patch(client, people, quote, terms="cash", lines=[])
    assert edited.status_code == 409
    assert {error["pointer"] for error in edited.json()["errors"]} == {"/lines", "/terms"}
    longer = await _patch(client, people, quote, valid_until=str(TODAY + timedelta(days=60)))
    assert longer.status_code == 200, "an offer may be held longer"
    accepted = (await _patch(client, people, quote, status="accepted")).json()
    assert (accepted["status"], accepted["closed_at"] is not None) == ("accepted", True)
    assert (await _patch(client, people, quote, status="draft")).status_code == 409
    revised = await client.post(f"/quotes/{quote['id']}/revise", headers=people.rep.headers)
    assert revised.status_code == 409
    born = await client.post(
        "/quotes", headers=people.rep.headers, json={"opportunity_id": deal, "status": "accepted"}
    )
    assert (born.status_code, born.json()["errors"][0]["pointer"]) == (422, "/status")


async def test_what_cannot_be_sent(client: httpx.AsyncClient, people: People, deal: str) -> None:
    empty = await _quote(client, people, deal, lines=[])
    refused = await _patch(client, people, empty, status="sent")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (409, "/lines")
    late = await _quote(client, people, deal, valid_until=str(TODAY - timedelta(days=2)))
    refused = await _patch(client, people, late, status="sent")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (409, "/valid_until")


async def test_a_revision_bears_the_number_and_ends_the_one_before(
    client: httpx.AsyncClient, people: People, deal: str
) -> None:
    first = await _quote(client, people, deal, name="Offer", status="sent", terms="30 days")
    url = f"/quotes/{first['id']}/revise"
    key = people.rep.headers | {"Idempotency-Key": "once"}
    made = await client.post(url, headers=key)
    assert made.status_code == 201, made.text
    second = made.json()
    assert made.headers["location"] == f"/api/v1/quotes/{second['id']}"
    assert (second["number"], second["revision"], second["revises_id"]) == (first["number"], 2, first["id"])
    assert (second["status"], second["terms"], second["total"]) == ("draft", "30 days", "470.0000")
    assert (await client.post(url, headers=key)).json() == second
    assert (await client.post(url, headers=people.rep.headers)).status_code == 409, "a draft is open still"
    assert (await _patch(client, people, second, status="sent")).status_code == 200
    before = (await client.get(f"/quotes/{first['id']}", headers=people.rep.headers)).json()
    assert before["status"] == "expired"


async def test_the_night_ends_what_is_over(
    client: httpx.AsyncClient, people: People, deal: str, database: Database
) -> None:
    over = await _quote(client, people, deal, status="sent", valid_until=str(TODAY))
    open_still = await _quote(client, people, deal, status="sent", valid_until=str(TODAY + timedelta(days=1)))
    async with database.begin() as tx:
        await quotes._expire(tx, people.ops.actor, "t.valid_until < $1", TODAY)  # today is the last day
    assert (await client.get(f"/quotes/{over['id']}", headers=people.rep.headers)).json()["status"] == "sent"
    async with database.begin() as tx:
        ended = await quotes._expire(  # tomorrow
            tx, people.ops.actor, "t.valid_until < $1", TODAY + timedelta(days=1)
        )
    assert ended == 1
    states = [
        (await client.get(f"/quotes/{one['id']}", headers=people.rep.headers)).json()["status"]
        for one in (over, open_still)
    ]
    assert states == ["expired", "sent"]
    job = Job(id=new_id(), type="quotes.expire", payload={}, event_id=None, actor_id=None, change_id=None,
              attempt=1, database=database)  # fmt: skip
    assert await quotes.expire(job) == {"expired": 0}


async def test_the_page_shows_the_quote_and_escapes_it(
    client: httpx.AsyncClient, people: People, deal: str
) -> None:
    quote = await _quote(client, people, deal, terms="<script>alert(1)</script>")
    page = await client.get(f"/quotes/{quote['id']}/page", headers=people.rep.headers)
    assert page.headers["content-type"].startswith("text/html")
    assert quote["number"] in page.text
    assert "Acme &amp; Sons" in page.text
    assert "GTX &lt;Pro&gt;" in page.text
    assert "470.00" in page.text
    assert "<script" not in page.text
    assert "unsafe" not in page.headers["content-security-policy"]
    for path, method in (("page", "GET"), ("document", "POST"), ("revise", "POST")):
        unseen = await client.request(
            method, f"/quotes/{quote['id']}/{path}", headers=people.stranger.headers
        )
        assert unseen.status_code == 404, path
    assert (
        await client.post(f"/quotes/{quote['id']}/revise", headers=people.data.headers)
    ).status_code == 403


async def test_the_page_is_filed_as_a_document_with_versions(
    client: httpx.AsyncClient, people: People, deal: str
) -> None:
    quote = await _quote(client, people, deal)
    url = f"/quotes/{quote['id']}"
    made = await client.post(f"{url}/document", headers=people.rep.headers)
    assert made.status_code == 201, made.text
    filed = made.json()
    assert made.headers["location"] == f"/api/v1/documents/{filed['document_id']}"
    kept = await client.get(f"/documents/{filed['document_id']}", headers=people.manager.headers)
    assert (kept.json()["type"], kept.json()["opportunity_id"]) == ("quote", deal)
    assert kept.json()["name"] == f"Quote {quote['number']}"
    content = await client.get("http://testserver.local" + filed["url"], headers=people.rep.headers)
    assert quote["number"] in content.text
    assert content.headers["content-disposition"].startswith("attachment")
    expanded = (await client.get(f"{url}?expand=document", headers=people.rep.headers)).json()
    assert expanded["document"]["id"] == filed["document_id"]
    again = await client.post(f"{url}/document", headers=people.rep.headers)
    assert again.json() == filed, "the same page is the same document"
    await _patch(client, people, quote, terms="30 days")
    changed = await client.post(f"{url}/document", headers=people.rep.headers)
    assert changed.json()["document_id"] == filed["document_id"]
    versions = await client.get(f"/documents/{filed['document_id']}/versions", headers=people.rep.headers)
    assert [one["content_version"] for one in versions.json()["items"]] == [2, 1]
    assert (await client.post(f"{url}/document", headers=people.data.headers)).status_code == 403
