"""A promotion and a rollback under load, with two API processes: no request fails, and both answer by the new version."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import httpx
import pytest

from registry import champion
from service.db import Database
from service.settings import ROOT, Settings
from service.system import free_port
from service.worker import Worker
from tests.conftest import People
from tests.service.test_champion import COLUMNS, enthrone, trained
from tests.service.test_scores import make_deal
from tests.service.worker_process import until

pytestmark = [pytest.mark.anyio, pytest.mark.proof]


@contextmanager
def serving(settings: Settings, log: Path) -> Iterator[str]:
    """One API process on the module's own database; its address."""
    port = free_port()
    environment = {**os.environ, **settings.environment(), "PORT": str(port), "OMP_NUM_THREADS": "1"}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def answers(address: str) -> bool:
    try:
        return bool(urlopen(f"{address}/health/live", timeout=2).status == 200)
    except OSError:
        return False


@pytest.fixture
async def processes(settings: Settings, tmp_path: Path) -> Any:
    """Two API processes that answer."""
    with ExitStack() as both:
        addresses = [both.enter_context(serving(settings, tmp_path / "api.log")) for _ in range(2)]
        await until(lambda: all(answers(one) for one in addresses), tmp_path / "api.log")
        yield addresses


async def test_no_request_fails_and_every_process_answers_by_the_new_version(
    client: httpx.AsyncClient, people: People, worker: Worker, database: Database, settings: Settings,
    processes: list[str], size: Any,
) -> None:  # fmt: skip
    old = await enthrone(database, settings, "win", "deal_win", trained(), ("stage", *COLUMNS))
    new = await enthrone(database, settings, "win", "deal_win", trained(), ("stage", *COLUMNS))
    await champion.rollback(database, "win", by="test")
    deal = (await make_deal(client, people))["id"]
    await worker.drain()
    said: list[tuple[str, int]] = []  # process and version, in the order of the answers
    failed: list[str] = []
    stop = asyncio.Event()

    async def ask(http: httpx.AsyncClient, address: str) -> None:
        path = f"{address}/api/v1/opportunities/{deal}"
        while not stop.is_set():
            for answer in (
                await http.post(f"{path}/whatif", json={"changes": {}}),
                await http.get(f"{path}/score"),
            ):
                if answer.status_code != 200:
                    failed.append(answer.text)
                elif "forecast_effect" in answer.json():
                    said.append((address, answer.json()["model_version"]))

    async def all_say(version: int) -> None:
        """Returns once every process has answered by a version `size` times, and by no other in between."""
        last = size(3, 50)
        async with asyncio.timeout(120):
            while True:
                tails = [[v for a, v in said if a == one][-last:] for one in processes]
                if all(len(tail) == last and set(tail) == {version} for tail in tails):
                    return
                await asyncio.sleep(0.01)

    async with httpx.AsyncClient(headers=people.rep.headers, timeout=60) as http:
        asking = [asyncio.create_task(ask(http, one)) for one in processes for _ in range(3)]
        await all_say(old)
        for _ in range(size(1, 20)):
            url = f"{processes[0]}/api/v1/models/win"
            served = await http.post(f"{url}/promote", headers=people.data.headers, json={"version": new})
            assert served.status_code == 200, served.text
            said.clear()
            await all_say(new)
            back = await http.post(f"{url}/rollback", headers=people.data.headers, json={})
            assert (back.status_code, back.json()["version"]) == (200, old)
            said.clear()
            await all_say(old)
        stop.set()
        await asyncio.gather(*asking)
    assert failed == []
