"""Whether a trained version may serve: each gate with its words, so that a refusal can be read.

A model is refused for a calibration error whose whole 95 % interval lies above .05, a rolling log loss that is not
better than that of the tier below, a leak, an AUC on later deals that is too good to be true, or a segment that is
worse than the champion's beyond a stated bound.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

MOST_ECE = 0.05
SUSPICIOUS_AUC = 0.97
WORST_SEGMENT = 0.05
"""By how much the log loss of a segment may exceed the champion's on the same rows."""
WORST_SEGMENT_OF_AMOUNTS = 0.02
"""The same of the quantile loss of log final / current amount: 0.02 is about 4 % of an amount."""
LEAST_INSIDE, MOST_INSIDE = 0.6, 0.97
"""The share of what came inside a band from P10 to P90 must not lie beyond these for more than chance."""
MOST_MILLISECONDS = 200.0
"""The longest that one row may take, features in hand."""
REQUIRED_DEALS = {"closed_won": 100, "closed_lost": 100, "months_of_history": 6, "stage_history_share": 0.5}
REQUIRED_LEADS = {"converted": 100, "not_converted": 100, "months_of_history": 6}
REQUIRED_AMOUNTS = {"closed_won": 100}
"""The data that a tier above the baseline needs before it is worth asking."""


class Gate(msgspec.Struct, frozen=True):
    """One rule's answer. `words` says what was found, whether it passed or not."""

    name: str
    passed: bool
    words: str


class Verdict(msgspec.Struct, frozen=True):
    """All gates. `is_publishable` is what `promote` asks."""

    gates: tuple[Gate, ...]

    @property
    def is_publishable(self) -> bool:
        return all(gate.passed for gate in self.gates)

    def document(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "is_publishable": self.is_publishable,
            "gates": [msgspec.to_builtins(gate) for gate in self.gates],
        }


def calibration(ece: float, low: float, high: float, n: int) -> Gate:
    """The calibration error with its 95 % interval."""
    found = f"calibration error {ece:.3f} [{low:.3f}, {high:.3f}] on {n} later rows; the limit is {MOST_ECE}"
    return Gate("calibration", low <= MOST_ECE, found)


def better_than_below(loss: float, below: float | None, tier: str, tier_below: str, n: int) -> Gate:
    """The rolling log loss beside that of the simpler tier, on the same rows."""
    if below is None:
        return Gate("better than the tier below", True, f"{tier} is the simplest tier there is")
    words = f"rolling log loss {loss:.4f} against {below:.4f} of {tier_below} on the same {n} rows"
    return Gate("better than the tier below", loss < below, words)


def no_leak(refused: Sequence[str]) -> Gate:
    """What the leak guard refused and why; the columns themselves are left out of the model before it learns."""
    if not refused:
        return Gate("no leak", True, "no feature of the model knows more than one could know then")
    return Gate("no leak", False, "; ".join(refused))


def plausible(auc: float | None, n: int) -> Gate:
    """An AUC near 1 on later deals means that something knows the outcome."""
    if auc is None:
        return Gate("plausible", True, f"AUC is not defined on {n} later rows")
    return Gate(
        "plausible",
        auc <= SUSPICIOUS_AUC,
        f"AUC {auc:.3f} on {n} later rows; above {SUSPICIOUS_AUC} is a leak",
    )


def no_worse_segment(
    differences: Mapping[str, float],
    n: Mapping[str, int],
    what: str = "log loss",
    bound: float = WORST_SEGMENT,
) -> Gate:
    """Per segment, the loss minus the champion's on the same rows."""
    if not differences:
        return Gate("no worse segment", True, "there is no champion with later rows to compare with")
    worst = max(differences, key=lambda name: differences[name])
    words = (
        f"worst segment {worst}: {what} {differences[worst]:+.4f} beside the champion's (n = {n.get(worst, 0)});"
        f" the limit is {bound:+g}"
    )
    return Gate("no worse segment", differences[worst] <= bound, words)


def not_worse_than_champion(
    gap: float | None, low: float, high: float, n: int, what: str = "log loss"
) -> Gate:
    """The loss less the champion's on the same later rows, which the champion has not learned from."""
    if gap is None:
        return Gate(
            "not worse than the champion", True, "there is no champion with later rows to compare with"
        )
    words = f"{what} {gap:+.4f} [{low:+.4f}, {high:+.4f}] beside the champion's on the same {n} later rows"
    return Gate("not worse than the champion", low <= 0, words)


def covers(share: float | None, low: float, high: float, n: int, what: str) -> Gate:
    """How often what came lay inside the band from P10 to P90, with its 95 % interval."""
    if share is None or not n:
        return Gate("calibration", True, "there is no later time to judge on yet")
    words = (
        f"{share:.0%} [{low:.0%}, {high:.0%}] of {n} {what} lay between P10 and P90;"
        f" the limits are {LEAST_INSIDE:.0%} and {MOST_INSIDE:.0%}"
    )
    return Gate("calibration", bool(high >= LEAST_INSIDE and low <= MOST_INSIDE), words)


def available(missing: Sequence[str]) -> Gate:
    """Whether all that the model reads can be had online."""
    if not missing:
        return Gate("available online", True, "every feature that it reads is in the online store's set")
    return Gate("available online", False, f"not to be had online: {', '.join(missing[:5])}")


def fast(milliseconds: float) -> Gate:
    """How long one deal takes, features in hand: the slowest of a hundred."""
    words = f"one row takes {milliseconds:.1f} ms at most; the limit is {MOST_MILLISECONDS:g}"
    return Gate("latency", milliseconds <= MOST_MILLISECONDS, words)


def enough(required: Mapping[str, float], present: Mapping[str, float]) -> Gate:
    """The data that a tier needs beside the data that is there."""
    missing = [
        f"{name} {present.get(name, 0):g} of {need:g}"
        for name, need in required.items()
        if present.get(name, 0) < need
    ]
    return Gate(
        "enough data", not missing, "; ".join(missing) if missing else "all that the tier needs is there"
    )
