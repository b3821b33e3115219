"""Features of a lead: who it is, where it came from, how it was answered."""

import numpy as np

from features.facts import Array, Facts, days_between, done, inbound, log_amount
from features.spec import Entity, Feature, Source, feature, features_in

LEAD = Entity(
    "lead",
    sources=(
        Source(
            "leads",
            {
                "created_at": "instant",
                "owner_id": "text",
                "status": "text",
                "status_since": "instant",
                "rating": "text",
                "lead_source": "text",
                "industry": "text",
                "number_of_employees": "number",
                "mql_at": "instant",
                "has_phone": "number",
                "has_company": "number",
                "title": "text",
                "email_domain": "text",
                "country": "text",
                "owner_changes": "number",
                "custom": "json",
            },
        ),
        Source(
            "lead_activities",
            {
                "from_at": "instant",
                "to_at": "instant",
                "occurred_at": "instant",
                "type": "text",
                "direction": "text",
                "status": "text",
                "outcome": "text",
            },
            is_list=True,
        ),
    ),
    parents={"user": "owner_id", "company": ""},
)

FREE_MAIL = (
    "gmail.com",
    "googlemail.com",
    "yahoo.com",
    "hotmail.com",
    "outlook.com",
    "icloud.com",
    "gmx.de",
    "aol.com",
)
CHIEF = ("chief", "ceo", "cfo", "cto", "cio", "coo", "president", "founder", "owner", "partner")
LEADER = ("head", "director", "vp", "vice")
MANAGER = ("manager", "lead")


@feature("lead", "text", owner="marketing", is_category=True)
def lead_status(leads: Facts) -> Array:
    """New, working, nurturing, qualified, unqualified or converted."""
    return leads["status"]


@feature("lead", "text", owner="marketing", is_category=True)
def lead_rating(leads: Facts) -> Array:
    """Hot, warm or cold."""
    return leads["rating"]


@feature("lead", "text", owner="marketing", is_category=True)
def lead_channel(leads: Facts) -> Array:
    """Where the lead came from."""
    return leads["lead_source"]


@feature("lead", "text", owner="marketing", is_category=True)
def lead_industry(leads: Facts) -> Array:
    """The lead's industry."""
    return leads["industry"]


@feature("lead", "text", owner="marketing", is_category=True)
def lead_country(leads: Facts) -> Array:
    """The lead's country, ISO 3166."""
    return leads["country"]


@feature("lead", "text", owner="marketing", is_category=True)
def lead_seniority(leads: Facts) -> Array:
    """Rank that the title speaks of: chief, leader, manager or other."""
    words = [set(str(title).lower().replace(",", " ").split()) for title in leads["title"]]
    ranks = [
        ""
        if not found
        else "chief"
        if found & set(CHIEF)
        else "leader"
        if found & set(LEADER)
        else "manager"
        if found & set(MANAGER)
        else "other"
        for found in words
    ]
    return np.array(ranks, dtype=np.str_)


@feature("lead", "log of people", owner="marketing")
def lead_employees_log(leads: Facts) -> Array:
    """log(1 + number of employees)."""
    return log_amount(leads["number_of_employees"])


@feature("lead", "yes or no", owner="marketing")
def lead_has_phone(leads: Facts) -> Array:
    """Whether a telephone number is known."""
    return leads["has_phone"]


@feature("lead", "yes or no", owner="marketing")
def lead_has_company(leads: Facts) -> Array:
    """Whether a company is named."""
    return leads["has_company"]


@feature("lead", "yes or no", owner="marketing")
def lead_has_work_email(leads: Facts) -> Array:
    """Whether the address is that of a company, not of a free mail service; missing without an address."""
    domain = leads["email_domain"]
    return np.where(domain == "", np.nan, ~np.isin(domain, FREE_MAIL))


@feature("lead", "days", owner="marketing")
def lead_age_days(leads: Facts) -> Array:
    """Days since the lead came in."""
    return days_between(leads.as_of, leads["created_at"])


@feature("lead", "days", owner="marketing")
def lead_days_in_status(leads: Facts) -> Array:
    """Days since the lead came into its status."""
    return days_between(leads.as_of, leads["status_since"])


@feature("lead", "days", owner="marketing")
def lead_days_since_mql(leads: Facts) -> Array:
    """Days since marketing handed the lead over."""
    return days_between(leads.as_of, leads["mql_at"])


@feature("lead", "changes")
def lead_owner_changes(leads: Facts) -> Array:
    """How often the lead has been given to another owner."""
    return leads["owner_changes"]


def _touches(days: int) -> Feature:
    def compute(leads: Facts) -> Array:
        return leads.known("lead_activities").count(done(leads.events["lead_activities"]), days)

    meaning = f"E-mails, calls, meetings and demos with the lead in the last {days} days."
    return Feature(f"lead_activities_{days}d", "lead", meaning, "activities", "sales operations", compute)


def _replies(days: int) -> Feature:
    def compute(leads: Facts) -> Array:
        return leads.known("lead_activities").count(inbound(leads.events["lead_activities"]), days)

    meaning = f"Messages and calls that came from the lead in the last {days} days."
    return Feature(f"lead_replies_{days}d", "lead", meaning, "activities", "sales operations", compute)


COUNTS = (*(_touches(days) for days in (7, 28, 90)), *(_replies(days) for days in (7, 28, 90)))


@feature("lead", "days")
def lead_days_since_activity(leads: Facts) -> Array:
    """Days since the last e-mail, call, meeting or demo with the lead."""
    return days_between(
        leads.as_of, leads.known("lead_activities").latest(done(leads.events["lead_activities"]))
    )


@feature("lead", "hours")
def lead_response_hours(leads: Facts) -> Array:
    """Hours from the lead's arrival to the first outbound activity; missing before it."""
    events = leads.events["lead_activities"]
    first = leads.known("lead_activities").earliest(done(events) & (events["direction"] == "outbound"))
    return days_between(first, leads["created_at"]) * 24.0


FEATURES = features_in(globals())
