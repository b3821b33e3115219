"""The truth of the simulated company: the chance to win given the hidden state, and given what could be seen.

The hidden oracle rolls the known dynamics forward from the true state. The visible oracle knows every parameter but
not the health: a particle filter infers it from activity, commits and moves (the bootstrap filter of Gordon, Salmond
and Smith, 1993), then the particles are rolled forward. What only texts tell is not used. Both hold the rep's effort
fixed in the future and know of no hand-over to come.
"""

import numpy as np

from training.simulated.clock import Array
from training.simulated.deals import MEAN, START
from training.simulated.dynamics import (
    NEGOTIATION,
    RHO,
    SIGMA,
    STATE,
    WON,
    Columns,
    World,
    action_effects,
    activity_rates,
    hazards,
    live_week,
    take,
)
from training.simulated.pipeline import commit_chance

LAST_WEEK = 110
PARTICLES = 200


def roll_forward(
    world: World,
    state: Columns,
    week: Array,
    copies: int,
    rng: np.random.Generator,
    *,
    horizons: tuple[int, ...],
    boost: Array | None = None,
    champion: bool = False,
) -> Array:
    """The chance that each row is won within each horizon (weeks), by `copies` futures of each row.

    A horizon of 0 means at last. With `boost`, that much is added to the health after the first week;
    with `champion`, every deal has one from then on. Wins are
    counted by their chance each week, not by their draw, which halves the variance; so one copy's sum may exceed 1.
    """
    rows = week.size
    owner = np.repeat(np.arange(rows), copies)
    state, at = take(state, owner), week[owner]
    last = max(horizons) if 0 not in horizons else LAST_WEEK
    total, found = np.zeros(rows), np.zeros((rows, len(horizons)))
    for step in range(last):
        chance = hazards(world, state, at)["advance"] * (state["stage"] == NEGOTIATION)
        total += np.bincount(owner, chance, rows)
        for place, horizon in enumerate(horizons):
            if horizon in (0, step + 1):
                found[:, place] = total
        live_week(world, state, at, rng)
        if step == 0 and boost is not None:
            state["health"] = state["health"] + boost[owner]
        if step == 0 and champion:
            state["champion"] = np.ones_like(state["champion"])
        alive = np.flatnonzero(state["stage"] < WON)
        if not alive.size:
            break
        state, owner, at = take(state, alive), owner[alive], at[alive] + 1
    for place, horizon in enumerate(horizons):
        if horizon == 0 or horizon > step:
            found[:, place] = total
    return found / copies


