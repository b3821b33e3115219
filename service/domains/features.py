"""Features: what models look at. The catalogue, and the values as of now and as of any instant."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import numpy as np
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from features import about
from features.catalogue import CARRIERS, ENTITIES, FEATURES, SETS, fields_of, own_set, widened
from features.custom import Declared, declared, made
from features.facts import Array, instant, moment
from features.reading import Spine, loader, values
from features.spec import Feature, FeatureSet
from service.access import Actor, guard, hidden, require
from service.db import Database, Params, Tx
from service.errors import Invalid, NotFound
from service.jobs import enqueue
from service.settings import Settings
from service.store import links_of, store_of
from service.wire import answer

# --- shapes ------------------------------------------------------------------------------------------------------

Entity = Literal["opportunity", "account", "contact", "user", "team", "lead"]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
MOST = 1000


class Lineage(msgspec.Struct, kw_only=True):
    """Where a feature comes from and who reads it: columns of facts, texts of SQL, tables of history, serving models."""

    facts: list[str]
    sources: list[str]
    tables: list[str]
    models: list[str]


class FeatureItem(msgspec.Struct, kw_only=True):
    """One feature of the catalogue. `feature_sets` are the sets that hold it; `version` names its definition,
    `former_versions` earlier ones that are kept for models that learned on them. `time_to_live` is in seconds."""

    name: str
    entity: str
    meaning: str
    unit: str
    owner: str
    type: Literal["number", "category"]
    low: float | None
    high: float | None
    tags: list[str]
    null_policy: str
    sensitivity: Literal["internal", "personal"]
    known_at: str
    time_to_live: int
    version: str
    former_versions: list[str]
    lineage: Lineage
    feature_sets: list[str]


class FeatureList(msgspec.Struct, kw_only=True):
    """`feature_sets` maps each set to its fingerprint: models are bound to that."""

    items: list[FeatureItem]
    next: str | None
    feature_sets: dict[str, str]


class Ask(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whose features: all of the entity, those named, or those of a set."""

    entity: Entity
    ids: Annotated[list[UUID], Meta(min_length=1, max_length=MOST)]
    features: Annotated[list[Name], Meta(min_length=1, max_length=300)] | None = None
    feature_set: Name | None = None


