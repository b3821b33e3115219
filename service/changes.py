"""Change sets and their inverse: the one undo of the product, whatever made the change (an edit, a bulk job, an import).

Every version in history names its change set. To undo one: a record that the set created is deleted; a record that it
changed gets back the former values of just those fields. Later edits of other fields stay. Where one of those fields
was changed since, nothing is undone, and the answer lists record, field and both values. All set-based: a set of
100,000 records costs a few statements a table.
"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from service import ledger
from service.access import Actor
from service.db import Database, Tx
from service.errors import Conflict, NotFound
from service.history import business_tables

OWN = frozenset({"id", "version", "created_at", "updated_at", "created_by_id", "updated_by_id"})
"""Columns that describe the version, not the record."""

MOST_CONFLICTS = 20

_TOUCHED = """
pairs AS (
    SELECT id, min(version) AS first, max(version) AS last FROM history.{table} WHERE change_id = $1 GROUP BY id
)"""


def _fields(table: sa.Table) -> list[str]:
    return [c.name for c in table.columns if c.name not in OWN and c.computed is None]


def _conflicts_sql(table: sa.Table) -> str:
    """Fields that the set changed and somebody changed again; for created records any later change of any field."""
    names = ", ".join(f"('{name}')" for name in _fields(table))
    return f"""WITH {_TOUCHED.format(table=table.name)}
    SELECT p.id, f.name AS field, to_jsonb(a) -> f.name AS made, to_jsonb(t) -> f.name AS now
    FROM pairs p
    JOIN history.{table.name} a ON a.id = p.id AND a.version = p.last
    JOIN {table.name} t ON t.id = p.id AND t.version > p.last
    LEFT JOIN history.{table.name} b ON b.id = p.id AND b.version = p.first - 1
    CROSS JOIN (VALUES {names}) AS f(name)
    WHERE (b.id IS NULL OR to_jsonb(a) -> f.name IS DISTINCT FROM to_jsonb(b) -> f.name)
      AND to_jsonb(t) -> f.name IS DISTINCT FROM to_jsonb(a) -> f.name
    LIMIT {MOST_CONFLICTS} /* access:{table.name} */"""


def _delete_sql(table: sa.Table) -> str:
    return f"""WITH {_TOUCHED.format(table=table.name)}
    UPDATE {table.name} t SET deleted_at = now(), version = t.version + 1, updated_at = clock_timestamp(),
        updated_by_id = $2
    FROM pairs p WHERE t.id = p.id AND p.first = 1 AND t.deleted_at IS NULL /* access:{table.name} */"""


def _restore_sql(table: sa.Table) -> str:
    sets = ", ".join(
        f'"{name}" = CASE WHEN a."{name}" IS DISTINCT FROM b."{name}" THEN b."{name}" ELSE t."{name}" END'
        for name in _fields(table)
    )
    return f"""WITH {_TOUCHED.format(table=table.name)}
    UPDATE {table.name} t SET {sets}, version = t.version + 1, updated_at = clock_timestamp(), updated_by_id = $2
    FROM pairs p
    JOIN history.{table.name} a ON a.id = p.id AND a.version = p.last
    JOIN history.{table.name} b ON b.id = p.id AND b.version = p.first - 1
    WHERE t.id = p.id /* access:{table.name} */"""


async def _touched_tables(tx: Tx, change_id: UUID) -> list[sa.Table]:
    tables = business_tables()
    tests = ", ".join(  # whose change set it is has been asked before
        f"EXISTS (SELECT 1 FROM history.{table.name} WHERE change_id = $1 /* access:{table.name} */)"
        for table in tables
    )
    found = await tx.fetchrow(f"SELECT {tests}", change_id)
    return [table for table, touched in zip(tables, found, strict=True) if touched]


async def _refuse_conflicts(tx: Tx, tables: list[sa.Table], change_id: UUID) -> None:
    conflicts: list[dict[str, Any]] = []
    for table in tables:
        rows = await tx.fetch(_conflicts_sql(table), change_id)
        conflicts += [
            {
                "resource": str(table.name),
                "id": str(row["id"]),
                "field": row["field"],
                "made": row["made"],
                "now": row["now"],
            }
            for row in rows
        ]
    if conflicts:
        raise Conflict(
            "Some of these fields were changed since; nothing was undone.",
            conflicts=conflicts[:MOST_CONFLICTS],
        )


async def undo(database: Database, actor: Actor, change_id: UUID) -> dict[str, Any]:
    """Undoes a whole change set; the undo is a change set too (`change_id` in the answer) and can be undone."""
    async with database.begin() as tx:
        tables = await _touched_tables(tx, change_id)
        if not tables:
            raise NotFound("There is no such change set.")
        await _refuse_conflicts(tx, tables, change_id)
        await ledger.record(tx, actor, "change.undone", "change", change_id, data={"undone": str(change_id)})
        counts: dict[str, int] = {}
        for table in reversed(tables):
            deleted = await tx.execute(_delete_sql(table), change_id, actor.id)
            restored = await tx.execute(_restore_sql(table), change_id, actor.id)
            counts[str(table.name)] = int(deleted.split()[-1]) + int(restored.split()[-1])
        return {"change_id": str(tx.change_id), "undone": str(change_id), "counts": counts}
