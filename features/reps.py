"""Features of a rep: how their earlier deals and leads ended, and how much they have in hand."""

import numpy as np

from features.facts import Array, Facts, days_between, log_amount, shrunken, zero
from features.spec import Entity, Source, feature, features_in

REP = Entity(
    "user",
    sources=(
        Source("reps", {"start_date": "date", "custom": "json"}),
        Source(
            "rep_deals",
            {
                "won": "number",
                "lost": "number",
                "won_amount": "number",
                "won_days": "number",
                "won_90d": "number",
                "lost_90d": "number",
                "won_amount_90d": "number",
                "last_won_at": "instant",
                "open_deals": "number",
                "open_amount": "number",
                "until": "instant",
            },
        ),
        Source("rep_activities", {"activities_28d": "number", "activities_7d": "number", "until": "instant"}),
        Source("rep_leads", {"converted": "number", "unqualified": "number", "open_leads": "number"}),
    ),
    parents={"company": ""},
)


@feature("user", "deals")
def rep_won_deals(reps: Facts) -> Array:
    """Deals that the rep has won so far."""
    return zero(reps["won"])


@feature("user", "deals")
def rep_lost_deals(reps: Facts) -> Array:
    """Deals that the rep has lost so far."""
    return zero(reps["lost"])


@feature("user", "fraction")
def rep_win_rate(reps: Facts) -> Array:
    """Share won among the rep's closed deals, drawn to the company's share as if by 20 deals."""
    won, lost = zero(reps["won"]), zero(reps["lost"])
    return shrunken(won, won + lost, reps["company_prior"], 20)


@feature("user", "fraction")
def rep_win_rate_90d(reps: Facts) -> Array:
    """Share won among the rep's deals closed in the last 90 days, drawn to the company's share as if by 20 deals."""
    won, lost = zero(reps["won_90d"]), zero(reps["lost_90d"])
    return shrunken(won, won + lost, reps["company_prior"], 20)


@feature("user", "deals")
def rep_closed_90d(reps: Facts) -> Array:
    """Deals that the rep closed in the last 90 days, won or lost."""
    return zero(reps["won_90d"]) + zero(reps["lost_90d"])


@feature("user", "log of home currency")
def rep_won_amount_90d_log(reps: Facts) -> Array:
    """log(1 + amount that the rep won in the last 90 days)."""
    return log_amount(zero(reps["won_amount_90d"]))


@feature("user", "log of home currency")
def rep_average_won_log(reps: Facts) -> Array:
    """log(1 + mean amount of the rep's won deals); missing before the first."""
    won = zero(reps["won"])
    return log_amount(np.where(won > 0, reps["won_amount"] / np.maximum(won, 1), np.nan))


@feature("user", "days")
def rep_cycle_days(reps: Facts) -> Array:
    """Mean days from creation to win of the rep's won deals; missing before the first."""
    won = zero(reps["won"])
    return np.where(won > 0, reps["won_days"] / np.maximum(won, 1), np.nan)


@feature("user", "days")
def rep_days_since_win(reps: Facts) -> Array:
    """Days since the rep last won a deal."""
    return days_between(reps.as_of, reps["last_won_at"])


@feature("user", "deals")
def rep_open_deals(reps: Facts) -> Array:
    """Open deals in the rep's hands."""
    return zero(reps["open_deals"])


@feature("user", "log of home currency")
def rep_open_amount_log(reps: Facts) -> Array:
    """log(1 + amount of the rep's open deals)."""
    return log_amount(zero(reps["open_amount"]))


@feature("user", "activities")
def rep_activities_7d(reps: Facts) -> Array:
    """What the rep did in the last 7 days."""
    return zero(reps["activities_7d"])


@feature("user", "activities")
def rep_activities_28d(reps: Facts) -> Array:
    """What the rep did in the last 28 days."""
    return zero(reps["activities_28d"])


@feature("user", "weeks", owner="people")
def rep_tenure_weeks(reps: Facts) -> Array:
    """Weeks since the rep's first day; missing when the file does not tell it, 0 before it."""
    weeks: Array = np.maximum(reps.calendar.days(reps.as_of) - reps["start_date"], 0.0) / 7.0
    return weeks


@feature("user", "leads", owner="marketing")
def rep_open_leads(reps: Facts) -> Array:
    """Leads in the rep's hands that are neither converted nor given up."""
    return zero(reps["open_leads"])


@feature("user", "fraction", owner="marketing")
def rep_conversion_rate(reps: Facts) -> Array:
    """Share converted among the rep's finished leads, drawn to the company's share as if by 20 leads."""
    converted, unqualified = zero(reps["converted"]), zero(reps["unqualified"])
    return shrunken(converted, converted + unqualified, reps["company_conversion_prior"], 20)


FEATURES = features_in(globals())
