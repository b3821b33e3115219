"""What all tests share: servers of the session, a migrated database of the module, the application, and people."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from litestar import Litestar

from service import writes
from service.access import SYSTEM, Actor
from service.app import create_app
from service.db import Database
from service.domains.fields import resource as custom_fields
from service.domains.sessions import open_session
from service.domains.teams import resource as teams
from service.domains.users import resource as users
from service.settings import Settings
from service.worker import Worker
from service.worker_main import handlers
from tests.markers import marked, watched
from tests.servers import (
    Servers,
    database_name,
    pytest_addoption,
    pytest_configure,
    servers,
    servers_16,
    size,
)

__all__ = [  # known to pytest by being here
    "database_name",
    "marked",
    "pytest_addoption",
    "pytest_configure",
    "servers",
    "servers_16",
    "size",
    "watched",
]

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first, so that no process is left alone with them at the end."""
    long = {
        item.path for item in items if item.get_closest_marker("proof") or item.get_closest_marker("slow")
    }
    items.sort(key=lambda item: item.path not in long)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where there is no browser its tests are skipped visibly; in CI that is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if (
        os.environ.get("CI")
        and session.exitstatus == 0
        and any("Chromium" in str(report.longrepr) for report in skipped)
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def database(servers: Servers, database_name: str) -> AsyncIterator[Database]:
    """A migrated, empty database, as the application's role."""
    opened = await Database.open(servers.app_url(database_name), min_size=1, max_size=8)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def owner_url(servers: Servers, database_name: str) -> str:
    return servers.owner_url(database_name)


@pytest.fixture(scope="module")
def settings(servers: Servers, database_name: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(
        home=home,
        database_url=servers.owner_url(database_name),
        database_app_url=servers.app_url(database_name),
        redis_url=servers.redis_url,
        demo=False,
    )


@pytest.fixture(scope="module")
async def app(settings: Settings, database: Database) -> Litestar:
    async def silent() -> None:
        """The tests run the worker themselves."""

    return create_app(settings, database, bell=silent)


@pytest.fixture(scope="module")
async def client(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """The application without a network, in the loop of the tests; paths are under `/api/v1`, or absolute URLs."""
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]  # Litestar's own types of ASGI
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=transport, base_url="http://testserver.local/api/v1") as opened,
    ):
        yield opened


@pytest.fixture(scope="module")
def worker(database: Database, settings: Settings) -> Worker:
    """`await worker.drain()` runs all that is due."""
    return Worker(database, handlers(settings))


class Person(msgspec.Struct):
    """Somebody in the company of the tests, with what they send to be let in."""

    id: UUID
    role: str
    email: str
    headers: dict[str, str]
    actor: Actor
    token: str


class People(msgspec.Struct):
    """admin and ops see all; manager leads rep and rep2; data studies models; stranger is a rep of another team."""

    admin: Person
    ops: Person
    data: Person
    manager: Person
    rep: Person
    rep2: Person
    stranger: Person


@pytest.fixture(scope="module")
async def people(database: Database, app: Litestar) -> People:
    """The company of the tests, with a session each."""
    roles = {
        "admin": "admin",
        "ops": "ops",
        "data": "data_scientist",
        "manager": "manager",
        "rep": "rep",
        "rep2": "rep",
        "stranger": "rep",
    }
    async with database.begin() as tx:
        root = await writes.insert(tx, teams, SYSTEM, {"name": "Sales"})
        made: dict[str, Any] = {}
        for name, role in roles.items():
            draft = {
                "email": f"{name}@test.example",
                "name": name.title(),
                "role": role,
                "team_id": root["id"],
            }
            made[name] = await writes.insert(tx, users, SYSTEM, draft)
        team = await writes.insert(
            tx, teams, SYSTEM, {"name": "West", "parent_id": root["id"], "manager_id": made["manager"]["id"]}
        )
        for name in ("manager", "rep", "rep2"):
            await writes.update(tx, users, SYSTEM, made[name], {"team_id": team["id"]})
    return People(**{name: await _signed_in(database, app, row) for name, row in made.items()})


async def define(database: Database, entity: str, **kinds: str) -> None:
    """Custom fields of an entity: key → type."""
    async with database.begin() as tx:
        for key, kind in kinds.items():
            field = {"entity": entity, "key": key, "label": key.title(), "type": kind}
            await writes.insert(tx, custom_fields, SYSTEM, field)


async def _signed_in(database: Database, app: Litestar, row: dict[str, Any]) -> Person:
    gate = app.state.gate
    gate.database = database
    session_id, _ = await open_session(database, row["id"], "token")
    token = gate.tokens.issue(row["id"], session_id, seconds=3600)
    identity = await gate.who(row["id"], session_id, door="api")
    return Person(
        id=row["id"],
        role=row["role"],
        email=row["email"],
        headers={"Authorization": f"Bearer {token}"},
        actor=identity.actor,
        token=token,
    )


@pytest.fixture(scope="session")
def shared_data() -> Iterator[Path | None]:
    """The folder with real data, when it lies beside the project; tests pass without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None
