"""GraphQL: the same records, the same sight, the same grammar; few statements, and limits for what may be asked."""

from typing import Any

import httpx
import pytest
from graphql import get_introspection_query

from service.db import Connection, Database
from tests.conftest import People, Person

pytestmark = pytest.mark.anyio

Client = httpx.AsyncClient
URL = "http://testserver.local/graphql"


async def ask(client: Client, who: Person, query: str, **variables: Any) -> dict[str, Any]:
    answer = await client.post(URL, headers=who.headers, json={"query": query, "variables": variables})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def data(client: Client, who: Person, query: str, **variables: Any) -> dict[str, Any]:
    found = await ask(client, who, query, **variables)
    assert "errors" not in found, found
    return found["data"]  # type: ignore[no-any-return]


async def post(client: Client, who: Person, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=who.headers, json=body)
    assert answer.status_code == 201, (path, answer.text)
    return answer.json()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
async def deals(client: Client, people: People) -> list[dict[str, Any]]:
    """Sixty deals of the rep at thirty accounts, each with three activities and a stakeholder; one of a stranger."""
    product = await post(client, people.admin, "/products", code="P", name="P", list_price="7")
    accounts = [
        await post(client, people.rep, "/accounts", name=f"A{n}", industry=("retail", "energy")[n % 2])
        for n in range(30)
    ]
    made = []
    for number in range(60):
        deal = await post(
            client, people.rep, "/opportunities", name=f"D{number:02}", account_id=accounts[number % 30]["id"],
            amount=str(100 + number), type="renewal",
        )  # fmt: skip
        for day in (1, 2, 3):
            await post(
                client, people.rep, "/activities", type="call", occurred_at=f"2026-01-0{day}T09:00:00Z",
                opportunity_id=deal["id"], subject=f"call {day} of {deal['name']}",
            )  # fmt: skip
        made.append(deal)
    await post(
        client, people.rep, f"/opportunities/{made[0]['id']}/lines", product_id=product["id"], quantity=2
    )
    contact = await post(
        client,
        people.rep,
        "/contacts",
        last_name="Doe",
        email="canary@acme.example",
        account_id=accounts[0]["id"],
    )
    await post(
        client,
        people.rep,
        f"/opportunities/{made[0]['id']}/stakeholders",
        contact_id=contact["id"],
        role="champion",
    )
    await post(client, people.stranger, "/opportunities", name="Theirs")
    return made


LIST = """query List($first: Int, $after: String) {
  opportunities(first: $first, after: $after, sort: "name") {
    totalCount
    pageInfo { hasNextPage endCursor }
    edges { cursor node {
      id name amount stage status close_date version
      account { name industry }
      owner { name email }
      score { score win_probability reasons { text effect } }
      activities(first: 2, sort: "-occurred_at") { nodes { subject type occurred_at } }
    } }
  }
}"""


