"""What the graph is made of: each resource's shape and source, what it points at and what points at it."""

from functools import cache
from typing import Any

import msgspec

from service.domains import recommendations, validation_rules, views
from service.query import Source
from service.resource import Resource
from service.resources import RESOURCES


class Noun(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A kind of record. `key` is its table and its list's name, `name` one of them."""

    name: str
    key: str
    item: type[msgspec.Struct]
    source: Source
    references: dict[str, str]
    is_nested: bool = False
    """Lives under its parent only: there is no list of all."""


def _of(resource: Resource) -> Noun:
    return Noun(
        name=resource.name,
        key=resource.key,
        item=resource.item,
        source=resource.source,
        references=resource.references,
        is_nested=resource.nested is not None,
    )


@cache
def nouns() -> dict[str, Noun]:
    """All kinds of records by their key."""
    listed = [*RESOURCES.values(), views.resource, validation_rules.resource]
    advice = Noun(
        name="recommendation",
        key="recommendations",
        item=recommendations.Recommendation,
        source=recommendations.source,
        references={"opportunity_id": "opportunities", "lead_id": "leads", "battle_card_id": "battle_cards"},
    )
    return {noun.key: noun for noun in (*map(_of, listed), advice)}


@cache
def children(key: str) -> tuple[tuple[Noun, str], ...]:
    """The kinds that hang on `key`, each with its column: an opportunity's lines by `opportunity_id`."""
    column = f"{nouns()[key].name}_id"
    return tuple((noun, column) for noun in nouns().values() if noun.references.get(column) == key)


def hint_of(noun: Noun) -> dict[str, Any]:
    """The members of the shape, by name."""
    return {field.name: field.type for field in msgspec.structs.fields(noun.item)}
