"""Leads: arrival by channel, the first response, and what became of them.

A lead converts with a chance of channel, fit and speed of the first response; the conversion makes an account,
a contact and a deal at one instant.
"""

from dataclasses import dataclass

import numpy as np

from training.simulated.accounts import Accounts
from training.simulated.clock import DAY, Array, Clock, next_working, working_instants
from training.simulated.names import LEAD_SOURCES
from training.simulated.people import GROWTH, TEAM_PREFERENCE, Sellers

CHANNEL_SHARE = np.array([0.34, 0.09, 0.08, 0.14, 0.08, 0.12, 0.15])
CHANNEL_EFFECT = np.array([-0.1, 0.9, 1.1, -0.4, 0.6, -0.7, -0.5])
LATER_SHARE = 0.12
"""The share of converting leads that were nurtured first and took longer."""
UNQUALIFIED = ("no_budget", "no_fit", "unreachable", "student_or_competitor", "bad_data", "timing")


@dataclass(frozen=True)
class Leads:
    """All leads, one value each; instants in seconds, 0 where it never happened."""

    at: Array
    channel: Array
    account: Array
    owner: Array
    score: Array
    mql: Array
    rating: Array
    response_at: Array
    chance: Array
    days_mean: Array
    converted_at: Array
    qualified_at: Array
    unqualified_at: Array
    nurtured_at: Array
    reason: Array


def arrival_instants(clock: Clock, count: int, rng: np.random.Generator) -> Array:
    """`count` sorted instants in working hours before the end: seasonal and slowly growing by week."""
    weeks = np.arange(clock.weeks)
    intensity = clock.season[: clock.weeks] * GROWTH**weeks
    days_left = min(5, clock.until.weekday() + 1)
    intensity[-1] *= days_left / 5
    week = np.repeat(weeks, rng.multinomial(count, intensity / intensity.sum()))
    days = np.where(week == clock.weeks - 1, days_left, 5)
    day = (rng.random(count) * days).astype(int)
    monday = clock.start_of(week) + day * DAY
    return np.sort(working_instants(rng, monday, last_day=1))


def attract(
    clock: Clock,
    count: int,
    accounts: Accounts,
    sellers: Sellers,
    rng: np.random.Generator,
    *,
    signal: bool,
    regime_week: int,
) -> Leads:
    """Attract `count` leads; lead n belongs to firm n until it converts."""
    at = arrival_instants(clock, count, rng)
    channel = rng.choice(len(LEAD_SOURCES), count, p=CHANNEL_SHARE)
    account = np.arange(count)
    week = (at - clock.start_of(0)) // (7 * DAY)
    owner = route(sellers, accounts.segment[account], week, rng)
    fit = rng.standard_normal(count)
    score = np.clip(np.round(50 + 16 * (0.7 * fit + 0.7 * rng.standard_normal(count))), 1, 99).astype(int)
    hours = rng.lognormal(0, 1.1, count) * sellers.reply_hours[owner]
    response_at = next_working(at + (hours * 3600).astype(np.int64), rng)
    waited = (response_at - at) / 3600
    logit = -1.75 + (week >= regime_week) * -0.3
    if signal:
        segment = accounts.segment[account]
        logit = logit + CHANNEL_EFFECT[channel] + 0.75 * fit - 0.28 * (np.log1p(waited) - 2.2)
        logit = (
            logit + np.where((channel == 3) & (segment == 2), 0.8, 0.0) + 0.3 * sellers.skill[owner, segment]
        )
    chance = np.asarray(1 / (1 + np.exp(-logit)))
    return _outcomes(at, channel, account, owner, score, response_at, chance, rng)


def route(sellers: Sellers, segment: Array, week: Array, rng: np.random.Generator) -> Array:
    """An owner for each lead or deal: four in five go to a team of the segment, never to a rep not yet there."""
    wanted = sellers.segment_of_team[sellers.team][None, :] == np.arange(3)[:, None]
    weight = TEAM_PREFERENCE[wanted.astype(int)]
    pick = rng.random(segment.size)
    owner = np.zeros(segment.size, int)
    for start in np.unique(sellers.start_week):
        present = sellers.start_week <= start
        later = week >= start
        cumulated: Array = np.cumsum(weight * present, axis=1)
        for s in range(3):
            rows = later & (segment == s)
            owner[rows] = np.searchsorted(cumulated[s] / cumulated[s, -1], pick[rows], "right")
    return np.minimum(owner, sellers.count - 1)


def _outcomes(
    at: Array,
    channel: Array,
    account: Array,
    owner: Array,
    score: Array,
    response_at: Array,
    chance: Array,
    rng: np.random.Generator,
) -> Leads:
    """Draw what becomes of each lead after the first response."""
    count = at.size
    converts = rng.random(count) < chance
    nurtured = rng.random(count) < np.where(converts, LATER_SHARE, 0.22)
    days_mean = np.where(nurtured, 3.6, 2.5)
    days = np.exp(days_mean + 0.7 * rng.standard_normal(count))
    decided = next_working(response_at + (days * DAY).astype(np.int64), rng) + rng.integers(60, 1200, count)
    given_up = next_working(response_at + (rng.lognormal(3.0, 0.8, count) * DAY).astype(np.int64), rng)
    share = rng.uniform(0.4, 0.8, count)
    qualified_at = response_at + ((decided - response_at) * share).astype(np.int64)
    qualified_at = np.minimum(next_working(qualified_at, rng), decided - 1)
    nurtured_at = next_working(response_at + (days * 0.25 * DAY).astype(np.int64), rng)
    rating = np.where(score >= 62, 0, np.where(score >= 42, 1, 2))
    return Leads(
        at,
        channel,
        account,
        owner,
        score,
        score >= 55,
        rating,
        response_at,
        chance,
        days_mean,
        converted_at=np.where(converts, decided, 0),
        qualified_at=np.where(converts, qualified_at, 0),
        unqualified_at=np.where(~converts & (rng.random(count) < 0.93), given_up, 0),
        nurtured_at=np.where(nurtured & (nurtured_at < qualified_at), nurtured_at, 0),
        reason=rng.integers(0, len(UNQUALIFIED), size=count),
    )


def lead_touches(leads: Leads, end: int, rng: np.random.Generator) -> dict[str, Array]:
    """Activity on leads until they were decided: first response, calls, mails and answers; kinds by name number."""
    decided = np.where(leads.converted_at > 0, leads.converted_at, leads.unqualified_at)
    decided = np.where(decided > 0, decided, leads.response_at + 30 * DAY)
    count = rng.poisson(np.where(leads.converted_at > 0, 2.2, 1.2))
    rows = np.repeat(np.arange(leads.at.size), count)
    span = np.maximum(decided - leads.response_at, 3600)[rows]
    occurred = leads.response_at[rows] + 600 + (rng.random(rows.size) ** 1.5 * (span - 1200)).astype(np.int64)
    inbound = rng.random(rows.size) < np.where(leads.converted_at[rows] > 0, 0.45, 0.25)
    first = np.arange(leads.at.size)
    lead = np.concatenate([first, rows])
    at = np.concatenate([leads.response_at, next_working(occurred, rng)])
    step = np.concatenate([np.zeros(first.size, int), np.where(inbound, 1, 2)])
    known = (at < end) & (at <= decided[lead])
    return {"lead": lead[known], "occurred": at[known], "step": step[known]}
