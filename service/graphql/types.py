"""GraphQL types out of shapes: the hints of a Struct as fields, words as enums, money and instants as scalars."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, get_args, get_origin
from uuid import UUID

import msgspec
from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLString,
    ValueNode,
    value_from_ast_untyped,
)

from service.shapes import bare

DATE_TIME = GraphQLScalarType("DateTime", description="An instant, RFC 3339 in UTC.")
DATE = GraphQLScalarType("Date", description="A day, YYYY-MM-DD, in the company's zone.")
DECIMAL = GraphQLScalarType(
    "Decimal", description="An amount as a decimal string; its currency stands beside it."
)


def _literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
    return value_from_ast_untyped(node, variables)


JSON = GraphQLScalarType(
    "JSON", description="Any JSON value.", parse_value=lambda value: value, parse_literal=_literal
)
SCALARS: dict[Any, Any] = {
    str: GraphQLString,
    bool: GraphQLBoolean,
    int: GraphQLInt,
    float: GraphQLFloat,
    UUID: GraphQLID,
    Decimal: DECIMAL,
    datetime: DATE_TIME,
    date: DATE,
}


def camel(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))


class Types:
    """The types of one schema: each name is made once."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def output(self, hint: Any, name: str) -> Any:
        """The type of a value; `name` names an enum that has to be made for it."""
        inner, _ = bare(hint)
        if inner in SCALARS:
            return SCALARS[inner]
        origin = get_origin(inner)
        if origin is Literal:
            return self.enum(name, get_args(inner))
        if origin is list:
            return GraphQLList(self.output(get_args(inner)[0], name))
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            return self.struct(inner)
        return JSON

    def enum(self, name: str, words: tuple[Any, ...]) -> Any:
        if not all(isinstance(word, str) and word.isidentifier() for word in words):
            return GraphQLString
        return self.once(name, lambda: GraphQLEnumType(name, {word: word for word in words}))

    def struct(self, shape: type[msgspec.Struct], name: str | None = None) -> Any:
        """An object type of plain members, such as an address."""
        known = name or shape.__name__
        return self.once(known, lambda: GraphQLObjectType(known, lambda: self.members(shape, known)))

    def members(self, shape: type[msgspec.Struct], name: str) -> dict[str, GraphQLField]:
        return {
            field.name: GraphQLField(self.output(field.type, name + camel(field.name)))
            for field in msgspec.structs.fields(shape)
        }

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


def required(kind: Any) -> Any:
    return GraphQLNonNull(kind)
