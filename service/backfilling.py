"""The online store filled anew from history, for everything that is open; a run that was ended goes on where it was.

How far it is stands in a file of the home, with the meaning of what is stored: after a change of meaning, or a day later,
it begins at the beginning. Without Redis there is nothing to fill: the run ends and says so, and the next goes on. What
Redis lost on the way (a restart, a FLUSHALL) is looked for at the end and filled again.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from features.catalogue import ENTITIES
from service.jobs import Job
from service.settings import Settings
from service.store import Store, store_of
from service.worker import Handler

CHUNK = 500
GOES_ON_SECONDS = 24 * 3600.0
ROUNDS = 5
"""How often what Redis lost is filled again before the run gives up."""
WHOSE = {
    "opportunity": "SELECT id FROM opportunities WHERE deleted_at IS NULL AND status = 'open'"
    " /* access:opportunities */",
    "account": "SELECT id FROM accounts WHERE deleted_at IS NULL /* access:accounts */",
    "user": "SELECT id FROM users WHERE deleted_at IS NULL",
    "lead": "SELECT id FROM leads WHERE deleted_at IS NULL AND status NOT IN ('converted', 'unqualified')"
    " /* access:leads */",
}
"""Whose facts are kept online."""

Tell = Callable[[str, int, int], Awaitable[None]]
"""Called with the entity, how many of it are done, and of how many."""


class RedisAway(Exception):
    """Redis cannot be reached, or loses what it is given."""


class Mark(msgspec.Struct):
    """How far a run was: entity → the last id that is done. `meaning` names what is stored."""

    meaning: str
    at: float
    done: dict[str, UUID] = {}


def meaning() -> str:
    """Changes when what is stored of any entity does."""
    return " ".join(ENTITIES[name].fingerprint[:12] for name in WHOSE)


def begun(path: Path) -> Mark:
    """Where a run that was ended stood; a new beginning where there was none that still counts."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Mark)
    except (OSError, msgspec.MsgspecError):
        found = Mark("", 0.0)
    if found.meaning != meaning() or time.time() - found.at > GOES_ON_SECONDS:
        return Mark(meaning(), time.time())
    return found


async def backfill(store: Store, home: Path, tell: Tell) -> dict[str, int]:
    """Fills the store; returns how many of each entity it holds now. Raises `RedisAway`; the next run goes on."""
    path = home / "backfill.json"
    mark = begun(path)
    await store.now(is_fresh=True)
    every = {
        entity: [row["id"] for row in await store.database.fetch(sql + " ORDER BY id")]
        for entity, sql in WHOSE.items()
    }
    for entity, ids in every.items():
        last: Any = mark.done.get(entity)
        left = [one for one in ids if last is None or one > last]
        for start in range(0, len(left), CHUNK):
            part = left[start : start + CHUNK]
            await _fill(store, entity, [str(one) for one in part])
            mark.done[entity] = part[-1]
            path.write_bytes(msgspec.json.encode(mark))
            await tell(entity, len(ids) - len(left) + start + len(part), len(ids))
    await _fill_again(store, every)
    path.unlink(missing_ok=True)
    return {entity: len(ids) for entity, ids in every.items()}


async def _fill(store: Store, entity: str, ids: Sequence[str]) -> None:
    """Reads and keeps some; Redis must have them afterwards, for `keep` passes over one that is away."""
    await store.online.refresh(ENTITIES[entity], (await store.now()).spine(ids))
    await _unkept(store, entity, ids)


async def _fill_again(store: Store, every: dict[str, list[UUID]]) -> None:
    """Fills what is not there although the run has filled it, until nothing is missing."""
    for _ in range(ROUNDS):
        missing = 0
        for entity, ids in every.items():
            names = [str(one) for one in ids]
            for start in range(0, len(names), CHUNK):
                lost = await _unkept(store, entity, names[start : start + CHUNK])
                missing += len(lost)
                if lost:
                    await _fill(store, entity, lost)
        if not missing:
            return
    raise RedisAway(f"Redis loses what it is given: {missing} entities are missing after {ROUNDS} rounds")


async def _unkept(store: Store, entity: str, ids: Sequence[str]) -> list[str]:
    try:
        return await store.online.unkept(ENTITIES[entity], ids)
    except store.online.errors as error:
        words = f"{type(error).__name__}: {error}"
        raise RedisAway(f"Redis cannot be reached ({words}); the next run goes on from here") from None


def handlers(settings: Settings) -> dict[str, Handler]:
    """`features.backfill`: goes on after a kill, and is tried again while Redis is away."""

    async def run(job: Job) -> dict[str, Any]:
        done: dict[str, int] = {}
        total: dict[str, int] = {}

        async def tell(entity: str, count: int, of: int) -> None:
            done[entity], total[entity] = count, of
            await job.progress(sum(done.values()), sum(total.values()), counts=done)

        store = store_of(job.database, settings.redis_url)
        return {"entities": await backfill(store, settings.home, tell)}

    return {"features.backfill": run}
