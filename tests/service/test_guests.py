"""Guests: what a link opens, for how long and how often; and those who try without one."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from litestar import Litestar

from service import guests
from service.db import Database
from service.settings import Settings
from service.tokens import signing_key
from service.web import guest_page
from tests.conftest import People
from tests.service import files

pytestmark = pytest.mark.anyio
SITE = "http://testserver.local"


class World(msgspec.Struct):
    """A deal with a plan, documents and comments, of each a shared and an unshared one."""

    deal: str
    item: str
    hidden_item: str
    shared: str
    second: str
    hidden: str


async def made(client: httpx.AsyncClient, path: str, people: People, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, headers=people.rep.headers, json=body)
    assert answer.status_code == 201, (path, answer.text)
    return answer.json()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
async def world(client: httpx.AsyncClient, people: People) -> World:
    deal = (
        await made(client, "/opportunities", people, name="Secret deal name", amount="77777", currency="USD")
    )["id"]

    async def file(name: str, shared: str) -> str:
        form = {"opportunity_id": deal, "is_shared": shared, "name": name}
        answer = await client.post(
            "/documents", headers=people.rep.headers, data=form, files={"file": ("f.pdf", files.PDF)}
        )
        return str(answer.json()["id"])

    item = await made(
        client, "/plan-items", people, opportunity_id=deal, title="Sign <b>here</b>", due_date="2026-12-01"
    )
    hidden_item = await made(
        client, "/plan-items", people, opportunity_id=deal, title="Hidden step", is_shared=False
    )
    await made(client, "/comments", people, opportunity_id=deal, body="Shared word", is_shared=True)
    await made(client, "/comments", people, opportunity_id=deal, body="Inner word")
    await made(
        client, "/comments", people, plan_item_id=hidden_item["id"], body="On a hidden step", is_shared=True
    )
    return World(
        deal, item["id"], hidden_item["id"], await file("Offer", "true"), await file("Terms", "true"),
        await file("Inner paper", "false"),
    )  # fmt: skip


@asynccontextmanager
async def browser(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without an account, with cookies of their own."""
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(
        transport=transport, base_url=SITE, headers={"Accept": "text/html"}
    ) as opened:
        yield opened


async def link(client: httpx.AsyncClient, people: People, world: World, **members: Any) -> dict[str, Any]:
    return await made(
        client, "/guest-links", people, opportunity_id=world.deal, name="Ann of Acme", **members
    )


async def test_a_link_opens_what_is_shared_and_nothing_else(
    client: httpx.AsyncClient, app: Litestar, people: People, world: World
) -> None:
    made_link = await link(client, people, world)
    assert made_link["url"].endswith(f"/room/{made_link['token']}")
    shown = (await client.get(f"/guest-links/{made_link['id']}", headers=people.rep.headers)).json()
    assert not {"token", "url", "token_hash"} & set(shown)
    async with browser(app) as guest:
        page = await guest.get(f"/room/{made_link['token']}")
        assert page.status_code == 200, page.text
        for text in ("Sign &lt;b&gt;here&lt;/b&gt;", "Offer", "Terms", "Shared word", "Ann of Acme"):
            assert text in page.text
        for text in (
            "Secret deal name",
            "77777",
            "Hidden step",
            "Inner word",
            "Inner paper",
            "On a hidden step",
            "<b>here",
        ):
            assert text not in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "unsafe" not in policy
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "<script" not in page.text
        assert page.headers["cache-control"] == "no-store"
        got = await guest.get(f"/room/{made_link['token']}/documents/{world.shared}")
        assert (got.status_code, got.content) == (200, files.PDF)
        for document in (world.hidden, str(uuid4())):
            assert (await guest.get(f"/room/{made_link['token']}/documents/{document}")).status_code == 404
        for path in (f"plan/{world.item}", "comments"):
            refused = await guest.post(
                f"/room/{made_link['token']}/{path}", data={"status": "done", "body": "x"}
            )
            assert refused.status_code == 403
    sign_in = await client.get(f"{SITE}/sign-in")
    assert "script-src 'self'" in sign_in.headers["content-security-policy"], (
        "the guests' policy is theirs alone"
    )


