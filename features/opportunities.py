"""Features of a deal: its state, its calendar, what was done with it, who and what is in it."""

import numpy as np

from features.facts import Array, Events, Facts, days_between, done, inbound, log_amount, weeks_between, zero
from features.spec import Entity, Feature, Source, feature, features_in

DEAL = Entity(
    "opportunity",
    sources=(
        Source(
            "deals",
            {
                "created_at": "instant",
                "pipeline_id": "text",
                "owner_id": "text",
                "account_id": "text",
                "stage": "text",
                "status": "text",
                "stage_index": "number",
                "stage_probability": "number",
                "stage_since": "instant",
                "stage_moves": "number",
                "stage_regressions": "number",
                "amount": "number",
                "first_amount": "number",
                "amount_changes": "number",
                "close_date": "date",
                "first_close_date": "date",
                "push_count": "number",
                "pushed_at": "instant",
                "owner_changes": "number",
                "type": "text",
                "lead_source": "text",
                "forecast_category": "text",
                "has_next_step": "number",
                "competitors": "number",
            },
        ),
        Source(
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
        ),
        Source(
            "deal_stakeholders",
            {
                "from_at": "instant",
                "to_at": "instant",
                "role": "text",
                "influence": "text",
                "sentiment": "text",
            },
            is_list=True,
        ),
        Source(
            "deal_lines",
            {
                "from_at": "instant",
                "to_at": "instant",
                "quantity": "number",
                "unit_price": "number",
                "discount_percent": "number",
                "product": "text",
                "family": "text",
            },
            is_list=True,
        ),
    ),
    parents={"account": "account_id", "user": "owner_id", "company": ""},
)

KINDS = {"email": "E-mails", "call": "Calls", "meeting": "Meetings held", "demo": "Demos held"}
WINDOWS = (7, 14, 28, 90)


# state


@feature("opportunity", "text", is_category=True)
def stage(deals: Facts) -> Array:
    """Key of the stage that the deal is in."""
    return deals["stage"]


@feature("opportunity", "number")
def stage_index(deals: Facts) -> Array:
    """How many open stages of its pipeline lie before the deal's stage."""
    return deals["stage_index"]


@feature("opportunity", "fraction")
def stage_probability(deals: Facts) -> Array:
    """Chance to win that the pipeline states for the stage, as it was when the deal came into its present version."""
    return deals["stage_probability"]


@feature("opportunity", "weeks")
def age_weeks(deals: Facts) -> Array:
    """Weeks since the deal was created."""
    return weeks_between(deals.as_of, deals["created_at"])


@feature("opportunity", "weeks")
def weeks_in_stage(deals: Facts) -> Array:
    """Weeks since the deal came into its stage."""
    return weeks_between(deals.as_of, deals["stage_since"])


@feature("opportunity", "moves")
def stage_moves(deals: Facts) -> Array:
    """How often the deal has changed its stage."""
    return deals["stage_moves"]


@feature("opportunity", "moves")
def stage_regressions(deals: Facts) -> Array:
    """How often the deal has moved back to an earlier stage."""
    return deals["stage_regressions"]


@feature("opportunity", "pushes")
def push_count(deals: Facts) -> Array:
    """How often the close date has been moved to a later day."""
    return deals["push_count"]


@feature("opportunity", "weeks", low=None)
def weeks_pushed(deals: Facts) -> Array:
    """Weeks by which the close date lies behind the first one given; negative when it was pulled in."""
    return (deals["close_date"] - deals["first_close_date"]) / 7.0


@feature("opportunity", "weeks")
def weeks_since_push(deals: Facts) -> Array:
    """Weeks since the close date was last moved to a later day."""
    return weeks_between(deals.as_of, deals["pushed_at"])


@feature("opportunity", "log of home currency")
def amount_log(deals: Facts) -> Array:
    """log(1 + amount in home currency)."""
    return log_amount(deals["amount"])


@feature("opportunity", "log ratio", low=None)
def amount_change_ratio(deals: Facts) -> Array:
    """log((1 + amount) / (1 + first amount)): 0 when unchanged, below when it shrank."""
    return log_amount(deals["amount"]) - log_amount(deals["first_amount"])


@feature("opportunity", "changes")
def amount_changes(deals: Facts) -> Array:
    """How often the amount has been changed."""
    return deals["amount_changes"]


@feature("opportunity", "changes")
def owner_changes(deals: Facts) -> Array:
    """How often the deal has been given to another owner."""
    return deals["owner_changes"]


@feature("opportunity", "yes or no")
def has_next_step(deals: Facts) -> Array:
    """Whether a next step is written down."""
    return deals["has_next_step"]


@feature("opportunity", "text", is_category=True)
def deal_type(deals: Facts) -> Array:
    """New business, expansion or renewal."""
    return deals["type"]


@feature("opportunity", "text", owner="marketing", is_category=True)
def lead_source(deals: Facts) -> Array:
    """Where the deal came from."""
    return deals["lead_source"]


