"""The board: columns with counts and sums, cards by page, and only what one may see."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from service.db import Database
from tests.conftest import People, Person

pytestmark = pytest.mark.anyio
ANY = {"If-Match": "*"}


async def _deal(client: httpx.AsyncClient, person: Person, **members: Any) -> dict[str, Any]:
    answer = await client.post("/opportunities", headers=person.headers, json={"name": "Deal"} | members)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def _board(client: httpx.AsyncClient, person: Person, query: str = "") -> dict[str, Any]:
    answer = await client.get(f"/board{query}", headers=person.headers)
    assert answer.status_code == 200, answer.text
    return {column["key"]: column for column in answer.json()["columns"]}


@pytest.fixture(scope="module")
async def deals(client: httpx.AsyncClient, people: People) -> list[dict[str, Any]]:
    """Seven deals of rep in proposal, two of them without a close date; one of rep2; one lost."""
    days = [datetime.now(UTC).date() + timedelta(days=number) for number in (9, 3, 3, 30, -5)]
    made = [
        await _deal(
            client, people.rep, name=f"Deal {number}", stage="proposal", amount="1000.10", close_date=str(day)
        )
        for number, day in enumerate(days)
    ]
    made += [await _deal(client, people.rep, name=f"Undated {n}", stage="proposal") for n in range(2)]
    made.append(await _deal(client, people.rep2, name="Other", stage="negotiation", amount=500))
    lost = await _deal(client, people.rep, name="Gone", stage="qualification", amount=70)
    answer = await client.post(
        f"/opportunities/{lost['id']}/stage",
        headers=people.rep.headers | ANY,
        json={"to": "lost", "reason": "price"},
    )
    assert answer.status_code == 200, answer.text
    return made


async def test_columns_follow_the_stages_with_their_sums(
    client: httpx.AsyncClient, people: People, deals: list[dict[str, Any]]
) -> None:
    columns = await _board(client, people.rep, "?pipeline=sales&group=stage")
    assert list(columns) == ["prospecting", "qualification", "proposal", "negotiation", "won", "lost"]
    proposal = columns["proposal"]
    assert proposal["count"] == 7
    assert Decimal(proposal["sum"]) == Decimal("5000.50")
    assert Decimal(proposal["weighted_sum"]) == Decimal("2250.225")
    assert (columns["negotiation"]["count"], columns["lost"]["count"]) == (0, 1)
    assert set(proposal) == {
        "key",
        "name",
        "status",
        "position",
        "count",
        "sum",
        "weighted_sum",
        "items",
        "next",
    }


async def test_cards_are_ordered_by_close_date_and_pages_neither_repeat_nor_lose(
    client: httpx.AsyncClient, people: People, deals: list[dict[str, Any]]
) -> None:
    first = (await _board(client, people.rep, "?limit=2"))["proposal"]
    seen, cursor = first["items"], first["next"]
    while cursor:
        columns = await _board(client, people.rep, f"?limit=2&cursor={cursor}")
        assert list(columns) == ["proposal"]
        seen, cursor = seen + columns["proposal"]["items"], columns["proposal"]["next"]
    assert len({card["id"] for card in seen}) == len(seen) == 7
    days = [card["close_date"] for card in seen]
    assert days[5:] == [None, None]
    assert days[:5] == sorted(days[:5])


async def test_one_sees_ones_own_and_a_manager_the_teams(
    client: httpx.AsyncClient, people: People, deals: list[dict[str, Any]]
) -> None:
    def names(columns: dict[str, Any]) -> set[str]:
        return {card["name"] for column in columns.values() for card in column["items"]}

    assert "Other" not in names(await _board(client, people.rep))
    assert names(await _board(client, people.rep2)) == {"Other"}
    assert names(await _board(client, people.stranger)) == set()
    assert {"Other", "Gone", "Deal 0"} <= names(await _board(client, people.manager))


async def test_the_grammar_of_lists_filters_a_board(
    client: httpx.AsyncClient, people: People, deals: list[dict[str, Any]]
) -> None:
    overdue = await _board(client, people.rep, f"?close_date[lt]={datetime.now(UTC).date()}&status=open")
    assert sum(column["count"] for column in overdue.values()) == 1
    assert [card["name"] for card in overdue["proposal"]["items"]] == ["Deal 4"]
    assert (await _board(client, people.rep, "?q=undated"))["proposal"]["count"] == 2


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?pipeline=nowhere", 404),
        ("?group=owner", 400),
        ("?nothing=1", 400),
        ("?sort=name", 400),
        ("?cursor=abc", 400),
        ("?cursor=WyJwcm9wb3NhbCJd", 400),
        ("?amount[gte]=x", 400),
    ],
)
async def test_what_a_board_cannot_answer_is_refused(
    client: httpx.AsyncClient, people: People, query: str, status: int
) -> None:
    answer = await client.get(f"/board{query}", headers=people.rep.headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_board_is_grouped_by_any_choice(
    client: httpx.AsyncClient, people: People, deals: list[dict[str, Any]]
) -> None:
    """By a choice's words, by who has it, by a custom field: the same deals and sums, each in one column."""
    whole = await _board(client, people.manager, "?limit=100")
    for field in (
        "forecast_category",
        "type",
        "status",
        "loss_reason",
        "owner_id",
        "competitor_id",
        "cf.region",
    ):
        columns = await _board(client, people.manager, f"?group={field}&limit=100")
        assert sum(column["count"] for column in columns.values()) == sum(
            c["count"] for c in whole.values()
        ), field
        assert sum(Decimal(column["sum"]) for column in columns.values()) == sum(
            Decimal(column["sum"]) for column in whole.values()
        )
        cards = sorted(card["id"] for column in columns.values() for card in column["items"])
        assert cards == sorted(card["id"] for column in whole.values() for card in column["items"]), field
    owners = await _board(client, people.manager, "?group=owner_id")
    assert {column["name"] for column in owners.values()} == {"Rep", "Rep2"}
    assert owners[str(people.rep2.id)]["count"] == 1
    types = await _board(client, people.rep, "?group=type")
    assert list(types)[:3] == ["new_business", "expansion", "renewal"]
    assert (types["none"]["name"], types["none"]["status"]) == ("None", None)


