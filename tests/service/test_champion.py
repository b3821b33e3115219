"""A champion speaks, its scores are whole and replayed; what it may not say the baseline says, and names why."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import pytest
from litestar.testing import AsyncTestClient

from features.catalogue import SETS
from ml.frame import Frame
from ml.lead import LeadModel, LeadPanel
from ml.panel import LOST, WON, Panel
from ml.win import WinModel
from registry import bundle, champion
from registry.bundle import Manifest
from service.baselines import WEEKS, Said
from service.db import Database
from service.replay import replayed
from service.rescoring import score_all
from service.settings import Settings
from service.voices import merged
from service.worker import Worker
from tests.conftest import People
from tests.service.test_scores import is_whole, make_deal, score_of

pytestmark = pytest.mark.anyio

STAGES = ("prospecting", "qualification", "proposal")
COLUMNS = ("age_weeks", "weeks_in_stage", "amount_log", "activities_28d")


def win_model() -> WinModel:
    """Learned from deals that go on more often the more is done with them."""
    random, n = np.random.default_rng(5), 4000
    stage = random.integers(0, 3, n)
    columns: dict[str, Any] = {name: random.uniform(0, 10, n) for name in COLUMNS}
    go = 0.1 + 0.03 * columns["activities_28d"]
    luck = random.uniform(size=n)
    moved = np.where(stage == 2, WON, stage + 1)
    outcome = np.where(luck < go, moved, np.where(luck > 0.93, LOST, stage)).astype(np.int64)
    frame = Frame.of(columns | {"stage": stage.astype(np.float64)}, {"stage": STAGES})
    panel = Panel(np.arange(n), random.uniform(20000, 20300, n), stage, frame, outcome)
    return WinModel(stages=STAGES, tier="logistic").fit(panel)


def lead_model() -> LeadModel:
    random, n = np.random.default_rng(6), 2000
    activities = random.integers(0, 6, n).astype(np.float64)
    at = random.uniform(20000, 20200, n)
    days = np.where(random.uniform(size=n) < 0.1 + 0.1 * activities, random.uniform(0, 90, n), np.inf)
    frame = Frame.of({"lead_activities_28d": activities})
    return LeadModel(tier="logistic").fit(LeadPanel(np.arange(n), at, frame, at + days, 20400.0))


async def enthrone(
    database: Database,
    settings: Settings,
    model: str,
    set_name: str,
    estimator: Any,
    features: tuple[str, ...],
    **changes: Any,
) -> int:
    """Writes a model as a bundle, registers it and makes it champion; returns its version."""
    version = await champion.next_version(database, model)
    now = datetime.now(UTC)
    manifest = Manifest(
        model=model, version=version, tier="logistic", feature_set=set_name, features=features,
        fingerprint=SETS[set_name].fingerprint, training_as_of=now, created_at=now,
        calibration={"brier": 0.2, "log_loss": 0.6, "ece": 0.01, "n": 500},
    )  # fmt: skip
    manifest = msgspec.structs.replace(manifest, **changes)
    folder, sha256 = bundle.write(settings.home / "models", manifest, estimator.to_text())
    await champion.add(
        database, model, version, tier="logistic", feature_set=manifest.fingerprint, metrics={},
        verdict={"is_publishable": True}, card={}, folder=folder, sha256=sha256, run_id=None, training_as_of=now,
        created_by="test",
    )  # fmt: skip
    await champion.promote(database, model, version, by="test")
    return version


async def test_a_champion_scores_and_its_score_is_replayed(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    deal = await make_deal(client, people)
    await worker.drain()
    assert (await score_of(client, people, deal))["tier"] == "baseline"
    version = await enthrone(database, settings, "win", "deal_win", win_model(), ("stage", *COLUMNS))
    assert (await score_of(client, people, deal))["is_stale"] is True, "another model serves now"
    assert (await score_all(database, settings))["deals"] >= 1
    score = await score_of(client, people, deal)
    is_whole(score)
    assert (score["tier"], score["model_version"], score["is_stale"]) == ("logistic", version, False)
    assert {"stage", "activity"} <= {reason["key"] for reason in score["reasons"]}
    assert score["calibration"]["n"] == 500
    for _ in range(3):
        call = {"type": "call", "occurred_at": datetime.now(UTC).isoformat(), "opportunity_id": deal["id"]}
        assert (await client.post("/activities", headers=people.rep.headers, json=call)).status_code == 201
    await worker.drain()
    after = await score_of(client, people, deal)
    is_whole(after)
    assert after["win_probability"] > score["win_probability"]
    again = await replayed(database, settings.home / "models", UUID(after["id"]))
    assert again["verdict"] == "the same"


async def test_a_stage_that_the_champion_never_saw_is_the_baselines(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    await enthrone(database, settings, "win", "deal_win", win_model(), ("stage", *COLUMNS))
    deal = await make_deal(client, people, stage="negotiation")
    other = await make_deal(client, people)
    await worker.drain()
    score = await score_of(client, people, deal)
    is_whole(score)
    assert (score["tier"], score["model_version"]) == ("baseline", None)
    assert "never saw a deal in stage negotiation" in score["gate"]["reason"]
    assert (await score_of(client, people, other))["tier"] == "logistic"


FOREIGN = ("stage", *COLUMNS, "shoe_size")
CRAFTED = '{"format":1,"estimator":"os.system","parameters":{"command":"touch owned"},"state":{}}'


class Crafted:
    """A model's text that is none, or is one of another kind."""

    def __init__(self, text: str) -> None:
        self.text = text

    def to_text(self) -> str:
        return self.text


