"""Nobody sees or does what is not theirs: every operation of the API's document by each kind of person, and canaries."""

import json
import logging
import re
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import pytest
from graphql import GraphQLSchema, get_named_type, is_object_type

from service.access import ROWS
from service.graphql.nouns import nouns
from service.graphql.schema import schema_of, sight_of
from tests.conftest import People
from tests.service.operations import FILES, PEOPLE, QUERIES, SEES, VERBS, Need, body_of, need_of, permissions

pytestmark = pytest.mark.anyio

Client = httpx.AsyncClient
Make = Callable[[], Awaitable[str]]
YEARS, LATER = count(), "2030-01-01T00:00:00Z"
CANARY, HIDDEN = "canary7f3a", "hidden91b"


class World:
    """Makes records of the rep, as many as are used up, and knows what to put into paths and bodies."""

    def __init__(self, client: Client, people: People, mark: str = "plain") -> None:
        self.client, self.people, self.mark = client, people, mark
        self.ids: dict[str, str] = {
            "rep": str(people.rep.id), "rep2": str(people.rep2.id), "nobody": str(uuid4()), "other": str(uuid4()),
        }  # fmt: skip

    async def post(self, path: str, who: str = "rep", **body: Any) -> str:
        answer = await self.client.post(path, headers=getattr(self.people, who).headers, json=body)
        assert answer.status_code == 201, (path, answer.text)
        return str(answer.json()["id"])

    async def begin(self) -> None:
        self.ids["product"] = await self.post(
            "/products", "admin", code=uuid4().hex, name="P", list_price="1"
        )
        self.ids["account"] = await self.post("/accounts", name=f"Account {self.mark}")
        self.ids["deal"] = await self.post(
            "/opportunities", name=f"Deal {self.mark}", account_id=self.ids["account"]
        )
        self.ids["contact"] = await self.post(
            "/contacts", last_name=f"Contact {self.mark}", account_id=self.ids["account"], phone="hidden91b",
            email="hidden91b@acme.example", mailing_address={"city": "hidden91b"},
        )  # fmt: skip
        self.ids["lead"] = await self.post(
            "/leads", last_name=f"Lead {self.mark}", email="hidden91b@acme.example", phone="hidden91b",
            address={"city": "hidden91b"},
        )  # fmt: skip

    def makers(self) -> dict[str, Make]:
        """For each guarded resource, by its list's path: how the rep makes one."""
        ids, post = self.ids, self.post
        inside = f"/opportunities/{ids['deal']}"
        said = f"said {self.mark}"
        return {
            "/accounts": lambda: post("/accounts", name=f"A {self.mark}"),
            "/contacts": lambda: post("/contacts", last_name=f"C {self.mark}", email="hidden91b@acme.example", owner_id=ids["rep"]),
            "/leads": lambda: post("/leads", last_name=f"L {self.mark}", email="hidden91b@acme.example"),
            "/opportunities": lambda: post("/opportunities", name=f"O {self.mark}", amount="7"),
            "/opportunities/{parent_id}/lines": lambda: post(f"{inside}/lines", product_id=ids["product"], quantity=1, description=said),
            "/opportunities/{parent_id}/stakeholders": lambda: post(
                f"{inside}/stakeholders", contact_id=ids["contact"], role="champion", notes=said
            ),
            "/opportunities/{parent_id}/splits": lambda: self.split(),
            "/activities": lambda: post("/activities", type="call", occurred_at="2026-01-05T09:00:00Z", opportunity_id=ids["deal"], body=said),
            "/notes": lambda: post("/notes", body=said, opportunity_id=ids["deal"]),
            "/quotes": lambda: post("/quotes", opportunity_id=ids["deal"]),
            "/documents": lambda: post("/documents", name=said, opportunity_id=ids["deal"]),
            "/plan-items": lambda: post("/plan-items", opportunity_id=ids["deal"], title=said),
            "/comments": lambda: post("/comments", body=said, opportunity_id=ids["deal"]),
            "/guest-links": lambda: post("/guest-links", opportunity_id=ids["deal"], name=said),
            "/relationships": lambda: self.related(),
            "/shares": lambda: self.shared(),
            "/views": lambda: post("/views", name=said, resource="accounts"),
            "/reminders": lambda: post("/reminders", record_type="opportunity", record_id=ids["deal"], remind_at=LATER, text=said),
            "/webhooks": lambda: post("/webhooks", "manager", url="https://1.1.1.1/x", events=["deal.won"], description=said),
            "/quotas": lambda: self.quota(),
        }  # fmt: skip

    async def related(self) -> str:
        other = await self.post("/contacts", last_name=f"R {self.mark}", account_id=self.ids["account"])
        return await self.post(
            "/relationships", contact_id=self.ids["contact"], related_contact_id=other, type="colleague"
        )

    async def split(self) -> str:
        helper = await self.post("/users", "admin", email=f"{uuid4().hex}@test.example", name="H", role="rep")
        path = f"/opportunities/{self.ids['deal']}/splits"
        return await self.post(path, user_id=helper, percent=1, type="overlay")

    async def shared(self) -> str:
        deal = await self.post("/opportunities", name=f"S {self.mark}")
        return await self.post(
            "/shares",
            resource="opportunities",
            record_id=deal,
            user_id=str(self.people.stranger.id),
            reason="why",
        )

    async def quota(self) -> str:
        year = 2030 + next(YEARS)
        period = await self.post(
            "/periods", "admin", key=str(year), type="year", start_date=f"{year}-01-01",
            end_date=f"{year}-12-31",
        )  # fmt: skip
        return await self.post(
            "/quotas", "admin", period_id=period, user_id=self.ids["rep"], amount="1", currency="USD"
        )

    def filled(self, body: Any) -> Any:
        text = json.dumps(body)
        for name, value in self.ids.items():
            text = text.replace(f"{{{name}}}", value)
        return json.loads(text)


