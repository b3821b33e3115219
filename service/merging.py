"""Merging records that are one: which values stay, who pointed at the others, all as one change set.

Nothing here knows a table by name: what points at a record is read from the tables' own foreign keys, and from columns
that hold lists of ids. History is left as it is, so the undo of the change set is the un-merge, weeks later too.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from service import echo, ledger, sight
from service.access import Actor, guard, hidden, read_only, require
from service.changes import KEYED
from service.db import Database, Params, Tx, metadata
from service.errors import Conflict, Invalid, NotFound
from service.levels import require_write
from service.resource import Resource, Row
from service.writes import update

STANDING = frozenset({"status", "unqualified_reason"})
"""Where a record stands and why: the winner's alone."""
COUPLED = {"annual_revenue": "currency"}
"""An amount takes its currency along."""


class Reference(msgspec.Struct, frozen=True):
    """A column of `table` that points at merged records."""

    table: sa.Table
    column: str
    is_list: bool = False
    """It holds several ids."""
    member: str = ""
    """It holds a JSON list of objects, whose member of this name is an id."""
    only: str = ""
    """Which rows it is about, where the column may point at records of any kind."""

    @property
    def name(self) -> str:
        return f"{self.table.name}.{self.column}"

    @property
    def marker(self) -> str:
        return f"/* access:{self.table.name} */"  # what hangs on a record goes with it, whoever owns it

    def points(self, ids: str, alias: str = "t") -> str:
        """The condition that a row points at one of the ids in the placeholder."""
        if self.member:
            one = f"jsonb_build_array(jsonb_build_object('{self.member}', x::text))"
            return (
                f"{alias}.deleted_at IS NULL AND {alias}.{self.column} <> '[]'"  # as its index has it
                f" AND {alias}.{self.column} @> ANY(ARRAY(SELECT {one} FROM unnest({ids}::uuid[]) x))"
            )
        sign = f"&& {ids}::uuid[]" if self.is_list else f"= ANY({ids}::uuid[])"
        only = f" AND {alias}.{self.only}" if self.only else ""
        return f'{alias}."{self.column}" {sign}{only}'

    def handed_over(self) -> str:
        """The column's value with `$2` in place of the ids `$1`, once."""
        if self.member:
            taken = f"o ->> '{self.member}' = ANY(($1::uuid[])::text[])"
            mine = (
                f"CASE WHEN {taken} THEN o || jsonb_build_object('{self.member}', $2::uuid::text) ELSE o END"
            )
            key = f"coalesce(p ->> '{self.member}', n::text)"
            return (
                f"(SELECT jsonb_agg(p ORDER BY n) FROM (SELECT DISTINCT ON ({key}) p, n FROM (SELECT {mine} AS p, n"
                f" FROM jsonb_array_elements(t.{self.column}) WITH ORDINALITY AS each(o, n)) all_of_them"
                f" ORDER BY {key}, n) once)"
            )
        if self.is_list:
            each = "CASE WHEN x = ANY($1::uuid[]) THEN $2::uuid ELSE x END"
            return f"ARRAY(SELECT DISTINCT {each} FROM unnest(t.{self.column}) x)"
        return "$2::uuid"


def references_to(target: str) -> list[Reference]:
    """Everything that points at rows of `target`, from the tables themselves: foreign keys, lists of ids, members of
    objects in lists, and `record_id` beside the kind of the record."""
    return [
        reference
        for table in metadata.sorted_tables
        for column in table.columns
        if (reference := _reference(table, column, target))
    ]


def _reference(table: sa.Table, column: sa.Column[Any], target: str) -> Reference | None:
    if any(key.column.table.name == target for key in column.foreign_keys):
        return Reference(table, str(column.name))
    if column.info.get("ids_of") == target:
        return Reference(table, str(column.name), is_list=True)
    for member, kind in column.info.get("ids_in", {}).items():
        if kind == target:
            return Reference(table, str(column.name), member=member)
    if column.name == "record_id" and table.info.get("business"):
        for kind, value in (("resource", target), ("record_type", sight.entity_of(target))):
            if kind in table.c:
                return Reference(table, "record_id", only=f"{kind} = '{value}'")
    return None


