"""Features over the API: the catalogue, the values now (from Redis or, without it, from PostgreSQL) and then."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import AsyncTestClient
from redis.asyncio import Redis

from features.catalogue import FEATURES, SETS
from service import backfilling
from service.db import Database
from service.reasons import GROUPS
from service.settings import Settings
from service.store import Store, store_of
from service.worker import Worker
from tests.conftest import People

pytestmark = pytest.mark.anyio


async def make(client: AsyncTestClient, people: People, worker: Worker) -> dict[str, Any]:
    """A deal of the rep with a call yesterday, its features refreshed."""
    account = await client.post(
        "/accounts", headers=people.rep.headers, json={"name": "Acme", "segment": "smb"}
    )
    draft = {"name": "Deal", "amount": "500", "currency": "USD", "account_id": account.json()["id"]}
    made = await client.post("/opportunities", headers=people.rep.headers, json=draft)
    assert made.status_code == 201, made.text
    deal: dict[str, Any] = made.json()
    call = {
        "type": "call",
        "occurred_at": "2020-01-01T10:00:00Z",
        "opportunity_id": deal["id"],
        "direction": "inbound",
    }
    assert (await client.post("/activities", headers=people.rep.headers, json=call)).status_code == 201
    await worker.drain()
    return deal


async def test_the_catalogue_holds_enough_and_names_its_sets(client: AsyncTestClient, people: People) -> None:
    listed = (await client.get("/features", headers=people.rep.headers)).json()
    by_entity = {
        e: [i for i in listed["items"] if i["entity"] == e]
        for e in ("opportunity", "account", "user", "lead")
    }
    assert len(by_entity["opportunity"]) >= 16
    assert all(len(items) >= 8 for items in by_entity.values())
    assert all(item["meaning"].endswith(".") and item["unit"] and item["owner"] for item in listed["items"])
    assert listed["feature_sets"] == {name: found.fingerprint for name, found in SETS.items()}


async def test_a_hidden_field_has_no_features(client: AsyncTestClient, people: People) -> None:
    for person, is_there in ((people.rep, True), (people.data, False)):
        listed = (await client.get("/features", headers=person.headers)).json()["items"]
        assert ("lead_has_phone" in {item["name"] for item in listed}) == is_there
    asked = {
        "entity": "lead",
        "ids": ["00000000-0000-0000-0000-000000000001"],
        "features": ["lead_has_phone"],
    }
    refused = await client.post("/features/online", headers=people.data.headers, json=asked)
    assert refused.json()["errors"] == [
        {"pointer": "/features/0", "detail": "there is no feature 'lead_has_phone' of lead"}
    ]


async def test_values_now_come_from_redis_and_survive_its_loss(
    client: AsyncTestClient, people: People, worker: Worker, settings: Settings
) -> None:
    deal = await make(client, people, worker)
    asked = {"entity": "opportunity", "ids": [deal["id"]], "feature_set": "deal_win"}
    first = (await client.post("/features/online", headers=people.rep.headers, json=asked)).json()
    assert first["sources"] == ["redis"], first
    values = first["items"][0]["values"]
    assert values["stage"] == "prospecting"
    assert values["account_segment"] == "smb"
    assert values["rep_open_deals"] >= 1
    assert values["days_since_last_reply"] > 1000
    redis: Any = Redis.from_url(settings.redis_url)
    await redis.flushall()
    await redis.aclose()
    again = (await client.post("/features/online", headers=people.rep.headers, json=asked)).json()
    assert again["sources"] == ["postgresql"]
    assert differing(values, again["items"][0]["values"]) == []
    third = (await client.post("/features/online", headers=people.rep.headers, json=asked)).json()
    assert third["sources"] == ["redis"]


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of values that moved by more than a minute of clock would move them."""
    return [
        name for name, value in one.items()
        if value != other[name] and not (isinstance(value, float) and abs(value - other[name]) < 0.001)
    ]  # fmt: skip


async def test_redis_away_is_answered_by_postgresql(database: Database, people: People, client: AsyncTestClient,
                                                    worker: Worker) -> None:  # fmt: skip
    deal = await make(client, people, worker)
    store = Store(database, "redis://127.0.0.1:1")
    now = await store.now()
    columns, reading = await store.online.values(SETS["deal_win"], now.spine([deal["id"]]))
    assert reading.sources == {"postgresql"}
    assert columns["stage"][0] == "prospecting"


async def test_values_then_know_nothing_of_later(
    client: AsyncTestClient, people: People, worker: Worker
) -> None:
    deal = await make(client, people, worker)
    pairs = [
        {"id": deal["id"], "as_of": "2021-01-01T00:00:00Z"},
        {"id": deal["id"], "as_of": datetime.now(UTC).isoformat()},
    ]
    asked = {"entity": "opportunity", "pairs": pairs, "features": ["stage", "activities_total"]}
    answered = (await client.post("/features/historical", headers=people.rep.headers, json=asked)).json()
    assert [item["values"] for item in answered["items"]] == [
        {"stage": None, "activities_total": 0.0},
        {"stage": "prospecting", "activities_total": 1.0},
    ]


