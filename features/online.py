"""Features as of now, from Redis: packed facts per entity, counted at read.

Kept are instants and lists of events, never ages or window counts of them, so nothing goes stale by the clock. Where
a stored count changes by itself (accounts, reps), `until` is the instant at which it first does: past it PostgreSQL
is asked again. The company's background is kept for its Monday. Redis holds nothing that PostgreSQL does not know:
when a key is missing or Redis is away the same texts of SQL answer, and `Reading.sources` says so.

A key is `features:{format}:{entity fingerprint}:{entity}:{id}`; its value begins with the instant up to which it is known, and
an older value never replaces a newer one.
"""

import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, Protocol, TypeVar

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

FORMAT = 2
"""Names how facts are packed; those packed otherwise are not read."""
APART = ("from_at", "to_at", "until")
"""Columns that are not kept with the others: what is kept is known, and `until` stands for all sources."""
WORDY = ("text", "json")
SEPARATOR = "\0"
"""The one sign that no text of PostgreSQL holds."""
T = TypeVar("T")
_HEAD = struct.Struct("=dd")


class Redis(Protocol):
    """What is used of a client of redis-py (asyncio, bytes in and out)."""

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]: ...
    async def eval(self, script: str, numkeys: int, *args: Any) -> Any: ...
    async def delete(self, *keys: Any) -> Any: ...
    async def exists(self, *keys: Any) -> Any: ...


class Packed(NamedTuple):
    """One list as stored: how many rows, their numbers and the codes of their texts, row by row, and the words that the
    codes stand for, column by column."""

    size: int
    numbers: bytes
    codes: bytes
    words: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """One entity's facts as stored: known up to `fresh_at`, counted at `as_of`, good until `until`. The rest is cut from
    the bytes of many at once, when it is asked for (`Layout`)."""

    fresh_at: float
    as_of: float
    until: float
    blob: bytes

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
        ways = {name: layout(entities[name]).unpack for name in {entity for entity, _ in wanted}}
        return {which: ways[which[0]](blob) for which, blob in zip(wanted, blobs, strict=True) if blob}

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
                    kept[index] = layout(entity).unpack(pack(entity, fresh, place))
            reading.sources |= ({"postgresql"} if missing else set()) | (
                {"redis"} if len(missing) < len(kept) else set()
            )
            found = [one for one in kept if one is not None]
            for name, one in zip(spine.ids, found, strict=True):
                reading.fresh_at[entity.name, name] = one.fresh_at
            return layout(entity).facts(spine, found, self.calendar)

        return load


COMPANY_ID = "00000000-0000-0000-0000-000000000000"


def key(entity: Entity, name: str) -> str:
    """Where the facts of one entity are kept."""
    return f"features:{FORMAT}:{entity.fingerprint[:12]}:{entity.name}:{name}"


def pack(entity: Entity, facts: Facts, index: int) -> bytes:
    """The facts of one pair as bytes: 8 of the instant up to which they are known; lengths; all numbers (`as_of`, `until`,
    whether it was known, the columns); the texts; each list (`Packed`). So many are read by a few cuts each, and no
    value becomes an object of its own."""
    until = np.inf if facts.until is None else float(facts.until[index])
    head = [float(facts.as_of[index]), until, float(facts.present[index])]
    plain = [float(facts.rows[name][index]) for name in _of_kind(entity.row_columns, text=False)]
    words = [_text(facts.rows[name][index]) for name in _of_kind(entity.row_columns, text=True)]
    texts = SEPARATOR.join(words).encode()
    lists = [
        _packed(facts.events[source.name], index, float(facts.known_at[index]), source.columns)
        for source in entity.lists
    ]
    lengths = array("I", [len(texts), *(number for one in lists for number in (one.size, len(one.words)))])
    parts = (part for one in lists for part in one[1:])
    known = struct.pack(">Q", int(facts.known_at[index]))
    return b"".join([known, lengths.tobytes(), array("d", head + plain).tobytes(), texts, *parts])


def _of_kind(columns: Mapping[str, str], *, text: bool) -> list[str]:
    return [name for name, kind in columns.items() if name not in APART and (kind in WORDY) is text]


def _text(value: Any) -> str:
    """A document as JSON, "" for none; a text as it is."""
    return value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()


def _wordy(kind: str, values: Sequence[str]) -> Array:
    """The inverse of `_text`, for a column."""
    if kind == "text":
        return np.array(values, dtype=np.str_)
    documents: Array = np.full(len(values), None, dtype=object)
    documents[:] = [msgspec.json.decode(text) if text else None for text in values]
    return documents


def _packed(events: Events, index: int, known_at: float, columns: Mapping[str, str]) -> Packed:
    """The rows of one pair's list that are known."""
    rows = np.arange(events.start[index], events.stop[index])
    rows = rows[(events["from_at"][rows] <= known_at) & (known_at < events["to_at"][rows])]
    numbers = [events[name][rows] for name in _of_kind(columns, text=False)]
    codes, counts, words = [], [], []
    for name in _of_kind(columns, text=True):
        column = events[name][rows].tolist()
        known = sorted(set(column))  # in order, so that lists of equal words look alike
        place = {word: code for code, word in enumerate(known)}
        codes.append([place[word] for word in column])
        counts.append(str(len(known)))
        words += known
    return Packed(
        len(rows),
        np.array(numbers, dtype=np.float64).T.tobytes(),
        np.array(codes, dtype=np.uint16).T.tobytes(),
        SEPARATOR.join([*counts, *words]).encode(),
    )


