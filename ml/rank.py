"""Ranking: fusing lists, feeding a dense search back from its first results, and judging a ranking.

The two lists of a hybrid search have scores of different kinds, so they are fused by rank alone (reciprocal rank
fusion, Cormack et al. 2009). Feedback moves the query's vector towards the mean of the first fused results (Rocchio
1971, on dense vectors) and searches once more.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Key = TypeVar("Key", bound=Hashable)

K1, B = 1.2, 0.75
"""BM25's saturation of a term's frequency, and how much a long text is held against it."""
CONSTANT = 10
"""Of reciprocal rank fusion: the smaller, the more the very first places count. 60 is usual; 10 was better on half of
Cranfield's queries, as were the lexical list's weight and the feedback's depth and weight below."""
LEXICAL_WEIGHT = 0.7
FEEDBACK_DEPTH, FEEDBACK_WEIGHT = 3, 1.5


def fuse(lists: Iterable[tuple[Sequence[Key], float]], constant: int = CONSTANT) -> dict[Key, float]:
    """Key → score, best first: Σ weight / (constant + rank), rank from 1. Ties keep the order of first mention."""
    scores: dict[Key, float] = {}
    for keys, weight in lists:
        for rank, key in enumerate(keys, 1):
            scores[key] = scores.get(key, 0.0) + weight / (constant + rank)
    return dict(sorted(scores.items(), key=lambda item: -item[1]))


def feed_back(query: Floats, relevant: Floats, weight: float) -> Floats:
    """The query moved towards the mean of `relevant` (rows), at length 1; unchanged when there are none."""
    if len(relevant) == 0:
        return query
    moved = query + np.float32(weight) * relevant.mean(axis=0)
    return np.asarray(moved / np.linalg.norm(moved), dtype=np.float32)


def idf(documents: int, total: int) -> float:
    """The weight of a term that stands in `documents` of `total` texts (Robertson & Zaragoza 2009), never negative."""
    return math.log(1 + (total - documents + 0.5) / (documents + 0.5))


def ndcg(ranked: Sequence[Key], grades: Mapping[Key, float], depth: int = 10) -> float:
    """Normalised discounted cumulative gain at `depth`; 0 where nothing is relevant."""
    gained = sum(grades.get(key, 0.0) / math.log2(place + 1) for place, key in enumerate(ranked[:depth], 1))
    best = sorted(grades.values(), reverse=True)[:depth]
    ideal = sum(grade / math.log2(place + 1) for place, grade in enumerate(best, 1))
    return gained / ideal if ideal else 0.0


def recall(ranked: Sequence[Key], grades: Mapping[Key, float], depth: int = 100) -> float:
    """The share of the relevant ones within `depth`; 0 where nothing is relevant."""
    relevant = {key for key, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranked[:depth])) / len(relevant) if relevant else 0.0


def paired_interval(
    differences: npt.NDArray[np.float64], seed: int = 0, rounds: int = 2000
) -> tuple[float, float, float]:
    """Mean of paired differences with its 95 % bootstrap interval, over queries."""
    draws = np.random.default_rng(seed).integers(0, len(differences), size=(rounds, len(differences)))
    low, high = np.quantile(differences[draws].mean(axis=1), (0.025, 0.975))
    return float(differences.mean()), float(low), float(high)
