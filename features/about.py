"""What one may want to know of a feature besides its value: where it comes from, when it is known, what is allowed.

Everything here is read off the definitions, so it cannot fall behind them.
"""

import re
from collections.abc import Mapping

from features.catalogue import ENTITIES, FORMER, SETS, fields_of
from features.custom import KINDS
from features.online import LIFETIME_SECONDS
from features.spec import Feature, FeatureSet, definition

COUNTED = frozenset(
    [
        "activities",
        "meetings",
        "people",
        "lines",
        "competitors",
        "deals",
        "leads",
        "moves",
        "pushes",
        "changes",
        "visits",
        "notes",
        "comments",
        "items",
    ]
)
"""Units of things that are counted: where there are none the value is 0, not missing."""
PERSONAL = frozenset(["phone", "email", "address", "title"])
"""Fields of people from which a feature counts as personal."""

KNOWN_AT = "from the instant at which one could know it: what was recorded late counts from then on"
WEEKLY = "as it was known on the Monday before, 00:00 UTC"
_WINDOW = re.compile(r"_(\d+d)(?:_|$)")


def null_policy(one: Feature) -> str:
    """When the value is missing."""
    if one.declared is not None:
        is_read = one.declared.type in KINDS
        return f"missing while the {'field is not set' if is_read else 'record is not known'}"
    if one.unit in COUNTED:
        return "0 where there is none; missing where the record is not known"
    return "missing while it is not known"


def may_be_missing(one: Feature) -> bool:
    """Whether a record that is known may lack the value."""
    return one.declared is not None or one.unit not in COUNTED


def is_personal(one: Feature) -> bool:
    """Whether it tells something of a person's own fields, or of a custom field that is marked as sensitive."""
    if one.declared is not None:
        return bool(one.declared.is_sensitive)
    return any(name in PERSONAL for _, name in fields_of(one))


def known_at(one: Feature) -> str:
    """From when on a fact counts."""
    return WEEKLY if ENTITIES[one.entity].weekly else KNOWN_AT


def time_to_live(one: Feature) -> int:
    """Seconds for which the facts behind it may be served from the online store without being read again."""
    if not ENTITIES[one.entity].is_kept:
        return 0
    return 7 * 24 * 3600 if ENTITIES[one.entity].weekly else LIFETIME_SECONDS


def tags(one: Feature) -> list[str]:
    """The entity, the list that it counts, its window, and the models' sets that hold it."""
    found = [one.entity, "category" if one.is_category else "number"]
    found += ["custom field"] if one.declared is not None else []
    found += [source.name for source in ENTITIES[one.entity].read_by(one) if source.is_list]
    found += [f"window {days}" for days in _WINDOW.findall(one.name)]
    return found


def version(one: Feature) -> str:
    """Names this definition; another meaning under the same name has another."""
    return definition(one, ENTITIES)


def former(one: Feature) -> list[str]:
    """Versions of earlier definitions that are kept for the models that learned on them."""
    return [definition(each, ENTITIES) for each in FORMER if each.name == one.name]


def lineage(one: Feature) -> Mapping[str, list[str]]:
    """`facts`: columns that the definition reads; `sources`: texts of SQL; `tables`: what those read of history;
    `feature_sets`: the sets that hold it."""
    entity = ENTITIES[one.entity]
    sources = entity.read_by(one)
    columns = {name for source in entity.sources for name in source.columns}
    tables = {table for source in sources for table in re.findall(r"known\.(\w+)", source.text())}
    return {
        "facts": sorted(one.columns & columns),
        "sources": [source.name for source in sources],
        "tables": sorted(tables),
        "feature_sets": [name for name, found in SETS.items() if _is_of(one, found)],
    }


def _is_of(one: Feature, found: FeatureSet) -> bool:
    """Whether models of a set look at it; at a custom field from their next training on."""
    if one.declared is None:
        return one.name in found.names
    return any(one.entity == other.entity for other in found.features)