@cache
def trained() -> Crafted:
    """The text of a model that is one."""
    return Crafted(win_model().to_text())


UNFIT: list[tuple[Any, dict[str, Any], str]] = [
    (None, {"fingerprint": "of another day"}, "features that have changed since"),
    (None, {"features": FOREIGN}, "there is no feature 'shoe_size' in the set deal_win"),
    (None, {"feature_set": "no_such"}, "there is no set 'no_such'"),
    (Crafted(CRAFTED), {}, "names no estimator"),
    (Crafted("\x00 not JSON"), {}, "this is no model"),
    (Crafted("[" * 100_000), {}, "this is no model"),
    (Crafted('{"format":1,"estimator":"win.WinModel","parameters":{"a":1},"state":{}}'), {}, "this is no model of this version"),
    (Crafted('{"format":1,"estimator":"calibrate.Calibration","parameters":{},"state":{}}'), {}, "holds calibrate.Calibration"),
]  # fmt: skip
"""Estimator, changes of the manifest, and what is said of it."""


async def unfit(
    database: Database, settings: Settings, estimator: Any, changes: dict[str, Any], *, seated: bool
) -> int:
    """A registered version that cannot serve, beside a champion that does; made champion behind the product's back if
    `seated`."""
    await enthrone(database, settings, "win", "deal_win", trained(), ("stage", *COLUMNS))
    features = changes.get("features", ("stage", *COLUMNS))
    rest = {name: value for name, value in changes.items() if name != "features"}
    model = estimator or trained()
    version = await enthrone(database, settings, "win", "deal_win", model, features, **rest)
    if not seated:
        await champion.rollback(database, "win", by="test")
    return version


@pytest.mark.parametrize(("estimator", "changes", "words"), UNFIT, ids=[words for _, _, words in UNFIT])
async def test_what_cannot_serve_is_not_promoted_and_the_champion_stays(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings, estimator: Any,
    changes: dict[str, Any], words: str,
) -> None:  # fmt: skip
    version = await unfit(database, settings, estimator, changes, seated=False)
    before = await champion.champion(database, "win")
    events = await database.fetchval("SELECT count(*) FROM ledger.events WHERE kind = 'model.promoted'")
    for body in ({"version": version}, {"version": version, "override": "the board asked for it"}):
        refused = await client.post("/models/win/promote", headers=people.data.headers, json=body)
        assert refused.status_code == 409, refused.text
        assert words.replace("features that have changed since", "it does not say by which") in refused.text
        assert f"win version {version}" in refused.json()["detail"]
    assert await champion.champion(database, "win") == before, "nothing half written"
    assert (
        await database.fetchval("SELECT count(*) FROM ledger.events WHERE kind = 'model.promoted'") == events
    )
    assert not (settings.home / "owned").exists()
    deal = await make_deal(client, people)
    await worker.drain()
    assert before is not None
    assert (await score_of(client, people, deal))["model_version"] == before["version"]


