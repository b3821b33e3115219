"""An import under its job: how far it is, what was wrong, where it goes on, and what follows once it is through."""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import obstore

from service import alike, jobs, objects, statistics
from service.access import SYSTEM
from service.auth import actor_of_user
from service.db import Database, Tx
from service.errors import Conflict, Invalid, Problem
from service.ids import new_id
from service.importer import Importer, Progress, Stopped
from service.importing import plain, sheets
from service.importing.completing import Completion
from service.importing.known import NATURAL, Known
from service.importing.lines import Sheet
from service.importing.records import Context, Fault, Item, Report
from service.importing.targets import custom_targets, target_of, targets
from service.integrations import demo, described, maven, salesforce
from service.jobs import Job
from service.resources import RESOURCES
from service.settings import Settings
from service.worker import Handler


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """What reads the files of one kind. `source`: whose ids are the keys of upserts. `completes`: the product's rules
    derive the rest. `natural`: keys of upserts besides those ids. `headers`: the files and their columns, where an export gives them back."""

    source: str
    read: Callable[[Path, Context], Iterator[Item]]
    completes: bool = False
    natural: dict[str, tuple[str, ...]] | None = None
    headers: Callable[[Path, Context], list[tuple[str, list[str]]]] | None = None


MAPPINGS: dict[str, Mapping] = {
    "maven": Mapping(
        source=maven.SOURCE, read=lambda folder, about: maven.read(folder, about.now, about.zone)
    ),
    "demo": Mapping(source=demo.SOURCE, read=lambda folder, about: demo.read(folder, about.now, about.zone)),
    "salesforce": Mapping(source=salesforce.SOURCE, read=salesforce.read, headers=salesforce.headers),
}
"""By what `--as` calls it."""

_OPEN = (
    "INSERT INTO jobs (id, type, status, payload, change_id, attempts, started_at, lease_until)"
    " VALUES ($1, 'import', 'running', $2, $3, 1, now(), now() + interval '1 day')"
)
_STAND = (
    "UPDATE jobs SET processed = $3, counts = $4, errors = $5, state = coalesce($6, state),"
    " lease_until = greatest(lease_until, now() + make_interval(secs => $7))"
    " WHERE id = $1 AND attempts = $2 RETURNING status"
)
_CLOSE = (
    "UPDATE jobs SET status = $2, counts = $3, errors = $4, result = $5, result_url = $6, finished_at = now(),"
    " lease_until = NULL, state = NULL WHERE id = $1"
)
_FAULTS = (
    'INSERT INTO import_faults (job_id, file, line, "column", value, detail)'
    " SELECT $1, f, l, c, v, d FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[]) AS x(f, l, c, v, d)"
)


class Standing:
    """Writes down, in each chunk's own transaction, how far the import of one job is."""

    def __init__(self, job_id: UUID, attempt: int, now: datetime) -> None:
        self.job_id, self.attempt, self.now = job_id, attempt, now

    async def __call__(self, run: Tx | Database, position: int | None, report: Report) -> bool:
        """Whether to go on. Raises `Stopped`, which takes the chunk back, where another worker has the job by now."""
        await keep_faults(run, self.job_id, report.drain())
        state = None if position is None else self._state(position, report)
        status = await run.fetchval(
            _STAND, self.job_id, self.attempt, position or sum(totals(report).values()), totals(report),
            [shown(fault) for fault in report.errors], state, jobs.LEASE_SECONDS,
        )  # fmt: skip
        if status is None:
            raise Stopped
        return bool(status == "running")

    def _state(self, position: int, report: Report) -> dict[str, Any]:
        notes = [[*key, rows] for key, rows in report.notes.items()]
        return {
            "now": self.now.isoformat(), "position": position, "counts": report.counts,
            "failed": report.failed, "notes": notes,
        }  # fmt: skip


async def keep_faults(run: Tx | Database, job_id: UUID, faults: list[Fault]) -> None:
    """Adds to the file of what was wrong."""
    if faults:
        await run.execute(
            _FAULTS, job_id, [f.file for f in faults], [f.line for f in faults],
            [_stored(f.column) for f in faults], [_stored(f.value) for f in faults],
            [_stored(f.detail) for f in faults],
        )  # fmt: skip


def _stored(text: str) -> str:
    return str(text).replace("\0", "\\0").encode("utf-8", "replace").decode()


