"""Business that does not exist yet: pace, odds and amounts of new deals, with what past forecasts have been worth."""

from datetime import datetime
from typing import Any

from features.spec import FeatureSet
from registry import verdict
from registry.verdict import Gate
from training import backtest
from training.judge import Tell
from training.trained import Evidence, Trained

PERIODS = 6
"""Quarters of the past that are forecast as known then."""


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
    origins = int(learned.background["n_origins"])
    words = f"bands rest on {origins} past origins in {learned.background['n_periods']} periods"
    return [
        Trained(
            model="arrivals", tier="baseline", text=learned.model.to_text(), feature_set=feature_set, features=(),
            as_of=as_of, loss=0.0, gates=(Gate("past origins", True, words), verdict.enough({}, evidence.present)),
            evidence=evidence, metrics=learned.metrics, calibration={"coverage": learned.background["coverage"], "n": origins},
            data_sha256="", rows=learned.n_won, available=learned.n_won, background=learned.background,
            parameters={"periods": periods}, notes=(words, f"learned from {learned.n_won} won deals"),
        )
    ]  # fmt: skip
