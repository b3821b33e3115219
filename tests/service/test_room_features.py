"""What a buyer does in the room moves the chance: scored anew after visits, comments and the plan, as history has it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from features.catalogue import SETS
from features.reading import loader, values
from ml.frame import Frame
from ml.panel import LOST, WON, Panel
from ml.win import WinModel
from service.db import Database
from service.settings import Settings
from service.store import store_of
from service.worker import Worker
from tests.conftest import People
from tests.service.test_champion import STAGES, enthrone
from tests.service.test_guests import browser, made
from tests.service.test_scores import make_deal, score_of

pytestmark = pytest.mark.anyio
READ = ("room_guests_14d", "guest_comments_28d", "plan_items_overdue_theirs")


def model() -> WinModel:
    """Learned from deals that go on where guests come and speak, and the buyer keeps to the plan."""
    random, n = np.random.default_rng(8), 4000
    stage = random.integers(0, 3, n)
    columns: dict[str, Any] = {name: random.integers(0, 4, n).astype(np.float64) for name in READ}
    go = 0.3 + 0.1 * columns[READ[0]] + 0.06 * columns[READ[1]] - 0.1 * columns[READ[2]]
    luck = random.uniform(size=n)
    moved = np.where(stage == 2, WON, stage + 1)
    outcome = np.where(luck < go, moved, np.where(luck > 0.95, LOST, stage)).astype(np.int64)
    frame = Frame.of(columns | {"stage": stage.astype(np.float64)}, {"stage": STAGES})
    panel = Panel(np.arange(n), random.uniform(20000, 20300, n), stage, frame, outcome)
    return WinModel(stages=STAGES, tier="logistic").fit(panel)


async def test_what_happens_in_the_room_moves_the_chance(
    client: AsyncTestClient,
    app: Litestar,
    people: People,
    worker: Worker,
    database: Database,
    settings: Settings,
) -> None:
    await enthrone(
        database, settings, "win", "deal_win", model(), ("stage", *READ), categories=("stage",),
        definitions={name: SETS["deal_win"].definitions[name] for name in ("stage", *READ)},
    )  # fmt: skip
    deal = await make_deal(client, people)
    contact = await made(client, "/contacts", people, last_name="Buyer")
    link = await made(
        client, "/guest-links", people, opportunity_id=deal["id"], name="Ann of Acme", may_comment=True
    )
    await worker.drain()
    told = [await score_of(client, people, deal)]

    async def next_one(key: str) -> dict[str, Any]:
        """The newest score, its reason by key, and the facts online beside those of history."""
        await worker.drain()
        told.append(await score_of(client, people, deal))
        assert told[-1]["id"] != told[-2]["id"], "nothing followed"
        store = store_of(database, settings.redis_url)
        spine = (await store.now()).spine([deal["id"]])
        online, _ = await store.online.values(SETS["deal_win"], spine)
        known = await values(loader(database.fetch, store.online.calendar), SETS["deal_win"], spine)
        assert all(np.array_equal(online[n], known[n], equal_nan=online[n].dtype.kind == "f") for n in online)
        found: dict[str, Any] = next(one for one in told[-1]["reasons"] if one["key"] == key)
        return found

    def moved() -> float:
        return float(told[-1]["win_probability"] - told[-2]["win_probability"])

    async with browser(app) as guest:
        assert (await guest.get(f"/room/{link['token']}")).status_code == 200
        assert (await next_one("room"))["text"] == "1 guest in the deal's room in the last 14 days"
        assert moved() > 0
        said = await guest.post(f"/room/{link['token']}/comments", data={"body": "We like it."})
        assert said.status_code in (200, 303), said.text
        assert (await next_one("room"))["text"].endswith(", 1 comment")
        assert moved() > 0
    late = (datetime.now(UTC).date() - timedelta(days=9)).isoformat()
    item = await made(
        client,
        "/plan-items",
        people,
        opportunity_id=deal["id"],
        title="Sign",
        contact_id=contact["id"],
        due_date=late,
    )
    assert (await next_one("plan"))["text"] == "0 of 1 item of the plan done, 1 of theirs overdue"
    assert moved() != 0
    url = f"/plan-items/{item['id']}"
    headers = people.rep.headers | {
        "If-Match": (await client.get(url, headers=people.rep.headers)).headers["etag"]
    }
    assert (await client.patch(url, headers=headers, json={"status": "done"})).status_code == 200
    assert (await next_one("plan"))["text"] == "1 of 1 item of the plan done"
    assert moved() != 0
