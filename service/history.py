"""History: each business table's typed twin, filled by the database itself, and rows as they were known at an instant.

Two clocks stand on each version. `known_from`/`known_to` say when one could know it, and an import may assert the past;
`recorded_at` is ours and is never asserted. "As of" reads the first, audit reads the second. A statement-level trigger
with transition tables writes the versions, so no path (COPY, raw SQL, bulk) goes round it; without an event of the
ledger in the transaction it raises.
"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from service.access import Actor, guard, hidden
from service.db import Database, Params, Tx, metadata

KEEPING = ("event_id", "change_id", "known_from", "known_to", "recorded_at")
PARENTS = ("opportunity_id", "account_id", "lead_id", "contact_id", "owner_id", "user_id")
"""Columns by which a twin is looked up besides its id."""

_dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


async def assert_known(tx: Tx) -> None:
    """From here on, this transaction's versions are known from their row's own `updated_at`: an import of the past."""
    await tx.execute("SELECT set_config('sales.asserted', 'yes', TRUE)")


def source(table: str, as_of: str | None) -> str:
    """What to select from: the table, or its rows as known at the placeholder `as_of`."""
    if as_of is None:
        return table
    return f"(SELECT * FROM history.{table} WHERE known_from <= {as_of} AND {as_of} < known_to)"


async def versions(
    database: Database, actor: Actor, resource: str, record_id: UUID, limit: int = 200
) -> list[Any]:
    """All versions of one record, newest first, each with its event's kind, actor and door; for who may see it now."""
    params = Params([record_id, limit])
    seen, unseen = guard(actor, resource, "t", params), params.add(sorted(hidden(actor, resource)))
    return await database.fetch(
        f"SELECT to_jsonb(h) - {unseen}::text[] AS row, h.known_from, h.recorded_at, h.change_id, h.event_id, e.kind, e.actor_id, e.door"
        f" FROM history.{resource} h LEFT JOIN ledger.events e ON e.id = h.event_id"
        f" WHERE h.id = $1 AND EXISTS (SELECT 1 FROM {resource} t WHERE t.id = h.id AND {seen})"
        f" ORDER BY h.known_from DESC, h.version DESC LIMIT $2",
        *params,
    )


def business_tables() -> list[sa.Table]:
    """The tables whose every version is kept, in an order in which foreign keys hold."""
    return [table for table in metadata.sorted_tables if table.info.get("business")]


def twin_ddl(table: sa.Table) -> list[str]:
    """The statements that make `history.<table>` with its function and triggers."""
    columns = [(column.name, column.type.compile(_dialect)) for column in table.columns]
    names = ", ".join(f'"{name}"' for name, _ in columns)
    body = ",\n    ".join(f'"{name}" {kind}' for name, kind in columns)
    return [
        f"""CREATE TABLE history.{table.name} (
    {body},
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90)""",
        f"CREATE INDEX ix_history_{table.name}_change ON history.{table.name} (change_id)",
        *(
            f"CREATE INDEX ix_history_{table.name}_{name} ON history.{table.name} ({name}) WHERE {name} IS NOT NULL"
            for name, _ in columns
            if name in PARENTS
        ),
        _function(table.name, names),
        *(
            f"CREATE TRIGGER keep_{verb.lower()} AFTER {verb} ON {table.name} REFERENCING NEW TABLE AS new_rows"
            f" FOR EACH STATEMENT EXECUTE FUNCTION history.keep_{table.name}()"
            for verb in ("INSERT", "UPDATE")
        ),
    ]


def _function(table: str, names: str) -> str:
    values = ", ".join(f"n.{name}" for name in names.split(", "))
    return f"""CREATE OR REPLACE FUNCTION history.keep_{table}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of {table} that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.{table} h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.{table} ({names}, event_id, change_id, known_from)
    SELECT {values}, event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$"""


def refresh_ddl(table: sa.Table) -> str:
    """The function again, for a migration that gave the table (and its twin) another column."""
    return _function(table.name, ", ".join(f'"{column.name}"' for column in table.columns))