class Lazy(Mapping[str, T]):
    """A mapping whose values are made when they are first asked for: few features read every list and column."""

    def __init__(self, makers: Mapping[str, Callable[[], T]]) -> None:
        self._makers = makers
        self._made: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


class Layout:
    """Where the parts of an entity's packed facts lie."""

    def __init__(self, entity: Entity) -> None:
        self.kinds = entity.row_columns
        self.row_numbers, self.row_texts = (_of_kind(entity.row_columns, text=kind) for kind in (False, True))
        self.lists = [
            (s.name, _of_kind(s.columns, text=False), _of_kind(s.columns, text=True)) for s in entity.lists
        ]
        self.begin = 8 + 4 * (1 + 2 * len(self.lists))
        self.texts = self.begin + 8 * (3 + len(self.row_numbers))

    def unpack(self, blob: bytes) -> Kept:
        """The inverse of `pack`."""
        as_of, until = _HEAD.unpack_from(blob, self.begin)
        return Kept(int.from_bytes(blob[:8]), as_of, until, blob)

    def facts(self, spine: Spine, kept: Sequence[Kept], calendar: Calendar) -> Facts:
        """What is kept of many entities, as arrays."""
        begin, end, blobs = self.begin, self.texts, [one.blob for one in kept]
        numbers = np.frombuffer(b"".join([blob[begin:end] for blob in blobs]))
        numbers = numbers.reshape(len(kept), 3 + len(self.row_numbers)).T.copy()
        sizes = np.frombuffer(b"".join([blob[8:begin] for blob in blobs]), dtype=np.uint32)
        sizes = sizes.reshape(len(kept), 1 + 2 * len(self.lists)).astype(np.int64)
        ends = (end + sizes[:, 0]).tolist()
        rows = dict(zip(self.row_numbers, numbers[3:], strict=True))
        texts = [blob[end:stop].decode().split(SEPARATOR) for blob, stop in zip(blobs, ends, strict=True)]
        for place, name in enumerate(self.row_texts):
            rows[name] = _wordy(self.kinds[name], [one[place] for one in texts])
        lists = Lazy(self._lists(blobs, sizes))
        return Facts(
            spine.ids, spine.as_of, spine.known_at, rows, numbers[2] > 0, lists, calendar, numbers[1]
        )

    def _lists(self, blobs: Sequence[bytes], sizes: Array) -> dict[str, Callable[[], Events]]:
        """How to read each list, by the places of its parts in each of the blobs."""
        found: dict[str, Callable[[], Events]] = {}
        at = self.texts + sizes[:, 0]
        for place, (name, numbers, texts) in enumerate(self.lists):
            size, words = sizes[:, 1 + 2 * place], sizes[:, 2 + 2 * place]
            cuts = np.cumsum([at, 8 * len(numbers) * size, 2 * len(texts) * size, words], axis=0)
            found[name] = partial(_events, blobs, cuts.tolist(), size, numbers, texts)
            at = cuts[-1]
        return found


def layout(entity: Entity) -> Layout:
    """The entity's layout, made once."""
    found = _LAYOUTS.get(entity.fingerprint)
    if found is None:
        found = _LAYOUTS[entity.fingerprint] = Layout(entity)
    return found


_LAYOUTS: dict[str, Layout] = {}


def _events(
    blobs: Sequence[bytes], cuts: list[list[int]], lengths: Array, plain: Sequence[str], texts: Sequence[str]
) -> Events:
    numbers, codes, words = (
        [blob[begin:end] for blob, begin, end in zip(blobs, cuts[part], cuts[part + 1], strict=True)]
        for part in range(3)
    )
    stop = np.cumsum(lengths)
    size = int(stop[-1]) if len(stop) else 0
    read: dict[str, Callable[[], Array]] = {
        "from_at": lambda: np.full(size, -np.inf),
        "to_at": lambda: np.full(size, np.inf),
    }
    matrix = np.frombuffer(b"".join(numbers)).reshape(size, len(plain))
    read |= {name: partial(np.ascontiguousarray, matrix[:, place]) for place, name in enumerate(plain)}
    if texts:
        coded = np.frombuffer(b"".join(codes), dtype=np.uint16).reshape(size, len(texts))
        seen: dict[
            bytes, int
        ] = {}  # the same few words stand beside most lists: each collection is read once
        which = np.repeat(
            np.array([seen.setdefault(one, len(seen)) for one in words], dtype=np.int64), lengths
        )
        listed = [_by_column(one.decode().split(SEPARATOR), len(texts)) for one in seen]
        for place, name in enumerate(texts):
            read[name] = partial(_words, [one[place] for one in listed], which, coded[:, place])
    return Events(stop - lengths, stop, Lazy(read))


def _words(own: Sequence[Sequence[str]], which: Array, codes: Array) -> Array:
    """A column of texts: `which` collection of words each row's code belongs to."""
    if not len(codes):
        return empty_column("text", 0)
    begins = np.cumsum([0, *(len(one) for one in own)])[:-1]
    found: Array = np.array([word for one in own for word in one], dtype=np.str_)[begins[which] + codes]
    return found


def _by_column(words: list[str], width: int) -> list[list[str]]:
    """The words of each column, of a collection that begins with how many there are of each."""
    ends = list(accumulate(map(int, words[:width]), initial=width))
    return [words[begin:end] for begin, end in pairwise(ends)]


def shifted(facts: Facts, as_of: Array, known_at: Array) -> Facts:
    """The same facts looked at from another instant: what an unchanged deal's clock does."""
    return replace(facts, as_of=as_of, known_at=known_at)
