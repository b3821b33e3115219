"""The online store filled anew from history, for everything that is open; a run that was ended goes on where it was.

How far it is stands in a file of the home, with the meaning of what is stored: after a change of meaning, or a day later,
it begins at the beginning.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from features.catalogue import ENTITIES
from service.store import Store

CHUNK = 500
GOES_ON_SECONDS = 24 * 3600.0
WHOSE = {
    "opportunity": "SELECT id FROM opportunities WHERE deleted_at IS NULL AND status = 'open'"
    " /* access:opportunities */",
    "account": "SELECT id FROM accounts WHERE deleted_at IS NULL /* access:accounts */",
    "user": "SELECT id FROM users WHERE deleted_at IS NULL",
    "lead": "SELECT id FROM leads WHERE deleted_at IS NULL AND status NOT IN ('converted', 'unqualified')"
    " /* access:leads */",
}
"""Whose facts are kept online."""

Tell = Callable[[str, int, int], None]
"""Called with the entity, how many of it are done, and of how many."""


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
    """Fills the store; returns how many of each entity this run has done."""
    path, counts = home / "backfill.json", dict.fromkeys(WHOSE, 0)
    mark, now = begun(path), await store.now(is_fresh=True)
    for entity, sql in WHOSE.items():
        every = [row["id"] for row in await store.database.fetch(sql + " ORDER BY id")]
        last: Any = mark.done.get(entity)
        ids = [one for one in every if last is None or one > last]
        for start in range(0, len(ids), CHUNK):
            part = ids[start : start + CHUNK]
            await store.online.refresh(ENTITIES[entity], now.spine(part))
            counts[entity] += len(part)
            mark.done[entity] = part[-1]
            path.write_bytes(msgspec.json.encode(mark))
            tell(entity, len(every) - len(ids) + counts[entity], len(every))
    path.unlink(missing_ok=True)
    return counts