async def test_a_link_may_open_chosen_documents_and_no_plan(
    client: httpx.AsyncClient, app: Litestar, people: People, world: World
) -> None:
    chosen = await link(client, people, world, document_ids=[world.second], shows_plan=False, may_tick=True)
    assert chosen["all_documents"] is False
    async with browser(app) as guest:
        page = await guest.get(f"/room/{chosen['token']}")
        assert "Terms" in page.text
        assert "Offer" not in page.text
        assert "Sign" not in page.text
        url = f"/room/{chosen['token']}"
        assert (await guest.get(f"{url}/documents/{world.shared}")).status_code == 404
        assert (await guest.get(f"{url}/documents/{world.second}")).status_code == 200
        assert (await guest.post(f"{url}/plan/{world.item}", data={"status": "done"})).status_code == 403


async def test_a_guest_ticks_and_comments_where_the_link_allows_it(
    client: httpx.AsyncClient, app: Litestar, people: People, world: World, database: Database
) -> None:
    made_link = await link(client, people, world, may_tick=True, may_comment=True)
    url = f"/room/{made_link['token']}"
    async with browser(app) as guest:
        ticked = await guest.post(f"{url}/plan/{world.item}", data={"status": "done"})
        assert (ticked.status_code, ticked.headers["location"]) == (303, url)
        assert (
            await guest.post(f"{url}/plan/{world.hidden_item}", data={"status": "done"})
        ).status_code == 404
        assert (await guest.post(f"{url}/plan/{world.item}", data={"status": "late"})).status_code == 422
        foreign = await made(client, "/opportunities", people, name="Foreign")
        other = await made(client, "/plan-items", people, opportunity_id=foreign["id"], title="T")
        assert (await guest.post(f"{url}/plan/{other['id']}", data={"status": "done"})).status_code == 404
        assert (
            await guest.post(f"{url}/comments", data={"body": "@manager <i>hello</i>"})
        ).status_code == 303
        assert (await guest.post(f"{url}/comments", data={"body": " "})).status_code == 422
        assert (await guest.post(f"{url}/comments", data={"body": "x" * 4001})).status_code == 422
        assert (await guest.post(f"{url}/comments", data={"body": "x" * 70_000})).status_code == 413
        page = await guest.get(url)
        assert "@manager &lt;i&gt;hello&lt;/i&gt;" in page.text
    item = (await client.get(f"/plan-items/{world.item}", headers=people.rep.headers)).json()
    assert (item["status"], item["completed_side"], item["updated_by_id"]) == ("done", "theirs", None)
    said = (await client.get("/comments?side=theirs", headers=people.rep.headers)).json()["items"]
    assert [(each["author_name"], each["is_shared"], each["mention_ids"]) for each in said] == [
        ("Ann of Acme", True, [])
    ]
    facts = await database.fetch(
        "SELECT DISTINCT kind, side FROM known.room_events WHERE opportunity_id = $1 AND side = 'theirs'",
        world.deal,
    )
    assert {row["kind"] for row in facts} >= {"plan_item_done", "comment_added", "room_viewed"}
    doors = await database.fetch("SELECT DISTINCT kind, actor_id FROM ledger.events WHERE door = 'room'")
    assert {(row["kind"], row["actor_id"]) for row in doors} == {
        ("room.viewed", None), ("plan_item.updated", None), ("comment.created", None),
    }  # fmt: skip
    assert (await client.delete(f"/comments/{said[0]['id']}", headers=people.rep.headers)).status_code == 204


