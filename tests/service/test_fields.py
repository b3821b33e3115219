"""Custom fields, through the door: defined, judged, filtered, sorted, grouped, hidden, indexed."""

from typing import Any

import httpx
import pytest

from service.db import Database
from service.worker import Worker
from tests.conftest import People, Person

pytestmark = pytest.mark.anyio

FIELDS: list[dict[str, Any]] = [
    {"key": "tier", "type": "select", "options": ["gold", "silver"], "default_value": "silver"},
    {"key": "seats", "type": "integer"},
    {"key": "share", "type": "number"},
    {"key": "budget", "type": "currency"},
    {"key": "renews", "type": "date"},
    {"key": "seen", "type": "datetime"},
    {"key": "pilot", "type": "boolean"},
    {"key": "tags", "type": "multi_select", "options": ["cloud", "edge", "onsite"]},
    {"key": "contact_mail", "type": "email"},
    {"key": "site", "type": "url"},
    {"key": "sponsor", "type": "user"},
    {"key": "parent_deal", "type": "reference", "reference_to": "account"},
    {"key": "code", "type": "text", "is_unique": True},
    {"key": "margin", "type": "number", "hidden_from": ["rep"]},
    {"key": "rating", "type": "integer", "read_only_for": ["rep"]},
    {"key": "memo", "type": "text", "is_filterable": False},
]


async def define(client: httpx.AsyncClient, people: People, **field: Any) -> httpx.Response:
    body = {"entity": "account", "label": field["key"].title(), **field}
    return await client.post("/fields", headers=people.ops.headers, json=body)


@pytest.fixture(scope="module")
async def fields(client: httpx.AsyncClient, people: People, worker: Worker) -> dict[str, Any]:
    made = {field["key"]: await define(client, people, **field) for field in FIELDS}
    assert {answer.status_code for answer in made.values()} == {201}, [a.text for a in made.values()]
    await worker.drain()
    return {key: answer.json() for key, answer in made.items()}


async def create(
    client: httpx.AsyncClient, person: Person, cf: dict[str, Any], name: str = "Acme"
) -> httpx.Response:
    return await client.post("/accounts", headers=person.headers, json={"name": name, "cf": cf})


async def test_values_are_kept_in_one_form(client: httpx.AsyncClient, people: People, fields: Any) -> None:
    answer = await create(
        client, people.manager,
        {
            "seats": 12.0, "share": 0.5, "budget": "1200.50", "renews": "2026-01-31", "pilot": False,
            "seen": "2026-01-31T10:00:00+02:00", "tags": ["edge", "cloud", "edge"], "site": "https://acme.example",
            "contact_mail": "a@b.example", "sponsor": str(people.rep.id).upper(), "margin": 3,
        },
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    assert answer.json()["cf"] == {
        "tier": "silver", "seats": 12, "share": 0.5, "budget": "1200.50", "renews": "2026-01-31", "pilot": False,
        "seen": "2026-01-31T08:00:00.000000Z", "tags": ["edge", "cloud"], "site": "https://acme.example",
        "contact_mail": "a@b.example", "sponsor": str(people.rep.id), "margin": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tier", "bronze"),
        ("seats", 1.5),
        ("seats", "12"),
        ("seats", True),
        ("seats", 2**63),
        ("share", "much"),
        ("budget", "NaN"),
        ("budget", "1e15"),
        ("budget", True),
        ("renews", "31.01.2026"),
        ("seen", "2026-01-31T10:00:00"),
        ("pilot", "yes"),
        ("tags", "cloud"),
        ("tags", ["cloud", "moon"]),
        ("contact_mail", "nobody"),
        ("site", "javascript:alert(1)"),
        ("sponsor", "me"),
        ("sponsor", "01a20dda-0000-7000-8000-000000000000"),
        ("parent_deal", "01a20dda-0000-7000-8000-000000000000"),
        ("margin", 1),
        ("rating", 1),
        ("unheard_of", 1),
    ],
)
async def test_a_value_that_is_none_is_422_at_its_key(
    client: httpx.AsyncClient, people: People, fields: Any, key: str, value: Any
) -> None:
    answer = await create(client, people.rep, {key: value})
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"/cf/{key}"]


