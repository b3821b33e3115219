"""The board: columns with counts and sums, cards by page, and only what one may see."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

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
