"""A promotion to all API processes under load: how long until each answers by the new version, and what fails meanwhile."""

import asyncio
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx

from features.catalogue import SETS
from registry import bundle, champion
from registry.bundle import Manifest
from service import writes
from service.access import SYSTEM
from service.auth import Gate
from service.db import Database
from service.domains.sessions import open_session
from service.domains.users import resource as users
from service.settings import Settings, read
from service.system import free_port
from service.tokens import signing_key
from tests.bench.company import Company, build
from tests.bench.requests import _process, environment
from tests.bench.scoring import learned
from tests.bench.table import Row
from tests.servers import Servers

PROCESSES, CONNECTIONS, PROMOTIONS = 2, 8, 10
DEALS = 200


def rows() -> list[Row]:
    """Promotes one version and the other in turns."""
    command = "python -m tests.bench promotions"
    servers = Servers()
    with tempfile.TemporaryDirectory(prefix="sales-bench-") as folder, ExitStack() as running:
        running.callback(servers.close)
        variables = environment(Path(folder), servers, servers.create_database())
        company, token = asyncio.run(_prepared(read(variables)))
        ports = [free_port() for _ in range(PROCESSES)]
        for port in ports:
            serve = [sys.executable, "-m", "service", "serve"]
            running.enter_context(_process(serve, {**variables, "PORT": str(port)}, port, "/health/live"))
        deals = [str(one) for one in company.deals[:DEALS]]
        taken, asked, failed = asyncio.run(_promoted(ports, deals, token))
    load = f"{PROCESSES} processes, {CONNECTIONS} connections, {len(taken)} promotions and rollbacks"
    return [
        Row("promotion → every API process answers by it, slowest", max(taken), 2, "s", command, load),
        Row("requests that failed meanwhile", failed, 0, f"of {asked:,}", command, load),
    ]


async def _prepared(settings: Settings) -> tuple[Company, str]:
    """A company with two versions of one model, and an administrator's token."""
    database = await Database.open(settings.database_app_url, max_size=4)
    company = await build(database, deals=DEALS * 4, people=8, led=4)
    text, now, wanted = learned("logistic")[0].to_text(), datetime.now(UTC), SETS["deal_win"]
    for version in (1, 2):
        manifest = Manifest(
            model="win", version=version, tier="logistic", feature_set="deal_win", fingerprint=wanted.fingerprint,
            features=wanted.names, training_as_of=now, created_at=now,
        )  # fmt: skip
        folder, sha256 = bundle.write(settings.home / "models", manifest, text)
        await champion.add(
            database, "win", version, tier="logistic", feature_set=wanted.fingerprint, metrics={}, card={}, folder=folder,
            verdict={"is_publishable": True}, sha256=sha256, run_id=None, training_as_of=now, created_by="bench",
        )  # fmt: skip
    await champion.promote(database, "win", 1, by="bench")
    async with database.begin() as tx:
        admin = await writes.insert(
            tx, users, SYSTEM, {"email": "admin@bench.example", "name": "Admin", "role": "admin"}
        )
    session, _ = await open_session(database, admin["id"], "token")
    token = Gate(database, signing_key(settings)).tokens.issue(admin["id"], session, seconds=3600)
    await database.close()
    return company, token


async def _promoted(ports: list[int], deals: list[str], token: str) -> tuple[list[float], int, int]:
    """Seconds of each promotion, how many requests there were beside, and how many of them failed."""
    stop, counts = asyncio.Event(), {"asked": 0, "failed": 0}
    headers = {"Authorization": f"Bearer {token}"}

    async def ask(http: httpx.AsyncClient, port: int, deal: str) -> int | None:
        """By which version a deal is scored now."""
        url = f"http://127.0.0.1:{port}/api/v1/opportunities/{deal}/whatif"
        counts["asked"] += 1
        try:
            answer = await http.post(url, json={"changes": {}})
        except httpx.HTTPError:
            counts["failed"] += 1
            return None
        if answer.status_code != 200:
            counts["failed"] += 1
            return None
        return int(answer.json()["model_version"] or 0)

    async def load(http: httpx.AsyncClient, number: int) -> None:
        while not stop.is_set():
            await ask(http, ports[number % len(ports)], deals[counts["asked"] % len(deals)])

    taken = []
    async with httpx.AsyncClient(headers=headers, timeout=60) as http:
        asking = [asyncio.create_task(load(http, number)) for number in range(CONNECTIONS)]
        for number in range(PROMOTIONS):
            verb, body, wanted = (
                ("rollback", {}, 1) if number % 2 else ("promote", {"version": 2, "reason": "measured"}, 2)
            )
            began = time.perf_counter()
            answer = await http.post(f"http://127.0.0.1:{ports[0]}/api/v1/models/win/{verb}", json=body)
            answer.raise_for_status()
            for port in ports:
                while await ask(http, port, deals[number]) != wanted:
                    pass
            taken.append(time.perf_counter() - began)
        stop.set()
        await asyncio.gather(*asking)
    return taken, counts["asked"], counts["failed"]