@pytest.mark.parametrize("harm", ["", " ", "gone"])
async def test_a_champion_that_may_not_speak_gives_its_reason_and_the_one_before_speaks(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings, harm: str
) -> None:
    changes = {} if harm else {"fingerprint": "of another day"}
    version = await unfit(database, settings, None, changes, seated=True)
    path = settings.home / "models" / "win" / str(version) / bundle.MODEL
    if harm == "gone":
        path.unlink()
    elif harm:
        path.write_text(path.read_text() + harm)
    reason = {"": "features that have changed since", " ": "do not match", "gone": "is missing"}[harm]
    for speaks in (version - 1, None):
        deal = await make_deal(client, people)
        await worker.drain()
        score = await score_of(client, people, deal)
        is_whole(score)
        assert score["model_version"] == speaks
        assert score["tier"] == ("logistic" if speaks else "baseline")
        assert reason in score["gate"]["reason"]
        assert ("speaks in its place" in score["gate"]["reason"]) is bool(speaks)
        back = await client.post(
            "/models/win/promote", headers=people.data.headers, json={"version": version}
        )
        assert back.status_code == 409, "not even the champion itself is pinned while its files are wrong"
        await database.execute("UPDATE registry.champions SET previous_version = NULL WHERE model = 'win'")


async def test_the_champion_before_stays_in_memory(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    versions = []
    for _ in range(2):
        versions.append(await enthrone(database, settings, "win", "deal_win", trained(), ("stage", *COLUMNS)))
        deal = await make_deal(client, people)
        await worker.drain()
        assert (await score_of(client, people, deal))["model_version"] == versions[-1]
    folder = settings.home / "models" / "win" / str(versions[0])
    folder.rename(folder.with_name("elsewhere"))
    await champion.rollback(database, "win", by="test")
    deal = await make_deal(client, people)
    await worker.drain()
    assert (await score_of(client, people, deal))["model_version"] == versions[0], "nothing was read again"
    folder.with_name("elsewhere").rename(folder)


async def test_a_rollback_to_files_that_are_wrong_is_refused(
    client: AsyncTestClient, people: People, database: Database, settings: Settings
) -> None:
    first = await enthrone(database, settings, "win", "deal_win", trained(), ("stage", *COLUMNS))
    second = await enthrone(database, settings, "win", "deal_win", trained(), ("stage", *COLUMNS))
    path = settings.home / "models" / "win" / str(first) / bundle.MODEL
    whole = path.read_text()
    path.write_text(whole.replace("1", "2", 1))
    refused = await client.post("/models/win/rollback", headers=people.data.headers)
    assert refused.status_code == 409
    assert f"win version {first}: the files do not match the registered sha256" in refused.json()["detail"]
    now = await champion.champion(database, "win")
    assert now is not None
    assert now["version"] == second
    path.write_text(whole)
    back = await client.post("/models/win/rollback", headers=people.data.headers, json={"reason": "worse"})
    assert back.json()["version"] == first
    card = (await champion.version_row(database, "win", first))["card"]
    assert [one["reason"] for one in card["promotions"]] == ["", "worse"]


async def test_leads_have_a_champion_of_their_own(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    await enthrone(database, settings, "lead", "lead_convert", lead_model(), ("lead_activities_28d",))
    made = await client.post("/leads", headers=people.rep.headers, json={"company": "Acme"})
    await worker.drain()
    score = (await client.get(f"/leads/{made.json()['id']}/score", headers=people.rep.headers)).json()
    is_whole(score)
    assert score["tier"] == "logistic"
    assert (
        score["convert_30d_probability"] < score["convert_60d_probability"] < score["convert_90d_probability"]
    )


def test_a_mixed_answer_keeps_each_row_in_its_place() -> None:

    def said(win: list[float], trained: bool) -> Said:
        n = len(win)
        flat = np.tile(np.array(win)[:, None], (1, WEEKS))
        return Said(
            np.array(win), flat, flat, np.full(n, 0.1), ("stage",), np.full((n, 1), 0.2), np.full(n, trained)
        )

    rows = np.array([True, False, True])
    found = merged(3, ("age_weeks", "stage"), [(rows, said([0.3, 0.5], True)), (~rows, said([0.4], False))])
    assert found.win.tolist() == [0.3, 0.4, 0.5]
    assert found.is_trained.tolist() == [True, False, True]
    assert found.effects.tolist() == [[0, 0.2]] * 3
    assert replace(found, base=found.base).lost[:, 0].tolist() == [0.3, 0.4, 0.5]
