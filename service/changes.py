"""Change sets and their inverse: the one undo of the product, whatever made the change (an edit, a bulk job, an import).

Every version in history names its change set. To undo one: a record that the set created is deleted; a record that it
changed gets back the former values of just those fields. Later edits of other fields stay; custom fields and external
ids are fields of their own, by key. Where one of those fields was changed since, or a tree would close to a ring, nothing
is undone, and the answer lists record, field and both values. All set-based: a set of 100,000 records costs a few statements a table.
"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from service import echo, ledger, staff
from service.access import Actor, hidden, may, writable
from service.db import Database, Params, Tx
from service.errors import Conflict, Forbidden, NotFound
from service.history import business_tables
from service.rules import in_turn

Row = dict[str, Any]
Run = Database | Tx

OWN = frozenset({"id", "version", "created_at", "updated_at", "created_by_id", "updated_by_id"})
"""Columns that describe the version, not the record."""

KEYED = ("external_ids", "cf")
"""Objects whose every key is a field of its own."""

MOST_CONFLICTS = 20

_TOUCHED = """
pairs AS (
    SELECT id, min(version) AS first, max(version) AS last FROM history.{table} WHERE change_id = $1 GROUP BY id
)"""


def fields_of(table: sa.Table) -> list[str]:
    """The columns that say something of the record, `deleted_at` among them; computed ones follow by themselves."""
    return [c.name for c in table.columns if c.name not in OWN and c.computed is None]


def _flat(alias: str) -> str:
    """A row as one object in which each key of `KEYED` is a field: `cf.region`."""
    keyed = " || ".join(
        f"coalesce((SELECT jsonb_object_agg('{name}.' || key, value) FROM jsonb_each({alias}.{name})), '{{}}')"
        for name in KEYED
    )
    listed = ", ".join(f"'{name}'" for name in KEYED)
    return f"coalesce(to_jsonb({alias}) - ARRAY[{listed}], '{{}}') || {keyed}"


def _conflicts_sql(table: sa.Table) -> str:
    """Fields that the set changed and somebody changed again; for created records any later change of any field.

    What the set created and somebody has deleted since is gone already: no conflict.
    """
    silent = ", ".join(f"'{name}'" for name in sorted(OWN | _computed(table)))
    return f"""WITH {_TOUCHED.format(table=table.name)}
    SELECT p.id, k.name AS field, f.made -> k.name AS made, f.now -> k.name AS now
    FROM pairs p
    JOIN history.{table.name} a ON a.id = p.id AND a.version = p.last
    JOIN {table.name} t ON t.id = p.id AND t.version > p.last
    LEFT JOIN history.{table.name} b ON b.id = p.id AND b.version = p.first - 1
    CROSS JOIN LATERAL (SELECT {_flat("b")} AS before, {_flat("a")} AS made, {_flat("t")} AS now) f
    CROSS JOIN LATERAL jsonb_object_keys(f.before || f.now || (f.made - {_keeping()})) AS k(name)
    WHERE k.name NOT IN ({silent}) AND (b.id IS NOT NULL OR t.deleted_at IS NULL)
      AND k.name <> ALL ({_keeping()})
      AND (b.id IS NULL OR f.made -> k.name IS DISTINCT FROM f.before -> k.name)
      AND f.now -> k.name IS DISTINCT FROM f.made -> k.name
    ORDER BY p.id, k.name LIMIT {MOST_CONFLICTS} /* access:{table.name} */"""


def _computed(table: sa.Table) -> set[str]:
    return {column.name for column in table.columns if column.computed is not None}


def _keeping() -> str:
    return "ARRAY['event_id', 'change_id', 'known_from', 'known_to', 'recorded_at']"


def tree_of(table: sa.Table) -> str | None:
    """The column by which records of a table stand under others of it: a parent, a manager."""
    for column in table.columns:
        if column.name != "merged_into_id" and any(key.column.table is table for key in column.foreign_keys):
            return str(column.name)
    return None


def _rings_sql(table: sa.Table, column: str) -> str:
    """Records that would come to stand above themselves if they had their former place again."""
    return f"""WITH RECURSIVE {_TOUCHED.format(table=table.name).strip()},
    back AS (
        SELECT p.id, b.{column} AS above, a.{column} AS made FROM pairs p
        JOIN history.{table.name} a ON a.id = p.id AND a.version = p.last
        JOIN history.{table.name} b ON b.id = p.id AND b.version = p.first - 1
        WHERE a.{column} IS DISTINCT FROM b.{column}
    ),
    up(start, id) AS (
        SELECT id, above FROM back WHERE above IS NOT NULL
        UNION
        SELECT up.start, CASE WHEN k.id IS NULL THEN t.{column} ELSE k.above END
        FROM up JOIN {table.name} t ON t.id = up.id LEFT JOIN back k ON k.id = up.id
    )
    SELECT t.id, '{column}' AS field, to_jsonb(k.made) AS made, to_jsonb(t.{column}) AS now,
        'would make a ring' AS detail
    FROM up JOIN back k ON k.id = up.start JOIN {table.name} t ON t.id = up.start WHERE up.id = up.start
    ORDER BY t.id LIMIT {MOST_CONFLICTS} /* access:{table.name} */"""


def _lock_sql(table: sa.Table) -> str:
    """Nobody edits between the look for conflicts and the undo."""
    return f"""WITH {_TOUCHED.format(table=table.name)}
    SELECT count(*) FROM (SELECT t.id FROM {table.name} t WHERE t.id IN (SELECT id FROM pairs)
    ORDER BY t.id FOR UPDATE OF t) held /* access:{table.name} */"""


def _delete_sql(table: sa.Table) -> str:
    return f"""WITH {_TOUCHED.format(table=table.name)}
    UPDATE {table.name} t SET deleted_at = now(), version = t.version + 1, updated_at = clock_timestamp(),
        updated_by_id = $2
    FROM pairs p WHERE t.id = p.id AND p.first = 1 AND t.deleted_at IS NULL /* access:{table.name} */"""


def _former(name: str) -> str:
    """The former value where the set changed it, else the present one; of an object, key by key."""
    if name not in KEYED:
        return f'CASE WHEN a."{name}" IS DISTINCT FROM b."{name}" THEN b."{name}" ELSE t."{name}" END'
    kept = f"CASE WHEN a.{name} -> k IS DISTINCT FROM b.{name} -> k THEN b.{name} -> k ELSE t.{name} -> k END"
    return (
        f"CASE WHEN a.{name} = b.{name} THEN t.{name} ELSE coalesce((SELECT jsonb_object_agg(k, v) FROM"
        f" (SELECT k, {kept} AS v FROM jsonb_object_keys(a.{name} || b.{name} || t.{name}) AS keys(k)) each"
        f" WHERE v IS NOT NULL), '{{}}') END"
    )


def _restore_sql(table: sa.Table) -> str:
    sets = ", ".join(f'"{name}" = {_former(name)}' for name in fields_of(table))
    return f"""WITH {_TOUCHED.format(table=table.name)}
    UPDATE {table.name} t SET {sets}, version = t.version + 1, updated_at = clock_timestamp(), updated_by_id = $2
    FROM pairs p
    JOIN history.{table.name} a ON a.id = p.id AND a.version = p.last
    JOIN history.{table.name} b ON b.id = p.id AND b.version = p.first - 1
    WHERE t.id = p.id /* access:{table.name} */"""


async def touched_tables(run: Run, change_id: UUID) -> list[sa.Table]:
    """The tables of the records that the set wrote, parents first."""
    tables = business_tables()
    tests = ", ".join(  # whose change set it is has been asked before
        f"EXISTS (SELECT 1 FROM history.{table.name} WHERE change_id = $1 /* access:{table.name} */)"
        for table in tables
    )
    found = await run.fetchrow(f"SELECT {tests}", change_id)
    return [table for table, touched in zip(tables, found, strict=True) if touched]


async def conflicts(run: Run, actor: Actor, tables: list[sa.Table], change_id: UUID) -> list[Row]:
    """Up to `MOST_CONFLICTS` fields that stand in the way of an undo; values of hidden fields are left out.

    Where none was changed since, what stands in the way is a ring that the former values would close.
    """
    found: list[Row] = []
    for table in tables:
        found += [_told(actor, table, row) for row in await run.fetch(_conflicts_sql(table), change_id)]
    for table in tables if not found else ():
        if column := tree_of(table):
            rows = await run.fetch(_rings_sql(table, column), change_id)
            found += [_told(actor, table, row) | {"detail": row["detail"]} for row in rows]
    return found[:MOST_CONFLICTS]


def _told(actor: Actor, table: sa.Table, row: Any) -> Row:
    is_hidden = row["field"] in hidden(actor, table.name)
    values = {} if is_hidden else {"made": row["made"], "now": row["now"]}
    return {"resource": str(table.name), "id": str(row["id"]), "field": row["field"]} | values


async def out_of_reach(run: Run, actor: Actor, tables: list[sa.Table], change_id: UUID) -> int:
    """How many of the set's records the actor may not change by now."""
    if actor.sees_all:
        return 0
    total = 0
    for table in tables:
        params = Params([change_id])
        seen = writable(actor, table.name, "t", params)
        total += await run.fetchval(
            f"WITH {_TOUCHED.format(table=table.name)} SELECT count(*) FROM pairs p WHERE NOT EXISTS"
            f" (SELECT 1 FROM {table.name} t WHERE t.id = p.id AND {seen}) /* access:{table.name} */",
            *params,
        )
    return total


