import numpy as np
import pytest

from ml.explain import OTHER, completed, explain, stage_bases
from ml.lead import LeadModel
from ml.win import WinModel
from tests.ml import companies

GROUPS = {
    "people": ["skill"],
    "work": ["activities"],
    "time": ["age_weeks", "weeks_in_stage"],
    "stage": ["stage"],
}


@pytest.fixture(scope="module")
def panel():
    return companies.deals(300, 45, 1)


@pytest.fixture(scope="module", params=["baseline", "logistic", "gbm"])
def model(request, panel):
    return WinModel(companies.STAGES, request.param, segment="segment").fit(panel)


def test_effects_add_up_to_the_shown_chance(model, panel):
    rows = panel.take(np.arange(0, len(panel), 20))
    told = explain(model, rows.frame, rows.stage, rows.at, GROUPS)
    shown = model.win_probability(rows.frame, rows.stage, rows.at)
    assert np.abs(told.base_value + told.effects.sum(axis=1) - shown).max() < 1e-9
    assert np.array_equal(told.probability, shown)
    assert told.groups == (*GROUPS, OTHER)
    assert np.ptp(told.base_value) == 0


def test_little_is_left_over_for_the_correction(model, panel, monkeypatch):
    monkeypatch.setattr("ml.explain.completed", lambda effects, total: effects)
    rows = panel.take(np.arange(0, len(panel), 20))
    told = explain(model, rows.frame, rows.stage, rows.at, GROUPS)
    rest = told.probability - told.base_value - told.effects.sum(axis=1)
    assert np.abs(rest).max() < 0.01


def test_the_direction_is_right(panel):
    model = WinModel(companies.STAGES, "logistic").fit(panel)
    rows = panel.take(np.flatnonzero(np.isfinite(panel.frame.column("skill")))[:300])
    told = explain(model, rows.frame, rows.stage, rows.at, GROUPS)
    skill = rows.frame.column("skill")
    assert told.effects[skill > 1, 0].min() > 0
    assert told.effects[skill < -1, 0].max() < 0
    last = told.effects[rows.stage == 2, 3]
    assert last.min() > told.effects[rows.stage == 0, 3].max()


def test_the_average_deal_has_no_reasons(panel):
    model = WinModel(companies.STAGES, "logistic").fit(panel)
    base, chances = stage_bases(model)
    assert chances.min() < base < chances.max()
    assert (np.diff(chances) > 0).all()


def test_a_column_in_no_group_is_another_factor(model, panel):
    rows = panel.take(np.arange(50))
    few = explain(model, rows.frame, rows.stage, rows.at, {"people": ["skill"]})
    all_of_them = explain(model, rows.frame, rows.stage, rows.at, GROUPS)
    assert np.allclose(few.effects[:, 0], all_of_them.effects[:, 0], atol=1e-3)


def test_the_rest_is_spread_by_size():
    whole = completed(np.array([[0.3, -0.1, 0.0]]), np.array([0.24]))
    assert whole.sum() == pytest.approx(0.24)
    assert whole[0, 2] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("tier", ["baseline", "logistic", "gbm"])
@pytest.mark.parametrize("horizon", [30, 90])
def test_leads_add_up_too(tier, horizon):
    panel = companies.leads(800)
    model = LeadModel(tier, segment="segment").fit(panel)
    told = model.explain(panel.frame.take(slice(0, 200)), {"fit": ["x"], "segment": ["segment"]}, horizon)
    shown = model.probabilities(panel.frame.take(slice(0, 200)))[:, (30, 60, 90).index(horizon)]
    assert np.abs(told.base_value + told.effects.sum(axis=1) - shown).max() < 1e-9
    if tier == "logistic":
        assert np.corrcoef(told.effects[:, 0], panel.frame.column("x")[:200])[0, 1] > 0.9
