"""Scoring by a trained champion: one row in process, a question over HTTP, and thousands of deals anew.

The champion is made here, of the win model's own features on rows at random: what it says means nothing, what it costs does.
"""

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np

from features.catalogue import SETS
from ml.frame import Frame
from ml.panel import LOST, WON, Panel
from ml.win import WinModel
from registry import bundle, champion
from registry.bundle import Manifest
from service.db import Database
from service.rescoring import score_all
from service.settings import Settings, read
from tests.bench.requests import _prepare, _process, environment
from tests.bench.table import Row
from tests.servers import Servers

STAGES = ("prospecting", "qualification", "proposal", "negotiation")
ROWS, QUESTIONS, LEARNED = 2_000, 200, 3_000


def rows() -> list[Row]:
    """One row in process, then the same model as champion of a company."""
    command = "python -m tests.bench scoring"
    model, panel = learned("logistic")
    found = [_one_row(model, panel, command), _one_row(*learned("gbm", joint=()), command)]
    servers = Servers()
    with tempfile.TemporaryDirectory(prefix="sales-bench-") as folder:
        try:
            variables = environment(Path(folder), servers, servers.create_database())
            settings = read(variables)
            company, token = asyncio.run(_prepare(settings))
            taken = asyncio.run(_rescored(settings, model))
            found.append(
                Row(
                    f"{taken[1]:,} deals rescored by logistic, with reasons",
                    taken[0],
                    180 * taken[1] / 1e5,
                    "s",
                    command,
                )
            )
            port = int(variables["PORT"])
            with _process([sys.executable, "-m", "service", "serve"], variables, port, "/health/live"):
                p95 = _asked(port, token, [str(one) for one in company.deals[:QUESTIONS]])
            found.append(
                Row("POST …/whatif {} over HTTP, p95", p95, 50, "ms", command, "score now, with reasons")
            )
        finally:
            servers.close()
    return found


def learned(tier: str, **options: Any) -> tuple[WinModel, Panel]:
    """A model of all features of `deal_win`, and the rows that it learned from. `options`: what else it is made with."""
    random, wanted = np.random.default_rng(0), SETS["deal_win"]
    columns: dict[str, Any] = {
        name: random.integers(0, 3, LEARNED).astype(float)
        if name in wanted.categories
        else random.uniform(0, 10, LEARNED)
        for name in wanted.names
        if name != "stage"
    }
    words = {name: ("a", "b", "c") for name in wanted.categories if name != "stage"}
    stage = random.integers(0, 4, LEARNED)
    go = np.where(stage == 3, WON, stage + 1)
    luck = random.uniform(size=LEARNED) + 0.02 * columns["activities_28d"]
    outcome = np.where(luck < 0.2, go, np.where(luck > 1.0, LOST, stage)).astype(np.int64)
    frame = Frame.of(columns | {"stage": stage.astype(float)}, words | {"stage": STAGES})
    panel = Panel(np.arange(LEARNED), random.uniform(20_000, 20_400, LEARNED), stage, frame, outcome)
    return WinModel(STAGES, tier, **options).fit(panel), panel


def _one_row(model: WinModel, panel: Panel, command: str) -> Row:
    """The slowest in a hundred of single questions, in wall time; the processor's time for one stands beside it."""
    asked = [panel.frame.take(slice(row, row + 1)) for row in range(ROWS)]
    taken, busy = [], time.process_time()
    for row, frame in enumerate(asked):
        began = time.perf_counter()
        model.one(frame, int(panel.stage[row]), float(panel.at[row]))
        taken.append(time.perf_counter() - began)
    busy = (time.process_time() - busy) / ROWS
    middle, last = 1000 * np.quantile(taken[1:], [0.5, 0.99])
    note = f"78 weeks rolled forward; median {middle:.2f} ms, processor {1000 * busy:.2f} ms a row"
    return Row(f"one row by {model.tier}, features in hand, p99", float(last), 0.3, "ms", command, note)


async def _rescored(settings: Settings, model: WinModel) -> tuple[float, int]:
    database = await Database.open(settings.database_app_url, max_size=4)
    now, wanted = datetime.now(UTC), SETS["deal_win"]
    manifest = Manifest(
        model="win", version=1, tier="logistic", feature_set="deal_win", fingerprint=wanted.fingerprint, features=wanted.names,
        training_as_of=now, created_at=now,
    )  # fmt: skip
    folder, sha256 = bundle.write(settings.home / "models", manifest, model.to_text())
    await champion.add(
        database, "win", 1, tier="logistic", feature_set=wanted.fingerprint, metrics={}, verdict={"is_publishable": True}, card={},
        folder=folder, sha256=sha256, run_id=None, training_as_of=now, created_by="bench",
    )  # fmt: skip
    await champion.promote(database, "win", 1, by="bench")
    began = time.perf_counter()
    counts = await score_all(database, settings, leads=False)
    taken = time.perf_counter() - began
    await database.close()
    return taken, counts["deals"]


def _asked(port: int, token: str, deals: list[str]) -> float:
    taken = []
    for deal in [deals[0], *deals]:
        request = Request(
            f"http://127.0.0.1:{port}/api/v1/opportunities/{deal}/whatif", b'{"changes": {}}', method="POST",
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )  # fmt: skip
        began = time.perf_counter()
        with urlopen(request, timeout=60) as answered:
            answered.read()
        taken.append(time.perf_counter() - began)
    return float(1000 * np.quantile(taken[1:], 0.95))
