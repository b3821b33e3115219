"""Bad input on every route of the core records: an answer of 4xx that points at the member, and nothing stored."""

from typing import Any, get_args, get_origin
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from service.db import Database
from service.domains import (
    accounts,
    activities,
    battle_cards,
    campaigns,
    comments,
    competitors,
    contacts,
    documents,
    exchange_rates,
    guest_links,
    leads,
    lines,
    notes,
    opportunities,
    periods,
    pipelines,
    plan_items,
    playbooks,
    pools,
    price_books,
    products,
    quotas,
    quotes,
    relationships,
    reminders,
    roles,
    routing,
    shares,
    splits,
    stakeholders,
    teams,
    territories,
    users,
    validation_rules,
    views,
)
from service.resource import Resource
from tests.conftest import People

pytestmark = pytest.mark.anyio

RESOURCES: list[Resource] = [
    *(module.resource for module in (
        accounts, activities, battle_cards, campaigns, competitors, contacts, exchange_rates, leads, lines, notes,
        opportunities, periods, pipelines, playbooks, pools, price_books, products, quotas, quotes, relationships,
        roles, routing, shares, splits, stakeholders, teams, territories, users, validation_rules, views,
        comments, documents, guest_links, plan_items, reminders,
    )),
    pipelines.pipeline,
    territories.models,
]  # fmt: skip
BY_NAME = {resource.name: resource for resource in RESOURCES}
NAMES = sorted(BY_NAME)


class World(msgspec.Struct):
    """Records to point at, and a valid body for each resource, by its name."""

    bodies: dict[str, dict[str, Any]]
    deal: str

    def path(self, resource: Resource) -> str:
        return resource.path.replace("{parent_id:uuid}", self.deal)


@pytest.fixture(scope="module")
async def world(client: httpx.AsyncClient, people: People) -> World:
    async def make(path: str, **members: Any) -> str:
        answer = await client.post(path, headers=people.admin.headers, json=members)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    account = await make("/accounts", name="Acme")
    contact = await make("/contacts", last_name="Ann")
    friend = await make("/contacts", last_name="Bob")
    product = await make("/products", code="P", name="P", list_price=1)
    rival = await make("/competitors", name="Rival")
    deal = await make("/opportunities", name="Deal", account_id=account)
    period = await make(
        "/periods", key="2026Q1", type="quarter", start_date="2026-01-01", end_date="2026-03-31"
    )
    model = await make("/territory-models", name="Model")
    pipeline = await make("/pipelines", key="other", name="Other")
    stage = {"pipeline_id": pipeline, "key": "a", "name": "A", "position": 1, "status": "open"}
    bodies: dict[str, dict[str, Any]] = {
        "account": {"name": "A"},
        "activity": {"type": "call", "occurred_at": "2026-01-01T00:00:00Z"},
        "battle_card": {"competitor_id": rival, "title": "T", "body": "B"},
        "campaign": {"name": "C"},
        "comment": {"body": "C", "opportunity_id": deal},
        "competitor": {"name": "C"},
        "contact": {"last_name": "L"},
        "document": {"name": "D", "opportunity_id": deal},
        "exchange_rate": {"currency": "EUR", "date": "2026-01-01", "rate": "1.1"},
        "guest_link": {"name": "G", "opportunity_id": deal},
        "lead": {"last_name": "L"},
        "line": {"product_id": product, "quantity": 1},
        "note": {"body": "N", "opportunity_id": deal},
        "opportunity": {"name": "O"},
        "period": {"key": "2026Q2", "type": "quarter", "start_date": "2026-04-01", "end_date": "2026-06-30"},
        "pipeline": {"key": "third", "name": "P"},
        "plan_item": {"title": "P", "opportunity_id": deal},
        "playbook": {"name": "P"},
        "pool": {"name": "P", "method": "round_robin"},
        "price_book": {"name": "P", "currency": "USD"},
        "product": {"code": "Q", "name": "Q"},
        "quota": {"period_id": period, "user_id": str(people.rep.id), "amount": "1", "currency": "USD"},
        "role": {"key": "new_role", "name": "R", "base_role": "rep"},
        "share": {"resource": "opportunities", "record_id": deal, "user_id": str(people.rep.id)},
        "quote": {"opportunity_id": deal},
        "relationship": {"contact_id": contact, "related_contact_id": friend, "type": "friend"},
        "routing_rule": {"name": "R", "position": 1, "target": "user", "user_id": str(people.rep.id)},
        "split": {"user_id": str(people.rep.id), "percent": 10},
        "reminder": {
            "record_type": "opportunity",
            "record_id": deal,
            "remind_at": "2030-01-01T00:00:00Z",
            "text": "R",
        },
        "stage": stage | {"probability": 0.5, "forecast_category": "pipeline"},
        "stakeholder": {"contact_id": contact, "role": "champion"},
        "team": {"name": "T"},
        "territory": {"model_id": model, "name": "T"},
        "territory_model": {"name": "M"},
        "validation_rule": {
            "entity": "battle_card",
            "name": "N",
            "message": "M",
            "require": [{"field": "title", "op": "is_null", "value": False}],
        },
        "view": {"name": "V", "resource": "accounts"},
        "user": {"email": "new@test.example", "name": "N", "role": "rep"},
    }
    return World(bodies=bodies, deal=deal)