# --- what stays ----------------------------------------------------------------------------------------------------


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value == [] or value == {}


def mergeable(resource: Resource, actor: Actor) -> list[str]:
    """The fields of which one value stays: what a draft may say, as far as the actor may set it."""
    unseen = hidden(actor, resource.key) | read_only(actor, resource.key)
    return [
        name
        for name in resource.draft.__struct_fields__
        if name in resource.table.c and name not in unseen | STANDING
    ]


def survivors(
    resource: Resource, names: Iterable[str], winner: Row, losers: Sequence[Row], chosen: dict[str, UUID]
) -> dict[str, tuple[Any, UUID]]:
    """Field → the value that stays and the record it comes from, where it is another than the winner's.

    What was chosen; else the winner's own; where that is empty the newest that is not. Opt-outs hold whoever gave them;
    lists and external ids are united, the winner's first.
    """
    rows = {row["id"]: row for row in (winner, *losers)}
    newest = sorted(losers, key=lambda row: row["updated_at"], reverse=True)
    found: dict[str, tuple[Any, UUID]] = {}
    for name in names:
        if name in chosen:
            source = rows[chosen[name]]
            value = source[name]
        else:
            value, source = _survivor(resource.table.c[name], name, winner, newest)
        if value != winner[name]:
            found[name] = (value, source["id"])
    for amount, unit in COUPLED.items():
        if amount in found and unit not in chosen:
            found[unit] = (rows[found[amount][1]][unit], found[amount][1])
    return found


def _survivor(column: sa.Column[Any], name: str, winner: Row, newest: Sequence[Row]) -> tuple[Any, Row]:
    if name in KEYED:
        united: Row = {}
        for row in reversed([winner, *newest]):
            united |= {key: value for key, value in row[name].items() if not _is_empty(value)}
        return united, winner
    if isinstance(column.type, sa.ARRAY):
        return list(dict.fromkeys(one for row in (winner, *newest) for one in row[name])), winner
    if isinstance(column.type, sa.Boolean):
        first = next((row for row in (winner, *newest) if row[name]), winner)
        return first[name], first
    first = next((row for row in (winner, *newest) if not _is_empty(row[name])), winner)
    return first[name], first


# --- the records ---------------------------------------------------------------------------------------------------


async def rows(
    run: Tx | Database,
    resource: Resource,
    actor: Actor,
    winner_id: UUID,
    loser_ids: Sequence[UUID],
    *,
    lock: bool,
) -> tuple[Row, list[Row]]:
    """Winner and losers, if the actor sees all of them. Raises `Conflict` for a merge of a record with itself."""
    ids = [winner_id, *loser_ids]
    if len(set(ids)) != len(ids):
        raise Conflict("A record is not merged with itself.")
    params = Params([ids])
    seen = guard(actor, resource.key, "t", params)
    found = await run.fetch(
        f"SELECT t.* FROM {resource.key} t WHERE t.id = ANY($1::uuid[]) AND t.deleted_at IS NULL AND {seen}"
        f" ORDER BY t.id{' FOR UPDATE OF t' if lock else ''}",
        *params,
    )
    by_id = {row["id"]: dict(row) for row in found}
    if len(by_id) != len(ids):
        raise NotFound("One of these records does not exist.")
    for one in ids:
        await require_write(run, actor, resource.key, one)
    if any(row.get("converted_at") for row in by_id.values()):
        raise Conflict("A converted lead is not merged: merge what it became.")
    return by_id[winner_id], [by_id[one] for one in loser_ids]