def shown(fault: Fault) -> dict[str, Any]:
    return {
        "file": fault.file, "line": fault.line, "column": _stored(fault.column), "value": _stored(fault.value),
        "detail": _stored(fault.detail),
    }  # fmt: skip


def totals(report: Report) -> dict[str, int]:
    """The counts of all resources together."""
    found: dict[str, int] = {}
    for counts in report.counts.values():
        for what, number in counts.items():
            found[what] = found.get(what, 0) + number
    return found | {"failed": report.failed} if found or report.failed else found


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
    mapping = mapping_of(kind)
    now = datetime.now(UTC)
    about = await context(database, now)
    job_id, change_id = new_id(), new_id()
    await database.execute(_OPEN, job_id, {"path": folder.name, "as": kind, "dry_run": dry_run}, change_id)
    importer = Importer(
        database, SYSTEM, mapping.source, RESOURCES, now=now, change_id=change_id, progress=progress,
        checkpoint=Standing(job_id, 1, now), completes=mapping.completes, natural=mapping.natural,
    )  # fmt: skip
    try:
        report = await importer.run(lambda: mapping.read(folder, about), dry_run=dry_run, strict=strict)
        if mapping.headers and report.change_id and not dry_run:
            await keep_headers(database, mapping.source, mapping.headers(folder, about))
    except BaseException as error:
        await _fail(database, job_id, change_id, error)
        raise
    return await close(database, job_id, report)


def mapping_of(kind: str) -> Mapping:
    """The mapping of a name, or of a description in TOML. Raises `Invalid` that names those that there are."""
    if kind in MAPPINGS:
        return MAPPINGS[kind]
    if kind != "hubspot" and not kind.endswith(".toml"):
        names = ", ".join(sorted({*MAPPINGS, "hubspot"}))
        raise Invalid(f"There is no mapping {kind!r}; there are {names}, and your own MAPPING.toml.")
    description = described.load(described.HUBSPOT if kind == "hubspot" else Path(kind))
    return Mapping(
        source=description.source, read=lambda folder, about: described.read(description, folder, about),
        completes=True, natural=NATURAL | described.natural(description),
    )  # fmt: skip


async def context(database: Database, now: datetime) -> Context:
    """What the mappings may know of the company."""
    completion = Completion(database, SYSTEM, now, RESOURCES)
    await completion.load("lines", [], Known(database, ""))
    company = completion.company
    return Context(now, company.time_zone, company.home_currency, completion.rate)


async def keep_headers(database: Database, source: str, files: list[tuple[str, list[str]]]) -> None:
    for file, columns in files:
        await database.execute(
            "INSERT INTO import_files (source, file, columns) VALUES ($1, $2, $3)"
            " ON CONFLICT (source, file) DO UPDATE SET columns = excluded.columns",
            source,
            file,
            columns,
        )


async def _fail(database: Database, job_id: UUID, change_id: UUID, error: BaseException) -> None:
    interrupted = isinstance(error, KeyboardInterrupt | asyncio.CancelledError)
    reason = "interrupted" if interrupted else f"{type(error).__name__}: {error}"
    detail = [{"detail": f"{reason}; what is in already is undone by: sales undo {change_id}"}]
    await database.execute(_CLOSE, job_id, "failed", {}, detail, None, None)


async def close(database: Database, job_id: UUID, report: Report) -> dict[str, Any]:
    """Ends the job with its result; what an import asks for follows."""
    stored = not report.dry_run and report.change_id is not None
    await keep_faults(database, job_id, report.drain())
    errors = [shown(fault) for fault in report.errors]
    refused = bool(errors) and not stored and not report.dry_run
    url = f"/api/v1/imports/{job_id}/errors" if errors else None
    result = {
        "job": str(job_id), "change_id": str(report.change_id) if stored else None, "dry_run": report.dry_run,
        "counts": report.counts, "failed": report.failed, "notes": notes(report), "stored": stored,
    }  # fmt: skip
    status = "failed" if refused else "done"
    await database.execute(_CLOSE, job_id, status, totals(report), errors, result, url)
    if stored:
        written = {table: counts["created"] + counts["updated"] for table, counts in report.counts.items()}
        await statistics.ask(database, written)
        await follow_up(database)
    return result | {"errors": errors}


def notes(report: Report) -> list[dict[str, Any]]:
    """What was mended on the way in: one line for each column, value and remedy."""
    return [
        {"file": file, "column": column, "value": value, "detail": detail, "rows": rows}
        for (file, column, value, detail), rows in report.notes.items()
    ]