async def _refused(
    client: httpx.AsyncClient, people: People, database: Database, resource: Resource, path: str, body: Any
) -> tuple[int, list[str]]:
    """Status and pointers of a POST that must fail and leave the table as it was."""
    count = f"SELECT count(*) FROM {resource.table.name} /* access:{resource.table.name} */"
    before = await database.fetchval(count)
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = await client.post(path, headers=people.admin.headers, **content)
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.text
    assert await database.fetchval(count) == before
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["detail"]
    return answer.status_code, [error["pointer"] for error in problem.get("errors", [])]


def _fields(resource: Resource) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(resource.draft)}


WRONG: list[Any] = [[]]
"""A value of a type that no member takes."""


@pytest.mark.parametrize("name", NAMES)
async def test_every_member_refuses_the_wrong_type(
    name: str, client: httpx.AsyncClient, people: People, database: Database, world: World
) -> None:
    resource = BY_NAME[name]
    for member in _fields(resource):
        body = world.bodies[name] | {member: WRONG}
        status, pointers = await _refused(client, people, database, resource, world.path(resource), body)
        assert status == 422, member
        assert pointers[0].startswith(f"/{member}"), (member, pointers)


@pytest.mark.parametrize("name", NAMES)
async def test_what_is_required_is_missed_and_what_is_unknown_refused(
    name: str, client: httpx.AsyncClient, people: People, database: Database, world: World
) -> None:
    resource, body = BY_NAME[name], world.bodies[name]
    for member, field in _fields(resource).items():
        if field.required:
            less = {key: value for key, value in body.items() if key != member}
            asked = await _refused(client, people, database, resource, world.path(resource), less)
            assert asked == (422, [f"/{member}"])
    for member in ("no_such_field", "id", "version", "created_at", "deleted_at"):
        asked = await _refused(client, people, database, resource, world.path(resource), body | {member: "x"})
        assert asked == (422, [f"/{member}"])


@pytest.mark.parametrize("name", NAMES)
async def test_references_lead_somewhere(
    name: str, client: httpx.AsyncClient, people: People, database: Database, world: World
) -> None:
    resource = BY_NAME[name]
    wanted = [column for column in resource.references if column in _fields(resource)]
    for column in wanted:
        body = world.bodies[name] | {column: str(uuid4())}
        if name == "quota" and column in quotas.NODES:
            body = {key: value for key, value in body.items() if key not in quotas.NODES or key == column}
        if name == "share":
            body = {key: value for key, value in body.items() if key != "user_id" or column == "user_id"}
        if column == "related_account_id":
            del body["related_contact_id"]
        asked = await _refused(client, people, database, resource, world.path(resource), body)
        assert asked == (422, [f"/{column}"]), column


@pytest.mark.parametrize("name", NAMES)
async def test_bodies_that_are_no_records(
    name: str, client: httpx.AsyncClient, people: People, database: Database, world: World
) -> None:
    resource, path = BY_NAME[name], world.path(BY_NAME[name])
    large = b'{"x": "' + b"a" * 1_100_000 + b'"}'
    for body, expected in (
        (b"{", 400),
        (b"", 400),
        (b"[]", 422),
        (b"null", 422),
        (b"\xff\xfe", 400),
        (large, 413),
    ):
        status, _ = await _refused(client, people, database, resource, path, body)
        assert status == expected, body[:10]


