"""What the commands share: the home's servers with a migrated database, and answers as text or as JSON."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from service import observe
from service.commands.migrate import ensure_current
from service.db import Database, to_json
from service.embedded import running
from service.settings import Settings, read

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")


def show(value: Any, as_json: bool, text: str) -> None:
    """Prints an answer: `value` as JSON, or `text` for a person."""
    click.echo(to_json(value) if as_json else text)


@contextmanager
def opened() -> Iterator[Settings]:
    """The settings with all URLs filled in, for a database in the shape that this version expects."""
    settings = read(os.environ)
    observe.configure(settings.log_level, stream=sys.stderr)
    with running(settings) as (settings, _):
        ensure_current(settings.database_url, settings.database_app_url)
        yield settings


def with_database(work: Callable[[Database, Settings], Awaitable[T]]) -> T:
    """Runs `work` with a small pool of the application's role, and returns what it returns."""

    async def inside(settings: Settings) -> T:
        database = await Database.open(settings.database_app_url, min_size=1, max_size=4)
        try:
            return await work(database, settings)
        finally:
            await database.close()

    with opened() as settings:
        return asyncio.run(inside(settings))
