"""Reading in batches: what fifty records ask for one by one is asked of PostgreSQL once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from service import history, query
from service.access import Actor
from service.db import Database
from service.graphql.nouns import Noun

Row = dict[str, Any]
Load = Callable[[list[UUID]], Awaitable[Mapping[UUID, Any]]]
HOPS = 3
"""Turns of the loop that a batch waits: so long do the resolvers of one level take to say what they want."""


class Batch:
    """Collects ids for a moment, then loads them all; what is not found is `missing`."""

    def __init__(self, load: Load, missing: Any = None) -> None:
        self._load, self._missing = load, missing
        self._asked: dict[UUID, asyncio.Future[Any]] = {}
        self._waiting: list[UUID] = []

    def get(self, key: UUID) -> asyncio.Future[Any]:
        """A future of what `key` stands for, shared by all who ask for it."""
        found = self._asked.get(key)
        if found is None:
            loop = asyncio.get_running_loop()
            found = self._asked[key] = loop.create_future()
            if not self._waiting:
                loop.call_soon(self._hop, HOPS)
            self._waiting.append(key)
        return found

    def _hop(self, left: int) -> None:
        loop = asyncio.get_running_loop()
        if left:
            loop.call_soon(self._hop, left - 1)
        else:
            keys, self._waiting = self._waiting, []
            self._task = loop.create_task(self._settle(keys))

    async def _settle(self, keys: list[UUID]) -> None:
        try:
            found = await self._load(keys)
        except Exception as error:
            for key in keys:
                if not self._asked[key].done():
                    self._asked[key].set_exception(error)
            return
        for key in keys:
            if not self._asked[key].done():
                self._asked[key].set_result(found.get(key, self._missing))


class Reading:
    """One request: who asks, by which database, and its batches."""

    def __init__(self, database: Database, actor: Actor) -> None:
        self.database, self.actor = database, actor
        self._batches: dict[Hashable, Batch] = {}

    def batch(self, key: Hashable, load: Load, missing: Any = None) -> Batch:
        """The batch of this kind of question; made when it is first asked."""
        found = self._batches.get(key)
        if found is None:
            found = self._batches[key] = Batch(load, missing)
        return found


async def by_id(reading: Reading, noun: Noun, asked: query.Request, ids: list[UUID]) -> dict[UUID, Row]:
    """Those of the records that the actor sees."""
    builder = await query.prepared(reading.database, noun.source, reading.actor, asked)
    document = builder.document()
    where = builder.where({})
    wanted = builder.params.add(ids)
    table = history.source(noun.key, builder.as_of)
    rows = await reading.database.fetch(
        f"SELECT t.id, {document} AS doc FROM {table} t WHERE t.id = ANY({wanted}::uuid[]) AND {where}",
        *builder.params,
    )
    return {row["id"]: msgspec.json.decode(row["doc"]) for row in rows}


class Slice(msgspec.Struct):
    """Rows of a list with the keys of their cursors, and whether more follow."""

    rows: list[tuple[Row, list[Any]]] = []
    has_next: bool = False


def _slice(rows: list[Any], width: int, limit: int) -> Slice:
    kept = [
        (msgspec.json.decode(row["doc"]), [row[f"k{index}"] for index in range(width)])
        for row in rows[:limit]
    ]
    return Slice(kept, len(rows) > limit)


async def page(reading: Reading, noun: Noun, asked: query.Request) -> Slice:
    """One page of a list."""
    builder = await query.prepared(reading.database, noun.source, reading.actor, asked)
    sql, width = builder.list_sql({})
    return _slice(await reading.database.fetch(sql, *builder.params), width, asked.limit)


async def pages(
    reading: Reading, noun: Noun, column: str, asked: query.Request, parents: list[UUID]
) -> dict[UUID, Slice]:
    """The first page of each parent's children, in one statement."""
    builder = await query.prepared(reading.database, noun.source, reading.actor, asked)
    sql, width = builder.list_sql({column: query.Outer("p.id")})
    ids = builder.params.add(parents)
    rows = await reading.database.fetch(
        f"SELECT p.id AS parent, d.* FROM unnest({ids}::uuid[]) AS p(id) CROSS JOIN LATERAL ({sql}) d",
        *builder.params,
    )
    found: dict[UUID, list[Any]] = {}
    for row in rows:
        found.setdefault(row["parent"], []).append(row)
    return {parent: _slice(mine, width, asked.limit) for parent, mine in found.items()}


async def count(reading: Reading, noun: Noun, asked: query.Request) -> int:
    """How many records a list has, counted as far as lists count."""
    builder = await query.prepared(reading.database, noun.source, reading.actor, asked)
    sql = builder.count_sql({})
    return int(await reading.database.fetchval(sql, *builder.params))


async def counts(
    reading: Reading, noun: Noun, column: str, asked: query.Request, parents: list[UUID]
) -> dict[UUID, int]:
    """The same of each parent's children."""
    builder = await query.prepared(reading.database, noun.source, reading.actor, asked)
    sql = builder.count_sql({column: query.Outer("p.id")})
    ids = builder.params.add(parents)
    rows = await reading.database.fetch(
        f"SELECT p.id AS parent, ({sql}) AS found FROM unnest({ids}::uuid[]) AS p(id)", *builder.params
    )
    return {row["parent"]: int(row["found"]) for row in rows}
