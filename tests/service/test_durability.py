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
from alembic import command
from alembic.script import ScriptDirectory

from service.commands.migrate import MIGRATIONS, config, upgrade
from service.embedded import start_postgres, start_valkey
from service.postgres import Postgres
from service.settings import ROOT
from service.system import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.proof]

PATIENCE = 240.0


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


EXPAND = """
from alembic import op
revision, down_revision = "9999", {head!r}
def upgrade():
    op.execute("ALTER TABLE accounts ADD COLUMN probe text; ALTER TABLE history.accounts ADD COLUMN probe text")
    op.execute("ALTER TABLE opportunities ADD COLUMN probe numeric NOT NULL DEFAULT 0")
    op.execute("CREATE INDEX ix_accounts_probe ON accounts (probe)")
"""
"""A migration as the house makes them: it widens, and takes nothing away."""


async def test_a_migration_under_load_costs_no_request(
    product: Product, tmp_path: Path, size: Callable[[int, int], int]
) -> None:
    counts, stop = {"asked": 0}, asyncio.Event()
    wrong: list[str] = []

    async def load(client: httpx.AsyncClient, number: int) -> None:
        made = (await client.post("/api/v1/accounts", json={"name": f"mover {number}"})).json()
        while not stop.is_set():
            one = f"/api/v1/accounts/{made['id']}"
            for answer in (
                await client.post("/api/v1/accounts", json={"name": f"load {number}-{counts['asked']}"}),
                await client.patch(one, json={"description": f"{counts['asked']}"}),
                await client.get("/api/v1/accounts", params={"limit": 5, "sort": "-created_at"}),
                await client.get(one),
                await client.get("/api/v1/opportunities", params={"limit": 5}),
            ):
                counts["asked"] += 1
                if answer.status_code >= 300:
                    wrong.append(f"{answer.request.method} {answer.request.url.path}: {answer.text}")

    async def more(requests: int) -> None:
        least = counts["asked"] + requests
        while counts["asked"] < least and not wrong:  # noqa: ASYNC110  # the load rings no bell
            await asyncio.sleep(0.01)

    owner, app = product.postgres.owner_url("sales"), product.postgres.app_url("sales")
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    (folder / "versions" / "9999_probe.py").write_text(EXPAND.format(head=head))
    widened = config(owner, app)
    widened.set_main_option("script_location", str(folder))
    async with httpx.AsyncClient(base_url=product.address, headers=product.headers, timeout=60) as client:
        loads = [asyncio.create_task(load(client, number)) for number in range(6)]
        async with asyncio.timeout(200):
            await more(size(60, 1_000))
            await asyncio.to_thread(command.upgrade, widened, "head")
            await more(size(120, 2_000))
        stop.set()
        await asyncio.gather(*loads)
    with psycopg.connect(owner) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", [head])
        assert connection.execute("SELECT count(probe) FROM accounts").fetchone() == (0,)
    assert wrong == []


async def test_without_redis_reads_and_writes_go_on_and_a_score_says_how_old_it_is(product: Product) -> None:
    async with httpx.AsyncClient(
        base_url=f"{product.address}/api/v1", headers=product.headers, timeout=60
    ) as client:
        account = (await client.post("/accounts", json={"name": "Steady"})).json()["id"]
        draft = {"name": "Steady", "amount": "500", "currency": "USD", "account_id": account}
        deal = (await client.post("/opportunities", json=draft)).json()["id"]
        await asyncio.to_thread(product.sales, "work", "--drain")
        score = (await client.get(f"/opportunities/{deal}/score")).json()
        assert score["is_stale"] is False
        os.kill(int((product.valkey.folder / "pid").read_text()), signal.SIGKILL)
        try:
            answers = []
            for number in range(20):
                answers += [
                    await client.post("/accounts", json={"name": f"without {number}"}),
                    await client.patch(f"/opportunities/{deal}", json={"amount": str(600 + number)}),
                    await client.get("/opportunities", params={"limit": 5}),
                    await client.post(f"/opportunities/{deal}/whatif", json={"changes": {}}),
                ]
            assert {answer.status_code for answer in answers} <= {200, 201}, [one.text for one in answers]
            old = (await client.get(f"/opportunities/{deal}/score")).json()
            assert (old["scored_at"], old["is_stale"]) == (score["scored_at"], True), "it says how old it is"
            asked = {"entity": "opportunity", "ids": [deal], "features": ["stage", "amount_log"]}
            values = (await client.post("/features/online", json=asked)).json()
            assert values["sources"] == ["postgresql"]
            assert values["items"][0]["fresh_at"] > score["scored_at"]
            await asyncio.to_thread(product.sales, "work", "--drain")  # the worker needs none either
            new = (await client.get(f"/opportunities/{deal}/score")).json()
            assert new["scored_at"] > score["scored_at"]
            assert new["is_stale"] is False
        finally:
            product.valkey.start()


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