async def follow_up(database: Database) -> None:
    """What an import asks for: without a champion models are learned first; then all is scored, indexed and forecast,
    and duplicates are looked for."""
    if await database.fetchval("SELECT 1 FROM registry.champions LIMIT 1") is None:
        await jobs.enqueue(database, "models.learn", key="all")
    else:
        await jobs.enqueue(database, "score.all", key="all")
    await jobs.enqueue(database, "search.rebuild", key="all")
    for entity in alike.KINDS:
        await jobs.enqueue(database, "duplicates.scan", {"entity": entity}, key=entity)


# --- a file that came through the door ------------------------------------------------------------------------------


def handlers(settings: Settings) -> dict[str, Handler]:
    async def work(job: Job) -> dict[str, Any] | None:
        return await _work(settings.objects_url, job)

    return {"import": work}


async def _work(url: str, job: Job) -> dict[str, Any] | None:
    """Fetches the file and imports it, from where an earlier attempt stood."""
    if "object" not in job.payload:  # a command's files are in its own folder, and its process is gone
        raise Conflict(
            f"The command was interrupted; what is in already is undone by: sales undo {job.change_id}"
        )
    key = job.payload["object"]
    with tempfile.TemporaryDirectory(prefix="sales-import-") as folder:
        path = Path(folder) / "file"
        with path.open("wb") as file:
            async for chunk in await objects.stream(url, key):
                file.write(chunk)
        try:
            result = await _import_sheet(job, await asyncio.to_thread(sheets.look, path, job.payload["name"]))
        except Stopped:
            if await _rest(job) == "canceled":
                await _discard(url, key)
            return None
        except Problem:
            await _discard(url, key)
            raise
    await _discard(url, key)
    return result


async def _import_sheet(job: Job, sheet: Sheet) -> dict[str, Any]:
    database, asked = job.database, job.payload
    resource = RESOURCES[asked["resource"]]
    assert job.actor_id is not None
    actor = await actor_of_user(database, job.actor_id, door="import")
    fields = targets(resource, await custom_targets(database, resource))
    settled = {
        name: (target, one["format"])
        for name, one in asked["mapping"].items()
        if (target := target_of(one["field"], fields))
    }
    stood = await database.fetchrow("SELECT state, errors FROM jobs WHERE id = $1", job.id)
    report, position, now = _report(job, stood["state"], stood["errors"])
    if not position:
        await database.execute("DELETE FROM import_faults WHERE job_id = $1", job.id)
    await database.execute(
        "UPDATE jobs SET total = $2 WHERE id = $1", job.id, await asyncio.to_thread(sheet.count)
    )
    natural = {resource.key: tuple(asked["key"])} if asked["key"] else None
    importer = Importer(
        database, actor, asked["source"], RESOURCES, now=now, change_id=job.change_id, report=report,
        checkpoint=Standing(job.id, job.attempt, now), natural=natural, completes=True,
    )  # fmt: skip
    done = await importer.run(
        lambda: plain.records(sheet, resource.key, settled, now, clears=asked.get("clear_empty", False)),
        dry_run=asked["dry_run"], strict=asked["strict"], position=position,
    )  # fmt: skip
    return await close(database, job.id, done)


def _report(
    job: Job, state: dict[str, Any] | None, errors: list[dict[str, Any]]
) -> tuple[Report, int, datetime]:
    """What an earlier attempt had found, where it stood, and the instant that is its now."""
    report = Report(change_id=job.change_id)
    if not state:
        return report, 0, datetime.now(UTC)
    report.counts, report.failed = state["counts"], state["failed"]
    report.notes = {
        (file, column, value, detail): rows for file, column, value, detail, rows in state["notes"]
    }
    report.errors = [Fault(**error) for error in errors if "line" in error]
    return report, state["position"], datetime.fromisoformat(state["now"])


async def _rest(job: Job) -> str | None:
    """Gives the job back where somebody stopped it: at once to be resumed by whoever takes it."""
    return await job.database.fetchval(  # type: ignore[no-any-return]
        "UPDATE jobs SET lease_until = NULL WHERE id = $1 AND attempts = $2 RETURNING status",
        job.id,
        job.attempt,
    )


async def _discard(url: str, key: str) -> None:
    """The file of a finished import goes: its records are kept, and it may hold what nobody wants to keep."""
    with contextlib.suppress(FileNotFoundError):
        await obstore.delete_async(objects.store_at(url), key)