async def test_fifty_deals_with_all_around_them_take_five_statements(
    client: Client, people: People, deals: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    query = LIST.replace("totalCount", "")
    await data(client, people.rep, query, first=1)  # who asks is known from here on
    seen: list[str] = []
    original = Connection._execute

    async def counted(self: Any, sql: Any, *args: Any, **options: Any) -> Any:
        seen.append(str(sql))
        return await original(self, sql, *args, **options)

    monkeypatch.setattr(Connection, "_execute", counted)
    found = await data(client, people.rep, query, first=50)
    assert len(seen) <= 5, "\n".join(seen)
    edges = found["opportunities"]["edges"]
    assert [edge["node"]["name"] for edge in edges] == [f"D{number:02}" for number in range(50)]
    first = edges[0]["node"]
    assert first["account"] == {"name": "A0", "industry": "retail"}
    assert first["owner"] == {"name": "Rep", "email": "rep@test.example"}
    assert [activity["subject"] for activity in first["activities"]["nodes"]] == [
        "call 3 of D00",
        "call 2 of D00",
    ]
    assert all(edge["node"]["account"] and len(edge["node"]["activities"]["nodes"]) == 2 for edge in edges)


async def test_pages_go_by_relays_cursors(
    client: Client, people: People, deals: list[dict[str, Any]]
) -> None:
    names: list[str] = []
    after, pages = None, 0
    while True:
        found = (await data(client, people.rep, LIST, first=25, after=after))["opportunities"]
        assert found["totalCount"] == 60
        names += [edge["node"]["name"] for edge in found["edges"]]
        pages += 1
        assert found["pageInfo"]["endCursor"] == found["edges"][-1]["cursor"]
        after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            break
    assert pages == 3
    assert names == [f"D{number:02}" for number in range(60)]
    middle = await data(client, people.rep, LIST, first=1, after=None)
    assert middle["opportunities"]["pageInfo"]["hasNextPage"] is True


async def test_the_answer_is_that_of_rest(
    client: Client, people: People, deals: list[dict[str, Any]]
) -> None:
    """Filters, sort, text and fields: one grammar."""
    url = (
        "/opportunities?account.industry=retail&amount[gte]=120&name[contains]=d&type[in]=renewal,expansion"
        "&sort=-amount&fields=id,name,amount,stage,created_at&limit=200"
    )
    rest = (await client.get(url, headers=people.rep.headers)).json()["items"]
    found = await data(client, people.rep, """query($filter: [CriterionInput!]) {
      opportunities(first: 200, filter: $filter, sort: "-amount") { nodes { id name amount stage created_at } }
    }""", filter=[
        {"field": "account.industry", "value": "retail"}, {"field": "amount", "op": "gte", "value": 120},
        {"field": "name", "op": "contains", "value": "d"},
        {"field": "type", "op": "in", "value": ["renewal", "expansion"]},
    ])  # fmt: skip
    assert found["opportunities"]["nodes"] == rest
    assert len(rest) > 10


async def test_one_record_with_what_hangs_on_it(
    client: Client, people: People, deals: list[dict[str, Any]]
) -> None:
    found = await data(client, people.rep, """query($id: ID!) {
      opportunity(id: $id) {
        name
        lines { totalCount nodes { quantity total_price product { name } } }
        stakeholders { nodes { role contact { last_name email account { name } } } }
        account { opportunities(sort: "name") { totalCount nodes { name } } }
      }
      me { name role }
    }""", id=deals[0]["id"])  # fmt: skip
    deal = found["opportunity"]
    assert deal["lines"] == {
        "totalCount": 1, "nodes": [{"quantity": 2.0, "total_price": "14.0000", "product": {"name": "P"}}]
    }  # fmt: skip
    contact = {"last_name": "Doe", "email": "canary@acme.example", "account": {"name": "A0"}}
    assert deal["stakeholders"]["nodes"] == [{"role": "champion", "contact": contact}]
    assert deal["account"]["opportunities"] == {"totalCount": 2, "nodes": [{"name": "D00"}, {"name": "D30"}]}
    assert found["me"] == {"name": "Rep", "role": "rep"}


async def test_nobody_sees_more_than_by_rest(
    client: Client, people: People, deals: list[dict[str, Any]]
) -> None:
    every = "{ opportunities(first: 200) { totalCount nodes { name account { name } } } accounts { nodes { name } } }"
    for name, count in (
        ("rep", 60),
        ("rep2", 0),
        ("stranger", 1),
        ("manager", 60),
        ("ops", 61),
        ("data", 61),
    ):
        found = await data(client, getattr(people, name), every)
        assert len(found["opportunities"]["nodes"]) == found["opportunities"]["totalCount"] == count, name
    one = await ask(
        client, people.stranger, "query($id: ID!) { opportunity(id: $id) { name } }", id=deals[0]["id"]
    )
    assert one["data"] == {"opportunity": None}
    (error,) = one["errors"]
    assert error["path"] == ["opportunity"]
    assert error["extensions"]["status"] == 404
    assert error["extensions"]["type"] == "urn:sales:problem:notfound"


async def test_a_hidden_field_is_unknown(client: Client, people: People, deals: list[dict[str, Any]]) -> None:
    """In selections, filters and sorts, in the very words for a field that does not exist; and in the schema."""
    forms = (
        "{ contacts { nodes { FIELD } } }",
        '{ contacts(filter: [{field: "FIELD", value: "x"}]) { nodes { id } } }',
        '{ contacts(sort: "FIELD") { nodes { id } } }',
        '{ opportunities(filter: [{field: "primary_contact.FIELD", value: "x"}]) { nodes { id } } }',
        "{ stakeholders: opportunities { nodes { stakeholders { nodes { contact { FIELD } } } } } }",
    )
    for form in forms:
        hidden, missing = [
            (await ask(client, people.data, form.replace("FIELD", name)))["errors"]
            for name in ("email", "no_such")
        ]
        assert "email" in hidden[0]["message"]
        assert hidden[0]["message"].replace("email", "no_such") == missing[0]["message"]
        assert hidden[0]["extensions"]["status"] == missing[0]["extensions"]["status"] == 400
        assert "canary" not in str(hidden)
    schema = await data(client, people.data, '{ __type(name: "Contact") { fields { name } } }')
    assert "email" not in [field["name"] for field in schema["__type"]["fields"]]
    mine = await data(client, people.rep, "{ contacts { nodes { email } } }")
    assert mine["contacts"]["nodes"] == [{"email": "canary@acme.example"}]


async def test_as_of_holds_for_what_is_beside_and_below(
    client: Client, people: People, deals: list[dict[str, Any]], database: Database
) -> None:
    account = deals[1]["account_id"]
    before = await database.fetchval("SELECT now()")
    patched = await client.patch(f"/accounts/{account}", headers=people.rep.headers, json={"name": "Renamed"})
    assert patched.status_code == 200
    query = """query($id: ID!, $at: DateTime) { opportunity(id: $id, as_of: $at) {
        account { name opportunities(first: 1) { nodes { account { name } } } } } }"""
    for at, name in ((before.isoformat(), "A1"), (None, "Renamed")):
        found = (await data(client, people.rep, query, id=deals[1]["id"], at=at))["opportunity"]["account"]
        assert (found["name"], found["opportunities"]["nodes"][0]["account"]["name"]) == (name, name)
    await client.patch(f"/accounts/{account}", headers=people.rep.headers, json={"name": "A1"})


async def test_saved_views_are_lists_here_too(
    client: Client, people: People, deals: list[dict[str, Any]]
) -> None:
    view = await post(
        client, people.rep, "/views", name="Two", resource="opportunities", sort=["-name"],
        filter=[{"field": "name", "op": "in", "value": ["D01", "D02"]}], columns=["amount"],
    )  # fmt: skip
    found = await data(
        client, people.rep, "query($v: ID) { opportunities(view: $v) { nodes { name } } }", v=view["id"]
    )
    assert found["opportunities"]["nodes"] == [{"name": "D02"}, {"name": "D01"}]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("{ opportunities { nodes { no_such } } }", "Cannot query field 'no_such' on type 'Opportunity'"),
        (
            "{ opportunities(first: 1) { nodes { account { " * 1
            + "opportunities(first: 1) { nodes { account { " * 6
            + "name"
            + " } } }" * 7
            + " }",
            "levels deep",
        ),
        ("{ opportunities(first: 200) { nodes { activities(first: 100) { nodes { id } } } } }", "records"),
        (
            "query($n: Int) { opportunities(first: $n) { nodes { activities(first: $n) { nodes { id } } } } }",
            "records",
        ),
        ("{" + " ".join(f"a{n}: me {{ name }}" for n in range(31)) + "}", "aliases"),
        ("{ me { " + "name " * 4000 + "} }", "tokens"),
        (
            "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }",
            "introspection depth",
        ),
        (
            "{ me { ...F0 } }"
            + "".join(
                f" fragment F{n} on User {{ manager {{ ...F{n + 1} }} team {{ manager {{ ...F{n + 1} }} }} }}"
                for n in range(14)
            )
            + " fragment F14 on User { name }",
            "too large",
        ),
        ("mutation { x }", "mutation"),
        ("{ me { name }", "Syntax Error"),
        ("query A { me { name } } query B { me { name } }", "operationName"),
        ("{ opportunities(first: 0) { nodes { id } } }", "at least one"),
        ('{ opportunities(after: "x") { nodes { id } } }', "cursor"),
        ('{ opportunity(id: "x") { id } }', "is not an id"),
        (
            '{ opportunities(filter: [{field: "amount", op: gte, value: "x"}]) { nodes { id } } }',
            "not a number",
        ),
        (
            "{ a: me { ...F } } fragment F on User { ...G } fragment G on User { ...F }",
            "Cannot spread fragment",
        ),
    ],
)
async def test_what_is_too_much_or_wrong_is_refused_in_words(
    client: Client, people: People, deals: list[dict[str, Any]], query: str, said: str
) -> None:
    found = await ask(client, people.rep, query)
    assert said in str(found["errors"][0]["message"]), found
    assert found["errors"][0]["extensions"]["status"] == 400


