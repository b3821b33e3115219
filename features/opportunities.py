"""Features of a deal itself: its state and its calendar. What happens around it stands in files of its own."""

import numpy as np

from features.activities import ACTIVITIES
from features.facts import Array, Facts, log_amount, weeks_between
from features.lines import LINES
from features.notes import NOTES
from features.rooms import ROOM
from features.spec import Entity, Source, feature, features_in
from features.stakeholders import STAKEHOLDERS

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
                "custom": "json",
            },
        ),
        ACTIVITIES,
        STAKEHOLDERS,
        LINES,
        ROOM,
        NOTES,
    ),
    parents={"account": "account_id", "user": "owner_id", "company": ""},
)


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


FEATURES = features_in(globals())