@pytest.mark.parametrize("name", NAMES)
async def test_a_patch_refuses_as_a_create_does_and_changes_nothing(
    name: str, client: httpx.AsyncClient, people: People, world: World
) -> None:
    resource = BY_NAME[name]
    made = await client.post(world.path(resource), headers=people.admin.headers, json=world.bodies[name])
    assert made.status_code == 201, made.text
    url = f"{world.path(resource)}/{made.json()['id']}"
    patchable = {field.name for field in msgspec.structs.fields(resource.patch)}
    by_verb = set(_fields(resource)) - patchable
    for member in ("no_such_field", "version", *by_verb):
        answer = await client.patch(
            url, headers=people.admin.headers, json={member: world.bodies[name].get(member)}
        )
        assert answer.status_code == 422, member
        assert answer.json()["errors"][0]["pointer"] == f"/{member}"
    for member in _fields(resource):
        if member in patchable:
            answer = await client.patch(url, headers=people.admin.headers, json={member: WRONG})
            assert answer.status_code == 422, member
    after = (await client.get(url, headers=people.admin.headers)).json()
    assert after["version"] == made.json()["version"]
    assert (await client.delete(url, headers=people.admin.headers)).status_code == 204


def _texts(hint: Any, limited: bool = False) -> bool:
    """Whether every text in a hint has a greatest length (and every list and dict a greatest size)."""
    metas = [part for part in getattr(hint, "__metadata__", ()) if isinstance(part, msgspec.Meta)]
    if metas:
        return _texts(hint.__origin__, any(meta.max_length is not None for meta in metas))
    if hint is str or (get_origin(hint) in (list, dict) and not limited):
        return limited
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return all(_texts(field.type) for field in msgspec.structs.fields(hint))
    if get_origin(hint) is not None and not isinstance(get_args(hint)[0], str):
        return all(_texts(part) for part in get_args(hint) if part is not Ellipsis)
    return True


def test_the_measure_of_texts_can_fail() -> None:
    assert not _texts(str | None)
    assert not _texts(list[UUID])
    assert _texts(UUID | None)


@pytest.mark.parametrize("name", NAMES)
def test_every_text_has_a_greatest_length(name: str) -> None:
    for member, field in _fields(BY_NAME[name]).items():
        assert _texts(field.type), member
    assert BY_NAME[name].patch.__struct_config__.forbid_unknown_fields
    assert BY_NAME[name].draft.__struct_config__.forbid_unknown_fields


