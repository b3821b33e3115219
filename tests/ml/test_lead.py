import numpy as np
import pytest

from ml import metrics
from ml.lead import LeadModel
from tests.ml import companies


@pytest.fixture(scope="module", params=["baseline", "logistic", "gbm"])
def model(request):
    return LeadModel(request.param, segment="segment").fit(
        companies.leads(2500).known_by(companies.START + 400)
    )


def test_longer_never_means_less(model):
    chances = model.probabilities(companies.leads(500, 5).frame)
    assert (np.diff(chances, axis=1) >= 0).all()
    assert ((chances > 0) & (chances < 1)).all()


def test_it_is_calibrated_on_later_leads(model):
    later = companies.leads(4000, 6)
    for place, days in enumerate(model.horizons):
        converted, known = later.converted_within(days)
        said = model.probabilities(later.frame)[known, place]
        assert metrics.ece(said, converted[known]).value < 0.06


def test_a_label_counts_only_when_its_interval_has_ended():
    panel = companies.leads(300).known_by(companies.START + 100)
    rows, _, ends = LeadModel()._expanded(panel)
    assert (ends <= companies.START + 100).all()
    assert len(rows) < 3 * len(panel)
    assert panel.converted_at[np.isfinite(panel.converted_at)].max() <= companies.START + 100


def test_a_line_follows_the_level_by_labels_that_are_new():
    panel = companies.leads(2000)
    model = LeadModel("logistic").fit(panel.known_by(companies.START + 350))
    before = model.probabilities(panel.frame).mean()
    never = type(panel)(panel.lead, panel.at, panel.frame, np.full(len(panel), np.inf), panel.known_to)
    learned_from = never.known_by(companies.START + 350)
    assert model.recalibrate(learned_from).probabilities(panel.frame).mean() == before
    assert model.recalibrate(never).probabilities(panel.frame).mean() < before / 2


def test_features_help():
    later = companies.leads(3000, 8)
    converted, known = later.converted_within(90)
    losses = {}
    for tier in ("baseline", "logistic"):
        model = LeadModel(tier).fit(companies.leads(2000))
        losses[tier] = metrics.log_losses(model.probabilities(later.frame)[known, 2], converted[known])
    assert metrics.difference(losses["logistic"], losses["baseline"]).high < 0


def test_few_leads_are_enough():
    few = companies.leads(5)
    for tier in ("baseline", "logistic", "gbm"):
        assert np.isfinite(LeadModel(tier).fit(few).probabilities(few.frame)).all()
