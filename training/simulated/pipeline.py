"""Lives the company's weeks: moves every open deal, keeps what changed, what was done, and the tracked states."""

from dataclasses import dataclass, field

import numpy as np

from training.simulated.accounts import Accounts
from training.simulated.clock import DAY, OPENING, WEEK, Array, Clock, working_instants
from training.simulated.deals import Deals, open_deals, snap
from training.simulated.dynamics import (
    NEGOTIATION,
    PROPOSAL,
    STATE,
    WON,
    Columns,
    World,
    live_week,
    take,
)
from training.simulated.leads import Leads
from training.simulated.people import Sellers

TAIL = 110
"""Weeks lived beyond the last written one, so that the truth knows how open deals end."""
CAPACITY = 36
UNSET = -2
CATEGORIES = ("pipeline", "best_case", "commit", "closed", "omitted")
LOSS_REASONS = (
    "price",
    "product",
    "competitor",
    "no_budget",
    "no_decision",
    "timing",
    "relationship",
    "disqualified",
    "other",
)


@dataclass
class Record:
    """Growing columns: blocks of equally long arrays, joined at the end."""

    blocks: list[Columns] = field(default_factory=list)

    def add(self, **columns: Array) -> None:
        """Append one block; scalars are repeated to the length of the longest column."""
        size = max(np.size(column) for column in columns.values())
        if size and all(np.size(column) for column in columns.values()):
            self.blocks.append(
                {name: np.broadcast_to(column, size).copy() for name, column in columns.items()}
            )

    def joined(self) -> Columns:
        """All blocks under each other."""
        return {name: np.concatenate([block[name] for block in self.blocks]) for name in self.blocks[0]}


@dataclass
class Life:
    """What living the weeks left behind."""

    changes: Record = field(default_factory=Record)
    weeks: Record = field(default_factory=Record)
    panel: Record = field(default_factory=Record)
    champions: list[Array] = field(default_factory=list)

    def champion_at_start(self, deals: int) -> Array:
        """Which deals had a champion when they were created."""
        had = np.zeros(deals, bool)
        for rows in self.champions:
            had[rows] = True
        return had


CHANGE = {
    "stage": UNSET,
    "amount": np.nan,
    "close_day": UNSET,
    "category": UNSET,
    "owner": UNSET,
    "loss": UNSET,
    "rival": UNSET,
    "final": UNSET,
}


def change(life: Life, deal: Array, at: Array, order: int, **values: Array | int) -> None:
    """Note that fields of deals changed at instants; `order` breaks ties of one deal."""
    columns = {name: np.asarray(values.get(name, unset)) for name, unset in CHANGE.items()}
    life.changes.add(deal=deal, at=at, order=np.asarray(order), **columns)


def live(
    clock: Clock,
    world: World,
    deals: Deals,
    accounts: Accounts,
    sellers: Sellers,
    leads: Leads,
    *,
    tracked: Array,
    rng: np.random.Generator,
) -> Life:
    """Live all weeks and then the tail; `tracked` deals leave their state of each Monday in the panel."""
    life = Life()
    week_of_deal = (deals.at - clock.start_of(0)) // WEEK
    starts = np.searchsorted(week_of_deal, np.arange(clock.weeks + TAIL + 1))
    closed = np.zeros(deals.count, bool)
    for week in range(clock.weeks + TAIL):
        fresh = np.arange(starts[week], starts[week + 1])
        active = np.flatnonzero(~closed[: starts[week]])
        if active.size:
            _week(clock, world, deals, accounts, sellers, life, active, week, tracked, rng)
            closed[active] = deals.state["stage"][active] >= WON
        if fresh.size:
            open_deals(clock, deals, fresh, accounts, sellers, leads, signal=world.signal, rng=rng)
            _created(deals, fresh, life)
    return life


def _created(deals: Deals, rows: Array, life: Life) -> None:
    """The first row of history: everything as at creation."""
    none = np.asarray(-1)
    life.champions.append(rows[deals.state["champion"][rows] > 0])
    change(
        life,
        rows,
        deals.at[rows],
        0,
        stage=deals.state["stage"][rows],
        amount=deals.amount[rows],
        close_day=deals.close_day[rows],
        category=np.asarray(0),
        owner=deals.owner[rows],
        loss=none,
        rival=none,
        final=np.asarray(0),
    )


def _week(
    clock: Clock,
    world: World,
    deals: Deals,
    accounts: Accounts,
    sellers: Sellers,
    life: Life,
    active: Array,
    week: int,
    tracked: Array,
    rng: np.random.Generator,
) -> None:
    """One week of all open deals: what reps do on Monday morning, then what happens."""
    monday = int(clock.start_of(week))
    _hand_over(deals, sellers, life, active, monday, rng)
    if week < clock.weeks + 4:
        load = np.bincount(deals.state["rep"][active], minlength=sellers.count)
        effort = sellers.energy * np.clip(1.35 - 0.45 * load / CAPACITY, 0.45, 1.3)
        deals.state["effort"][active] = effort[deals.state["rep"][active]]
        deals.state["plays"][active] = sellers.plays[deals.state["rep"][active]]
    before = take(deals.state, active)
    state = take(deals.state, active)
    seen = live_week(world, state, np.full(active.size, week), rng)
    commit = rng.random(active.size) < commit_chance(before, sellers.optimism)
    seen["commit"] = np.where((seen["move"] > 0) & (state["stage"] == NEGOTIATION), commit, -1)
    for name in STATE:
        deals.state[name][active] = state[name]
    at = working_instants(rng, np.full(active.size, monday))
    if week < clock.weeks + 1:
        _push(deals, life, active, monday, rng)
        _revise(deals, life, active, seen, at, rng)
        life.weeks.add(
            deal=active,
            week=np.asarray(week),
            at=at,
            stage=before["stage"],
            health=before["health"],
            rep=before["rep"],
            **{n: seen[n] for n in seen if n != "push"},
        )
    _move(deals, accounts, life, active, before, seen, at, rng)
    kept = tracked[active]
    if kept.any() and week < clock.weeks:
        columns = {**before, **{f"seen_{name}": value for name, value in seen.items()}}
        life.panel.add(deal=active[kept], week=np.asarray(week), **{n: c[kept] for n, c in columns.items()})


