"""`sales import`, `sales demo` and `sales undo`: history in, and out again."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from service import changes
from service.access import SYSTEM
from service.commands.common import json_option, show, with_database
from service.db import Database
from service.domains.sessions import set_password
from service.home import Home
from service.importing import runs
from service.integrations.files import rows
from service.settings import ROOT, Refused, Settings

SHOWN = 20
"""Errors that are printed; the job keeps the first thousand."""


def progress(as_json: bool) -> Callable[[str, int, int | None], Awaitable[None]]:
    """Lines that grow on a terminal, plain ones elsewhere, nothing beside JSON."""

    async def tell(what: str, done: int, total: int | None) -> None:
        if not as_json:
            of = f" of {total:,}" if total else ""
            end = "\r" if sys.stderr.isatty() and done != total else "\n"
            click.echo(f"  {what:32} {done:>10,}{of}{end}", err=True, nl=False)

    return tell


@click.command("import")
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--as",
    "kind",
    required=True,
    help="What wrote the files: maven, salesforce, hubspot, demo, or a description of them in TOML.",
)
@click.option("--dry-run", is_flag=True, help="Judge everything, store nothing.")
@click.option("--strict", is_flag=True, help="Store nothing if anything is wrong.")
@json_option
def import_(path: Path, kind: str, dry_run: bool, strict: bool, as_json: bool) -> None:
    """Import a folder of files, with its history, as one change set."""

    async def work(database: Database, _: Settings) -> dict[str, Any]:
        return await runs.run(
            database, path, kind, dry_run=dry_run, strict=strict, progress=progress(as_json)
        )

    result = with_database(work)
    show(result, as_json, summary(result))
    if strict and result["errors"]:
        raise Refused(f"{result['failed']} rows are wrong, and with --strict nothing was stored.")


def summary(result: dict[str, Any]) -> str:
    """The result in words."""
    lines = [
        f"{table:16} " + ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)
        for table, counts in result["counts"].items()
    ]
    lines += [
        f"mended: {note['file']} {note['column']} {note['value']!r} {note['detail']} ({note['rows']} rows)"
        for note in result["notes"]
    ]
    lines += [
        f"wrong: {error['file']}, line {error['line']}, {error['column']} {error['value']!r}: {error['detail']}"
        for error in result["errors"][:SHOWN]
    ]
    if len(result["errors"]) > SHOWN:
        lines.append(f"… {result['failed'] - SHOWN} more; the job {result['job']} lists them")
    if result["change_id"]:
        lines.append(f"undo with: sales undo {result['change_id']}")
    return "\n".join(lines)


@click.command()
@click.option("--deals", default=3000, show_default=True, type=click.IntRange(50, 200_000))
@click.option("--seed", default=7, show_default=True, type=click.IntRange(0))
@click.option("--until", default=None, help="The last day (YYYY-MM-DD); by default yesterday.")
@json_option
def demo(deals: int, seed: int, until: str | None, as_json: bool) -> None:
    """Create the simulated company: dated files, replayed through the importer."""
    last = date.fromisoformat(until) if until else date.today() - timedelta(days=1)  # noqa: DTZ011  # the person's own day

    async def work(database: Database, settings: Settings) -> dict[str, Any]:
        home = Home(settings.home)
        with tempfile.TemporaryDirectory(prefix="sales-demo-") as name:
            folder = Path(name)
            _simulate(folder, deals, seed, last, quiet=as_json)
            result = await runs.run(database, folder, "demo", progress=progress(as_json))
            result["sign_ins"] = await sign_ins(database, folder)
            keep_truth(folder / "truth", home / "truth")
        home.write("sign-ins.json", {"sign_ins": result["sign_ins"]})
        return result

    result = with_database(work)
    show(result, as_json, summary(result))


def _simulate(folder: Path, deals: int, seed: int, last: date, *, quiet: bool) -> None:
    """The files come from a process of their own: the product imports nothing from the room that trains."""
    command = [
        sys.executable, "-m", "training.synthetic", "--out", str(folder), "--deals", str(deals), "--seed", str(seed),
        "--until", last.isoformat(),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.DEVNULL if quiet else sys.stderr, check=False
    )
    if done.returncode:
        raise Refused(f"The simulation ended with status {done.returncode}.")


async def sign_ins(database: Database, folder: Path) -> list[dict[str, str]]:
    """Gives the people of `signins.csv` their passwords; returns who may sign in, administrators first."""
    found = []
    for _, row in rows(folder, "signins", ("email", "password", "role")):
        user_id = await database.fetchval("SELECT id FROM users WHERE lower(email) = lower($1)", row["email"])
        if user_id is None:
            raise Refused(f"signins.csv names {row['email']}, who is not among the users.")
        await set_password(database, user_id, row["password"])
        found.append({"email": row["email"], "password": row["password"], "role": row["role"]})
    return sorted(found, key=lambda entry: entry["role"] != "admin")


def keep_truth(source: Path, target: Path) -> None:
    """The truth lies beside the home's data; nothing but tests and the report reads it."""
    if source.is_dir():
        target.mkdir(mode=0o700, exist_ok=True)
        for path in source.iterdir():
            (target / path.name).write_bytes(path.read_bytes())


@click.command()
@click.argument("change_id", type=click.UUID)
@json_option
def undo(change_id: UUID, as_json: bool) -> None:
    """Undo a change set: an import, a bulk change, an edit."""

    async def work(database: Database, _: Settings) -> dict[str, Any]:
        return await changes.undo(database, SYSTEM, change_id)

    result = with_database(work)
    counts = ", ".join(f"{number:,} {table}" for table, number in result["counts"].items())
    show(
        result, as_json, f"undone: {counts or 'nothing'}; take it back with: sales undo {result['change_id']}"
    )


commands: list[click.Command] = [import_, demo, undo]
