"""Silent versions score beside the champion and harm nobody; a better challenger takes its place; drift is reported."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from litestar.testing import AsyncTestClient

from registry import bundle, champion, silent
from service import watching
from service.challenge import standing, take_place
from service.db import Database
from service.ids import new_id
from service.rescoring import score_all
from service.settings import Settings
from service.store import Instants
from service.voices import voices_of
from service.worker import Worker
from tests.conftest import People
from tests.service.test_champion import COLUMNS, enthrone, lead_model, win_model
from tests.service.test_scores import make_deal, score_of

pytestmark = pytest.mark.anyio
FEATURES = ("stage", *COLUMNS)


async def two_versions(database: Database, settings: Settings) -> tuple[int, int]:
    """(the silent version, the champion)."""
    other = win_model()
    other.roller_.offsets_ = other.roller_.offsets_ + 0.4
    silent_one = await enthrone(database, settings, "win", "deal_win", other, FEATURES)
    return silent_one, await enthrone(database, settings, "win", "deal_win", win_model(), FEATURES)


async def test_a_silent_version_is_kept_beside_each_score_and_serves_nothing(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    other, serving = await two_versions(database, settings)
    url = "/models/win/aliases/shadow"
    named = await client.put(url, headers=people.data.headers, json={"version": other, "reason": "to see"})
    assert named.status_code == 200, named.text
    deal = await make_deal(client, people)
    await worker.drain()
    score = await score_of(client, people, deal)
    assert score["model_version"] == serving
    row = await database.fetchrow("SELECT * FROM registry.shadows WHERE score_id = $1", UUID(score["id"]))
    assert (row["version"], row["chances"]["champion_version"]) == (other, serving)
    assert row["chances"]["silent"][2] > row["chances"]["champion"][2] > 0
    listed = (await client.get("/models/win/aliases", headers=people.rep.headers)).json()["items"]
    assert [(one["alias"], one["version"], one["reason"]) for one in listed] == [("shadow", other, "to see")]
    whole = (await client.get("/models", headers=people.rep.headers)).json()["items"]
    assert next(one for one in whole if one["name"] == "win")["aliases"] == {"shadow": other}
    assert (await client.delete(url, headers=people.data.headers)).status_code == 204
    assert (await client.delete(url, headers=people.data.headers)).status_code == 404
    await score_all(database, settings)
    assert (
        await database.fetchval(
            "SELECT count(*) FROM registry.shadows WHERE entity_id = $1", UUID(deal["id"])
        )
        == 1
    )


async def test_a_broken_silent_version_costs_nobody_a_score(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    other, serving = await two_versions(database, settings)
    path = settings.home / "models" / "win" / str(other) / bundle.MODEL
    path.write_text(path.read_text() + " ")
    await silent.name(database, "win", "challenger", other, by="me")
    voices_of(database, settings)._bundles.clear()
    deal = await make_deal(client, people)
    await worker.drain()
    assert (await score_of(client, people, deal))["model_version"] == serving
    await silent.unname(database, "win", "challenger")


async def test_leads_have_silent_versions_too(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    names = ("lead_activities_28d",)
    first = await enthrone(database, settings, "lead", "lead_convert", lead_model(), names)
    await enthrone(database, settings, "lead", "lead_convert", lead_model(), names)
    await silent.name(database, "lead", "shadow", first, by="me")
    made = await client.post("/leads", headers=people.rep.headers, json={"company": "Acme"})
    await worker.drain()
    kept = await database.fetchval(
        "SELECT chances FROM registry.shadows WHERE entity_id = $1", UUID(made.json()["id"])
    )
    assert kept["champion"] == kept["silent"]
    assert len(kept["silent"]) == 3


async def test_a_challenger_is_judged_by_outcomes_that_have_matured(
    client: AsyncTestClient, people: People, database: Database, settings: Settings
) -> None:
    other, serving = await two_versions(database, settings)
    await silent.name(database, "win", "challenger", other, by="me")
    now = datetime.now(UTC)
    nothing = await standing(database, "win", serving, now)
    assert nothing is not None
    assert (nothing["n"], nothing["is_better"]) == (0, False)
    for number in range(45):  # nobody won within 30 days of these looks; the challenger had said so
        deal = UUID((await make_deal(client, people))["id"])
        ago = now - timedelta(days=40 if number < 40 else 3)
        chances = {"champion_version": serving, "champion": [0.5] * 3, "silent": [0.05] * 3}
        await silent.keep(
            database, "win", other, [(new_id(), deal, ago), (new_id(), deal, now)], [chances] * 2
        )
    found = await standing(database, "win", serving, datetime.now(UTC))
    assert found is not None
    assert (found["n"], found["waiting"]) == (40, 5), (
        "one look of each deal, when its thirty days have passed"
    )
    assert found["mean_gain"] == pytest.approx(0.5**2 - 0.05**2)
    assert found["is_better"] is True
    assert "Waudby-Smith" in found["words"]
    assert await take_place(database, "win", found, settings.home / "models") is True


async def test_a_pinned_champion_stays_and_a_promotion_is_told(
    database: Database, settings: Settings, people: People
) -> None:
    other, serving = await two_versions(database, settings)
    await silent.name(database, "win", "challenger", other, by="me")
    said, folder = (
        {"version": other, "is_better": True, "words": "version won by betting"},
        settings.home / "models",
    )
    assert await take_place(database, "win", said | {"is_better": False}, folder) is False
    await champion.promote(database, "win", serving, by="me", pinned=True)
    assert await take_place(database, "win", said, folder) is False, "pinned"
    await database.execute("UPDATE registry.champions SET pinned = FALSE WHERE model = 'win'")
    assert await take_place(database, "win", said, folder) is True
    now = await champion.champion(database, "win")
    assert now is not None
    assert (now["version"], now["previous_version"], now["reason"]) == (
        other,
        serving,
        "version won by betting",
    )
    told = await database.fetchval(
        "SELECT count(*) FROM ledger.events WHERE kind = 'model.promoted' AND (data ->> 'version')::int = $1",
        other,
    )
    assert told == 1
    assert "challenger" not in {row["alias"] for row in await silent.aliases(database, "win")}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/models/win/aliases/champion", {"version": 1}, 404),
        ("/models/amount/aliases/shadow", {"version": 1}, 404),
        ("/models/win/aliases/shadow", {"version": 9999}, 422),
        ("/models/win/aliases/shadow", {"version": 1, "colour": "red"}, 422),
    ],
)
async def test_bad_names_are_refused(
    client: AsyncTestClient, people: People, path: str, body: dict[str, Any], status: int
) -> None:
    assert (await client.put(path, headers=people.data.headers, json=body)).status_code == status
    assert (await client.put(path, headers=people.rep.headers, json=body)).status_code == 403


async def test_a_refused_version_is_no_challenger(
    client: AsyncTestClient, people: People, database: Database, settings: Settings
) -> None:
    other, _ = await two_versions(database, settings)
    await database.execute(
        "UPDATE registry.versions SET status = 'refused' WHERE model = 'win' AND version = $1", other
    )
    refused = await client.put(
        "/models/win/aliases/challenger", headers=people.data.headers, json={"version": other}
    )
    assert refused.status_code == 409
    assert "may be a shadow" in refused.json()["detail"]


async def test_the_report_of_a_night_is_read_by_whom_it_concerns(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    await two_versions(database, settings)
    for number in range(35):
        await make_deal(client, people, amount=str(1000 * (number + 1)))
    await worker.drain()
    report = await watching.watch(database, settings, "win")
    assert report is not None
    assert report["rows"] >= 35
    assert report["skew"]["n"] >= 30
    assert report["skew"]["features"] == {}, "served as history confirms"
    assert "too few weeks" in report["words"]
    got = await client.get("/models/win/report", headers=people.rep.headers)
    assert got.status_code == 200, got.text
    assert got.json()["rows"] == report["rows"]
    day = await client.get(f"/models/win/report?day={got.json()['day']}", headers=people.rep.headers)
    assert day.status_code == 200
    for query, status in (("?day=1999-01-01", 404), ("?day=soon", 400)):
        assert (
            await client.get(f"/models/win/report{query}", headers=people.rep.headers)
        ).status_code == status
    assert (await client.get("/models/arrivals/report", headers=people.rep.headers)).status_code == 404


async def test_a_served_value_that_history_does_not_confirm_is_skew(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    await two_versions(database, settings)
    await make_deal(client, people)
    await worker.drain()
    await database.execute(
        "UPDATE scores SET features = jsonb_set(features, '{amount_log}', '1') WHERE id ="
        " (SELECT max(id::text)::uuid FROM scores WHERE model = 'win') /* access:scores */"
    )
    report = await watching.watch(database, settings, "win")
    assert report is not None
    assert report["skew"]["features"] == {"amount_log": 1}


async def test_a_model_is_trained_anew_for_a_reason(
    database: Database, client: AsyncTestClient, people: People
) -> None:
    now = datetime.now(UTC)
    instants, standing_still = Instants(now, now, now), Instants(now - timedelta(days=400), now, now)
    for days, drifted, expected in (
        (0.5, ["amount_log"], ""), (3, ["amount_log"], "amount_log drifted"), (8, [], "8 days old"), (3, [], ""),
    ):  # fmt: skip
        deal = await make_deal(client, people)
        url = f"/opportunities/{deal['id']}/stage"
        await client.post(url, headers=people.rep.headers | {"If-Match": "*"}, json={"to": "won"})
        trained = now - timedelta(days=days)
        why = await watching.why_train(database, "win", trained, instants, drifted)
        assert (expected in why) if expected else why in ("", f"{why.split(' ')[0]} outcomes are new")
        assert await watching.why_train(database, "win", trained, standing_still, drifted) == ""
