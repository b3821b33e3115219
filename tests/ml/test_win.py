import numpy as np
import pytest

from ml import metrics
from ml.odds import StageOdds, destinations, doubles, offsets
from ml.panel import LOST, WON
from ml.tuning import chosen, held_back
from ml.win import WinModel
from tests.ml import companies

CUT = companies.START + 7 * 55


@pytest.fixture(scope="module")
def panel():
    return companies.deals(1200, 75, 2)


@pytest.fixture(scope="module", params=["baseline", "logistic", "gbm"])
def model(request, panel):
    return WinModel(companies.STAGES, request.param, segment="segment").fit(panel.known_by(CUT))


@pytest.fixture(scope="module")
def others():
    """Another company of the same kind: many deals to judge by, none of them learned from."""
    return companies.deals(2000, 75, 7)


def later_rows(panel):
    later = panel.take(panel.at > CUT)
    fates, known = later.fates(13)
    return later.take(known), (fates[known] == 1).astype(float)


def test_curves_are_chances(model, panel):
    rows, _ = later_rows(panel)
    curves = model.curves(rows.frame, rows.stage, rows.at)
    assert (np.diff(curves.won, axis=1) >= 0).all()
    assert (np.diff(curves.lost, axis=1) >= 0).all()
    assert np.allclose(curves.won + curves.lost + curves.open, 1)
    assert (curves.open >= -1e-12).all()
    assert (curves.final >= 0.005).all()
    assert (curves.final <= 0.995).all()
    assert (curves.won[:, -1] <= curves.final + 1e-9).all()
    assert ((curves.likely_close_week() >= 1) & (curves.likely_close_week() <= model.weeks)).all()


def test_it_is_calibrated_on_later_deals(model, others):
    rows, won = later_rows(others)
    said = model.curves(rows.frame, rows.stage, rows.at).won_by(np.full(len(rows), 91.0))
    assert metrics.ece(said, won, rows.deal).value < 0.08


def test_features_beat_the_stage_rate(panel, others):
    rows, won = later_rows(others)
    losses = {}
    for tier in ("baseline", "logistic"):
        model = WinModel(companies.STAGES, tier).fit(panel.known_by(CUT))
        said = model.curves(rows.frame, rows.stage, rows.at).won_by(np.full(len(rows), 91.0))
        losses[tier] = metrics.log_losses(said, won)
    assert metrics.difference(losses["logistic"], losses["baseline"], rows.deal).high < 0


def test_later_stages_are_closer_to_a_win(model, panel):
    rows, _ = later_rows(panel)
    means = [
        model.win_probability(rows.frame, np.full(len(rows), stage), rows.at).mean() for stage in range(3)
    ]
    assert means == sorted(means)


def test_reading_a_curve_between_weeks(model, panel):
    rows, _ = later_rows(panel)
    curves = model.curves(rows.frame.take(slice(0, 4)), rows.stage[:4], rows.at[:4])
    days = np.array([-3.0, 7.0, 10.5, np.nan])
    said = curves.won_by(days)
    assert said[0] == 0
    assert said[1] == pytest.approx(curves.won[1, 0])
    assert said[2] == pytest.approx((curves.won[2, 0] + curves.won[2, 1]) / 2)
    assert np.isnan(said[3])
    slip = curves.slip(days)
    assert slip[0] == 1
    assert slip[1] == pytest.approx(curves.open[1, 0])


def test_offsets_recover_from_a_change_of_regime():
    panel = companies.deals(1000, 80, 2, shift_at=60, shift=-1.0)
    cut = companies.START + 7 * 68
    model = WinModel(companies.STAGES, "logistic").fit(panel.known_by(cut))
    assert model.window_ > 0
    assert model.roller_.offsets_[0] < -0.3
    later = panel.take(panel.at >= cut)
    odds = model.roller_.odds_.now(later.frame, later.stage)
    refit = np.exp(model.next_week(later.frame, later.stage))
    plain = np.exp(odds)
    moved = later.moved.mean()
    gap = [abs(float((rate[:, 0] / (1 + rate.sum(axis=1))).mean()) - moved) for rate in (refit, plain)]
    assert gap[0] < gap[1] / 2


