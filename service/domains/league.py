"""The league: methods of forecasting on past periods, each as it would have been made then, beside what came."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from ml import forecast
from service import calendar, nodes, trainer
from service.access import Actor, require
from service.db import Database
from service.domains.forecasts import NodeRef
from service.ids import new_id
from service.jobs import Job, enqueue
from service.nodes import Node
from service.settings import Settings
from service.wire import answer
from service.worker import Handler

METHODS = ("ai", "stage_weighted", "last_period", "run_rate")
PERIODS = 6

Progress = Callable[[str, int, int], Awaitable[None]]

# Shapes --------------------------------------------------------------------------------------------


class Standing(msgspec.Struct, kw_only=True):
    """How one method did at one distance from the end: means over `n` periods. `bias` is (forecast - actual) / actual;
    coverage and interval score (in units of money) are for methods with a band."""

    node: NodeRef
    name: str
    method: str
    days_before: int
    ape: float
    bias: float
    coverage: float | None
    interval_score: Decimal | None
    n: int
    n_bands: int


class League(msgspec.Struct, kw_only=True):
    """`as_of` is when the league was computed; null: not yet, and `reason` says how to."""

    as_of: datetime | None
    periods: list[str]
    items: list[Standing]
    reason: str | None


# Rules ---------------------------------------------------------------------------------------------


def standings(rows: Iterable[Any], names: dict[Node, str]) -> list[dict[str, Any]]:
    """Rows of past forecasts summed up by node, method and days before the end; periods without any revenue are left
    out, for nothing can be relative to them."""
    groups: dict[tuple[Node, str, int], list[Any]] = {}
    for row in rows:
        node = Node(row["node_type"], row["node_id"])
        if row["actual"] > 0 and node in names:
            groups.setdefault((node, row["method"], row["days_before"]), []).append(row)
    order = sorted(groups, key=lambda key: (key[0].type, names[key[0]], -key[2], METHODS.index(key[1])))
    return [_standing(key, groups[key], names[key[0]]) for key in order]


def _standing(key: tuple[Node, str, int], rows: list[Any], name: str) -> dict[str, Any]:
    node, method, before = key
    misses = [float(row["forecast"] / row["actual"]) - 1 for row in rows]
    banded = [row for row in rows if row["low"] is not None]
    low, high, actual = (np.array([float(row[n]) for row in banded]) for n in ("low", "high", "actual"))
    score = forecast.interval_score(actual, low, high) if banded else None
    return {
        "node": {"type": node.type, "id": node.id},
        "name": name,
        "method": method,
        "days_before": before,
        "ape": round(sum(map(abs, misses)) / len(misses), 6),
        "bias": round(sum(misses) / len(misses), 6),
        "coverage": round(forecast.coverage(actual, low, high), 6) if banded else None,
        "interval_score": None if score is None else Decimal(score).quantize(Decimal("0.01")),
        "n": len(rows),
        "n_bands": len(banded),
    }


_ROWS = """
SELECT * FROM league_rows
WHERE period IN (SELECT DISTINCT period FROM league_rows ORDER BY period DESC LIMIT $1)
ORDER BY period, days_before DESC"""


async def read(database: Database, actor: Actor, periods: int) -> dict[str, Any]:
    """The league of the newest `periods` that were computed, for the nodes that the actor may see."""
    rows = await database.fetch(_ROWS, periods)
    tree = await nodes.load(database)
    seen: dict[Node, str] = {}
    for node in {Node(row["node_type"], row["node_id"]) for row in rows}:
        # the company's row is the root's, whoever may see that
        if tree.shows(actor, tree.root if node == nodes.COMPANY else node):
            seen[node] = tree.name(node)
    return {
        "as_of": max((row["created_at"] for row in rows), default=None),
        "periods": sorted({row["period"] for row in rows}),
        "items": standings(rows, seen),
        "reason": None
        if rows
        else "The league has not been computed yet: run `sales league`, or train `arrivals`.",
    }


async def keep(database: Database, rows: list[dict[str, Any]]) -> None:
    """Replaces what was known of the rows' periods."""
    records = [
        (
            new_id(), row["period"], row["node_type"], UUID(row["node_id"]) if row["node_id"] else None, row["method"],
            row["days_before"], datetime.fromisoformat(row["as_of"]), *(_money(row[n]) for n in MONEY_COLUMNS),
        )
        for row in rows
    ]  # fmt: skip
    columns = ("id", "period", "node_type", "node_id", "method", "days_before", "as_of", *MONEY_COLUMNS)
    async with database.begin() as tx:
        await tx.execute(
            "DELETE FROM league_rows WHERE period = ANY($1::text[])", sorted({r["period"] for r in rows})
        )
        await tx.copy_records("league_rows", columns, records)


MONEY_COLUMNS = ("forecast", "low", "high", "actual")


def _money(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value)).quantize(Decimal("0.01"))


async def compute(database: Database, settings: Settings, periods: int, tell: Progress) -> int:
    """Forecasts the past periods anew in a process of its own, and keeps the rows."""
    rows: list[dict[str, Any]] = []
    now = await calendar.data_now(database, datetime.now(UTC))
    async for line in trainer.lines(
        settings, "training.league", "--as-of", now.isoformat(), "--periods", str(periods)
    ):
        if "row" in line:
            rows.append(line["row"])
        elif "progress" in line:
            said = line["progress"]
            await tell(said["what"], said["done"], said["total"])
    if rows:
        await keep(database, rows)
    return len(rows)


def handlers(settings: Settings) -> dict[str, Handler]:
    """`forecast.league`, with `periods` in its payload."""

    async def run(job: Job) -> dict[str, Any]:
        async def tell(what: str, done: int, total: int) -> None:
            await job.progress(done, total)

        return {"rows": await compute(job.database, settings, int(job.payload.get("periods", PERIODS)), tell)}

    return {"forecast.league": run}


async def ask(database: Database, actor: Actor, periods: int = PERIODS) -> UUID:
    """Queues the computation."""
    return await enqueue(database, "forecast.league", {"periods": periods}, actor=actor, key="all")


# Routes --------------------------------------------------------------------------------------------


@get("/forecasts/league", opt={"answer": League, "query": ("periods",)})
async def league(
    database: NamedDependency[Database], actor: NamedDependency[Actor], periods: FromQuery[int] = PERIODS
) -> Response[bytes]:
    """Error, bias and coverage of each method on past periods, by the company and its teams."""
    require(actor, "forecasts", "league")
    return answer(await read(database, actor, max(1, min(40, periods))))


routes: list[Any] = [league]
