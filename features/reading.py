"""Facts and features as of any instant, read from PostgreSQL by spine. What training and serving share.

`Fetch` is `fetch` of an asyncpg connection or pool, or anything that answers the same.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from features import pipeline
from features.facts import Array, Calendar, Events, Facts, column, empty, grid, moment
from features.spec import Entity, Feature, FeatureSet, Source

Fetch = Callable[..., Awaitable[Sequence[Any]]]


@dataclass(frozen=True)
class Spine:
    """Whom to look at, and when: parallel ids (text) and instants (see `features.facts`)."""

    ids: Sequence[str]
    as_of: Array
    known_at: Array

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int) -> "Spine":
        return Spine(self.ids[start:stop], self.as_of[start:stop], self.known_at[start:stop])

    def parameters(self) -> tuple[list[UUID], list[Any], list[Any]]:
        """The arrays that the header of each text of SQL unnests."""
        return (
            [UUID(name) for name in self.ids],
            [moment(at) for at in self.as_of],
            [moment(at) for at in self.known_at],
        )


Load = Callable[[Entity, Spine], Awaitable[Facts]]
"""Where facts come from: `loader(fetch)` here, or the online store."""


async def read_calendar(fetch: Fetch) -> Calendar:
    """The company's calendar; UTC and January until the company is set up."""
    rows = await fetch("SELECT time_zone, fiscal_year_start FROM known.company LIMIT 1")
    return Calendar(rows[0][0], int(rows[0][1])) if rows else Calendar()


def loader(fetch: Fetch, calendar: Calendar) -> Load:
    """Facts straight from PostgreSQL."""

    async def load(entity: Entity, spine: Spine) -> Facts:
        arguments = spine.parameters()
        rows = {
            name: empty_column(kind, len(spine))
            for name, kind in entity.row_columns.items()
            if name != "until"
        }
        facts = Facts(
            spine.ids,
            spine.as_of,
            spine.known_at,
            rows,
            np.zeros(len(spine), dtype=bool),
            {},
            calendar,
            np.full(len(spine), np.inf),
        )
        events: dict[str, Events] = {}
        for source in entity.sources:
            records = await fetch(source.statement, *arguments)
            if source.is_list:
                events[source.name] = _events(source, spine, records)
            elif records:
                _fill(facts, source, records, is_first=source is entity.sources[0])
        return replace(facts, events=events)

    return load


def _fill(facts: Facts, source: Source, records: Sequence[Any], *, is_first: bool) -> None:
    """Puts the rows of one source in their places; the first source of an entity says whether it was known."""
    pairs, *columns = zip(*(tuple(record) for record in records), strict=True)
    index = np.array(pairs, dtype=np.int64) - 1
    rows: dict[str, Array] = facts.rows  # type: ignore[assignment]  # ours until it is handed out
    for (name, kind), values in zip(source.columns.items(), columns, strict=True):
        found = documents(values) if kind == "json" else column(kind, values)
        if name == "until":
            assert facts.until is not None
            facts.until[index] = np.fmin(facts.until[index], found)
            continue
        if kind == "text":
            rows[name] = rows[name].astype(np.result_type(rows[name], found))
        rows[name][index] = found
    if is_first:
        facts.present[index] = True


def empty_column(kind: str, size: int) -> Array:
    """A column of nothing known; one of documents holds None."""
    return np.full(size, None, dtype=object) if kind == "json" else empty(kind, size)


def documents(texts: Sequence[str | None]) -> Array:
    """JSON texts as dicts, equal ones decoded once; None stays."""
    decoded: dict[str | None, Any] = {None: None}
    for text in texts:
        if text not in decoded:
            decoded[text] = msgspec.json.decode(text)  # type: ignore[arg-type]  # None is there
    found = np.full(len(texts), None, dtype=object)
    found[:] = [decoded[text] for text in texts]
    return found


