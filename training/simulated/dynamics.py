"""The hidden life of a deal: one week at a time, as competing risks driven by a health that nobody sees.

A deal's *health* h follows h' = μ + ρ (h − μ) + effects of actions + noise. Each week the deal advances, is lost,
slips back a stage, or stays, with multinomial odds of stage, health, and what is fixed or visible about the deal.
Activity is drawn given the health of the week, so it shows the health only in part. The same `live_week` makes the
company and rolls its future forward for the truth.
"""

from dataclasses import dataclass

import numpy as np

from training.simulated.clock import Array

Columns = dict[str, Array]
"""A state: equally long columns, one value per deal (or per copy of a deal)."""

PROSPECTING, QUALIFICATION, PROPOSAL, NEGOTIATION, WON, LOST = range(6)
SMB, MID_MARKET, ENTERPRISE = range(3)

RHO, SIGMA = 0.92, 0.20
ADVANCE = np.array([-2.50, -2.45, -2.55, -2.40])
LOSE = np.array([-2.10, -2.10, -2.15, -2.25])
BACK = np.array([-9.0, -5.0, -4.6, -4.2])
HEALTH_ADVANCE = np.array([0.22, 0.26, 0.30, 0.34])
HEALTH_LOSE = np.array([0.26, 0.32, 0.36, 0.38])
REGIME_ADVANCE, REGIME_LOSE = -0.20, 0.38

AGEING = 0.10
"""How much the log odds to be lost grow with each week in a stage, from the second to the fifteenth."""
SKILL, CHAMPION = (1.2, 1.8), (0.45, 1.0)

INBOUND = np.array([0.32, 0.45, 0.55, 0.65])
OUTBOUND = np.array([0.45, 0.4, 0.4, 0.45])
CALLS = np.array([0.5, 0.4, 0.3, 0.4])
MEETINGS = np.array([0.13, 0.22, 0.22, 0.26])
INBOUND_HEALTH, MEETING_HEALTH = 1.25, 0.90

ACTIONS = (
    "call",
    "email",
    "meeting",
    "demo",
    "executive_sponsor",
    "add_stakeholder",
    "send_battle_card",
    "send_proposal",
    "mutual_action_plan",
    "re_engage",
    "offer",
)
"""Actions with an effect on health, in the order of the columns of effects."""
ONCE = ("executive_sponsor", "send_proposal", "mutual_action_plan", "offer")

STATE = (
    "stage",
    "health",
    "mean",
    "stage_weeks",
    "segment",
    "family",
    "advance",
    "lose",
    "rep",
    "effort",
    "champion",
    "rival",
    "silence",
    "executive_sponsor",
    "send_proposal",
    "mutual_action_plan",
    "offer",
    "plays",
)


@dataclass(frozen=True)
class World:
    """What holds for all deals: the calendar's weeks, the reps' terms and the mechanisms switched on."""

    quarter_end: Array
    quarter_start: Array
    holiday: Array
    regime_week: int
    rep_term: Array
    activity_effect: bool = True
    signal: bool = True


def take(state: Columns, rows: Array) -> Columns:
    """The given rows of a state, copied."""
    return {name: column[rows] for name, column in state.items()}


def hazards(world: World, state: Columns, week: Array) -> Columns:
    """Chances of this week: advance (from negotiation: won), lose, back."""
    stage, age = state["stage"], state["stage_weeks"]
    after = week >= world.regime_week
    advance = ADVANCE[stage] + np.where(after, REGIME_ADVANCE, 0.0) - 0.02 * np.maximum(age - 5, 0)
    advance = advance + np.where(age < 1, -0.5, 0.0)
    lose = LOSE[stage] + np.where(after, REGIME_LOSE, 0.0) + AGEING * np.clip(age - 1, 0, 14)
    closing = stage == NEGOTIATION
    advance = advance + closing * (1.15 * world.quarter_end[week] - 0.35 * world.quarter_start[week])
    advance = advance - 1.2 * world.holiday[week]
    lose = lose - 0.8 * world.holiday[week]
    if world.signal:
        shift_up, shift_down = _visible_terms(world, state)
        health = np.clip(state["health"], -3.5, 3.5)
        advance = advance + HEALTH_ADVANCE[stage] * health + shift_up
        lose = lose - HEALTH_LOSE[stage] * health + shift_down
    odds = np.exp(np.stack([advance, lose, BACK[stage] - 0.2 * state["health"] * world.signal]))
    chances = odds / (1 + odds.sum(axis=0))
    return {"advance": chances[0], "lose": chances[1], "back": chances[2]}


