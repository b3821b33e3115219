"""The grammar of lists, through the door: every operator, joined and custom fields, orders, cursors, the past."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from service import query, writes
from service.access import SYSTEM
from service.db import Database
from service.domains.accounts import resource as accounts
from service.domains.campaigns import resource as campaigns
from service.domains.fields import resource as fields
from service.domains.opportunities import resource as opportunities
from service.domains.pipelines import pipeline as pipelines
from service.domains.pipelines import resource as stages
from service.errors import BadRequest
from tests.conftest import People

pytestmark = pytest.mark.anyio

DEALS = [
    # name, amount, close date, next step, region, competitors
    ("Alpha", 100, "2026-03-01", "call", "emea", 1),
    ("beta", 100, None, None, "apac", 0),
    ("Gamma", 250, "2026-03-01", "Demo 50%_off", "emea", 2),
    ("delta", None, "2026-05-09", None, None, 0),
    ("Épsilon", 1000, None, "write", "na", 0),
    ("zeta", 999.5, "2026-01-31", "call", "emea", 0),
]


@pytest.fixture(scope="module")
async def deals(database: Database, people: People) -> dict[str, dict[str, Any]]:
    """Six deals of one rep, with equal amounts, NULLs, capitals and characters that LIKE would read."""
    made = {}
    async with database.begin() as tx:
        await writes.insert(
            tx, fields, SYSTEM, {"entity": "opportunity", "key": "region", "label": "Region", "type": "text"}
        )
        row = await writes.insert(tx, pipelines, SYSTEM, {"key": "p", "name": "P", "is_default": True})
        await writes.insert(tx, stages, SYSTEM, {
            "pipeline_id": row["id"], "key": "open", "name": "Open", "position": 1, "status": "open",
            "probability": 0.5, "forecast_category": "pipeline",
        })  # fmt: skip
        retail = await writes.insert(
            tx, accounts, SYSTEM, {"name": "Shop", "industry": "retail", "owner_id": people.rep.id}
        )
        steel = await writes.insert(
            tx, accounts, SYSTEM, {"name": "Mill", "industry": "steel", "owner_id": people.rep.id}
        )
        rivals = [UUID(int=number + 1) for number in range(2)]
        for rival in rivals:
            await writes.insert(tx, campaigns, SYSTEM, {"id": rival, "name": "Campaign"})
        for name, amount, close, step, region, count in DEALS:
            made[name] = await writes.insert(tx, opportunities, people.rep.actor, {
                "name": name, "amount": None if amount is None else Decimal(str(amount)),
                "close_date": None if close is None else datetime.fromisoformat(close).date(), "next_step": step,
                "account_id": retail["id"] if region == "emea" else steel["id"] if region else None,
                "cf": {"region": region} if region else {}, "external_ids": {"crm": f"D-{name}"},
            })  # fmt: skip
            if count:
                await writes.update(tx, opportunities, SYSTEM, made[name], {"campaign_id": rivals[count - 1]})
    return made


async def names(client: httpx.AsyncClient, people: People, text: str) -> list[str]:
    answer = await client.get(f"/opportunities?{text}", headers=people.rep.headers)
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("name=Alpha", {"Alpha"}),
        ("name[eq]=alpha", set()),
        ("name[ne]=Alpha", {"beta", "Gamma", "delta", "Épsilon", "zeta"}),
        ("amount[gt]=100", {"Gamma", "Épsilon", "zeta"}),
        ("amount[gte]=100", {"Alpha", "beta", "Gamma", "Épsilon", "zeta"}),
        ("amount[lt]=999.5", {"Alpha", "beta", "Gamma"}),
        ("amount[lte]=999.50", {"Alpha", "beta", "Gamma", "zeta"}),
        ("amount[ne]=100", {"Gamma", "delta", "Épsilon", "zeta"}),
        ("amount[gte]=100&amount[lt]=1000&close_date[lt]=2026-03-02", {"Alpha", "Gamma", "zeta"}),
        ("name[in]=Alpha,beta,nobody", {"Alpha", "beta"}),
        ("name[nin]=Alpha,beta", {"Gamma", "delta", "Épsilon", "zeta"}),
        ("next_step[nin]=call", {"beta", "Gamma", "delta", "Épsilon"}),
        ("name[contains]=ETA", {"beta", "zeta"}),
        ("name[starts]=g", {"Gamma"}),
        ("next_step[contains]=50%25_", {"Gamma"}),
        ("next_step[contains]=%25", {"Gamma"}),
        ("next_step[contains]=_", {"Gamma"}),
        ("close_date[is_null]=true", {"beta", "Épsilon"}),
        ("close_date[is_null]=false", {"Alpha", "Gamma", "delta", "zeta"}),
        ("close_date=2026-03-01", {"Alpha", "Gamma"}),
        ("account.industry=retail", {"Alpha", "Gamma", "zeta"}),
        ("account.name[contains]=mill&amount[gt]=500", {"Épsilon"}),
        ("owner.name=Rep", {name for name, *_ in DEALS}),
        ("cf.region=emea", {"Alpha", "Gamma", "zeta"}),
        ("cf.region[is_null]=true", {"delta"}),
        ("account.owner.name=Rep", {"Alpha", "beta", "Gamma", "Épsilon", "zeta"}),
        ("external_ids.crm=D-zeta", {"zeta"}),
        ("q=amm", {"Gamma"}),
        ("push_count=0", {name for name, *_ in DEALS}),
        ("last_activity_at[is_null]=true&name=zeta", {"zeta"}),
        ("created_at[gt]=2020-01-01T00:00:00Z&name=beta", {"beta"}),
    ],
)
async def test_filters(
    client: httpx.AsyncClient, people: People, deals: Any, condition: str, expected: set[str]
) -> None:
    assert set(await names(client, people, condition)) == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("amount[gte]=many", "amount"),
        ("amount[gte]=NaN", "amount"),
        ("amount[gte]=1e400", "amount"),
        ("close_date=someday", "close_date"),
        ("created_at[gt]=2026-01-01", "created_at"),
        ("owner_id=me", "owner_id"),
        ("name[like]=a", "name"),
        ("name=%00", "name"),
        ("nothing=1", "nothing"),
        ("account.nothing=1", "account.nothing"),
        ("nothing.name=1", "nothing.name"),
        ("account.owner.team.name=1", "account.owner.team.name"),
        ("cf.nothing=1", "cf.nothing"),
        ("sort=cf.nothing", "cf.nothing"),
        ("fields=cf.nothing", "cf.nothing"),
        ("account.cf.nothing=1", "account.cf.nothing"),
        ("expand=account.owner.team", "team"),
        ("close_date=last_99999_days", "close_date"),
        ("close_date[in]=today", "close_date"),
        ("close_date=-9999y", "close_date"),
        ("sort=nothing", "nothing"),
        ("sort=cf", "cf"),
        ("fields=id,nothing", "nothing"),
        ("expand=nothing", "nothing"),
        ("expand=name", "name"),
        ("limit=many", "limit"),
        ("count=perhaps", "count"),
        ("as_of=2026-01-31", "as_of"),
        ("cursor=%21%21", "cursor"),
        ("cursor=W10", "cursor"),
        ("close_date[is_null]=perhaps", "close_date"),
        ("amount[gte]=1&" + "&".join(f"name=a{n}" for n in range(40)), "filters"),
    ],
)
async def test_what_makes_no_sense_is_400_and_named(
    client: httpx.AsyncClient, people: People, text: str, named: str
) -> None:
    answer = await client.get(f"/opportunities?{text}", headers=people.rep.headers)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.json()["detail"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("name", ["Alpha", "beta", "delta", "Gamma", "zeta", "Épsilon"]),
        ("-name", ["Épsilon", "zeta", "Gamma", "delta", "beta", "Alpha"]),
        ("-amount,name", ["Épsilon", "zeta", "Gamma", "Alpha", "beta", "delta"]),
        ("amount,-name", ["beta", "Alpha", "Gamma", "zeta", "Épsilon", "delta"]),
        ("close_date,-amount", ["zeta", "Gamma", "Alpha", "delta", "Épsilon", "beta"]),
        ("-close_date,name", ["delta", "Alpha", "Gamma", "zeta", "beta", "Épsilon"]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 50])
async def test_sorts_and_pages_hold_every_row_once(
    client: httpx.AsyncClient, people: People, deals: Any, sort: str, expected: list[str], limit: int
) -> None:
    """Equal keys, NULLs (last in either direction) and mixed directions: page by page as in one piece."""
    found, cursor = [], ""
    for _ in range(len(expected) + 1):
        answer = await client.get(
            f"/opportunities?sort={sort}&limit={limit}{cursor}", headers=people.rep.headers
        )
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= limit
        found += [item["name"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == expected


async def test_an_insert_between_pages_neither_repeats_nor_loses(
    client: httpx.AsyncClient, people: People, deals: Any
) -> None:
    first = (await client.get("/opportunities?sort=name&limit=3", headers=people.rep.headers)).json()
    made = await client.post("/opportunities", headers=people.rep.headers, json={"name": "aardvark"})
    rest = (
        await client.get(f"/opportunities?sort=name&cursor={first['next']}", headers=people.rep.headers)
    ).json()
    found = [item["name"] for item in first["items"] + rest["items"]]
    await client.delete(f"/opportunities/{made.json()['id']}", headers=people.rep.headers)
    assert found == ["Alpha", "beta", "delta", "Gamma", "zeta", "Épsilon"]


async def test_a_cursor_belongs_to_its_order(client: httpx.AsyncClient, people: People, deals: Any) -> None:
    cursor = (await client.get("/opportunities?sort=name&limit=1", headers=people.rep.headers)).json()["next"]
    for sort in ("amount,name", "close_date"):
        answer = await client.get(f"/opportunities?sort={sort}&cursor={cursor}", headers=people.rep.headers)
        assert answer.status_code == 400


async def test_limits_are_coerced(client: httpx.AsyncClient, people: People, deals: Any) -> None:
    for limit, expected in (("0", 1), ("-5", 1), ("1000000", 6)):
        assert len(await names(client, people, f"limit={limit}")) == expected


async def test_fields_and_expand(client: httpx.AsyncClient, people: People, deals: Any) -> None:
    answer = await client.get(
        "/opportunities?fields=name,amount&expand=account,owner&name=Alpha", headers=people.rep.headers
    )
    (item,) = answer.json()["items"]
    assert set(item) == {"id", "name", "amount", "account", "owner"}
    assert item["amount"] == "100.0000"
    assert item["account"]["industry"] == "retail"
    assert item["owner"]["email"] == people.rep.email
    one = await client.get(
        f"/opportunities/{deals['delta']['id']}?fields=name&expand=account", headers=people.rep.headers
    )
    assert one.json() == {"id": str(deals["delta"]["id"]), "name": "delta", "account": None}
    assert one.headers["etag"] == '"1"'


async def test_count_is_exact_below_its_cap(
    client: httpx.AsyncClient, people: People, deals: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "/opportunities?count=true&limit=1&amount[gte]=100"
    answer = (await client.get(url, headers=people.rep.headers)).json()
    assert answer["count"] == 5
    assert len(answer["items"]) == 1
    monkeypatch.setattr(query, "COUNT_CAP", 3)
    assert (await client.get(url, headers=people.rep.headers)).json()["count"] == "3+"


async def test_as_of_shows_what_was_known(
    client: httpx.AsyncClient, people: People, deals: Any, database: Database
) -> None:
    before = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    url = f"/opportunities/{deals['zeta']['id']}"
    await client.patch(url, headers=people.rep.headers, json={"next_step": "sign"})
    made = (await client.post("/opportunities", headers=people.rep.headers, json={"name": "later"})).json()
    assert await names(client, people, "next_step=sign") == ["zeta"]
    assert await names(client, people, f"next_step=sign&as_of={before}") == []
    then = await client.get(f"/opportunities?sort=name&as_of={before}", headers=people.rep.headers)
    assert "later" not in [item["name"] for item in then.json()["items"]]
    assert len(then.json()["items"]) == 6
    one = await client.get(f"{url}?as_of={before}", headers=people.rep.headers)
    assert one.json()["next_step"] == "call"
    assert one.json()["version"] == 1
    assert (await client.get(url, headers=people.rep.headers)).json()["next_step"] == "sign"
    assert (
        await client.get(f"/opportunities/{made['id']}?as_of={before}", headers=people.rep.headers)
    ).status_code == 404
    await client.patch(url, headers=people.rep.headers, json={"next_step": "call"})
    await client.delete(f"/opportunities/{made['id']}", headers=people.rep.headers)


async def test_a_list_as_of_is_for_who_may_see_it_now(
    client: httpx.AsyncClient, people: People, deals: Any
) -> None:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    for person, count in (
        (people.rep, 6),
        (people.manager, 6),
        (people.rep2, 0),
        (people.stranger, 0),
        (people.ops, 6),
    ):
        answer = await client.get(f"/opportunities?as_of={now}", headers=person.headers)
        assert len(answer.json()["items"]) == count


def test_cursors_survive_their_own_encoding() -> None:
    values = ["é", None, "2026-01-01", 3]
    assert query.decode_cursor(query.encode_cursor(values)) == values
    for text in ("", "e30", "////", "a" * 5000):
        with pytest.raises(BadRequest):
            query.decode_cursor(text)


async def test_deleted_records_are_listed_apart_and_come_back(
    client: httpx.AsyncClient, people: People, deals: Any
) -> None:
    made = await client.post("/opportunities", headers=people.rep.headers, json={"name": "Gone"})
    url = f"/opportunities/{made.json()['id']}"
    assert (await client.delete(url, headers=people.rep.headers)).status_code == 204
    assert await names(client, people, "deleted=true&name[starts]=G") == ["Gone"]
    assert await names(client, people, "deleted=true&name=Alpha") == []
    assert "Gone" not in await names(client, people, "deleted=false")
    figures = await client.get(
        "/opportunities?deleted=true&name=Gone&group=stage", headers=people.rep.headers
    )
    assert [item["count"] for item in figures.json()["items"]] == [1]
    hidden = await client.get("/opportunities?deleted=true", headers=people.stranger.headers)
    assert hidden.json()["items"] == []
    assert (await client.post(f"{url}/restore", headers=people.rep.headers)).status_code == 200
    assert await names(client, people, "deleted=true&name=Gone") == []


async def test_lists_of_a_few_owners_are_merged_in_order(
    database: Database, deals: Any, people: People
) -> None:
    """Whose rows one sees changes how they are looked up, never what comes or where a page ends."""
    few = replace(SYSTEM, id=people.rep.id, role="manager", owners=(people.rep.id, people.stranger.id))
    one = replace(few, owners=(people.rep.id,))
    for sort in (b"", b"sort=-amount&", b"sort=amount&", b"sort=close_date,-name&"):
        found = []
        for actor in (SYSTEM, few, one):
            names, cursor = [], b""
            while True:
                asked = query.parse(sort + b"limit=2&fields=name" + cursor)
                page = await query.run(database, opportunities.source, actor, asked)
                names += [item["name"] for item in msgspec.json.decode(page.body)["items"]]
                if page.next is None:
                    break
                cursor = b"&cursor=" + page.next.encode()
            found.append([name for name in names if name in deals])
        assert len(found[0]) == len(DEALS)
        assert found[0] == found[1] == found[2], sort
