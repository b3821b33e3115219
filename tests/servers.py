"""Servers for the tests: one PostgreSQL and one Valkey per test process, on free ports, and databases by the dozen.

A database made from the migrated template costs about 50 ms, so each module, or test, can have one of its own.
"""

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from service.commands.migrate import upgrade
from service.embedded import Valkey, start_postgres, start_valkey
from service.postgres import Postgres

TEMPLATE = "migrated"


class Servers:
    """Started on first use; `close` stops them and deletes what they kept."""

    def __init__(self, major: int = 18) -> None:
        self.major = major
        self._undo = ExitStack()
        self._names = count(1)

    @cached_property
    def folder(self) -> Path:
        """Under the system's temporary folder, open to pass through: PostgreSQL may run as another user."""
        folder = Path(tempfile.mkdtemp(prefix="sales-tests-"))
        folder.chmod(0o711)
        self._undo.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    @cached_property
    def postgres(self) -> Postgres:
        server = start_postgres(self.folder / "postgres", self.major, durable=False)
        self._undo.callback(server.remove_outside)
        self._undo.callback(server.stop)
        return server

    @cached_property
    def valkey(self) -> Valkey:
        server = start_valkey(self.folder / "valkey")
        self._undo.callback(server.stop)
        return server

    def owner_url(self, database: str) -> str:
        return self.postgres.owner_url(database)

    def app_url(self, database: str) -> str:
        return self.postgres.app_url(database)

    @property
    def redis_url(self) -> str:
        return self.valkey.url

    def create_database(self, template: str | None = TEMPLATE) -> str:
        """The name of a new database: migrated, a copy of `template`, or bare with `template=None`."""
        if template == TEMPLATE:
            self._migrated  # noqa: B018  # made at its first mention
        return self._create(f"test_{next(self._names)}", template)

    def create_named(self, name: str) -> None:
        """A bare database of this name, for instance one that was dropped."""
        self._create(name, None)

    def drop_database(self, name: str) -> None:
        with psycopg.connect(self.owner_url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def close(self) -> None:
        self._undo.close()

    @cached_property
    def _migrated(self) -> str:
        name = self._create(TEMPLATE, None)
        upgrade(self.owner_url(name), self.app_url(name))
        return name

    def _create(self, name: str, template: str | None) -> str:
        with psycopg.connect(self.owner_url("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template or "template1")
                )
            )
        return name


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak", action="store_true", help="Run the long proofs, at full size, and nothing else."
    )


def pytest_configure(config: pytest.Config) -> None:
    """A test run that is told to end stops its servers first, as it does after a Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    if config.getoption("--soak"):
        config.option.markexpr = "proof"


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """`size(small, full)`: how much a proof does in `make test`, and in `make soak`."""
    soak = request.config.getoption("--soak")
    return lambda small, full: full if soak else small


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL 18 and Valkey for this test process, each started when first asked for."""
    servers = Servers()
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def servers_16() -> Iterator[Servers]:
    """The same on PostgreSQL 16, the oldest that is supported."""
    servers = Servers(16)
    yield servers
    servers.close()


@pytest.fixture(scope="module")
def database_name(servers: Servers) -> Iterator[str]:
    """A migrated database of the module's own."""
    name = servers.create_database()
    yield name
    servers.drop_database(name)
