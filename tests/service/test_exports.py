"""Files out: every form of any list, as one sees it, quoted against formulas, and in again as it was."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from service.db import Database
from service.domains import exports
from service.exporting import streams
from service.exporting.writing import csv_line, safe
from service.importing.delimited import unquoted
from service.settings import Settings
from service.worker import Worker
from tests.conftest import People, Person, define

pytestmark = pytest.mark.anyio

NASTY = (
    "=1+1",
    "+49 30",
    "-5",
    "@sum",
    "\tx",
    "'=quoted",
    "''-",
    "'plain",
    'a "b", c',
    "two\nlines",
    "Ü €",
    "'",
)


@pytest.fixture(scope="module")
def worker(database: Database, settings: Settings) -> Worker:
    async def nothing(job: Any) -> None:
        """Reactions are tried elsewhere."""

    others = (
        "score.deal",
        "recommend.deal",
        "forecast.touch",
        "webhook.fanout",
        "features.refresh",
        "score.lead",
    )
    return Worker(database, exports.handlers(settings) | dict.fromkeys(others, nothing))


@pytest.fixture
def get(client: httpx.AsyncClient, people: People, worker: Worker) -> Any:
    """Asks for an export, lets the worker make it, and returns the file's bytes."""

    async def made(person: Person | None = None, **asked: Any) -> bytes:
        headers = (person or people.ops).headers
        answer = await client.post("/exports", headers=headers, json=asked)
        assert answer.status_code == 202, answer.text
        await worker.drain()
        job = (await client.get(f"/jobs/{answer.json()['job']}", headers=headers)).json()
        assert job["status"] == "done", job
        file = await client.get(f"http://testserver.local{job['result_url']}", headers=headers)
        assert file.status_code == 200, file.text
        return file.content

    return made


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


@pytest.fixture(scope="module")
async def contacts(client: httpx.AsyncClient, people: People, database: Database) -> list[str]:
    await define(database, "contact", shoe="text")
    for number, title in enumerate(NASTY):
        body = {
            "last_name": f"N{number:02}",
            "title": title,
            "email": f"n{number}@x.example",
            "cf": {"shoe": str(40 + number)},
        }
        made = await client.post("/contacts", headers=people.rep.headers, json=body)
        assert made.status_code == 201, made.text
    return [f"N{number:02}" for number in range(len(NASTY))]


async def test_the_three_forms_say_the_same(get: Any, contacts: list[str]) -> None:
    asked = {
        "resource": "contacts",
        "fields": ["last_name", "title", "cf.shoe", "created_at"],
        "sort": "last_name",
    }
    table = rows(await get(**asked))
    lines = [json.loads(line) for line in (await get(**asked, format="ndjson")).splitlines()]
    frame = pq.read_table(io.BytesIO(await get(**asked, format="parquet"))).to_pylist()
    assert [unquoted(row["title"]) for row in table] == list(NASTY)
    assert [row["title"] for row in lines] == [row["title"] for row in frame] == list(NASTY)
    assert [row["last_name"] for row in table] == [row["last_name"] for row in lines] == contacts
    assert [row["cf.shoe"] for row in table] == [row["cf.shoe"] for row in frame]
    assert (
        table[0]["created_at"].rstrip("Z")[:19]
        == lines[0]["created_at"][:19]
        == frame[0]["created_at"].isoformat()[:19]
    )


@pytest.mark.parametrize("blocks", [(1 << 18, 1 << 26), (40, 1 << 26)])
async def test_parquet_keeps_what_is_empty_and_lists(
    client: httpx.AsyncClient,
    people: People,
    get: Any,
    monkeypatch: pytest.MonkeyPatch,
    blocks: tuple[int, ...],
) -> None:
    """Also where a row is longer than what is typed at once."""
    monkeypatch.setattr(streams, "BLOCKS", blocks)
    lists: dict[str, list[str]] = {"none": [], "one": ['a, "b"'], "two, three": ["x;y", "'z"]}
    text = "over\nlines, with a comma"
    for name, aliases in lists.items():
        body = {"name": name, "aliases": aliases, "domain": f"d{len(aliases)}{blocks[0]}.example"}
        body["strengths"] = text
        answer = await client.post("/competitors", headers=people.ops.headers, json=body)
        assert answer.status_code == 201, answer.text
    asked: dict[str, Any] = {"resource": "competitors", "format": "parquet"}
    asked["filter"] = f"domain[contains]={blocks[0]}.example"
    frame = pq.read_table(io.BytesIO(await get(**asked))).to_pylist()
    assert {row["name"]: row["aliases"] for row in frame} == lists
    assert all(row["deleted_at"] is None and row["cf"] == "{}" for row in frame)
    assert {row["strengths"] for row in frame} == {text}
    nothing = await get(resource="competitors", format="parquet", filter="name=nowhere")
    assert pq.read_table(io.BytesIO(nothing)).num_rows == 0
    deals = pq.read_table(io.BytesIO(await get(resource="opportunities", format="parquet")))
    assert {"amount", "cf", "close_date"} <= set(deals.column_names)


async def test_no_cell_begins_a_formula(get: Any, contacts: list[str]) -> None:
    for row in rows(await get(resource="contacts")):
        assert not any(cell[:1] in tuple("=+-@\t\r") and cell for cell in row.values())


@pytest.mark.parametrize("cell", NASTY)
def test_quoting_and_its_inverse(cell: str) -> None:
    assert unquoted(safe(cell)) == cell
    assert safe(cell)[:1] not in tuple("=+-@\t\r")
    assert next(csv.reader(io.StringIO(csv_line([cell]).decode(), newline=""))) == [safe(cell)]


