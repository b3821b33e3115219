"""What was done with a deal: activities counted in windows, what came from the customer, meetings held and missed."""

import numpy as np

from features.facts import Array, Facts, days_between, done, inbound
from features.spec import Feature, Source, feature, features_in

ACTIVITIES = Source(
    "deal_activities",
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
)

KINDS = {"email": "E-mails", "call": "Calls", "meeting": "Meetings held", "demo": "Demos held"}
WINDOWS = (7, 14, 28, 90)


def _of_kind(kind: str, days: int) -> Feature:
    def compute(deals: Facts) -> Array:
        events = deals.events["deal_activities"]
        return deals.known("deal_activities").count(done(events) & (events["type"] == kind), days)

    meaning = f"{KINDS[kind]} in the last {days} days."
    return Feature(
        f"{kind}s_{days}d", "opportunity", meaning, "activities", "sales operations", compute, low=0.0
    )


def _of_any_kind(days: int) -> Feature:
    def compute(deals: Facts) -> Array:
        return deals.known("deal_activities").count(done(deals.events["deal_activities"]), days)

    meaning = f"E-mails, calls, meetings and demos in the last {days} days."
    return Feature(
        f"activities_{days}d", "opportunity", meaning, "activities", "sales operations", compute, low=0.0
    )


def _replies(days: int) -> Feature:
    def compute(deals: Facts) -> Array:
        return deals.known("deal_activities").count(inbound(deals.events["deal_activities"]), days)

    meaning = f"Messages and calls that came from the customer in the last {days} days."
    return Feature(
        f"replies_{days}d", "opportunity", meaning, "activities", "sales operations", compute, low=0.0
    )


COUNTS = (
    *(_of_any_kind(days) for days in WINDOWS),
    *(_of_kind(kind, days) for kind in KINDS for days in WINDOWS),
    *(_replies(days) for days in WINDOWS),
)


@feature("opportunity", "activities", low=None)
def activity_trend(deals: Facts) -> Array:
    """Activities of the last 14 days less those of the 14 days before."""
    events = done(deals.events["deal_activities"])
    known = deals.known("deal_activities")
    return 2 * known.count(events, 14) - known.count(events, 28)


@feature("opportunity", "activities")
def activities_total(deals: Facts) -> Array:
    """E-mails, calls, meetings and demos since the deal began."""
    return deals.known("deal_activities").count(done(deals.events["deal_activities"]))


@feature("opportunity", "meetings")
def meetings_held(deals: Facts) -> Array:
    """Meetings and demos held since the deal began."""
    events = deals.events["deal_activities"]
    return deals.known("deal_activities").count(done(events) & np.isin(events["type"], ["meeting", "demo"]))


@feature("opportunity", "meetings")
def meetings_missed(deals: Facts) -> Array:
    """Meetings and demos to which the customer did not come, or that were canceled."""
    events = deals.events["deal_activities"]
    missed = np.isin(events["status"], ["no_show", "canceled"]) & np.isin(events["type"], ["meeting", "demo"])
    return deals.known("deal_activities").count(missed)


@feature("opportunity", "days")
def days_since_last_activity(deals: Facts) -> Array:
    """Days since the last e-mail, call, meeting or demo."""
    return days_between(
        deals.as_of, deals.known("deal_activities").latest(done(deals.events["deal_activities"]))
    )


@feature("opportunity", "days")
def days_since_last_reply(deals: Facts) -> Array:
    """Days since something last came from the customer."""
    return days_between(
        deals.as_of, deals.known("deal_activities").latest(inbound(deals.events["deal_activities"]))
    )


@feature("opportunity", "days")
def days_to_next_meeting(deals: Facts) -> Array:
    """Days until the next planned meeting or demo; missing when none is planned."""
    events = deals.events["deal_activities"]
    planned = (events["status"] == "planned") & np.isin(events["type"], ["meeting", "demo"])
    return days_between(deals.known("deal_activities").upcoming(planned), deals.as_of)


FEATURES = features_in(globals())
