"""`sales score`, `sales replay`: make scores, and make one of the past again from what is stored."""

import sys
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import click

from service.commands.common import json_option, show, with_database
from service.db import Database
from service.replay import replayed
from service.rescoring import score_all
from service.scoring import score_deals, score_leads
from service.settings import Refused, Settings
from service.store import refresh, store_of
from service.voices import voices_of


@click.command()
@click.argument("ids", nargs=-1, type=click.UUID)
@click.option("--all", "everything", is_flag=True, help="Every open deal and lead.")
@json_option
def score(ids: tuple[UUID, ...], everything: bool, as_json: bool) -> None:
    """Score deals and leads anew, by id or all of them."""
    if bool(ids) == everything:
        raise Refused("Name the ids of deals or leads, or say --all.")

    async def some(database: Database, settings: Settings) -> dict[str, Any]:
        store, voices = store_of(database, settings.redis_url), voices_of(database, settings)
        now = await store.now(is_fresh=True)
        await refresh(store, now, {"opportunity": ids, "lead": ids})
        made = [
            *await score_deals(store, voices, ids, now),
            *await score_leads(store, voices, ids, now),
        ]
        missing = set(ids) - {row["opportunity_id"] or row["lead_id"] for row in made}
        if missing:
            raise Refused(f"Neither an open deal nor an open lead: {min(map(str, missing))}.")
        return {
            "deals": sum(row["lead_id"] is None for row in made),
            "leads": sum(row["lead_id"] is not None for row in made),
        }

    async def all_of_them(database: Database, settings: Settings) -> dict[str, Any]:
        with click.progressbar(length=1, label="Scores", file=sys.stderr) as bar:
            return dict(await score_all(database, settings, _telling(bar)))

    counts = with_database(all_of_them if everything else some)
    show(counts, as_json, f"{counts['deals']} deals and {counts['leads']} leads scored")


def _telling(bar: Any) -> Callable[[int, int], Awaitable[None]]:
    async def tell(done: int, total: int) -> None:
        bar.length = total
        bar.update(done - bar.pos)

    return tell


@click.command()
@click.argument("score_id", type=click.UUID)
@json_option
def replay(score_id: UUID, as_json: bool) -> None:
    """Make a past score again from its stored features and its model's version; fails when it comes out otherwise."""

    async def work(database: Database, settings: Settings) -> dict[str, Any]:
        return await replayed(database, settings.home / "models", score_id)

    found = with_database(work)
    show(
        found, as_json, f"stored {found['stored']:.9f}, replayed {found['replayed']:.9f}: {found['verdict']}"
    )
    if found["verdict"] != "the same":
        raise Refused(f"The score {score_id} does not come out as it was stored.")


commands: list[click.Command] = [score, replay]