def commit_chance(state: Columns, optimism: Array) -> Array:
    """The chance that a rep calls a deal that enters negotiation a commit: sees some health, and is an optimist."""
    return np.asarray(1 / (1 + np.exp(-(0.8 + 1.0 * state["health"] + optimism[state["rep"]]))))


def _hand_over(
    deals: Deals, sellers: Sellers, life: Life, active: Array, monday: int, rng: np.random.Generator
) -> None:
    """Now and then a deal goes to another rep of the team, on Monday morning."""
    moved = active[rng.random(active.size) < 0.0015]
    for deal in moved:
        rep = int(deals.state["rep"][deal])
        others = np.flatnonzero((sellers.team == sellers.team[rep]) & (np.arange(sellers.count) != rep))
        others = others[sellers.start_week[others] == 0]
        if others.size:
            owner = int(others[rng.integers(0, others.size)])
            deals.state["rep"][deal] = owner
            change(life, np.array([deal]), np.array([monday + OPENING - 2400]), 0, owner=np.asarray(owner))


def _push(deals: Deals, life: Life, active: Array, monday: int, rng: np.random.Generator) -> None:
    """Reps tidy up on Monday: most passed close dates move two to seven weeks on, all of a rep at one instant."""
    passed = (deals.close_day[active] < monday // DAY) & (rng.random(active.size) < 0.5)
    rows = active[passed]
    if rows.size:
        days = monday // DAY + rng.integers(14, 50, size=rows.size)
        deals.close_day[rows] = snap(days, rng)
        at = monday + OPENING - 1800 + deals.state["rep"][rows] % 12 * 120
        change(life, rows, at, 1, close_day=deals.close_day[rows])


def _revise(
    deals: Deals, life: Life, active: Array, seen: Columns, at: Array, rng: np.random.Generator
) -> None:
    """The amount changes along the way: scope grows or shrinks, and an offer lowers the price."""
    stays = seen["move"] == 0
    revised = stays & (rng.random(active.size) < 0.035) & (deals.state["stage"][active] > 0)
    factor = np.where(revised, rng.lognormal(0.01, 0.16, active.size), 1.0)
    offered = stays & seen["offer"].astype(bool)
    factor = np.where(offered, factor * rng.uniform(0.86, 0.97, active.size), factor)
    rows = active[revised | offered]
    if rows.size:
        deals.amount[rows] = np.maximum(np.round(deals.amount[rows] * factor[revised | offered]), 100.0)
        change(life, rows, at[revised | offered], 2, amount=deals.amount[rows])


def _move(
    deals: Deals,
    accounts: Accounts,
    life: Life,
    active: Array,
    before: Columns,
    seen: Columns,
    at: Array,
    rng: np.random.Generator,
) -> None:
    """Write stage changes: a skipped stage as two rows of one instant, a close with its date, reason and rival."""
    stage, move = deals.state["stage"][active], seen["move"]
    skipped = move == 2
    change(life, active[skipped], at[skipped], 3, stage=stage[skipped] - 1)
    moved = (move != 0) & (stage < WON)
    category = np.where(stage == NEGOTIATION, np.where(seen["commit"] == 0, 1, 2), (stage == PROPOSAL) * 1)
    change(life, active[moved], at[moved], 4, stage=stage[moved], category=category[moved])
    done = stage >= WON
    rows, when, won = active[done], at[done], stage[done] == WON
    if not rows.size:
        return
    deals.closed_at[rows] = when
    first = won & (accounts.customer_at[deals.account[rows]] == 0)
    accounts.customer_at[deals.account[rows[first]]] = when[first]
    loss = np.where(won, -1, _loss_reason(deals, rows, take(before, np.flatnonzero(done)), rng))
    named = (loss == 2) | ((deals.rival[rows] > 0) & (rng.random(rows.size) < 0.6))
    deals.close_day[rows] = when // DAY
    change(
        life,
        rows,
        when,
        5,
        stage=stage[done],
        close_day=when // DAY,
        category=np.where(won, 3, 4),
        loss=loss,
        rival=np.where(named, deals.rivals[rows], -1),
    )


def _loss_reason(deals: Deals, rows: Array, before: Columns, rng: np.random.Generator) -> Array:
    """Why a deal was lost, as the rep would say: by rival, silence, stage and price, with some noise."""
    count, stage = rows.size, before["stage"]
    one = np.ones(count)
    weight = np.stack(
        [
            0.9 + 0.8 * (stage == NEGOTIATION) + 0.6 * (deals.discount[rows] < 5),
            0.6 * one,
            2.6 * (deals.rival[rows] > 0),
            0.8 * one,
            0.7 + 0.8 * np.minimum(before["silence"], 3),
            0.7 * one,
            0.3 + 0.7 * (before["champion"] == 0),
            1.2 * (stage == 0),
            0.15 * one,
        ]
    )
    chosen = np.cumsum(weight, axis=0) / weight.sum(axis=0)
    reason = (rng.random(count)[None, :] > chosen).sum(axis=0)
    return np.asarray(np.minimum(reason, len(LOSS_REASONS) - 1))


__all__ = ["CATEGORIES", "LOSS_REASONS", "UNSET", "Life", "Record", "change", "commit_chance", "live"]
