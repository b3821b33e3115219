"""From an import to a champion: learned in a process, judged, promoted, pinned, rolled back, mirrored."""

import json
from pathlib import Path

import msgspec
import pytest

from registry import bundle, champion
from service import jobs, learning
from service.access import SYSTEM
from service.domains import models
from service.errors import Conflict
from training import cards

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def silent(what, done, total):
    """Nobody looks."""


@pytest.fixture(scope="module")
async def learned(database, settings, company):
    """The amount model, learned by the job that the import would have started: the quickest there is."""
    await database.execute("DELETE FROM jobs")
    await jobs.enqueue(database, "models.learn", {"models": ["amount"]}, key="amount")
    (job,) = [one for one in await jobs.claim(database, frozenset(), []) if one.type == "models.learn"]
    result = await learning.handlers(settings)["models.learn"](job)
    await jobs.finish(database, [job], result)
    return result["models"]


async def test_the_best_version_that_passed_serves(database, learned):
    chosen = [one for one in learned if one["is_chosen"]]
    assert len(chosen) == 1
    assert chosen[0]["is_promoted"]
    assert (await champion.champion(database, "amount"))["version"] == chosen[0]["version"]


async def test_a_promotion_is_told_and_asks_for_scores_once(database, learned):
    assert await database.fetchval("SELECT count(*) FROM ledger.events WHERE kind = 'model.promoted'") == 1
    assert (
        await database.fetchval("SELECT count(*) FROM jobs WHERE type = 'score.all' AND status = 'queued'")
        == 1
    )
    assert (
        await database.fetchval(
            "SELECT count(*) FROM jobs WHERE type = 'models.mirror' AND status = 'queued'"
        )
        == 1
    )


async def test_the_bundle_serves_and_its_card_says_what_it_is(database, settings, learned):
    bundle = await champion.load(database, settings.home / "models", "amount")
    assert bundle.manifest.model == "amount"
    assert bundle.manifest.gate["required"] == {"closed_won": 100}
    row = await champion.version_row(database, "amount", bundle.manifest.version)
    text = cards.markdown(row["card"])
    assert text.startswith(f"# amount version {bundle.manifest.version} ")
    assert bundle.manifest.data_sha256[:16] in text


async def test_models_are_listed_with_reasons(client, people, learned):
    answer = (await client.get("/models", headers=people.rep.headers)).json()
    by_name = {one["name"]: one for one in answer["items"]}
    assert by_name["amount"]["version"] is not None
    assert by_name["win"]["version"] is None
    assert "baseline speaks" in by_name["win"]["reason"]
    assert all(gate["words"] for version in by_name["amount"]["versions"] for gate in version["gates"])
    card = await client.get("/models/amount/card", headers=people.rep.headers)
    assert card.json()["model"] == "amount"
    assert (await client.get("/models/win/card", headers=people.rep.headers)).status_code == 404
    assert (await client.get("/models/nonsense/card", headers=people.rep.headers)).status_code == 404


async def test_only_who_may_promotes(client, people, learned):
    body = {"version": learned[0]["version"]}
    assert (
        await client.post("/models/amount/promote", json=body, headers=people.rep.headers)
    ).status_code == 403
    unknown = await client.post("/models/amount/promote", json={"version": 99}, headers=people.data.headers)
    assert unknown.status_code == 422
    assert unknown.json()["errors"][0]["pointer"] == "/version"
    strange = await client.post(
        "/models/amount/promote", json={"version": 1, "x": 1}, headers=people.data.headers
    )
    assert strange.status_code == 422


async def test_a_refused_version_needs_a_written_reason_and_a_pin_holds(
    database, settings, client, people, learned
):
    serving = (await champion.champion(database, "amount"))["version"]
    row = await champion.version_row(database, "amount", serving)
    version = await champion.next_version(database, "amount")
    verdict = {
        "is_publishable": False,
        "gates": [{"name": "calibration", "passed": False, "words": "20 % inside"}],
    }
    found = await champion.load(database, settings.home / "models", "amount")
    manifest = msgspec.structs.replace(found.manifest, version=version)
    folder, sha256 = bundle.write(settings.home / "models", manifest, found.text)
    await champion.add(
        database, "amount", version, tier="gbm", feature_set=row["feature_set"], metrics={}, verdict=verdict,
        card=row["card"], folder=folder, sha256=sha256, run_id=None,
        training_as_of=row["training_as_of"], created_by="test",
    )  # fmt: skip
    body, headers = {"version": version}, people.data.headers
    refused = await client.post("/models/amount/promote", json=body, headers=headers)
    assert refused.status_code == 409
    assert "20 % inside" in refused.json()["detail"]
    served = await client.post(
        "/models/amount/promote", json=body | {"override": "tried by hand"}, headers=headers
    )
    assert served.status_code == 200, served.text
    assert served.json()["previous_version"] == serving
    assert (await champion.champion(database, "amount"))["pinned"]
    assert not await learning._seat(
        database, SYSTEM, {"model": "amount", "version": serving}, settings.home / "models"
    )
    back = await client.post("/models/amount/rollback", headers=headers)
    assert back.json()["version"] == serving
    assert not (await champion.champion(database, "amount"))["pinned"]


async def test_without_an_earlier_version_there_is_no_way_back(database):
    with pytest.raises(Conflict, match="no earlier version"):
        async with database.begin() as tx:
            await models.rollback(tx, SYSTEM, "arrivals", "", Path("nowhere"))


async def test_an_unreachable_mlflow_is_said_and_harms_nothing(settings, learned):
    told = await learning.mirror(settings)
    assert told["runs"] == 0
    assert "MLflow cannot be reached" in told["reason"]
    json.dumps(told)