def test_offsets_are_those_of_the_rows():
    random = np.random.default_rng(0)
    moved = random.random(5000) < 0.3
    lost = ~moved & (random.random(5000) < 0.2)
    found = offsets(np.full((5000, 2), -1.0), moved, lost, prior=100.0)
    assert found[0] - 1 == pytest.approx(np.log(moved.mean() / (~moved & ~lost).mean()), abs=0.01)


def test_nothing_that_is_known_later_is_used(panel):
    """Changing what happened after the cut-off changes nothing."""
    early = panel.known_by(CUT)
    changed = panel.take(np.arange(len(panel)))
    changed.outcome[changed.at + 7 > CUT] = WON
    changed.frame.values[changed.at + 7 > CUT] = 99.0
    again = changed.known_by(CUT)
    assert np.array_equal(early.outcome, again.outcome)
    models = [WinModel(companies.STAGES, "logistic").fit(rows) for rows in (early, again)]
    assert models[0].to_text() == models[1].to_text()


def test_held_back_rows_are_later_and_leave_enough(panel):
    cut, look_back = held_back(panel)
    assert panel.at.min() < cut < panel.end - 7 * look_back
    trial = chosen({"stages": companies.STAGES, "tier": "logistic"}, panel, 52, 0)
    assert trial.judged.at.min() >= cut


def test_one_stage_is_enough():
    panel = companies.deals(400, 50, 3, stages=1)
    model = WinModel(("open",), "logistic").fit(panel)
    curves = model.curves(panel.frame, panel.stage, panel.at)
    assert 0.1 < curves.final.mean() < 0.95
    assert doubles(panel.frame, model.clock) == ("weeks_in_stage",)


def test_from_the_first_deal_on():
    """With one row, and with stages nobody has been in, something sensible is said."""
    panel = companies.deals(30, 3, 0)
    for tier in ("baseline", "logistic", "gbm"):
        model = WinModel(companies.STAGES, tier).fit(panel.take(np.arange(1)))
        chance = model.win_probability(panel.frame, np.full(len(panel), 2), panel.at)
        assert np.isfinite(chance).all()
        assert ((chance > 0.01) & (chance < 0.99)).all()
        assert model.calibration_ is None
    with pytest.raises(ValueError, match="no week of any deal"):
        WinModel(companies.STAGES).fit(panel.take(np.arange(0)))


def test_moves_lead_where_they_led(panel):
    shares = destinations(panel, 3)
    assert np.allclose(shares.sum(axis=1), 1)
    assert shares[0, 1] > 0.9
    assert shares[2, 3] > 0.9
    assert shares[1, 1] == 0


def test_trees_keep_the_clock_apart(panel):
    """The tables say what the trees say: the odds of a row now equal standing part + tables."""
    for tier in ("logistic", "gbm"):
        odds = StageOdds(companies.STAGES, tier).fit(panel.take(np.arange(4000)))
        rows = panel.take(np.arange(4000, 4200))
        total = odds.standing_odds(rows.frame)[np.arange(200), rows.stage]
        for group in range(len(odds.groups_)):
            total += odds.moving_odds(rows.frame, rows.at, np.zeros(1), group)[np.arange(200), 0, rows.stage]
        assert np.abs(total - odds.now(rows.frame, rows.stage)).max() < 0.05


def test_the_tiers_know_their_names():
    with pytest.raises(ValueError, match="no tier 'magic'"):
        WinModel(companies.STAGES, "magic").fit(companies.deals(20, 5))


def test_outcome_codes_are_not_stages():
    assert WON < 0
    assert LOST < 0


def test_a_chance_is_the_same_alone_and_in_company(model, panel):
    """Bit for bit: a replay asks about one deal what scoring asked about hundreds."""
    rows = panel.take(np.arange(0, 300))
    whole = model.win_probability(rows.frame, rows.stage, rows.at)
    for i in range(0, 300, 7):
        one = panel.take(np.array([i]))
        assert model.win_probability(one.frame, one.stage, one.at)[0] == whole[i]
