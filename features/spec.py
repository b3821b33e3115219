"""What a feature, an entity and a feature set are; the fingerprint that binds a model to what it learned on."""

import ast
import hashlib
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from features import facts as facts_module
from features.facts import Array, Facts

SQL = Path(__file__).parent / "sql"

SPINES = {
    "postgresql": (
        "SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[])"
        " WITH ORDINALITY AS s(entity_id, as_of, known_at, pair)"
    ),
    "duckdb": "SELECT entity_id, as_of, known_at, pair FROM given_spine",
}
"""The only line that differs by engine: how the spine is made. `pair` counts from 1."""


@dataclass(frozen=True)
class Source:
    """One text of SQL and the kinds of its columns. `is_list`: it returns versions by entity, not rows by pair."""

    name: str
    columns: Mapping[str, str]
    is_list: bool = False

    def text(self, engine: str = "postgresql") -> str:
        """The statement for an engine of `SPINES`."""
        return (SQL / f"{self.name}.sql").read_text(encoding="utf-8").replace("{spine}", SPINES[engine])

    @cached_property
    def statement(self) -> str:
        """The statement for PostgreSQL, read once."""
        return self.text()

    @cached_property
    def meaning(self) -> str:
        """Columns and statement without words and layout."""
        return f"{self.name} {sorted(self.columns.items())} {_bare(self.text())}"


@dataclass(frozen=True)
class Entity:
    """Something that has features. `parents` maps an entity to the column with its id; `weekly` entities are looked at
    on the Monday grid only."""

    name: str
    sources: tuple[Source, ...]
    parents: Mapping[str, str]
    weekly: bool = False
    is_kept: bool = True
    """Whether the online store keeps its facts; of the few that are seldom asked for PostgreSQL is asked each time."""

    @cached_property
    def fingerprint(self) -> str:
        """Names the meaning of the entity's stored facts; stored facts of another fingerprint are not read."""
        return _hash([self.name, *(source.meaning for source in self.sources)])

    @cached_property
    def row_columns(self) -> dict[str, str]:
        """All columns with one value for each pair, and their kinds."""
        return {name: kind for s in self.sources if not s.is_list for name, kind in s.columns.items()}

    @property
    def lists(self) -> tuple[Source, ...]:
        return tuple(source for source in self.sources if source.is_list)

    def read_by(self, one: "Feature") -> tuple[Source, ...]:
        """The sources whose columns a feature reads; a list is read where it is named. The first says who is known."""
        return tuple(
            source
            for source in self.sources
            if source is self.sources[0]
            or (
                source.name in one.columns or f"'{source.name}'" in one.code
                if source.is_list
                else one.columns & set(source.columns)
            )
        )


@dataclass(frozen=True)
class Feature:
    """A named column. `compute` makes it from facts; NaN (or "" for a category) where it is not known."""

    name: str
    entity: str
    meaning: str
    unit: str
    owner: str
    compute: Callable[[Facts], Array]
    is_category: bool = False
    low: float | None = None
    high: float | None = None
    """The range within which a value makes sense, both ends included; None: open, and always so for a category."""
    declared: Any = None
    """The custom field that it was made of (`features.custom.Declared`)."""

    @cached_property
    def code(self) -> str:
        """The definition without words and layout, with all that it calls: what the fingerprint is made of."""
        kind = "category" if self.is_category else "number"
        return f"{self.name} {kind} {sorted(_parts(self.compute).items())}"

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns of facts that the definition reads, those of lists included."""
        return frozenset(re.findall(r"\\?\[\\?['\"](\w+)\\?['\"]\\?\]", self.code))


@dataclass(frozen=True)
class FeatureSet:
    """The features of one model, in order. `entity` is whom the model looks at; the others are its parents."""

    name: str
    entity: str
    features: tuple[Feature, ...]
    entities: Mapping[str, Entity]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    @cached_property
    def categories(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features if feature.is_category)

    @cached_property
    def fingerprint(self) -> str:
        """Changes when a definition, a text of SQL or the shared arithmetic does; not when words do."""
        used = sorted({self.entity} | {feature.entity for feature in self.features})
        return _hash(
            [_arithmetic()]
            + [self.entities[name].fingerprint for name in used]
            + [feature.code for feature in self.features]
        )

    @cached_property
    def definitions(self) -> Mapping[str, str]:
        """Feature → what names its meaning (`definition`)."""
        return {f.name: definition(f, self.entities) for f in self.features}

    @cached_property
    def declared(self) -> Mapping[str, Any]:
        """Feature → the custom field that it was made of, where it was."""
        return {f.name: f.declared for f in self.features if f.declared is not None}

    def __getitem__(self, name: str) -> Feature:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Feature]:
        return {feature.name: feature for feature in self.features}


def feature(
    entity: str,
    unit: str,
    owner: str = "sales operations",
    *,
    is_category: bool = False,
    low: float | None = 0.0,
    high: float | None = None,
) -> Callable[[Callable[[Facts], Array]], Feature]:
    """Makes a feature of a function: its name is the column, the first paragraph of its docstring the meaning.

    `low` and `high` bound its range; units of shares have theirs by themselves (`UNITS`)."""

    def make(function: Callable[[Facts], Array]) -> Feature:
        meaning = inspect.cleandoc(function.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        most = UNITS.get(unit) if high is None else high
        ends = (None, None) if is_category else (low, most)
        return Feature(function.__name__, entity, meaning, unit, owner, function, is_category, *ends)

    return make


UNITS = {"yes or no": 1.0, "fraction": 1.0, "percent": 100.0}
"""Units that have a greatest value."""


def features_in(module: Mapping[str, Any]) -> tuple[Feature, ...]:
    """The features among a module's globals, in the order of definition; tuples of features count too."""
    found: list[Feature] = []
    for value in module.values():
        if isinstance(value, Feature):
            found.append(value)
        elif isinstance(value, tuple) and value and all(isinstance(item, Feature) for item in value):
            found.extend(value)
    return tuple(dict.fromkeys(found))


