"""What lies between two scores: parts that add up, the model's share apart, hidden fields unnamed; replays bit for bit."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from litestar.testing import AsyncTestClient

from features import catalogue, opportunities
from features.catalogue import ENTITIES, SETS
from features.facts import Array, Facts
from features.spec import Feature, FeatureSet
from service.access import HIDDEN
from service.db import Database
from service.errors import Conflict
from service.replay import replayed
from service.rescoring import score_all
from service.settings import Settings
from service.store import store_of
from service.voices import voices_of
from service.worker import Worker
from tests.conftest import People
from tests.service.test_champion import COLUMNS, enthrone, lead_model, win_model
from tests.service.test_scores import make_deal, score_of

pytestmark = pytest.mark.anyio
FEATURES = ("stage", *COLUMNS)


async def call(client: AsyncTestClient, people: People, deal: dict[str, Any]) -> None:
    done = {"type": "call", "occurred_at": datetime.now(UTC).isoformat(), "opportunity_id": deal["id"]}
    assert (await client.post("/activities", headers=people.rep.headers, json=done)).status_code == 201


async def diff(client: AsyncTestClient, person: Any, deal: dict[str, Any], **ends: Any) -> dict[str, Any]:
    url = f"/opportunities/{deal['id']}/score/diff"
    answered = await client.get(url, headers=person.headers, params=ends)
    assert answered.status_code == 200, answered.text
    found: dict[str, Any] = answered.json()
    return found


def parts_of(found: dict[str, Any]) -> dict[str, float]:
    """The parts by key, after the promise that they add up."""
    parts = {part["key"]: part["effect"] for part in found["parts"]}
    assert abs(sum(parts.values()) - found["change"]) < 1e-9
    assert abs(found["to"]["chance"] - found["from"]["chance"] - found["change"]) < 1e-12
    assert found["parts"][-1]["key"] == "other_factors"
    return parts


async def test_the_difference_under_one_model_is_that_of_two_attributions(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    await enthrone(database, settings, "win", "deal_win", win_model(), FEATURES)
    deal = await make_deal(client, people)
    await worker.drain()
    before = await score_of(client, people, deal)
    for _ in range(9):
        await call(client, people, deal)
    await worker.drain()
    after = await score_of(client, people, deal)
    found = await diff(client, people.rep, deal, **{"from": before["id"], "to": after["id"]})
    parts = parts_of(found)
    assert "model_changed" not in parts
    assert found["is_same_model"] is True
    was, now = ({r["key"]: r["effect"] for r in s["reasons"]} for s in (before, after))
    assert parts["activity"] == pytest.approx(now["activity"] - was["activity"])
    assert found["text"].startswith("Up ")
    assert "9 activities in the last 28 days (before: no activity so far)" in found["text"]
    backwards = await diff(client, people.rep, deal, **{"from": after["id"], "to": before["id"]})
    assert backwards["change"] == -found["change"]
    by_instant = await diff(client, people.rep, deal, **{"from": before["scored_at"]})
    assert (by_instant["from"]["id"], by_instant["to"]["id"]) == (before["id"], after["id"])


async def test_a_deal_in_which_nothing_happened_has_changed_by_its_model_alone(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    deal = await make_deal(client, people)
    await enthrone(database, settings, "win", "deal_win", win_model(), FEATURES)
    await worker.drain()
    first = await score_of(client, people, deal)
    other = win_model()
    other.roller_.offsets_ = other.roller_.offsets_ + 0.7
    await enthrone(database, settings, "win", "deal_win", other, FEATURES)
    await score_all(database, settings)
    found = await diff(client, people.rep, deal, **{"from": first["id"]})
    parts = parts_of(found)
    assert found["is_same_model"] is False
    assert abs(found["change"]) > 0.01
    assert parts["model_changed"] == pytest.approx(found["change"], abs=1e-4)
    assert "another model speaks" in found["text"].lower()
    page = await client.get(f"http://testserver.local/deals/{deal['id']}", headers=people.rep.headers)
    assert page.status_code == 200
    assert "another model speaks" in page.text


async def test_what_no_model_can_say_again_is_booked_to_the_model(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    await enthrone(database, settings, "win", "deal_win", win_model(), FEATURES)
    deal = await make_deal(client, people)
    await worker.drain()
    moved = await client.post(
        f"/opportunities/{deal['id']}/stage",
        headers=people.rep.headers | {"If-Match": "*"},
        json={"to": "negotiation"},
    )
    assert moved.status_code == 200
    await worker.drain()
    found = await diff(client, people.rep, deal)
    assert (found["from"]["tier"], found["to"]["tier"]) == ("logistic", "baseline")
    assert parts_of(found) == {"model_changed": found["change"], "other_factors": 0.0}


async def test_hidden_fields_are_within_the_other_factors(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await enthrone(database, settings, "win", "deal_win", win_model(), FEATURES)
    deal = await make_deal(client, people)
    await worker.drain()
    url = f"/opportunities/{deal['id']}/stage"
    await client.post(url, headers=people.rep.headers | {"If-Match": "*"}, json={"to": "proposal"})
    await worker.drain()
    assert "stage" in parts_of(await diff(client, people.rep, deal))
    monkeypatch.setitem(HIDDEN, "opportunities", {"rep": frozenset({"stage"})})
    found = await diff(client, people.rep, deal)
    assert "stage" not in parts_of(found)
    assert "proposal" not in str(found)


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ({"from": "yesterday"}, 400),
        ({"from": "2026-01-01T00:00:00"}, 400),
        ({"to": "1999-01-01T00:00:00Z"}, 404),
        ({"from": "00000000-0000-0000-0000-000000000001"}, 404),
    ],
)
async def test_bad_ends_are_named(
    client: AsyncTestClient, people: People, worker: Worker, ends: dict[str, str], status: int
) -> None:
    deal = await make_deal(client, people)
    await worker.drain()
    url = f"/opportunities/{deal['id']}/score/diff"
    refused = await client.get(url, headers=people.rep.headers, params=ends)
    assert refused.status_code == status
    assert next(iter(ends)) in refused.json()["detail"]
    assert (await client.get(url, headers=people.stranger.headers)).status_code == 404


async def test_leads_differ_alike(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    await enthrone(database, settings, "lead", "lead_convert", lead_model(), ("lead_activities_28d",))
    made = await client.post("/leads", headers=people.rep.headers, json={"company": "Acme"})
    await worker.drain()
    done = {"type": "call", "occurred_at": datetime.now(UTC).isoformat(), "lead_id": made.json()["id"]}
    await client.post("/activities", headers=people.rep.headers, json=done)
    await worker.drain()
    found = await client.get(f"/leads/{made.json()['id']}/score/diff", headers=people.rep.headers)
    assert found.status_code == 200, found.text
    assert parts_of(found.json())["activity"] > 0


async def test_every_score_of_a_batch_is_replayed_bit_for_bit_and_a_fault_is_seen(
    client: AsyncTestClient,
    people: People,
    worker: Worker,
    database: Database,
    settings: Settings,
    owner_url: str,
) -> None:
    await enthrone(database, settings, "win", "deal_win", win_model(), FEATURES)
    for number in range(20):
        deal = await make_deal(client, people, amount=str(1000 + 777 * number))
        for _ in range(number % 4):
            await call(client, people, deal)
    await score_all(database, settings)
    ids = await database.fetch(
        "SELECT score_id FROM current_scores WHERE model_version IS NOT NULL AND opportunity_id IS NOT NULL"
        " /* access:current_scores */"
    )
    assert len(ids) >= 20
    for row in ids:
        again = await replayed(database, settings.home / "models", row["score_id"])
        assert again["replayed"] == again["stored"], again
    victim = ids[0]["score_id"]
    await database.execute(
        "UPDATE scores SET features = jsonb_set(features, '{amount_log}', to_jsonb((features ->> 'amount_log')::float8"
        " + 1e-9)) WHERE id = $1 /* access:scores */",
        victim,
    )
    assert (await replayed(database, settings.home / "models", victim))["verdict"] == "not the same"


async def test_a_baselines_score_is_not_replayed(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    deal = await make_deal(client, people, stage="negotiation")
    await worker.drain()
    score = await score_of(client, people, deal)
    with pytest.raises(Conflict):
        await replayed(database, settings.home / "models", UUID(score["id"]))


# --- definitions side by side ------------------------------------------------------------------------------------


def changed_set(name: str, compute: Any) -> FeatureSet:
    """`deal_win` with another definition of one feature."""
    whole = SETS["deal_win"]
    features = tuple(
        Feature(f.name, f.entity, f.meaning, f.unit, f.owner, compute, f.is_category) if f.name == name else f
        for f in whole.features
    )
    return FeatureSet("deal_win", "opportunity", features, ENTITIES)


def doubled(deals: Facts) -> Array:
    """Another meaning under the same name."""
    return deals["amount"] * 2.0


async def test_a_model_keeps_serving_on_the_definitions_that_it_learned_on(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    learned = SETS["deal_win"]
    version = await enthrone(
        database, settings, "win", "deal_win", win_model(), FEATURES,
        definitions={name: learned.definitions[name] for name in FEATURES}, categories=("stage",),
    )  # fmt: skip
    deal = await make_deal(client, people)
    await worker.drain()
    first = await score_of(client, people, deal)
    assert first["model_version"] == version

    async def again() -> dict[str, Any]:
        await score_all(database, settings)
        return await score_of(client, people, deal)

    # a feature that the model does not read may change as it likes
    monkeypatch.setitem(catalogue.SETS, "deal_win", changed_set("discount", doubled))
    assert catalogue.SETS["deal_win"].fingerprint != learned.fingerprint
    second = await again()
    assert (second["model_version"], second["tier"]) == (version, "logistic")

    # one that it reads: without its former definition the model is silent, and says which is gone
    monkeypatch.setitem(catalogue.SETS, "deal_win", changed_set("amount_log", doubled))
    silent = await again()
    assert silent["tier"] == "baseline"
    assert "the definition of amount_log has changed" in silent["gate"]["reason"]

    # with it, the model speaks on, of the values that it learned on
    monkeypatch.setattr(catalogue, "FORMER", (opportunities.amount_log,))
    spoken = await again()
    assert (spoken["model_version"], spoken["tier"]) == (version, "logistic")
    assert spoken["win_probability"] == pytest.approx(first["win_probability"], abs=1e-4)
    stored = await database.fetchval(
        "SELECT features ->> 'amount_log' FROM scores WHERE id = $1 /* access:scores */", UUID(spoken["id"])
    )
    assert float(stored) < 10, "the former definition: a logarithm"


async def test_the_champion_before_stays_in_memory(
    database: Database, settings: Settings, people: People
) -> None:
    first = await enthrone(database, settings, "win", "deal_win", win_model(), FEATURES)
    voices = voices_of(database, settings)
    before, _ = await voices.bundle("win")
    second = await enthrone(database, settings, "win", "deal_win", win_model(), FEATURES)
    assert (await voices.bundle("win"))[0] is not before
    assert await voices.version("win", first) is before
    assert (await voices.version("win", second)).manifest.version == second  # type: ignore[union-attr]
    assert "There is no version 999" in str(await voices.version("win", 999))


async def test_the_same_facts_are_explained_once(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    version = await enthrone(database, settings, "win", "deal_win", win_model(), FEATURES)
    await make_deal(client, people)
    await worker.drain()
    voices, store = voices_of(database, settings), store_of(database, settings.redis_url)
    now = await store.now()
    voice = await voices.voice("win", "deal_win", now.as_of)
    spine = now.spine([row["id"] for row in await database.fetch(_OPEN)])
    facts = await store.online.facts(ENTITIES["opportunity"], spine)
    columns, _ = await store.online.values(voice.feature_set, spine, None, facts)
    first = voice.of_deals(columns, facts)
    assert voice.bundle is not None
    kept = len(voice.bundle.explanations)
    again = voice.of_deals(columns, facts)
    assert len(voice.bundle.explanations) == kept >= len(spine)
    assert (again.effects == first.effects).all()
    changed = {**columns, "amount_log": columns["amount_log"] + 1}
    other = voice.of_deals(changed, facts)
    assert len(voice.bundle.explanations) == kept + len(spine)
    assert not (other.effects == first.effects).all()
    assert voice.version == version


_OPEN = "SELECT id FROM opportunities WHERE status = 'open' AND stage = 'prospecting' LIMIT 20 /* access:opportunities */"
