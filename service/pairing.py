"""Pairs of records that may be one: found anew after each change, or by a scan of all of them, and kept with their reasons."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from service import alike
from service.access import SYSTEM
from service.alike import KINDS
from service.db import Database, Tx, table_named
from service.ids import new_id
from service.jobs import Job

Row = dict[str, Any]

MOST_IN_BLOCK = 50
"""A key that more records share says nothing: it is the company's switchboard, or a very common name."""
MOST_PAIRS = 100_000
PAGE = 2_000

_KEEP = """
INSERT INTO duplicate_pairs (id, entity, first_id, second_id, score, reasons)
SELECT i, $1, f, s, x, r::jsonb FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::float8[], $6::text[]) AS v(i, f, s, x, r)
ON CONFLICT (entity, first_id, second_id)
DO UPDATE SET score = excluded.score, reasons = excluded.reasons, found_at = now()"""


async def keep(run: Database | Tx, entity: str, found: Sequence[tuple[UUID, UUID, float, list[Row]]]) -> None:
    """Stores pairs, or what is known of them now; a decision stays."""
    unique = {(min(a, b), max(a, b)): (points, reasons) for a, b, points, reasons in found}
    if unique:
        await run.execute(
            _KEEP,
            entity,
            [new_id() for _ in unique],
            [first for first, _ in unique],
            [second for _, second in unique],
            [points for points, _ in unique.values()],
            [msgspec.json.encode(reasons).decode() for _, reasons in unique.values()],
        )


async def rows_of(run: Database | Tx, entity: str, ids: Sequence[UUID]) -> dict[UUID, Row]:
    """What is compared of these records."""
    rows = await run.fetch(
        f"SELECT {KINDS[entity].shown('t')} FROM {entity} t WHERE t.id = ANY($1::uuid[]) AND t.deleted_at IS NULL"
        f" /* access:{entity} */",  # pairs are shown to who sees both records
        list(ids),
    )
    return {row["id"]: dict(row) for row in rows}


async def dismissed(run: Database | Tx, entity: str, record_id: UUID) -> set[UUID]:
    """Records that somebody said are not this one."""
    rows = await run.fetch(
        "SELECT CASE WHEN first_id = $2 THEN second_id ELSE first_id END AS other FROM duplicate_pairs"
        " WHERE entity = $1 AND status = 'dismissed' AND (first_id = $2 OR second_id = $2)",
        entity,
        record_id,
    )
    return {row["other"] for row in rows}


async def look(claimed: list[Job]) -> None:
    """Reaction to written records: the pairs that they are in now, as of their newest values."""
    database = claimed[0].database
    by_entity: dict[str, set[UUID]] = {}
    for job in claimed:
        entity = table_named(job.payload["entity_type"])
        if entity in KINDS and job.payload.get("entity_id"):
            by_entity.setdefault(entity, set()).add(UUID(job.payload["entity_id"]))
    for entity, ids in by_entity.items():
        rows = await rows_of(database, entity, sorted(ids))
        for record_id in sorted(ids):
            await _renew(database, entity, record_id, rows.get(record_id))


async def _renew(database: Database, entity: str, record_id: UUID, row: Row | None) -> None:
    found = await alike.candidates(database, SYSTEM, entity, row) if row else []
    kept = [candidate.id for candidate in found]
    await database.execute(
        "DELETE FROM duplicate_pairs WHERE entity = $1 AND status = 'open'"
        " AND (first_id = $2 AND second_id <> ALL($3::uuid[]) OR second_id = $2 AND first_id <> ALL($3::uuid[]))",
        entity,
        record_id,
        kept,
    )
    await keep(database, entity, [(record_id, one.id, one.score, one.reasons) for one in found])


_BLOCKS = """
DECLARE blocks NO SCROLL CURSOR FOR
WITH keyed AS (
    SELECT t.id, unnest({keys}) AS key FROM {table} t WHERE t.deleted_at IS NULL /* access:{table} */
),
blocks AS (
    SELECT array_agg(DISTINCT id ORDER BY id) AS ids FROM keyed GROUP BY key HAVING count(*) BETWEEN 2 AND {most}
)
SELECT DISTINCT a.id AS first, b.id AS second FROM blocks, unnest(ids) a(id), unnest(ids) b(id) WHERE a.id < b.id"""


async def scan(job: Job) -> Row:
    """All pairs of one entity anew: blocks by key, then each pair judged; what does not hold any more goes."""
    database, entity = job.database, job.payload["entity"]
    began = await database.fetchval("SELECT now()")
    looked = found = 0
    async with database.begin() as tx:  # reads only: it holds nobody up
        await tx.execute(_BLOCKS.format(keys=KINDS[entity].keys("t"), table=entity, most=MOST_IN_BLOCK))
        while found < MOST_PAIRS and (page := await tx.fetch(f"FETCH {PAGE} FROM blocks")):
            found += await _judge(database, entity, [(row["first"], row["second"]) for row in page])
            looked += len(page)
            await job.progress(looked, counts={"created": found})
    if found < MOST_PAIRS:
        await database.execute(
            "DELETE FROM duplicate_pairs WHERE entity = $1 AND status = 'open' AND found_at < $2",
            entity,
            began,
        )
    return {"entity": entity, "compared": looked, "found": found, "is_whole": found < MOST_PAIRS}


async def _judge(database: Database, entity: str, page: list[tuple[UUID, UUID]]) -> int:
    rows = await rows_of(database, entity, sorted({one for pair in page for one in pair}))
    worth = []
    for first, second in page:
        if first in rows and second in rows:
            points, reasons = alike.score(entity, rows[first], rows[second])
            if points >= alike.WORTH_STORING:
                worth.append((first, second, points, reasons))
    await keep(database, entity, worth)
    return len(worth)
