"""The worker: leases due jobs and runs them. arq's ring makes it look at once; without Redis it looks every second."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog

from service import jobs
from service.db import Database
from service.errors import Problem
from service.jobs import Job
from service.pool import AWAY
from service.reactions import BATCHES

log = structlog.get_logger()

Handler = Callable[[Any], Awaitable[dict[str, Any] | None]]
"""Takes a `Job`, or the list of jobs of a batch type, and returns the result."""

LOOK_SECONDS = 1.0
LANES = 6
"""Jobs of different types that run side by side in one worker; jobs of one type run one after the other."""


class Worker:
    """Runs `handlers` (job type → handler) until `stop`."""

    def __init__(self, database: Database, handlers: dict[str, Handler]) -> None:
        self.database = database
        self.handlers = handlers
        self.bell = asyncio.Event()
        self.stopping = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}

    def ring(self) -> None:
        """Something is due."""
        self.bell.set()

    def stop(self) -> None:
        self.stopping.set()
        self.bell.set()

    async def run(self) -> None:
        """Looks for due jobs until stopped; then lets those under way end."""
        while not self.stopping.is_set():
            self.bell.clear()
            await self._start_due()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.bell.wait(), LOOK_SECONDS)
        if self._busy:
            await asyncio.wait(self._busy.values(), timeout=20)

    async def drain(self) -> None:
        """Runs all that is due now, and what follows from it, then returns: for commands and tests."""
        while claimed := await jobs.claim(self.database, BATCHES, []):
            await self._work(claimed)

    async def _start_due(self) -> None:
        while len(self._busy) < LANES:
            try:
                claimed = await jobs.claim(self.database, BATCHES, list(self._busy))
            except AWAY as error:
                log.warning("the database is away", error=str(error))
                return
            if not claimed:
                return
            type_ = claimed[0].type
            task = asyncio.create_task(self._work(claimed))
            self._busy[type_] = task
            task.add_done_callback(partial(self._done, type_))

    def _done(self, type_: str, task: "asyncio.Task[None]") -> None:
        self._busy.pop(type_, None)
        if not task.cancelled() and (error := task.exception()):
            log.warning("a job was left to its lease", type=type_, error=str(error))
        self.bell.set()

    async def _work(self, claimed: list[Job]) -> None:
        type_ = claimed[0].type
        handler = self.handlers.get(type_)
        if handler is None:
            await jobs.fail(self.database, claimed, f"no handler for {type_}", final=True)
            return
        keeper = asyncio.create_task(self._keep(claimed))
        try:
            result = await handler(claimed if type_ in BATCHES else claimed[0])
        except Problem as error:
            log.warning("job refused", type=type_, detail=error.detail)
            await jobs.fail(self.database, claimed, error.detail, final=True)
        except Exception as error:
            log.exception("job failed", type=type_, jobs=len(claimed))
            await jobs.fail(self.database, claimed, f"{type(error).__name__}: {error}")
        else:
            await jobs.finish(self.database, claimed, result)
        finally:
            keeper.cancel()

    async def _keep(self, claimed: list[Job]) -> None:
        while True:
            await asyncio.sleep(jobs.LEASE_SECONDS / 3)
            try:
                await jobs.extend(self.database, claimed)
            except AWAY as error:
                log.warning("a lease was not renewed", type=claimed[0].type, error=str(error))


async def serve(worker: Worker) -> None:
    """Runs until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, worker.stop)
    await worker.run()
