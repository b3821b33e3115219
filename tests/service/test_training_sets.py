"""Training sets of any spine: what was known then, frozen by a hash, with labels that have matured; bad spines named."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pytest
from litestar.testing import AsyncTestClient

from features.catalogue import SETS
from features.labels import labels_of
from features.offline import MOST_PAIRS, BadSpine, checked, digest, historical
from features.reading import Spine
from service.db import Database
from service.settings import Settings
from service.worker import Worker
from tests.conftest import People
from tests.service.test_scores import make_deal

pytestmark = pytest.mark.anyio
NOW = datetime.now(UTC)
DEAL = "00000000-0000-0000-0000-000000000001"
URL = "/features/historical/spines"
PARQUET = {"Content-Type": "application/vnd.apache.parquet"}


def spine(ids: list[str], ago: float = 0.0) -> pl.DataFrame:
    at = [datetime.now(UTC) - timedelta(days=ago)] * len(ids)
    return pl.DataFrame({"entity_id": ids, "as_of": pl.Series(at, dtype=pl.Datetime("us", "UTC"))})


def as_parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


async def ask(
    client: AsyncTestClient, person: Any, body: bytes, kind: dict[str, str] = PARQUET, **query: str
) -> Any:
    params = {"entity": "opportunity", "feature_set": "deal_win"} | query
    return await client.post(URL, headers=person.headers | kind, content=body, params=params)


async def test_a_spine_becomes_a_file_whose_name_outlives_later_events(
    client: AsyncTestClient, people: People, worker: Worker, database: Database
) -> None:
    deals = [await make_deal(client, people, amount=str(1000 + n)) for n in range(5)]
    await worker.drain()
    asked = spine([deal["id"] for deal in deals]).with_columns(pl.Series("mine", [1, 2, 3, 4, 5]))
    sent = await ask(client, people.data, as_parquet(asked), labels="won_30d,won_at_last")
    assert sent.status_code == 202, sent.text
    early = await client.get(sent.json()["url"].removeprefix("/api/v1"), headers=people.data.headers)
    assert early.status_code == 409
    await worker.drain()
    job = (await client.get(f"/jobs/{sent.json()['job']}", headers=people.data.headers)).json()
    assert (job["status"], job["result"]["rows"], job["processed"]) == ("done", 5, 5)
    url = job["result_url"].removeprefix("/api/v1")
    got = await client.get(url, headers=people.data.headers)
    assert got.status_code == 200
    frame = pl.read_parquet(io.BytesIO(got.content))
    assert frame.columns[:5] == ["entity_id", "as_of", "mine", "won_30d", "won_at_last"]
    assert frame["won_30d"].null_count() == 5, "thirty days have not passed"
    assert frame["stage"].to_list() == ["prospecting"] * 5
    assert digest(frame) == job["result"]["sha256"]
    for deal in deals:
        moved = await client.post(
            f"/opportunities/{deal['id']}/stage",
            headers=people.rep.headers | {"If-Match": "*"},
            json={"to": "proposal"},
        )
        assert moved.status_code == 200
    again = await historical(
        database.fetch, SETS["deal_win"], asked, labels=("won_30d", "won_at_last"), now=datetime.now(UTC)
    )
    seen = [name for name in frame.columns if name in again.columns]
    assert digest(again.select(seen)) == job["result"]["sha256"], "later events change nothing"
    assert (await client.get(url, headers=people.rep.headers)).status_code == 403
    assert (await client.get(url, headers=people.admin.headers)).status_code == 200


async def test_the_order_of_the_spine_changes_nothing_and_other_libraries_read_it(
    client: AsyncTestClient, people: People, database: Database
) -> None:
    ids = [(await make_deal(client, people, amount=str(1000 * (n + 1))))["id"] for n in range(6)]
    asked = spine(ids)
    one = await historical(database.fetch, SETS["deal_win"], asked)
    other = await historical(database.fetch, SETS["deal_win"], asked.reverse())
    assert one.equals(other.reverse())
    assert one.to_arrow().num_rows == 6
    assert list(one.to_pandas()["stage"]) == ["prospecting"] * 6


async def test_labels_count_when_they_have_matured(
    client: AsyncTestClient, people: People, database: Database
) -> None:
    won, lost, still = [(await make_deal(client, people))["id"] for _ in range(3)]
    looked = datetime.now(UTC)
    for deal, to in ((won, {"to": "won"}), (lost, {"to": "lost", "reason": "price"})):
        closed = await client.post(
            f"/opportunities/{deal}/stage", headers=people.rep.headers | {"If-Match": "*"}, json=to
        )
        assert closed.status_code == 200, closed.text
    ids, names = [won, lost, still], ("won_30d", "won_at_last", "final_amount")
    at = np.full(3, looked.timestamp() * 1e6)
    for days, expected in ((29, [np.nan] * 3), (31, [1.0, 0.0, 0.0])):
        until = (looked + timedelta(days=days)).timestamp() * 1e6
        found = await labels_of(database.fetch, names, "opportunity", Spine(ids, at, at), until)
        np.testing.assert_array_equal(found["won_30d"], expected)
        np.testing.assert_array_equal(found["won_at_last"], [1.0, 0.0, np.nan])
        np.testing.assert_array_equal(found["final_amount"], [10000.0, np.nan, np.nan])
    later = np.full(3, (datetime.now(UTC) + timedelta(seconds=1)).timestamp() * 1e6)
    found = await labels_of(
        database.fetch, names, "opportunity", Spine(ids, later, later), later[0] + 40 * 86_400e6
    )
    assert np.isnan(found["won_30d"][:2]).all(), "who looks after the end has nothing left to foresee"


ROWS = [
    (pl.DataFrame({"entity_id": [DEAL]}), "no column as_of"),
    (spine([]), "no rows"),
    (spine([DEAL, "x"]), "entity_id is no id in row 2: x"),
    (spine([DEAL, DEAL]), "stands twice, in row 1, 2"),
    (spine([DEAL], ago=-1), "future in row 1"),
    (pl.DataFrame({"entity_id": [DEAL], "as_of": ["2024-01-01T00:00:00"]}), "as_of has no zone in row 1"),
    (pl.DataFrame({"entity_id": [DEAL], "as_of": ["soon"]}), "as_of has no zone in row 1"),
    (pl.DataFrame({"entity_id": [DEAL], "as_of": [datetime(2024, 1, 1)]}), "as_of has no zone: say which"),  # noqa: DTZ001
    (pl.DataFrame({"entity_id": [DEAL], "as_of": [5]}), "must hold instants"),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "words"), ROWS, ids=[words for _, words in ROWS])
async def test_a_bad_spine_is_refused_by_name(
    client: AsyncTestClient, people: People, frame: pl.DataFrame, words: str
) -> None:
    with pytest.raises(BadSpine, match=words):
        checked(frame, datetime.now(UTC))
    refused = await ask(client, people.data, as_parquet(frame))
    assert refused.status_code == 422
    assert words in refused.json()["detail"]


def test_ten_million_rows_are_the_most() -> None:
    huge = pl.DataFrame({"entity_id": pl.repeat(DEAL, MOST_PAIRS + 1, eager=True)}).with_columns(
        as_of=pl.lit(datetime(2024, 1, 1, tzinfo=UTC))
    )
    with pytest.raises(BadSpine, match="10,000,001 rows; 10,000,000 are the most"):
        checked(huge, datetime.now(UTC))


async def test_bad_questions_are_named(client: AsyncTestClient, people: People) -> None:
    body = f"entity_id,as_of\n{DEAL},2024-01-01T00:00:00+02:00\n".encode()
    csv = {"Content-Type": "text/csv"}
    for query, status, words in (
        ({"feature_set": "no_such"}, 422, "no_such"),
        ({"labels": "rich"}, 422, "there is no label 'rich' of opportunity; there are: won_30d"),
        ({"labels": "converted_30d"}, 422, "converted_30d"),
    ):
        refused = await ask(client, people.data, body, csv, **query)
        assert (refused.status_code, words in refused.text) == (status, True), refused.text
    assert (await ask(client, people.data, b"not parquet")).status_code == 422
    assert (await ask(client, people.data, body, {"Content-Type": "text/html"})).status_code == 400
    assert (await ask(client, people.rep, body, csv)).status_code == 403
    assert (await ask(client, people.data, body, csv)).status_code == 202
    for twice, words in ((2, "twice"), (1, "future")):
        pair = {"id": DEAL, "as_of": "2100-01-01T00:00:00Z" if twice == 1 else "2020-01-01T00:00:00Z"}
        asked = {"entity": "opportunity", "pairs": [pair] * twice}
        refused = await client.post("/features/historical", headers=people.data.headers, json=asked)
        assert (refused.status_code, words in refused.text) == (422, True)


async def test_a_job_whose_spine_is_gone_says_so(
    client: AsyncTestClient, people: People, worker: Worker, settings: Settings
) -> None:
    deal = await make_deal(client, people)
    sent = (await ask(client, people.data, as_parquet(spine([deal["id"]])))).json()
    (settings.home / "training_sets" / f"{UUID(sent['set'])}.spine.parquet").unlink()
    await worker.drain()
    job = (await client.get(f"/jobs/{sent['job']}", headers=people.data.headers)).json()
    assert job["status"] == "failed"
    assert "The spine of this set is gone" in str(job["errors"])


async def test_the_catalogue_tells_where_a_feature_comes_from(
    client: AsyncTestClient, people: People
) -> None:
    listed = (await client.get("/features", headers=people.rep.headers)).json()["items"]
    found = {item["name"]: item for item in listed}
    rate = found["account_win_rate"]
    assert rate["lineage"] == {
        "facts": ["lost", "won"], "sources": ["accounts", "account_deals"], "tables": ["accounts", "opportunities"],
        "models": [],
    }  # fmt: skip
    assert (rate["low"], rate["high"], rate["sensitivity"]) == (0.0, 1.0, "internal")
    assert found["lead_has_phone"]["sensitivity"] == "personal"
    assert found["activities_28d"]["null_policy"].startswith("0 where there is none")
    assert "window 28d" in found["activities_28d"]["tags"]
    assert found["weeks_pushed"]["low"] is None
    assert all(item["lineage"]["tables"] and len(item["version"]) == 16 for item in listed)
