"""Features of a team: how its people's deals ended, and how much they have in hand."""

import numpy as np

from features.facts import Array, Facts, log_amount, zero
from features.spec import Entity, Source, feature, features_in

TEAM = Entity(
    "team",
    sources=(
        Source(
            "team_deals",
            {
                "people": "number",
                "won": "number",
                "lost": "number",
                "won_90d": "number",
                "lost_90d": "number",
                "open_deals": "number",
                "open_amount": "number",
            },
        ),
        Source("team_fields", {"custom": "json"}),
    ),
    parents={},
    is_kept=False,
)


def _rate(won: Array, lost: Array) -> Array:
    closed = won + lost
    return np.where(closed > 0, won / np.maximum(closed, 1.0), np.nan)


@feature("team", "people")
def team_people(teams: Facts) -> Array:
    """How many people the team has."""
    return zero(teams["people"])


@feature("team", "deals")
def team_won_deals(teams: Facts) -> Array:
    """Deals that the team's people have won so far."""
    return zero(teams["won"])


@feature("team", "deals")
def team_lost_deals(teams: Facts) -> Array:
    """Deals that the team's people have lost so far."""
    return zero(teams["lost"])


@feature("team", "fraction")
def team_win_rate(teams: Facts) -> Array:
    """Share won among the closed deals of the team's people; missing before the first."""
    return _rate(zero(teams["won"]), zero(teams["lost"]))


@feature("team", "fraction")
def team_win_rate_90d(teams: Facts) -> Array:
    """Share won among the deals that the team's people closed in the last 90 days."""
    return _rate(zero(teams["won_90d"]), zero(teams["lost_90d"]))


@feature("team", "deals")
def team_open_deals(teams: Facts) -> Array:
    """Open deals of the team's people."""
    return zero(teams["open_deals"])


@feature("team", "log of home currency")
def team_open_amount_log(teams: Facts) -> Array:
    """log(1 + open amount of the team's people)."""
    return log_amount(zero(teams["open_amount"]))


FEATURES = features_in(globals())