async def test_each_view_is_written_down_and_a_visit_is_one_use(
    client: httpx.AsyncClient, app: Litestar, people: People, world: World
) -> None:
    made_link = await link(client, people, world, max_uses=2)
    url = f"/room/{made_link['token']}"
    async with browser(app) as guest:
        first = await guest.get(url)
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert f"Path={url}" in cookie
        assert "samesite=strict" in cookie.lower()
        await guest.get(url)
        await guest.get(f"{url}/documents/{world.shared}")
        shown = (await client.get(f"/guest-links/{made_link['id']}", headers=people.rep.headers)).json()
        assert (shown["use_count"], shown["view_count"], shown["status"]) == (1, 3, "active")
        seen = (await client.get(f"/guest-links/{made_link['id']}/views", headers=people.rep.headers)).json()[
            "items"
        ]
        assert [(each["kind"], each["document_name"]) for each in seen] == [
            ("document", "Offer"), ("room", None), ("room", None),
        ]  # fmt: skip
        assert (
            await client.get(f"/guest-links/{made_link['id']}/views", headers=people.rep2.headers)
        ).status_code == 404
        async with browser(app) as second, browser(app) as third:
            assert (await second.get(url)).status_code == 200
            assert (await third.get(url)).status_code == 404
            forged = {"Cookie": f"{guest_page.COOKIE}=forged"}
            assert (await third.get(url, headers=forged)).status_code == 404
        assert (await guest.get(url)).status_code == 200, "a visit that has begun goes on"
    shown = (await client.get(f"/guest-links/{made_link['id']}", headers=people.rep.headers)).json()
    assert (shown["use_count"], shown["status"]) == (2, "used_up")
    document = (await client.get(f"/documents/{world.shared}", headers=people.rep.headers)).json()
    assert document["guest_view_count"] >= 1


async def test_the_last_use_is_taken_once(
    client: httpx.AsyncClient, app: Litestar, people: People, world: World
) -> None:
    made_link = await link(client, people, world, max_uses=1)
    async with browser(app) as guest:
        answers = await asyncio.gather(*[
            guest.get(f"/room/{made_link['token']}", headers={"Cookie": "none=1"}) for _ in range(6)
        ])  # fmt: skip
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404, 404, 404]


async def test_a_visit_belongs_to_its_link(
    client: httpx.AsyncClient, app: Litestar, people: People, world: World
) -> None:
    one, used_up = await link(client, people, world), await link(client, people, world, max_uses=1)
    async with browser(app) as guest:
        await guest.get(f"/room/{used_up['token']}")
    async with browser(app) as guest:
        page = await guest.get(f"/room/{one['token']}")
        secret = re.search(rf"{guest_page.COOKIE}=([^;]+)", page.headers["set-cookie"])
        assert secret
        stolen = {"Cookie": f"{guest_page.COOKIE}={secret[1]}"}
        assert (await guest.get(f"/room/{used_up['token']}", headers=stolen)).status_code == 404


@pytest.mark.parametrize("how", ["revoked", "deleted", "expired", "deal deleted"])
async def test_a_dead_link_says_no_more_than_a_forged_one(
    client: httpx.AsyncClient,
    app: Litestar,
    people: People,
    world: World,
    database: Database,
    owner_url: str,
    how: str,
) -> None:
    deal = await made(client, "/opportunities", people, name="D")
    made_link = await made(client, "/guest-links", people, opportunity_id=deal["id"], name="Ann")
    url, api = f"/room/{made_link['token']}", f"/guest-links/{made_link['id']}"
    async with browser(app) as guest:
        assert (await guest.get(url)).status_code == 200
        if how == "revoked":
            assert (await client.post(f"{api}/revoke", headers=people.rep2.headers)).status_code == 404
            assert (await client.post(f"{api}/revoke", headers=people.rep.headers)).status_code == 200
            assert (await client.post(f"{api}/revoke", headers=people.rep.headers)).status_code == 409
        elif how == "deleted":
            assert (await client.delete(api, headers=people.rep.headers)).status_code == 204
        elif how == "deal deleted":
            assert (
                await client.delete(f"/opportunities/{deal['id']}", headers=people.rep.headers)
            ).status_code == 204
        else:
            soon = datetime.now(UTC) + timedelta(milliseconds=300)
            patched = await client.patch(
                api, headers=people.rep.headers, json={"expires_at": soon.isoformat()}
            )
            assert patched.status_code == 200, patched.text
            await database.fetchval("SELECT pg_sleep(0.4)")
        dead = await guest.get(url)
        forged = await guest.get(f"/room/{'A' * 86}")
    assert dead.status_code == forged.status_code == 404
    assert dead.text == forged.text
    assert guests.GONE in dead.text