@feature("opportunity", "text", is_category=True)
def forecast_category(deals: Facts) -> Array:
    """The category in which the deal stands in the forecast."""
    return deals["forecast_category"]


@feature("opportunity", "competitors")
def competitor_count(deals: Facts) -> Array:
    """How many competitors are named in the deal."""
    return deals["competitors"]


@feature("opportunity", "yes or no")
def competitor_present(deals: Facts) -> Array:
    """Whether a competitor is named in the deal."""
    return np.where(np.isnan(deals["competitors"]), np.nan, deals["competitors"] > 0)


# calendar


def _today(deals: Facts) -> Array:
    return deals.calendar.days(deals.as_of)


@feature("opportunity", "weeks", low=None)
def weeks_to_close_date(deals: Facts) -> Array:
    """Weeks from today (the company's day) to the close date; negative when it has passed."""
    return (deals["close_date"] - _today(deals)) / 7.0


@feature("opportunity", "yes or no")
def is_past_close_date(deals: Facts) -> Array:
    """Whether the close date has passed while the deal is open."""
    return np.where(np.isnan(deals["close_date"]), np.nan, deals["close_date"] < _today(deals))


@feature("opportunity", "weeks", high=13)
def week_of_quarter(deals: Facts) -> Array:
    """Full weeks since the fiscal quarter began: 0 to 13."""
    today = _today(deals)
    first, _ = deals.calendar.quarter(today)
    return np.floor((today - first) / 7.0)


@feature("opportunity", "weeks", high=13)
def created_week_of_quarter(deals: Facts) -> Array:
    """Full weeks into its fiscal quarter in which the deal was created: 0 to 13. Pushes at a quarter's end take with
    them what began in time."""
    born = deals.calendar.days(deals["created_at"])
    known = np.isfinite(born)
    first, _ = deals.calendar.quarter(np.where(known, born, 0.0))
    return np.where(known, np.floor((born - first) / 7.0), np.nan)


@feature("opportunity", "days", high=92)
def days_to_period_end(deals: Facts) -> Array:
    """Days until the fiscal quarter's last day: 0 on that day."""
    today = _today(deals)
    _, last = deals.calendar.quarter(today)
    return last - today


@feature("opportunity", "yes or no")
def closes_this_period(deals: Facts) -> Array:
    """Whether the close date lies in the current fiscal quarter or before its end."""
    _, last = deals.calendar.quarter(_today(deals))
    return np.where(np.isnan(deals["close_date"]), np.nan, deals["close_date"] <= last)


# what was done


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


# who is in it


@feature("opportunity", "people")
def stakeholder_count(deals: Facts) -> Array:
    """How many people of the customer are named in the deal."""
    return deals.known("deal_stakeholders").number()


def _present(deals: Facts, *roles: str) -> Array:
    mask = np.isin(deals.events["deal_stakeholders"]["role"], list(roles))
    return (deals.known("deal_stakeholders").number(mask) > 0).astype(np.float64)


@feature("opportunity", "yes or no")
def champion_present(deals: Facts) -> Array:
    """Whether somebody at the customer is named as champion."""
    return _present(deals, "champion")


@feature("opportunity", "yes or no")
def buyer_present(deals: Facts) -> Array:
    """Whether an economic buyer or decision maker is named."""
    return _present(deals, "economic_buyer", "decision_maker")


@feature("opportunity", "people", low=None)
def supporters_less_opponents(deals: Facts) -> Array:
    """Supporters among the stakeholders less opponents."""
    sentiment = deals.events["deal_stakeholders"]["sentiment"]
    known = deals.known("deal_stakeholders")
    return known.number(sentiment == "supporter") - known.number(sentiment == "opponent")


# what is sold


def _worth(lines: Events) -> Array:
    return zero(lines["quantity"]) * zero(lines["unit_price"])


@feature("opportunity", "lines")
def line_count(deals: Facts) -> Array:
    """How many lines the deal has."""
    return deals.known("deal_lines").number()


@feature("opportunity", "percent")
def discount(deals: Facts) -> Array:
    """Discount over all lines, in percent of their list value; missing without lines of a value."""
    lines = deals.events["deal_lines"]
    known = deals.known("deal_lines")
    worth = known.total(_worth(lines))
    given = known.total(_worth(lines) * zero(lines["discount_percent"]))
    return np.where(worth > 0, given / np.where(worth > 0, worth, 1.0), np.nan)


@feature("opportunity", "text", is_category=True)
def product(deals: Facts) -> Array:
    """Code of the product of the line with the largest value."""
    lines = deals.events["deal_lines"]
    return deals.known("deal_lines").of_largest(_worth(lines), lines["product"])


@feature("opportunity", "text", is_category=True)
def product_family(deals: Facts) -> Array:
    """Family of the product of the line with the largest value."""
    lines = deals.events["deal_lines"]
    return deals.known("deal_lines").of_largest(_worth(lines), lines["family"])


FEATURES = features_in(globals())
