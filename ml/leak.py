"""Features that know the outcome: found before a model is trusted, refused with a sentence that says why.

Maven's file is the lesson: `account` is missing in none of 6,711 closed deals and in 68 % of open ones, so "account is
missing" alone gives an AUC of .88 for nothing. So values and missingness are tried alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml.frame import Bools, Floats, Frame

VALUE_AUC = 0.92
PEER_AUC = 0.88
"""Among deals of one stage: there even the best honest column tells far less than over all."""
MISSING_AUC = 0.80
RATIO_AUC = 0.92
MODEL_AUC = 0.97
FEWEST = 30
BANDS = 12
"""Equal parts of a number's range, for what tells the outcome without rising or falling with it."""
SAME = 0.98
"""Rank correlation from which a column is another one's double."""
LATE_SHARE = 0.5


@dataclass(frozen=True)
class Refusal:
    """One reason not to trust a column or a model. `figure` is what was measured, `bound` what it may not pass."""

    column: str
    check: str
    figure: float
    bound: float
    reason: str


def single_features(frame: Frame, outcome: Floats, peers: Floats | None = None) -> list[Refusal]:
    """Columns whose values, or whose being missing, alone tell the outcome. `peers` are codes of what each row may be
    compared with, such as its stage: a column that stands for the outcome tells it there too, an honest one hardly."""
    found = []
    for name in frame.columns:
        values = frame.column(name)
        unknown = ~np.isfinite(values)
        missing = area(unknown.astype(np.float64), outcome)
        if missing > MISSING_AUC:
            reason = (
                f"Whether {name} is filled in tells the outcome almost alone (AUC {missing:.2f}; it is missing in"
                f" {_share(unknown, outcome > 0)} of wins and {_share(unknown, outcome == 0)} of the others)."
                " It is probably filled in when a deal closes."
            )
            found.append(Refusal(name, "missingness", missing, MISSING_AUC, reason))
        known = ~unknown
        by_word = rates(values[known] if name in frame.words else bands(values[known]), outcome[known])
        scores = [by_word] if name in frame.words else [values[known], by_word]
        alone = max(area(score, outcome[known]) for score in scores)
        if alone > VALUE_AUC:
            reason = f"{name} alone tells the outcome (AUC {alone:.2f}). It is probably written when a deal closes."
            found.append(Refusal(name, "value", alone, VALUE_AUC, reason))
        elif peers is not None:
            among = max(area_among(score, outcome[known], peers[known]) for score in scores)
            if among > PEER_AUC:
                reason = f"Among its peers {name} tells the outcome (AUC {among:.2f}). It stands for what became of the deal."
                found.append(Refusal(name, "proxy", among, PEER_AUC, reason))
    return found


def doubles(frame: Frame, refused: Sequence[str]) -> list[Refusal]:
    """Columns that say the same as a refused one in other words: a scaled, shifted or ranked copy."""
    found = []
    numbers = [name for name in frame.columns if name not in frame.words]
    for name in (one for one in numbers if one not in refused):
        for other in (one for one in refused if one in numbers):
            alike = _rank_correlation(frame.column(name), frame.column(other))
            if alike > SAME:
                reason = f"{name} says the same as {other}, which was refused (rank correlation {alike:.3f})."
                found.append(Refusal(name, "proxy", alike, SAME, reason))
                break
    return found


def _rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's, without its sign, over rows where both are known."""
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < FEWEST:
        return 0.0
    spread = [float(np.std(column[known])) for column in (one, other)]
    if min(spread) == 0:
        return 0.0
    mine, its = (np.argsort(np.argsort(c[known], kind="stable"), kind="stable") for c in (one, other))
    middle = (known.sum() - 1) / 2
    return abs(float(np.sum((mine - middle) * (its - middle)) / np.sum((mine - middle) ** 2)))


