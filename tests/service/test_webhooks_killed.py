"""Web hooks over the death of their worker: nothing is lost, what comes twice keeps its id, order holds per record."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from service import webhooks
from service.access import SYSTEM
from service.db import Database
from service.ids import new_id
from service.ledger import record_each
from service.settings import Settings
from tests.conftest import People
from tests.servers import Servers
from tests.service.test_webhooks import Receiver, hook, running

pytestmark = [pytest.mark.anyio, pytest.mark.proof]

SENDER = """
import asyncio, os
from datetime import timedelta
from service import settings, webhooks
from service.db import Database

webhooks.LEASE = timedelta(seconds=1)

async def main():
    told = settings.read(os.environ)
    database = await Database.open(told.database_app_url, min_size=1, max_size=8)
    while True:
        await webhooks.Dispatcher(database, told).run()
        await asyncio.sleep(0.05)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def receiving() -> Any:
    one = socket.create_server(("127.0.0.1", 0))
    yield one
    one.close()


@pytest.fixture(scope="module")
def settings(settings: Settings, receiving: socket.socket) -> Settings:
    return msgspec.structs.replace(settings, webhook_allow=(f"127.0.0.1:{receiving.getsockname()[1]}",))


@pytest.fixture
async def receiver(receiving: socket.socket) -> AsyncIterator[Receiver]:
    receiver, server = await running(receiving)
    yield receiver
    server.close()
    await server.wait_closed()


def start(settings: Settings, log: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, **settings.environment(), "OMP_NUM_THREADS": "1"}
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, "-c", SENDER], env=environment, stdout=output, stderr=output)


async def happen(database: Database, records: int, each: int) -> int:
    """`each` events about each of `records` records, with their deliveries."""
    ids = [new_id() for _ in range(records)]
    for _ in range(each):
        async with database.begin() as tx:
            await record_each(tx, SYSTEM, "probe.changed", "probe", [(key, {}) for key in ids])
            rows = await tx.fetch(
                "SELECT id FROM ledger.events WHERE change_id = $1 ORDER BY position", tx.change_id
            )
            await webhooks.fan_out(tx, [row["id"] for row in rows])
    return records * each


async def test_a_worker_killed_again_and_again_loses_nothing(
    client: httpx.AsyncClient,
    people: People,
    database: Database,
    servers: Servers,
    settings: Settings,
    receiver: Receiver,
    tmp_path: Path,
    size: Callable[[int, int], int],
) -> None:
    await hook(client, people.ops, receiver.url, "probe.*")
    total = await happen(database, size(30, 1000), size(4, 10))
    delivered = "SELECT count(*) FROM deliveries WHERE status = 'delivered'"
    kills = size(2, 100)
    sender = start(settings, tmp_path / "sender.log")
    try:
        for kill in range(1, kills + 2):
            await _until(database, delivered, total * kill // (kills + 1))
            sender.kill()  # SIGKILL
            sender.wait()
            sender = start(settings, tmp_path / "sender.log")
    finally:
        sender.kill()
        sender.wait()
    assert await database.fetchval(delivered) == total, (tmp_path / "sender.log").read_text()[-2000:]
    events = [json.loads(body)["data"]["event_id"] for _, body in receiver.got]
    assert len(set(events)) == total
    ids = {(json.loads(body)["data"]["event_id"], headers["webhook-id"]) for headers, body in receiver.got}
    assert len(ids) == total, "a message that comes twice keeps its id"
    await _in_order(database, receiver)


async def _until(database: Database, sql: str, least: int) -> None:
    async with asyncio.timeout(300):
        while await database.fetchval(sql) < least:  # noqa: ASYNC110  # the database rings no bell
            await asyncio.sleep(0.02)


async def _in_order(database: Database, receiver: Receiver) -> None:
    """The first arrivals of each record's messages come in the order in which things happened."""
    rows = await database.fetch("SELECT id, position FROM ledger.events WHERE kind = 'probe.changed'")
    place = {str(row["id"]): row["position"] for row in rows}
    seen: dict[str, list[int]] = {}
    for _, body in receiver.got:
        data = json.loads(body)["data"]
        arrived = seen.setdefault(data["entity_id"], [])
        if place[data["event_id"]] not in arrived:
            arrived.append(place[data["event_id"]])
    assert all(arrived == sorted(arrived) for arrived in seen.values())