async def test_a_patch_changes_the_keys_it_names_and_a_put_all(
    client: httpx.AsyncClient, people: People, fields: Any
) -> None:
    account = (await create(client, people.rep, {"seats": 1, "pilot": True})).json()
    where, headers = f"/accounts/{account['id']}", people.rep.headers
    same = await client.patch(where, headers=headers, json={"cf": {"seats": 1}})
    assert same.json()["version"] == 1
    changed = await client.patch(where, headers=headers, json={"cf": {"seats": 2, "pilot": None}})
    assert (changed.json()["cf"], changed.json()["version"]) == ({"tier": "silver", "seats": 2}, 2)
    put = await client.put(
        where, headers=headers | {"If-Match": "*"}, json={"name": "Acme", "cf": {"pilot": False}}
    )
    assert put.json()["cf"] == {"pilot": False}


async def test_a_hidden_field_does_not_exist(client: httpx.AsyncClient, people: People, fields: Any) -> None:
    account = (await create(client, people.manager, {"margin": 77})).json()
    await client.post(
        f"/accounts/{account['id']}/assign",
        headers=people.manager.headers | {"If-Match": "*"},
        json={"owner_id": str(people.rep.id)},
    )
    for text in ("cf.margin=77", "sort=cf.margin", "fields=cf.margin", "group=cf.margin", "sum=cf.margin"):
        unseen = await client.get(f"/accounts?{text}", headers=people.rep.headers)
        unknown = await client.get(
            f"/accounts?{text.replace('margin', 'nothing')}", headers=people.rep.headers
        )
        assert unseen.status_code == unknown.status_code == 400
        assert unseen.json()["detail"].replace("margin", "nothing") == unknown.json()["detail"]
    read = await client.get(f"/accounts/{account['id']}", headers=people.rep.headers)
    assert "margin" not in read.json()["cf"]
    patched = await client.patch(
        f"/accounts/{account['id']}", headers=people.rep.headers, json={"cf": {"seats": 5}}
    )
    assert "margin" not in patched.json()["cf"]
    kept = await client.get(f"/accounts/{account['id']}", headers=people.manager.headers)
    assert (kept.json()["cf"]["margin"], kept.json()["cf"]["seats"]) == (77, 5)
    replaced = await client.put(
        f"/accounts/{account['id']}", headers=people.rep.headers | {"If-Match": "*"}, json={"name": "Acme"}
    )
    assert replaced.status_code == 200
    kept = await client.get(f"/accounts/{account['id']}", headers=people.manager.headers)
    assert kept.json()["cf"] == {"margin": 77}
    assert "margin" not in {
        field["key"] for field in (await client.get("/fields", headers=people.rep.headers)).json()["items"]
    }


async def test_what_is_for_no_filter(client: httpx.AsyncClient, people: People, fields: Any) -> None:
    answer = await client.get("/accounts?cf.memo=x", headers=people.ops.headers)
    assert answer.status_code == 400
    assert "cf.memo" in answer.json()["detail"]


async def test_a_unique_value_is_taken_once(
    client: httpx.AsyncClient, people: People, fields: Any, database: Database
) -> None:
    assert (await create(client, people.rep, {"code": "A-1"})).status_code == 201
    again = await create(client, people.rep2, {"code": "A-1"})
    assert (again.status_code, again.json()["errors"][0]["pointer"]) == (409, "/cf/code")
    field = await client.get(f"/fields/{fields['code']['id']}", headers=people.ops.headers)
    assert field.json()["is_indexed"] is True
    unique = await database.fetchval("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_cf_account_code'")
    assert unique.startswith("CREATE UNIQUE INDEX")