def _visible_terms(world: World, state: Columns) -> tuple[Array, Array]:
    """What is visible or learnable about a deal, as shifts of the two log odds."""
    skill = world.rep_term[state["rep"], state["segment"]]
    champion = state["champion"] > 0
    up = state["advance"] + SKILL[0] * skill + CHAMPION[0] * champion - 0.15 * state["rival"] * (1 - champion)
    down = state["lose"] - SKILL[1] * skill - CHAMPION[1] * champion + 0.25 * state["rival"]
    return up, down


def activity_rates(world: World, state: Columns, week: Array) -> Columns:
    """Expected activity of the week given the health: counts per week, and chances of an answer."""
    stage, calm = state["stage"], np.where(world.holiday[week], 0.25, 1.0)
    health = np.clip(state["health"], -3.5, 3.0) if world.signal else np.zeros(stage.size)
    return {
        "inbound": INBOUND[stage] * calm * np.exp(INBOUND_HEALTH * health),
        "meetings": MEETINGS[stage] * calm * state["effort"] * np.exp(MEETING_HEALTH * health),
        "calls": CALLS[stage] * calm * state["effort"],
        "connected": _logistic(0.2 + 0.8 * health),
        "held": _logistic(1.8 + 0.6 * health),
    }


def _logistic(value: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-value)))


def live_week(world: World, state: Columns, week: Array, rng: np.random.Generator) -> Columns:
    """Live one week in place; returns what happened in it.

    `week` counts from the first Monday, one value per row. In the answer `move` is +1 advance, −1 lost, 2 skipped a
    stage, −2 back, 0 stayed; counts of activity and the actions taken stand under their names.
    """
    size = week.size
    rates = activity_rates(world, state, week)
    seen: Columns = {
        "inbound": rng.poisson(rates["inbound"]),
        "meetings": rng.poisson(rates["meetings"]),
        "calls": rng.poisson(rates["calls"]),
    }
    seen["connected"] = rng.binomial(seen["calls"], rates["connected"])
    seen["held"] = rng.binomial(seen["meetings"], rates["held"])
    seen.update(_actions(state, seen, rng))
    seen["champion_left"] = (state["champion"] > 0) & (rng.random(size) < 0.007)
    seen["push"] = health_effect(world, state, seen)
    seen["move"] = _moves(hazards(world, state, week), state["stage"], rng)
    settle(world, state, seen, np.asarray(rng.standard_normal(size)))
    return seen


def _actions(state: Columns, seen: Columns, rng: np.random.Generator) -> Columns:
    """The rep's special moves of the week: chosen by stage, segment, silence and habit, never by hidden health."""
    stage, effort, plays = state["stage"], state["effort"], state["plays"]
    enterprise, rival = state["segment"] == ENTERPRISE, state["rival"] > 0
    none = np.zeros(stage.size)
    chance = {
        "demo": np.where((stage == QUALIFICATION) | (stage == PROPOSAL), 0.40, 0.06) * (seen["held"] > 0),
        "executive_sponsor": np.where(enterprise, 0.05, 0.012) * (stage >= QUALIFICATION) * effort * plays,
        "add_stakeholder": 0.045 * effort * (state["champion"] == 0),
        "send_battle_card": np.where(rival, 0.09, 0.012) * (stage >= QUALIFICATION) * plays,
        "send_proposal": np.where(stage == PROPOSAL, 0.38, none) * np.minimum(effort, 1.2),
        "mutual_action_plan": np.array([0.0, 0.01, 0.04, 0.11])[stage] * effort * plays,
        "re_engage": np.where(state["silence"] >= 2, 0.22, none) * effort * plays,
        "offer": np.array([0.0, 0.0, 0.02, 0.06])[stage],
    }
    taken = {name: rng.random(stage.size) < value for name, value in chance.items()}
    for name in ONCE:
        taken[name] &= state[name] == 0
    return taken


