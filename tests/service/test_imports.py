"""Files through the door: their forms, guessed mappings, reports, pauses and kills, keys of upserts, undo."""

import asyncio
import io
import json
from typing import Any
from uuid import uuid4

import httpx
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.db import Database
from service.importing import ordering, runs
from service.settings import Settings
from service.worker import Worker
from tests.conftest import People, define

pytestmark = pytest.mark.anyio

CONTACTS = (
    "Id,First Name,Last Name,E-Mail,City\n1,Ann,Lee,ann@x.example,Berlin\n2,Bob,Ray,bob@x.example,Rome\n"
)


async def send(
    client: httpx.AsyncClient,
    people: People,
    content: bytes | str,
    resource: str = "contacts",
    name: str = "contacts.csv",
    path: str = "/imports",
    **members: Any,
) -> httpx.Response:
    raw = content.encode() if isinstance(content, str) else content
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in members.items()}
    return await client.post(
        path, headers=people.ops.headers, files={"file": (name, raw)}, data={"resource": resource, **texts}
    )


@pytest.fixture(scope="module")
def worker(database: Database, settings: Settings) -> Worker:
    """Imports, and nothing of what follows from them."""

    async def nothing(job: Any) -> None:
        """What is learned and scored afterwards is tried elsewhere."""

    others = ("models.learn", "score.all", "search.rebuild")
    return Worker(database, runs.handlers(settings) | dict.fromkeys(others, nothing))


@pytest.fixture
def put(client: httpx.AsyncClient, people: People, worker: Worker) -> Any:
    """Sends a file, lets the worker do it, and returns the job."""

    async def made(content: bytes | str, *args: Any, **members: Any) -> dict[str, Any]:
        answer = await send(client, people, content, *args, **members)
        assert answer.status_code == 202, answer.text
        await worker.drain()
        job = await client.get(f"/jobs/{answer.json()['job']}", headers=people.ops.headers)
        return job.json()  # type: ignore[no-any-return]

    return made


async def listed(client: httpx.AsyncClient, people: People, query: str) -> list[dict[str, Any]]:
    answer = await client.get(query, headers=people.ops.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]  # type: ignore[no-any-return]


async def test_a_company_is_not_its_own_parent(client: httpx.AsyncClient, people: People, put: Any) -> None:
    mapping = {"Id": "external_id", "Name": "name", "Parent": "parent.external_id"}
    text = "Id,Name,Parent\n1,Ouroboros,1\n2,Offspring,\n"
    job = await put(text, resource="accounts", mapping=mapping, source="rings")
    assert [(error["line"], error["detail"]) for error in job["errors"]] == [
        (2, "/parent_id: would make a ring")
    ]
    assert await listed(client, people, "/accounts?name=Ouroboros") == []
    assert len(await listed(client, people, "/accounts?name=Offspring")) == 1


TREE = {"Id": "external_id", "Name": "name", "Parent": "parent.external_id"}