def ratio_to_earlier(name: str, current: Floats, earlier: Floats, outcome: Floats) -> list[Refusal]:
    """A column whose change since an earlier look tells the outcome: final / former amount, where only wins are
    discounted, is an AUC of 1."""
    usable = np.isfinite(current) & np.isfinite(earlier) & (earlier != 0)
    alone = area(current[usable] / earlier[usable], outcome[usable])
    if alone <= RATIO_AUC:
        return []
    reason = (
        f"How {name} has changed since it was last looked at tells the outcome (AUC {alone:.2f})."
        " It holds what became known at the close."
    )
    return [Refusal(name, "ratio", alone, RATIO_AUC, reason)]


def filled_at_close(filled_at: Mapping[str, Floats], closed_at: Floats, days: float = 1.0) -> list[Refusal]:
    """Columns that mostly got their value when the deal closed. Instants in days; NaN where never filled."""
    found = []
    for name, instants in filled_at.items():
        known = np.isfinite(instants) & np.isfinite(closed_at)
        if known.sum() < FEWEST:
            continue
        late = float(np.mean(instants[known] >= closed_at[known] - days))
        if late > LATE_SHARE:
            share = f"{late:.0%} of closed deals"
            reason = f"{name} got its value at the close or after it in {share}, so it knows the outcome."
            found.append(Refusal(name, "availability", late, LATE_SHARE, reason))
    return found


def too_good(chance: Floats, outcome: Floats, what: str = "The model") -> list[Refusal]:
    """A model that is better on later deals than anybody could be."""
    measured = area(chance, outcome)
    if measured <= MODEL_AUC:
        return []
    reason = (
        f"{what} tells later wins from losses with an AUC of {measured:.3f}. Nobody can; one of its features knows the"
        " outcome."
    )
    return [Refusal("", "model", measured, MODEL_AUC, reason)]


def area(score: Floats, outcome: Floats) -> float:
    """AUC in the better direction; .5 where there are too few of either outcome to say."""
    hits = int(np.sum(outcome > 0))
    if min(hits, len(outcome) - hits) < FEWEST:
        return 0.5
    _, tie, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[tie.reshape(-1)]
    won = float(rank[outcome > 0].sum()) - hits * (hits + 1) / 2
    value = won / (hits * (len(outcome) - hits))
    return max(value, 1 - value)


def area_among(score: Floats, outcome: Floats, peers: Floats) -> float:
    """The AUC among rows of the same peers, pairs counted together; .5 where there are too few to say."""
    total = pairs = 0.0
    hits = misses = 0
    for peer in np.unique(peers[np.isfinite(peers)]):
        here = peers == peer
        won = int(np.sum(outcome[here] > 0))
        lost = int(here.sum()) - won
        if won and lost:
            _, tie, count = np.unique(score[here], return_inverse=True, return_counts=True)
            rank = (np.cumsum(count) - (count - 1) / 2)[tie.reshape(-1)]
            total += float(rank[outcome[here] > 0].sum()) - won * (won + 1) / 2
            pairs, hits, misses = pairs + won * lost, hits + won, misses + lost
    if min(hits, misses) < FEWEST:
        return 0.5
    return max(total / pairs, 1 - total / pairs)


def bands(values: Floats) -> Floats:
    """Numbers as codes of equal parts; values that are often there have one of their own."""
    levels = np.unique(values)
    if len(levels) <= BANDS:
        return np.searchsorted(levels, values).astype(np.float64)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BANDS + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right").astype(np.float64)


def rates(codes: Floats, outcome: Floats) -> Floats:
    """A category as the win rate of its words, each half of the rows by the rates of the other half."""
    scored = np.full(len(codes), np.nan)
    half = np.arange(len(codes)) % 2 == 0
    for mine, others in ((half, ~half), (~half, half)):
        for code in np.unique(codes[np.isfinite(codes)]):
            there = others & (codes == code)
            scored[mine & (codes == code)] = (outcome[there].sum() + outcome.mean() * 5) / (there.sum() + 5)
    return scored


def _share(mask: Bools, among: Bools) -> str:
    return f"{float(np.mean(mask[among])):.0%}" if among.any() else "none"
