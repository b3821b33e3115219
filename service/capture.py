"""Capture: what another system hands over is stored once, however often it is handed over.

A record that names where it comes from (an activity's `source` and `source_id`) is answered with the record that is
there, if it says the same; what was edited since counts as said. One that says something else is a conflict.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from service.access import Actor, guard, hidden
from service.db import Params, Tx, to_json
from service.errors import Conflict, Pointer

Row = Mapping[str, Any]


def _same(sent: Any, kept: Any) -> bool:
    return bool(sent == kept) or msgspec.json.decode(to_json(sent)) == msgspec.json.decode(to_json(kept))


def differences(sent: Row, kept: Row) -> list[Pointer]:
    """The members that were sent with another value than the one that was captured; null says nothing."""
    return [
        {"pointer": f"/{name}", "detail": "was captured with another value"}
        for name, value in sent.items()
        if value is not None and not _same(value, kept[name])
    ]


async def known(tx: Tx, actor: Actor, table: str, once: Sequence[str], draft: Row) -> UUID | None:
    """The record that was captured under the same name before; None where there is none to be told of.

    Raises `Conflict` where it said something else, or is out of this actor's sight.
    """
    named = [draft.get(name) for name in once]
    if not once or None in named or not hidden(actor, table).isdisjoint(draft):
        return None
    params = Params(named)
    where = " AND ".join(f't."{name}" = ${index}' for index, name in enumerate(once, 1))
    row = await tx.fetchrow(
        f"SELECT t.id, {guard(actor, table, 't', params)} AS is_seen FROM {table} t"
        f" WHERE {where} AND t.deleted_at IS NULL",
        *params,
    )
    if row is None:
        return None
    if not row["is_seen"]:
        raise Conflict(f"It is captured already, for somebody else: {' '.join(map(str, named))}.")
    first = await tx.fetchrow(
        f"SELECT h.* FROM history.{table} h WHERE h.id = $1 ORDER BY h.version LIMIT 1 /* access:{table} */",
        row["id"],
    )
    if errors := differences(draft, dict(first)):
        raise Conflict(
            "It is captured already, with other values: change that record.", errors=errors, id=str(row["id"])
        )
    return row["id"]  # type: ignore[no-any-return]
