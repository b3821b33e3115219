"""The reasons of a deal's chance: what each is called, which features it sums, what it says."""

from typing import Any

import numpy as np

from service.reason_words import Group, Values, has, money, percent, some, weeks, whole, word


def _stage(row: Values) -> tuple[str, Any]:
    if not has(row, "stage"):
        return "Its stage is not known", None
    text = f"In stage {word(row['stage'])}"
    if has(row, "weeks_in_stage"):
        text += f" for {weeks(float(row['weeks_in_stage']))}"
    if whole(row, "stage_regressions"):
        text += f", moved back {some(whole(row, 'stage_regressions'), 'time')}"
    return text, row["stage"]


def _age(row: Values) -> tuple[str, Any]:
    if not has(row, "age_weeks"):
        return "Its age is not known", None
    return f"Open for {weeks(float(row['age_weeks']))}", round(float(row["age_weeks"]), 1)


def _close_date(row: Values) -> tuple[str, Any]:
    if not has(row, "weeks_to_close_date"):
        return "No close date is set", None
    left = float(row["weeks_to_close_date"])
    text = f"Close date in {weeks(left)}" if left >= 0 else f"Close date passed {weeks(-left)} ago"
    if pushed := whole(row, "push_count"):
        text += f", pushed {some(pushed, 'time')}"
    return text, round(left * 7)


def _activity(row: Values) -> tuple[str, Any]:
    recent = whole(row, "activities_28d")
    text = f"{some(recent, 'activity', 'activities')} in the last 28 days"
    if not recent and has(row, "days_since_last_activity"):
        text = f"No activity for {some(whole(row, 'days_since_last_activity'), 'day')}"
    elif not recent and not whole(row, "activities_total"):
        text = "No activity so far"
    return text, recent


def _replies(row: Values) -> tuple[str, Any]:
    count = whole(row, "replies_28d")
    if count:
        return f"The customer got in touch {some(count, 'time')} in the last 28 days", count
    if has(row, "days_since_last_reply"):
        return f"Nothing heard from the customer for {some(whole(row, 'days_since_last_reply'), 'day')}", 0
    return "Nothing heard from the customer so far", 0


def _meetings(row: Values) -> tuple[str, Any]:
    held = whole(row, "meetings_held")
    text = f"{some(held, 'meeting')} held" if held else "No meeting held yet"
    if missed := whole(row, "meetings_missed"):
        text += f", {missed} missed"
    if has(row, "days_to_next_meeting"):
        text += f", the next in {some(whole(row, 'days_to_next_meeting'), 'day')}"
    return text, held


def _amount(row: Values) -> tuple[str, Any]:
    if not has(row, "amount_log"):
        return "No amount is set", None
    change = float(row["amount_change_ratio"]) if has(row, "amount_change_ratio") else 0.0
    text = f"Amount {money(row, 'amount_log')}"
    if abs(change) > 0.005:
        text += f", {percent(abs(np.expm1(change)))} {'above' if change > 0 else 'below'} the first"
    return text, round(float(np.expm1(float(row["amount_log"]))), 2)


def _notes(row: Values) -> tuple[str, Any]:
    recent = whole(row, "notes_28d")
    text = f"{some(recent, 'note')} written in the last 28 days"
    if not recent and has(row, "days_since_note"):
        text = f"No note for {some(whole(row, 'days_since_note'), 'day')}"
    return text, recent


def _room(row: Values) -> tuple[str, Any]:
    guests, said = whole(row, "room_guests_14d"), whole(row, "guest_comments_28d")
    text = (
        f"{some(guests, 'guest')} in the deal's room in the last 14 days"
        if guests
        else "No guest in the deal's room"
    )
    if not guests and has(row, "days_since_room_visit"):
        text += f" for {some(whole(row, 'days_since_room_visit'), 'day')}"
    return text + (f", {some(said, 'comment')}" if said else ""), guests


