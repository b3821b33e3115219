"""Gates beside the champion, for each kind of model: on later rows only, whole and by segment, each with words."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from features.catalogue import SETS
from features.labels import Fates
from ml.frame import Frame
from ml.lead import LeadModel, LeadPanel
from registry import verdict
from registry.bundle import Bundle, Manifest
from training import judge, lead
from training.dataset import LeadSet
from training.trained import Evidence

LAST = 20_400.0


def gate_of(gates, name):
    (found,) = [gate for gate in gates if gate.name == name]
    return found


@pytest.mark.parametrize(
    ("ours", "theirs", "passed", "words"),
    [
        (0.50, 0.50, (True, True), "+0.0000"),
        (0.60, 0.50, (False, False), "+0.1000"),
        (0.40, 0.50, (True, True), "-0.1000"),
        (0.50, np.nan, (True, True), "no champion with later rows"),
    ],
)
def test_beside_the_champion(ours, theirs, passed, words):
    n = 400
    noise = np.random.default_rng(1).normal(0, 0.001, n)
    gates = judge.beside(
        np.full(n, ours) + noise, np.full(n, theirs), np.arange(n), {"stage": np.array(["proposal"] * n)}
    )
    assert tuple(gate.passed for gate in gates) == passed
    assert words in gates[1].words


def test_one_segment_that_is_worse_refuses_what_is_better_over_all():
    n = 1_000
    segment = np.where(np.arange(n) < 100, "enterprise", "smb")
    ours = np.where(segment == "enterprise", 0.7, 0.3)
    worst, over_all = judge.beside(ours, np.full(n, 0.5), np.arange(n), {"segment": segment})
    assert over_all.passed
    assert not worst.passed
    assert worst.words.startswith(
        "worst segment segment enterprise: log loss +0.2000 beside the champion's (n = 100)"
    )
    few = judge.beside(ours[60:], np.full(n - 60, 0.5), np.arange(n - 60), {"segment": segment[60:]})
    assert few[0].passed, "forty rows are too few to say so"


@pytest.mark.parametrize(
    ("share", "low", "high", "passed"),
    [(0.8, 0.7, 0.9, True), (0.4, 0.3, 0.59, False), (1.0, 0.98, 1.0, False), (None, 0.0, 0.0, True)],
)
def test_bands_hold_as_often_as_they_say(share, low, high, passed):
    gate = verdict.covers(share, low, high, 80, "later amounts")
    assert gate.passed is passed
    assert ("of 80 later amounts lay between P10 and P90" in gate.words) is (share is not None)


def leads():
    """Leads of which the busy ones convert more often."""
    random, n = np.random.default_rng(6), 4_000
    activities = random.integers(0, 6, n).astype(np.float64)
    at = np.sort(random.uniform(20_000, LAST, n))
    days = np.where(random.uniform(size=n) < 0.1 + 0.1 * activities, random.uniform(0, 90, n), np.inf)
    return activities, at, at + days


def lead_set():
    activities, at, converted = leads()
    known = np.where(converted <= LAST, converted, np.inf)
    frame = Frame.of({"lead_activities_28d": activities})
    panel = LeadPanel(np.arange(len(at)), at, frame, known, LAST)
    came = np.where(np.isfinite(known), known * 86_400e6, np.nan)
    return LeadSet(
        panel=panel, frame=pl.DataFrame({"lead_activities_28d": activities}), sha256="0" * 64, available=len(at),
        fates=Fates(np.where(np.isfinite(came), "converted", "new"), np.where(np.isfinite(came), came, 0.0), np.full(len(at), np.nan)),
    )  # fmt: skip


def serving(model, features, until):
    manifest = Manifest(
        model="lead", version=3, tier="logistic", feature_set="lead_convert", features=features, training_as_of=until,
        fingerprint=SETS["lead_convert"].fingerprint, created_at=until,
    )  # fmt: skip
    return Bundle(manifest, model.to_text())


def test_leads_are_held_to_their_champion_on_rows_that_it_has_not_learned_from():
    found = lead_set()
    day = datetime(1970, 1, 1, tzinfo=UTC)
    early = found.panel.known_by(20_120.0)
    good = LeadModel(tier="logistic").fit(early)
    met = Evidence({}, {})
    for champion, is_worse in (
        (serving(good, ("lead_activities_28d",), day + timedelta(days=20_120)), True),
        (serving(good, ("lead_activities_28d",), day + timedelta(days=LAST)), False),
        (serving(good, ("lead_activities_28d", "lead_has_phone"), day + timedelta(days=20_120)), False),
        (None, False),
    ):
        candidates = lead.learn(
            found,
            SETS["lead_convert"],
            day + timedelta(days=LAST),
            evidence=met,
            champion=champion,
            workers=1,
        )
        constant = next(one for one in candidates if one.tier == "baseline")
        names = [gate.name for gate in constant.gates]
        assert {
            "calibration", "no leak", "no worse segment", "not worse than the champion", "available online", "latency",
            "plausible", "enough data", "better than the tier below",
        } == set(names)  # fmt: skip
        gate = gate_of(constant.gates, "not worse than the champion")
        assert gate.passed is not is_worse, gate.words
        assert ("later rows" in gate.words) is True
        assert gate_of(constant.gates, "available online").passed


def test_what_is_not_to_be_had_online_is_named():
    missing, fast = judge.online(("stage", "shoe_size"), SETS["deal_win"], lambda row: None, 3)
    assert (missing.passed, missing.words) == (False, "not to be had online: shoe_size")
    assert (fast.passed, fast.name) == (True, "latency")
    assert judge.online(("stage",), SETS["deal_win"], lambda row: None, 3)[0].passed
