"""Rate limits that hold across processes: the generic cell rate algorithm, in Lua, on Redis' own clock.

A process takes what it may spend in small shares (one hundredth of the limit, so one by one for small limits): the sum
over all processes never passes the limit, and a busy process asks Redis once in a hundred requests.
Without Redis the mode is **open**: requests pass unlimited and say so (`RateLimit-Policy: "open"`). The first such
request waits 50 ms at most, those of the next seconds do not wait at all.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

import msgspec
import structlog
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.errors import TooManyRequests

log = structlog.get_logger()

WAIT_SECONDS = 0.05
QUIET_SECONDS = 5.0
SHARE_SECONDS = 1.0
MOST_SHARES = 20_000

_GCRA = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local limit, period, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local step = period / limit
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local room = math.floor((now + period - due) / step + 0.000001)
local given = math.min(room, wanted)
if given >= 1 then
    due = due + given * step
    redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000) + 1)
end
return {given, math.max(room - given, 0), math.ceil((due - now) / 1000), math.ceil((due + step - period - now) / 1000)}
"""
"""KEYS: the subject. ARGV: limit, period in µs, wanted. Returns granted, left, ms until all is free, until one is."""


class Verdict(msgspec.Struct, frozen=True):
    """`remaining` requests of this period; `reset` and `wait` in seconds. `limit` 0: nobody counted (mode open)."""

    allowed: bool
    limit: int
    period: int
    remaining: int = 0
    reset: float = 0.0
    wait: float = 0.0

    def headers(self) -> dict[str, str]:
        """Both spellings in use: draft-ietf-httpapi-ratelimit-headers 10 and its widespread older one."""
        if not self.limit:
            return {"RateLimit-Policy": '"open"'}
        reset = str(int(self.reset + 0.999))
        return {
            "RateLimit-Policy": f'"default";q={self.limit};w={self.period}',
            "RateLimit": f'"default";r={self.remaining};t={reset}',
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": reset,
        }


class _Share(msgspec.Struct):
    left: int
    until: float
    remaining: int
    reset: float


class Limiter:
    """At most `limit` requests of one subject in any `period` seconds, over all processes that share the Redis."""

    def __init__(
        self, redis: Redis, limit: int, period: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit, self.period = limit, period
        self.redis = redis
        self.share = max(1, limit // 100)
        self._script = redis.register_script(_GCRA)
        self._shares: dict[str, _Share] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._clock = clock
        self._quiet_until = 0.0

    async def take(self, subject: str) -> Verdict:
        """Counts one request of `subject`. Of concurrent ones of a process one asks, the others share its answer."""
        if verdict := self._of_share(subject):
            return verdict
        async with self._turns.setdefault(subject, asyncio.Lock()):
            if verdict := self._of_share(subject):
                return verdict
            if self._clock() < self._quiet_until:
                return Verdict(True, 0, self.period)
            try:
                return self._settle(subject, await self._patiently(subject))
            except (RedisError, OSError, TimeoutError) as error:
                self._quiet_until = self._clock() + QUIET_SECONDS
                log.warning("rate limits are open: Redis is away", error=repr(error))
                return Verdict(True, 0, self.period)

    def _of_share(self, subject: str) -> Verdict | None:
        share = self._shares.get(subject)
        if share is None or share.left <= 0 or share.until <= self._clock():
            return None
        share.left -= 1
        return Verdict(True, self.limit, self.period, share.remaining + share.left, share.reset)

    async def _patiently(self, subject: str) -> list[int]:
        """Redis' answer, or `TimeoutError` after 50 ms; time in which this process was itself busy does not count."""
        asking = asyncio.create_task(self._ask(subject))
        for _ in range(5):
            started = time.monotonic()
            done, _pending = await asyncio.wait({asking}, timeout=WAIT_SECONDS)
            if done:
                return asking.result()
            if time.monotonic() - started < WAIT_SECONDS * 1.4:
                break
        asking.cancel()
        await asyncio.wait({asking}, timeout=WAIT_SECONDS)
        raise TimeoutError(f"no answer within {WAIT_SECONDS} s")

    async def _ask(self, subject: str) -> list[int]:
        arguments = [self.limit, self.period * 1_000_000, self.share]
        return await self._script(keys=[f"sales:limit:{subject}"], args=arguments)  # type: ignore[no-any-return]

    def _settle(self, subject: str, answer: list[int]) -> Verdict:
        given, room, reset, wait = answer
        if given < 1:
            return Verdict(False, self.limit, self.period, 0, reset / 1000, max(wait, 0) / 1000)
        if given > 1:
            if len(self._shares) >= MOST_SHARES:
                self._shares.clear()
            self._shares[subject] = _Share(given - 1, self._clock() + SHARE_SECONDS, room, reset / 1000)
        return Verdict(True, self.limit, self.period, room + given - 1, reset / 1000)


class RateLimit(ASGIMiddleware):
    """Counts each request that is not `opt={"public": True}` for its user, and answers 429 beyond the limit.

    It stands behind authentication.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        actor: Any = scope.get("actor")
        if actor is None:
            await next_app(scope, receive, send)
            return
        verdict = await self.limiter.take(str(actor.id))
        headers = verdict.headers()
        if not verdict.allowed:
            retry = {"Retry-After": str(max(1, int(verdict.wait + 0.999)))}
            raise TooManyRequests(
                f"More than {verdict.limit} requests in {verdict.period} s.", headers=headers | retry
            )
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *raw]
            await send(message)

        await next_app(scope, receive, with_headers)
