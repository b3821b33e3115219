"""Features as of now, from Redis: packed facts per entity, counted at read.

Kept are instants and lists of events, never ages or window counts of them, so nothing goes stale by the clock. Where
a stored count changes by itself (accounts, reps), `until` is the instant at which it first does: past it PostgreSQL
is asked again. The company's background is kept for its Monday. Redis holds nothing that PostgreSQL does not know:
when a key is missing or Redis is away the same texts of SQL answer, and `Reading.sources` says so.

A key is `features:{entity fingerprint}:{entity}:{id}`; its value begins with the instant up to which it is known, and
an older value never replaces a newer one.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec
import numpy as np

from features.facts import Array, Calendar, Events, Facts
from features.reading import Fetch, Load, Spine, empty_column, loader, values
from features.spec import Entity, FeatureSet

LIFETIME_SECONDS = 28 * 24 * 3600
"""Not longer than `rep_activities.sql` looks ahead."""

_KEEP_NEWER = """
for i, key in ipairs(KEYS) do
    local held = redis.call('GETRANGE', key, 0, 7)
    if held == '' or held <= string.sub(ARGV[i + 1], 1, 8) then
        redis.call('SET', key, ARGV[i + 1], 'EX', ARGV[1])
    end
end
return #KEYS
"""

_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder()


class Redis(Protocol):
    """What is used of a client of redis-py (asyncio, bytes in and out)."""

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]: ...
    async def eval(self, script: str, numkeys: int, *args: Any) -> Any: ...
    async def delete(self, *keys: Any) -> Any: ...
    async def exists(self, *keys: Any) -> Any: ...


@dataclass(frozen=True)
class Kept:
    """One entity's facts as stored: known up to `fresh_at`, counted at `as_of`, good until `until`."""

    fresh_at: float
    as_of: float
    until: float
    present: bool
    row: list[Any]
    lists: list[list[list[Any]]]

    def holds(self, entity: Entity, as_of: float) -> bool:
        """Whether it may answer for `as_of`."""
        return self.as_of == as_of if entity.weekly else self.as_of <= as_of < self.until


@dataclass
class Reading:
    """Where the facts of one request came from. `fresh_at` maps (entity, id) to the instant up to which it is known."""

    fresh_at: dict[tuple[str, str], float] = field(default_factory=dict)
    sources: set[str] = field(default_factory=set)


@dataclass
class Online:
    """The online store of one process. `errors` are what the Redis client raises when Redis is away."""

    redis: Redis
    fetch: Fetch
    calendar: Calendar
    errors: tuple[type[Exception], ...] = (OSError,)

    async def values(
        self,
        feature_set: FeatureSet,
        spine: Spine,
        links: Mapping[str, Iterable[str]] | None = None,
        facts: Facts | None = None,
    ) -> tuple[dict[str, Array], Reading]:
        """The set's columns now, and where they came from.

        `links` names the parents (entity → ids) that the caller knows already: then one MGET reads all.
        """
        reading = Reading()
        wanted = {(feature_set.entity, name) for name in spine.ids}
        wanted |= {(entity, str(name)) for entity, names in (links or {}).items() for name in names}
        wanted.add(("company", COMPANY_ID))
        wanted = {(entity, name) for entity, name in wanted if feature_set.entities[entity].is_kept}
        held = await self._read(feature_set.entities, sorted(wanted))
        load = self._loader(feature_set.entities, held, reading)
        return await values(load, feature_set, spine, facts), reading

    async def facts(self, entity: Entity, spine: Spine) -> Facts:
        """The entity's own facts now."""
        held = await self._read({entity.name: entity}, [(entity.name, name) for name in spine.ids])
        return await self._loader({entity.name: entity}, held, Reading())(entity, spine)

    async def refresh(self, entity: Entity, spine: Spine) -> Facts:
        """Reads the facts anew from PostgreSQL and keeps them; called after each event on the entity."""
        facts = await loader(self.fetch, self.calendar)(entity, spine)
        await self.keep(entity, facts)
        return facts

    async def keep(self, entity: Entity, facts: Facts) -> None:
        """Stores facts, unless newer ones are there. Redis being away is no error: the next read asks PostgreSQL."""
        blobs = [pack(entity, facts, index) for index in range(len(facts))]
        for start in range(0, len(blobs), 500):
            names = [key(entity, name) for name in facts.ids[start : start + 500]]
            try:
                await self.redis.eval(
                    _KEEP_NEWER, len(names), *names, LIFETIME_SECONDS, *blobs[start : start + 500]
                )
            except self.errors:
                return

    async def forget(self, entity: Entity, ids: Iterable[str]) -> None:
        """Drops what is stored; the next read asks PostgreSQL."""
        names = [key(entity, name) for name in ids]
        for start in range(0, len(names), 1000):
            try:
                await self.redis.delete(*names[start : start + 1000])
            except self.errors:
                return

    async def unkept(self, entity: Entity, ids: Sequence[str]) -> list[str]:
        """Those of whom nothing is stored. Raises what the client raises when Redis is away."""
        names = [key(entity, name) for name in ids]
        if not names or await self.redis.exists(*names) == len(names):
            return []
        return [one for one, name in zip(ids, names, strict=True) if not await self.redis.exists(name)]

    async def _read(
        self, entities: Mapping[str, Entity], wanted: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], Kept]:
        if not wanted:
            return {}
        try:
            blobs = await self.redis.mget([key(entities[entity], name) for entity, name in wanted])
        except self.errors:
            return {}
        return {which: unpack(blob) for which, blob in zip(wanted, blobs, strict=True) if blob}

    def _loader(
        self, entities: Mapping[str, Entity], held: dict[tuple[str, str], Kept], reading: Reading
    ) -> Load:
        cold = loader(self.fetch, self.calendar)

        async def load(entity: Entity, spine: Spine) -> Facts:
            if not entity.is_kept:
                reading.sources.add("postgresql")
                for name, known_at in zip(spine.ids, spine.known_at.tolist(), strict=True):
                    reading.fresh_at[entity.name, name] = known_at
                return await cold(entity, spine)
            unread = [(entity.name, name) for name in spine.ids if (entity.name, name) not in held]
            if unread and entity.parents != {}:
                held.update(await self._read(entities, sorted(set(unread))))
            kept = [held.get((entity.name, name)) for name in spine.ids]
            missing = [
                index
                for index, one in enumerate(kept)
                if one is None or not one.holds(entity, float(spine.as_of[index]))
            ]
            if missing:
                part = Spine([spine.ids[i] for i in missing], spine.as_of[missing], spine.known_at[missing])
                fresh = await cold(entity, part)
                await self.keep(entity, fresh)
                for place, index in enumerate(missing):
                    kept[index] = unpack(pack(entity, fresh, place))
            reading.sources |= ({"postgresql"} if missing else set()) | (
                {"redis"} if len(missing) < len(kept) else set()
            )
            found = [one for one in kept if one is not None]
            for name, one in zip(spine.ids, found, strict=True):
                reading.fresh_at[entity.name, name] = one.fresh_at
            return _facts(entity, spine, found, self.calendar)

        return load


