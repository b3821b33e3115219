"""The leak guard over a training set: which features know more than one could know then, each with the reason.

Three questions, before anything learns: when did the columns behind a feature get their values (at the close?), does one
feature alone, by its value or by being missing, tell the outcome, and does the change of the amount tell it.
"""

from dataclasses import dataclass

import numpy as np

from features.facts import Array
from features.spec import FeatureSet
from ml import leak
from ml.frame import Frame
from ml.leak import Refusal
from training.dataset import DealSet
from training.states import DAY

PARENTS = {"account_id": "account"}
"""Column of a deal → the entity whose features come with it."""


def refused(found: DealSet, feature_set: FeatureSet) -> list[Refusal]:
    """One refusal for each feature that may not be learned from; `column` is the feature's name."""
    late = leak.filled_at_close(
        {name: at / DAY for name, at in found.filled_at.items()}, found.fates.closed_at / DAY
    )
    by_column = [
        Refusal(name, one.check, one.figure, one.bound, f"{name} reads {one.column}. {one.reason}")
        for one in late
        for name in behind(one.column, feature_set)
    ]
    rows = middle_look(found)
    outcome = found.fates.is_won[found.panel.deal[rows]].astype(np.float64)
    looks, stage = found.panel.frame.take(rows), found.panel.stage[rows].astype(np.float64)
    alone = leak.single_features(looks, outcome, stage)
    first = [*by_column, *alone, *_amounts(found, feature_set, rows, outcome)]
    known_names = [one.column for one in first if one.column in looks.columns and one.check == "value"]
    return unique([*first, *leak.doubles(looks, known_names)])


@dataclass(frozen=True)
class Looks:
    """Any table of looks at things that end: columns of whatever meaning, and for each row whom it is of, when it was, the
    outcome at last (1 or 0) and when it ended (days; NaN while open). `peers`: codes such as the stage."""

    frame: Frame
    entity: Array
    at: Array
    outcome: Array
    ended_at: Array
    peers: Array | None = None


def inspected(looks: Looks) -> list[Refusal]:
    """The columns of any table that know more than one could know then, whatever they are called.

    Values and missingness at each thing's middle look; columns that get their value at the end; columns whose change since
    the first look tells the outcome; and doubles of those.
    """
    ended = np.flatnonzero(np.isfinite(looks.ended_at) & (looks.at <= looks.ended_at))
    order = ended[np.lexsort((looks.at[ended], looks.entity[ended]))]
    _, first, count = np.unique(looks.entity[order], return_index=True, return_counts=True)
    middle, earliest = order[first + count // 2], order[first]
    peers = None if looks.peers is None else looks.peers[middle].astype(np.float64)
    outcome = looks.outcome[middle]
    found = _late(looks, order, first, looks.ended_at[earliest])
    found += leak.single_features(looks.frame.take(middle), outcome, peers)
    several = count > 1
    for name in (one for one in looks.frame.columns if one not in looks.frame.words):
        column = looks.frame.column(name)
        now, then = column[middle[several]], column[earliest[several]]
        if np.nanmin(column, initial=np.inf) > 0:  # of amounts; what may be 0 has no ratio
            found += leak.ratio_to_earlier(name, now, then, outcome[several])
    kept = unique(found)
    told = [one.column for one in kept if one.check in ("value", "missingness", "ratio")]
    return unique([*kept, *leak.doubles(looks.frame.take(middle), told)])


def _late(looks: Looks, order: Array, first: Array, ended_at: Array) -> list[Refusal]:
    """Columns that get their first value at the last look before the end, of things that were looked at before that."""
    group = np.searchsorted(first, np.arange(len(order)), side="right") - 1
    steps = np.diff(looks.at[order])[np.diff(group) == 0]
    step = max(1.0, float(np.median(steps))) if len(steps) else 1.0
    has_time = looks.at[order[first]] < ended_at - step
    found = {}
    for name in looks.frame.columns:
        known = np.isfinite(looks.frame.column(name)[order])
        at = np.full(len(first), np.inf)
        np.minimum.at(at, group[known], looks.at[order[known]])
        found[name] = np.where(np.isfinite(at) & has_time, at, np.nan)
    return leak.filled_at_close(found, ended_at, step)


def behind(column: str, feature_set: FeatureSet) -> tuple[str, ...]:
    """The features that read a column of deals, or come from what it points to."""
    if column in feature_set.declared:
        return (column,)
    entity = PARENTS.get(column)
    return tuple(
        f.name
        for f in feature_set.features
        if f.entity == entity
        or (f.entity == feature_set.entity and column in f.columns and not _of_list(f.columns))
    )


def _of_list(columns: frozenset[str]) -> bool:
    """Whether a definition reads a list, such as activities: its `type` is not the deal's."""
    return any(name.startswith("deal_") for name in columns)


def middle_look(found: DealSet) -> Array:
    """The middle landmark of each closed deal: at the last one an honest column may nearly tell the outcome (the last
    stage does), and there would be no deal that is not about to close."""
    closed = np.flatnonzero(np.isfinite(found.row_closed_at))
    order = closed[np.lexsort((found.panel.at[closed], found.panel.deal[closed]))]
    _, first, count = np.unique(found.panel.deal[order], return_index=True, return_counts=True)
    rows: Array = order[first + count // 2] if len(order) else order
    return rows


def _amounts(found: DealSet, feature_set: FeatureSet, rows: Array, outcome: Array) -> list[Refusal]:
    first = np.full(len(found.deals), np.nan)
    order = np.argsort(-found.panel.at, kind="stable")
    first[found.panel.deal[order]] = found.amount[order]
    late = leak.ratio_to_earlier("amount", found.amount[rows], first[found.panel.deal[rows]], outcome)
    return [
        Refusal(name, one.check, one.figure, one.bound, f"{name} reads amount. {one.reason}")
        for one in late
        for name in behind("amount", feature_set)
    ]


def unique(found: list[Refusal]) -> list[Refusal]:
    """The first refusal of each feature."""
    kept: dict[str, Refusal] = {}
    for one in found:
        kept.setdefault(one.column, one)
    return list(kept.values())
