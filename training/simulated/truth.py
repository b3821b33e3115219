"""The truth tables: true chances at sampled Mondays, lifts of actions, hidden health, leads' chances, outcomes."""

import math

import numpy as np
import polars as pl

from training.simulated.clock import DAY, WEEK, Array, Clock
from training.simulated.deals import Deals, visible_mean
from training.simulated.dynamics import ACTIONS, ONCE, STATE, WON, Columns, World, action_effects, take
from training.simulated.files import SEGMENTS, STAGES, ids, instants, pick
from training.simulated.leads import LATER_SHARE, Leads
from training.simulated.oracle import action_lifts, bounded, infer_health, roll_forward, roll_particles
from training.simulated.people import Sellers

COPIES = 300
SINCE = 2
"""Landmarks lie at least this many weeks after the regime change (or after half the history without one)."""
STAGE_KEYS = [key for key, *_ in STAGES]


def outcomes_table(clock: Clock, deals: Deals) -> pl.DataFrame:
    """How each deal ends, those that end after the last written day included."""
    return pl.DataFrame(
        {
            "opportunity": ids("OPP", deals.count),
            "won": deals.state["stage"] == WON,
            "closed_at": instants(deals.closed_at),
            "known": deals.closed_at < clock.end,
        }
    )


def health_table(clock: Clock, panel: Columns) -> pl.DataFrame:
    """Hidden health on the Mondays of tracked deals."""
    order = np.lexsort((panel["deal"], panel["week"]))
    deal = panel["deal"][order]
    return pl.DataFrame(
        {
            "opportunity": pl.Series([f"OPP-{n + 1}" for n in deal.tolist()]),
            "at": instants(clock.start_of(panel["week"][order])),
            "stage": pick(STAGE_KEYS, panel["stage"][order]),
            "health": panel["health"][order],
        }
    )


def sample_marks(clock: Clock, world: World, panel: Columns, count: int, rng: np.random.Generator) -> Array:
    """Rows of the panel to look at: Mondays after the regime change, sorted by week and deal."""
    begin = world.regime_week if world.regime_week < clock.weeks else clock.weeks - 36
    late = np.flatnonzero(panel["week"] >= begin + SINCE)
    chosen = rng.permutation(late)[:count]
    return chosen[np.lexsort((panel["deal"][chosen], panel["week"][chosen]))]


def landmarks_table(
    clock: Clock,
    world: World,
    deals: Deals,
    leads: Leads,
    sellers: Sellers,
    panel: Columns,
    marks: Array,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """True chances on the marked Mondays (00:00 UTC): given the hidden state, and given what could be seen."""
    state, week = take({name: panel[name] for name in STATE}, marks), panel["week"][marks]
    true = bounded(roll_forward(world, state, week, COPIES, rng, horizons=(13, 0)))
    deal = panel["deal"][marks]
    kept = np.flatnonzero(np.isin(panel["deal"], deal))
    health, mean = infer_health(
        world,
        take(panel, kept),
        visible_mean(deals, leads),
        sellers.optimism,
        np.searchsorted(kept, marks),
        rng,
    )
    seen = bounded(roll_particles(world, state, week, health, mean, rng, horizons=(13, 0)))
    monday, won = clock.start_of(week), deals.state["stage"][deal] == WON
    return pl.DataFrame(
        {
            "opportunity": pl.Series([f"OPP-{n + 1}" for n in deal.tolist()]),
            "at": instants(monday),
            "stage": pick(STAGE_KEYS, state["stage"]),
            "health": state["health"],
            "p13": true[:, 0],
            "p_last": true[:, 1],
            "p13_visible": seen[:, 0],
            "p_last_visible": seen[:, 1],
            "won13": won & (deals.closed_at[deal] < monday + 13 * WEEK),
            "won_last": won,
        }
    )


def lifts_table(
    clock: Clock, world: World, panel: Columns, marks: Array, rng: np.random.Generator
) -> pl.DataFrame:
    """What each action, taken in the week after a marked Monday, would add to the chance to be won in 60 days.

    Only actions that are possible then: not twice what is done once, no champion where there is one.
    """
    state, week = take({name: panel[name] for name in STATE}, marks), panel["week"][marks]
    effects, lifts, base = action_lifts(world, state, week, COPIES, rng)
    possible = {name: state[name] == 0 for name in ONCE} | {"add_stakeholder": state["champion"] == 0}
    every = np.ones(marks.size, bool)
    blocks = [
        pl.DataFrame(
            {
                "opportunity": pl.Series([f"OPP-{n + 1}" for n in panel["deal"][marks].tolist()]),
                "at": instants(clock.start_of(week)),
                "action": pl.Series([name] * marks.size),
                "health_effect": effects[name],
                "p60": base,
                "lift60": lifts[name],
            }
        ).filter(pl.Series(possible.get(name, every)))
        for name in ACTIONS
    ]
    return pl.concat(blocks)


def effects_table(activity_effect: bool) -> pl.DataFrame:
    """The true effect on health of each action, by stage, segment, presence of a rival and weeks of silence."""
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(3), [0, 1], [0, 4], indexing="ij")).reshape(4, -1)
    state = {"stage": grid[0], "segment": grid[1], "rival": grid[2], "silence": grid[3]}
    effects = action_effects(state)
    return pl.concat(
        [
            pl.DataFrame(
                {
                    "action": pl.Series([name] * grid.shape[1]),
                    "stage": pick(STAGE_KEYS, grid[0]),
                    "segment": pick(SEGMENTS, grid[1]),
                    "has_rival": grid[2] == 1,
                    "silent_weeks": grid[3],
                    "health_effect": effects[name] * activity_effect,
                }
            )
            for name in ACTIONS
        ]
    )


def leads_truth(leads: Leads, end: int) -> pl.DataFrame:
    """The true chance that a lead converts within 30, 60, 90 days of its first response, at that instant."""
    rows = np.flatnonzero(leads.response_at < end)
    columns = {
        f"p{days}": leads.chance[rows]
        * ((1 - LATER_SHARE) * _within(days, 2.5) + LATER_SHARE * _within(days, 3.6))
        for days in (30, 60, 90)
    }
    converted, waited = leads.converted_at[rows], leads.converted_at[rows] - leads.response_at[rows]
    return pl.DataFrame(
        {
            "lead": pl.Series([f"LEAD-{n + 1}" for n in rows.tolist()]),
            "at": instants(leads.response_at[rows]),
            **columns,
            "converted90": (converted > 0) & (waited <= 90 * DAY),
        }
    )


def _within(days: int, centre: float) -> float:
    """The share of lognormal waits (spread 0.7) that end within some days."""
    return 0.5 * (1 + math.erf((math.log(days) - centre) / 0.7 / math.sqrt(2)))
