"""Resolvers: each says what it wants in the grammar of lists; `loads` asks for it once for all records of a level."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import msgspec
from graphql import FieldNode, FragmentSpreadNode, GraphQLResolveInfo, InlineFragmentNode, SelectionSetNode

from service import query, saved
from service.db import to_json
from service.domains import scores
from service.errors import BadRequest, NotFound
from service.graphql import loads
from service.graphql.loads import Reading, Row, Slice
from service.graphql.nouns import Noun

AS_OF = " as of"
"""Under this key, which is no field's name, a record carries the instant as of which it was asked for."""

Resolver = Callable[..., Any]


class Connection(msgspec.Struct):
    """A page with what it takes to count the whole list."""

    edges: list[tuple[Row, list[Any]]]
    has_next: bool
    count: Callable[[], Awaitable[int]]

    @property
    def nodes(self) -> list[Row]:
        return [row for row, _ in self.edges]

    @property
    def pageInfo(self) -> dict[str, Any]:  # Relay's name
        ends = [query.encode_cursor(keys) for _, keys in (self.edges[:1] + self.edges[-1:])]
        first, last = (ends[0], ends[-1]) if ends else (None, None)
        return {
            "hasNextPage": self.has_next,
            "hasPreviousPage": False,
            "startCursor": first,
            "endCursor": last,
        }


def _names(selection: SelectionSetNode | None, info: GraphQLResolveInfo) -> Iterator[FieldNode]:
    """The fields of a selection, those of its fragments included."""
    for node in selection.selections if selection else ():
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _names(node.selection_set, info)
        elif isinstance(node, FragmentSpreadNode):
            yield from _names(info.fragments[node.name.value].selection_set, info)


def _within(nodes: list[FieldNode], info: GraphQLResolveInfo, *path: str) -> list[FieldNode]:
    """The fields asked for below `nodes`, down a path of names."""
    below = [field for node in nodes for field in _names(node.selection_set, info)]
    if not path:
        return below
    return _within([field for field in below if field.name.value == path[0]], info, *path[1:])


def _columns(noun: Noun, asked: list[FieldNode]) -> list[str]:
    """The fields to read: those asked for, and what references and counts need."""
    own = set(query.all_fields(noun.source, frozenset()))
    points = {column.removesuffix("_id"): column for column in noun.references}
    names = {field.name.value for field in asked}
    if "score" in names:
        names |= {"status", "updated_at"} & own
    return sorted({points.get(name, name) for name in names if points.get(name, name) in own} - {"id"})


def _in_list(noun: Noun, info: GraphQLResolveInfo) -> list[str]:
    asked = _within(info.field_nodes, info, "nodes") + _within(info.field_nodes, info, "edges", "node")
    return _columns(noun, asked)


def _request(arguments: dict[str, Any], fields: list[str]) -> query.Request:
    """The arguments of a list as a request in the one grammar. Raises `BadRequest` for what it does not take."""
    asked = query.Request(fields=fields)
    first = arguments.get("first")
    if first is not None:
        if first < 1:
            raise BadRequest("first: ask for at least one.")
        asked.limit = min(first, query.MOST)
    asked.filters = saved.filters(arguments.get("filter"))
    if len(asked.filters) > query.MOST_FILTERS:
        raise BadRequest(f"A list takes {query.MOST_FILTERS} filters at most.")
    for name, member in (
        ("sort", "sort"),
        ("after", "cursor"),
        ("q", "q"),
        ("view", "view"),
        ("as_of", "as_of"),
    ):
        if arguments.get(name) is not None:
            query.reserved(asked, member, str(arguments[name]))
    return asked


def _carrying(found: Slice, as_of: Any) -> Slice:
    if as_of is not None:
        for row, _ in found.rows:
            row[AS_OF] = as_of
    return found


def identity(text: str, name: str = "id") -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BadRequest(f"{name}: {text[:80]!r} is not an id.") from None


