"""Acknowledged means durable, and a stop loses no request: the product's processes, killed and stopped under load."""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from service.commands.migrate import upgrade
from service.embedded import start_postgres, start_valkey
from service.postgres import Postgres
from service.settings import ROOT
from service.system import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.proof]

PATIENCE = 60.0


class Product:
    """A durable PostgreSQL, a Valkey and one API process, for a test to hurt."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres: Postgres = start_postgres(folder)
        self.valkey = start_valkey(folder)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        upgrade(self.postgres.owner_url("sales"), self.postgres.app_url("sales"))
        self.process = self.start()
        self.sales("user", "add", "ops@test.example", "--role", "ops")
        self.headers = {"Authorization": "Bearer " + self.sales("token", "ops@test.example").strip()}

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "SALES_HOME": str(self.folder),
            "SALES_DEMO": "no",
            "PORT": str(self.port),
            "DATABASE_URL": self.postgres.owner_url("sales"),
            "DATABASE_APP_URL": self.postgres.app_url("sales"),
            "REDIS_URL": self.valkey.url,
            "PYTHONPATH": str(ROOT),
        }

    def sales(self, *words: str) -> str:
        command = [sys.executable, "-m", "service", *words]
        return subprocess.run(
            command, env=self.environment, text=True, stdout=subprocess.PIPE, check=True
        ).stdout

    def start(self) -> "subprocess.Popen[bytes]":
        with (self.folder / "api.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve"], env=self.environment, stdout=output, stderr=output
            )
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            assert process.poll() is None, (self.folder / "api.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.address}/health/live", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def kill_postgres(self) -> None:
        """SIGKILL to the postmaster; its backends follow it within a second."""
        os.kill(int((self.postgres.data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.valkey.stop()
        self.postgres.stop()


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    folder = Path(tempfile.mkdtemp(prefix="sales-durable-"))
    folder.chmod(0o711)
    product = Product(folder)
    yield product
    product.close()
    shutil.rmtree(folder)


def stored(product: Product) -> dict[str, int]:
    """Names of accounts, with how many rows each has; and nothing impossible beside them."""
    with psycopg.connect(product.postgres.owner_url("sales")) as connection:
        rows = connection.execute("SELECT name, count(*) FROM accounts GROUP BY name").fetchall()
        names = {str(name): int(count) for name, count in rows}
        orphans = connection.execute(
            "SELECT (SELECT count(*) FROM accounts a WHERE NOT EXISTS"
            " (SELECT FROM history.accounts h WHERE h.id = a.id AND h.version = a.version)),"
            " (SELECT count(*) FROM history.accounts h WHERE NOT EXISTS"
            " (SELECT FROM ledger.events e WHERE e.id = h.event_id))"
        ).fetchone()
    assert orphans == (0, 0), "a row without its history, or a history without its event"
    return names


async def test_what_was_acknowledged_survives_kills_of_postgresql(
    product: Product, size: Callable[[int, int], int]
) -> None:
    acknowledged: set[str] = set()
    stop = asyncio.Event()

    async def write(client: httpx.AsyncClient, writer: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            name = f"account {writer}-{number}"
            try:
                answer = await client.post("/api/v1/accounts", json={"name": name})
            except httpx.HTTPError:
                continue
            if answer.status_code == 201:
                acknowledged.add(name)
            else:
                await asyncio.sleep(0.02)

    async with httpx.AsyncClient(base_url=product.address, headers=product.headers, timeout=10) as client:
        writers = [asyncio.create_task(write(client, writer)) for writer in range(6)]
        for _ in range(size(3, 20)):
            before = len(acknowledged)
            await asyncio.sleep(random.uniform(0.3, 1.0))
            product.kill_postgres()
            await asyncio.to_thread(product.postgres.start)
            deadline = time.monotonic() + PATIENCE
            while len(acknowledged) <= before + 5:  # the product writes again before the next kill
                assert time.monotonic() < deadline, "writes did not come back"
                await asyncio.sleep(0.05)
        stop.set()
        await asyncio.gather(*writers)
    names = stored(product)
    assert [name for name in acknowledged if names.get(name) != 1] == []


async def test_sigterm_lets_requests_under_way_end(product: Product) -> None:
    async with httpx.AsyncClient(base_url=product.address, headers=product.headers, timeout=30) as client:
        requests = [
            asyncio.create_task(client.post("/api/v1/accounts", json={"name": f"last {number}"}))
            for number in range(100)
        ]
        await asyncio.sleep(0.15)
        product.process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*requests, return_exceptions=True)
    assert product.process.wait(30) == 0
    names = stored(product)
    served = [answer for answer in answers if isinstance(answer, httpx.Response)]
    refused = [answer for answer in answers if not isinstance(answer, httpx.Response)]
    assert {answer.status_code for answer in served} == {201}
    assert served, "nothing was under way"
    # A connection whose request the server had not begun to read is closed; what was refused must not have happened.
    assert all(isinstance(answer, httpx.TransportError) for answer in refused)
    assert sum(name.startswith("last ") for name in names) == len(served)
    product.process = product.start()


async def test_one_key_one_account_while_the_api_is_killed(
    product: Product, size: Callable[[int, int], int]
) -> None:
    keys, tries = size(10, 200), size(8, 50)
    bodies: dict[str, set[bytes]] = {f"key-{number}": set() for number in range(keys)}

    async def post(client: httpx.AsyncClient, key: str) -> None:
        deadline = time.monotonic() + PATIENCE * 4
        while time.monotonic() < deadline:
            try:
                answer = await client.post(
                    "/api/v1/accounts", json={"name": key}, headers={"Idempotency-Key": key}
                )
            except httpx.HTTPError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code == 201:
                bodies[key].add(answer.content)
                return
            assert answer.status_code in (409, 500, 503), answer.text
            await asyncio.sleep(0.05)
        raise AssertionError(f"{key} was never answered")

    async def kill() -> None:
        for _ in range(size(1, 4)):
            await asyncio.sleep(0.3)
            product.process.kill()
            product.process.wait()
            product.process = await asyncio.to_thread(product.start)

    limits = httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(
        base_url=product.address, headers=product.headers, timeout=20, limits=limits
    ) as client:
        killer = asyncio.create_task(kill())
        order = [key for key in bodies for _ in range(tries)]
        random.shuffle(order)
        await asyncio.gather(*(post(client, key) for key in order))
        await killer
    assert {key: len(found) for key, found in bodies.items()} == dict.fromkeys(bodies, 1), "replays differ"
    names = stored(product)
    assert {key: names.get(key) for key in bodies} == dict.fromkeys(bodies, 1)
    ids = {json.loads(body)["id"] for found in bodies.values() for body in found}
    with psycopg.connect(product.postgres.owner_url("sales")) as connection:
        row = connection.execute(
            "SELECT count(*) FROM ledger.events WHERE kind = 'account.created' AND entity_id::text = ANY(%s)",
            [list(ids)],
        ).fetchone()
    assert row == (keys,)
