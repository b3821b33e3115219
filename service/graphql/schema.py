"""The schema that a person sees: no type of what their role may not read, no field that is hidden from it.

It is made once for each such sight and kept. Names are those of the REST API; what Relay names is named as Relay does.
"""

from functools import lru_cache

import msgspec
from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
)

from service.access import Actor, hidden, may
from service.conditions import OPERATORS
from service.domains.scores import Score
from service.graphql import resolve
from service.graphql.nouns import Noun, children, hint_of, nouns
from service.graphql.types import DATE_TIME, JSON, Types
from service.query import columns, nullable
from service.querystring import DEFAULT_LIMIT, MOST

SCORED = ("opportunities", "leads")


class Sight(msgspec.Struct, frozen=True):
    """What one may read at all, and what is hidden in it."""

    readable: frozenset[str]
    hidden: tuple[tuple[str, frozenset[str]], ...]


def sight_of(actor: Actor) -> Sight:
    """The sight of an actor: two of the same role, with keys of the same scopes, share one."""
    readable = frozenset(key for key in (*nouns(), "scores") if may(actor, key, "read"))
    return Sight(readable, tuple((key, found) for key in sorted(nouns()) if (found := hidden(actor, key))))


def _operators() -> GraphQLEnumType:
    return GraphQLEnumType("Operator", {name: name for name in sorted(OPERATORS)})


class _Schema:
    """The making of one schema."""

    def __init__(self, sight: Sight) -> None:
        self.sight, self.types = sight, Types()
        self.nouns = {key: noun for key, noun in nouns().items() if key in sight.readable}
        self.hidden = dict(sight.hidden)
        self.node = GraphQLInterfaceType("Node", {"id": GraphQLField(GraphQLNonNull(GraphQLID))})
        self.criterion = GraphQLInputObjectType(
            "CriterionInput",
            {
                "field": GraphQLInputField(
                    GraphQLNonNull(GraphQLString), description="`amount`, `account.industry`, `cf.region`."
                ),
                "op": GraphQLInputField(_operators(), default_value="eq"),
                "value": GraphQLInputField(JSON),
            },
            description="One condition in the grammar of lists.",
        )
        self.page_info = GraphQLObjectType(
            "PageInfo",
            {
                "hasNextPage": GraphQLField(GraphQLNonNull(GraphQLBoolean)),
                "hasPreviousPage": GraphQLField(GraphQLNonNull(GraphQLBoolean)),
                "startCursor": GraphQLField(GraphQLString),
                "endCursor": GraphQLField(GraphQLString),
            },
        )

    def made(self) -> GraphQLSchema:
        return GraphQLSchema(
            query=GraphQLObjectType("Query", self._query), types=list(map(self.record, self.nouns.values()))
        )

    def _query(self) -> dict[str, GraphQLField]:
        fields: dict[str, GraphQLField] = {}
        for noun in self.nouns.values():
            identity = {"id": GraphQLArgument(GraphQLNonNull(GraphQLID)), "as_of": GraphQLArgument(DATE_TIME)}
            fields[noun.name] = GraphQLField(self.record(noun), identity, resolve.one(noun))
            if not noun.is_nested:
                fields[noun.key] = GraphQLField(
                    GraphQLNonNull(self.connection(noun)), self._arguments(root=True), resolve.many(noun)
                )
        if "users" in self.nouns:
            fields["me"] = GraphQLField(
                self.record(self.nouns["users"]), resolve=resolve.me(self.nouns["users"])
            )
        return dict(sorted(fields.items()))

    def _arguments(self, *, root: bool = False) -> dict[str, GraphQLArgument]:
        found = {
            "first": GraphQLArgument(GraphQLInt, DEFAULT_LIMIT, description=f"Up to {MOST}."),
            "after": GraphQLArgument(GraphQLString),
            "filter": GraphQLArgument(GraphQLList(GraphQLNonNull(self.criterion))),
            "sort": GraphQLArgument(GraphQLString, description="`-amount,name`"),
            "q": GraphQLArgument(GraphQLString),
        }
        more = {"view": GraphQLArgument(GraphQLID), "as_of": GraphQLArgument(DATE_TIME)}
        return found | more if root else found

    def record(self, noun: Noun) -> GraphQLObjectType:
        """The type of a kind of record."""
        name = noun.item.__name__
        made: GraphQLObjectType = self.types.once(
            name,
            lambda: GraphQLObjectType(
                name, lambda: self._members(noun), interfaces=[self.node], description=noun.item.__doc__
            ),
        )
        return made

    def _members(self, noun: Noun) -> dict[str, GraphQLField]:
        without = self.hidden.get(noun.key, frozenset())
        empty = nullable(noun.key) | set(noun.source.extra)
        fields: dict[str, GraphQLField] = {}
        for name, hint in hint_of(noun).items():
            if name in without:
                continue
            kind = GraphQLID if name == "id" else self.types.output(hint, noun.item.__name__ + _camel(name))
            fields[name] = GraphQLField(kind if name in empty else GraphQLNonNull(kind))
        for column, key in noun.references.items():
            if column not in without and column in columns(noun.key) and key in self.nouns:
                beside = GraphQLField(
                    self.record(self.nouns[key]), resolve=resolve.pointed(self.nouns[key], column)
                )
                fields.setdefault(column.removesuffix("_id"), beside)
        for child, column in children(noun.key):
            if child.key in self.nouns and column not in self.hidden.get(child.key, frozenset()):
                fields.setdefault(child.key, GraphQLField(
                    GraphQLNonNull(self.connection(child)), self._arguments(), resolve.below(child, column)
                ))  # fmt: skip
        if noun.key in SCORED and "scores" in self.sight.readable:
            fields["score"] = GraphQLField(self.types.struct(Score), resolve=resolve.score(noun))
        return fields

    def connection(self, noun: Noun) -> GraphQLObjectType:
        """A page of records as Relay has it; `nodes` is the short way past the edges."""
        name, record = noun.item.__name__, self.record(noun)
        edge = self.types.once(f"{name}Edge", lambda: GraphQLObjectType(f"{name}Edge", {
            "cursor": GraphQLField(GraphQLNonNull(GraphQLString), resolve=resolve.cursor),
            "node": GraphQLField(GraphQLNonNull(record), resolve=resolve.node),
        }))  # fmt: skip
        made: GraphQLObjectType = self.types.once(f"{name}Connection", lambda: GraphQLObjectType(f"{name}Connection", {
            "edges": GraphQLField(GraphQLNonNull(GraphQLList(GraphQLNonNull(edge)))),
            "nodes": GraphQLField(GraphQLNonNull(GraphQLList(GraphQLNonNull(record)))),
            "pageInfo": GraphQLField(GraphQLNonNull(self.page_info)),
            "totalCount": GraphQLField(GraphQLInt, resolve=resolve.total, description="Counted up to 10,000."),
        }))  # fmt: skip
        return made


def _camel(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))


@lru_cache(64)
def schema_of(sight: Sight) -> GraphQLSchema:
    """The schema of a sight."""
    return _Schema(sight).made()
