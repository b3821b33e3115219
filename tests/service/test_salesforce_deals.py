"""The daily tasks of `docs/salesforce.md`: deals."""

from typing import Any

import msgspec
import pytest

from service.settings import Settings
from service.worker import Worker
from tests.conftest import People
from tests.service import files
from tests.service.salesforce_page import Desk, Make, account, cookies, deal, desk, task

__all__ = ["account", "cookies", "deal", "desk"]
pytestmark = pytest.mark.anyio
NOWHERE = "http://127.0.0.1:9/hook"


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, webhook_allow=("127.0.0.1:9",))


# Deals ---------------------------------------------------------------------------------------------


@task("New Opportunity")
async def test_new_opportunity(desk: Desk, people: People, account: Make) -> None:
    made = await desk(
        people.rep, "POST /opportunities", name="New", account_id=(await account())["id"], amount="1000",
        close_date="2027-03-31",
    )  # fmt: skip
    assert (made["stage"], made["probability"], made["expected_revenue"]) == ("prospecting", 0.1, "100.0000")


@task("Opportunity record page")
async def test_record_page(desk: Desk, people: People, account: Make, deal: Make) -> None:
    made = await deal("Paged deal", account_id=(await account("Paged"))["id"])
    shown = await desk(people.rep, f"GET /opportunities/{made['id']}?expand=account,owner")
    assert (shown["account"]["name"], shown["owner"]["name"]) == ("Paged", "Rep")
    assert "Paged deal" in await desk.page(people.rep, f"/deals/{made['id']}")


@task("Mark Stage as Complete")
async def test_mark_stage_as_complete(desk: Desk, people: People, deal: Make) -> None:
    made = await deal()
    moved = await desk(people.rep, f"POST /opportunities/{made['id']}/stage", to="proposal")
    assert (moved["stage"], moved["status"]) == ("proposal", "open")


@task("Path, entry and exit criteria")
async def test_path(desk: Desk, people: People) -> None:
    pipeline = await desk(people.ops, "POST /pipelines", key="guided", name="Guided")
    stages = [
        await desk(
            people.ops,
            "POST /stages",
            pipeline_id=pipeline["id"],
            key=key,
            name=key.title(),
            position=position,
            status=status,
            probability=chance,
            forecast_category=category,
        )
        for position, (key, status, chance, category) in enumerate(
            [
                ("talk", "open", 0.2, "pipeline"),
                ("offer", "open", 0.5, "best_case"),
                ("won", "won", 1, "closed"),
            ]
        )
    ]
    asked = [{"field": "next_step", "op": "is_null", "value": False}]
    await desk(people.ops, f"PATCH /stages/{stages[0]['id']}", exit_criteria=asked)
    made = await desk(people.rep, "POST /opportunities", name="D", pipeline_id=pipeline["id"])
    url = f"POST /opportunities/{made['id']}/stage"
    refused = await desk(people.rep, url, 409, to="offer")
    assert refused["errors"][0]["pointer"] == "/next_step"
    await desk(people.rep, f"PATCH /opportunities/{made['id']}", next_step="Demo")
    assert (await desk(people.rep, url, to="offer"))["stage"] == "offer"


@task("Closed Lost with a reason")
async def test_closed_lost(desk: Desk, people: People, deal: Make) -> None:
    url = f"POST /opportunities/{(await deal())['id']}/stage"
    await desk(people.rep, url, 422, to="lost")
    lost = await desk(people.rep, url, to="lost", reason="price", note="Too dear")
    assert (lost["status"], lost["loss_reason"], lost["closed_note"]) == ("lost", "price", "Too dear")


@task("Reopen")
async def test_reopen(desk: Desk, people: People, deal: Make) -> None:
    url = f"POST /opportunities/{(await deal())['id']}/stage"
    await desk(people.rep, url, to="won")
    await desk(people.rep, url, 403, to="negotiation")
    opened = await desk(people.manager, url, to="negotiation")
    assert (opened["status"], opened["closed_at"]) == ("open", None)


