"""The leak guard over a training set: which features know more than one could know then, each with the reason.

Three questions, before anything learns: when did the columns behind a feature get their values (at the close?), does one
feature alone, by its value or by being missing, tell the outcome, and does the change of the amount tell it.
"""

import numpy as np

from features.facts import Array
from features.spec import FeatureSet
from ml import leak
from ml.leak import Refusal
from training.dataset import DealSet
from training.labels import DAY

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
    outcome = found.fates.won[found.panel.deal[rows]].astype(np.float64)
    alone = leak.single_features(found.panel.frame.take(rows), outcome)
    return unique([*by_column, *alone, *_amounts(found, feature_set, rows, outcome)])


def behind(column: str, feature_set: FeatureSet) -> tuple[str, ...]:
    """The features that read a column of deals, or come from what it points to."""
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
