"""Training sets asked for over the API: a spine becomes a Parquet file, made by the worker, named by its sha256.

The spine is looked at when it comes, so that what is wrong with it is said at once. The file of a set that was made stays
for thirty days beside the models, like the job that made it.
"""

import io
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pyarrow.parquet as pq

from features.catalogue import ENTITIES, FEATURES
from features.custom import Declared, made
from features.facts import instant
from features.labels import LABELS, labels_of
from features.offline import CHUNK, BadSpine, checked, digest, spine_of, training_set
from features.reading import read_calendar
from features.spec import FeatureSet
from service.errors import Invalid
from service.jobs import Job
from service.settings import Settings
from service.worker import Handler

KEPT_DAYS = 30


def folder_of(settings: Settings) -> Path:
    """Where spines wait and sets lie."""
    return settings.home / "training_sets"


def read_spine(raw: bytes, kind: str, now: datetime) -> pl.DataFrame:
    """A spine out of CSV or Parquet. Raises 422 that says what is wrong with it, and where."""
    try:
        text = {"entity_id": pl.String, "as_of": pl.String}
        source = io.BytesIO(raw)
        frame = pl.read_parquet(source) if kind == "parquet" else pl.read_csv(source, schema_overrides=text)
        return checked(frame, now)
    except BadSpine as error:
        raise Invalid.at("", str(error)) from None
    except (pl.exceptions.PolarsError, ValueError, OSError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Invalid.at("", f"the file cannot be read as {kind}: {words}") from None


def check_labels(entity: str, names: list[str]) -> None:
    """Raises 422 for a label that the entity does not have."""
    for name in names:
        if name not in LABELS or LABELS[name].entity != entity:
            there = ", ".join(one.name for one in LABELS.values() if one.entity == entity) or "none"
            raise Invalid.at("/labels", f"there is no label {name!r} of {entity}; there are: {there}")


def set_of(payload: dict[str, Any]) -> FeatureSet:
    """The features that a job was asked for."""
    fields = msgspec.convert(payload.get("fields", []), tuple[Declared, ...])
    by_name = {one.name: one for one in (*FEATURES, *map(made, fields))}
    wanted = tuple(by_name[name] for name in payload["features"])
    return FeatureSet(payload["feature_set"] or payload["entity"], payload["entity"], wanted, ENTITIES)


async def make(job: Job, settings: Settings) -> dict[str, Any]:
    """Makes the set part by part, each part written before the next is asked for; whole or not at all."""
    folder, payload = folder_of(settings), job.payload
    _tidy(folder)
    spine = pl.read_parquet(folder / f"{payload['set']}.spine.parquet")
    wanted, until = set_of(payload), datetime.fromisoformat(payload["until"])
    calendar = await read_calendar(job.database.fetch)
    fetch, draft = job.database.fetch, folder / f".{payload['set']}.draft"
    writer: pq.ParquetWriter | None = None
    try:
        for start in range(0, len(spine), CHUNK):
            part = spine.slice(start, CHUNK)
            made = await training_set(fetch, wanted, part, calendar=calendar)
            came = await labels_of(fetch, payload["labels"], wanted.entity, spine_of(part), instant(until))
            marked = [pl.Series(name, column).fill_nan(None) for name, column in came.items()]
            table = part.hstack(marked).hstack(made.select(wanted.names)).to_arrow()
            writer = writer or pq.ParquetWriter(draft, table.schema)
            writer.write_table(table)
            await job.progress(min(start + CHUNK, len(spine)), len(spine))
    finally:
        if writer:
            writer.close()
    path = folder / f"{payload['set']}.parquet"
    draft.replace(path)
    columns = (pl.read_parquet(path, columns=[name]).to_series() for name in pl.read_parquet_schema(path))
    return {
        "rows": len(spine), "sha256": digest(columns), "feature_set": wanted.fingerprint,
        "features": len(wanted.names), "labels": payload["labels"],
    }  # fmt: skip


def _tidy(folder: Path) -> None:
    """Removes files that have had their time."""
    oldest = time.time() - KEPT_DAYS * 86_400
    for path in folder.glob("*.parquet"):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def handlers(settings: Settings) -> dict[str, Handler]:
    """`features.historical`."""

    async def run(job: Job) -> dict[str, Any]:
        try:
            return await make(job, settings)
        except FileNotFoundError:
            raise Invalid("The spine of this set is gone: send it again.") from None

    return {"features.historical": run}
