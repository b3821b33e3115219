"""The deal page's sentences: what changed, what the chance rests on, what happened when. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from service.web.words import Words, plain

Row = dict[str, Any]

WEEK = timedelta(days=7)
LEAST_EFFECT = 0.005
"""Half a point: less is not worth a word."""
TIERS = {
    "baseline": "win rates by stage and segment",
    "logistic": "logistic regression",
    "gbm": "gradient boosting",
}
SHORT = {"model_changed": "another model speaks", "base_value": "all rates have moved"}
"""Parts whose own words are long for a sentence."""
TRENDS = {
    "improving": "By what was known 7 days before, its chance would have been lower.",
    "declining": "By what was known 7 days before, its chance would have been higher.",
    "steady": "By what was known 7 days before, its chance would have been about the same.",
}
SHOWN_FIELDS = ("stage", "amount", "close_date", "owner_id", "forecast_category", "next_step")
NAMES = {
    "close_date": "Close date", "owner_id": "Owner", "forecast_category": "Category", "next_step": "Next step",
    "stage": "Stage", "amount": "Amount",
}  # fmt: skip


# What changed ------------------------------------------------------------------------------------------------------


def before(past: Sequence[Row], moment: datetime) -> Row | None:
    """The score of a week before `moment`; for a younger deal its first one, if that is another."""
    older = [row for row in past if row["scored_at"] <= moment - WEEK]
    if older:
        return older[-1]
    return past[0] if len(past) > 1 else None


def _because(parts: Sequence[Row], say: Words) -> list[str]:
    """The three largest parts of the change, in the words of the newer score."""
    largest = sorted(parts, key=lambda part: (-abs(part["effect"]), part["key"]))[:3]
    return [
        f"{_within(SHORT.get(part['key']) or part['text'])} ({say.points(part['effect'])})"
        for part in largest
        if abs(part["effect"]) >= LEAST_EFFECT
    ]


def _within(text: str) -> str:
    """A reason's text inside a sentence: without its capital, unless that belongs to a name of capitals."""
    return text[0].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def changed(score: Row, past: Sequence[Row], parts: Sequence[Row], say: Words) -> str:
    """One sentence on how the chance moved since a week ago, and by what: `parts` as `service.difference` has them."""
    old = before(past, score["scored_at"])
    if old is None:
        return f"The first score of this deal. {TRENDS.get(score['trend'], '')}".strip()
    days = max((score["scored_at"] - old["scored_at"]).days, 0)
    span = f"in {days} days" if days > 1 else "since yesterday" if days == 1 else "today"
    step = float(score["win_probability"]) - float(old["win_probability"])
    if abs(step) < LEAST_EFFECT:
        return f"Unchanged {span}."
    size = say.number(abs(step) * 100, 0 if abs(step) >= 0.0095 else 1)
    head = f"{'Up' if step > 0 else 'Down'} {size} {'point' if size == '1' else 'points'} {span}"
    reasons = _because(parts, say)
    return f"{head}: {'; '.join(reasons)}." if reasons else f"{head}."


# What it rests on --------------------------------------------------------------------------------------------------


def odds(score: Row, say: Words) -> list[tuple[str, str, str]]:
    """Label, value and, where there is none, the reason why."""
    week, low, high = score["likely_close_week"], score["amount_p10"], score["amount_p90"]
    missing = score["missing"] or {}
    rows = [
        (
            "To win in this period",
            "win_in_period_probability",
            _chance(score["win_in_period_probability"], say),
        ),
        ("Slips past its date", "slip_probability", _chance(score["slip_probability"], say)),
        ("Likely to close", "likely_close_week", f"week of {say.day(week)}" if week else "–"),
        ("Amount if won", "amount_p50", _range(low, high, say)),
    ]
    return [(label, value, str(missing.get(key, "")) if value == "–" else "") for label, key, value in rows]


def _chance(value: Any, say: Words) -> str:
    return "–" if value is None else say.percent(value)