def health_effect(world: World, state: Columns, seen: Columns) -> Array:
    """What the week's actions (and a champion who leaves) add to the health of the next week."""
    shock = -0.9 * seen["champion_left"]
    if not world.activity_effect:
        return np.asarray(shock)
    effects = action_effects(state)
    total = effects["call"] * np.minimum(seen["connected"], 2) + effects["meeting"] * np.minimum(
        seen["held"], 2
    )
    for name in ("demo", *ONCE, "add_stakeholder", "send_battle_card", "re_engage"):
        total = total + effects[name] * seen[name]
    return np.asarray(0.8 * np.tanh(total / 0.8) + shock)


def action_effects(state: Columns) -> Columns:
    """The true effect of each action on health, were it taken now: uneven by stage, segment, rival and silence."""
    stage, segment = state["stage"], state["segment"]
    large, small = segment == ENTERPRISE, segment == SMB
    one = np.ones(stage.size)
    return {
        "call": np.where(small, 0.14, 0.04),
        "email": 0.0 * one,
        "meeting": np.where(large, 0.12, 0.05),
        "demo": np.where(stage == QUALIFICATION, 0.35, np.where(stage == PROPOSAL, 0.15, -0.05)),
        "executive_sponsor": np.array([-0.05, 0.2, 0.6])[segment],
        "add_stakeholder": np.where(small, 0.0, 0.2),
        "send_battle_card": np.where(state["rival"] > 0, 0.45, -0.08),
        "send_proposal": np.where(stage == PROPOSAL, 0.2, -0.15),
        "mutual_action_plan": np.array([-0.1, 0.0, 0.15, 0.45])[stage],
        "re_engage": np.where(state["silence"] >= 3, 0.5, 0.0),
        "offer": np.where(small, 0.3, 0.08),
    }


def _moves(chances: Columns, stage: Array, rng: np.random.Generator) -> Array:
    """Draw the week's transition; one advance in twelve before the proposal skips a stage."""
    draw, skip = rng.random(stage.size), rng.random(stage.size)
    lost = chances["advance"] + chances["lose"]
    move = np.where(draw < chances["advance"], 1, np.where(draw < lost, -1, 0))
    slips = (draw >= lost) & (draw < lost + chances["back"]) & (stage > PROSPECTING)
    move = np.where(slips, -2, move)
    return np.where((move == 1) & (stage < PROPOSAL) & (skip < 1 / 12), 2, move)


def settle(world: World, state: Columns, seen: Columns, noise: Array) -> None:
    """Carry the state into the next week: health, stage, age in stage, silence, champion, actions done once."""
    mean = state["mean"]
    state["health"] = mean + RHO * (state["health"] - mean) + seen["push"] + SIGMA * noise
    move, stage = seen["move"], state["stage"]
    moved = np.where(move == -1, LOST, np.where(move == -2, stage - 1, stage + move))
    state["stage"] = moved
    state["stage_weeks"] = np.where(move == 0, state["stage_weeks"] + 1, 0)
    quiet = (seen["inbound"] == 0) & (seen["held"] == 0) & (seen["connected"] == 0)
    state["silence"] = np.where(quiet, state["silence"] + 1, 0)
    won_over = seen["add_stakeholder"] if world.activity_effect else 0
    state["champion"] = np.where(seen["champion_left"], 0, np.maximum(state["champion"], won_over))
    for name in ONCE:
        state[name] = np.maximum(state[name], seen[name])
