"""Versions of models and which of them serves: the registry's tables, read and written with one asyncpg placeholder style.

`run` is anything with `fetch`, `fetchrow` and `execute` of asyncpg: a connection, a pool, the service's transaction.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from registry import bundle
from registry.bundle import Bundle


class Run(Protocol):
    """What this room needs of a database."""

    async def fetch(self, sql: str, *args: Any) -> Any: ...
    async def fetchrow(self, sql: str, *args: Any) -> Any: ...
    async def execute(self, sql: str, *args: Any) -> Any: ...


class Unknown(LookupError):
    """There is no such model or version."""


class NotPublishable(ValueError):
    """A version whose gates say no cannot become champion; the text lists the gates."""


_NEXT = "SELECT coalesce(max(version), 0) + 1 AS version FROM registry.versions WHERE model = $1"

_ADD = """
INSERT INTO registry.versions (model, version, tier, status, feature_set, metrics, verdict, card, artifact_path, sha256,
    run_id, training_as_of, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"""

_CHAMPION = """
SELECT v.model, v.version, v.sha256, c.previous_version, c.pinned, c.promoted_at, c.promoted_by, c.reason
FROM registry.champions c JOIN registry.versions v ON v.model = c.model AND v.version = c.version
WHERE c.model = $1"""

_SEAT = """
INSERT INTO registry.champions (model, version, pinned, promoted_by, reason) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (model) DO UPDATE SET previous_version = registry.champions.version, version = excluded.version,
    pinned = excluded.pinned, promoted_at = now(), promoted_by = excluded.promoted_by, reason = excluded.reason"""


_PUBLISH = """
UPDATE registry.versions SET status = 'published',
    card = card || jsonb_build_object('promotions', coalesce(card -> 'promotions', '[]') || $3::jsonb)
WHERE model = $1 AND version = $2"""


@asynccontextmanager
async def registering(connection: Run, model: str) -> AsyncIterator[int]:
    """The number of a version to come, which nobody else gets meanwhile: between number and row lie the files, and two
    runs with one number would write over each other's. Takes one connection, not a pool."""
    await connection.execute("SELECT pg_advisory_lock(hashtext('registry'), hashtext($1))", model)
    try:
        yield await next_version(connection, model)
    finally:
        await connection.execute("SELECT pg_advisory_unlock(hashtext('registry'), hashtext($1))", model)


async def next_version(run: Run, model: str) -> int:
    """The number of the version to come."""
    return int((await run.fetchrow(_NEXT, model))["version"])


async def add(
    run: Run,
    model: str,
    version: int,
    *,
    tier: str,
    feature_set: str,
    metrics: Mapping[str, Any],
    verdict: Mapping[str, Any],
    card: Mapping[str, Any],
    folder: Path,
    sha256: str,
    run_id: str | None,
    training_as_of: datetime,
    created_by: str,
) -> None:
    """Registers a trained version; `verdict["is_publishable"]` decides between candidate and refused."""
    status = "candidate" if verdict.get("is_publishable") else "refused"
    await run.execute(
        _ADD,
        model,
        version,
        tier,
        status,
        feature_set,
        dict(metrics),
        dict(verdict),
        dict(card),
        str(folder),
        sha256,
        run_id,
        training_as_of,
        created_by,
    )


async def mirrored(run: Run, model: str, version: int, run_id: str) -> None:
    """Notes the run in which MLflow shows a version."""
    await run.execute(
        "UPDATE registry.versions SET run_id = $3 WHERE model = $1 AND version = $2", model, version, run_id
    )


async def champion(run: Run, model: str) -> dict[str, Any] | None:
    """The row of the version that serves, or None."""
    row = await run.fetchrow(_CHAMPION, model)
    return dict(row) if row else None


async def load(run: Run, root: Path, model: str) -> Bundle | None:
    """The bundle that serves, checked against its sha256; None where there is no champion. Raises `bundle.Refused`."""
    row = await champion(run, model)
    return bundle.read(root, model, row["version"], row["sha256"]) if row else None


async def version_row(run: Run, model: str, version: int) -> dict[str, Any]:
    """One version; raises `Unknown`."""
    row = await run.fetchrow(
        "SELECT * FROM registry.versions WHERE model = $1 AND version = $2", model, version
    )
    if row is None:
        raise Unknown(f"There is no version {version} of the model {model!r}.")
    return dict(row)


async def promote(
    run: Run, model: str, version: int, *, by: str, reason: str = "", pinned: bool = False, override: str = ""
) -> dict[str, Any]:
    """Makes a version the champion. A refused one only with a written reason as `override`, which its card keeps."""
    row = await version_row(run, model, version)
    if row["status"] == "refused" and not override:
        failed = [
            f"{gate['name']}: {gate['words']}"
            for gate in row["verdict"].get("gates", [])
            if not gate["passed"]
        ]
        raise NotPublishable(
            f"{model} version {version} may not serve: " + "; ".join(failed or ["a gate failed"])
        )
    before = await champion(run, model)
    if before and before["version"] == version:
        await run.execute("UPDATE registry.champions SET pinned = $2 WHERE model = $1", model, pinned)
        return {"model": model, "version": version, "previous_version": before["previous_version"]}
    await run.execute(_SEAT, model, version, pinned, by, override or reason)
    said = {"by": by, "at": datetime.now(UTC).isoformat(), "reason": reason, "override": override or None}
    await run.execute(_PUBLISH, model, version, [said])
    return {"model": model, "version": version, "previous_version": before["version"] if before else None}


async def rollback(run: Run, model: str, *, by: str, reason: str = "") -> dict[str, Any]:
    """The version before serves again; raises `Unknown` when there is none."""
    row = await champion(run, model)
    if row is None or row["previous_version"] is None:
        raise Unknown(f"The model {model!r} has no earlier champion to return to.")
    words = reason or "rolled back"
    await run.execute(_SEAT, model, row["previous_version"], False, by, words)
    said = {"by": by, "at": datetime.now(UTC).isoformat(), "reason": words, "override": None}
    await run.execute(_PUBLISH, model, row["previous_version"], [said])
    return {"model": model, "version": row["previous_version"], "previous_version": row["version"]}


async def versions(run: Run, model: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Versions, newest first, each with `is_champion`."""
    rows = await run.fetch(
        "SELECT v.*, c.version IS NOT NULL AS is_champion FROM registry.versions v LEFT JOIN registry.champions c"
        " ON c.model = v.model AND c.version = v.version WHERE $1::text IS NULL OR v.model = $1"
        " ORDER BY v.created_at DESC, v.version DESC LIMIT $2",
        model,
        limit,
    )
    return [dict(row) for row in rows]
