"""One contract for every estimator there is: found in the package, not listed by hand."""

import importlib
import pkgutil
from dataclasses import fields

import numpy as np
import pytest

import ml
from ml.amount import AmountModel
from ml.arrivals import Ahead, Arrivals
from ml.calibrate import Calibration
from ml.estimator import Classifier, Estimator, load
from ml.frame import Frame
from ml.lead import LeadModel
from ml.odds import StageOdds
from ml.win import WinModel
from tests.ml import companies
from tests.ml.test_arrivals import NOW, planted

ARRIVED = planted(1)
PARTS = {"odds.Table", "rolling.Roller", "estimator.Classifier"}
"""Made by an estimator and never fitted by themselves; they are tried inside it."""
BY_TIER = (WinModel, LeadModel, AmountModel, StageOdds)
TIERS = {AmountModel: ("baseline", "gbm")}


def everyone():
    for module in pkgutil.iter_modules(ml.__path__, "ml."):
        importlib.import_module(module.name)
    found, waiting = [], [Estimator]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if kind is not Estimator and kind.__module__.startswith("ml.") and kind.kind() not in PARTS:
            found.append(kind)
    return sorted(found, key=lambda kind: kind.kind())


def cases():
    for kind in everyone():
        for tier in TIERS.get(kind, ("baseline", "logistic", "gbm")) if kind in BY_TIER else (None,):
            yield pytest.param(kind, tier, id=f"{kind.kind()}-{tier or 'only'}")


class Trial:
    """How one estimator is made, taught and asked, whatever it learns."""

    def __init__(self, kind, tier):
        self.kind, self.tier = kind, tier

    def make(self):
        given = {"tier": self.tier} if self.tier else {}
        names = {f.name for f in fields(self.kind)}
        if self.kind in (WinModel, StageOdds):
            given["stages"] = companies.STAGES
        if "segment" in names:
            given["segment"] = "segment"
        if self.kind.kind() == "baseline.BetaBinomial":
            given["by"] = ("segment",)
        return self.kind(**given)

    def fit(self, mix=lambda frame: frame, seed=0):
        model = self.make()
        if self.kind in (WinModel, StageOdds):
            panel = companies.deals(160, 44, seed)
            return model.fit(type(panel)(*panel_parts(panel, mix)))
        if self.kind is Arrivals:
            return model.fit(ARRIVED, NOW)
        if self.kind is LeadModel:
            panel = companies.leads(700, seed)
            return model.fit(
                type(panel)(panel.lead, panel.at, mix(panel.frame), panel.converted_at, panel.known_to)
            )
        frame, outcome, chance = companies.rows(700, seed)
        if self.kind is AmountModel:
            return model.fit(mix(frame), 0.6 + chance * outcome)
        return model.fit(chance, outcome) if self.kind is Calibration else model.fit(mix(frame), outcome)

    def ask(self, model, mix=lambda frame: frame, blank=None):
        if self.kind in (WinModel, StageOdds):
            panel = companies.deals(60, 40, 9)
            frame = mix(blanked(panel.frame, blank))
            if self.kind is StageOdds:
                return model.now(frame, panel.stage)
            return model.curves(frame, panel.stage, panel.at).won
        if self.kind is Arrivals:
            return model.wins_per_pace(Ahead(np.array([30.0, 91.0]), 2.0))[0]
        if self.kind is LeadModel:
            return model.probabilities(mix(blanked(companies.leads(100, 9).frame, blank)))
        frame, _, chance = companies.rows(100, 9)
        if self.kind is AmountModel:
            return model.ratios(mix(blanked(frame, blank)))
        return (
            model.apply(chance) if self.kind is Calibration else model.probability(mix(blanked(frame, blank)))
        )


def panel_parts(panel, mix):
    return panel.deal, panel.at, panel.stage, mix(panel.frame), panel.outcome, panel.known_to


def blanked(frame, blank):
    return frame if blank is None else frame.replaced(dict.fromkeys(blank, np.nan))


def backwards(frame):
    """The columns in reverse order, and the words of each category too."""
    return frame.only(frame.columns[::-1], {name: of[::-1] for name, of in frame.words.items()})


def reordered(frame):
    return frame.only(frame.columns[::-1])


def test_everyone_is_found():
    assert {"win.WinModel", "lead.LeadModel", "logistic.Logistic", "gbm.Gbm"} <= {
        kind.kind() for kind in everyone()
    }


@pytest.mark.parametrize(("kind", "tier"), list(cases()))
def test_contract(kind, tier):
    trial = Trial(kind, tier)
    made = trial.make()
    assert not made.is_fitted, "making an estimator stores parameters and nothing else"
    assert all(f.name.endswith("_") != f.init for f in fields(kind)), (
        "learned state, and only that, ends in _"
    )
    model = trial.fit()
    answer = trial.ask(model)
    assert model.is_fitted
    assert np.isfinite(answer).all()
    assert np.array_equal(answer, trial.ask(trial.fit())), "the same seed learns the same"
    assert np.array_equal(answer, trial.ask(load(model.to_text()))), "what is written is what is read"
    assert load(model.to_text()).to_text() == model.to_text()
    assert np.array_equal(answer, trial.ask(model, backwards)), "columns and categories are matched by name"
    assert np.allclose(answer, trial.ask(trial.fit(reordered)), atol=1e-12), (
        "the order of columns teaches nothing"
    )
    assert np.isfinite(trial.ask(model, blank=blank_columns(kind))).all(), "missing values survive"
    assert made.parameters() == model.parameters()


def blank_columns(kind):
    if kind in (WinModel, StageOdds):
        return ("age_weeks", "weeks_in_stage", "week_of_quarter", "skill", "activities", "segment")
    return ("x", "segment", "z")


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", ["logistic.Logistic", "gbm.Gbm"])
def test_monotone_where_promised(name, sign):
    kind = next(kind for kind in everyone() if kind.kind() == name)
    frame, outcome, _ = companies.rows(600)
    model = kind(monotone={"z": sign, "x": sign}).fit(frame, outcome)
    line = np.linspace(-3, 3, 60)
    for column in ("x", "z"):
        asked = Frame.of(
            {"x": np.zeros(60), "z": np.zeros(60), "segment": np.ones(60)} | {column: line}, frame.words
        )
        assert (sign * np.diff(model.probability(asked)) >= -1e-12).all()


def test_a_classifier_that_learns_without_promise_bends():
    """The test above can fail: without the promise the trees do not rise everywhere."""
    frame, outcome, _ = companies.rows(600)
    kind = next(kind for kind in everyone() if kind.kind() == "gbm.Gbm")
    model = kind(rate=0.3).fit(frame, outcome)
    line = np.linspace(-3, 3, 200)
    asked = Frame.of({"x": np.zeros(200), "segment": np.ones(200), "z": line}, frame.words)
    assert (np.diff(model.probability(asked)) < 0).any()
    assert (np.diff(model.probability(asked)) > 0).any()


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"format": 1, "estimator": "os.system", "parameters": {}, "state": {}}',
     '{"format": 1, "estimator": "embed.np", "parameters": {}, "state": {}}',
     '{"format": 1, "estimator": "baseline.Constant", "parameters": {}, "state": {"surprise_": 1}}'],
)  # fmt: skip
def test_what_is_no_model_is_refused_with_a_sentence(text):
    with pytest.raises(ValueError, match=r"model|estimator|know"):
        load(text)


def test_a_classifier_says_when_it_cannot_learn():
    with pytest.raises(TypeError, match="does not say how it learns"):
        Classifier().fit(companies.rows(10)[0], np.zeros(10))
