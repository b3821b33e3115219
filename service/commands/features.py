"""`sales features`: what models look at; filling the online store, and holding it to history."""

from collections.abc import Sequence
from typing import Any

import click
import numpy as np

from features.catalogue import ENTITIES, FEATURES, SETS, own_set, widened
from features.custom import declared
from features.facts import Array
from features.reading import loader, values
from service import backfilling
from service.commands.common import json_option, show, with_database
from service.db import Database
from service.settings import Refused, Settings
from service.store import Store, store_of

CHUNK = 500


@click.group()
def features() -> None:
    """What models look at: the catalogue, and the online store."""


@features.command("list")
@click.option("--entity", type=click.Choice(sorted(ENTITIES)), help="Only those of one entity.")
@json_option
def list_features(entity: str | None, as_json: bool) -> None:
    """List all features with unit and meaning."""
    found = [
        {"name": f.name, "entity": f.entity, "unit": f.unit, "owner": f.owner, "meaning": f.meaning}
        for f in FEATURES
        if entity in (None, f.entity)
    ]
    lines = [f"{f['entity']:<12} {f['name']:<28} {f['unit']:<20} {f['meaning']}" for f in found]
    sets = {name: known.fingerprint for name, known in SETS.items()}
    show({"items": found, "feature_sets": sets}, as_json, "\n".join(lines))


@features.command()
@json_option
def backfill(as_json: bool) -> None:
    """Fill the online store anew from history, for everything that is open. A run that was ended goes on."""

    async def tell(entity: str, done: int, total: int) -> None:
        click.echo(f"{entity:<12} {done:,} of {total:,}", err=True)

    async def work(database: Database, settings: Settings) -> dict[str, int]:
        try:
            return await backfilling.backfill(store_of(database, settings.redis_url), settings.home, tell)
        except backfilling.RedisAway as error:
            raise Refused(f"{error}.") from None

    counts = with_database(work)
    show(counts, as_json, ", ".join(f"{count} {entity}" for entity, count in counts.items()))


@features.command()
@click.option("--sample", default=500, show_default=True, help="Entities of each kind that are compared.")
@click.option("--seed", default=0, help="Of the sample.")
@json_option
def check(sample: int, seed: int, as_json: bool) -> None:
    """Compare what the online store answers with history as of the same instant."""

    async def work(database: Database, settings: Settings) -> dict[str, Any]:
        store = store_of(database, settings.redis_url)
        random = np.random.default_rng(seed)
        found: dict[str, Any] = {"compared": {}, "differ": []}
        for entity, sql in backfilling.WHOSE.items():
            ids = [row["id"] for row in await database.fetch(sql + " ORDER BY id")]
            chosen = [ids[i] for i in random.permutation(len(ids))[:sample]]
            found["compared"][entity] = len(chosen)
            found["differ"] += [f"{entity} {one}" for one in await _differing(store, entity, chosen)]
        return found

    found = with_database(work)
    total = sum(found["compared"].values())
    show(found, as_json, f"{total} entities compared, {len(found['differ'])} differ")
    if found["differ"]:
        raise Refused("The online store differs from history: " + "; ".join(found["differ"][:5]))


async def _differing(store: Store, entity: str, ids: Sequence[Any]) -> list[str]:
    """`id feature` of each value that the two do not have alike."""
    wanted = next((found for found in SETS.values() if found.entity == entity), None) or own_set(entity)
    wanted = widened(wanted, await declared(store.database.fetch))
    found = []
    for start in range(0, len(ids), CHUNK):
        spine = (await store.now()).spine(ids[start : start + CHUNK])
        online, _ = await store.online.values(wanted, spine)
        known = await values(loader(store.database.fetch, store.online.calendar), wanted, spine)
        for name, column in online.items():
            found += [f"{spine.ids[int(i)]} {name}" for i in np.flatnonzero(~_alike(column, known[name]))]
    return found


def _alike(one: Array, other: Array) -> Array:
    alike: Array = (
        one == other if one.dtype.kind == "U" else np.isclose(one, other, rtol=1e-9, equal_nan=True)
    )
    return alike


commands: list[click.Command] = [features]