Words = dict[str, tuple[str, ...]]


def coded(
    values: Mapping[str, Array], categories: tuple[str, ...], fewest: int = 1
) -> tuple[dict[str, Array], Words]:
    """Columns of numbers, and the words that the codes of each category stand for, in the order of the alphabet.

    Words that occur less than `fewest` times, and "", are NaN. Models match categories by word, so the codes of one
    batch need not be those of another.
    """
    columns: dict[str, Array] = {}
    words: Words = {}
    for name, column in values.items():
        if name not in categories:
            columns[name] = np.asarray(column, dtype=np.float64)
            continue
        found, place, counts = np.unique(
            np.asarray(column, dtype=np.str_), return_inverse=True, return_counts=True
        )
        kept = (found != "") & (counts >= fewest)
        codes = np.where(kept, np.cumsum(kept) - 1.0, np.nan)
        columns[name] = codes[place.reshape(-1)] if len(found) else np.zeros(0)
        words[name] = tuple(str(word) for word in found[kept])
    return columns, words


def definition(one: Feature, entities: Mapping[str, Entity]) -> str:
    """Names the meaning of one feature: the shared arithmetic, the SQL that it reads and its own code. What else its
    entity learns to tell leaves it as it is."""
    read = [source.meaning for source in entities[one.entity].read_by(one)]
    if any(name in one.columns for name in PRIORS):
        read += [source.meaning for source in entities["company"].sources]
    return _hash([_arithmetic(), one.entity, *read, one.code])[:16]


PRIORS = ("company_prior", "company_conversion_prior")
"""Columns that come from the company's facts."""


def formerly(one: Feature, entity: str) -> str:
    """The name of the same meaning as models until October 2026 wrote it down: by all that its entity then told."""
    return _hash([_arithmetic(), entity, one.code])[:16]


@cache
def _arithmetic() -> str:
    return _normal(inspect.getsource(facts_module))


def _hash(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _bare(sql: str) -> str:
    return " ".join(re.sub(r"--[^\n]*", "", sql).split())


def _normal(source: str) -> str:
    tree = ast.parse(textwrap.dedent(source))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [item for item in body if not _is_words(item)]  # type: ignore[attr-defined]
        if isinstance(node, ast.FunctionDef):  # units and owners are words too
            node.decorator_list = []
    return ast.unparse(tree)


def _parts(function: Callable[..., Any]) -> dict[str, str]:
    """Sources of a function and of those that it calls in its module, and the constants that they read."""
    found: dict[str, str] = {}
    waiting: list[Any] = [function]
    while waiting:
        one = waiting.pop()
        name = one.__qualname__
        if name in found or one.__module__ == facts_module.__name__:
            continue
        found[name] = _normal(inspect.getsource(one))
        bound = {key: one.__globals__.get(key) for key in _names(one.__code__)}
        for key, value in {**bound, **inspect.getclosurevars(one).nonlocals}.items():
            if inspect.isfunction(value):
                waiting.append(value)
            elif isinstance(value, str | int | float | tuple | dict):
                found[f"{name}.{key}"] = repr(value)
    return found


def _names(code: CodeType) -> set[str]:
    """Names that a code reads, those inside its comprehensions and lambdas included."""
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*(_names(const) for const in inner))


def _is_words(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
