"""Web hooks: signed, in order, retried, replayed; blind to what their creator may not see."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from service import outbound, webhooks
from service.access import SYSTEM
from service.db import Database
from service.ledger import record
from service.settings import Settings
from service.worker import Worker
from tests.conftest import People

pytestmark = pytest.mark.anyio
HOOK = "/webhooks"


class Receiver:
    """What a customer would run: keeps what arrives, answers what it is told to."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[dict[str, str], Any], tuple[int, dict[str, str]]] = lambda headers, body: (
            204,
            {},
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def kinds(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.got]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.got.append((headers, body))
        status, extra = self.answer(headers, json.loads(body))
        lines = [f"HTTP/1.1 {status} X", "content-length: 0", *(f"{k}: {v}" for k, v in extra.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await writer.drain()
        writer.close()


@pytest.fixture(scope="module")
def sockets() -> Iterator[list[socket.socket]]:
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    yield made
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def settings(settings: Settings, sockets: list[socket.socket]) -> Settings:
    """The operator allows the receivers of these tests."""
    allow = tuple(f"127.0.0.1:{one.getsockname()[1]}" for one in sockets)
    return msgspec.structs.replace(settings, webhook_allow=allow)


async def running(one: socket.socket) -> tuple[Receiver, asyncio.Server]:
    receiver = Receiver(one.getsockname()[1])
    return receiver, await asyncio.start_server(receiver.serve, sock=one.dup())


@pytest.fixture
async def receiver(sockets: list[socket.socket], database: Database) -> AsyncIterator[Receiver]:
    receiver, server = await running(sockets[0])
    yield receiver
    server.close()
    await server.wait_closed()
    await database.execute("UPDATE deliveries SET status = 'exhausted' WHERE status IN ('pending', 'failed')")
    await database.execute("DELETE FROM jobs")
    async with database.begin() as tx:
        await record(tx, SYSTEM, "test.imported", "webhook")
        await tx.execute("UPDATE webhooks /* access:webhooks */ SET is_active = FALSE, version = version + 1")


async def hook(client: httpx.AsyncClient, who: Any, url: str, *events: str, **more: Any) -> dict[str, Any]:
    answer = await client.post(HOOK, json={"url": url, "events": list(events)} | more, headers=who.headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def account(client: httpx.AsyncClient, who: Any, name: str) -> dict[str, Any]:
    answer = await client.post("/accounts", json={"name": name}, headers=who.headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def send_again_now(database: Database, worker: Worker) -> None:
    """What the worker does once the pause is over."""
    await database.execute(
        "UPDATE deliveries SET next_attempt_at = now() WHERE status IN ('pending', 'failed')"
    )
    await webhooks.ring(database, datetime.now(UTC) - timedelta(seconds=1))
    await worker.drain()


async def deliveries(
    client: httpx.AsyncClient, who: Any, made: dict[str, Any], **query: str
) -> list[dict[str, Any]]:
    answer = await client.get(f"{HOOK}/{made['id']}/deliveries", params=query, headers=who.headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_a_message_is_signed_and_any_change_shows(
    client: httpx.AsyncClient, people: People, worker: Worker, receiver: Receiver
) -> None:
    made = await hook(client, people.ops, receiver.url, "account.created")
    assert made["secret"].startswith("whsec_")
    company = await account(client, people.rep, "Signed and sealed")
    await worker.drain()
    [(headers, body)] = receiver.got
    message = Webhook(made["secret"]).verify(body, headers)
    assert message["type"] == "account.created"
    assert message["data"]["record"]["name"] == "Signed and sealed"
    assert message["data"]["entity_id"] == company["id"]
    for position in range(0, len(body), 7):
        flipped = body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :]
        with pytest.raises((WebhookVerificationError, UnicodeDecodeError)):
            Webhook(made["secret"]).verify(flipped, headers)
    for name, value in (
        ("webhook-timestamp", str(int(time.time()) - 600)),
        ("webhook-id", "msg_other"),
        ("webhook-signature", "v1,AAAA"),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(made["secret"]).verify(body, headers | {name: value})
    [delivery] = await deliveries(client, people.ops, made)
    assert delivery["status"] == "delivered"
    assert delivery["attempt"] == 1
    assert delivery["response_status"] == 204


async def test_the_secret_is_shown_once_and_stored_sealed(
    client: httpx.AsyncClient, people: People, receiver: Receiver, database: Database
) -> None:
    made = await hook(client, people.ops, receiver.url, "deal.won")
    for path in (f"{HOOK}/{made['id']}", HOOK):
        assert made["secret"] not in (await client.get(path, headers=people.ops.headers)).text
    stored = await database.fetch("SELECT sealed FROM webhook_secrets")
    assert all(made["secret"].encode() not in row["sealed"] for row in stored)
    history = await database.fetchval(
        "SELECT string_agg(to_jsonb(h)::text, '') FROM history.webhooks h /* access:webhooks */"
    )
    assert made["secret"] not in history


def test_a_sealed_secret_opens_in_its_own_row_only(settings: Settings) -> None:
    mine, other = UUID(int=1), UUID(int=2)
    sealed = webhooks.seal(settings, mine, "whsec_x")
    assert webhooks.unseal(settings, mine, sealed) == "whsec_x"
    with pytest.raises(Exception, match=r"^$"):
        webhooks.unseal(settings, other, sealed)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://169.254.169.254/", "http://[::ffff:7f00:1]/", "x"]
)
async def test_closed_addresses_are_refused_when_entered(
    url: str, client: httpx.AsyncClient, people: People, receiver: Receiver
) -> None:
    body = {"url": url, "events": ["deal.won"]}
    answers = [await client.post(HOOK, json=body, headers=people.ops.headers)]
    made = await hook(client, people.ops, "https://example.com/", "deal.won")
    path = f"{HOOK}/{made['id']}"
    answers.append(await client.patch(path, json={"url": url}, headers=people.ops.headers))
    answers.append(await client.put(path, json=body, headers=people.ops.headers | {"If-Match": '"1"'}))
    for answer in answers:
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == "/url"
    assert (await client.get(path, headers=people.ops.headers)).json()["url"] == "https://example.com/"


async def test_an_address_that_closed_meanwhile_is_not_reached(
    client: httpx.AsyncClient, people: People, database: Database, settings: Settings, receiver: Receiver
) -> None:
    """Stored while it was allowed or public; judged again at each send, test events included."""
    made = await hook(client, people.ops, receiver.url, "account.created")
    assert (await client.post(f"{HOOK}/{made['id']}/test", headers=people.ops.headers)).status_code == 202
    await account(client, people.rep, "Unreachable")
    closed = msgspec.structs.replace(settings, webhook_allow=())
    from service.worker_main import handlers  # noqa: PLC0415  # the worker of this test has settings of its own

    await Worker(database, handlers(closed)).drain()
    assert receiver.got == []
    found = await deliveries(client, people.ops, made)
    assert {d["status"] for d in found} == {"failed"}
    assert all("not a public address" in d["error"] for d in found)


async def test_only_what_the_creator_may_see_is_sent(
    client: httpx.AsyncClient, people: People, worker: Worker, receiver: Receiver
) -> None:
    await hook(client, people.manager, receiver.url, "account.created", "contact.created")
    await account(client, people.rep, "Below the manager")
    await account(client, people.stranger, "CANARY of another team")
    await worker.drain()
    bodies = b"".join(body for _, body in receiver.got)
    assert b"Below the manager" in bodies
    assert b"CANARY" not in bodies
    forbidden = await client.post(
        HOOK, json={"url": receiver.url, "events": ["*"]}, headers=people.rep.headers
    )
    assert forbidden.status_code == 403


async def test_others_hooks_are_not_there_for_a_manager(
    client: httpx.AsyncClient, people: People, receiver: Receiver
) -> None:
    made = await hook(client, people.ops, receiver.url, "deal.won")
    for verb, path in (
        ("GET", ""),
        ("GET", "/deliveries"),
        ("POST", "/test"),
        ("POST", "/rotate"),
        ("DELETE", ""),
    ):
        answer = await client.request(verb, f"{HOOK}/{made['id']}{path}", headers=people.manager.headers)
        assert answer.status_code == 404, path


async def test_a_filter_is_applied(
    client: httpx.AsyncClient, people: People, worker: Worker, receiver: Receiver
) -> None:
    wanted = [{"field": "name", "op": "starts", "value": "Wanted"}]
    await hook(client, people.ops, receiver.url, "account.*", filter=wanted)
    await account(client, people.rep, "Wanted one")
    await account(client, people.rep, "Another")
    await worker.drain()
    assert [json.loads(body)["data"]["record"]["name"] for _, body in receiver.got] == ["Wanted one"]


@pytest.mark.parametrize("status", [301, 307, 400, 404, 429, 500, 503])
async def test_a_failure_is_tried_again_with_the_same_id(
    status: int,
    client: httpx.AsyncClient,
    people: People,
    worker: Worker,
    receiver: Receiver,
    database: Database,
) -> None:
    made = await hook(client, people.ops, receiver.url, "account.created")
    receiver.answer = lambda headers, body: (status, {"location": receiver.url, "retry-after": "100"})
    await account(client, people.rep, f"Fails with {status}")
    await worker.drain()
    [failed] = await deliveries(client, people.ops, made, status="failed")
    assert len(receiver.got) == 1
    wait = datetime.fromisoformat(failed["next_attempt_at"]) - datetime.now(UTC)
    assert timedelta(seconds=90) < wait < timedelta(seconds=101)
    receiver.answer = lambda headers, body: (200, {})
    await send_again_now(database, worker)
    [delivered] = await deliveries(client, people.ops, made)
    assert delivered["status"] == "delivered"
    assert [attempt["response_status"] for attempt in delivered["attempts"]] == [status, 200]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({body for _, body in receiver.got}) == 1


def test_ten_attempts_take_about_75_hours() -> None:
    failure = outbound.Answer(500, {}, 1)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    totals = []
    for _ in range(200):
        moment, attempt = now, 1
        while following := webhooks.next_attempt(attempt, moment, failure):
            moment, attempt = following, attempt + 1
        assert attempt == 10
        totals.append((moment - now) / timedelta(hours=1))
    assert 69 < min(totals) < max(totals) < 83
    assert max(totals) - min(totals) > 1  # jittered


def test_retry_after_reads_seconds_and_dates() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert webhooks.retry_after("120", now) == timedelta(seconds=120)
    assert webhooks.retry_after("Thu, 01 Jan 2026 00:05:00 GMT", now) == timedelta(minutes=5)
    for odd in ("", "soon", "-5", "١٢", "9" * 400):
        assert webhooks.retry_after(odd, now) <= timedelta(seconds=10**6)


async def test_after_ten_attempts_it_is_given_up(
    client: httpx.AsyncClient, people: People, worker: Worker, receiver: Receiver, database: Database
) -> None:
    made = await hook(client, people.ops, receiver.url, "account.created")
    receiver.answer = lambda headers, body: (500, {})
    await account(client, people.rep, "Never heard")
    await worker.drain()
    for _ in range(12):
        await send_again_now(database, worker)
    assert len(receiver.got) == 10
    [delivery] = await deliveries(client, people.ops, made)
    assert delivery["status"] == "exhausted"
    assert delivery["next_attempt_at"] is None
    assert len(delivery["attempts"]) == 10


async def test_gone_disables_until_a_person_switches_it_on(
    client: httpx.AsyncClient, people: People, worker: Worker, receiver: Receiver
) -> None:
    made = await hook(client, people.ops, receiver.url, "account.created")
    path = f"{HOOK}/{made['id']}"
    receiver.answer = lambda headers, body: (410, {})
    await account(client, people.rep, "Gone")
    await worker.drain()
    shown = (await client.get(path, headers=people.ops.headers)).json()
    assert shown["status"] == "disabled"
    assert "410" in shown["disabled_reason"]
    await account(client, people.rep, "After it was gone")
    await worker.drain()
    assert len(receiver.got) == 1
    receiver.answer = lambda headers, body: (200, {})
    revived = await client.patch(path, json={"is_active": True}, headers=people.ops.headers)
    assert revived.json()["status"] == "active", revived.text
    await account(client, people.rep, "Back again")
    await worker.drain()
    assert len(receiver.got) == 2


async def test_messages_of_a_record_keep_their_order(
    client: httpx.AsyncClient, people: People, worker: Worker, receiver: Receiver, database: Database
) -> None:
    await hook(client, people.ops, receiver.url, "account.*")
    first, second = await account(client, people.rep, "First"), await account(client, people.rep, "Second")
    for step in range(3):
        body = {"description": f"step {step}"}
        await client.patch(f"/accounts/{first['id']}", json=body, headers=people.rep.headers)
    receiver.answer = lambda headers, body: (500 if body["data"]["entity_id"] == first["id"] else 200, {})
    await worker.drain()
    told = {
        (data["entity_id"], data["entity_version"])
        for data in (json.loads(b)["data"] for _, b in receiver.got)
    }
    assert told == {(first["id"], 1), (second["id"], 1)}  # later ones wait, other records do not
    receiver.answer = lambda headers, body: (200, {})
    await send_again_now(database, worker)
    versions = [
        json.loads(body)["data"]["entity_version"]
        for _, body in receiver.got
        if json.loads(body)["data"]["entity_id"] == first["id"]
    ]
    assert versions[-4:] == [1, 2, 3, 4]  # the first may have been tried again before, the others not
    assert set(versions[:-4]) == {1}


async def test_a_replay_keeps_the_id(
    client: httpx.AsyncClient, people: People, worker: Worker, receiver: Receiver
) -> None:
    made = await hook(client, people.ops, receiver.url, "account.created")
    path = f"{HOOK}/{made['id']}/replay"
    since = datetime.now(UTC).isoformat()
    await account(client, people.rep, "Once")
    await account(client, people.rep, "Twice")
    await worker.drain()
    [newest, _] = await deliveries(client, people.ops, made)
    one = await client.post(path, json={"delivery_ids": [newest["id"]]}, headers=people.ops.headers)
    assert one.status_code == 202
    assert one.json()["count"] == 1
    await worker.drain()
    assert len(receiver.got) == 3
    both = await client.post(path, json={"since": since}, headers=people.ops.headers)
    assert both.json()["count"] == 2
    await worker.drain()
    ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert len(ids) == 5
    assert len(set(ids)) == 2
    for odd in ({}, {"since": "2026-01-01T00:00:00"}, {"since": since, "until": since}, {"from": since}):
        answer = await client.post(path, json=odd, headers=people.ops.headers)
        assert answer.status_code == 422, odd


async def test_rotation_signs_with_both_secrets(
    client: httpx.AsyncClient, people: People, worker: Worker, receiver: Receiver, database: Database
) -> None:
    made = await hook(client, people.ops, receiver.url, "account.created")
    rotated = (await client.post(f"{HOOK}/{made['id']}/rotate", headers=people.ops.headers)).json()
    assert rotated["secret"] != made["secret"]
    await account(client, people.rep, "During the rotation")
    await worker.drain()
    headers, body = receiver.got[-1]
    for secret in (made["secret"], rotated["secret"]):
        Webhook(secret).verify(body, headers)
    await database.execute("UPDATE webhook_secrets SET expires_at = now() WHERE expires_at IS NOT NULL")
    await account(client, people.rep, "After the rotation")
    await worker.drain()
    headers, body = receiver.got[-1]
    Webhook(rotated["secret"]).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(made["secret"]).verify(body, headers)


async def test_a_test_event_arrives(
    client: httpx.AsyncClient, people: People, worker: Worker, receiver: Receiver
) -> None:
    made = await hook(client, people.ops, receiver.url, "deal.won")
    answer = await client.post(f"{HOOK}/{made['id']}/test", headers=people.ops.headers)
    assert answer.status_code == 202
    await worker.drain()
    assert receiver.kinds == ["webhook.test"]


async def test_a_killed_worker_loses_nothing_and_keeps_the_id(
    client: httpx.AsyncClient, people: People, worker: Worker, receiver: Receiver, database: Database
) -> None:
    """The worker dies after the request left and before it noted the answer: the lease runs out, it is sent again."""
    made = await hook(client, people.ops, receiver.url, "account.created")
    await account(client, people.rep, "Sent twice rather than lost")
    await worker.drain()
    await database.execute(
        "UPDATE deliveries SET status = 'pending', lease_until = now() + interval '1 hour', attempts = '[]'"
    )
    await send_again_now(database, worker)
    assert len(receiver.got) == 1  # leased: another worker has it
    await database.execute("UPDATE deliveries SET lease_until = now() - interval '1 second'")
    await send_again_now(database, worker)
    assert len(receiver.got) == 2
    assert receiver.got[0][0]["webhook-id"] == receiver.got[1][0]["webhook-id"]
    assert [d["status"] for d in await deliveries(client, people.ops, made)] == ["delivered"]


async def test_a_dead_endpoint_delays_nobody_else(
    client: httpx.AsyncClient,
    people: People,
    worker: Worker,
    receiver: Receiver,
    sockets: list[socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The dead one accepts and never answers."""
    monkeypatch.setattr(outbound, "TIMEOUT_SECONDS", 3.0)
    arrived: list[float] = []
    receiver.answer = lambda headers, body: (arrived.append(time.perf_counter()), (200, {}))[1]
    dead = f"http://127.0.0.1:{sockets[1].getsockname()[1]}/"
    await hook(client, people.ops, dead, "account.created")
    await hook(client, people.ops, receiver.url, "account.created")
    for number in range(30):
        await account(client, people.rep, f"Company {number}")
    started = time.perf_counter()
    turn = asyncio.create_task(worker.drain())
    while len(arrived) < 30:
        await asyncio.sleep(0.02)
        assert time.perf_counter() - started < 20
    assert arrived[-1] - started < 12  # alone the dead one takes 22 s
    await turn


async def test_the_log_pages(
    client: httpx.AsyncClient, people: People, worker: Worker, receiver: Receiver
) -> None:
    made = await hook(client, people.ops, receiver.url, "account.created")
    for number in range(5):
        await account(client, people.rep, f"Page {number}")
    await worker.drain()
    path = f"{HOOK}/{made['id']}/deliveries"
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await client.get(path, params=query, headers=people.ops.headers)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert len(seen) == len(set(seen)) == 5
    for odd in ({"cursor": "x"}, {"cursor": "WzFd0"}, {"status": "odd"}):
        answer = await client.get(path, params=odd, headers=people.ops.headers)
        assert answer.status_code == 400, odd
