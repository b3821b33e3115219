"""`sales search`: what a person would find, and how good the search is."""

from pathlib import Path

import click

from service import evaluating, finding
from service.access import SYSTEM
from service.commands.common import json_option, show, with_database
from service.db import Database
from service.domains.search import competitors_of, kinds_of
from service.finding import Hit
from service.settings import Refused, Settings


@click.command()
@click.argument("text", required=False, default="")
@click.option("--kind", default="", help="Such as battle_card,playbook,win_loss,note.")
@click.option("--competitor", default="", help="A competitor's name, alias or id.")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 100))
@click.option(
    "--evaluate",
    "judged",
    type=click.Path(exists=True, path_type=Path),
    help="Measure the search on a CSV (query,document,grade) or on the Cranfield folder instead.",
)
@json_option
def search(text: str, kind: str, competitor: str, limit: int, judged: Path | None, as_json: bool) -> None:
    """Find battle cards, playbooks and notes by meaning and by words."""
    if judged is not None:
        measured = with_database(lambda database, _: evaluating.evaluate(database, judged))
        show({"items": measured}, as_json, evaluating.table(measured))
        return
    if not text.strip():
        raise Refused("Say what to look for, as in: sales search “too expensive”.")

    async def find(database: Database, settings: Settings) -> list[Hit]:
        wanted = finding.Wanted(
            kinds=kinds_of(kind), competitor_ids=await competitors_of(database, competitor), limit=limit
        )
        return await finding.search(database, SYSTEM, text.strip(), wanted)

    hits = with_database(find)
    shown = [f"{hit.score:.2f}  {hit.kind:<12} {hit.title}\n      {hit.snippet}" for hit in hits]
    show({"items": hits}, as_json, "\n".join(shown) or "Nothing found.")


commands = [search]
