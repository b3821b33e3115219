"""What one question may cost: depth, aliases and the number of records that it could bring, judged before it runs."""

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)

from service.querystring import DEFAULT_LIMIT, MOST

MOST_DEPTH = 16
MOST_ALIASES = 30
MOST_RECORDS = 10_000
MOST_TOKENS = 3_000
MOST_STEPS = 20_000
CONNECTION = frozenset({"nodes", "edges"})


class _Meter:
    """Walks an operation, its fragments put in."""

    def __init__(self, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self.variables = variables
        self.fragments = {
            part.name.value: part for part in document.definitions if isinstance(part, FragmentDefinitionNode)
        }
        self.aliases = self.records = self.depth = self.steps = 0

    def fields(
        self, selection: SelectionSetNode | None, spread: set[str] | None = None
    ) -> Iterator[FieldNode]:
        """The fields of a selection with its fragments, each fragment once, as it is answered."""
        known = set() if spread is None else spread
        for node in selection.selections if selection else ():
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                yield from self.fields(node.selection_set, known)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in known:
                known.add(node.name.value)
                yield from self.fields(self.fragments[node.name.value].selection_set, known)

    def walk(self, selection: SelectionSetNode | None, depth: int, times: int) -> None:
        """`times`: how often this selection could be answered."""
        for field in self.fields(selection):
            self.steps += 1
            self.aliases += field.alias is not None
            each = times * self.size(field)
            if field.name.value.startswith("__"):
                depth = 0  # how deep one may look into the schema is a rule of the language's own
            elif field.selection_set and field.name.value not in CONNECTION | {"node", "pageInfo"}:
                self.records += each
            self.depth = max(self.depth, depth)
            if self.records > MOST_RECORDS or depth > MOST_DEPTH or self.steps > MOST_STEPS:
                return
            self.walk(field.selection_set, depth + 1, each)

    def size(self, field: FieldNode) -> int:
        """How many records a field brings: a connection as many as asked for, anything else one."""
        inner = {below.name.value for below in self.fields(field.selection_set)}
        if not inner & (CONNECTION | {"pageInfo", "totalCount"}):
            return 1
        for argument in field.arguments:
            if argument.name.value == "first":
                return self._number(argument.value)
        return DEFAULT_LIMIT

    def _number(self, value: Any) -> int:
        if isinstance(value, IntValueNode):
            return max(1, min(MOST, int(value.value)))
        if isinstance(value, VariableNode):
            found = self.variables.get(value.name.value)
            return max(1, min(MOST, found)) if isinstance(found, int) else MOST
        return DEFAULT_LIMIT


def judge(document: DocumentNode, variables: Mapping[str, Any]) -> list[GraphQLError]:
    """What is too much about a document that is valid otherwise: each operation in it must stay within the limits."""
    found: list[GraphQLError] = []
    for operation in document.definitions:
        if not isinstance(operation, OperationDefinitionNode):
            continue
        meter = _Meter(document, variables)
        meter.walk(operation.selection_set, 1, 1)
        for much, most, what in (
            (meter.depth, MOST_DEPTH, "levels deep"),
            (meter.aliases, MOST_ALIASES, "aliases"),
            (meter.steps, MOST_STEPS, "fields, its fragments put in"),
            (meter.records, MOST_RECORDS, "records, were every list full"),
        ):
            if much > most:
                found.append(
                    GraphQLError(f"The question is too large: more than {most:,} {what}.", operation)
                )
    return found
