"""The real product in a thread of its own, and a browser in front of it."""

import asyncio
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from service import writes
from service.access import SYSTEM
from service.app import create_app
from service.db import Database
from service.domains.activities import resource as activities
from service.domains.competitors import resource as competitors
from service.domains.opportunities import resource as opportunities
from service.domains.sessions import set_password
from service.domains.teams import resource as teams
from service.domains.users import resource as users
from service.settings import Settings
from service.web import build
from service.worker import Worker
from service.worker_main import handlers
from tests.servers import Servers

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PASSWORD = "demo-password"
STARTS_WITHIN = 60.0
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]


class Product(msgspec.Struct, kw_only=True):
    """Where the product answers, and what is in it."""

    address: str
    ids: dict[str, str]
    """Names of people and deals → ids."""


async def _seed(database: Database) -> dict[str, str]:
    """A manager, two reps, a competitor; deals of every stage, closed ones among them."""
    ids: dict[str, str] = {}
    async with database.begin() as tx:
        root = await writes.insert(tx, teams, SYSTEM, {"name": "Sales"})
        for name, role in (("Mara Lind", "manager"), ("Lena Koch", "rep"), ("Tomas Rivera", "rep")):
            email = f"{name.split()[0].lower()}@web.example"
            draft = {"email": email, "name": name, "role": role, "team_id": root["id"]}
            row = await writes.insert(tx, users, SYSTEM, draft)
            await set_password(tx, row["id"], PASSWORD)
            ids[email] = str(row["id"])
        manager = {"manager_id": UUID(ids["mara@web.example"])}
        await writes.update(tx, teams, SYSTEM, root, manager)
        await writes.insert(tx, competitors, SYSTEM, {"name": "Corvex"})
        for number in range(34):
            await _deal(tx, ids, number)
    return ids


async def _deal(tx: Any, ids: dict[str, str], number: int) -> None:
    stages = ["prospecting", "qualification", "proposal", "negotiation", "won", "lost"]
    stage = stages[number % len(stages)]
    owner = ids["lena@web.example"] if number % 3 else ids["tomas@web.example"]
    day = datetime.now(UTC).date() + timedelta(days=number - 4)
    draft = {
        "name": f"Deal {number:02}",
        "owner_id": UUID(owner),
        "stage": stage,
        "amount": Decimal((number + 1) * 1000),
        "close_date": day,
    }
    if stage == "lost":
        draft["loss_reason"] = "price"
    row = await writes.insert(tx, opportunities, SYSTEM, draft)
    ids[draft["name"]] = str(row["id"])
    done = {"type": "call", "occurred_at": datetime.now(UTC) - timedelta(days=2), "subject": "Kick-off"}
    await writes.insert(
        tx, activities, SYSTEM, done | {"opportunity_id": row["id"], "owner_id": row["owner_id"]}
    )


async def _answering(port: int) -> None:
    """Returns once something listens there."""
    for _ in range(int(STARTS_WITHIN / 0.1)):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
            return
        await asyncio.sleep(0.1)
    raise TimeoutError("nothing listens")


class _Running(threading.Thread):
    """The server and the worker on one loop, as `sales up` runs them in two processes."""

    def __init__(self, settings: Settings, port: int) -> None:
        super().__init__(daemon=True)
        self.settings, self.port = settings, port
        self.ready, self.ids = threading.Event(), {}  # type: ignore[var-annotated]
        self.failure: BaseException | None = None
        self.server: uvicorn.Server | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.failure = error  # said by the fixture: a thread's own exception would name no test
            self.ready.set()

    async def _serve(self) -> None:
        database = await Database.open(self.settings.database_app_url, min_size=1, max_size=12)
        worker = Worker(database, handlers(self.settings))

        async def ring() -> None:
            worker.ring()

        app = create_app(self.settings, database, bell=ring)
        async with asyncio.TaskGroup() as group:
            self.ids = await _seed(database)
            group.create_task(worker.run())
            self.server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="error", ws="none"))
            served = group.create_task(self.server.serve())
            await _answering(self.port)
            self.ready.set()
            await served
            worker.stop()
        await database.close()

    def stop(self) -> None:
        if self.server is not None:
            self.server.should_exit = True
        self.join(timeout=30)


@pytest.fixture(scope="module")
def product(
    servers: Servers, database_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """The product with a small company in it, on a free port."""
    build.build()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home: Path = tmp_path_factory.mktemp("home")
    settings = Settings(
        port=port,
        home=home,
        database_url=servers.owner_url(database_name),
        database_app_url=servers.app_url(database_name),
        redis_url=servers.redis_url,
        demo=False,
    )
    running = _Running(settings, port)
    running.start()
    assert running.ready.wait(STARTS_WITHIN), "the product did not start"
    assert running.failure is None, running.failure
    yield Product(address=f"http://127.0.0.1:{port}", ids=running.ids)
    running.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. Without one the tests of pages in a browser are skipped, visibly.

    Of the module, not of the session: while it is open its event loop is the thread's, and no other test gets one.
    """
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")  # nothing to drive
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        with suppress(Exception):
            browser.close()


@pytest.fixture
def page(chromium: Browser, product: Product) -> Iterator[Page]:
    """A signed-in manager's tab; whatever the page complains about in its console fails the test."""
    context = chromium.new_context(base_url=product.address, viewport={"width": 1400, "height": 860})
    tab = context.new_page()
    tab.set_default_timeout(10_000)
    complaints: list[str] = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on(
        "console", lambda line: complaints.append(line.text) if _is_complaint(line.text, line.type) else None
    )
    sign_in(tab)
    yield tab
    context.close()
    assert not complaints, complaints


def _is_complaint(text: str, kind: str) -> bool:
    """Chromium also writes down every answer of 4xx; those are the tests' own subject."""
    return kind == "error" and "Failed to load resource" not in text


def sign_in(tab: Page, email: str = "mara@web.example") -> None:
    tab.goto("/sign-in")
    tab.fill("#email", email)
    tab.fill("#password", PASSWORD)
    tab.click("button:has-text('Sign in')")
    tab.wait_for_url("**/board")
