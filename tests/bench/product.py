"""The product as it runs: a second start, a stage change until its new score is stored, and the memory of all of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil

from service.settings import ROOT
from service.system import free_port
from tests.bench.table import Row

MOVES = 40
PATIENCE = 900.0


def rows(home: Path, idle: float) -> list[Row]:
    """Starts the product on `home` twice (the first time makes the demo company when the home is new)."""
    command = f"python -m tests.bench product --home {home.name} --idle {idle:.0f}"
    environment = {**os.environ, "SALES_HOME": str(home), "PORT": str(free_port()), "PYTHONPATH": str(ROOT)}
    with _up(environment) as (_, first):
        pass
    with _up(environment) as (process, second):
        waited = _moves(environment)
        time.sleep(idle)
        whole, page = _memory(process.pid)
    found = [Row("first start (or another one, on a home that was there)", first, 360, "s", command)]
    found.append(Row("second start answers", second, 15, "s", command))
    if waited:
        p95 = sorted(waited)[int(0.95 * len(waited))] * 1000
        found.append(
            Row("stage change → new score stored, p95", p95, 500, "ms", command, f"{len(waited)} moves")
        )
    found.append(
        Row("PSS of the process tree without MLflow's page", (whole - page) / 1e6, 1000, "MB", command)
    )
    found.append(Row("PSS of the process tree with MLflow's page", whole / 1e6, 1800, "MB", command))
    return found


@contextmanager
def _up(environment: dict[str, str]) -> Iterator[tuple["subprocess.Popen[bytes]", float]]:
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "up"], env=environment, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        while not _answers(environment):
            if process.poll() is not None or time.monotonic() > began + PATIENCE:
                raise RuntimeError("`sales up` did not come up")
            time.sleep(0.1)
        yield process, time.monotonic() - began
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _answers(environment: dict[str, str]) -> bool:
    try:
        return urlopen(f"http://127.0.0.1:{environment['PORT']}/health/live", timeout=2).status == 200  # type: ignore[no-any-return]
    except OSError:
        return False


def _call(
    environment: dict[str, str], token: str, method: str, path: str, body: Any = None, **headers: str
) -> Any:
    request = Request(
        f"http://127.0.0.1:{environment['PORT']}/api/v1{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers},
    )
    with urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def _moves(environment: dict[str, str]) -> list[float]:
    """Seconds from the call of the stage verb until the new score can be read, one move after the other."""
    command = [sys.executable, "-m", "service", "token", "admin@demo.example"]
    token = subprocess.run(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    if not _call(environment, token, "GET", "/models").get("items"):
        return []
    deals = _call(environment, token, "GET", f"/opportunities?status=open&stage=qualification&limit={MOVES}")[
        "items"
    ]
    waited = []
    for deal in deals:
        before = _call(environment, token, "GET", f"/opportunities/{deal['id']}/score")["scored_at"]
        began = time.perf_counter()
        _call(
            environment,
            token,
            "POST",
            f"/opportunities/{deal['id']}/stage",
            {"to": "prospecting"},
            **{"If-Match": "*"},
        )
        while _call(environment, token, "GET", f"/opportunities/{deal['id']}/score")["scored_at"] == before:
            if time.perf_counter() > began + 30:
                raise RuntimeError("no new score within 30 s")
            time.sleep(0.01)
        waited.append(time.perf_counter() - began)
    return waited


def _memory(pid: int) -> tuple[float, float]:
    """Proportional set size in bytes: of the tree with its embedded servers, and of MLflow's page within it."""
    tree = [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]
    whole = page = 0.0
    for process in tree:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            size = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
            is_page = "mlflow" in " ".join(process.cmdline())
        except (OSError, psutil.Error, StopIteration):
            continue
        whole += size
        page += size if is_page else 0
    return whole, page