async def undone_by(run: Run, change_id: UUID) -> UUID | None:
    """The undo that is in force: None too when the last undo of the set was itself undone."""
    last: UUID | None = await run.fetchval(
        "SELECT change_id FROM ledger.events WHERE entity_type = 'change' AND entity_id = $1 AND kind = 'change.undone'"
        " ORDER BY position DESC LIMIT 1",
        change_id,
    )
    return last if last is None or await undone_by(run, last) is None else None


async def refusal(run: Run, actor: Actor, tables: list[sa.Table], change_id: UUID) -> Exception | None:
    """Why this actor cannot undo the set, whatever was changed since; None when they can."""
    if undone := await undone_by(run, change_id):
        return Conflict("This change set is undone already.", undone_by=str(undone))
    for table in tables:
        if not may(actor, table.name, "update"):
            return Forbidden(f"The role {actor.role} may not update {table.name}.")
    if await out_of_reach(run, actor, tables, change_id):
        return Forbidden(
            "Some of these records are not yours to change any more: ask operations for the undo."
        )
    return await staff.refusal(run, actor, change_id) if "users" in {t.name for t in tables} else None


async def _nothing_to_undo(tx: Tx, change_id: UUID) -> Exception:
    if await tx.fetchval("SELECT 1 FROM ledger.events WHERE change_id = $1 LIMIT 1", change_id):
        return Conflict("It changed no record that has a history.")
    return NotFound("There is no such change set.")