def judge(
    resource: Resource, actor: Actor, winner: Row, losers: Sequence[Row], chosen: dict[str, UUID]
) -> dict[str, tuple[Any, UUID]]:
    """`survivors` of what was asked for. Raises `Invalid` that points at a wrong choice."""
    names, ids = mergeable(resource, actor), {winner["id"], *(row["id"] for row in losers)}
    for name, source in chosen.items():
        if name not in names:
            raise Invalid.at(f"/fields/{name}", "there is no such field to choose")
        if source not in ids:
            raise Invalid.at(f"/fields/{name}", "is none of the merged records")
        if name not in resource.patch.__struct_fields__ and source != winner["id"]:
            require(actor, resource.key, "assign")
    found = survivors(resource, names, winner, losers, chosen)
    for reference in references_to(resource.key):
        if reference.table is resource.table and reference.column in names:
            value, source = found.get(reference.column, (winner[reference.column], winner["id"]))
            if value in ids:  # it pointed at one that is now itself
                found[reference.column] = (None, source)
    return found


async def children(run: Tx | Database, resource: Resource, losers: Sequence[Row]) -> dict[str, int]:
    """How many records point at the losers, by table and column."""
    ids, counts = [row["id"] for row in losers], {}
    for reference in references_to(resource.key):
        counts[reference.name] = await run.fetchval(
            f"SELECT count(*) FROM {reference.table.name} t WHERE {reference.points('$1')} AND t.id <> ALL($1::uuid[])"
            f" {reference.marker}",
            ids,
        )
    return {name: count for name, count in counts.items() if count}


async def merge(
    tx: Tx,
    resource: Resource,
    actor: Actor,
    winner: Row,
    losers: Sequence[Row],
    kept: dict[str, tuple[Any, UUID]],
) -> dict[str, int]:
    """Writes the merge of locked rows; returns how many records were re-parented, by table and column."""
    ids = [row["id"] for row in losers]
    said = {
        "loser_ids": list(map(str, ids)),
        "fields": {name: str(source) for name, (_, source) in kept.items()},
    }
    changes = {name: value for name, (value, _) in kept.items()}
    kind = f"{resource.name}.merged"
    stored = await update(tx, resource, actor, winner, changes, kind=kind, data=said, is_carried=True)
    if stored is winner:
        await ledger.record(
            tx, actor, kind, resource.name, winner["id"], version=winner["version"], data=said
        )
    await _retire(tx, resource, actor, winner, losers)
    counts = {}
    for reference in references_to(resource.key):
        counts[reference.name] = await _hand_over(tx, actor, reference, winner["id"], ids)
        if reference.table is resource.table and reference.column != "merged_into_id":
            await _refuse_ring(tx, reference, winner["id"])
    moved = {reference.table for reference in references_to(resource.key) if counts[reference.name]}
    await echo.tell(tx, actor, [table for table in moved if table.info.get("business")])
    return {name: count for name, count in counts.items() if count}


async def _retire(tx: Tx, resource: Resource, actor: Actor, winner: Row, losers: Sequence[Row]) -> None:
    ids = [row["id"] for row in losers]
    await tx.execute(
        f"UPDATE {resource.key} t SET deleted_at = now(), merged_into_id = $2, version = t.version + 1,"
        f" updated_at = clock_timestamp(), updated_by_id = $3 WHERE t.id = ANY($1::uuid[]) /* access:{resource.key} */",
        ids,
        winner["id"],
        actor.id,
    )
    said = [(one, {"merged_into_id": str(winner["id"])}) for one in ids]
    versions = {row["id"]: row["version"] + 1 for row in losers}
    await ledger.record_each(tx, actor, f"{resource.name}.deleted", resource.name, said, versions)


async def _hand_over(tx: Tx, actor: Actor, reference: Reference, winner_id: UUID, ids: list[UUID]) -> int:
    """Points a column at the winner; of rows that would stand there twice the surplus is deleted."""
    await _drop(tx, actor, reference, winner_id, ids)
    is_ours = reference.table.info.get("business")
    own = ", version = t.version + 1, updated_at = clock_timestamp(), updated_by_id = $3" if is_ours else ""
    done = await tx.execute(
        f'UPDATE {reference.table.name} t SET "{reference.column}" = {reference.handed_over()}{own}'
        f" WHERE {reference.points('$1')} AND t.id <> ALL($1::uuid[] || $2::uuid) AND NOT {_tie(reference)}"
        f" {reference.marker}",
        *(ids, winner_id, *([actor.id] if is_ours else [])),
    )
    return int(done.split()[-1])