def said(job: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [(error["line"], error["column"], error["detail"]) for error in job["errors"]]


async def test_rows_that_stand_in_a_ring_are_named_and_the_rest_goes_in(
    client: httpx.AsyncClient, people: People, put: Any
) -> None:
    text = "Id,Name,Parent\na,A,b\nb,B,c\nc,C,a\nd,D,\ne,E,d\nf,F,a\n"
    job = await put(text, resource="accounts", mapping=TREE, source="circle")
    assert said(job) == [
        (2, "parent_id", "would make a ring: a → b → c → a"),
        (3, "parent_id", "would make a ring: b → c → a → b"),
        (4, "parent_id", "would make a ring: c → a → b → c"),
        (7, "parent_id", "there is no such record in accounts"),
    ]
    assert job["counts"] == {"created": 2, "updated": 0, "unchanged": 0, "failed": 4}
    dry = await put(text, resource="accounts", mapping=TREE, source="circle", dry_run="true")
    assert said(dry)[:3] == said(job)[:3]


async def test_a_ring_with_what_is_stored_is_named(
    client: httpx.AsyncClient, people: People, put: Any
) -> None:
    chain = "Id,Name,Parent\n1,Top,\n2,Middle,1\n3,Low,2\n4,Other,\n"
    assert (await put(chain, resource="accounts", mapping=TREE, source="chain"))["errors"] == []
    ids = {
        one["external_ids"]["chain"]: one["id"]
        for one in await listed(client, people, "/accounts?external_ids.chain[is_null]=false")
    }
    job = await put(
        "Id,Name,Parent\n1,Top,3\n4,Another,\n", resource="accounts", mapping=TREE, source="chain"
    )
    ring = " → ".join(ids[one] for one in "1321")
    assert said(job) == [(2, "parent_id", f"would make a ring: {ring}")]
    assert job["counts"] == {"created": 0, "updated": 1, "unchanged": 0, "failed": 1}
    turned = "Id,Name,Parent\n1,Top,3\n2,Middle,1\n3,Low,4\n4,Another,\n"
    job = await put(turned, resource="accounts", mapping=TREE, source="chain")
    assert said(job) == [], "each alone closes a ring, together they are a tree"
    (low,) = await listed(client, people, "/accounts?external_ids.chain=3")
    assert low["parent_id"] == ids["4"]


async def test_a_file_goes_in_is_changed_again_and_undone(
    client: httpx.AsyncClient, people: People, put: Any
) -> None:
    job = await put(CONTACTS, source="club")
    assert (job["status"], job["errors"]) == ("done", [])
    assert job["counts"] == {"created": 2, "updated": 0, "unchanged": 0, "failed": 0}
    assert (job["processed"], job["total"]) == (2, 2)
    (ann,) = await listed(client, people, "/contacts?external_ids.club=1")
    assert (ann["first_name"], ann["mailing_address"]["city"]) == ("Ann", "Berlin")
    assert ann["owner_id"] == str(people.ops.id)
    assert ann["created_by_id"] == str(people.ops.id)
    again = await put(CONTACTS.replace("Rome", "Oslo"), source="club")
    assert again["counts"] == {"created": 0, "updated": 1, "unchanged": 1, "failed": 0}
    (bob,) = await listed(client, people, "/contacts?external_ids.club=2")
    assert (bob["mailing_address"]["city"], bob["version"]) == ("Oslo", 2)
    for made in (again, job):
        undone = await client.post(f"/jobs/{made['id']}/undo", headers=people.ops.headers)
        assert undone.status_code == 200, undone.text
    assert await listed(client, people, "/contacts?external_ids.club[is_null]=false") == []


def workbook(rows: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    found = io.BytesIO()
    book.save(found)
    return found.getvalue()


def parquet(columns: dict[str, Any]) -> bytes:
    found = io.BytesIO()
    pq.write_table(pa.table(columns), found)
    return found.getvalue()


ROWS = [
    ["Code", "Name", "List Price", "Active"],
    ["s-1", "Müller", 1200.5, True],
    ["s-2", "Straße", 7, False],
]
SAME = {
    "csv": "Code,Name,List Price,Active\ns-1,Müller,1200.50,yes\ns-2,Straße,7,no\n".encode(),
    "marked": "Code,Name,List Price,Active\ns-1,Müller,1200.50,yes\ns-2,Straße,7,no\n".encode("utf-8-sig"),
    "utf-16": "Code\tName\tList Price\tActive\ns-1\tMüller\t1200.50\tyes\ns-2\tStraße\t7\tno\n".encode("utf-16"),
    "cp1252": 'Code;Name;"List Price";Active\r\ns-1;Müller;"1.200,50";yes\r\ns-2;"Straße";7;no\r\n'.encode("cp1252"),
    "ndjson": b'{"code":"s-1","name":"M\xc3\xbcller","list_price":1200.50,"is_active":true}\n\n'
    b'{"code":"s-2","name":"Stra\xc3\x9fe","list_price":"7","is_active":false}\n',
    "xlsx": workbook(ROWS),
    "parquet": parquet({name: [row[n] for row in ROWS[1:]] for n, name in enumerate(ROWS[0])}),
}  # fmt: skip


@pytest.mark.parametrize("form", sorted(SAME))
async def test_all_forms_of_a_file_say_the_same(
    client: httpx.AsyncClient, people: People, put: Any, form: str
) -> None:
    name = f"products.{form if form in ('ndjson', 'xlsx', 'parquet') else 'csv'}"
    mapping = {"Active": "is_active", "Code": "code", "Name": "name", "List Price": "list_price"}
    job = await put(SAME[form], "products", name, mapping=None if form == "ndjson" else mapping)
    assert (job["status"], job["errors"]) == ("done", []), job
    found = await listed(client, people, "/products?code[starts]=s-&sort=code")
    assert [(one["code"], one["name"], float(one["list_price"]), one["is_active"]) for one in found] == [
        ("s-1", "Müller", 1200.5, True), ("s-2", "Straße", 7.0, False),
    ]  # fmt: skip


async def test_a_preview_guesses_and_stores_nothing(client: httpx.AsyncClient, people: People) -> None:
    text = 'Deal Name,Value,Closing Date,Stage,Owner,Company,Shoe size\nBig,"1,200",13/02/2026,Proposal,rep@test.example,Acme,44\n'
    answer = await send(client, people, text, "opportunities", path="/imports/preview")
    assert answer.status_code == 200, answer.text
    found = {column["column"]: column for column in answer.json()["columns"]}
    assert {name: column["field"] for name, column in found.items()} == {
        "Deal Name": "name", "Value": "amount", "Closing Date": "close_date", "Stage": "stage",
        "Owner": "owner.email", "Company": "account.name", "Shoe size": None,
    }  # fmt: skip
    assert found["Closing Date"]["format"] == "dmy"
    assert found["Stage"]["confidence"] == 1.0
    assert all(0 < column["confidence"] <= 1 for column in found.values() if column["field"])
    assert answer.json()["rows"][0]["Deal Name"] == "Big"
    assert await listed(client, people, "/opportunities?name=Big") == []


async def test_deals_get_what_the_rules_derive(client: httpx.AsyncClient, people: People, put: Any) -> None:
    await client.post("/accounts", headers=people.ops.headers, json={"name": "Derived Ltd"})
    text = (
        "Deal Name,Amount,Close Date,Stage,Owner,Account\n"
        "Open one,1000,2030-01-31,proposal,rep@test.example,Derived Ltd\n"
        "Won one,2000,2025-03-01,won,,\nFirst stage,,,,,\n"
    )
    job = await put(text, "opportunities")
    assert job["errors"] == []
    deals = {deal["name"]: deal for deal in await listed(client, people, "/opportunities?expand=account")}
    first, won, new = deals["Open one"], deals["Won one"], deals["First stage"]
    assert (first["status"], first["owner_id"], first["account"]["name"]) == (
        "open",
        str(people.rep.id),
        "Derived Ltd",
    )
    assert (first["amount_home"], first["currency"]) == ("1000.0000", "USD")
    assert (won["status"], won["closed_on"], won["probability"]) == ("won", "2025-03-01", 1.0)
    assert (new["status"], new["owner_id"]) == ("open", str(people.ops.id))
    moved = await put("Name,Stage\nOpen one,won\n", "opportunities", key="name")
    assert moved["counts"]["updated"] == 1, moved
    (now,) = await listed(client, people, "/opportunities?name=Open one")
    assert (now["status"], now["stage"], now["amount"]) == ("won", "won", "1000.0000")


async def test_a_file_closes_and_reopens_deals_as_the_verb_does(
    client: httpx.AsyncClient, people: People, put: Any
) -> None:
    headers = people.ops.headers | {"If-Match": "*"}
    deals = {}
    for name in ("Regained", "Revived"):
        made = await client.post("/opportunities", headers=people.ops.headers, json={"name": name})
        lost = {"to": "lost", "reason": "price", "note": "Too dear."}
        url = f"/opportunities/{made.json()['id']}/stage"
        deals[name] = (await client.post(url, headers=headers, json=lost)).json()
    job = await put("Name,Stage\nRegained,won\nRevived,proposal\n", "opportunities", key="name")
    assert job["counts"]["updated"] == 2, job
    won = (await client.get(f"/opportunities/{deals['Regained']['id']}", headers=headers)).json()
    assert (won["status"], won["loss_reason"]) == ("won", None)
    assert won["closed_at"] == won["stage_entered_at"] > deals["Regained"]["closed_at"]
    now = (await client.get(f"/opportunities/{deals['Revived']['id']}", headers=headers)).json()
    assert (now["status"], now["closed_at"], now["loss_reason"], now["closed_note"]) == (
        "open",
        None,
        None,
        None,
    )


BAD = [
    # resource, text, line, column, value, a word of the detail
    ("contacts", "last_name,email\nA,nobody\n", 2, "email", "nobody", "regex"),
    ("contacts", "last_name,email\n,a@x.example\n", 2, "last_name", "", "required"),
    ("opportunities", "name,amount\nA,-5\n", 2, "amount", "-5", "negative"),
    ("opportunities", "name,amount\nA,much\n", 2, "amount", "much", "decimal"),
    ("opportunities", "name,close_date\nA,2026-02-30\n", 2, "close_date", "2026-02-30", "date"),
    ("opportunities", "name,close_date\nA,1/2/2026\n", 2, "close_date", "1/2/2026", "date"),
    ("opportunities", "name,stage\nA,heaven\n", 2, "stage", "heaven", "no such stage"),
    ("opportunities", "name,owner.email\nA,nobody@x.example\n", 2, "owner_id", "nobody@x.example", "no such record"),
    ("opportunities", "name,loss_reason\nA,price\n", 2, "loss_reason", "price", "only a lost deal"),
    ("users", "email,name,role\nking@x.example,K,admin\n", 2, "", "", "administrator"),
    ("activities", "type,subject\ncall,Hello\n", 2, "occurred_at", "", "required"),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "text", "line", "column", "value", "word"), BAD)
async def test_a_row_that_the_rules_refuse_is_named(
    put: Any, resource: str, text: str, line: int, column: str, value: str, word: str
) -> None:
    header = text.splitlines()[0].split(",")
    job = await put(text, resource, mapping={name: name for name in header}, dry_run="true")
    (error,) = job["errors"]
    assert (error["line"], error["column"], error["value"]) == (line, column, value)
    assert word in error["detail"]
    assert job["counts"]["failed"] == 1
    assert job["change_id"] is None or job["result"]["stored"] is False


async def test_the_report_is_the_same_dry_and_its_file_has_all(
    client: httpx.AsyncClient, people: People, put: Any
) -> None:
    lines = ["last_name,email"] + [f"N{n},{'bad' if n % 2 else f'r{n}@x.example'}" for n in range(2_400)]
    text = "\n".join(lines)
    dry = await put(text, dry_run="true")
    assert await listed(client, people, "/contacts?last_name=N0") == []
    real = await put(text)
    assert dry["counts"] == real["counts"] == {"created": 1200, "updated": 0, "unchanged": 0, "failed": 1200}
    assert dry["errors"] == real["errors"]
    assert len(real["errors"]) == 1_000
    url = f"http://testserver.local{real['result_url']}"
    whole = await client.get(f"{url}?format=ndjson", headers=people.ops.headers)
    assert [json.loads(line)["line"] for line in whole.text.splitlines()] == list(range(3, 2402, 2))
    table = await client.get(url, headers=people.ops.headers)
    assert table.text.splitlines()[1].startswith("contacts.csv,3,email,bad,")
    assert len(table.text.splitlines()) == 1_201
    strict = await put(text.replace("r0@", "s0@"), strict="true", source="strict")
    assert (strict["status"], strict["change_id"] and strict["result"]["stored"]) == ("failed", False)
    await client.post(f"/jobs/{real['id']}/undo", headers=people.ops.headers)


async def test_an_empty_cell_says_nothing_or_empties_its_field(
    client: httpx.AsyncClient, people: People, put: Any
) -> None:
    mapping = {
        "Id": "external_id", "Last": "last_name", "Phone": "phone", "City": "mailing_address.city",
        "Zip": "mailing_address.postal_code", "Owner": "owner.email",
    }  # fmt: skip
    first = f"Id,Last,Phone,City,Zip,Owner\n1,Stern,+49 1,Bonn,53111,{people.rep.email}\n2,Other,+49 2,,,\n"

    async def record(number: int) -> dict[str, Any]:
        (found,) = await listed(client, people, f"/contacts?external_ids.gaps={number}")
        return found

    async def again(text: str, **more: str) -> dict[str, Any]:
        known = {name: field for name, field in mapping.items() if name in text.partition("\n")[0].split(",")}
        job = await put(text, mapping=known, source="gaps", **more)
        return job["counts"] | {"errors": said(job)}  # type: ignore[no-any-return]

    assert (await again(first))["created"] == 2
    empty = "Id,Last,Phone,City,Owner\n1,Stern,,,\n2,,,Rome,\n"
    assert await again(empty) == {"created": 0, "updated": 1, "unchanged": 1, "failed": 0, "errors": []}
    one, two = await record(1), await record(2)
    assert (one["phone"], one["owner_id"]) == ("+49 1", str(people.rep.id))
    assert one["mailing_address"] == {"city": "Bonn", "postal_code": "53111"}
    assert (two["phone"], two["mailing_address"]) == ("+49 2", {"city": "Rome"})
    cleared = await again(empty, clear_empty="true")
    assert cleared["errors"] == [(3, "last_name", "must not be empty, and the cell is")]
    assert (cleared["updated"], cleared["failed"]) == (1, 1)
    one = await record(1)
    assert (one["phone"], one["owner_id"], one["last_name"]) == (None, None, "Stern")
    assert one["mailing_address"] == {"postal_code": "53111"}, "what the file has no column for stays"
    assert (await record(2))["phone"] == "+49 2", "a row with an error changes nothing"
    same = await again(empty, clear_empty="true")
    assert (same["updated"], same["unchanged"]) == (0, 1)


async def test_a_column_goes_into_a_custom_field(
    client: httpx.AsyncClient, people: People, put: Any, database: Database
) -> None:
    await define(database, "contact", shoe_size="integer", hat="text")
    mapping = {"Name": "last_name", "Mail": "email", "Shoe": "cf.shoe_size"}
    job = await put("Name,Mail,Shoe\nCustom,cf@x.example,44\n", mapping=mapping)
    assert job["errors"] == []
    await put(
        "Name,Mail,Hat\nCustom,cf@x.example,57\n",
        mapping={"Name": "last_name", "Mail": "email", "Hat": "cf.hat"},
        key="email",
    )
    (one,) = await listed(client, people, "/contacts?last_name=Custom")
    assert one["cf"] == {"shoe_size": 44, "hat": "57"}
    wrong = await put("Last name,E-mail,Shoe_Size\nMore,more@x.example,big\nLess,less@x.example,39\n")
    assert [(error["line"], error["column"]) for error in wrong["errors"]] == [(2, "cf")]
    (one,) = await listed(client, people, "/contacts?cf.shoe_size=39")
    assert one["last_name"] == "Less"


async def test_keys_decide_who_is_who(client: httpx.AsyncClient, people: People, put: Any) -> None:
    await put("last_name,email,title\nKey,key@x.example,Clerk\n")
    job = await put("last_name,email,title\nKey,KEY@x.example,Boss\n", key="email")
    assert job["counts"]["updated"] == 1
    (one,) = await listed(client, people, "/contacts?last_name=Key")
    assert one["title"] == "Boss"
    await put("last_name,email\nTwin,twin@x.example\nTwin,twin@x.example\n")
    twins = await put("last_name,email\nTwin,twin@x.example\n", key="email")
    assert "several records" in twins["errors"][0]["detail"]
    twice = await put("last_name,email\nNew,new@x.example\nNew,new@x.example\n", key="email")
    assert (twice["errors"][0]["line"], twice["errors"][0]["detail"]) == (3, "stands in the file twice")


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"resource": "nothing"}, "/resource"),
        ({"mapping": {"Nope": "email"}}, "/mapping/Nope"),
        ({"mapping": {"E-Mail": "nope"}}, "/mapping/E-Mail"),
        ({"mapping": {"E-Mail": "email", "Last Name": "email"}}, "/mapping/Last Name"),
        ({"mapping": "[1]"}, "/mapping"),
        ({"mapping": {"E-Mail": None}}, "/mapping"),
        ({"key": "shoe"}, "/key"),
        ({"dry_run": "perhaps"}, "/dry_run"),
        ({"source": "a b"}, "/source"),
        ({"colour": "red"}, "/colour"),
    ],
)
async def test_a_form_that_is_wrong_is_refused_at_once(
    client: httpx.AsyncClient, people: People, members: dict[str, Any], pointer: str
) -> None:
    resource = members.pop("resource", "contacts")
    answer = await send(client, people, CONTACTS, resource, **members)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_what_is_no_form_or_no_file_is_refused(client: httpx.AsyncClient, people: People) -> None:
    plain = await client.post("/imports", headers=people.ops.headers, json={"resource": "contacts"})
    assert plain.status_code == 400
    bare = await client.post("/imports", headers=people.ops.headers, files={"other": ("x", b"y")})
    assert bare.status_code == 422