def reason(found: list[Row]) -> str:
    """Of what stands in the way, in words."""
    return "This would make a ring" if "detail" in found[0] else "Some of these fields were changed since"


async def undo(database: Database, actor: Actor, change_id: UUID) -> Row:
    """Undoes a whole change set; the undo is a change set too (`change_id` in the answer) and can be undone."""
    async with database.begin() as tx:
        tables = await touched_tables(tx, change_id)
        if not tables:
            raise await _nothing_to_undo(tx, change_id)
        for table in tables:
            if column := tree_of(table):
                await in_turn(tx, str(table.name), column)
        for table in tables:
            await tx.execute(_lock_sql(table), change_id)
        if refused := await refusal(tx, actor, tables, change_id):
            raise refused
        if found := await conflicts(tx, actor, tables, change_id):
            raise Conflict(f"{reason(found)}; nothing was undone.", conflicts=found)
        await ledger.record(tx, actor, "change.undone", "change", change_id, data={"undone": str(change_id)})
        counts: dict[str, int] = {}
        for table in reversed(tables):
            deleted = await tx.execute(_delete_sql(table), change_id, actor.id)
            restored = await tx.execute(_restore_sql(table), change_id, actor.id)
            counts[str(table.name)] = int(deleted.split()[-1]) + int(restored.split()[-1])
        if "users" in counts:
            await staff.settle(tx, actor)
        await echo.tell(tx, actor, tables)
        return {"change_id": str(tx.change_id), "undone": str(change_id), "counts": counts}