def many(noun: Noun) -> Resolver:
    """A list of all records of a kind."""

    async def resolve(_: Any, info: GraphQLResolveInfo, **arguments: Any) -> Connection:
        reading: Reading = info.context
        asked = _request(arguments, _in_list(noun, info))
        asked = await saved.applied(reading.database, reading.actor, noun.key, asked, columns=False)
        found = _carrying(await loads.page(reading, noun, asked), asked.as_of)
        return Connection(found.rows, found.has_next, lambda: loads.count(reading, noun, asked))

    return resolve


def below(noun: Noun, column: str) -> Resolver:
    """The records that hang on one: an account's contacts."""

    def resolve(parent: Row, info: GraphQLResolveInfo, **arguments: Any) -> Awaitable[Connection]:
        reading: Reading = info.context
        asked = _request(arguments, _in_list(noun, info))
        asked.as_of = parent.get(AS_OF)
        question = (noun.key, column, to_json(asked))

        async def load(parents: list[UUID]) -> dict[UUID, Slice]:
            return await loads.pages(reading, noun, column, asked, parents)

        async def numbers(parents: list[UUID]) -> dict[UUID, int]:
            return await loads.counts(reading, noun, column, asked, parents)

        owner = UUID(parent["id"])
        waiting = reading.batch(question, load, Slice()).get(owner)

        async def settled() -> Connection:
            found = _carrying(await waiting, asked.as_of)
            return Connection(
                found.rows, found.has_next, lambda: reading.batch(("count", *question), numbers, 0).get(owner)
            )

        return settled()

    return resolve


def _record(
    noun: Noun, reading: Reading, record_id: UUID, fields: list[str], as_of: Any
) -> Awaitable[Row | None]:
    asked = query.Request(fields=fields, as_of=as_of)

    async def load(ids: list[UUID]) -> dict[UUID, Row]:
        found = await loads.by_id(reading, noun, asked, ids)
        if as_of is not None:
            for row in found.values():
                row[AS_OF] = as_of
        return found

    return reading.batch((noun.key, "id", to_json(asked)), load).get(record_id)


def pointed(noun: Noun, column: str) -> Resolver:
    """The record that a column points at; null where there is none that one sees."""

    def resolve(parent: Row, info: GraphQLResolveInfo) -> Awaitable[Row | None] | None:
        if parent.get(column) is None:
            return None
        fields = _columns(noun, _within(info.field_nodes, info))
        return _record(noun, info.context, UUID(parent[column]), fields, parent.get(AS_OF))

    return resolve


def one(noun: Noun) -> Resolver:
    """The record of an id."""

    async def resolve(_: Any, info: GraphQLResolveInfo, id: str, as_of: str | None = None) -> Row:
        asked = _request({"as_of": as_of}, _columns(noun, _within(info.field_nodes, info)))
        found = await _record(noun, info.context, identity(id), asked.fields or [], asked.as_of)
        if found is None:
            raise NotFound(f"There is no such {noun.name.replace('_', ' ')}.")
        return found

    return resolve


def me(users: Noun) -> Resolver:
    """Who asks."""

    def resolve(_: Any, info: GraphQLResolveInfo) -> Awaitable[Row | None]:
        fields = _columns(users, _within(info.field_nodes, info))
        return _record(users, info.context, info.context.actor.id, fields, None)

    return resolve


def score(noun: Noun) -> Resolver:
    """The current score of a deal or a lead; null where there is none yet."""

    def resolve(parent: Row, info: GraphQLResolveInfo) -> Awaitable[Any]:
        reading: Reading = info.context

        async def load(ids: list[UUID]) -> dict[UUID, Any]:
            return await scores.current(reading.database, reading.actor, noun.key, ids)

        return reading.batch(("score", noun.key), load).get(UUID(parent["id"]))

    return resolve


def cursor(edge: tuple[Row, list[Any]], _: GraphQLResolveInfo) -> str:
    return query.encode_cursor(edge[1])


def node(edge: tuple[Row, list[Any]], _: GraphQLResolveInfo) -> Row:
    return edge[0]


def total(connection: Connection, _: GraphQLResolveInfo) -> Awaitable[int]:
    async def capped() -> int:
        return min(await connection.count(), query.COUNT_CAP)

    return capped()