async def test_only_who_may_imports(client: httpx.AsyncClient, people: People) -> None:
    for person, status in ((people.rep, 403), (people.manager, 403), (people.data, 403), (people.admin, 202)):
        answer = await client.post(
            "/imports", headers=person.headers, files={"file": ("c.csv", CONTACTS.encode())},
            data={"resource": "contacts", "dry_run": "true"},
        )  # fmt: skip
        assert answer.status_code == status, answer.text


async def test_one_key_imports_once(client: httpx.AsyncClient, people: People) -> None:
    headers = people.ops.headers | {"Idempotency-Key": str(uuid4())}
    request = client.build_request(
        "POST", "/imports", headers=headers, files={"file": ("c.csv", CONTACTS.encode())},
        data={"resource": "contacts", "dry_run": "true"},
    )  # fmt: skip
    body, kind = request.read(), request.headers["content-type"]
    answers = [
        await client.post("/imports", headers=headers | {"content-type": kind}, content=body)
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()


# --- stopped and resumed -------------------------------------------------------------------------------------------

MANY = "last_name\n" + "".join(f"Many {n}\n" for n in range(95))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "CHUNK", 10)


async def test_pause_resume_and_cancel(
    client: httpx.AsyncClient, people: People, worker: Worker, database: Database, small: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Paused between two chunks; what is in stays; resumed it ends with each row in once; canceled it stays undoable."""
    await worker.drain()
    job = (await send(client, people, MANY)).json()["job"]

    async def stop(verb: str, after: int) -> None:
        seen = 0
        original = worker.handlers["import"]

        async def handler(claimed: Any) -> Any:
            task = asyncio.ensure_future(original(claimed))
            nonlocal seen
            while not task.done() and seen < after:
                seen = await database.fetchval(
                    "SELECT processed FROM jobs WHERE id = $1::text::uuid", str(job)
                )
                await asyncio.sleep(0)
            answer = await client.post(f"/jobs/{job}/{verb}", headers=people.ops.headers)
            assert answer.status_code == 200, answer.text
            return await task

        monkeypatch.setitem(worker.handlers, "import", handler)
        await worker.drain()
        monkeypatch.setitem(worker.handlers, "import", original)

    await stop("pause", 20)
    paused = (await client.get(f"/jobs/{job}", headers=people.ops.headers)).json()
    assert paused["status"] == "paused"
    inside = len(await listed(client, people, "/contacts?last_name[starts]=Many&limit=200"))
    assert 20 <= inside == paused["processed"] < 95
    again = await client.post(f"/jobs/{job}/pause", headers=people.ops.headers)
    assert again.status_code == 409
    resumed = await client.post(f"/jobs/{job}/resume", headers=people.ops.headers)
    assert resumed.json()["status"] == "queued"
    await worker.drain()
    done = (await client.get(f"/jobs/{job}", headers=people.ops.headers)).json()
    assert (done["status"], done["counts"]["created"]) == ("done", 95)
    assert len(await listed(client, people, "/contacts?last_name[starts]=Many&limit=200")) == 95
    await client.post(f"/jobs/{job}/undo", headers=people.ops.headers)
    job = (await send(client, people, MANY)).json()["job"]
    await stop("cancel", 20)
    canceled = (await client.get(f"/jobs/{job}", headers=people.ops.headers)).json()
    assert canceled["status"] == "canceled"
    undone = await client.post(f"/jobs/{job}/undo", headers=people.ops.headers)
    assert undone.json()["counts"]["contacts"] >= 20


async def test_a_killed_worker_costs_no_row_and_doubles_none(
    client: httpx.AsyncClient, people: People, database: Database, worker: Worker, small: None
) -> None:
    """The worker falls in the middle of a chunk; the next one goes on behind the last that was committed."""
    await worker.drain()
    job = (await send(client, people, MANY)).json()["job"]
    fallen = asyncio.create_task(worker.drain())
    while not await database.fetchval("SELECT processed >= 30 FROM jobs WHERE id = $1::text::uuid", job):  # noqa: ASYNC110  # the row is the only sign
        await asyncio.sleep(0)
    fallen.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fallen
    await database.execute(
        "UPDATE jobs SET lease_until = now() - interval '1 second' WHERE status = 'running'"
    )
    await worker.drain()
    done = (await client.get(f"/jobs/{job}", headers=people.ops.headers)).json()
    assert (done["status"], done["counts"]["created"]) == ("done", 95)
    assert len(await listed(client, people, "/contacts?last_name[starts]=Many&limit=200")) == 95