@task("Kanban")
async def test_kanban(desk: Desk, people: People, deal: Make) -> None:
    made = await deal("On the board", amount="5")
    board = await desk(people.rep, "GET /board?group=stage")
    columns = {column["key"]: column for column in board["columns"]}
    assert made["id"] in [card["id"] for card in columns["prospecting"]["items"]]
    assert columns["prospecting"]["count"] >= 1
    assert "On the board" in await desk.page(people.rep, "/board")


@task("Stage History")
async def test_stage_history(desk: Desk, people: People, deal: Make) -> None:
    made = await deal()
    for stage in ("proposal", "prospecting"):
        await desk(people.rep, f"POST /opportunities/{made['id']}/stage", to=stage)
    told = await desk(people.rep, f"GET /opportunities/{made['id']}/history")
    assert [visit["direction"] for visit in told["stages"]] == ["back", "forward", "start"]


@task("Record Types and Sales Processes")
async def test_sales_processes(desk: Desk, people: People) -> None:
    pipeline = await desk(people.ops, "POST /pipelines", key="renewals", name="Renewals")
    await desk(
        people.ops, "POST /stages", pipeline_id=pipeline["id"], key="due", name="Due", position=1, status="open",
        probability=0.8, forecast_category="commit",
    )  # fmt: skip
    made = await desk(people.rep, "POST /opportunities", name="R", pipeline_id=pipeline["id"])
    assert (made["stage"], made["forecast_category"]) == ("due", "commit")


@pytest.fixture
async def product(desk: Desk, people: People) -> dict[str, Any]:
    number = len((await desk(people.ops, "GET /products?limit=200"))["items"])
    return await desk(people.ops, "POST /products", code=f"P{number}", name="Seat", list_price="100")  # type: ignore[no-any-return]


@task("Price Books")
async def test_price_books(desk: Desk, people: People, deal: Make, product: dict[str, Any]) -> None:
    entries = [{"product_id": product["id"], "unit_price": "80"}]
    book = await desk(people.ops, "POST /price-books", name="Partners", currency="USD", entries=entries)
    made = await deal(price_book_id=book["id"])
    line = await desk(
        people.rep, f"POST /opportunities/{made['id']}/lines", product_id=product["id"], quantity=1
    )
    assert line["unit_price"] == "80.0000"


@task("Opportunity Products")
async def test_opportunity_products(desk: Desk, people: People, deal: Make, product: dict[str, Any]) -> None:
    made = await deal()
    await desk(
        people.rep, f"POST /opportunities/{made['id']}/lines", product_id=product["id"], quantity=2,
        discount_percent=10,
    )  # fmt: skip
    assert (await desk(people.rep, f"GET /opportunities/{made['id']}"))["amount"] == "180.0000"


@task("Clone with Products")
async def test_clone_with_products(desk: Desk, people: People, deal: Make, product: dict[str, Any]) -> None:
    made = await deal()
    await desk(people.rep, f"POST /opportunities/{made['id']}/lines", product_id=product["id"], quantity=3)
    clone = await desk(
        people.rep, f"POST /opportunities/{made['id']}/clone", name="Next year", with_lines=True
    )
    found = await desk(people.rep, f"GET /opportunities/{clone['id']}/lines")
    assert [line["quantity"] for line in found["items"]] == [3.0]
    assert clone["amount"] == "300.0000"


@task("Opportunity Contact Roles")
async def test_contact_roles(desk: Desk, people: People, deal: Make) -> None:
    contact = await desk(people.rep, "POST /contacts", last_name="Champion")
    url = f"/opportunities/{(await deal())['id']}/stakeholders"
    await desk(people.rep, f"POST {url}", contact_id=contact["id"], role="champion")
    found = await desk(people.rep, f"GET {url}?expand=contact")
    assert [(item["role"], item["contact"]["last_name"]) for item in found["items"]] == [
        ("champion", "Champion")
    ]


@task("Opportunity Splits")
async def test_splits(desk: Desk, people: People, deal: Make) -> None:
    url = f"/opportunities/{(await deal())['id']}/splits"
    await desk(people.rep, f"POST {url}", user_id=str(people.rep2.id), percent=25, type="overlay")
    found = await desk(people.rep, f"GET {url}")
    assert [(item["user_id"], item["percent"]) for item in found["items"]] == [(str(people.rep2.id), 25.0)]


