"""The rate limit holds over processes to the last request, tells its state in headers, and opens without Redis."""

import asyncio
import subprocess
import sys
import time
from typing import Any

import pytest
from litestar import Litestar, get
from litestar.middleware import ASGIMiddleware
from litestar.testing import AsyncTestClient
from litestar.types import ASGIApp, Receive, Scope, Send
from redis.asyncio import Redis

from service import wire
from service.access import SYSTEM
from service.errors import Problem
from service.limits import Limiter, RateLimit
from service.settings import Refused, read
from tests.servers import Servers

pytestmark = pytest.mark.anyio

ONE_PROCESS = """
import asyncio, sys
from redis.asyncio import Redis
from service.limits import Limiter

async def main(url, limit):
    redis = Redis.from_url(url)
    limiter = Limiter(redis, limit, 60)
    await redis.ping()
    input()
    verdicts = await asyncio.gather(*(limiter.take("someone") for _ in range(40)))
    print(sum(v.allowed and v.limit > 0 for v in verdicts))
    await redis.aclose()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def test_four_processes_let_exactly_the_limit_through(servers: Servers) -> None:
    command = [sys.executable, "-c", ONE_PROCESS, servers.redis_url, "20"]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
        for _ in range(4)
    ]
    time.sleep(1.5)  # noqa: ASYNC251  # nothing else runs in this loop
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    counts = [int(process.communicate(timeout=30)[0]) for process in started]
    assert sum(counts) == 20, counts


async def test_the_limit_refills_with_time(servers: Servers) -> None:
    redis = Redis.from_url(servers.redis_url)
    limiter = Limiter(redis, 10, 1)
    verdicts = [await limiter.take("refill") for _ in range(11)]
    assert [v.allowed for v in verdicts].count(True) == 10
    assert verdicts[-1].wait <= 0.11
    await asyncio.sleep(0.21)
    assert [(await limiter.take("refill")).allowed for _ in range(3)] == [True, True, False]
    assert (await limiter.take("another")).allowed
    await redis.aclose()


async def test_a_large_limit_is_shared_out_and_never_passed(servers: Servers) -> None:
    redis = Redis.from_url(servers.redis_url)
    await redis.ping()
    limiters = [Limiter(redis, 1000, 600) for _ in range(3)]
    calls = [limiter.take("large") for limiter in limiters for _ in range(500)]
    allowed = sum(v.allowed for v in await asyncio.gather(*calls))
    assert 970 <= allowed <= 1000
    await redis.aclose()


async def test_without_redis_requests_pass_and_wait_at_most_50_ms() -> None:
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    silent = Redis.from_url(f"redis://127.0.0.1:{port}")
    for redis in (silent, Redis.from_url("redis://127.0.0.1:1")):
        limiter = Limiter(redis, 5, 60)
        started = time.perf_counter()
        verdict = await limiter.take("x")
        assert time.perf_counter() - started < 0.1
        assert verdict.allowed
        assert verdict.headers() == {"RateLimit-Policy": '"open"'}
        started = time.perf_counter()
        for _ in range(100):
            assert (await limiter.take("x")).allowed
        assert time.perf_counter() - started < 0.05
        await redis.aclose()
    for writer in held:
        writer.close()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.1)  # the sockets of both ends leave the loop


class Signed(ASGIMiddleware):
    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        scope["actor"] = None if scope["route_handler"].opt.get("public") else SYSTEM  # type: ignore[typeddict-unknown-key]
        await next_app(scope, receive, send)


async def test_the_answer_tells_the_state(servers: Servers) -> None:
    @get("/private", sync_to_thread=False)
    def private() -> dict[str, Any]:
        return {}

    @get("/public", opt={"public": True}, sync_to_thread=False)
    def public() -> dict[str, Any]:
        return {}

    redis = Redis.from_url(servers.redis_url)
    app = Litestar(
        [private, public],
        middleware=[Signed(), RateLimit(Limiter(redis, 2, 60))],
        exception_handlers={Problem: wire.on_problem},
        openapi_config=None,
        on_shutdown=[redis.aclose],
    )
    async with AsyncTestClient(app) as client:
        first, second, third = [await client.get("/private") for _ in range(3)]
        assert [first.status_code, second.status_code, third.status_code] == [200, 200, 429]
        assert first.headers["ratelimit-limit"] == "2"
        assert first.headers["ratelimit-remaining"] == "1"
        assert second.headers["ratelimit"].startswith('"default";r=0;t=')
        assert third.headers["ratelimit-policy"] == '"default";q=2;w=60'
        assert 1 <= int(third.headers["retry-after"]) <= 30
        assert third.headers["content-type"] == "application/problem+json"
        assert (await client.get("/public")).status_code == 200


@pytest.mark.parametrize("text", ["0/60", "5/0", "many", "5/-1", "1/2/3"])
def test_a_limit_is_two_positive_numbers(text: str) -> None:
    with pytest.raises(Refused):
        read({"SALES_RATE_LIMIT": text})


def test_a_limit_reads_as_requests_and_seconds() -> None:
    assert read({"SALES_RATE_LIMIT": "600/30"}).rate_limit == (600, 30)
    assert read({"SALES_RATE_LIMIT": "600"}).rate_limit == (600, 60)
    assert read(read({"SALES_RATE_LIMIT": "600"}).environment()).rate_limit == (600, 60)