COMPANY_ID = "00000000-0000-0000-0000-000000000000"


def key(entity: Entity, name: str) -> str:
    """Where the facts of one entity are kept."""
    return f"features:{entity.fingerprint[:12]}:{entity.name}:{name}"


def pack(entity: Entity, facts: Facts, index: int) -> bytes:
    """The facts of one pair as bytes: 8 of the instant up to which they are known, then msgpack."""
    row = [_plain(facts.rows[name][index]) for name in entity.row_columns if name != "until"]
    until = np.inf if facts.until is None else float(facts.until[index])
    lists = [
        _current(facts.events[source.name], index, float(facts.known_at[index]), source.columns)
        for source in entity.lists
    ]
    body = (float(facts.as_of[index]), until, bool(facts.present[index]), row, lists)
    return struct.pack(">Q", int(facts.known_at[index])) + _pack.encode(body)


def _current(events: Events, index: int, known_at: float, columns: Mapping[str, str]) -> list[list[Any]]:
    rows = np.arange(events.start[index], events.stop[index])
    rows = rows[(events["from_at"][rows] <= known_at) & (known_at < events["to_at"][rows])]
    return [events[name][rows].tolist() for name in columns if name not in ("from_at", "to_at")]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, dict):
        return value
    return str(value) if isinstance(value, str) else None if np.isnan(value) else float(value)


def unpack(blob: bytes) -> Kept:
    """The inverse of `pack`."""
    as_of, until, present, row, lists = _unpack.decode(blob[8:])
    return Kept(float(struct.unpack(">Q", blob[:8])[0]), as_of, until, present, row, lists)


def _facts(entity: Entity, spine: Spine, kept: Sequence[Kept], calendar: Calendar) -> Facts:
    names = {name: kind for name, kind in entity.row_columns.items() if name != "until"}
    rows = {
        name: _column(kind, [one.row[place] for one in kept])
        for place, (name, kind) in enumerate(names.items())
    }
    return Facts(
        spine.ids,
        spine.as_of,
        spine.known_at,
        rows,
        np.array([one.present for one in kept], dtype=bool),
        {
            s.name: _lists(s.columns, [one.lists[place] for one in kept])
            for place, s in enumerate(entity.lists)
        },
        calendar,
        np.array([one.until for one in kept]),
    )


def _lists(columns: Mapping[str, str], lists: Sequence[list[list[Any]]]) -> Events:
    lengths = np.array([len(one[0]) for one in lists], dtype=np.int64)
    stop = np.cumsum(lengths)
    stored = [name for name in columns if name not in ("from_at", "to_at")]
    read = {
        name: _column(columns[name], [value for one in lists for value in one[place]])
        for place, name in enumerate(stored)
    }
    size = int(stop[-1]) if len(stop) else 0
    return Events(
        stop - lengths, stop, {**read, "from_at": np.full(size, -np.inf), "to_at": np.full(size, np.inf)}
    )


def _column(kind: str, values: Sequence[Any]) -> Array:
    if not values:
        return empty_column(kind, 0)
    if kind == "json":
        documents = np.full(len(values), None, dtype=object)
        documents[:] = values
        return documents
    if kind == "text":
        return np.array(values, dtype=np.str_)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def shifted(facts: Facts, as_of: Array, known_at: Array) -> Facts:
    """The same facts looked at from another instant: what an unchanged deal's clock does."""
    return replace(facts, as_of=as_of, known_at=known_at)