PRIVATE = {"/views", "/reminders"}
"""Nobody but the one who made it."""
OF_THE_MANAGER = {"/webhooks"}
"""Which the manager made, for reps have none."""


@pytest.fixture(scope="module")
async def world(client: Client, people: People) -> World:
    made = World(client, people)
    await made.begin()
    return made


@pytest.fixture(scope="module")
async def document(client: Client) -> dict[str, Any]:
    return (await client.get("http://testserver.local/schema")).json()  # type: ignore[no-any-return]


def operations(document: dict[str, Any]) -> dict[str, set[int]]:
    """`POST /leads/{record_id}/convert` → the statuses that the document names."""
    return {
        f"{method.upper()} {path.removeprefix('/api/v1')}": {int(code) for code in operation["responses"]}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


async def test_every_operation_is_declared_and_nothing_else(document: dict[str, Any]) -> None:
    known = operations(document)
    assert [operation for operation in known if need_of(operation) is None] == []
    assert [operation for operation in VERBS if operation not in known] == []
    table = permissions()
    for operation in known:
        need = need_of(operation)
        assert need is not None
        assert not need.resource or need.resource in table, operation


async def test_every_guarded_resource_has_a_record_here(world: World, document: dict[str, Any]) -> None:
    listed = {
        need.resource for each in operations(document) if each.startswith("GET") and (need := need_of(each))
    }
    made = {path.rsplit("/", 1)[-1].replace("-", "_") for path in world.makers()}
    derived = {"scores", "current_scores", "recommendations"}  # the product makes those itself
    assert (set(ROWS) | {"quotas"}) & listed - made - derived == set()


async def headers_of(client: Client, people: People) -> dict[str, dict[str, str]]:
    made = await client.post(
        "/api-keys", headers=people.admin.headers, json={"name": "nothing", "scopes": ["periods:lock"]}
    )
    assert made.status_code == 201, made.text
    known = {who: getattr(people, who).headers for who in PEOPLE if who not in ("anonymous", "key")}
    return known | {"anonymous": {}, "key": {"X-API-Key": made.json()["key"]}}


def sent(world: World, operation: str) -> dict[str, Any]:
    """The content of a request."""
    if operation.startswith("GET"):
        return {}
    if operation in FILES:
        return {"files": {"file": ("a.txt", b"x", "text/plain")}}
    return {"json": world.filled(body_of(operation))}


def may(need: Need, role: str, table: dict[str, dict[str, set[str]]]) -> bool:
    return not need.resource or need.action in table[need.resource][role]


def sees(path: str, who: str) -> bool:
    if path in PRIVATE:
        return who == "rep"
    if path in OF_THE_MANAGER:
        return who in SEES - {"rep"}
    return who in SEES


async def test_each_operation_answers_each_person_as_declared(
    client: Client, people: People, world: World, document: dict[str, Any]
) -> None:
    """401, 403 and 404 as the tables say; anything else that the document names, where one may and sees."""
    table, headers, makers = permissions(), await headers_of(client, people), world.makers()
    roles = {who: getattr(people, who).role for who in PEOPLE if who not in ("anonymous", "key")} | {
        "key": "admin"
    }
    surprises = []
    for operation, documented in sorted(operations(document).items()):
        need = need_of(operation)
        assert need is not None
        if operation == "POST /auth/logout":
            continue  # would end the sessions of this test; `test_auth` has it
        method, _, path = operation.partition(" ")
        guarded, _, below = path.partition("/{record_id}")
        make = makers.get(guarded)
        record = ""
        for who in PEOPLE:
            record = record or (await make() if make and "{record_id}" in path else str(uuid4()))
            url = path.replace("{record_id}", record).replace("{parent_id}", world.ids["deal"])
            url = re.sub(r"\{\w+\}", lambda _: str(uuid4()), url.replace("{name}", "none"))
            url += QUERIES.get(operation, "")
            answer = await client.request(
                method, url, headers=headers[who] | {"If-Match": "*"},
                **sent(world, operation),
            )  # fmt: skip
            if answer.is_success and method != "GET":
                record = ""  # used up; who is refused leaves it as it is
            expected = documented - {401, 403, 500}
            if who == "anonymous":
                expected = documented if need.is_open else {401}
            elif who == "key" and not need.is_open and not need.key_too:
                expected = {403}
            elif need.is_open:
                expected = documented
            elif not may(need, roles[who], table):
                expected = {403}
            elif (make and "{record_id}" in path and not sees(guarded, who)) or (
                "{parent_id}" in path and who not in SEES
            ):
                expected = {404}
            elif make and below == "" and "{record_id}" in path:
                expected -= {404}
            if answer.status_code not in expected:
                surprises.append(
                    f"{operation} by {who}: {answer.status_code}, not {sorted(expected)}: {answer.text[:150]}"
                )
    assert surprises == [], f"{len(surprises)} surprises:\n" + "\n".join(surprises)


def everything(schema: GraphQLSchema, root: str) -> str:
    """A question for all plain fields of a list, of what its records point at, and of what hangs on them."""

    def plain(kind: Any, below: int) -> str:
        parts = []
        for name, field in kind.fields.items():
            inner: Any = get_named_type(field.type)
            if not is_object_type(inner):
                parts.append(name)
            elif inner.name.endswith("Connection"):
                record = get_named_type(inner.fields["nodes"].type)
                parts.append(
                    f"{name}(first: 5) {{ nodes {{ {plain(record, below - 1)} }} }}"
                ) if below else None
            elif below or "id" not in inner.fields:
                parts.append(f"{name} {{ {plain(inner, max(0, below - 1))} }}")
        return " ".join(parts)

    record: Any = get_named_type(get_named_type(schema.query_type.fields[root].type).fields["nodes"].type)  # type: ignore[union-attr]
    return f"{{ {root}(first: 20) {{ nodes {{ {plain(record, 1)} }} }} }}"


@pytest.mark.parametrize(("who", "secret"), [("data", HIDDEN), ("stranger", CANARY), ("rep2", CANARY)])
async def test_no_canary_is_ever_told(
    client: Client, people: People, document: dict[str, Any], who: str, secret: str,
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Hidden fields and rows do not come out of any list, record, board, search, feed or explanation, nor of GraphQL."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, logger="httpx")  # which logs what this test itself asks for
    person, told, asked = getattr(people, who), [], 0
    world = World(client, people, CANARY if secret != HIDDEN else "plain")
    await world.begin()
    for make in world.makers().values():
        await make()

    async def look(where: str, answer: httpx.Response) -> None:
        nonlocal asked
        asked += 1
        assert answer.status_code < 500, (where, answer.text)
        if secret in answer.text:
            told.append(f"{where}: …{answer.text[max(0, answer.text.index(secret) - 80) :][:160]}")

    for share in (await client.get("/shares?limit=200", headers=person.headers)).json()["items"]:
        await client.delete(f"/shares/{share['id']}", headers=people.rep.headers)
    for operation in operations(document):
        method, _, path = operation.partition(" ")
        if method == "GET":
            url = path.replace("{parent_id}", world.ids["deal"]).replace("{name}", "win")
            url = re.sub(r"\{\w+\}", world.ids["deal"], url)
            await look(operation, await client.get(url, headers=person.headers))
    for path in (
        f"/search?q={secret}", f"/opportunities?q={secret}", f"/contacts?q={secret}", f"/leads?q={secret}",
        f"/events?limit=200&entity_id={world.ids['deal']}", "/events?limit=200", "/board?group=owner_id",
        f"/board?q={secret}", f"/access/explain?record=contacts:{world.ids['contact']}",
        f"/contacts/{world.ids['contact']}/history", f"/leads/{world.ids['lead']}/history",
        f"/leads/{world.ids['lead']}", f"/contacts/{world.ids['contact']}?expand=account,owner",
        "/opportunities?expand=primary_contact,account&limit=200", "/stakeholders", "/changes?limit=200",
        f"/opportunities/{world.ids['deal']}/stakeholders?expand=contact",
    ):  # fmt: skip
        await look(path, await client.get(path, headers=person.headers))
    schema = schema_of(sight_of(person.actor))
    for noun in nouns().values():
        if schema.query_type and noun.key in schema.query_type.fields and not noun.is_nested:
            answer = await client.post(
                "http://testserver.local/graphql",
                headers=person.headers,
                json={"query": everything(schema, noun.key)},
            )
            assert "errors" not in answer.json(), (noun.key, answer.json()["errors"][0]["message"])
            await look(f"graphql {noun.key}", answer)
    out = capsys.readouterr()
    logged = "\n".join((caplog.text, out.out, out.err))
    assert told == [], f"{len(told)} of {asked}:\n" + "\n".join(told)
    assert secret not in logged


async def test_a_filter_or_an_order_tells_nothing_about_a_hidden_field(
    client: Client, people: People, world: World
) -> None:
    """The same answer whether the value would match or not, by every list grammar that takes a field's name."""
    for form in (
        "email={}",
        "email[contains]={}",
        "email[is_null]={}",
        "sort=email&q={}",
        "fields=email&q={}",
    ):
        answers = set()
        for value in ("hidden91b", "nothing like it"):
            answer = await client.get(f"/contacts?{form.format(value)}", headers=people.data.headers)
            assert answer.status_code == 400
            answers.add(answer.json()["detail"])
        assert len(answers) == 1
    assert (await client.get("/contacts?q=hidden91b", headers=people.data.headers)).json()["items"] == []
    assert (await client.get("/contacts?q=hidden91b", headers=people.rep.headers)).json()["items"] != []
