"""The ledger: one immutable event for each thing that was meant, and a job for each reaction to it.

History holds the facts (the versions of rows), the ledger the intent (who, by which door, which kind, which change
set). What changed is read from history by the event's id, never stored again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from service.access import Actor
from service.db import INSTANT, Tx, Xid8, metadata, to_json
from service.ids import new_id
from service.reactions import reactions_of

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("position", sa.BigInteger, sa.Identity(always=True), nullable=False),
    sa.Column("xid", Xid8, nullable=False, server_default=sa.text("pg_current_xact_id()")),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("entity_type", sa.Text, nullable=False),
    sa.Column("entity_id", sa.Uuid),
    sa.Column("entity_version", sa.Integer),
    sa.Column("actor_id", sa.Uuid),
    sa.Column("door", sa.Text, nullable=False),
    sa.Column("change_id", sa.Uuid, nullable=False),
    sa.Column("data", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("occurred_at", INSTANT, nullable=False),
    sa.Column("recorded_at", INSTANT, nullable=False, server_default=sa.text("clock_timestamp()")),
    sa.Index("ix_events_entity", "entity_type", "entity_id", "position"),
    sa.Index("ix_events_set", "change_id", "id"),
    sa.Index("ix_events_actor", "actor_id", "id"),
    sa.Index("ix_events_feed", "xid", "position"),
    schema="ledger",
)

EVENT_COLUMNS = (
    "id, kind, entity_type, entity_id, entity_version, actor_id, door, change_id, data, occurred_at"
)

EVENT_CTE = f"""
event AS (
    INSERT INTO ledger.events ({EVENT_COLUMNS})
    SELECT {{event}}, {{kind}}, {{entity_type}}, {{entity_id}}, {{version}}, {{actor}}, {{door}}, {{change}},
           {{data}}, coalesce({{occurred_at}}, clock_timestamp()) {{once}}
),
reaction AS (
    INSERT INTO jobs (id, type, payload, event_id, actor_id, change_id)
    SELECT r.id, r.type, jsonb_build_object('entity_type', {{entity_type}}, 'entity_id', {{entity_id}}),
           {{event}}, {{actor}}, {{change}}
    FROM unnest({{reaction_ids}}::uuid[], {{reaction_types}}::text[]) AS r(id, type) {{each}}
),
meant AS MATERIALIZED (
    SELECT set_config('sales.event', {{event}}::text, TRUE), set_config('sales.change', {{change}}::text, TRUE) {{once}}
)"""
"""Event, reactions and the two settings that history's triggers read, for statements that do all in one trip."""


def event_parameters(
    actor: Actor,
    kind: str,
    entity_type: str,
    entity_id: UUID | None,
    change_id: UUID,
    version: int | None,
    data: dict[str, Any] | None = None,
    occurred_at: datetime | None = None,
) -> dict[str, Any]:
    """The values of `EVENT_CTE` by name."""
    types = [reaction.job for reaction in reactions_of(kind)]
    return {
        "event": new_id(),
        "kind": kind,
        "entity_type": entity_type,
        "entity_id": entity_id,
        "version": version,
        "actor": actor.id,
        "door": actor.door,
        "change": change_id,
        "data": data or {},
        "occurred_at": occurred_at,
        "reaction_ids": [new_id() for _ in types],
        "reaction_types": types,
    }


TYPES = {
    "event": "uuid",
    "kind": "text",
    "entity_type": "text",
    "entity_id": "uuid",
    "version": "int",
    "actor": "uuid",
    "door": "text",
    "change": "uuid",
    "data": "jsonb",
    "occurred_at": "timestamptz",
    "reaction_ids": "uuid[]",
    "reaction_types": "text[]",
}


@cache
def event_cte(first: int = 1, only_for: str = "", version: str = "") -> str:
    """`EVENT_CTE` with placeholders from `$first` on, in the order of `event_parameters`.

    `only_for` names a CTE of one row or none: without its row nothing is written. `version` is SQL over that row, for
    a write that has not read the version before.
    """
    places = {name: f"${first + index}::{kind}" for index, (name, kind) in enumerate(TYPES.items())}
    if version:
        places["version"] = f"coalesce({places['version']}, {version})"
    once, each = (f"FROM {only_for}", f"CROSS JOIN {only_for}") if only_for else ("", "")
    return EVENT_CTE.format_map(places | {"once": once, "each": each})


EVENT_PARAMETERS = len(TYPES)
_RECORD = f"WITH {event_cte()} SELECT * FROM meant"


async def record(
    tx: Tx,
    actor: Actor,
    kind: str,
    entity_type: str,
    entity_id: UUID | None = None,
    *,
    version: int | None = None,
    data: dict[str, Any] | None = None,
    occurred_at: datetime | None = None,
) -> UUID:
    """Writes the event and its reactions; the writes that follow in this transaction belong to it.

    Call it before the write: the triggers of history refuse a change that no event explains.
    Example: `await record(tx, actor, "deal.won", "opportunity", deal_id, version=4)`.
    """
    values = event_parameters(actor, kind, entity_type, entity_id, tx.change_id, version, data, occurred_at)
    await tx.execute(_RECORD, *values.values())
    tx.after_commit.extend(values["reaction_types"])
    tx.touched.add(entity_type)
    return values["event"]  # type: ignore[no-any-return]


_RECORD_EACH = f"""
WITH event AS (
    INSERT INTO ledger.events ({EVENT_COLUMNS})
    SELECT e, $4::text, $5::text, n, v, $6::uuid, $7::text, $8::uuid, d::jsonb, clock_timestamp()
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $13::int[]) AS x(e, n, d, v)
)
INSERT INTO jobs (id, type, payload, event_id, actor_id, change_id)
SELECT j, t, jsonb_build_object('entity_type', $5::text, 'entity_id', n), e, $6::uuid, $8::uuid
FROM unnest($9::uuid[], $10::text[], $11::uuid[], $12::uuid[]) AS r(j, t, e, n)"""


async def record_each(
    tx: Tx,
    actor: Actor,
    kind: str,
    entity_type: str,
    items: Sequence[tuple[UUID, dict[str, Any]]],
    versions: Mapping[UUID, int] | None = None,
) -> None:
    """Events of one kind about many entities, in one statement.

    For what changes no business record, such as scores; or, with `versions`, beside the one event that was meant by a
    set-based write of these versions.
    """
    if not items:
        return
    events = [new_id() for _ in items]
    types = [reaction.job for reaction in reactions_of(kind)]
    rows = [
        (new_id(), name, event, entity)
        for event, (entity, _) in zip(events, items, strict=True)
        for name in types
    ]
    await tx.execute(
        _RECORD_EACH,
        events,
        [entity for entity, _ in items],
        [to_json(data) for _, data in items],
        kind,
        entity_type,
        actor.id,
        actor.door,
        tx.change_id,
        *([list(column) for column in zip(*rows, strict=True)] if rows else [[], [], [], []]),
        [(versions or {}).get(entity) for entity, _ in items],
    )
    tx.after_commit.extend(types)