def _events(source: Source, spine: Spine, records: Sequence[Any]) -> Events:
    names = ("entity_id", *source.columns)
    columns = (
        dict(zip(names, zip(*(tuple(record) for record in records), strict=True), strict=True))
        if records
        else {}
    )
    spans: dict[str, list[int]] = {}
    for row, entity_id in enumerate(columns.pop("entity_id", ())):
        spans.setdefault(str(entity_id), [row, row])[1] = row + 1
    bounds = np.array([spans.get(name, (0, 0)) for name in spine.ids], dtype=np.int64).reshape(-1, 2)
    read = {name: column(kind, columns.get(name, ())) for name, kind in source.columns.items()}
    return Events(bounds[:, 0], bounds[:, 1], read)


PRIORS = frozenset(["company_prior", "company_conversion_prior"])


@lru_cache(maxsize=4096)
def reads_priors(feature: Feature) -> bool:
    """Whether the feature is drawn to what is usual in the company."""
    return not PRIORS.isdisjoint(feature.columns)


async def facts_of(
    load: Load, entities: Mapping[str, Entity], entity: Entity, spine: Spine, wanted: Sequence[Feature]
) -> Facts:
    """Facts with the company's priors beside them, where one of the features asks for those."""
    facts = await load(entity, spine)
    if entity.parents != {"company": ""} or not any(map(reads_priors, wanted)):
        return facts
    company, index = parent_spine(facts, entities["company"], "")
    background = await load(entities["company"], company)
    return facts.with_rows(
        company_prior=pipeline.win_prior(background)[index],
        company_conversion_prior=pipeline.conversion_prior(background)[index],
    )


async def values(
    load: Load, feature_set: FeatureSet, spine: Spine, facts: Facts | None = None
) -> dict[str, Array]:
    """The set's columns for each pair. With `facts` those are taken for the entity itself: what if."""
    entity = feature_set.entities[feature_set.entity]
    mine = [f for f in feature_set.features if f.entity == entity.name]
    own = facts or await facts_of(load, feature_set.entities, entity, spine, mine)
    found: dict[str, Array] = {f.name: f.compute(own) for f in mine}
    for name, link in entity.parents.items():
        wanted = [f for f in feature_set.features if f.entity == name]
        if not wanted:
            continue
        parents, index = parent_spine(own, feature_set.entities[name], link)
        theirs = await facts_of(load, feature_set.entities, feature_set.entities[name], parents, wanted)
        for f in wanted:
            found[f.name] = _gather(f.compute(theirs), theirs.present, index, is_category=f.is_category)
    return {name: np.asarray(found[name]) for name in feature_set.names}


def _gather(values: Array, present: Array, index: Array, *, is_category: bool) -> Array:
    """Values of parents for their children; a missing parent's are missing."""
    nothing = np.array([""] if is_category else [np.nan])
    known = values if is_category else np.where(present, values, np.nan)
    return np.concatenate([known, nothing])[index]


def parent_spine(facts: Facts, entity: Entity, link: str) -> tuple[Spine, Array]:
    """The distinct (parent, instants) of all pairs, and each pair's place in it; -1 where there is no parent."""
    as_of, known_at = facts.as_of, facts.known_at
    if entity.weekly:
        monday = grid(as_of)
        known_at = np.where(known_at > as_of, known_at, np.minimum(known_at, monday))
        as_of = monday
    ids = facts.rows[link] if link else np.full(len(facts), pipeline.ONLY)
    places: dict[tuple[str, float, float], int] = {}
    index = np.array(
        [
            places.setdefault((str(name), at, known), len(places)) if name else -1
            for name, at, known in zip(ids, as_of.tolist(), known_at.tolist(), strict=True)
        ],
        dtype=np.int64,
    )
    keys = list(places)
    return (
        Spine([k[0] for k in keys], np.array([k[1] for k in keys]), np.array([k[2] for k in keys])),
        index,
    )