@pytest.fixture(scope="module")
async def rows(client: httpx.AsyncClient, people: People, fields: Any) -> None:
    for name, cf in {
        "one": {"tier": "gold", "seats": 10, "budget": "99.5", "renews": "2026-01-31", "tags": ["cloud", "edge"]},
        "two": {"tier": "gold", "seats": 9, "budget": "1000", "renews": "2026-06-30", "tags": ["onsite"]},
        "six": {"tier": "silver", "seats": 100, "seen": "2026-03-01T00:00:00.5Z"},
    }.items():  # fmt: skip
        assert (await create(client, people.stranger, cf, name)).status_code == 201


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cf.tier=gold&sort=name", ["one", "two"]),
        ("cf.seats[gte]=10&sort=cf.seats", ["one", "six"]),
        ("cf.budget[lt]=100", ["one"]),
        ("cf.renews[gt]=2026-02-01", ["two"]),
        ("cf.renews[in]=2026-06-30,2027-01-01", ["two"]),
        ("cf.renews[lte]=today&cf.renews[gte]=2026-06-30", ["two"]),
        ("cf.seen[gt]=2026-03-01T00:00:00Z", ["six"]),
        ("cf.seen[lt]=2026-03-01T01:00:00%2B02:00", []),
        ("cf.tags=cloud", ["one"]),
        ("cf.tags[in]=onsite,edge&sort=name", ["one", "two"]),
        ("cf.tags[ne]=cloud&sort=-cf.seats", ["six", "two"]),
        ("cf.tags[is_null]=true", ["six"]),
        ("sort=-cf.budget", ["two", "one", "six"]),
    ],
)
async def test_filters_and_sorts(
    client: httpx.AsyncClient, people: People, rows: None, text: str, expected: list[str]
) -> None:
    answer = await client.get(f"/accounts?owner_id={people.stranger.id}&{text}", headers=people.ops.headers)
    assert answer.status_code == 200, answer.text
    assert [item["name"] for item in answer.json()["items"]] == expected


async def test_pages_by_a_custom_field_neither_repeat_nor_lose(
    client: httpx.AsyncClient, people: People, rows: None
) -> None:
    where, seen, cursor = f"/accounts?owner_id={people.stranger.id}&sort=cf.renews&limit=1", [], ""
    while cursor is not None:
        page = (
            await client.get(f"{where}&cursor={cursor}" if cursor else where, headers=people.ops.headers)
        ).json()
        seen += [item["name"] for item in page["items"]]
        cursor = page["next"]
    assert seen == ["one", "two", "six"]


async def test_figures(client: httpx.AsyncClient, people: People, rows: None) -> None:
    asked = f"/accounts?owner_id={people.stranger.id}&group=cf.tier&sum=cf.seats,cf.budget&max=cf.budget"
    answer = (await client.get(asked, headers=people.ops.headers)).json()
    assert answer["items"] == [
        {"group": {"cf.tier": "gold"}, "count": 2, "sum": {"cf.seats": "19.0000", "cf.budget": "1099.5000"},
         "max": {"cf.budget": "1000.0000"}},
        {"group": {"cf.tier": "silver"}, "count": 1, "sum": {"cf.seats": "100.0000", "cf.budget": None},
         "max": {"cf.budget": None}},
    ]  # fmt: skip
    days = await client.get(
        f"/accounts?owner_id={people.stranger.id}&group=cf.renews.quarter", headers=people.ops.headers
    )
    assert {item["group"]["cf.renews.quarter"]: item["count"] for item in days.json()["items"]} == {
        None: 1, "2026-01-01": 1, "2026-04-01": 1,
    }  # fmt: skip
    mine = await client.get("/accounts?sum=annual_revenue", headers=people.rep.headers)
    everybody = await client.get("/accounts?sum=annual_revenue", headers=people.ops.headers)
    assert mine.json()["items"][0]["count"] < everybody.json()["items"][0]["count"]


@pytest.mark.parametrize(
    "text",
    [
        "group=cf",
        "group=nothing",
        "group=name.month",
        "group=nothing.month",
        "group=name,industry,segment,type",
        "sum=name",
        "sum=nothing",
        "group=industry&sort=name",
        "group=industry&cursor=W10",
    ],
)
async def test_figures_that_make_no_sense(client: httpx.AsyncClient, people: People, text: str) -> None:
    assert (await client.get(f"/accounts?{text}", headers=people.ops.headers)).status_code == 400


