"""Connections to PostgreSQL that are lent without ceremony.

asyncpg's own pool shields, resets and wraps each loan: 150 µs a statement, of which this one spends a fifth. Nothing in
the product leaves state behind in a session, so a connection goes back as it is; one whose statement was interrupted,
or whose server went away, is dropped instead of being lent again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import asyncpg

IDLE_SECONDS = 60.0
"""After so long without use a connection beyond the smallest number is closed: each costs the server megabytes."""
CLOSE_SECONDS = 5.0

AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
)
"""What a statement raises while the server is away, ends or starts: what runs for ever looks again later."""

Opener = Callable[[], Awaitable[Any]]


class Pool:
    """At most `most` connections; the one used last is lent first."""

    def __init__(self, opener: Opener, least: int, most: int) -> None:
        self._open = opener
        self._least = least
        self._turns = asyncio.Semaphore(most)
        self._free: list[tuple[Any, float]] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def fill(self) -> None:
        """Opens the smallest number, so that a wrong address shows at once."""
        for _ in range(self._least):
            self._free.append((await self._open(), monotonic()))

    async def take(self) -> Any:
        """A connection that is open, as far as one can know; waits for one when all are lent."""
        await self._turns.acquire()
        try:
            while self._free:
                connection, _ = self._free.pop()
                if not connection.is_closed():
                    return connection
            return await self._open()
        except BaseException:
            self._turns.release()
            raise

    def give(self, connection: Any, error: BaseException | None = None) -> None:
        """Takes it back. After an `error` that the server did not send itself nobody knows its state: it is dropped."""
        healthy = error is None or isinstance(error, asyncpg.PostgresError)
        if self._is_closed or not healthy or connection.is_closed():
            connection.terminate()
        else:
            self._free.append((connection, monotonic()))
            if len(self._free) > self._least and self._free[0][1] < monotonic() - IDLE_SECONDS:
                self._end(self._free.pop(0)[0])
        self._turns.release()

    def _end(self, connection: Any) -> None:
        task = asyncio.create_task(_close(connection))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Closes what is not lent; what is lent ends when it comes back."""
        self._is_closed = True
        free, self._free = self._free, []
        await asyncio.gather(*(_close(connection) for connection, _ in free), *self._ending)


async def _close(connection: Any) -> None:
    try:
        await connection.close(timeout=CLOSE_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
