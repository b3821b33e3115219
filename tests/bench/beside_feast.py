"""`make bench-feast`: our feature store beside Feast's, in turns on the same Redis: by SDK, and over HTTP.

Feast is installed on request into an environment of its own under `build/`, never into ours. It is given the values
of thirty features ready made; ours counts its windows at read, so that none is stale by the clock.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
import redis.asyncio

from service.db import to_json
from service.settings import ROOT, read
from service.system import free_port
from tests.bench import load
from tests.bench.features import Kept, connected, thirty
from tests.bench.history import fill
from tests.bench.requests import _prepare, _process, environment
from tests.bench.table import Row, render
from tests.servers import Servers

VERSION = "0.67.0"
FOLDER = ROOT / "build" / "feast"
COMMAND = "make bench-feast"
SIZES = (100, 1000)
TURNS, REQUESTS = 15, 1_000
NAMES = {
    "SDK": "{size:,} × 30 features by SDK, beside Feast",
    "HTTP": "one row over HTTP, 16 connections, beside feast serve",
}


def main() -> int:
    """The table; what could not be measured says why."""
    found = rows()
    click.echo(render(found))
    return any(row.is_missed for row in found)


def rows() -> list[Row]:
    """Ratios of times: ours by theirs, so that smaller is better and a limit is a ceiling, as in every other row."""
    why = installed()
    if why:
        return [_missing(NAMES["SDK"].format(size=size), 1 / 10, why) for size in SIZES] + [
            _missing(NAMES["HTTP"], 1 / 5, why)
        ]
    servers = Servers()
    with tempfile.TemporaryDirectory(prefix="sales-feast-") as folder:
        try:
            database = servers.create_database()
            found = asyncio.run(_by_sdk(servers, database, Path(folder)))
            found.append(_over_http(servers, Path(folder)))
        finally:
            servers.close()
    return found


def _missing(name: str, limit: float, why: str) -> Row:
    return Row(name, None, limit, "× its time", COMMAND, why)


def installed() -> str:
    """Installs Feast unless it is there; the reason where it cannot be."""
    python = FOLDER / "bin" / "python"
    if (FOLDER / f"installed-{VERSION}").exists():
        return ""
    click.echo(f"installing Feast {VERSION} into {FOLDER} …", err=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", FOLDER], check=True, capture_output=True)
        wanted = f"feast[redis]=={VERSION}"
        subprocess.run(
            [python, "-m", "pip", "install", "-q", wanted], check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        words = str(getattr(error, "stderr", "") or error).strip().splitlines()
        return f"Feast {VERSION} could not be installed here: {words[-1][:120] if words else error}"
    (FOLDER / f"installed-{VERSION}").touch()
    return ""


# --- SDK ---------------------------------------------------------------------------------------------------------


async def _by_sdk(servers: Servers, database: str, folder: Path) -> list[Row]:
    owner = await connected(servers.owner_url(database))
    await fill(owner, 2_000, 40_000)
    client = redis.asyncio.Redis.from_url(servers.redis_url)
    kept = await Kept.of(owner, client, max(SIZES))
    await _write(kept, folder)
    found = []
    with _side(folder, servers.redis_url) as side:
        for size in SIZES:
            ours, theirs = [], []
            for _ in range(TURNS + 1):
                theirs.append(_theirs(side, size))
                began = time.perf_counter()
                await kept.ask(thirty(), size)
                ours.append(1000 * (time.perf_counter() - began))
            mine, other = float(np.median(ours[1:])), float(np.median(theirs[1:]))
            note = f"{mine:.1f} ms beside {other:.1f}: {other / mine:.1f} times faster"
            found.append(
                Row(NAMES["SDK"].format(size=size), mine / other, 1 / 10, "× its time", COMMAND, note)
            )
    await client.aclose()
    await owner.close()
    return found


async def _write(kept: Kept, folder: Path) -> None:
    """The same values as files, by entity, for Feast to take in. It has numbers only: a stage becomes a code."""
    size, wanted = len(kept.deals), thirty()
    columns = await kept.ask(wanted, size)
    numbers = {
        name: np.unique(column, return_inverse=True)[1].astype(float) if column.dtype.kind == "U" else column
        for name, column in columns.items()
    }
    parents = [kept.parents[deal] for deal in kept.deals]
    ids = {
        "opportunity": kept.deals,
        "account": [one for one, _ in parents],
        "user": [one for _, one in parents],
    }
    for entity, names in ids.items():
        mine = {f.name: numbers[f.name] for f in wanted.features if f.entity == entity}
        links = {"account": ids["account"], "user": ids["user"]} if entity == "opportunity" else {}
        frame = pl.DataFrame({"id": names, **links, **mine}).with_columns(
            event_timestamp=pl.lit(datetime.now(UTC))
        )
        frame.unique("id", maintain_order=True).write_parquet(
            folder / f"{'deal' if entity == 'opportunity' else entity}.parquet"
        )


@contextmanager
def _side(folder: Path, redis_url: str) -> Iterator[subprocess.Popen[str]]:
    place = redis_url.removeprefix("redis://").split("@")
    login = f",password={place[0].split(':')[-1]}" if len(place) > 1 else ""
    where = f"{place[-1].split('/')[0]}{login}"
    command = [FOLDER / "bin" / "python", "-P", Path(__file__).with_name("feast_side.py"), folder, where]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "FEAST_USAGE": "False", "PYTHONPATH": ""},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        while (line := process.stdout.readline()) != "ready\n":
            if not line:
                raise RuntimeError("Feast's side ended before it was ready")
        yield process
    finally:
        process.terminate()
        process.wait(20)


def _theirs(side: subprocess.Popen[str], size: int) -> float:
    assert side.stdin is not None
    assert side.stdout is not None
    side.stdin.write(f"{size}\n")
    side.stdin.flush()
    taken, known = side.stdout.readline().split()
    if not int(known):
        raise RuntimeError("Feast found no values")
    return float(taken)


# --- HTTP --------------------------------------------------------------------------------------------------------


def _over_http(servers: Servers, folder: Path) -> Row:
    """Requests a second of one row each, both servers with one process, in turns."""
    variables = environment(folder, servers, servers.create_database())
    company, token = asyncio.run(_prepare(read(variables)))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    names = [one.name for one in thirty().features]
    deals = [str(one) for one in company.deals[:500]]

    def ours(number: int) -> load.Call:
        body = {"entity": "opportunity", "ids": [deals[number % len(deals)]], "features": names}
        return load.Call("POST", "/api/v1/features/online", headers, to_json(body).encode())

    theirs = _asking(folder)
    port, own = free_port(), int(variables["PORT"])
    serve = [
        str(FOLDER / "bin" / "feast"),
        "-c",
        str(folder),
        "serve",
        "-p",
        str(port),
        "--no-access-log",
        "-w",
        "1",
    ]
    api = [sys.executable, "-m", "service", "serve"]
    with (
        _process(serve, {**os.environ, "PYTHONPATH": ""}, port, "/health"),
        _process(api, variables, own, "/health/live"),
    ):
        rates: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(3):
            rates["theirs"].append(_rate(port, theirs, REQUESTS // 5))
            rates["ours"].append(_rate(own, ours, REQUESTS))
    mine, other = max(rates["ours"]), max(rates["theirs"])
    note = f"{mine:.0f} requests/s beside {other:.0f}: {mine / other:.1f} times as many; ours with token and sight checked"
    return Row(NAMES["HTTP"], other / mine, 1 / 5, "× its time", COMMAND, note)


def _asking(folder: Path) -> Any:
    frames = {name: pl.read_parquet(folder / f"{name}.parquet") for name in ("deal", "account", "user")}
    beside = {"id", "account", "user", "event_timestamp"}
    features = [
        f"{name}_view:{one}" for name, frame in frames.items() for one in frame.columns if one not in beside
    ]
    rows = frames["deal"].select("id", "account", "user").rows()

    def make(number: int) -> load.Call:
        deal, account, user = rows[number % len(rows)]
        entities = {"deal_id": [deal], "account_id": [account], "user_id": [user]}
        body = json.dumps({"features": features, "entities": entities}).encode()
        return load.Call("POST", "/get-online-features", {"Content-Type": "application/json"}, body)

    return make


def _rate(port: int, make: Any, requests: int) -> float:
    asyncio.run(load.run(port, make, 32))
    began = time.perf_counter()
    asyncio.run(load.run(port, make, requests))
    return requests / (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())