async def test_no_undo_brings_a_revoked_link_back(
    client: httpx.AsyncClient, app: Litestar, people: People, world: World
) -> None:
    made_link = await link(client, people, world)
    api = f"/guest-links/{made_link['id']}"
    assert (await client.post(f"{api}/revoke", headers=people.rep.headers)).json()["status"] == "revoked"
    events = (
        await client.get("/events?limit=200&kind=guest_link.revoked", headers=people.admin.headers)
    ).json()["items"]
    change = next(event["change_id"] for event in events if event["entity_id"] == made_link["id"])
    undone = await client.post(f"/changes/{change}/undo", headers=people.admin.headers)
    assert undone.status_code in (200, 202), undone.text
    shown = (await client.get(api, headers=people.rep.headers)).json()
    assert (shown["revoked_at"], shown["status"]) == (None, "revoked")
    async with browser(app) as guest:
        assert (await guest.get(f"/room/{made_link['token']}")).status_code == 404


async def test_forged_tokens(
    client: httpx.AsyncClient, app: Litestar, people: People, world: World, settings: Settings
) -> None:
    made_link = await link(client, people, world)
    token, key = made_link["token"], signing_key(settings)
    assert str(guests.read_token(key, token)) == made_link["id"]
    assert guests.read_token(b"another key" * 4, token) is None
    raw_changes = [
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        token + "=",
        token + "A",
        token[1:],
        "",
        "%",
        "é" * 20,
        "A" * 500,
    ]
    for forged in [*raw_changes, token.upper(), token[:40] + "A" + token[41:]]:
        assert forged == token or guests.read_token(key, forged) is None, forged
    signed_but_unknown = guests.make_token(key, uuid4())
    same_link_other_token = guests.make_token(key, guests.read_token(key, token))  # type: ignore[arg-type]
    async with browser(app) as guest:
        for forged in (
            signed_but_unknown,
            same_link_other_token,
            token[:-1] + "_",
            "..%2f..%2fetc%2fpasswd",
            "x" * 3000,
        ):
            assert (await guest.get(f"/room/{forged}")).status_code == 404, forged


async def test_the_token_lies_nowhere(
    client: httpx.AsyncClient, people: People, world: World, database: Database
) -> None:
    headers = people.rep.headers | {"Idempotency-Key": "one link"}
    body = {"opportunity_id": world.deal, "name": "Ann"}
    first = await client.post("/guest-links", headers=headers, json=body)
    again = await client.post("/guest-links", headers=headers, json=body)
    assert again.json()["id"] == first.json()["id"]
    assert "token" not in again.json()
    token = first.json()["token"]
    for table in (
        "guest_links",
        "history.guest_links",
        "guest_link_secrets",
        "idempotency",
        "ledger.events",
        "room_visits",
    ):
        found = await database.fetchval(
            f"SELECT count(*) FROM {table} t WHERE to_jsonb(t)::text LIKE '%' || $1 || '%' /* access:guest_links */",
            token,
        )
        assert found == 0, table


async def test_too_many_tries_are_429(app: Litestar) -> None:
    """However slow the machine: the limit fills by one a second, and a try takes less."""
    async with browser(app) as guest:
        for _ in range(10 * guest_page.PER_MINUTE):
            answer = await guest.get(f"/room/{'B' * 86}")
            if answer.status_code == 429:
                break
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert "Too many requests" in answer.text


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2999-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2026-12-01T00:00:00"}, "/expires_at"),
        ({"max_uses": 0}, "/max_uses"),
        ({"max_uses": 10_001}, "/max_uses"),
        ({"document_ids": [str(uuid4())]}, "/document_ids/0"),
        ({"revoked_at": None}, "/revoked_at"),
        ({"token": "mine"}, "/token"),
        ({"opportunity_id": str(uuid4())}, "/opportunity_id"),
    ],
)
async def test_a_link_that_is_wrong(
    client: httpx.AsyncClient, people: People, world: World, members: dict[str, Any], pointer: str
) -> None:
    body = {"opportunity_id": world.deal, "name": "Ann"} | members
    answer = await client.post("/guest-links", headers=people.rep.headers, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text
    assert (await client.post("/guest-links", headers=people.data.headers, json=body)).status_code in (
        403,
        422,
    )
