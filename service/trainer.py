"""The room that trains, as a process: `python -m training.…`, whose lines of JSON are read as they come.

A line is one of `{"progress": {"what", "done", "total"}}`, `{"row": {…}}` and `{"result": {…}}`; anything else is a
remark for the log. The product imports nothing of that room.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import structlog

from service.errors import Conflict
from service.settings import ROOT, Settings

log = structlog.get_logger()

LONGEST_LINE = 2**20
LAST_WORDS = 2_000
"""Characters of a failed process's error output that are kept."""


async def lines(settings: Settings, module: str, *arguments: str) -> AsyncIterator[dict[str, Any]]:
    """The lines of a run of `module`, for instance `training.league`.

    Raises `Conflict` with the process's last words when it fails; leaving early ends it.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        cwd=ROOT, env={**os.environ, **settings.environment(), **_own()}, limit=LONGEST_LINE,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    words = asyncio.create_task(process.stderr.read())
    try:
        async for raw in process.stdout:
            try:
                yield msgspec.json.decode(raw, type=dict[str, Any])
            except msgspec.DecodeError:
                log.info("training", line=raw.decode(errors="replace").rstrip())
        if await process.wait():
            raise Conflict(_ended(process.returncode or 0, (await words).decode(errors="replace").strip()))
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        words.cancel()


def _own() -> dict[str, str]:
    """What a run is told beside the settings: one thread for linear algebra, and whose end is its own (`training.ending`)."""
    return {"OMP_NUM_THREADS": "1", "SALES_READER": str(os.getpid())}


def _ended(status: int, said: str) -> str:
    """How a run ended, in a sentence for the job."""
    if status < 0:
        return f"Training was ended by {signal.Signals(-status).name} from outside, perhaps for want of memory; nothing was promoted by it."
    return f"Training ended with status {status}: {said[-LAST_WORDS:].splitlines()[-1] if said else ''}"