@pytest.mark.parametrize(
    ("asked", "status", "pointer"),
    [
        ({"entity": "opportunity", "ids": []}, 422, "/ids"),
        ({"entity": "house", "ids": ["00000000-0000-0000-0000-000000000001"]}, 422, "/entity"),
        (
            {"entity": "lead", "ids": ["00000000-0000-0000-0000-000000000001"], "feature_set": "deal_win"},
            422,
            "/feature_set",
        ),
        ({"entity": "opportunity", "ids": ["00000000-0000-0000-0000-000000000001"]}, 404, None),
    ],
)
async def test_bad_questions(
    client: AsyncTestClient, people: People, asked: dict[str, Any], status: int, pointer: str | None
) -> None:
    refused = await client.post("/features/online", headers=people.rep.headers, json=asked)
    assert refused.status_code == status
    if pointer:
        assert refused.json()["errors"][0]["pointer"] == pointer


async def test_features_are_as_visible_as_their_record(
    client: AsyncTestClient, people: People, worker: Worker
) -> None:
    deal = await make(client, people, worker)
    for person, status in ((people.manager, 200), (people.data, 200), (people.stranger, 404)):
        asked = {"entity": "opportunity", "ids": [deal["id"]]}
        assert (
            await client.post("/features/online", headers=person.headers, json=asked)
        ).status_code == status
    for person, status in ((people.rep, 200), (people.manager, 200), (people.stranger, 404)):
        asked = {"entity": "user", "ids": [str(people.rep.id)], "features": ["rep_open_deals"]}
        assert (
            await client.post("/features/online", headers=person.headers, json=asked)
        ).status_code == status


async def test_the_watermark_waits_for_who_is_writing(database: Database, settings: Settings) -> None:
    """A change in flight when the clock is read must be in the facts, or the watermark lies before it."""
    store = store_of(database, settings.redis_url)
    async with database.begin() as tx:
        await tx.execute("SELECT pg_current_xact_id()")
        held = await store.now()
        assert held.watermark < held.known_at
    free = await store.now()
    assert free.watermark == free.known_at


def test_names_are_columns_and_meanings_are_written() -> None:
    assert len({feature.name for feature in FEATURES}) == len(FEATURES) >= 40
    assert all(feature.name.isidentifier() for feature in FEATURES)


@pytest.mark.parametrize(("entity", "set_name"), [("opportunity", "deal_win"), ("lead", "lead_convert")])
def test_every_feature_of_a_model_has_its_reason(entity: str, set_name: str) -> None:
    told = [name for group in GROUPS[entity] for name in group.features]
    assert sorted(told) == sorted(SETS[set_name].names)


async def test_a_backfill_that_was_ended_goes_on_where_it_was(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for _ in range(5):
        await make(client, people, worker)
    monkeypatch.setattr(backfilling, "CHUNK", 2)
    store, told = store_of(database, settings.redis_url), []

    async def tell(entity: str, done: int, total: int) -> None:
        told.append((entity, done, total))
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await backfilling.backfill(store, tmp_path, tell)
    total = told[0][2]
    assert [done for _, done, _ in told] == [2, 4]
    counts = await backfilling.backfill(store, tmp_path, tell)
    assert counts["opportunity"] == total
    assert told[2][1] > 4, "it goes on where it was"
    assert ("opportunity", total, total) in told
    assert not (tmp_path / "backfill.json").exists()
    assert (await backfilling.backfill(store, tmp_path, tell))["opportunity"] == total
    (tmp_path / "backfill.json").write_text("nonsense")
    assert (await backfilling.backfill(store, tmp_path, tell))["opportunity"] == total


async def test_contacts_and_teams_have_features_too(
    client: AsyncTestClient, people: People, worker: Worker
) -> None:
    deal = await make(client, people, worker)
    person = await client.post("/contacts", headers=people.rep.headers, json={"last_name": "Roe"})
    standing = {"contact_id": person.json()["id"], "role": "champion", "sentiment": "supporter"}
    url = f"/opportunities/{deal['id']}/stakeholders"
    assert (await client.post(url, headers=people.rep.headers, json=standing)).status_code == 201
    asked = {"entity": "contact", "ids": [person.json()["id"]]}
    found = (await client.post("/features/online", headers=people.rep.headers, json=asked)).json()
    assert found["sources"] == ["postgresql"]
    values = found["items"][0]["values"]
    assert (values["contact_deals"], values["contact_champion_deals"], values["contact_support"]) == (1, 1, 1)
    team = (await client.get("/teams?name=West", headers=people.rep.headers)).json()["items"][0]
    asked = {"entity": "team", "ids": [team["id"]]}
    found = (await client.post("/features/online", headers=people.rep.headers, json=asked)).json()
    assert found["items"][0]["values"]["team_people"] == 3
    assert found["items"][0]["values"]["team_open_deals"] >= 1
    then = {"entity": "team", "pairs": [{"id": team["id"], "as_of": "2001-01-01T00:00:00Z"}]}
    past = (await client.post("/features/historical", headers=people.rep.headers, json=then)).json()
    assert past["items"][0]["values"]["team_open_deals"] == 0
    assert past["items"][0]["values"]["team_win_rate"] is None
