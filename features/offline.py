"""Training sets: the features of many (entity, instant) pairs, as a polars frame.

spine = pl.DataFrame({"entity_id": [...], "as_of": [...]})     # "known_at" too where it differs, labels as one likes
frame = await historical(connection.fetch, SETS["deal_win"], spine, labels=("won_90d",))
frame.to_pandas(), frame.to_arrow(), frame.write_parquet("set.parquet")
digest(frame)                                                  # names it: the same history gives the same name
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import polars as pl

from features.facts import Array, Calendar, instant
from features.labels import labels_of
from features.reading import Fetch, Spine, loader, read_calendar, values
from features.spec import FeatureSet

CHUNK = 20_000
"""Pairs that are asked for at a time."""
MOST_PAIRS = 10_000_000
KEYS = ("entity_id", "as_of")


class BadSpine(ValueError):
    """A spine that no training set can be made of; says what is wrong, and in which row."""


def checked(spine: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The spine with ids as text and instants in UTC, in microseconds. Raises `BadSpine` for a missing column, more than
    ten million rows, an id that is none, an instant that is missing, without its zone or in the future, and a pair that
    stands there twice."""
    for name in KEYS:
        if name not in spine.columns:
            raise BadSpine(f"the spine has no column {name}; it needs entity_id and as_of")
    if len(spine) > MOST_PAIRS:
        raise BadSpine(f"the spine has {len(spine):,} rows; {MOST_PAIRS:,} are the most")
    if not len(spine):
        raise BadSpine("the spine has no rows")
    found = spine.with_columns(
        _ids(spine), *(_utc(spine, name) for name in ("as_of", "known_at") if name in spine.columns)
    )
    late = found["as_of"] > now
    if late.any():
        raise BadSpine(f"as_of lies in the future in {_where(late)}: nobody knows yet what will be known")
    twice = found.select(KEYS).is_duplicated()
    if twice.any():
        raise BadSpine(f"the same entity_id at the same as_of stands twice, in {_where(twice)}")
    return found


def _ids(spine: pl.DataFrame) -> pl.Series:
    texts = spine["entity_id"].cast(pl.String)
    for row, text in enumerate(texts.unique(maintain_order=True)):
        try:
            UUID(str(text))
        except ValueError:
            place = (
                int(texts.is_null().arg_max() or 0) if text is None else int((texts == text).arg_max() or row)
            )
            raise BadSpine(f"entity_id is no id in row {place + 1}: {text}") from None
    return texts.str.to_lowercase().alias("entity_id")


def _utc(spine: pl.DataFrame, name: str) -> pl.Series:
    column = spine[name]
    if column.dtype == pl.String:
        naive = ~column.str.contains(r"(Z|[+-]\d\d:?\d\d)$").fill_null(value=True)
        if naive.any():
            raise BadSpine(f"{name} has no zone in {_where(naive)}; write 2026-01-31T00:00:00Z")
        column = column.str.to_datetime(time_unit="us", time_zone="UTC", strict=False, format="%+")
    if not isinstance(column.dtype, pl.Datetime):
        raise BadSpine(f"{name} must hold instants, not {column.dtype}")
    if column.dtype.time_zone is None:
        raise BadSpine(
            f"{name} has no zone: say which instants are meant, for instance by dt.replace_time_zone('UTC')"
        )
    if column.is_null().any():
        raise BadSpine(f"{name} is missing or no instant in {_where(column.is_null())}")
    return column.dt.convert_time_zone("UTC").dt.cast_time_unit("us").alias(name)


def _where(mask: pl.Series) -> str:
    """The first rows of a mask, counted from 1."""
    rows = [int(row) + 1 for row in mask.arg_true()]
    more = f" and {len(rows) - 3:,} more" if len(rows) > 3 else ""
    return f"row {', '.join(map(str, rows[:3]))}{more}"


def spine_of(frame: pl.DataFrame) -> Spine:
    """A spine of the columns `entity_id`, `as_of` and, where it differs, `known_at`."""
    as_of = _instants(frame["as_of"])
    known_at = _instants(frame["known_at"]) if "known_at" in frame.columns else as_of
    return Spine([str(name) for name in frame["entity_id"].to_list()], as_of, known_at)


def _instants(series: pl.Series) -> Array:
    return series.dt.epoch("us").to_numpy().astype(np.float64)


async def historical(
    fetch: Fetch,
    feature_set: FeatureSet,
    spine: pl.DataFrame,
    *,
    labels: Sequence[str] = (),
    now: datetime | None = None,
    calendar: Calendar | None = None,
    progress: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """A training set of any spine, after a look at it (`checked`): its own columns, the labels asked for, the features.

    Labels are null where they have not matured by `now`. Raises `BadSpine`; KeyError for an unknown label."""
    until = now or datetime.now(UTC)
    good = checked(spine, until)
    frame = await training_set(fetch, feature_set, good, calendar=calendar, progress=progress)
    if not labels:
        return frame
    came = await labels_of(fetch, labels, feature_set.entity, spine_of(good), instant(until))
    marked = [pl.Series(name, column).fill_nan(None) for name, column in came.items()]
    return good.hstack(marked).hstack(frame.select(feature_set.names))


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


def digest(columns: pl.DataFrame | Iterable[pl.Series], *more: Array) -> str:
    """The sha256 of a training set: its columns in order, values bit for bit, and what is given beside them."""
    found = hashlib.sha256()
    for column in columns.get_columns() if isinstance(columns, pl.DataFrame) else columns:
        found.update(f"{column.name} {column.dtype}\n".encode())
        if column.dtype == pl.String:
            found.update("\x1f".join("" if text is None else text for text in column.to_list()).encode())
        else:
            plain = column.dt.epoch("us") if isinstance(column.dtype, pl.Datetime) else column
            found.update(plain.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy().tobytes())
    for array in more:
        found.update(np.asarray(array, dtype=np.float64).tobytes())
    return found.hexdigest()