async def test_a_groups_column_goes_on_by_its_cursor(
    client: httpx.AsyncClient, people: People, deals: list[dict[str, Any]]
) -> None:
    whole = (await _board(client, people.rep, "?group=status&limit=100"))["open"]["items"]
    column = (await _board(client, people.rep, "?group=status&limit=3"))["open"]
    seen = column["items"]
    while column["next"]:
        (column,) = (
            await _board(client, people.rep, f"?group=status&limit=3&cursor={column['next']}")
        ).values()
        seen += column["items"]
    assert [card["id"] for card in seen] == [card["id"] for card in whole]


async def test_what_is_no_choice_is_no_group(client: httpx.AsyncClient, people: People) -> None:
    for field, said in (
        ("no_such", "There is no field 'no_such' here."),
        ("amount", "is no choice"),
        ("id", "is no choice"),
    ):
        answer = await client.get(f"/board?group={field}", headers=people.rep.headers)
        assert answer.status_code == 400
        assert said in answer.json()["detail"]


async def test_a_board_takes_a_saved_view(
    client: httpx.AsyncClient, people: People, deals: list[dict[str, Any]]
) -> None:
    made = await client.post("/views", headers=people.rep.headers, json={
        "name": "Undated", "resource": "opportunities", "sort": ["-amount"], "columns": ["name"],
        "filter": [{"field": "close_date", "op": "is_null", "value": True}, {"field": "status", "op": "eq", "value": "open"}],
    })  # fmt: skip
    assert made.status_code == 201, made.text
    for group in ("stage", "status"):
        columns = await _board(client, people.rep, f"?group={group}&view={made.json()['id']}")
        assert sorted(card["name"] for column in columns.values() for card in column["items"]) == [
            "Undated 0", "Undated 1",
        ]  # fmt: skip


async def test_a_deal_that_stands_too_long_without_a_sign_of_life_is_rotting(
    client: httpx.AsyncClient, people: People, database: Database
) -> None:
    deal = await _deal(client, people.stranger, stage="qualification")
    stages = await client.get("/stages?key=qualification", headers=people.ops.headers)
    stage = f"/stages/{stages.json()['items'][0]['id']}"
    await client.patch(stage, headers=people.ops.headers, json={"rotting_days": 10})

    async def is_rotting() -> bool:
        columns = await _board(client, people.stranger)
        (card,) = columns["qualification"]["items"]
        listed = await client.get("/opportunities?is_rotting=true", headers=people.stranger.headers)
        assert [item["id"] for item in listed.json()["items"]] == [deal["id"]] * card["is_rotting"]
        return bool(card["is_rotting"])

    assert not await is_rotting()
    async with database.begin() as tx:
        await tx.execute("SELECT set_config('sales.event', gen_random_uuid()::text, TRUE)")
        await tx.execute(
            "UPDATE opportunities SET stage_entered_at = now() - interval '11 days' WHERE id = $1::uuid"
            " /* access:opportunities */",
            deal["id"],
        )
    assert await is_rotting()
    for days, rotting in ((12, True), (3, False)):
        when = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        call = {"type": "call", "occurred_at": when, "opportunity_id": deal["id"]}
        await client.post("/activities", headers=people.stranger.headers, json=call)
        assert await is_rotting() is rotting
    await client.patch(stage, headers=people.ops.headers, json={"rotting_days": None})