def _range(low: Any, high: Any, say: Words) -> str:
    if low is None or high is None:
        return "–"
    ends = [say.money(end, compact=True) for end in (low, high)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def evidence(score: Row, say: Words) -> str:
    """What the chance rests on: model, tier, how well it did on later deals, and when it was computed."""
    version = f", version {score['model_version']}" if score["model_version"] else ""
    parts = [f"By the model {score['model']}{version}: {TIERS.get(score['tier'], score['tier'])}."]
    measured = score["calibration"] or {}
    if measured.get("n") and measured.get("ece") is not None:
        parts.append(
            f"On {say.number(measured['n'])} later looks at deals its chances were off by"
            f" {say.number(float(measured['ece']) * 100, 1)} points on average."
        )
    parts += _gate(score["gate"] or {}, say)
    parts.append(f"Scored {say.ago(score['scored_at'])}.")
    return " ".join(parts)


def _gate(gate: Row, say: Words) -> list[str]:
    """Why no trained model serves, in the words that the score carries; else what the gate still misses."""
    if told := str(gate.get("reason") or "").rstrip("."):
        return [f"{told[0].upper()}{told[1:]}."]
    required, present = gate.get("required"), gate.get("present")
    if gate.get("is_met", True) or not isinstance(required, dict) or not isinstance(present, dict):
        return []
    short = [
        f"{say.number(present.get(key, 0), 0)} of {say.number(least, 0)} {plain(key).lower()}"
        for key, least in required.items()
        if isinstance(least, (int, float)) and float(present.get(key) or 0) < least
    ]
    return [f"Not enough history yet: {', '.join(short)}."] if short else []


# What happened -----------------------------------------------------------------------------------------------------


def _activity(row: Row, say: Words) -> Row:
    label = {"email": "E-mail"}.get(row["type"], plain(row["type"]))
    text = f"{label}: {row['subject']}" if row["subject"] else label
    facts = [row["owner_name"]]
    if row["direction"] == "inbound":
        facts.append("from them")
    if row["status"] not in (None, "completed"):
        facts.append(plain(row["status"]).lower())
    elif row["outcome"]:
        facts.append(plain(row["outcome"]).lower())
    if row["duration_seconds"]:
        facts.append(f"{max(1, round(row['duration_seconds'] / 60))} min")
    detail = ", ".join(fact for fact in facts if fact)
    return {
        "kind": "activity", "icon": row["type"], "label": label, "text": text, "detail": detail,
        "at": row["occurred_at"],
    }  # fmt: skip


def _note(row: Row) -> Row:
    label = {"win_loss": "Win/loss note", "inspection": "Inspection"}.get(row["kind"], "Note")
    first = " ".join(row["body"].split())
    text = first if len(first) <= 160 else first[:159].rstrip() + "…"
    return {
        "kind": "activity", "icon": "note", "label": label, "text": f"{label}: {text}", "detail": row["author"] or "",
        "at": row["created_at"],
    }  # fmt: skip


def _value(field: str, row: Row, stages: dict[str, str], people: dict[str, str], say: Words) -> str:
    value = row.get(field)
    if value in (None, ""):
        return "none"
    match field:
        case "stage":
            return stages.get(str(value), str(value))
        case "amount":
            return say.money(value, row.get("currency"))
        case "close_date":
            return say.day(datetime.fromisoformat(value).date())
        case "owner_id":
            return people.get(str(value), "somebody")
        case "next_step":
            return f"“{value}”"
        case _:
            return plain(value)


def changes(versions: Sequence[Any], stages: dict[str, str], people: dict[str, str], say: Words) -> list[Row]:
    """Each change of a field that people follow, newest first; the creation last."""
    found: list[Row] = []
    older: list[Any] = [*versions[1:], None]
    for version, previous in zip(versions, older, strict=True):
        who = people.get(str(version["actor_id"]), "") if version["actor_id"] else ""
        base = {"kind": "change", "icon": "", "label": "Change", "detail": who, "at": version["known_from"]}
        if previous is None:
            found.append(base | {"text": "Created"})
            continue
        new, old = version["row"], previous["row"]
        for field in SHOWN_FIELDS:
            follows = field == "forecast_category" and new["stage"] != old["stage"]
            if new.get(field) != old.get(field) and not follows:
                values = [_value(field, row, stages, people, say) for row in (old, new)]
                found.append(base | {"text": f"{NAMES[field]}: {values[0]} → {values[1]}"})
    return found


def timeline(
    acts: Sequence[Row], notes: Sequence[Row], moves: Sequence[Row], say: Words, most: int = 60
) -> tuple[list[Row], bool]:
    """All of it in one order, newest first, and whether some was left out."""
    items = [*(_activity(row, say) for row in acts), *(_note(row) for row in notes), *moves]
    items.sort(key=lambda item: item["at"], reverse=True)
    return items[:most], len(items) > most