async def test_filter_sort_and_fields_are_those_of_lists(
    get: Any, client: httpx.AsyncClient, people: People, contacts: list[str]
) -> None:
    forms: list[Any] = [
        "last_name[in]=N03,N05",
        {"last_name[in]": ["N03", "N05"]},
        [{"field": "last_name", "op": "in", "value": ["N03", "N05"]}],
    ]
    for filter_ in forms:
        found = rows(await get(resource="contacts", filter=filter_, fields=["last_name"], sort="-last_name"))
        assert [row["last_name"] for row in found] == ["N05", "N03"]
    for asked, word in (
        ({"resource": "contacts", "fields": ["shoe"]}, "shoe"),
        ({"resource": "contacts", "filter": "shoe=1"}, "shoe"),
        ({"resource": "contacts", "sort": "shoe"}, "shoe"),
        ({"resource": "contacts", "filter": "limit=1"}, "limit"),
    ):
        refused = await client.post("/exports", headers=people.ops.headers, json=asked)
        assert refused.status_code == 400, refused.text
        assert word in refused.json()["detail"]
    for asked in (
        {"resource": "nothing"},
        {"resource": "contacts", "format": "pdf"},
        {"resource": "contacts", "x": 1},
    ):
        assert (await client.post("/exports", headers=people.ops.headers, json=asked)).status_code == 422


async def test_only_who_may_exports_and_only_their_own_file(
    client: httpx.AsyncClient, people: People, worker: Worker, contacts: list[str]
) -> None:
    for person in (people.rep, people.manager, people.data):
        refused = await client.post("/exports", headers=person.headers, json={"resource": "contacts"})
        assert refused.status_code == 403
    made = await client.post("/exports", headers=people.ops.headers, json={"resource": "contacts"})
    url = f"/exports/{made.json()['job']}/file"
    assert (await client.get(url, headers=people.ops.headers)).status_code == 409
    await worker.drain()
    assert (await client.get(url, headers=people.rep.headers)).status_code == 403
    assert (await client.get(url)).status_code == 401
    assert (await client.get(url, headers=people.ops.headers)).status_code == 200


async def contacts_for(database: Database, person: Person) -> exports.Selection:
    resource, request = exports.RESOURCES["contacts"], exports.query.Request()
    return exports.Selection(
        resource, await exports.query.prepared(database, resource.source, person.actor, request)
    )


async def test_hidden_fields_are_not_in_the_file(
    database: Database, people: People, contacts: list[str]
) -> None:
    """Who studies models sees no addresses; a rep sees the rows that are theirs."""
    for person, sees in ((people.data, False), (people.rep, True)):
        selection = await contacts_for(database, person)
        assert ("email" in [column.name for column in selection.columns]) is sees
    for person, expected in ((people.rep, len(NASTY)), (people.stranger, 0)):
        selection = await contacts_for(database, person)
        assert await database.fetchval(selection.count, *selection.count_params) == expected


async def test_an_export_as_of_shows_what_was_known_then(
    get: Any, client: httpx.AsyncClient, people: People
) -> None:
    made = (
        await client.post("/products", headers=people.ops.headers, json={"code": "old", "name": "Old"})
    ).json()
    before = datetime.now(UTC).isoformat()
    await client.patch(f"/products/{made['id']}", headers=people.ops.headers, json={"name": "New"})
    asked = {"resource": "products", "filter": "code=old", "fields": ["name"]}
    assert rows(await get(**asked))[0]["name"] == "New"
    assert rows(await get(**asked, as_of=before))[0]["name"] == "Old"


async def test_an_export_that_runs_is_canceled(
    client: httpx.AsyncClient,
    people: People,
    worker: Worker,
    contacts: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exports, "LOOK_SECONDS", 0.0)
    made = await client.post("/exports", headers=people.ops.headers, json={"resource": "contacts"})
    job = made.json()["job"]
    write = exports.streams.write

    async def late(*arguments: Any) -> int:
        answer = await client.post(f"/jobs/{job}/cancel", headers=people.ops.headers)
        assert answer.status_code == 200, answer.text
        return await write(*arguments)

    monkeypatch.setattr(exports.streams, "write", late)
    await worker.drain()
    found = (await client.get(f"/jobs/{job}", headers=people.ops.headers)).json()
    assert (found["status"], found["result"]) == ("canceled", None)
    assert (await client.get(f"/exports/{job}/file", headers=people.ops.headers)).status_code == 409


async def test_old_files_go(
    client: httpx.AsyncClient, people: People, worker: Worker, database: Database, contacts: list[str]
) -> None:
    jobs = []
    for age in (8, 0):
        made = await client.post("/exports", headers=people.ops.headers, json={"resource": "contacts"})
        await worker.drain()
        jobs.append(made.json()["job"])
        await database.execute(
            "UPDATE jobs SET finished_at = now() - make_interval(days => $2) WHERE id = $1::text::uuid",
            jobs[-1],
            age,
        )
    statuses = [
        (await client.get(f"/exports/{job}/file", headers=people.ops.headers)).status_code for job in jobs
    ]
    assert statuses == [404, 200]


async def test_every_resource_can_be_exported(get: Any) -> None:
    for resource in exports.RESOURCES:
        assert (await get(resource=resource)).startswith(b"id,version,"), resource
        assert (await get(resource=resource, format="parquet")).startswith(b"PAR1"), resource
