"""Jobs: work that outlives a request. PostgreSQL holds the rows and their leases; Redis only rings the worker.

A job runs at least once: a lease that ran out makes it due again, so a handler must have one effect however often it
runs. A finished reaction's row goes; a job that a person started stays, with its result or its reason.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from service.access import Actor
from service.db import INSTANT, Database, Tx, metadata
from service.ids import new_id

LEASE_SECONDS = 25
ATTEMPTS = 8
MOST_ERRORS = 1000

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="queued"),
    sa.Column("payload", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("key", sa.Text),
    sa.Column("event_id", sa.Uuid),
    sa.Column("actor_id", sa.Uuid),
    sa.Column("change_id", sa.Uuid),
    sa.Column("run_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("lease_until", INSTANT),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("total", sa.BigInteger),
    sa.Column("processed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("counts", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Column("errors", JSONB, nullable=False, server_default=sa.text("'[]'")),
    sa.Column("result", JSONB),
    sa.Column("result_url", sa.Text),
    sa.Column("state", JSONB),
    sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("started_at", INSTANT),
    sa.Column("finished_at", INSTANT),
    sa.CheckConstraint(
        "status IN ('queued', 'running', 'paused', 'done', 'failed', 'canceled')", name="status"
    ),
    sa.Index("ix_jobs_due", "run_at", "id", postgresql_where=sa.text("status IN ('queued', 'running')")),
    sa.Index("uq_jobs_key", "type", "key", unique=True, postgresql_where=sa.text("status = 'queued'")),
    sa.Index("ix_jobs_actor", "actor_id", "id"),
)


class Job(msgspec.Struct, kw_only=True):
    """A claimed job. `attempt` counts from 1."""

    id: UUID
    type: str
    payload: dict[str, Any]
    event_id: UUID | None
    actor_id: UUID | None
    change_id: UUID | None
    attempt: int
    database: Database

    async def progress(
        self,
        processed: int,
        total: int | None = None,
        counts: dict[str, int] | None = None,
        errors: list[dict[str, Any]] | None = None,
    ) -> None:
        """Shows how far the work is to whoever asks for the job, and extends the lease."""
        await self.database.execute(
            "UPDATE jobs SET processed = $2, total = coalesce($3, total), counts = coalesce($4::jsonb, counts),"
            " errors = coalesce($5::jsonb, errors), lease_until = now() + make_interval(secs => $6) WHERE id = $1",
            self.id,
            processed,
            total,
            counts,
            errors[:MOST_ERRORS] if errors else None,
            LEASE_SECONDS,
        )


async def enqueue(
    tx: Tx | Database,
    type: str,
    payload: dict[str, Any] | None = None,
    *,
    actor: Actor | None = None,
    event_id: UUID | None = None,
    run_at: datetime | None = None,
    key: str | None = None,
    change_id: UUID | None = None,
) -> UUID:
    """Puts a job into the queue, in the caller's transaction. With a `key` at most one of its kind waits at a time."""
    job_id = new_id()
    found = await tx.fetchval(
        "INSERT INTO jobs (id, type, payload, actor_id, event_id, run_at, key, change_id)"
        " VALUES ($1, $2, $3, $4, $5, coalesce($6, now()), $7, $8)"
        " ON CONFLICT (type, key) WHERE status = 'queued' DO UPDATE SET run_at = least(jobs.run_at, excluded.run_at)"
        " RETURNING id",
        job_id,
        type,
        payload or {},
        actor.id if actor else None,
        event_id,
        run_at,
        key,
        change_id,
    )
    if isinstance(tx, Tx):
        tx.after_commit.append(type)
    else:
        await tx.ring()
    return found or job_id


_CLAIM = """
WITH first AS (
    SELECT type FROM jobs
    WHERE status IN ('queued', 'running') AND run_at <= now() AND (lease_until IS NULL OR lease_until < now())
      AND type <> ALL($2::text[])
    ORDER BY run_at, id LIMIT 1
),
due AS (
    SELECT j.id FROM jobs j JOIN first ON first.type = j.type
    WHERE j.status IN ('queued', 'running') AND j.run_at <= now() AND (j.lease_until IS NULL OR j.lease_until < now())
    ORDER BY j.run_at, j.id
    LIMIT (SELECT CASE WHEN first.type = ANY($3::text[]) THEN $4 ELSE 1 END FROM first)
    FOR UPDATE OF j SKIP LOCKED
)
UPDATE jobs SET status = 'running', attempts = attempts + 1, started_at = coalesce(started_at, now()),
    lease_until = now() + make_interval(secs => $1)
FROM due WHERE jobs.id = due.id
RETURNING jobs.id, type, payload, event_id, actor_id, change_id, attempts"""


async def claim(database: Database, batches: frozenset[str], busy: list[str], most: int = 500) -> list[Job]:
    """Leases the next due jobs: one, or up to `most` of one batch type. `busy` types are passed over."""
    rows = await database.fetch(_CLAIM, LEASE_SECONDS, busy, sorted(batches), most)
    return [
        Job(
            id=r["id"],
            type=r["type"],
            payload=r["payload"],
            event_id=r["event_id"],
            actor_id=r["actor_id"],
            change_id=r["change_id"],
            attempt=r["attempts"],
            database=database,
        )
        for r in rows
    ]


async def extend(database: Database, jobs: list[Job]) -> None:
    """Renews the leases of jobs that are still worked on."""
    await database.execute(
        "UPDATE jobs SET lease_until = now() + make_interval(secs => $2) WHERE id = ANY($1::uuid[])",
        [job.id for job in jobs],
        LEASE_SECONDS,
    )


async def finish(database: Database, done: list[Job], result: dict[str, Any] | None) -> None:
    """A reaction's row goes; what a person or a schedule asked for stays, done."""
    await database.execute(
        "WITH gone AS (DELETE FROM jobs WHERE id = ANY($1::uuid[]) AND event_id IS NOT NULL RETURNING id)"
        " UPDATE jobs SET status = 'done', finished_at = now(), lease_until = NULL, result = $2::jsonb,"
        " change_id = coalesce(($2::jsonb ->> 'change_id')::uuid, change_id)"
        " WHERE id = ANY($1::uuid[]) AND event_id IS NULL AND status = 'running'",
        [job.id for job in done],
        result,
    )


async def fail(database: Database, failed: list[Job], reason: str, *, final: bool = False) -> None:
    """Tries again later with a growing pause; after the last attempt the job stands as failed, with the reason."""
    await database.execute(
        "UPDATE jobs SET status = CASE WHEN attempts >= $3 OR $4 THEN 'failed' ELSE 'queued' END,"
        " finished_at = CASE WHEN attempts >= $3 OR $4 THEN now() END, lease_until = NULL,"
        " run_at = now() + make_interval(secs => least(600, power(3, attempts))),"
        " key = CASE WHEN attempts >= $3 OR $4 THEN key END,"
        " errors = errors || jsonb_build_array(jsonb_build_object('detail', $2::text, 'attempt', attempts))"
        " WHERE id = ANY($1::uuid[]) AND status = 'running'",
        [job.id for job in failed],
        reason,
        ATTEMPTS,
        final,
    )