def _plan(row: Values) -> tuple[str, Any]:
    open_, done = whole(row, "plan_items_open"), whole(row, "plan_items_done")
    if not open_ + done:
        return "No plan with the customer", 0
    text = f"{done} of {some(open_ + done, 'item')} of the plan done"
    late = ((whole(row, f"plan_items_overdue_{side}"), side) for side in ("theirs", "ours"))
    text += "".join(f", {count} of {side} overdue" for count, side in late if count)
    return text, done


def _people(row: Values) -> tuple[str, Any]:
    count = whole(row, "stakeholder_count")
    if not count:
        return "Nobody at the customer is named", 0
    roles = [
        name
        for name, key in (("a champion", "champion_present"), ("a buyer", "buyer_present"))
        if whole(row, key)
    ]
    among = f", {' and '.join(roles)} among them" if roles else ", neither champion nor buyer among them"
    return f"{some(count, 'person', 'people')} named{among}", count


def _competition(row: Values) -> tuple[str, Any]:
    count = whole(row, "competitor_count")
    return (f"{some(count, 'competitor')} in the deal" if count else "No competitor named"), count


def _offer(row: Values) -> tuple[str, Any]:
    text = f"Product {row['product']}" if has(row, "product") else "No product named"
    if has(row, "discount") and float(row["discount"]) > 0:
        text += f", {float(row['discount']):.0f} % discount"
    return text, row.get("product") or None


def _origin(row: Values) -> tuple[str, Any]:
    kind = word(row["deal_type"]).capitalize() if has(row, "deal_type") else "Deal"
    source = f" from {word(row['lead_source'])}" if has(row, "lead_source") else " of unknown source"
    return kind + source, row.get("lead_source") or None


def _category(row: Values) -> tuple[str, Any]:
    if not has(row, "forecast_category"):
        return "No forecast category", None
    return f"Forecast as {word(row['forecast_category'])}", row["forecast_category"]


def _next_step(row: Values) -> tuple[str, Any]:
    is_set = bool(whole(row, "has_next_step"))
    return ("A next step is written down" if is_set else "No next step is written down"), is_set


def _history(row: Values) -> tuple[str, Any]:
    if not has(row, "account_won_deals"):
        return "Its account is not known", None
    won, lost = whole(row, "account_won_deals"), whole(row, "account_lost_deals")
    if won + lost == 0:
        return "First deal with the account", 0
    return f"{won} of {some(won + lost, 'earlier deal')} with the account won", won


def _profile(row: Values) -> tuple[str, Any]:
    parts = [word(str(row[name])) for name in ("account_segment", "account_industry") if has(row, name)]
    if has(row, "account_employees_log"):
        parts.append(f"{money(row, 'account_employees_log')} employees")
    return f"Account: {', '.join(parts)}" if parts else "Little is known of the account", ", ".join(
        parts
    ) or None


def _record(row: Values) -> tuple[str, Any]:
    if not has(row, "rep_win_rate"):
        return "Its owner has no record yet", None
    won, lost = whole(row, "rep_won_deals"), whole(row, "rep_lost_deals")
    return f"The owner has won {won:,} of {some(won + lost, 'closed deal')}", round(
        float(row["rep_win_rate"]), 3
    )


def _load(row: Values) -> tuple[str, Any]:
    count = whole(row, "rep_open_deals")
    return f"The owner has {some(count, 'open deal')} in hand", count


def _season(row: Values) -> tuple[str, Any]:
    week, left = whole(row, "week_of_quarter"), whole(row, "days_to_period_end")
    return f"Week {week + 1} of the quarter, {some(left, 'day')} left", week + 1


def _market(row: Values) -> tuple[str, Any]:
    if not has(row, "company_win_rate_90d"):
        return "No deal was closed lately", None
    rate = float(row["company_win_rate_90d"])
    return f"The company won {percent(rate)} of what was closed in the last 90 days", round(rate, 3)


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