class AskThen(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Pairs of an entity and an instant; more than a thousand go to `/features/historical/spines`."""

    entity: Entity
    pairs: Annotated[list["Pair"], Meta(min_length=1, max_length=MOST)]
    features: Annotated[list[Name], Meta(min_length=1, max_length=300)] | None = None
    feature_set: Name | None = None


class Pair(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    id: UUID
    as_of: datetime


class Values(msgspec.Struct, kw_only=True):
    """`fresh_at`: up to when changes of the entity itself are in the values."""

    id: UUID
    values: dict[str, float | str | None]
    fresh_at: datetime


class Answer(msgspec.Struct, kw_only=True):
    """`feature_set` is the fingerprint of what the values mean; `sources`: where they were read."""

    feature_set: str
    as_of: datetime
    items: list[Values]
    sources: list[str]


class ValuesThen(msgspec.Struct, kw_only=True):
    id: UUID
    as_of: datetime
    values: dict[str, float | str | None]


class AnswerThen(msgspec.Struct, kw_only=True):
    feature_set: str
    items: list[ValuesThen]


class Queued(msgspec.Struct, kw_only=True):
    """The job that was asked for: `GET /jobs/{id}` tells how far it is."""

    job: UUID


# --- rules -------------------------------------------------------------------------------------------------------


def is_hidden(actor: Actor, feature: Feature) -> bool:
    """Whether the feature tells of a field that does not exist for this actor."""
    return any(name in hidden(actor, resource) for resource, name in fields_of(feature))


async def fields_of_now(database: Database) -> tuple[Declared, ...]:
    """The custom fields that are declared as features, as remembered for a moment."""
    return await database.remember("declared fields", lambda: declared(database.fetch))


async def chosen(
    database: Database, actor: Actor, entity: str, names: list[str] | None, set_name: str | None
) -> FeatureSet:
    """The features asked for that the actor may see, custom fields that are declared as features among them. Raises 422
    for a name that is none of the entity's."""
    fields = await fields_of_now(database)
    if names and set_name:
        raise Invalid.at("/features", "name features or a feature_set, not both")
    if set_name:
        known = SETS.get(set_name)
        if known is None or known.entity != entity:
            raise Invalid.at("/feature_set", f"there is no set {set_name!r} of {entity} features")
        whole = widened(known, fields)
    else:
        found = next((s for s in SETS.values() if s.entity == entity and names), None)
        whole = widened(found, fields) if found else own_set(entity, fields)
    seen = tuple(f for f in whole.features if not is_hidden(actor, f))
    if names:
        by_name = {f.name: f for f in seen}
        for index, name in enumerate(names):
            if name not in by_name:
                raise Invalid.at(f"/features/{index}", f"there is no feature {name!r} of {entity}")
        seen = tuple(by_name[name] for name in names)
    return FeatureSet(whole.name, entity, seen, ENTITIES)


def plain(columns: dict[str, Array], index: int) -> dict[str, float | str | None]:
    """One row as JSON values; what is not known is null."""
    row: dict[str, float | str | None] = {}
    for name, column in columns.items():
        value = column[index]
        row[name] = (
            (str(value) or None) if column.dtype.kind == "U" else None if np.isnan(value) else float(value)
        )
    return row


async def visible_rows(
    database: Database, actor: Actor, entity: str, ids: list[UUID]
) -> list[dict[str, Any]]:
    """The records asked for, with their parents; 404 when one is not there for this actor."""
    table = CARRIERS[entity]
    params = Params([list(dict.fromkeys(ids))])
    parents = {"opportunity": ", t.owner_id, t.account_id", "lead": ", t.owner_id"}.get(entity, "")
    if entity == "user" and not actor.sees_all:
        seen = f"t.id = ANY({params.add(actor.owners_text)}::text::uuid[])"
    else:
        seen = guard(actor, table, "t", params)
    rows = await database.fetch(
        f"SELECT t.id{parents} FROM {table} t WHERE t.id = ANY($1::uuid[]) AND t.deleted_at IS NULL AND {seen}",
        *params,
    )
    missing = set(ids) - {row["id"] for row in rows}
    if missing:
        raise NotFound(f"There is no such {entity}: {min(map(str, missing))}.")
    return [dict(row) for row in rows]


_READERS = """
SELECT v.model, v.version, v.card -> 'features' AS features
FROM registry.champions c JOIN registry.versions v ON v.model = c.model AND v.version = c.version"""


async def readers(database: Database) -> dict[str, list[str]]:
    """Feature → the serving versions that read it, such as `win 12`."""
    found: dict[str, list[str]] = {}
    for row in await database.fetch(_READERS):
        for name in row["features"] or ():
            found.setdefault(name, []).append(f"{row['model']} {row['version']}")
    return found


def described(one: Feature, reading: dict[str, list[str]]) -> FeatureItem:
    """A feature as the catalogue tells of it."""
    origin = about.lineage(one)
    return FeatureItem(
        name=one.name, entity=one.entity, meaning=one.meaning, unit=one.unit, owner=one.owner, low=one.low, high=one.high,
        type="category" if one.is_category else "number", tags=about.tags(one), null_policy=about.null_policy(one),
        sensitivity="personal" if about.is_personal(one) else "internal", known_at=about.known_at(one),
        time_to_live=about.time_to_live(one), version=about.version(one), former_versions=about.former(one),
        lineage=Lineage(
            facts=origin["facts"], sources=origin["sources"], tables=origin["tables"], models=reading.get(one.name, [])
        ),
        feature_sets=origin["feature_sets"],
    )  # fmt: skip


# --- routes ------------------------------------------------------------------------------------------------------


@get("/features")
async def catalogue(database: NamedDependency[Database], actor: NamedDependency[Actor]) -> FeatureList:
    """Every feature with its meaning, range, lineage and version, and the fingerprints of the sets."""
    require(actor, "features", "read")
    reading = await readers(database)
    fields = await fields_of_now(database)
    items = [described(f, reading) for f in (*FEATURES, *map(made, fields)) if not is_hidden(actor, f)]
    sets = {name: widened(found, fields).fingerprint for name, found in SETS.items()}
    return FeatureList(items=items, next=None, feature_sets=sets)


@post("/features/online", status_code=200, opt={"body": Ask, "answer": Answer, "statuses": (404,)})
async def online(
    data: JSONBody[Ask],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """The features of up to 1,000 entities as of now."""
    require(actor, "features", "read")
    wanted = await chosen(database, actor, data.entity, data.features, data.feature_set)
    rows = await visible_rows(database, actor, data.entity, data.ids)
    store = store_of(database, settings.redis_url)
    now = await store.now()
    columns, reading = await store.online.values(wanted, now.spine(data.ids), links_of(rows))
    items = [
        Values(id=one, values=plain(columns, i), fresh_at=moment(reading.fresh_at[data.entity, str(one)]))
        for i, one in enumerate(data.ids)
    ]
    found = Answer(
        feature_set=wanted.fingerprint, as_of=now.as_of, items=items, sources=sorted(reading.sources)
    )
    return answer(found)


@post(
    "/features/historical", status_code=200, opt={"body": AskThen, "answer": AnswerThen, "statuses": (404,)}
)
async def historical(
    data: JSONBody[AskThen],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """The features of up to 1,000 pairs, each as of its instant with what was known then."""
    require(actor, "features", "read")
    wanted = await chosen(database, actor, data.entity, data.features, data.feature_set)
    now = datetime.now(UTC)
    for index, pair in enumerate(data.pairs):
        if pair.as_of.tzinfo is None or pair.as_of.year < 1971:
            raise Invalid.at(f"/pairs/{index}/as_of", "must be an instant with its zone")
        if pair.as_of > now:
            raise Invalid.at(
                f"/pairs/{index}/as_of", "lies in the future: nobody knows yet what will be known"
            )
    if len({(pair.id, pair.as_of) for pair in data.pairs}) < len(data.pairs):
        raise Invalid.at("/pairs", "the same id stands twice at the same as_of")
    await visible_rows(database, actor, data.entity, [pair.id for pair in data.pairs])
    store = store_of(database, settings.redis_url)
    await store.now()
    at = np.array([instant(pair.as_of) for pair in data.pairs])
    asked = Spine([str(pair.id) for pair in data.pairs], at, at)
    columns = await values(loader(database.fetch, store.online.calendar), wanted, asked)
    items = [
        ValuesThen(id=pair.id, as_of=pair.as_of, values=plain(columns, i))
        for i, pair in enumerate(data.pairs)
    ]
    return answer(AnswerThen(feature_set=wanted.fingerprint, items=items))


@post("/features/backfill", opt={"answer": Queued}, status_code=202)
async def backfill(tx: NamedDependency[Tx], actor: NamedDependency[Actor]) -> Response[bytes]:
    """Queues a filling of the online store from history. One waits at a time; a run that was ended goes on."""
    require(actor, "features", "query")
    return answer({"job": await enqueue(tx, "features.backfill", actor=actor, key="all")}, 202)


routes: list[Any] = [catalogue, online, historical, backfill]
