"""`sales export`: records out, as a file of a resource, or as the files of Salesforce."""

from pathlib import Path
from typing import Any

import click

from service import query
from service.access import SYSTEM
from service.commands.common import json_option, show, with_database
from service.db import Database
from service.errors import Problem
from service.exporting import salesforce, streams
from service.exporting.streams import Selection
from service.resources import RESOURCES
from service.settings import Refused, Settings

FORMATS = ("csv", "ndjson", "parquet")


@click.command()
@click.argument("resource", required=False)
@click.option("--format", "format_", type=click.Choice(FORMATS), default="csv", show_default=True)
@click.option("--as", "kind", type=click.Choice(["salesforce"]), help="Write the files of another system.")
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="The folder."
)
@click.option(
    "--filter", "filter_", default="", help="As in a list: 'stage=won&amount[gte]=1000&sort=-amount'."
)
@json_option
def export(
    resource: str | None, format_: str, kind: str | None, output: Path, filter_: str, as_json: bool
) -> None:
    """Export a RESOURCE such as opportunities into a folder; with --as salesforce the files, of all resources or one."""
    table = (resource or "").replace("-", "_")
    if (resource and table not in RESOURCES) or not (resource or kind):
        raise Refused(f"RESOURCE is one of {', '.join(sorted(RESOURCES))}.")
    output.mkdir(parents=True, exist_ok=True)

    async def work(database: Database, _: Settings) -> dict[str, Any]:
        if kind == "salesforce":
            counts = await salesforce.export(database, output, table or None)
            return {"folder": str(output), "rows": counts}
        return await _one(database, table, format_, output, filter_)

    result = with_database(work)
    told = [f"{name}: {number:,} rows" for name, number in result["rows"].items()]
    show(result, as_json, "\n".join([*told, f"in {result['folder']}"]))


async def _one(database: Database, table: str, format_: str, output: Path, filter_: str) -> dict[str, Any]:
    async def silent(rows: int) -> None:
        """The command waits."""

    try:
        request = query.parse(filter_.lstrip("?").encode())
        builder = await query.prepared(database, RESOURCES[table].source, SYSTEM, request)
        selection = Selection(RESOURCES[table], builder)
    except Problem as error:
        raise Refused(f"--filter: {error.detail}") from error
    name = f"{table}.{format_}"
    with (output / name).open("wb") as file:  # nothing else runs in this process
        rows = await streams.write(database, selection, format_, file, silent)  # type: ignore[arg-type]  # click chose
    return {"folder": str(output), "rows": {name: rows}}


commands: list[click.Command] = [export]
