"""Features that know the outcome: found before a model is trusted, refused with a sentence that says why.

Maven's file is the lesson: `account` is missing in none of 6,711 closed deals and in 68 % of open ones, so "account is
missing" alone gives an AUC of .88 for nothing. So values and missingness are tried alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ml.frame import Bools, Floats, Frame

VALUE_AUC = 0.92
MISSING_AUC = 0.80
RATIO_AUC = 0.92
MODEL_AUC = 0.97
FEWEST = 30
LATE_SHARE = 0.5


@dataclass(frozen=True)
class Refusal:
    """One reason not to trust a column or a model. `figure` is what was measured, `bound` what it may not pass."""

    column: str
    check: str
    figure: float
    bound: float
    reason: str


def single_features(frame: Frame, outcome: Floats) -> list[Refusal]:
    """Columns whose values, or whose being missing, alone tell the outcome."""
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
        score = rates(values, outcome) if name in frame.words else values
        known = np.isfinite(score)
        alone = area(score[known], outcome[known])
        if alone > VALUE_AUC:
            reason = f"{name} alone tells the outcome (AUC {alone:.2f}). It is probably written when a deal closes."
            found.append(Refusal(name, "value", alone, VALUE_AUC, reason))
    return found


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