@pytest.mark.parametrize(
    ("field", "pointer"),
    [
        ({"key": "a", "type": "text", "entity": "planet"}, "/entity"),
        ({"key": "a", "type": "text", "entity": "field"}, "/entity"),
        ({"key": "A b", "type": "text"}, "/key"),
        ({"key": "a", "type": "colour"}, "/type"),
        ({"key": "a", "type": "select"}, "/options"),
        ({"key": "a", "type": "text", "options": ["x"]}, "/options"),
        ({"key": "a", "type": "select", "options": ["x", "x"]}, "/options"),
        ({"key": "a", "type": "reference"}, "/reference_to"),
        ({"key": "a", "type": "reference", "reference_to": "planet"}, "/reference_to"),
        ({"key": "a", "type": "boolean", "is_unique": True}, "/is_unique"),
        ({"key": "a", "type": "integer", "default_value": "x"}, "/default_value"),
        ({"key": "a", "type": "text", "hidden_from": ["nobody"]}, "/hidden_from"),
    ],
)
async def test_a_definition_that_makes_no_sense(
    client: httpx.AsyncClient, people: People, field: dict[str, Any], pointer: str
) -> None:
    answer = await define(client, people, **field)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"].startswith(pointer)


async def test_required_is_asked_for_at_create_and_never_cleared(
    client: httpx.AsyncClient, people: People
) -> None:
    body = {"entity": "contact", "key": "badge", "label": "Badge", "type": "text", "is_required": True}
    field = (await client.post("/fields", headers=people.ops.headers, json=body)).json()
    bare = await client.post("/contacts", headers=people.rep.headers, json={"last_name": "Li"})
    assert (bare.status_code, bare.json()["errors"][0]["pointer"]) == (422, "/cf/badge")
    made = await client.post(
        "/contacts", headers=people.rep.headers, json={"last_name": "Li", "cf": {"badge": "7"}}
    )
    cleared = await client.patch(
        f"/contacts/{made.json()['id']}", headers=people.rep.headers, json={"cf": {"badge": None}}
    )
    assert cleared.status_code == 422
    gone = await client.delete(f"/fields/{field['id']}", headers=people.ops.headers)
    assert gone.status_code == 204
    other = body | {"type": "integer", "is_required": False}
    refused = await client.post("/fields", headers=people.ops.headers, json=other)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (409, "/type")
    assert (
        await client.post(f"/fields/{field['id']}/restore", headers=people.ops.headers)
    ).status_code == 200


async def test_a_field_that_is_double_is_not_made_unique(client: httpx.AsyncClient, people: People) -> None:
    field = (await define(client, people, key="serial", type="text")).json()
    for _ in range(2):
        assert (await create(client, people.rep, {"serial": "same"})).status_code == 201
    answer = await client.patch(
        f"/fields/{field['id']}", headers=people.ops.headers, json={"is_unique": True}
    )
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (409, "/is_unique")


async def test_an_index_is_built_without_a_lock_and_used(
    client: httpx.AsyncClient, people: People, rows: None, fields: Any, worker: Worker, database: Database
) -> None:
    asked = await client.post(f"/fields/{fields['seats']['id']}/index", headers=people.ops.headers)
    assert asked.status_code == 202
    await worker.drain()
    job = await client.get(f"/jobs/{asked.json()['job']}", headers=people.ops.headers)
    assert (job.json()["status"], job.json()["result"]) == ("done", {"index": "ix_cf_account_seats"})
    assert (await client.get(f"/fields/{fields['seats']['id']}", headers=people.ops.headers)).json()[
        "is_indexed"
    ]
    async with database.begin() as tx:
        await tx.execute("SET LOCAL enable_seqscan = off")
        plan = await tx.fetch(
            "EXPLAIN SELECT id FROM accounts t WHERE ((t.cf ->> 'seats')::bigint) = 10 AND deleted_at IS NULL"
            " /* access:accounts */"
        )
    assert "ix_cf_account_seats" in "".join(row[0] for row in plan)
    refused = await client.post(f"/fields/{fields['seats']['id']}/index", headers=people.rep.headers)
    assert refused.status_code == 403
