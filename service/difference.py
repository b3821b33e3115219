"""What lies between two scores of one deal or lead: parts that add up to the change, in words.

Where one version made both, the parts are the differences of the two stored attributions. Where another speaks since
then, the newer version is asked what it would have said of the older features: what that adds is the part "model
changed", and the rest is the difference of its own two attributions. So a deal in which nothing happened has that part
alone. Where the newer version cannot be asked (a baseline is not kept, or it reads what the older score did not store),
the whole step is booked to it. Parts of hidden fields are among the other factors, unnamed.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from features.catalogue import CARRIERS
from features.custom import MARK
from registry.bundle import Bundle
from service import custom
from service.access import Actor
from service.db import Database
from service.reason_words import Group
from service.reasons import GROUPS, OTHER, PLACES, of_field, shown
from service.replay import attributed
from service.settings import Settings
from service.voices import voices_of

MODEL = "model_changed"
BASE = "base_value"
TOLD = 3
"""Parts that the sentence names."""
LEAST = 0.005
"""Half a point: less is not worth a word."""

Row = Mapping[str, Any]
Labels = Mapping[str, Group]
"""Feature of a custom field → its reason."""

_BY_ID = "SELECT s.* FROM scores s WHERE s.id = ANY($1::uuid[]) /* access:scores */"


def chance_of(row: Row) -> float:
    """What the score is of: to win, or to convert within 90 days."""
    name = "win_probability" if row["entity_type"] == "opportunity" else "convert_90d_probability"
    return float(row[name])


def is_same_model(old: Row, new: Row) -> bool:
    """Whether one version made both."""
    return bool((old["model_version"], old["tier"]) == (new["model_version"], new["tier"]))


async def between(
    database: Database, settings: Settings, actor: Actor, old_id: UUID, new_id: UUID
) -> dict[str, Any]:
    """The two scores and the parts of what lies between them, as this actor may read them. The scores must be ones
    that the actor sees."""
    rows = {row["id"]: row for row in await database.fetch(_BY_ID, [old_id, new_id])}
    old, new = rows[old_id], rows[new_id]
    bundle = None
    if not is_same_model(old, new) and new["model_version"] is not None:
        found = await voices_of(database, settings).version(new["model"], new["model_version"])
        bundle = found if isinstance(found, Bundle) else None
    labels = await labels_of(database)
    parts = shown(actor, new["entity_type"], parts_of(old, new, bundle, labels))
    change = chance_of(new) - chance_of(old)
    return {
        "from": _end(old), "to": _end(new), "change": change, "parts": parts, "text": sentence(change, parts),
        "is_same_model": is_same_model(old, new),
    }  # fmt: skip


async def labels_of(database: Database) -> Labels:
    """How the reasons of custom fields are told."""
    found = await custom.catalogue(database)
    return {
        f"{entity}{MARK}{key}": of_field(f"{entity}{MARK}{key}", field.label, field.type)
        for entity, table in CARRIERS.items()
        for key, field in found.get(table, {}).items()
    }


def parts_of(old: Row, new: Row, bundle: Bundle | None, labels: Labels | None = None) -> list[dict[str, Any]]:
    """The parts, the largest first, "other factors" last; they add up to the change. `bundle`: the version that made
    the newer score, where another one made the older."""
    change = chance_of(new) - chance_of(old)
    if is_same_model(old, new):
        was, model = old, 0.0
        moved = float(new["base_value"]) - float(old["base_value"])
    else:
        again = None if bundle is None else attributed(bundle, old)
        if again is None:
            return [_part(MODEL, MODEL_WORDS[False], change), _part(OTHER, "Other factors", 0.0)]
        was, model, moved = again, chance_of(again) - chance_of(old), 0.0
    steps = _steps(was, new)
    found = [
        _group_part(new, old, key, step, labels or {})
        for key, step in steps.items()
        if abs(step) > 10**-PLACES
    ]
    if abs(moved) > 10**-PLACES:
        found.append(_part(BASE, "The rates of all that it is compared with have moved", moved))
    if not is_same_model(old, new):
        found.append(_part(MODEL, MODEL_WORDS[True], model))
    found.sort(key=lambda part: (-abs(part["effect"]), part["key"]))
    rest = change - sum(part["effect"] for part in found)
    return [*found, _part(OTHER, "Other factors", rest)]


MODEL_WORDS = {
    True: "Another model speaks since then: it would have said as much more or less of the same deal",
    False: "Another model speaks since then, and cannot say what it would have said before",
}


def _steps(was: Row, now: Row) -> dict[str, float]:
    """By reason, how its effect has changed."""
    old, new = _effects(was), _effects(now)
    return {key: new.get(key, 0.0) - old.get(key, 0.0) for key in {**new, **old}}


def _effects(row: Row) -> dict[str, float]:
    """All effects of an attribution; scores made before they were stored whole have those that were told."""
    if row["effects"]:
        return {key: float(effect) for key, effect in row["effects"].items()}
    return {reason["key"]: float(reason["effect"]) for reason in row["reasons"] if reason["key"] != OTHER}


def _group_part(new: Row, old: Row, key: str, effect: float, labels: Labels) -> dict[str, Any]:
    group = next((one for one in GROUPS[new["entity_type"]] if one.key == key), labels.get(key))
    if group is None:
        return _part(key, key.replace("_", " ").capitalize(), effect)
    return _part(key, group.tell(new["features"])[0], effect, group.tell(old["features"])[0])


def _part(key: str, text: str, effect: float, before: str = "") -> dict[str, Any]:
    return {
        "key": key,
        "text": text,
        "before": before,
        "effect": effect,
        "direction": "up" if effect >= 0 else "down",
    }


def _end(row: Row) -> dict[str, Any]:
    """One end of the difference."""
    names = ("id", "scored_at", "as_of", "score", "grade", "model", "model_version", "tier")
    return {name: row[name] for name in names} | {"chance": chance_of(row)}


def sentence(change: float, parts: list[dict[str, Any]]) -> str:
    """The change and its largest parts in one sentence."""
    if abs(change) < LEAST and not any(abs(part["effect"]) >= LEAST for part in parts):
        return "Unchanged."
    told = sorted((p for p in parts if p["key"] != OTHER), key=lambda part: -abs(part["effect"]))[:TOLD]
    words = [f"{_inside(part)} ({_points(part['effect'])})" for part in told if abs(part["effect"]) >= LEAST]
    size = f"{abs(change) * 100:.1f}"
    head = "Unchanged" if abs(change) < LEAST else f"{'Up' if change > 0 else 'Down'} {size} points"
    return f"{head}: {'; '.join(words)}." if words else f"{head}, by factors too small or not yours to name."


def _inside(part: Mapping[str, Any]) -> str:
    text = part["text"] if part["key"] != MODEL else "another model speaks since then"
    told = text[0].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text
    before = part["before"]
    return f"{told} (before: {before[0].lower() + before[1:]})" if before and before != text else told


def _points(effect: float) -> str:
    return f"{effect * 100:+.1f}".replace("-", "−")
