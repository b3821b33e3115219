"""A bounded load over loopback, and the processor time that the served process spent on it."""

import asyncio
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import NamedTuple

import psutil


class Call(NamedTuple):
    """One HTTP request: method, path, headers, body, and the status that counts as right."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    expect: int = 200


class Measured(NamedTuple):
    """CPU seconds of the process per request, and latencies in seconds, sorted."""

    cpu: float
    latencies: list[float]

    def quantile(self, share: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


def _encode(call: Call) -> bytes:
    lines = [f"{call.method} {call.path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(call.body)}"]
    lines += [f"{name}: {value}" for name, value in call.headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + call.body


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))
    return status


async def run(port: int, make: Callable[[int], Call], requests: int, connections: int = 16) -> list[float]:
    """Sends `requests` calls over `connections` connections; raises on the first unexpected status."""
    numbers, latencies = count(), []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while (number := next(numbers)) < requests:
                call = make(number)
                started = time.perf_counter()
                writer.write(_encode(call))
                status = await _answer(reader)
                latencies.append(time.perf_counter() - started)
                if status != call.expect:
                    raise RuntimeError(f"{call.method} {call.path} answered {status}, not {call.expect}")
        finally:
            writer.close()

    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one())
    return sorted(latencies)


def _cpu(pid: int) -> float:
    """Seconds on a processor of the process and its children: to the nanosecond where the kernel tells, else in ticks."""
    process = psutil.Process(pid)
    return sum(_on_cpu(each) for each in (process, *process.children(recursive=True)))


def _on_cpu(process: psutil.Process) -> float:
    threads = [Path(f"/proc/{process.pid}/task/{thread.id}/schedstat") for thread in process.threads()]
    if not all(path.exists() for path in threads):
        return float(sum(process.cpu_times()[:2]))
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9


async def measure(port: int, pid: int, make: Callable[[int], Call], requests: int) -> Measured:
    """Warms up with a tenth, then measures."""
    await run(port, make, max(16, requests // 10))
    before = _cpu(pid)
    latencies = await run(port, lambda number: make(number + requests), requests)
    return Measured((_cpu(pid) - before) / requests, latencies)