async def _drop(tx: Tx, actor: Actor, reference: Reference, winner_id: UUID, ids: list[UUID]) -> None:
    """Deletes rows that would come to stand twice under a unique index, or tie the winner to itself."""
    table = reference.table
    if "deleted_at" not in table.c or reference.is_list or reference.member:
        return
    doubles = [
        f"EXISTS (SELECT 1 FROM {table.name} o WHERE ({reference.points('ARRAY[$2::uuid]', 'o')}"
        f" OR {reference.points('$1', 'o')} AND o.id < t.id) AND o.deleted_at IS NULL"
        f" AND {_key(reference, index, 'o')} = {_key(reference, index, 't')})"
        for index in table.indexes
        if index.unique and _mentions(index, reference.column)
    ]
    await tx.execute(
        f"UPDATE {table.name} t SET deleted_at = now(), version = t.version + 1, updated_at = clock_timestamp(),"
        f" updated_by_id = $3 WHERE {reference.points('$1')} AND t.deleted_at IS NULL"
        f" AND ({' OR '.join([_tie(reference), *doubles])}) AND t.id <> ALL($1::uuid[] || $2::uuid) {reference.marker}",
        ids,
        winner_id,
        actor.id,
    )


def _mentions(index: sa.Index, column: str) -> bool:
    return any(re.search(rf"\b{column}\b", str(part)) for part in index.expressions)


def _key(reference: Reference, index: sa.Index, alias: str) -> str:
    """What a unique index would hold of a row after the merge; NULL where the row does not stand in it."""
    columns = ", ".join(
        f'CASE WHEN {alias}."{name}" = ANY($1::uuid[]) THEN $2::uuid ELSE {alias}."{name}" END AS "{name}"'
        if name == reference.column
        else f'{alias}."{name}"'
        for name in (str(column.name) for column in reference.table.columns)
    )
    parts = [f'"{part.name}"' if isinstance(part, sa.Column) else f"({part})" for part in index.expressions]
    options = index.dialect_options["postgresql"]
    within = [f"({options['where']})"] if options["where"] is not None else []
    if not options["nulls_not_distinct"]:
        within += [f"{part} IS NOT NULL" for part in parts]
    return (
        f"(SELECT ROW({', '.join(parts)}) FROM (SELECT {columns}) x WHERE {' AND '.join(within) or 'TRUE'})"
    )


def _tie(reference: Reference) -> str:
    """The condition that a row ties two of the merged records to each other, as a relationship does."""
    target = next((key.column.table for key in reference.table.c[reference.column].foreign_keys), None)
    others = [
        name
        for name, column in reference.table.c.items()
        if name != reference.column
        and reference.table is not target
        and any(key.column.table is target for key in column.foreign_keys)
    ]
    ends = " OR ".join(f't."{name}" = ANY($1::uuid[] || $2::uuid)' for name in others)
    return f"coalesce({ends}, FALSE)" if ends else "FALSE"


async def _refuse_ring(tx: Tx, reference: Reference, winner_id: UUID) -> None:
    """A tree stays one: the winner must not come to stand above itself."""
    table, column = reference.table.name, reference.column
    if await tx.fetchval(
        f"WITH RECURSIVE up(id) AS (SELECT {column} FROM {table} WHERE id = $1 UNION SELECT t.{column} FROM {table} t"
        f" JOIN up ON t.id = up.id) SELECT 1 FROM up WHERE id = $1 {reference.marker}",
        winner_id,
    ):
        raise Conflict(
            f"The merge would put a record above itself: change its {column} first.",
            errors=[{"pointer": f"/fields/{column}", "detail": "would make a ring"}],
        )