CASES = [
    ("account", {"name": "x" * 256}, "/name"),
    ("account", {"name": "  "}, "/name"),
    ("account", {"annual_revenue": "-1"}, "/annual_revenue"),
    ("account", {"annual_revenue": "NaN"}, "/annual_revenue"),
    ("account", {"annual_revenue": "Infinity"}, "/annual_revenue"),
    ("account", {"annual_revenue": "1e40"}, "/annual_revenue"),
    ("account", {"number_of_employees": -1}, "/number_of_employees"),
    ("account", {"number_of_employees": 3_000_000_000}, "/number_of_employees"),
    ("account", {"currency": "usd"}, "/currency"),
    ("account", {"type": "friend"}, "/type"),
    ("account", {"billing_address": {"country": "Germany"}}, "/billing_address/country"),
    ("account", {"billing_address": {"planet": "Mars"}}, "/billing_address/planet"),
    ("account", {"external_ids": {"crm": 1}}, "/external_ids"),
    ("account", {"cf": {"a": {"b": 1}}}, "/cf"),
    ("activity", {"occurred_at": "2026-01-01T00:00:00"}, "/occurred_at"),
    ("activity", {"type": "task"}, "/due_at"),
    ("activity", {"participants": [{"name": "Nobody"}]}, "/participants/0"),
    ("activity", {"participants": [{"user_id": str(uuid4())}]}, "/participants/0"),
    ("activity", {"source_id": "1"}, "/source"),
    ("activity", {"status": "planned", "outcome": "held"}, "/outcome"),
    ("activity", {"duration_seconds": -5}, "/duration_seconds"),
    ("battle_card", {"product_ids": [str(uuid4())]}, "/product_ids/0"),
    ("contact", {"email": "no address"}, "/email"),
    ("contact", {"time_zone": "Mars/Olympus"}, "/time_zone"),
    ("exchange_rate", {"rate": "0"}, "/rate"),
    ("exchange_rate", {"rate": "-1"}, "/rate"),
    ("exchange_rate", {"rate": "NaN"}, "/rate"),
    ("exchange_rate", {"currency": "USD"}, "/currency"),
    ("lead", {"status": "converted"}, "/status"),
    ("lead", {"status": "unqualified"}, "/unqualified_reason"),
    ("lead", {"last_name": " "}, "/last_name"),
    ("line", {"quantity": 0}, "/quantity"),
    ("line", {"quantity": -1}, "/quantity"),
    ("line", {"unit_price": "-0.01"}, "/unit_price"),
    ("line", {"discount_percent": 101}, "/discount_percent"),
    ("note", {"opportunity_id": None}, "/opportunity_id"),
    ("note", {"kind": "win_loss", "opportunity_id": None}, "/opportunity_id"),
    ("opportunity", {"amount": "-5"}, "/amount"),
    ("opportunity", {"amount": "1e30"}, "/amount"),
    ("opportunity", {"close_date": "2026-02-30"}, "/close_date"),
    ("opportunity", {"stage": "nowhere"}, "/stage"),
    ("opportunity", {"stage": "lost"}, "/loss_reason"),
    ("opportunity", {"forecast_category": "closed"}, "/forecast_category"),
    ("opportunity", {"competitor_ids": [str(uuid4())]}, "/competitor_ids/0"),
    ("opportunity", {"probability": 0.9}, "/probability"),
    ("opportunity", {"status": "won"}, "/status"),
    ("period", {"end_date": "2026-03-31"}, "/end_date"),
    ("period", {"start_date": "0404-01-01"}, "/start_date"),
    ("period", {"key": "next"}, "/key"),
    ("playbook", {"criteria": [{"field": "amount", "op": "is", "value": 1}]}, "/criteria/0/op"),
    ("playbook", {"steps": [{"title": "x"}]}, "/steps/0/action"),
    ("pool", {"members": [{"user_id": str(uuid4())}]}, "/members/0/user_id"),
    ("pool", {"method": "capacity", "members": [{"user_id": str(uuid4())}]}, "/members/0/capacity"),
    ("pool", {"members": [{"user_id": str(uuid4()), "weight": 0}]}, "/members/0/weight"),
    ("price_book", {"entries": [{"product_id": str(uuid4()), "unit_price": "1"}]}, "/entries/0/product_id"),
    ("product", {"list_price": -1}, "/list_price"),
    ("quota", {"team_id": str(uuid4())}, "/team_id"),
    ("quota", {"user_id": None}, "/user_id"),
    ("quota", {"amount": "-1"}, "/amount"),
    ("quote", {"lines": [{"name": "x", "quantity": 0, "unit_price": "1"}]}, "/lines/0/quantity"),
    ("quote", {"lines": [{"name": "x", "quantity": 1, "unit_price": "-1"}]}, "/lines/0/unit_price"),
    ("quote", {"status": "expired"}, "/status"),
    ("quote", {"number": "1"}, "/number"),
    ("relationship", {"related_contact_id": None}, "/related_contact_id"),
    ("routing_rule", {"target": "pool", "user_id": None}, "/pool_id"),
    ("routing_rule", {"criteria": [{"field": "emial", "op": "eq", "value": 1}]}, "/criteria/0/field"),
    ("routing_rule", {"entity": "account", "sla_minutes": 5}, "/sla_minutes"),
    ("split", {"percent": 101}, "/percent"),
    ("stage", {"entry_criteria": [{"field": "amont", "op": "gt", "value": 1}]}, "/entry_criteria/0/field"),
    ("stage", {"probability": 1.1}, "/probability"),
    ("stage", {"probability": 1}, "/probability"),
    ("stage", {"status": "won"}, "/probability"),
    ("stage", {"exit_criteria": [{"field": "amont", "op": "gt", "value": 1}]}, "/exit_criteria/0/field"),
    ("territory", {"member_ids": [str(uuid4())]}, "/member_ids/0"),
    ("user", {"start_date": "2026-02-01", "end_date": "2026-01-01"}, "/end_date"),
    ("user", {"absences": [{"start_date": "2026-02-01", "end_date": "2026-01-01"}]}, "/absences/0/end_date"),
    ("user", {"working_hours": {"monday": "9-5"}}, "/working_hours/monday"),
    ("user", {"role": "boss"}, "/role"),
    ("team", {"name": "nul\0"}, ""),
]


@pytest.mark.parametrize(("name", "members", "pointer"), CASES)
async def test_values_that_make_no_sense(
    name: str, members: dict[str, Any], pointer: str,
    client: httpx.AsyncClient, people: People, database: Database, world: World,
) -> None:  # fmt: skip
    resource = BY_NAME[name]
    status, pointers = await _refused(
        client, people, database, resource, world.path(resource), world.bodies[name] | members
    )
    assert status == 422
    assert pointers[0].startswith(pointer), pointers


