"""Imports: a folder of files goes in as one change set, under a job that shows how far it is and what was wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service import calendar, jobs
from service.access import SYSTEM
from service.db import Database, to_json
from service.errors import Invalid
from service.ids import new_id
from service.importer import Fault, Importer, Progress, Record, Report
from service.integrations import demo, maven
from service.integrations.files import rows
from service.resources import RESOURCES

Mapping = Callable[[Path, datetime, str], tuple[list[Record], list[Fault]]]

MAPPINGS: dict[str, tuple[str, Mapping]] = {
    "maven": (maven.SOURCE, maven.read),
    "demo": (demo.SOURCE, demo.read),
}
"""`--as` → the source whose ids are the keys of upserts, and what reads the files."""

# Rules -------------------------------------------------------------------------------------------------------------

_OPEN = (
    "INSERT INTO jobs (id, type, status, payload, change_id, started_at, lease_until)"
    " VALUES ($1, 'import', 'running', $2, $3, now(), now() + interval '1 day')"
)
_CLOSE = (
    "UPDATE jobs SET status = $2, counts = $3, errors = $4, result = $5, finished_at = now(), lease_until = NULL,"
    " processed = $6, total = $6 WHERE id = $1"
)


async def run(
    database: Database,
    folder: Path,
    kind: str,
    *,
    dry_run: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Imports a folder and says what happened; the job stays for all to see. Raises `Invalid` for files that are none."""
    if kind not in MAPPINGS:
        raise Invalid(f"There is no mapping {kind!r}; there are {', '.join(sorted(MAPPINGS))}.")
    source, read = MAPPINGS[kind]
    now = datetime.now(UTC)
    zone = (await calendar.company(database)).time_zone
    job_id, change_id = new_id(), new_id()
    await database.execute(_OPEN, job_id, {"path": folder.name, "as": kind, "dry_run": dry_run}, change_id)
    try:
        records, faults = read(folder, now, zone)
        importer = Importer(
            database, SYSTEM, source, RESOURCES, now=now, change_id=change_id, progress=progress
        )
        report = await importer.run(records, faults, dry_run=dry_run, strict=strict)
    except BaseException as error:
        undo = f"; what is in already is undone by: sales undo {change_id}"
        interrupted = isinstance(error, KeyboardInterrupt | asyncio.CancelledError)
        reason = [{"detail": ("interrupted" if interrupted else f"{type(error).__name__}: {error}") + undo}]
        await database.execute(_CLOSE, job_id, "failed", {}, reason, None, 0)
        raise
    return await _close(
        database, job_id, report, len(records), stored=not dry_run and report.change_id is not None
    )


async def _close(
    database: Database, job_id: Any, report: Report, total: int, *, stored: bool
) -> dict[str, Any]:
    totals: dict[str, int] = {}
    for counts in report.counts.values():
        for what, number in counts.items():
            totals[what] = totals.get(what, 0) + number
    errors = [
        {"file": f.file, "line": f.line, "column": f.column, "value": f.value, "detail": f.detail}
        for f in report.errors
    ]
    refused = bool(report.errors) and not stored and not report.dry_run
    result = {
        "job": str(job_id), "change_id": str(report.change_id) if stored else None, "dry_run": report.dry_run,
        "counts": report.counts, "failed": report.failed, "notes": notes(report), "stored": stored,
    }  # fmt: skip
    await database.execute(_CLOSE, job_id, "failed" if refused else "done", totals, errors, result, total)
    if stored:
        await follow_up(database)
    return result | {"errors": errors}


def notes(report: Report) -> list[dict[str, Any]]:
    """What was mended on the way in, counted: one line for each column, value and remedy."""
    found: dict[tuple[str, str, str, str], int] = {}
    for note in report.notes:
        key = (note.file, note.column, note.value, note.detail)
        found[key] = found.get(key, 0) + 1
    return [
        {"file": file, "column": column, "value": value, "detail": detail, "rows": rows}
        for (file, column, value, detail), rows in found.items()
    ]


async def follow_up(database: Database) -> None:
    """What an import asks for: without a champion models are learned first; then all is scored, indexed and forecast."""
    if await database.fetchval("SELECT 1 FROM registry.champions LIMIT 1") is None:
        await jobs.enqueue(database, "models.learn", key="all")
    else:
        await jobs.enqueue(database, "score.all", key="all")
    await jobs.enqueue(database, "search.rebuild", key="all")


async def sign_ins(
    database: Database, folder: Path, set_password: Callable[..., Awaitable[None]]
) -> list[dict[str, str]]:
    """Gives the people of `signins.csv` their passwords; returns who may sign in, administrators first."""
    found = []
    for _, row in rows(folder, "signins", ("email", "password", "role")):
        user_id = await database.fetchval("SELECT id FROM users WHERE lower(email) = lower($1)", row["email"])
        if user_id is None:
            raise Invalid(f"signins.csv names {row['email']}, who is not among the users.")
        await set_password(database, user_id, row["password"])
        found.append({"email": row["email"], "password": row["password"], "role": row["role"]})
    return sorted(found, key=lambda entry: entry["role"] != "admin")


def errors_file(errors: list[dict[str, Any]]) -> str:
    """The errors as NDJSON, for whoever repairs the file."""
    return "".join(to_json(error) + "\n" for error in errors)