@task("Opportunity Teams")
async def test_teams_of_deals(desk: Desk, people: People, deal: Make) -> None:
    made = await deal()
    await desk(people.rep2, f"GET /opportunities/{made['id']}", 404)
    await desk(
        people.rep, "POST /shares", resource="opportunities", record_id=made["id"], user_id=str(people.rep2.id),
        level="write",
    )  # fmt: skip
    changed = await desk(people.rep2, f"PATCH /opportunities/{made['id']}", next_step="Joint call")
    assert changed["next_step"] == "Joint call"


@task("Quotes")
async def test_quotes(desk: Desk, people: People, deal: Make, product: dict[str, Any]) -> None:
    made = await deal()
    await desk(people.rep, f"POST /opportunities/{made['id']}/lines", product_id=product["id"], quantity=2)
    quote = await desk(people.rep, "POST /quotes", opportunity_id=made["id"], valid_until="2100-01-31")
    assert (quote["status"], quote["total"], len(quote["lines"])) == ("draft", "200.0000", 1)
    sent = await desk(people.rep, f"PATCH /quotes/{quote['id']}", status="sent")
    assert (sent["status"], sent["sent_at"] is not None) == ("sent", True)


@task("Quote PDF")
async def test_quote_page(desk: Desk, people: People, deal: Make, product: dict[str, Any]) -> None:
    made = await deal()
    await desk(people.rep, f"POST /opportunities/{made['id']}/lines", product_id=product["id"], quantity=2)
    quote = await desk(people.rep, "POST /quotes", opportunity_id=made["id"])
    assert quote["number"] in await desk(people.rep, f"GET /quotes/{quote['id']}/page")
    filed = await desk(people.rep, f"POST /quotes/{quote['id']}/document")
    document = await desk(people.rep, f"GET /documents/{filed['document_id']}")
    assert (document["type"], document["opportunity_id"]) == ("quote", made["id"])


@task("Files")
async def test_files(desk: Desk, people: People, deal: Make) -> None:
    made = await deal()
    file = ("offer.pdf", files.PDF, "application/pdf")
    document = await desk(people.rep, "POST /documents", file=file, opportunity_id=made["id"])
    assert (document["name"], document["size_bytes"]) == ("offer.pdf", len(files.PDF))


@task("Big Deal Alerts")
async def test_big_deal_alerts(desk: Desk, people: People, deal: Make, worker: Worker) -> None:
    large = [{"field": "amount", "op": "gte", "value": 100_000}]
    hook = await desk(people.manager, "POST /webhooks", url=NOWHERE, events=["deal.won"], filter=large)
    small, big = await deal(amount="10"), await deal(amount="250000")
    for each in (small, big):
        await desk(people.rep, f"POST /opportunities/{each['id']}/stage", to="won")
    await worker.drain()
    told = await desk(people.manager, f"GET /webhooks/{hook['id']}/deliveries")
    assert [item["entity_id"] for item in told["items"]] == [big["id"]]


@task("Einstein Opportunity Scoring")
async def test_scoring(desk: Desk, people: People, deal: Make) -> None:
    made = await deal("Scored", amount="5000", close_date="2030-03-01")
    score = await desk(people.rep, f"GET /opportunities/{made['id']}/score")
    total = score["base_value"] + sum(reason["effect"] for reason in score["reasons"])
    assert 1 <= score["score"] <= 99
    assert total == pytest.approx(score["win_probability"], abs=1e-6)
    assert "Scored" in await desk.page(people.rep, f"/deals/{made['id']}")


@task("Einstein Next Best Action")
async def test_next_best_action(desk: Desk, people: People, deal: Make, worker: Worker) -> None:
    made = await deal("Advised", amount="5000")
    await worker.drain()
    found = await desk(people.rep, f"GET /opportunities/{made['id']}/recommendations")
    first = found["items"][0]
    assert first["reason"] in await desk.page(people.rep, f"/deals/{made['id']}")
    done = await desk(people.rep, f"POST /recommendations/{first['id']}/done")
    assert done["status"] == "done"
