"""Small made-up companies as arrays: deals that move by known odds, and rows with a known chance."""

import numpy as np

from ml.clock import week_of_quarter
from ml.frame import Frame
from ml.lead import LeadPanel
from ml.panel import LOST, WON, Panel

START = 20_000.0
STAGES = ("qualification", "proposal", "negotiation")
SEGMENTS = ("small", "middle", "large")


def deals(n=900, weeks=70, seed=0, shift_at=None, shift=0.0, stages=3):
    """A panel of deals: skill and activity help, time in a stage hurts; from week `shift_at` fewer deals move on."""
    random = np.random.default_rng(seed)
    born, skill = np.sort(random.integers(0, weeks, n)), random.normal(size=n)
    stage, in_stage, is_open = np.zeros(n, int), np.zeros(n), np.ones(n, bool)
    health, segment = random.normal(size=n), random.integers(0, 3, n)
    parts = []
    for week in range(weeks):
        here = np.flatnonzero((born <= week) & is_open)
        health[here] = 0.9 * health[here] + 0.4 * random.normal(size=len(here))
        activity = random.poisson(np.exp(0.5 + 0.5 * health[here])).astype(float)
        at = np.full(len(here), START + 7.0 * week)
        late = shift if shift_at is not None and week >= shift_at else 0.0
        move = np.exp(-1.9 + late + 0.6 * skill[here] + 0.5 * health[here] - 0.05 * in_stage[here])
        lose = np.exp(-2.7 - 0.4 * skill[here] - 0.5 * health[here])
        draw, total = random.random(len(here)), 1 + move + lose
        moved, lost = draw < move / total, (draw >= move / total) & (draw < (move + lose) / total)
        reached = stage[here] + 1
        outcome = np.where(
            lost, LOST, np.where(moved, np.where(reached == stages, WON, reached), stage[here])
        )
        known = np.where(random.random(len(here)) < 0.1, np.nan, skill[here])
        values = [
            week - born[here],
            in_stage[here].copy(),
            week_of_quarter(at),
            known,
            activity,
            segment[here],
        ]
        parts.append((here, at, stage[here].copy(), np.column_stack(values), outcome))
        in_stage[here] += 1
        in_stage[here[moved]] = 0
        stage[here] = np.where(outcome >= 0, outcome, stage[here])
        is_open[here[outcome < 0]] = False
    deal, at, stage, values, outcome = (np.concatenate([part[j] for part in parts]) for j in range(5))
    names = ("age_weeks", "weeks_in_stage", "week_of_quarter", "skill", "activities", "segment")
    return Panel(deal, at, stage, Frame(names, values, {"segment": SEGMENTS}), outcome)


def rows(n=1500, seed=0):
    """Rows with a chance that rises in `x` and differs by `segment`: (frame, outcome, chance)."""
    random = np.random.default_rng(seed)
    x, segment, z = random.normal(size=n), random.integers(0, 3, n), random.normal(size=n)
    chance = 1 / (1 + np.exp(0.8 - 0.9 * x - 0.5 * segment))
    outcome = (random.random(n) < chance).astype(float)
    shown = np.where(random.random(n) < 0.1, np.nan, x)
    return Frame.of({"x": shown, "segment": segment, "z": z}, {"segment": SEGMENTS}), outcome, chance


def leads(n=1500, seed=0):
    """Leads over 500 days; those with a large `x` convert sooner."""
    random = np.random.default_rng(seed)
    x, at = random.normal(size=n), np.sort(random.uniform(0, 500, n))
    waits = random.exponential(np.exp(5.0 - 0.8 * x))
    converted = np.where((waits < 120) & (at + waits < 500), at + waits, np.inf)
    frame = Frame.of(
        {"x": x, "segment": random.integers(0, 3, n), "z": random.normal(size=n)}, {"segment": SEGMENTS}
    )
    return LeadPanel(np.arange(n), START + at, frame, START + converted, START + 500.0)
