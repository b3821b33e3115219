"""Training sets: the features of many (entity, instant) pairs, as a polars frame.

spine = pl.DataFrame({"entity_id": [...], "as_of": [...]})     # "known_at" too where it differs
frame = await training_set(connection.fetch, SETS["deal_win"], spine)
"""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from features.facts import Array, Calendar
from features.reading import Fetch, Spine, loader, read_calendar, values
from features.spec import FeatureSet

CHUNK = 20_000
"""Pairs that are asked for at a time."""


def spine_of(frame: pl.DataFrame) -> Spine:
    """A spine of the columns `entity_id`, `as_of` and, where it differs, `known_at`."""
    as_of = _instants(frame["as_of"])
    known_at = _instants(frame["known_at"]) if "known_at" in frame.columns else as_of
    return Spine([str(name) for name in frame["entity_id"].to_list()], as_of, known_at)


def _instants(series: pl.Series) -> Array:
    return series.dt.epoch("us").to_numpy().astype(np.float64)


async def training_set(
    fetch: Fetch,
    feature_set: FeatureSet,
    spine: pl.DataFrame,
    *,
    calendar: Calendar | None = None,
    progress: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """The spine's own columns, then the set's features: numbers as Float64, categories as String, null if missing."""
    load = loader(fetch, calendar or await read_calendar(fetch))
    whole = spine_of(spine)
    parts: list[pl.DataFrame] = []
    for start in range(0, max(len(whole), 1), CHUNK):
        part = whole.part(start, start + CHUNK)
        parts.append(as_frame(await values(load, feature_set, part), feature_set))
        if progress:
            progress(min(start + CHUNK, len(whole)))
    return spine.hstack(pl.concat(parts))


def as_frame(columns: Mapping[str, Array], feature_set: FeatureSet) -> pl.DataFrame:
    """Columns as a polars frame; what is missing is null."""
    frame = pl.DataFrame(
        {
            name: pl.Series(columns[name].tolist(), dtype=pl.String)
            if name in feature_set.categories
            else pl.Series(np.asarray(columns[name], dtype=np.float64))
            for name in feature_set.names
        }
    )
    return frame.with_columns(
        *(
            pl.when(pl.col(n) == "").then(None).otherwise(pl.col(n)).alias(n)
            if n in feature_set.categories
            else pl.col(n).fill_nan(None)
            for n in feature_set.names
        )
    )
