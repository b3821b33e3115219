"""Full states of deals and leads after each change, from the changes alone."""

import numpy as np

from training.simulated.clock import DAY, Array, Clock
from training.simulated.deals import Deals
from training.simulated.dynamics import NEGOTIATION, Columns
from training.simulated.leads import Leads
from training.simulated.pipeline import CATEGORIES, CHANGE, UNSET, Life, change

NEW, WORKING, NURTURING, QUALIFIED, DROPPED, CONVERTED = range(6)
STATUSES = np.array(["new", "working", "nurturing", "qualified", "unqualified", "converted"])


def deal_history(clock: Clock, life: Life) -> Columns:
    """States of deals known by the end, ordered by deal and instant, with `seq` from 1."""
    columns = life.changes.joined()
    known = columns["at"] < clock.end
    columns = {name: column[known] for name, column in columns.items()}
    order = np.lexsort((columns["order"], columns["at"], columns["deal"]))
    columns = {name: column[order] for name, column in columns.items()}
    row = np.arange(order.size)
    for name in CHANGE:
        given = ~np.isnan(columns[name]) if name == "amount" else columns[name] != UNSET
        columns[name] = columns[name][np.maximum.accumulate(np.where(given, row, 0))]
    deal = columns["deal"]
    first = np.r_[True, deal[1:] != deal[:-1]]
    columns["seq"] = row - np.maximum.accumulate(np.where(first, row, 0)) + 1
    columns["first"] = first
    return columns


def last_states(history: Columns) -> Columns:
    """The last row of each deal."""
    last = np.r_[history["deal"][1:] != history["deal"][:-1], True]
    return {name: column[last] for name, column in history.items()}


def prepare_signatures(clock: Clock, deals: Deals, life: Life, rng: np.random.Generator) -> Columns:
    """Bring some open deals one call from won: in negotiation, healthy, due within days; the demo reps get theirs.

    Returns the deals and their owners. It is done on the last working day, so it bends no earlier truth.
    """
    last = last_states(deal_history(clock, life))
    at = clock.end - DAY * (1 + max(0, clock.until.weekday() - 4)) + 8 * 3600
    ready = (last["stage"] == NEGOTIATION) & (last["at"] < at - DAY)
    rows = last["deal"][ready]
    rows = rows[np.argsort(-deals.state["health"][rows], kind="stable")][:12]
    owner = deals.state["rep"][rows].copy()
    for rep in (0, 1):
        missing = max(0, min(2, rows.size // 3) - int((owner == rep).sum()))
        owner[np.flatnonzero(owner > 1)[:missing]] = rep
    moved = owner != deals.state["rep"][rows]
    change(life, rows[moved], np.full(int(moved.sum()), at), 6, owner=owner[moved])
    days = clock.end // DAY + rng.integers(1, 9, rows.size)
    days = days + np.array([0, 0, 0, 0, 0, 2, 1])[(days + 3) % 7]
    change(
        life,
        rows,
        at + 1800 + 60 * np.arange(rows.size),
        7,
        close_day=days,
        category=np.asarray(CATEGORIES.index("commit")),
        final=np.asarray(1),
    )
    return {"deal": rows, "owner": owner}


def lead_history(clock: Clock, leads: Leads) -> Columns:
    """Statuses of leads known by the end, ordered by lead and instant, with `seq` from 1."""
    steps = (
        (leads.at, NEW),
        (leads.response_at, WORKING),
        (leads.nurtured_at, NURTURING),
        (leads.qualified_at, QUALIFIED),
        (leads.unqualified_at, DROPPED),
        (leads.converted_at, CONVERTED),
    )
    count = leads.at.size
    lead = np.tile(np.arange(count), len(steps))
    at = np.concatenate([instants for instants, _ in steps])
    status = np.repeat([status for _, status in steps], count)
    known = (at > 0) & (at < clock.end)
    order = np.lexsort((status[known], at[known], lead[known]))
    lead, at, status = lead[known][order], at[known][order], status[known][order]
    row = np.arange(lead.size)
    first = np.r_[True, lead[1:] != lead[:-1]]
    return {
        "lead": lead,
        "at": at,
        "status": status,
        "seq": row - np.maximum.accumulate(np.where(first, row, 0)) + 1,
    }


def one_of(length: int, *keys: Array) -> Array:
    """A stable choice of 0 … length − 1 by whole numbers: the same deal and stage always say the same."""
    mixed = sum(
        key.astype(np.int64) * factor for key, factor in zip(keys, (7919, 104_729, 15_485), strict=False)
    )
    return np.asarray((mixed // 13) % length)
