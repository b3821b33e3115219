"""Reasons in plain words: a model's attribution, summed by what people talk about, each with a sentence and its value.

An attribution has one effect for each feature, in chance; with the base value they sum to the score. Here features
are gathered into groups; what is in no group, or too small to tell, is "other factors", so nothing is lost.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from features.catalogue import CARRIERS, FEATURES, fields_of
from features.custom import KINDS, Declared, field_of
from features.facts import Array
from service.access import Actor, hidden

Values = Mapping[str, Any]
OTHER = "other_factors"
MOST = 6
"""Reasons that are told by name."""
PLACES = 12
"""Decimal places of effects: the sum is exact to 1e-6 in any case."""


class Group(msgspec.Struct, frozen=True):
    """A reason: the features whose effects it sums, and the sentence that their values make."""

    key: str
    features: tuple[str, ...]
    tell: Callable[[Values], tuple[str, Any]]


def _has(row: Values, name: str) -> bool:
    value = row.get(name)
    return value is not None and value != "" and not (isinstance(value, float) and np.isnan(value))


def _whole(row: Values, name: str) -> int:
    return round(float(row[name])) if _has(row, name) else 0


def _some(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _word(text: str) -> str:
    return text.replace("_", " ")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _money(row: Values, name: str) -> str:
    return f"{np.expm1(float(row[name])):,.0f}"


def _weeks(weeks: float) -> str:
    return _some(round(weeks * 7), "day") if weeks < 2 else _some(round(weeks), "week")


def _stage(row: Values) -> tuple[str, Any]:
    if not _has(row, "stage"):
        return "Its stage is not known", None
    text = f"In stage {_word(row['stage'])}"
    if _has(row, "weeks_in_stage"):
        text += f" for {_weeks(float(row['weeks_in_stage']))}"
    if _whole(row, "stage_regressions"):
        text += f", moved back {_some(_whole(row, 'stage_regressions'), 'time')}"
    return text, row["stage"]


def _age(row: Values) -> tuple[str, Any]:
    if not _has(row, "age_weeks"):
        return "Its age is not known", None
    return f"Open for {_weeks(float(row['age_weeks']))}", round(float(row["age_weeks"]), 1)


def _close_date(row: Values) -> tuple[str, Any]:
    if not _has(row, "weeks_to_close_date"):
        return "No close date is set", None
    left = float(row["weeks_to_close_date"])
    text = f"Close date in {_weeks(left)}" if left >= 0 else f"Close date passed {_weeks(-left)} ago"
    if pushed := _whole(row, "push_count"):
        text += f", pushed {_some(pushed, 'time')}"
    return text, round(left * 7)


def _activity(row: Values) -> tuple[str, Any]:
    recent = _whole(row, "activities_28d")
    text = f"{_some(recent, 'activity', 'activities')} in the last 28 days"
    if not recent and _has(row, "days_since_last_activity"):
        text = f"No activity for {_some(_whole(row, 'days_since_last_activity'), 'day')}"
    elif not recent and not _whole(row, "activities_total"):
        text = "No activity so far"
    return text, recent


def _replies(row: Values) -> tuple[str, Any]:
    count = _whole(row, "replies_28d")
    if count:
        return f"The customer got in touch {_some(count, 'time')} in the last 28 days", count
    if _has(row, "days_since_last_reply"):
        return f"Nothing heard from the customer for {_some(_whole(row, 'days_since_last_reply'), 'day')}", 0
    return "Nothing heard from the customer so far", 0


def _meetings(row: Values) -> tuple[str, Any]:
    held = _whole(row, "meetings_held")
    text = f"{_some(held, 'meeting')} held" if held else "No meeting held yet"
    if missed := _whole(row, "meetings_missed"):
        text += f", {missed} missed"
    if _has(row, "days_to_next_meeting"):
        text += f", the next in {_some(_whole(row, 'days_to_next_meeting'), 'day')}"
    return text, held


def _amount(row: Values) -> tuple[str, Any]:
    if not _has(row, "amount_log"):
        return "No amount is set", None
    change = float(row["amount_change_ratio"]) if _has(row, "amount_change_ratio") else 0.0
    text = f"Amount {_money(row, 'amount_log')}"
    if abs(change) > 0.005:
        text += f", {_percent(abs(np.expm1(change)))} {'above' if change > 0 else 'below'} the first"
    return text, round(float(np.expm1(float(row["amount_log"]))), 2)


def _notes(row: Values) -> tuple[str, Any]:
    recent = _whole(row, "notes_28d")
    text = f"{_some(recent, 'note')} written in the last 28 days"
    if not recent and _has(row, "days_since_note"):
        text = f"No note for {_some(_whole(row, 'days_since_note'), 'day')}"
    return text, recent


def _room(row: Values) -> tuple[str, Any]:
    guests, said = _whole(row, "room_guests_14d"), _whole(row, "guest_comments_28d")
    text = (
        f"{_some(guests, 'guest')} in the deal's room in the last 14 days"
        if guests
        else "No guest in the deal's room"
    )
    if not guests and _has(row, "days_since_room_visit"):
        text += f" for {_some(_whole(row, 'days_since_room_visit'), 'day')}"
    return text + (f", {_some(said, 'comment')}" if said else ""), guests


def _plan(row: Values) -> tuple[str, Any]:
    open_, done = _whole(row, "plan_items_open"), _whole(row, "plan_items_done")
    if not open_ + done:
        return "No plan with the customer", 0
    text = f"{done} of {_some(open_ + done, 'item')} of the plan done"
    late = ((_whole(row, f"plan_items_overdue_{side}"), side) for side in ("theirs", "ours"))
    text += "".join(f", {count} of {side} overdue" for count, side in late if count)
    return text, done


def _people(row: Values) -> tuple[str, Any]:
    count = _whole(row, "stakeholder_count")
    if not count:
        return "Nobody at the customer is named", 0
    roles = [
        name
        for name, key in (("a champion", "champion_present"), ("a buyer", "buyer_present"))
        if _whole(row, key)
    ]
    among = f", {' and '.join(roles)} among them" if roles else ", neither champion nor buyer among them"
    return f"{_some(count, 'person', 'people')} named{among}", count


def _competition(row: Values) -> tuple[str, Any]:
    count = _whole(row, "competitor_count")
    return (f"{_some(count, 'competitor')} in the deal" if count else "No competitor named"), count


def _offer(row: Values) -> tuple[str, Any]:
    text = f"Product {row['product']}" if _has(row, "product") else "No product named"
    if _has(row, "discount") and float(row["discount"]) > 0:
        text += f", {float(row['discount']):.0f} % discount"
    return text, row.get("product") or None


def _origin(row: Values) -> tuple[str, Any]:
    kind = _word(row["deal_type"]).capitalize() if _has(row, "deal_type") else "Deal"
    source = f" from {_word(row['lead_source'])}" if _has(row, "lead_source") else " of unknown source"
    return kind + source, row.get("lead_source") or None


def _category(row: Values) -> tuple[str, Any]:
    if not _has(row, "forecast_category"):
        return "No forecast category", None
    return f"Forecast as {_word(row['forecast_category'])}", row["forecast_category"]


def _next_step(row: Values) -> tuple[str, Any]:
    is_set = bool(_whole(row, "has_next_step"))
    return ("A next step is written down" if is_set else "No next step is written down"), is_set


def _history(row: Values) -> tuple[str, Any]:
    if not _has(row, "account_won_deals"):
        return "Its account is not known", None
    won, lost = _whole(row, "account_won_deals"), _whole(row, "account_lost_deals")
    if won + lost == 0:
        return "First deal with the account", 0
    return f"{won} of {_some(won + lost, 'earlier deal')} with the account won", won


def _profile(row: Values) -> tuple[str, Any]:
    parts = [_word(str(row[name])) for name in ("account_segment", "account_industry") if _has(row, name)]
    if _has(row, "account_employees_log"):
        parts.append(f"{_money(row, 'account_employees_log')} employees")
    return f"Account: {', '.join(parts)}" if parts else "Little is known of the account", ", ".join(
        parts
    ) or None


def _record(row: Values) -> tuple[str, Any]:
    if not _has(row, "rep_win_rate"):
        return "Its owner has no record yet", None
    won, lost = _whole(row, "rep_won_deals"), _whole(row, "rep_lost_deals")
    return f"The owner has won {won:,} of {_some(won + lost, 'closed deal')}", round(
        float(row["rep_win_rate"]), 3
    )


def _load(row: Values) -> tuple[str, Any]:
    count = _whole(row, "rep_open_deals")
    return f"The owner has {_some(count, 'open deal')} in hand", count


def _season(row: Values) -> tuple[str, Any]:
    week, left = _whole(row, "week_of_quarter"), _whole(row, "days_to_period_end")
    return f"Week {week + 1} of the quarter, {_some(left, 'day')} left", week + 1


def _market(row: Values) -> tuple[str, Any]:
    if not _has(row, "company_win_rate_90d"):
        return "No deal was closed lately", None
    rate = float(row["company_win_rate_90d"])
    return f"The company won {_percent(rate)} of what was closed in the last 90 days", round(rate, 3)


_KINDS = ("email", "call", "meeting", "demo")
_WINDOWS = (7, 14, 28, 90)

DEAL_GROUPS = (
    Group("stage", ("stage", "stage_index", "stage_probability", "weeks_in_stage", "stage_moves", "stage_regressions"),
          _stage),
    Group("age", ("age_weeks", "owner_changes"), _age),
    Group("close_date", ("weeks_to_close_date", "is_past_close_date", "closes_this_period", "push_count",
                         "weeks_pushed", "weeks_since_push"), _close_date),
    Group("activity", (*(f"activities_{d}d" for d in _WINDOWS), *(f"{k}s_{d}d" for k in _KINDS[:2] for d in _WINDOWS),
                       "activity_trend", "activities_total", "days_since_last_activity"), _activity),
    Group("replies", (*(f"replies_{d}d" for d in _WINDOWS), "days_since_last_reply"), _replies),
    Group("meetings", (*(f"{k}s_{d}d" for k in _KINDS[2:] for d in _WINDOWS), "meetings_held", "meetings_missed",
                       "days_to_next_meeting"), _meetings),
    Group("amount", ("amount_log", "amount_change_ratio", "amount_changes"), _amount),
    Group("people", ("stakeholder_count", "champion_present", "buyer_present", "supporters_less_opponents"), _people),
    Group("notes", ("notes_28d", "days_since_note", "note_length_log"), _notes),
    Group("room", ("room_visits_14d", "room_visit_trend", "room_guests_14d", "days_since_room_visit",
                   "guest_comments_28d"), _room),
    Group("plan", ("plan_items_open", "plan_items_done", "plan_items_overdue_theirs", "plan_items_overdue_ours"), _plan),
    Group("competition", ("competitor_count", "competitor_present"), _competition),
    Group("offer", ("line_count", "discount", "product", "product_family"), _offer),
    Group("origin", ("deal_type", "lead_source"), _origin),
    Group("forecast_category", ("forecast_category",), _category),
    Group("next_step", ("has_next_step",), _next_step),
    Group("account_history", ("account_won_deals", "account_lost_deals", "account_win_rate", "account_closed_365d",
                              "account_open_deals", "account_open_amount_log", "account_average_won_log",
                              "account_days_since_win", "account_days_since_loss", "account_activities_28d",
                              "account_activities_90d", "account_days_since_activity"), _history),
    Group("account_profile", ("account_segment", "account_industry", "account_type", "account_employees_log",
                              "account_revenue_log", "account_age_weeks"), _profile),
    Group("owner_record", ("rep_won_deals", "rep_lost_deals", "rep_win_rate", "rep_win_rate_90d", "rep_closed_90d",
                           "rep_won_amount_90d_log", "rep_average_won_log", "rep_cycle_days", "rep_days_since_win",
                           "rep_tenure_weeks"), _record),
    Group("owner_load", ("rep_open_deals", "rep_open_amount_log", "rep_activities_7d", "rep_activities_28d"), _load),
    Group("season", ("week_of_quarter", "days_to_period_end", "created_week_of_quarter"), _season),
    Group("company", ("company_win_rate", "company_win_rate_90d", "company_cycle_days", "company_open_deals_log"),
          _market),
)  # fmt: skip


def _lead_source(row: Values) -> tuple[str, Any]:
    if not _has(row, "lead_channel"):
        return "Its source is not known", None
    return f"Came in by {_word(row['lead_channel'])}", row["lead_channel"]


def _lead_status(row: Values) -> tuple[str, Any]:
    if not _has(row, "lead_status"):
        return "Its status is not known", None
    text = f"Status {_word(row['lead_status'])}"
    if _has(row, "lead_days_in_status"):
        text += f" for {_some(_whole(row, 'lead_days_in_status'), 'day')}"
    if _has(row, "lead_rating"):
        text += f", rated {row['lead_rating']}"
    return text, row["lead_status"]


def _lead_age(row: Values) -> tuple[str, Any]:
    return f"Came in {_some(_whole(row, 'lead_age_days'), 'day')} ago", _whole(row, "lead_age_days")


def _lead_touch(row: Values) -> tuple[str, Any]:
    count = _whole(row, "lead_activities_28d")
    return f"{_some(count, 'activity', 'activities')} in the last 28 days", count


def _lead_reply(row: Values) -> tuple[str, Any]:
    count = _whole(row, "lead_replies_28d")
    return (
        f"The lead got in touch {_some(count, 'time')} in 28 days" if count else "Nothing heard from the lead"
    ), count


def _lead_who(row: Values) -> tuple[str, Any]:
    parts = [
        _word(str(row[name]))
        for name in ("lead_seniority", "lead_industry", "lead_country")
        if _has(row, name)
    ]
    return (f"Profile: {', '.join(parts)}" if parts else "Little is known of the lead"), ", ".join(
        parts
    ) or None


def _lead_company(row: Values) -> tuple[str, Any]:
    if not _has(row, "lead_employees_log"):
        return "The company's size is not known", None
    return f"Company of {_money(row, 'lead_employees_log')} people", round(
        float(np.expm1(row["lead_employees_log"]))
    )


def _lead_reach(row: Values) -> tuple[str, Any]:
    ways = [name for name, key in (("telephone", "lead_has_phone"), ("work e-mail", "lead_has_work_email"))
            if _whole(row, key)]  # fmt: skip
    return (f"Can be reached by {' and '.join(ways)}" if ways else "Neither telephone nor work e-mail"), len(
        ways
    )


def _lead_owner(row: Values) -> tuple[str, Any]:
    if not _has(row, "rep_conversion_rate"):
        return "Nobody has the lead in hand", None
    rate = float(row["rep_conversion_rate"])
    return f"The owner converts {_percent(rate)} of finished leads", round(rate, 3)


def _lead_market(row: Values) -> tuple[str, Any]:
    if not _has(row, "company_conversion_rate"):
        return "No lead was finished yet", None
    rate = float(row["company_conversion_rate"])
    return f"The company converts {_percent(rate)} of finished leads", round(rate, 3)


LEAD_GROUPS = (
    Group("source", ("lead_channel",), _lead_source),
    Group("status", ("lead_status", "lead_rating", "lead_days_in_status", "lead_days_since_mql", "lead_owner_changes"),
          _lead_status),
    Group("age", ("lead_age_days",), _lead_age),
    Group("activity", (*(f"lead_activities_{d}d" for d in (7, 28, 90)), "lead_days_since_activity",
                       "lead_response_hours"), _lead_touch),
    Group("replies", tuple(f"lead_replies_{d}d" for d in (7, 28, 90)), _lead_reply),
    Group("profile", ("lead_seniority", "lead_industry", "lead_country"), _lead_who),
    Group("company_size", ("lead_employees_log", "lead_has_company"), _lead_company),
    Group("reach", ("lead_has_phone", "lead_has_work_email"), _lead_reach),
    Group("owner", ("rep_conversion_rate", "rep_open_leads", "rep_tenure_weeks", "rep_activities_7d"), _lead_owner),
    Group("company", ("company_conversion_rate",), _lead_market),
)  # fmt: skip

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
        if not _has(row, name):
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
            days = _some(round(abs(float(value))), "day")
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
