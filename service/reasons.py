"""Reasons in plain words: a model's attribution, summed by what people talk about, each with a sentence and its value.

An attribution has one effect for each feature, in chance; with the base value they sum to the score. Here features
are gathered into groups; what is in no group, or too small to tell, is "other factors", so nothing is lost.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from features.catalogue import CARRIERS, FEATURES, fields_of
from features.custom import KINDS, Declared, field_of
from features.facts import Array
from service.access import Actor, hidden
from service.deal_reasons import DEAL_GROUPS
from service.lead_reasons import LEAD_GROUPS
from service.reason_words import Group, Values, has, some

OTHER = "other_factors"
MOST = 6
"""Reasons that are told by name."""
PLACES = 12
"""Decimal places of effects: the sum is exact to 1e-6 in any case."""

GROUPS = {"opportunity": DEAL_GROUPS, "lead": LEAD_GROUPS}

_FIELDS = {feature.name: fields_of(feature) for feature in FEATURES}
SHOWS: dict[tuple[str, str], frozenset[tuple[str, str]]] = {
    (entity, group.key): frozenset().union(*(_FIELDS[name] for name in group.features))
    for entity, groups in GROUPS.items()
    for group in groups
}
"""(entity type, reason) → the (resource, field) pairs that the reason tells something about."""


def grouped(entity: str, by_name: Mapping[str, float]) -> dict[str, float]:
    """The effects of features summed by reason: the whole attribution, of which a score tells the largest."""
    return {
        group.key: sum(by_name.get(name, 0.0) for name in group.features)
        for group in GROUPS[entity]
        if any(name in by_name for name in group.features)
    } | {name: effect for name, effect in by_name.items() if field_of(name)}


def of_field(name: str, label: str, kind: str) -> Group:
    """The reason of a custom field: its label and its value."""

    def tell(row: Values) -> tuple[str, Any]:
        if not has(row, name):
            return f"{label} is not set", None
        value, read = row[name], KINDS.get(kind)
        if read is None:
            return f"{label} is {'filled in' if value else 'not filled in'}", bool(value)
        if read.is_category:
            return f"{label}: {value}", value
        if kind == "boolean":
            return f"{label}: {'yes' if value else 'no'}", bool(value)
        if kind == "currency":
            amount = float(np.sign(value) * np.expm1(abs(value)))
            return f"{label}: {amount:,.0f}", round(amount, 2)
        if kind in ("date", "datetime"):
            days = some(round(abs(float(value))), "day")
            return f"{label} {f'in {days}' if value >= 0 else f'{days} ago'}", round(float(value))
        return f"{label}: {float(value):,g}", float(value)

    return Group(name, (name,), tell)


def told(
    entity: str,
    names: tuple[str, ...],
    effects: Array,
    row: Values,
    base: float,
    chance: float,
    fields: Mapping[str, Declared] | None = None,
) -> list[dict[str, Any]]:
    """The reasons of one score, the strongest first, "other factors" last; base + Σ effects = chance.

    `effects` has one number for each of `names`, in chance. `fields`: the custom fields among them, by feature.
    """
    sums = grouped(entity, dict(zip(names, effects.tolist(), strict=True)))
    own = [of_field(name, one.label, one.type) for name, one in (fields or {}).items()]
    used = [(sums[group.key], group) for group in (*GROUPS[entity], *own) if group.key in sums]
    used.sort(key=lambda item: (-abs(item[0]), item[1].key))
    found = [_reason(group, round(effect, PLACES), row) for effect, group in used[:MOST]]
    rest = chance - base - sum(item["effect"] for item in found)
    return [*found, _other(round(rest, PLACES))]


def _reason(group: Group, effect: float, row: Values) -> dict[str, Any]:
    text, value = group.tell(row)
    return {"key": group.key, "text": text, "value": value, "effect": effect, "direction": _way(effect)}


def _other(effect: float) -> dict[str, Any]:
    return {"key": OTHER, "text": "Other factors", "value": None, "effect": effect, "direction": _way(effect)}


def _way(effect: float) -> str:
    return "up" if effect >= 0 else "down"


def _of_custom(key: str) -> frozenset[tuple[str, str]]:
    found = field_of(key)
    return (
        frozenset({(CARRIERS[found[0]], f"cf.{found[1]}")}) if found and found[0] in CARRIERS else frozenset()
    )


def shown(actor: Actor, entity: str, reasons: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The reasons that this actor may read: those of hidden fields are added to "other factors", unnamed."""
    kept, rest = [], 0.0
    for reason in reasons:
        fields = SHOWS.get((entity, reason["key"])) or _of_custom(reason["key"])
        if reason["key"] == OTHER or any(name in hidden(actor, resource) for resource, name in fields):
            rest += reason["effect"]
        else:
            kept.append(reason)
    return [*kept, _other(rest)]
