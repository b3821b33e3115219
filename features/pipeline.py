"""Features of the whole company's pipeline: the background against which one deal, rep or account is judged.

Looked at on Mondays only: its counts run over all deals.
"""

import numpy as np

from features.facts import Array, Facts, shrunken, zero
from features.spec import Entity, Source, feature, features_in

COMPANY = Entity(
    "company",
    sources=(
        Source(
            "company_deals",
            {
                "won": "number",
                "lost": "number",
                "won_90d": "number",
                "lost_90d": "number",
                "won_days_90d": "number",
                "open_deals": "number",
            },
        ),
        Source("company_leads", {"converted": "number", "unqualified": "number"}),
    ),
    parents={},
    weekly=True,
)

ONLY = "00000000-0000-0000-0000-000000000000"
"""The company's id in a spine: there is one."""


def win_prior(company: Facts) -> Array:
    """Share won among all closed deals, starting from one half: (won + 1) / (closed + 2)."""
    won, lost = zero(company["won"]), zero(company["lost"])
    rate: Array = (won + 1) / (won + lost + 2)
    return rate


def conversion_prior(company: Facts) -> Array:
    """Share converted among all finished leads, starting from one half."""
    converted, unqualified = zero(company["converted"]), zero(company["unqualified"])
    rate: Array = (converted + 1) / (converted + unqualified + 2)
    return rate


@feature("company", "fraction")
def company_win_rate(company: Facts) -> Array:
    """Share won among all deals closed by last Monday."""
    return win_prior(company)


@feature("company", "fraction")
def company_win_rate_90d(company: Facts) -> Array:
    """Share won among the deals closed in the 90 days before last Monday, drawn to the long-run share."""
    won, lost = zero(company["won_90d"]), zero(company["lost_90d"])
    return shrunken(won, won + lost, win_prior(company), 10)


@feature("company", "days")
def company_cycle_days(company: Facts) -> Array:
    """Mean days from creation to win of the deals won in the 90 days before last Monday."""
    won = zero(company["won_90d"])
    return np.where(won > 0, company["won_days_90d"] / np.maximum(won, 1), np.nan)


@feature("company", "log of deals")
def company_open_deals_log(company: Facts) -> Array:
    """log(1 + open deals) last Monday."""
    return np.log1p(zero(company["open_deals"]))


@feature("company", "fraction", owner="marketing")
def company_conversion_rate(company: Facts) -> Array:
    """Share converted among all leads finished by last Monday."""
    return conversion_prior(company)


FEATURES = features_in(globals())
