"""Features of an account: what it is, how earlier deals with it ended, how much is going on."""

import numpy as np

from features.facts import Array, Facts, days_between, log_amount, shrunken, weeks_between, zero
from features.spec import Entity, Source, feature, features_in

ACCOUNT = Entity(
    "account",
    sources=(
        Source(
            "accounts",
            {
                "created_at": "instant",
                "industry": "text",
                "type": "text",
                "segment": "text",
                "number_of_employees": "number",
                "annual_revenue": "number",
                "custom": "json",
            },
        ),
        Source(
            "account_deals",
            {
                "won": "number",
                "lost": "number",
                "won_amount": "number",
                "closed_365d": "number",
                "last_won_at": "instant",
                "last_lost_at": "instant",
                "open_deals": "number",
                "open_amount": "number",
                "until": "instant",
            },
        ),
        Source(
            "account_activities",
            {
                "activities_90d": "number",
                "activities_28d": "number",
                "last_activity_at": "instant",
                "until": "instant",
            },
        ),
    ),
    parents={"company": ""},
)


@feature("account", "text", is_category=True)
def account_industry(accounts: Facts) -> Array:
    """The account's industry."""
    return accounts["industry"]


@feature("account", "text", is_category=True)
def account_segment(accounts: Facts) -> Array:
    """Small, mid-market or enterprise."""
    return accounts["segment"]


@feature("account", "text", is_category=True)
def account_type(accounts: Facts) -> Array:
    """Prospect, customer, partner, competitor or former customer."""
    return accounts["type"]


@feature("account", "log of people")
def account_employees_log(accounts: Facts) -> Array:
    """log(1 + number of employees)."""
    return log_amount(accounts["number_of_employees"])


@feature("account", "log of money")
def account_revenue_log(accounts: Facts) -> Array:
    """log(1 + annual revenue), in the account's currency."""
    return log_amount(accounts["annual_revenue"])


@feature("account", "weeks")
def account_age_weeks(accounts: Facts) -> Array:
    """Weeks since the account was created."""
    return weeks_between(accounts.as_of, accounts["created_at"])


@feature("account", "deals")
def account_won_deals(accounts: Facts) -> Array:
    """Deals won with the account so far."""
    return zero(accounts["won"])


@feature("account", "deals")
def account_lost_deals(accounts: Facts) -> Array:
    """Deals lost with the account so far."""
    return zero(accounts["lost"])


@feature("account", "fraction")
def account_win_rate(accounts: Facts) -> Array:
    """Share won among the account's closed deals, drawn to the company's share as if by 4 deals."""
    won, lost = zero(accounts["won"]), zero(accounts["lost"])
    return shrunken(won, won + lost, accounts["company_prior"], 4)


@feature("account", "deals")
def account_closed_365d(accounts: Facts) -> Array:
    """Deals closed with the account in the last 365 days."""
    return zero(accounts["closed_365d"])


@feature("account", "deals")
def account_open_deals(accounts: Facts) -> Array:
    """Open deals with the account, this one included."""
    return zero(accounts["open_deals"])


@feature("account", "log of home currency")
def account_open_amount_log(accounts: Facts) -> Array:
    """log(1 + amount of the account's open deals)."""
    return log_amount(zero(accounts["open_amount"]))


@feature("account", "log of home currency")
def account_average_won_log(accounts: Facts) -> Array:
    """log(1 + mean amount of the deals won with the account); missing before the first."""
    won = zero(accounts["won"])
    return log_amount(np.where(won > 0, accounts["won_amount"] / np.maximum(won, 1), np.nan))


@feature("account", "days")
def account_days_since_win(accounts: Facts) -> Array:
    """Days since a deal was last won with the account."""
    return days_between(accounts.as_of, accounts["last_won_at"])


@feature("account", "days")
def account_days_since_loss(accounts: Facts) -> Array:
    """Days since a deal was last lost with the account."""
    return days_between(accounts.as_of, accounts["last_lost_at"])


@feature("account", "activities")
def account_activities_28d(accounts: Facts) -> Array:
    """What was done with the account, in all its deals, in the last 28 days."""
    return zero(accounts["activities_28d"])


@feature("account", "activities")
def account_activities_90d(accounts: Facts) -> Array:
    """What was done with the account, in all its deals, in the last 90 days."""
    return zero(accounts["activities_90d"])


@feature("account", "days")
def account_days_since_activity(accounts: Facts) -> Array:
    """Days since the last activity with the account; missing when the last 90 days saw none."""
    return days_between(accounts.as_of, accounts["last_activity_at"])


FEATURES = features_in(globals())