async def test_introspection_is_for_those_who_are_signed_in(client: Client, people: People) -> None:
    found = await data(client, people.rep, get_introspection_query())
    names = {kind["name"] for kind in found["__schema"]["types"]}
    assert {"Opportunity", "OpportunityConnection", "PageInfo", "Score", "Node"} <= names
    assert (await client.post(URL, json={"query": "{ __typename }"})).status_code == 401


async def test_the_door_is_a_post_of_json_with_the_same_credentials(
    client: Client, people: People, database: Database
) -> None:
    question = {"query": "{ me { name } }"}
    assert (await client.get(f"{URL}?query={{me{{name}}}}", headers=people.rep.headers)).status_code == 405
    form = await client.post(URL, headers=people.rep.headers, data={"query": "{ me { name } }"})
    assert form.status_code == 400
    unknown = await client.post(URL, headers=people.rep.headers, json=question | {"nonsense": 1})
    assert unknown.status_code == 422
    batch = await client.post(URL, headers=people.rep.headers, json=[question])
    assert batch.status_code == 422
    made = await client.post(
        "/api-keys",
        headers=people.admin.headers,
        json={"name": "reads accounts", "scopes": ["accounts:read"]},
    )
    assert made.status_code == 201, made.text
    key = {"X-API-Key": made.json()["key"]}
    allowed = await client.post(URL, headers=key, json={"query": "{ accounts(first: 1) { nodes { id } } }"})
    assert "errors" not in allowed.json()
    narrow = await client.post(URL, headers=key, json={"query": "{ contacts { nodes { id } } }"})
    assert "Cannot query field 'contacts'" in narrow.json()["errors"][0]["message"]