def infer_health(
    world: World, panel: Columns, prior: Array, optimism: Array, marks: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Particles of (health, mean) at each marked row of the panel, given only what was visible before its Monday.

    `panel` holds every week of the marked deals from their first; `prior` is the known part of each deal's mean.
    """
    deals, slot = np.unique(panel["deal"], return_inverse=True)
    shape = (deals.size, PARTICLES)
    mean = prior[deals][:, None] + MEAN * rng.standard_normal(shape)
    health = mean + START * rng.standard_normal(shape)
    found = np.zeros((2, panel["deal"].size, PARTICLES))
    weeks = panel["week"]
    order = np.argsort(weeks, kind="stable")
    bounds = np.flatnonzero(np.diff(weeks[order])) + 1
    for rows in np.split(order, bounds):
        held = slot[rows]
        found[0, rows], found[1, rows] = health[held], mean[held]
        seen = {name: column[rows] for name, column in panel.items()}
        weight = _likelihood(world, seen, health[held], optimism)
        chosen = _resample(weight, rng)
        line = np.arange(rows.size)[:, None]
        kept, centre = health[held][line, chosen], mean[held][line, chosen]
        noise = SIGMA * rng.standard_normal(kept.shape)
        health[held] = centre + RHO * (kept - centre) + seen["seen_push"][:, None] + noise
        mean[held] = centre
    return found[0, marks], found[1, marks]


def _likelihood(world: World, seen: Columns, health: Array, optimism: Array) -> Array:
    """Normalised weights of particles given the week's activity, commit and move; shape rows × particles."""
    rows, particles = health.shape
    owner = np.repeat(np.arange(rows), particles)
    state = {name: seen[name][owner] for name in STATE}
    state["health"] = health.ravel()
    week = seen["week"][owner]
    rates, chances = activity_rates(world, state, week), hazards(world, state, week)
    count = {
        name: seen[f"seen_{name}"][owner] for name in ("inbound", "meetings", "calls", "connected", "held")
    }
    log = count["inbound"] * np.log(rates["inbound"]) - rates["inbound"]
    log += count["meetings"] * np.log(rates["meetings"]) - rates["meetings"]
    for part, whole in (("connected", "calls"), ("held", "meetings")):
        log += count[part] * np.log(rates[part]) + (count[whole] - count[part]) * np.log1p(-rates[part])
    move = seen["seen_move"][owner]
    stay = 1 - chances["advance"] - chances["lose"] - chances["back"]
    moved = np.select(
        [move > 0, move == -1, move == -2], [chances["advance"], chances["lose"], chances["back"]], stay
    )
    log += np.log(moved)
    commit, told = commit_chance(state, optimism), seen["seen_commit"][owner]
    log += np.select([told == 1, told == 0], [np.log(commit), np.log1p(-commit)], 0.0)
    log = log.reshape(rows, particles)
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _resample(weight: Array, rng: np.random.Generator) -> Array:
    """Systematic resampling: for each row, which particles live on."""
    rows, particles = weight.shape
    edges = np.cumsum(weight, axis=1)
    edges[:, -1] = 1.0
    points = (np.arange(particles) + rng.random((rows, 1))) / particles
    shift = np.arange(rows)[:, None] * 2.0
    found = np.searchsorted((edges + shift).ravel(), (points + shift).ravel()).reshape(rows, particles)
    return np.asarray(np.minimum(found - np.arange(rows)[:, None] * particles, particles - 1))


def bounded(chance: Array) -> Array:
    """Chances kept off 0 and 1."""
    return np.clip(chance, 1e-4, 1 - 1e-4)


def roll_particles(
    world: World,
    state: Columns,
    week: Array,
    health: Array,
    mean: Array,
    rng: np.random.Generator,
    *,
    horizons: tuple[int, ...],
) -> Array:
    """As `roll_forward`, with one future of each particle."""
    rows, particles = health.shape
    owner = np.repeat(np.arange(rows), particles)
    spread = take(state, owner)
    spread["health"], spread["mean"] = health.ravel(), mean.ravel()
    each = roll_forward(world, spread, week[owner], 1, rng, horizons=horizons)
    return np.asarray(each.reshape(rows, particles, -1).mean(axis=1))


def action_lifts(
    world: World, state: Columns, week: Array, copies: int, rng: np.random.Generator
) -> tuple[Columns, Columns, Array]:
    """For each action: its effect on health, and on the chance to be won within 60 days, were it taken this week.

    The lift of an effect e is read from a quadratic through the futures with −0.3, 0, +0.3 and +0.6 added.
    Returns effects, lifts, and the chance without any of them.
    """
    points = np.array([-0.3, 0.0, 0.3, 0.6])
    chances = []
    for point in points:
        boost = np.full(week.size, point)
        found = roll_forward(world, state, week, copies, rng, horizons=(8, 9), boost=boost)
        chances.append(found[:, 0] + (found[:, 1] - found[:, 0]) * 4 / 7)
    base = chances[1]
    design = np.stack([points, points**2], axis=1)
    slope = np.linalg.lstsq(design, np.stack(chances) - base, rcond=None)[0]
    effects = action_effects(state)
    if not world.activity_effect:
        effects = {name: np.zeros(week.size) for name in effects}
    lifts = {name: slope[0] * effect + slope[1] * effect**2 for name, effect in effects.items()}
    if world.activity_effect:
        boost = effects["add_stakeholder"]
        won_over = roll_forward(world, state, week, copies, rng, horizons=(8, 9), boost=boost, champion=True)
        lifts["add_stakeholder"] = won_over[:, 0] + (won_over[:, 1] - won_over[:, 0]) * 4 / 7 - base
    return effects, lifts, base