@pytest.mark.parametrize(
    ("name", "pointer"),
    [
        ("user", "/email"),
        ("product", "/code"),
        ("period", "/key"),
        ("pipeline", "/key"),
        ("stage", "/key"),
        ("quota", ""),
        ("exchange_rate", ""),
        ("pool", "/name"),
        ("price_book", "/name"),
        ("relationship", ""),
        ("split", ""),
    ],
)
async def test_what_is_taken_is_a_conflict(
    name: str, pointer: str, client: httpx.AsyncClient, people: People, world: World
) -> None:
    resource, body = BY_NAME[name], world.bodies[name]
    path = world.path(resource)
    first = await client.post(path, headers=people.admin.headers, json=body)
    second = await client.post(path, headers=people.admin.headers, json=body)
    assert second.status_code == 409, second.text
    assert second.json()["errors"][0]["pointer"].startswith(pointer)
    assert (
        await client.delete(f"{path}/{first.json()['id']}", headers=people.admin.headers)
    ).status_code == 204
    third = await client.post(path, headers=people.admin.headers, json=body)
    assert third.status_code == 201, "a deleted record does not hold its name"
    await client.delete(f"{path}/{third.json()['id']}", headers=people.admin.headers)


async def test_an_activity_is_captured_once(client: httpx.AsyncClient, people: People) -> None:
    body = {"type": "email", "occurred_at": "2026-01-01T00:00:00Z", "source": "mail", "source_id": "<1@x>"}
    assert (await client.post("/activities", headers=people.rep.headers, json=body)).status_code == 201
    assert (await client.post("/activities", headers=people.rep.headers, json=body)).status_code == 200
    other = await client.post("/activities", headers=people.rep.headers, json=body | {"subject": "Another"})
    assert (other.status_code, other.json()["errors"][0]["pointer"]) == (409, "/subject")


async def test_rings_are_refused(client: httpx.AsyncClient, people: People) -> None:
    upper = (await client.post("/teams", headers=people.admin.headers, json={"name": "Up"})).json()["id"]
    lower = await client.post(
        "/teams", headers=people.admin.headers, json={"name": "Low", "parent_id": upper}
    )
    ring = await client.patch(
        f"/teams/{upper}", headers=people.admin.headers, json={"parent_id": lower.json()["id"]}
    )
    assert ring.status_code == 409
    assert ring.json()["errors"] == [{"pointer": "/parent_id", "detail": "would make a ring"}]


async def test_only_administrators_make_administrators(client: httpx.AsyncClient, people: People) -> None:
    body = {"email": "boss@test.example", "name": "B", "role": "admin"}
    assert (await client.post("/users", headers=people.ops.headers, json=body)).status_code == 403
    admin = f"/users/{people.admin.id}"
    assert (await client.patch(admin, headers=people.ops.headers, json={"role": "rep"})).status_code == 403
    assert (await client.patch(admin, headers=people.ops.headers, json={"email": "x@y.z"})).status_code == 403
    mine = f"/users/{people.rep.id}"
    assert (await client.patch(mine, headers=people.rep.headers, json={"role": "admin"})).status_code == 403


async def test_the_company_is_one_and_changes_with_care(client: httpx.AsyncClient, people: People) -> None:
    seen = await client.get("/company", headers=people.rep.headers)
    assert (seen.json()["home_currency"], seen.json()["time_zone"]) == ("USD", "UTC")
    assert (await client.patch("/company", headers=people.rep.headers, json={"name": "X"})).status_code == 403
    for body, pointer in (
        ({"time_zone": "Nowhere"}, "/time_zone"),
        ({"fiscal_year_start": 13}, "/fiscal_year_start"),
        ({"home_currency": "dollars"}, "/home_currency"),
        ({"holidays": ["Christmas"]}, "/holidays"),
        ({"motto": "x"}, "/motto"),
    ):
        answer = await client.patch("/company", headers=people.admin.headers, json=body)
        assert answer.status_code == 422, body
        assert answer.json()["errors"][0]["pointer"].startswith(pointer)
    days = {"holidays": ["2026-12-25", "2026-01-01", "2026-12-25"], "name": "Acme"}
    kept = await client.patch(
        "/company", headers=people.admin.headers | {"If-Match": seen.headers["etag"]}, json=days
    )
    assert kept.json()["holidays"] == ["2026-01-01", "2026-12-25"]
    assert (await client.post("/company", headers=people.admin.headers, json={})).status_code in (404, 405)
    await client.post("/opportunities", headers=people.rep.headers, json={"name": "x", "amount": 1})
    moved = await client.patch("/company", headers=people.admin.headers, json={"home_currency": "EUR"})
    assert moved.status_code == 409
