"""The doorbell: after a commit, arq's Redis tells the worker to look. PostgreSQL is the truth; a lost ring costs a second.

The API rings; the worker listens through an arq worker of one function. When Redis goes away, ringing stops within
50 ms and the listener comes back by itself: the worker's own look every second does the work meanwhile.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker as ArqWorker
from arq.worker import func
from redis.exceptions import RedisError

log = structlog.get_logger()

QUEUE = "sales:bell"
RING_SECONDS = 0.05
APART_SECONDS = 0.02
"""Between two rings of one process: a ring costs more than a write, and the worker takes all that is due at once."""
PAUSE_SECONDS = 5.0
"""How long no ring is tried after one failed."""


def _settings(url: str) -> RedisSettings:
    settings = RedisSettings.from_dsn(url)
    settings.conn_timeout = 1
    settings.conn_retries = 0
    return settings


def _encode(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value, enc_hook=str)


def bell(url: str) -> Callable[[], Awaitable[None]]:
    """A function that rings; it never raises and never waits: what rings while it rings is one more ring after it."""
    state: dict[str, Any] = {"pool": None, "quiet_until": 0.0, "asked": False, "pressing": None}

    async def press() -> None:
        pool: ArqRedis | None = state["pool"]
        if pool is None:
            pool = state["pool"] = await create_pool(
                _settings(url),
                job_serializer=_encode,
                job_deserializer=msgspec.json.decode,
                default_queue_name=QUEUE,
            )
        await pool.enqueue_job("look", _job_id="look")

    async def press_while_asked() -> None:
        loop = asyncio.get_running_loop()
        while state["asked"]:
            state["asked"] = False
            try:
                await asyncio.wait_for(press(), RING_SECONDS)
            except (RedisError, OSError, TimeoutError) as error:
                state["quiet_until"] = loop.time() + PAUSE_SECONDS
                log.warning("the bell is away, the worker looks by itself", error=str(error))
                return
            await asyncio.sleep(APART_SECONDS)

    async def ring() -> None:
        if asyncio.get_running_loop().time() < state["quiet_until"]:
            return
        state["asked"] = True
        pressing = state["pressing"]
        if pressing is None or pressing.done():
            state["pressing"] = asyncio.create_task(press_while_asked())

    return ring


async def listen(url: str, ring: Callable[[], None]) -> None:
    """Calls `ring` for each ring that arrives, for ever; comes back when Redis does."""

    async def look(ctx: dict[str, Any]) -> None:
        ring()

    while True:
        worker: ArqWorker | None = None
        try:
            worker = ArqWorker(
                functions=[func(look, name="look", keep_result=0, max_tries=1)],
                queue_name=QUEUE,
                redis_settings=_settings(url),
                job_serializer=_encode,
                job_deserializer=msgspec.json.decode,
                poll_delay=0.05,
                handle_signals=False,
                keep_result=0,
                health_check_interval=3600,
            )
            await worker.async_run()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("the bell is away", error=str(error))
        finally:
            if worker is not None:
                with contextlib.suppress(RedisError, OSError, RuntimeError):
                    await worker.close()
        await asyncio.sleep(PAUSE_SECONDS)
