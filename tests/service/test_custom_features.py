"""A custom field becomes a feature by declaration: in the catalogue, in sets of any instant, in a champion's reasons."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from litestar.testing import AsyncTestClient

from features.catalogue import SETS, widened
from features.custom import declared
from ml.frame import Frame
from ml.panel import LOST, WON, Panel
from ml.win import WinModel
from service.db import Database
from service.reasons import of_field
from service.rescoring import score_all
from service.settings import Settings
from service.worker import Worker
from tests.conftest import People
from tests.service.test_champion import STAGES, enthrone
from tests.service.test_scores import make_deal, score_of

pytestmark = pytest.mark.anyio
NAME = "opportunity_cf_budget_agreed"


def model() -> WinModel:
    """Learned from deals that go on where the budget is agreed."""
    random, n = np.random.default_rng(7), 4000
    stage = random.integers(0, 3, n)
    agreed = random.integers(0, 2, n).astype(np.float64)
    luck = random.uniform(size=n)
    moved = np.where(stage == 2, WON, stage + 1)
    outcome = np.where(luck < 0.1 + 0.5 * agreed, moved, np.where(luck > 0.9, LOST, stage)).astype(np.int64)
    columns = {NAME: agreed, "stage": stage.astype(np.float64)}
    panel = Panel(
        np.arange(n), random.uniform(20000, 20300, n), stage, Frame.of(columns, {"stage": STAGES}), outcome
    )
    return WinModel(stages=STAGES, tier="logistic").fit(panel)


async def define(client: AsyncTestClient, people: People, **field: Any) -> Any:
    body = {"entity": "opportunity", "is_feature": True, **field}
    return await client.post("/fields", headers=people.ops.headers, json=body)


async def change(
    client: AsyncTestClient, people: People, field: dict[str, Any], **new: Any
) -> dict[str, Any]:
    url = f"/fields/{field['id']}"
    now = await client.get(url, headers=people.ops.headers)
    headers = people.ops.headers | {"If-Match": now.headers["etag"]}
    answered = await client.patch(url, headers=headers, json=new)
    assert answered.status_code == 200, answered.text
    found: dict[str, Any] = answered.json()
    return found


async def asked(
    client: AsyncTestClient, person: Any, deal: dict[str, Any], at: datetime | None = None
) -> Any:
    """The value now, or as of an instant."""
    body: dict[str, Any] = {"entity": "opportunity", "features": [NAME]}
    if at is None:
        answered = await client.post(
            "/features/online", headers=person.headers, json=body | {"ids": [deal["id"]]}
        )
    else:
        pairs = [{"id": deal["id"], "as_of": at.isoformat()}]
        answered = await client.post(
            "/features/historical", headers=person.headers, json=body | {"pairs": pairs}
        )
    assert answered.status_code == 200, answered.text
    return answered.json()["items"][0]["values"][NAME]


async def catalogue(client: AsyncTestClient, person: Any) -> dict[str, Any]:
    listed = (await client.get("/features", headers=person.headers)).json()
    return {one["name"]: one for one in listed["items"]}


async def test_from_its_definition_to_a_reason_and_after_its_end(
    client: AsyncTestClient, people: People, worker: Worker, database: Database, settings: Settings
) -> None:
    before = (await catalogue(client, people.rep)).keys()
    made = await define(client, people, key="budget_agreed", label="Budget agreed", type="boolean")
    assert made.status_code == 201, made.text
    field = made.json()
    told = (await catalogue(client, people.rep))[NAME]
    assert set(before) == set(await catalogue(client, people.rep)) - {NAME}
    assert (told["type"], told["unit"], told["low"], told["high"]) == ("number", "yes or no", 0, 1)
    assert told["meaning"] == "Budget agreed."
    assert told["null_policy"] == "missing while the field is not set"
    assert told["sensitivity"] == "internal"
    assert told["lineage"]["tables"]
    assert "deal_win" in told["feature_sets"]

    deal = await make_deal(client, people)
    first = datetime.now(UTC)
    url = f"/opportunities/{deal['id']}"
    headers = people.rep.headers | {
        "If-Match": (await client.get(url, headers=people.rep.headers)).headers["etag"]
    }
    assert (await client.patch(url, headers=headers, json={"cf": {"budget_agreed": True}})).status_code == 200
    await worker.drain()
    assert await asked(client, people.rep, deal) == 1
    assert await asked(client, people.rep, deal, datetime.now(UTC)) == 1
    assert await asked(client, people.rep, deal, first) is None, "it was not known yet"

    # a model that learned on it names it by its label
    fields = await declared(database.fetch)
    whole = widened(SETS["deal_win"], fields)
    version = await enthrone(
        database, settings, "win", "deal_win", model(), ("stage", NAME), fingerprint=whole.fingerprint,
        definitions={name: whole.definitions[name] for name in ("stage", NAME)}, categories=("stage",),
        declared=fields,
    )  # fmt: skip
    await score_all(database, settings)
    score = await score_of(client, people, deal)
    assert (score["tier"], score["model_version"]) == ("logistic", version)
    reason = next(one for one in score["reasons"] if one["key"] == NAME)
    assert (reason["text"], reason["value"], reason["direction"]) == ("Budget agreed: yes", True, "up")
    diff = await client.get(f"{url}/score/diff", headers=people.rep.headers, params={"from": score["id"]})
    assert diff.status_code == 200

    # hidden from a role it exists for that role in no explanation and no catalogue, and counts all the same
    await change(client, people, field, hidden_from=["rep"])
    hidden = await score_of(client, people, deal)
    assert NAME not in {one["key"] for one in hidden["reasons"]}
    assert "Budget" not in str(hidden)
    assert sum(one["effect"] for one in hidden["reasons"]) == pytest.approx(
        hidden["win_probability"] - hidden["base_value"], abs=1e-6
    )
    assert NAME not in await catalogue(client, people.rep)
    assert NAME in await catalogue(client, people.ops)
    nobody = await client.post(
        "/features/online", headers=people.rep.headers,
        json={"entity": "opportunity", "ids": [deal["id"]], "features": [NAME]},
    )  # fmt: skip
    assert nobody.status_code == 422

    # another one beside it, and the end of this one, leave the model as it was; the removed one stays hidden
    await define(client, people, key="urgency", label="Urgency", type="number")
    gone = await client.get(f"/fields/{field['id']}", headers=people.ops.headers)
    ended = await client.delete(
        f"/fields/{field['id']}", headers=people.ops.headers | {"If-Match": gone.headers["etag"]}
    )
    assert ended.status_code == 204, ended.text
    assert NAME not in await catalogue(client, people.ops)
    await score_all(database, settings)
    after = await score_of(client, people, deal)
    assert (after["tier"], after["model_version"]) == ("logistic", version)
    assert after["win_probability"] == pytest.approx(score["win_probability"], abs=1e-4)
    assert "Budget" not in str(after)


async def test_what_makes_no_feature_is_refused(client: AsyncTestClient, people: People) -> None:
    late = await define(client, people, key="why_lost", label="Why", type="text", known_at="at_close")
    assert late.status_code == 422
    assert late.json()["errors"][0]["pointer"] == "/is_feature"
    product = await define(client, people, entity="product", key="weight", label="Weight", type="number")
    assert product.json()["errors"][0]["pointer"] == "/is_feature"
    turned = await define(client, people, key="span", label="Span", type="number", minimum=5, maximum=1)
    assert turned.json()["errors"][0]["pointer"] == "/maximum"
    word = await define(client, people, key="word", label="Word", type="text", unit="kg")
    assert word.json()["errors"][0]["pointer"] == "/unit"


async def test_unit_and_range_are_the_fields_own(client: AsyncTestClient, people: People) -> None:
    made = await define(
        client, people, key="power", label="Power", type="number", unit="kW", minimum=0, maximum=500,
        description="What the site needs.", is_sensitive=True,
    )  # fmt: skip
    assert made.status_code == 201, made.text
    told = (await catalogue(client, people.ops))["opportunity_cf_power"]
    assert (told["unit"], told["low"], told["high"]) == ("kW", 0, 500)
    assert (told["meaning"], told["sensitivity"]) == ("What the site needs.", "personal")
    draft = {"name": "Deal", "close_date": "2030-03-01", "cf": {"power": 501}}
    beyond = await client.post("/opportunities", headers=people.rep.headers, json=draft)
    assert beyond.json()["errors"] == [{"pointer": "/cf/power", "detail": "lies above 500"}]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("number", 12.5, "Size: 12.5"), ("currency", float(np.log1p(1200.0)), "Size: 1,200"), ("boolean", 0.0, "Size: no"),
        ("date", -1.0, "Size 1 day ago"), ("datetime", 2.2, "Size in 2 days"), ("select", "gold", "Size: gold"),
        ("text", 1.0, "Size is filled in"), ("reference", 0.0, "Size is not filled in"), ("number", None, "Size is not set"),
    ],
)  # fmt: skip
def test_every_type_has_a_reason_in_words(kind: str, value: Any, text: str) -> None:
    assert of_field("x", "Size", kind).tell({"x": value})[0] == text
