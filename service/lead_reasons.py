"""The reasons of a lead's chance: what each is called, which features it sums, what it says."""

from typing import Any

import numpy as np

from service.reason_words import Group, Values, has, money, percent, some, whole, word


def _lead_source(row: Values) -> tuple[str, Any]:
    if not has(row, "lead_channel"):
        return "Its source is not known", None
    return f"Came in by {word(row['lead_channel'])}", row["lead_channel"]


def _lead_status(row: Values) -> tuple[str, Any]:
    if not has(row, "lead_status"):
        return "Its status is not known", None
    text = f"Status {word(row['lead_status'])}"
    if has(row, "lead_days_in_status"):
        text += f" for {some(whole(row, 'lead_days_in_status'), 'day')}"
    if has(row, "lead_rating"):
        text += f", rated {row['lead_rating']}"
    return text, row["lead_status"]


def _lead_age(row: Values) -> tuple[str, Any]:
    return f"Came in {some(whole(row, 'lead_age_days'), 'day')} ago", whole(row, "lead_age_days")


def _lead_touch(row: Values) -> tuple[str, Any]:
    count = whole(row, "lead_activities_28d")
    return f"{some(count, 'activity', 'activities')} in the last 28 days", count


def _lead_reply(row: Values) -> tuple[str, Any]:
    count = whole(row, "lead_replies_28d")
    return (
        f"The lead got in touch {some(count, 'time')} in 28 days" if count else "Nothing heard from the lead"
    ), count


def _lead_who(row: Values) -> tuple[str, Any]:
    parts = [
        word(str(row[name])) for name in ("lead_seniority", "lead_industry", "lead_country") if has(row, name)
    ]
    return (f"Profile: {', '.join(parts)}" if parts else "Little is known of the lead"), ", ".join(
        parts
    ) or None


def _lead_company(row: Values) -> tuple[str, Any]:
    if not has(row, "lead_employees_log"):
        return "The company's size is not known", None
    return f"Company of {money(row, 'lead_employees_log')} people", round(
        float(np.expm1(row["lead_employees_log"]))
    )


def _lead_reach(row: Values) -> tuple[str, Any]:
    ways = [name for name, key in (("telephone", "lead_has_phone"), ("work e-mail", "lead_has_work_email"))
            if whole(row, key)]  # fmt: skip
    return (f"Can be reached by {' and '.join(ways)}" if ways else "Neither telephone nor work e-mail"), len(
        ways
    )


def _lead_owner(row: Values) -> tuple[str, Any]:
    if not has(row, "rep_conversion_rate"):
        return "Nobody has the lead in hand", None
    rate = float(row["rep_conversion_rate"])
    return f"The owner converts {percent(rate)} of finished leads", round(rate, 3)


def _lead_market(row: Values) -> tuple[str, Any]:
    if not has(row, "company_conversion_rate"):
        return "No lead was finished yet", None
    rate = float(row["company_conversion_rate"])
    return f"The company converts {percent(rate)} of finished leads", round(rate, 3)


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
