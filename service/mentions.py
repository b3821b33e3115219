"""Mentions: who is called in a text, and whether they may see what it is about.

A mention is `@` with an address (`@lena@acme.example`) or with the part before its sign (`@lena`), where exactly one
active user has it. A word behind `@` that is nobody's stays plain text.
"""

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from service import sight
from service.auth import actor_of_user
from service.db import Database, Tx
from service.errors import Invalid, Unauthorized

MOST = 20
_HANDLE = re.compile(
    r"(?<![\w@.])@([A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*(?:@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)?)"
)

_BY_HANDLE = """
SELECT h.handle, min(u.id::text)::uuid AS id
FROM unnest($1::text[]) AS h(handle)
JOIN users u ON lower(u.email) = h.handle
    OR (position('@' IN h.handle) = 0 AND split_part(lower(u.email), '@', 1) = h.handle)
WHERE u.is_active AND u.deleted_at IS NULL
GROUP BY h.handle HAVING count(*) = 1"""


def handles(text: str) -> list[str]:
    """What stands behind an `@` in a text, in lower case, each once."""
    return list(dict.fromkeys(match.lower() for match in _HANDLE.findall(text)))[:MOST]


async def called(run: Tx | Database, text: str) -> list[UUID]:
    """The users that a text mentions."""
    wanted = handles(text)
    if not wanted:
        return []
    rows = await run.fetch(_BY_HANDLE, wanted)
    return [row["id"] for row in rows]


async def sees(run: Tx | Database, user_id: UUID, entity_type: str, record_id: UUID) -> bool:
    """Whether an active user may see a record."""
    try:
        actor = await actor_of_user(run, user_id)
    except Unauthorized:
        return False
    return record_id in await sight.visible_ids(run, actor, entity_type, [record_id])


async def must_see(
    run: Tx | Database, users: Sequence[UUID], entity_type: str, record_id: Any, pointers: Sequence[str]
) -> None:
    """Raises `Invalid` that points at each user who may not see the record, by the pointer in the same place."""
    errors = [
        {"pointer": pointer, "detail": "may not see this record"}
        for user_id, pointer in zip(users, pointers, strict=True)
        if not await sees(run, user_id, entity_type, record_id)
    ]
    if errors:
        raise Invalid(f"{errors[0]['pointer']}: {errors[0]['detail']}", errors=errors)
