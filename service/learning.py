"""Training asked for by the product: a process of its own, what it chose promoted, MLflow told; the jobs that do so."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from registry import champion, silent
from service import calendar, trainer
from service.access import SYSTEM, Actor
from service.db import Database
from service.domains.models import NAMES, SCORED, WATCHED, Promotion, known, promote
from service.errors import Conflict
from service.jobs import Job, enqueue
from service.settings import Settings
from service.worker import Handler

Tell = Callable[[str, int, int], Awaitable[None]]


class Away(Exception):
    """A part that is not ours cannot be reached; says which."""


async def learn(
    database: Database,
    settings: Settings,
    names: Sequence[str],
    tell: Tell,
    *,
    as_of: datetime | None = None,
    actor: Actor = SYSTEM,
) -> list[dict[str, Any]]:
    """Trains in a process of its own, then promotes the best publishable version of each model that nobody pinned."""
    now = as_of or await calendar.data_now(database, datetime.now(UTC))
    results: list[dict[str, Any]] = []
    arguments = ("learn", "--models", ",".join(names), "--as-of", now.isoformat())
    try:
        async for line in trainer.lines(settings, "training", *arguments):
            if "result" in line:
                results.append(line["result"])
            elif "progress" in line:
                said = line["progress"]
                await tell(said["what"], said["done"], said["total"])
    finally:  # models that were learned serve, whatever became of another
        for result in results:
            if result["is_chosen"]:
                result["is_promoted"] = await _seat(database, actor, result, settings.home / "models")
    return results


async def _seat(database: Database, actor: Actor, result: dict[str, Any], folder: Path) -> bool:
    """Promotes what training chose, unless a person pinned another version."""
    name = result["model"]
    async with database.begin() as tx:
        serving = await champion.champion(tx, name)
        if serving and serving["pinned"]:
            if name in WATCHED:  # it is watched beside the pinned one
                await silent.name(
                    tx, name, "shadow", result["version"], by="training", reason="another version is pinned"
                )
            return False
        chosen = Promotion(
            version=result["version"], reason="the best rolling loss among versions that passed all gates"
        )
        await promote(tx, actor, name, chosen, folder, pinned=False)
    return True


async def backtest(database: Database, settings: Settings, name: str, tell: Tell) -> list[dict[str, Any]]:
    """Trains and judges like `learn`, and registers nothing."""
    now = await calendar.data_now(database, datetime.now(UTC))
    results = []
    async for line in trainer.lines(
        settings, "training", "judge", "--models", name, "--as-of", now.isoformat()
    ):
        if "result" in line:
            results.append(line["result"])
        elif "progress" in line:
            await tell(*(line["progress"][key] for key in ("what", "done", "total")))
    return results


async def mirror(settings: Settings) -> dict[str, Any]:
    """Shows MLflow all versions that it does not know yet, and the champions."""
    told: dict[str, Any] = {}
    async for line in trainer.lines(settings, "training", "mirror"):
        told = line.get("result", told)
    return told


def handlers(settings: Settings) -> dict[str, Handler]:
    """`models.learn` (`models` in its payload: all by default) and `models.mirror`."""

    async def run_learn(job: Job) -> dict[str, Any]:
        async def tell(what: str, done: int, total: int) -> None:
            await job.progress(done, total)

        names = [known(name) for name in job.payload.get("models", NAMES)]
        try:
            results = await learn(job.database, settings, names, tell)
        except Conflict:
            await enqueue(job.database, "score.all", key="all")  # whoever speaks meanwhile
            raise
        if not any(result.get("is_promoted") for result in results if result["model"] in SCORED):
            await enqueue(job.database, "score.all", key="all")
        return {"models": results}

    async def run_mirror(job: Job) -> dict[str, Any]:
        told = await mirror(settings)
        if settings.mlflow_database_url and "reason" in told:
            raise Away(told["reason"])  # it is tried again, and stands as failed with this reason in the end
        return told

    return {"models.learn": run_learn, "models.mirror": run_mirror}
