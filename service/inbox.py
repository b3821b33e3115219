"""What goes into people's inboxes: made of events in `telling`, and by the clock in `due`.

A notice is made once, by its key, however often a job runs; it goes to who may still see what it is about, the way
that they prefer for its kind. Nobody is told of what they did themselves.
"""

from collections.abc import Iterable
from uuid import UUID

import msgspec

from service import jobs, sight
from service.access import SYSTEM, visible
from service.auth import actor_of_user
from service.db import Database, Params, Tx
from service.errors import Unauthorized
from service.ids import new_id

MOST_QUOTE = 140


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A notification that may be made. `about` is the record that its reader must be able to see."""

    user_id: UUID
    kind: str
    text: str
    key: str
    about: tuple[str, UUID]
    opportunity_id: UUID | None = None
    actor_id: UUID | None = None


def seen(table: str, alias: str) -> str:
    """The marker of a read for the product's own work."""
    return visible(SYSTEM, table, alias, Params())


def quoted(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_QUOTE else f"{line[: MOST_QUOTE - 1].rstrip()}…"


# Making them ---------------------------------------------------------------------------------------

_CHANNELS = "SELECT user_id, kind, channel FROM notification_preferences WHERE user_id = ANY($1::uuid[])"
_STORE = """
INSERT INTO notifications AS n (id, user_id, kind, text, record_type, record_id, opportunity_id, actor_id, key, created_at)
SELECT x.*, clock_timestamp() FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::uuid[], $8::uuid[],
                     $9::text[]) AS x
ON CONFLICT (user_id, key) DO NOTHING RETURNING n.id, n.user_id, n.kind"""


async def _seeing(run: Tx | Database, notices: list[Notice]) -> set[tuple[UUID, str, UUID]]:
    """(reader, entity type, id) of those records that their readers may see now; each reader is looked up once."""
    asked: dict[UUID, dict[str, list[UUID]]] = {}
    for notice in notices:
        asked.setdefault(notice.user_id, {}).setdefault(notice.about[0], []).append(notice.about[1])
    found: set[tuple[UUID, str, UUID]] = set()
    for user_id, records in asked.items():
        try:
            actor = await actor_of_user(run, user_id)
        except Unauthorized:  # no longer active
            continue
        for entity_type, ids in records.items():
            visible_ones = await sight.visible_ids(run, actor, entity_type, ids)
            found |= {(user_id, entity_type, record_id) for record_id in visible_ones}
    return found


async def put(run: Tx | Database, notices: Iterable[Notice]) -> int:
    """Stores, in their order, those notices that are new, wanted and allowed, and asks for the mails among them; how many there were."""
    wanted = [each for each in notices if each.user_id != each.actor_id]
    channels = {
        (row["user_id"], row["kind"]): row["channel"]
        for row in await run.fetch(_CHANNELS, list({each.user_id for each in wanted}))
    }
    heard = [each for each in wanted if channels.get((each.user_id, each.kind)) != "off"]
    seeing = await _seeing(run, heard)
    let = [each for each in heard if (each.user_id, *each.about) in seeing]
    if not let:
        return 0
    rows = [(new_id(), n.user_id, n.kind, n.text, *n.about, n.opportunity_id, n.actor_id, n.key) for n in let]
    made = await run.fetch(_STORE, *[list(column) for column in zip(*rows, strict=True)])
    for row in made:
        if channels.get((row["user_id"], row["kind"])) == "mail":
            await jobs.enqueue(run, "inbox.mail", {"id": str(row["id"])}, key=str(row["id"]))
    return len(made)
