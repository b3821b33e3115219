"""`sales serve` and `sales work`: the API and the worker, each alone."""

import asyncio
import sys
from contextlib import suppress
from typing import Any

import click
import structlog
import uvicorn

from service import observe, relay, schedule, supposing
from service.app import create_app
from service.commands.common import opened
from service.db import Database
from service.settings import Refused, Settings
from service.system import port_taken
from service.worker import Worker
from service.worker import serve as serve_jobs
from service.worker_main import handlers

log = structlog.get_logger()

TELL_SECONDS = 3.0
_WAITING = """
SELECT type, count(*) AS jobs, sum(processed) AS processed, sum(total) AS total FROM jobs
WHERE status IN ('queued', 'running') AND run_at <= now() GROUP BY type ORDER BY type"""

GRACE_SECONDS = 10
"""How long requests under way may take once the server is told to end."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
def serve(host: str) -> None:
    """Serve the API and the pages on PORT."""
    with opened() as settings:
        if port_taken(settings.port):
            raise Refused(f"Port {settings.port} is taken: choose another, such as PORT={settings.port + 1}.")
        observe.configure(settings.log_level, stream=sys.stdout)
        config = uvicorn.Config(
            create_app(settings),
            host=host,
            port=settings.port,
            loop="uvloop",
            http="httptools",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        with suppress(KeyboardInterrupt):  # uvicorn raises the signal again once all answers are out
            uvicorn.Server(config).run()


@click.command()
@click.option("--drain", is_flag=True, help="Run what is due, and what follows from it, then end.")
def work(drain: bool) -> None:
    """Run jobs: scores, web hooks, training, imports and the clock."""
    with opened() as settings:
        try:
            asyncio.run(_work(settings, drain))
        except KeyboardInterrupt:
            if drain:
                raise  # whoever waits for the end must know that this was not it


async def _work(settings: Settings, drain: bool) -> None:
    database = await Database.open(settings.database_app_url, min_size=1, max_size=8)
    worker = Worker(database, handlers(settings))
    try:
        await (_drain(worker) if drain else _until_told(worker, settings))
    finally:
        await database.close()


async def _drain(worker: Worker) -> None:
    """Runs what is due side by side, says every few seconds what that is, and ends when nothing is left."""
    teller = asyncio.create_task(_tell(worker.database))
    running = asyncio.create_task(worker.run())
    try:
        while await worker.database.fetch(_WAITING) and not running.done():  # noqa: ASYNC110  # see below
            await asyncio.sleep(0.2)  # other processes finish jobs too, and none of them tells us
        worker.stop()
        await running
    finally:
        teller.cancel()


async def _tell(database: Database) -> None:
    told = ""
    while True:
        await asyncio.sleep(TELL_SECONDS)
        rows = await database.fetch(_WAITING)
        words = ", ".join(f"{row['type']} {row['jobs']:,}{_share(row)}" for row in rows)
        if words != told:
            click.echo(f"  {words}", err=True)
            told = words


def _share(row: Any) -> str:
    return f" ({row['processed']:,} of {row['total']:,})" if row["total"] else ""


async def _until_told(worker: Worker, settings: Settings) -> None:
    beside = [
        asyncio.create_task(relay.listen(settings.redis_url, worker.ring)),
        asyncio.create_task(schedule.keep(worker.database)),
        asyncio.create_task(supposing.warm(worker.database, settings)),
    ]
    try:
        await serve_jobs(worker)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


commands: list[click.Command] = [serve, work]
