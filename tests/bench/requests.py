"""CPU per request of the API's process, user and system time, as a multiple of a bare route's on the same server."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.request import urlopen

from service.auth import Gate
from service.db import Database, to_json
from service.domains.sessions import open_session
from service.settings import ROOT, Settings, read
from service.system import free_port
from service.tokens import signing_key
from tests.bench.company import Company, build, firm
from tests.bench.load import Call, measure
from tests.bench.table import Row
from tests.servers import Servers

REQUESTS = 2_000
ROUNDS = 3
LIMITS = {"read": 3.5, "list": 5.0, "create": 5.0, "patch": 5.5, "board": 25.0, "search": 8.0}


class Case(NamedTuple):
    name: str
    limit: float | None
    make: Callable[[int], Call]
    weight: int = 1
    """How many times fewer calls are made than of the others: a dear one takes its time."""


def rows(requests: int = REQUESTS, rounds: int = ROUNDS) -> list[Row]:
    """Starts both servers on servers of their own, and measures them in turns."""
    servers = Servers()
    with tempfile.TemporaryDirectory(prefix="sales-bench-") as folder:
        try:
            name = servers.create_database()
            variables = environment(Path(folder), servers, name)
            company, token = asyncio.run(_prepare(read(variables)))
            bare_port = free_port()
            with (
                _process(
                    [sys.executable, "-m", "tests.bench.bare", str(bare_port)], variables, bare_port, "/"
                ) as bare,
                _process(
                    [sys.executable, "-m", "service", "serve"],
                    variables,
                    int(variables["PORT"]),
                    "/health/live",
                ) as api,
            ):
                call = Case("bare", None, lambda number: Call("GET", "/", {}))
                return list(
                    _turns(
                        call,
                        _cases(company, token),
                        (bare_port, bare),
                        (int(variables["PORT"]), api),
                        requests,
                        rounds,
                    )
                )
        finally:
            servers.close()


def _turns(
    bare: Case,
    cases: list[Case],
    bare_at: tuple[int, int],
    api_at: tuple[int, int],
    requests: int,
    rounds: int,
) -> Iterator[Row]:
    command = "python -m tests.bench requests"
    for case in cases:
        ratios, ours, latencies = [], [], []
        for _ in range(rounds):
            basis = asyncio.run(measure(*bare_at, bare.make, requests))
            found = asyncio.run(measure(*api_at, case.make, max(100, requests // case.weight)))
            ratios.append(found.cpu / basis.cpu)
            ours.append(found.cpu)
            latencies.append(found.quantile(0.5))
        note = f"{median(ours) * 1e6:.0f} µs CPU a request, median answer {median(latencies) * 1e3:.1f} ms"
        yield Row(f"CPU, {case.name}", median(ratios), case.limit, "× bare", command, note)


def _cases(company: Company, token: str) -> list[Case]:
    headers = {"Authorization": f"Bearer {token}"}
    posted = headers | {"Content-Type": "application/json"}
    keys = count()
    deals, accounts = company.deals, company.accounts

    def create(path: str, body: Mapping[str, object]) -> Callable[[int], Call]:
        return lambda number: Call(
            "POST", path, posted | {"Idempotency-Key": f"bench-{os.getpid()}-{next(keys)}"},
            to_json({**body, "name": firm(100_000 + number)}).encode(), 201,
        )  # fmt: skip

    def change(path: str, ids: list[object], body: dict[str, object], field: str) -> Callable[[int], Call]:
        return lambda number: Call(
            "PATCH", f"{path}/{ids[number % len(ids)]}", posted,
            to_json(body | {field: f"step {next(keys)}"}).encode(),
        )  # fmt: skip

    deal = {
        "account_id": str(accounts[0]),
        "amount": "1200.50",
        "close_date": "2027-01-31",
        "cf": {"region": "emea"},
    }
    account = {"industry": "retail", "number_of_employees": 120, "cf": {"region": "emea"}}
    root = "/api/v1"
    return [
        Case(
            "read one deal",
            LIMITS["read"],
            lambda n: Call("GET", f"{root}/opportunities/{deals[n % len(deals)]}", headers),
        ),
        Case(
            "list 50 deals",
            LIMITS["list"],
            lambda n: Call("GET", f"{root}/opportunities?sort=-amount&limit=50", headers),
        ),
        Case(
            "search deals by name",
            LIMITS["search"],
            lambda n: Call("GET", f"{root}/opportunities?q=Deal%20{100 + n % 800}&limit=50", headers),
        ),
        Case(
            "board of 6 columns of 20 cards",
            LIMITS["board"],
            lambda n: Call("GET", f"{root}/board?limit=20", headers),
            weight=5,
        ),
        Case("create a deal", LIMITS["create"], create(f"{root}/opportunities", deal)),
        Case("patch a deal", LIMITS["patch"], change(f"{root}/opportunities", list(deals), {}, "next_step")),
        Case("create an account", LIMITS["create"], create(f"{root}/accounts", account)),
        Case(
            "patch an account", LIMITS["patch"], change(f"{root}/accounts", list(accounts), {}, "description")
        ),
    ]


async def _prepare(settings: Settings) -> tuple[Company, str]:
    database = await Database.open(settings.database_app_url, max_size=4)
    company = await build(database)
    session_id, _ = await open_session(database, company.manager, "token")
    life = timedelta(hours=4)
    token = Gate(database, signing_key(settings)).tokens.issue(
        company.manager, session_id, seconds=int(life.total_seconds())
    )
    await database.close()
    return company, token


def environment(folder: Path, servers: Servers, name: str) -> dict[str, str]:
    return {
        **os.environ, "SALES_HOME": str(folder), "PORT": str(free_port()), "DATABASE_URL": servers.owner_url(name),
        "DATABASE_APP_URL": servers.app_url(name), "REDIS_URL": servers.redis_url, "SALES_DEMO": "no",
        "SALES_RATE_LIMIT": "1000000/60", "PYTHONPATH": str(ROOT),
    }  # fmt: skip


@contextmanager
def _process(command: list[str], environment: dict[str, str], port: int, path: str) -> Iterator[int]:
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, cwd=ROOT)
    try:
        asyncio.run(_answering(port, path, process))
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


async def _answering(port: int, path: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
        try:
            await asyncio.to_thread(lambda: urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read())
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not answer")
