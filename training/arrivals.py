"""Business that does not exist yet: pace, odds and amounts of new deals, with what past forecasts have been worth."""

import math
from datetime import datetime
from typing import Any

from features.spec import FeatureSet
from ml.estimator import load
from registry import verdict
from registry.verdict import Gate
from training import backtest, judge
from training.judge import Tell
from training.trained import Evidence, Trained

PERIODS = 6
"""Quarters of the past that are forecast as known then."""


NO_LATER = "its bands are tuned on all past periods, as the champion's were: there is none that the champion has not learned from"


async def learn(
    fetch: Any,
    feature_set: FeatureSet,
    as_of: datetime,
    *,
    without: tuple[str, ...] = (),
    periods: int = PERIODS,
    evidence: Evidence,
    tell: Tell | None = None,
    **options: Any,
) -> list[Trained]:
    """One candidate. It may serve from the first deals on; below four past origins its bands say that they are guesses."""
    learned = await backtest.learn_arrivals(
        fetch, feature_set, as_of, periods=periods, without=without, tell=tell, **options
    )
    origins, seen = int(learned.background["n_origins"]), int(learned.background["n_periods"])
    words = f"bands rest on {origins} past origins in {seen} periods"
    text = learned.model.to_text()
    gates = (
        Gate("past origins", True, words),
        _bands(learned.background["coverage"].get("company"), seen),
        Gate("not worse than the champion", True, NO_LATER),
        verdict.available([]),
        verdict.fast(judge.slowest(lambda _: load(text), 1, 10)),
        verdict.enough({}, evidence.present),
    )
    return [
        Trained(
            model="arrivals", tier="baseline", text=text, feature_set=feature_set, features=(),
            as_of=as_of, loss=0.0, gates=gates,
            evidence=evidence, metrics=learned.metrics, calibration={"coverage": learned.background["coverage"], "n": origins},
            data_sha256="", rows=learned.n_won, available=learned.n_won, background=learned.background,
            parameters={"periods": periods}, notes=(words, f"learned from {learned.n_won} won deals"),
        )
    ]  # fmt: skip


def _bands(share: float | None, periods: int) -> Gate:
    """How often the company's band held, with Wilson's interval over periods: origins within one share its luck."""
    if share is None or not periods:
        return verdict.covers(None, 0.0, 1.0, 0, "past periods")
    z = 1.96
    middle = (share + z * z / (2 * periods)) / (1 + z * z / periods)
    half = z * math.sqrt(share * (1 - share) / periods + (z / (2 * periods)) ** 2) / (1 + z * z / periods)
    return verdict.covers(share, middle - half, middle + half, periods, "past periods' results")
