"""A deal asked about alone gets the numbers of the batch."""

import dataclasses
import threading

import numpy as np
import pytest

from ml.chain import Chain
from ml.estimator import load
from ml.frame import Frame
from ml.roll import Odds, rolled
from ml.win import WinModel
from tests.ml import companies

NEAR = 1e-12
FORWARD = np.eye(4, 5, 1)
ANYWHERE = np.array([[0, 0.8, 0.15, 0.05], [0.1, 0, 0.7, 0.2], [0, 0.1, 0, 0.9]])
LOOPING = np.array([[0.1, 0.85, 0, 0.05], [0.2, 0.1, 0.3, 0.4], [0.5, 0, 0.3, 0.2]])


def dated(panel, seed):
    """The same deals with a close date, some without, and all that the calendar says of it."""
    random, n = np.random.default_rng(seed), len(panel)
    left = np.where(random.random(n) < 0.2, np.nan, random.uniform(-10, 30, n))
    to_end = random.integers(0, 92, n).astype(float)
    columns = {
        "weeks_to_close_date": left,
        "is_past_close_date": np.where(np.isnan(left), np.nan, left < 0),
        "closes_this_period": np.where(np.isnan(left), np.nan, left * 7 <= to_end),
        "days_to_period_end": to_end,
        "visits": random.poisson(2, n).astype(float),
    }
    return dataclasses.replace(panel, frame=panel.frame.joined(columns))


@pytest.fixture(scope="module", params=["baseline", "logistic", "gbm"])
def model(request):
    panel, joint = dated(companies.deals(600, 50, 2), 1), (("age_weeks", "week_of_quarter"),)
    return WinModel(companies.STAGES, request.param, segment="segment", joint=joint, fiscal_start=2).fit(
        panel
    )


@pytest.fixture(scope="module")
def others():
    return dated(companies.deals(60, 30, 5), 2)


def farthest(model, frame, stage, at, alone=None):
    """The largest difference between a batch's curves and those of its rows asked about one by one."""
    whole, most = model.curves(frame, stage, at), 0.0
    for row in range(len(frame)):
        one = model.one((alone or frame).take(slice(row, row + 1)), int(stage[row]), float(at[row]))
        for name in ("won", "lost", "final"):
            most = max(most, np.abs(getattr(one, name)[0] - getattr(whole, name)[row]).max())
    return most


@pytest.mark.parametrize("moves", [FORWARD, ANYWHERE, LOOPING])
@pytest.mark.parametrize("weeks", [1, 2, 13, 14, 15, 40])
@pytest.mark.parametrize("depth", [1, 2, 14])
def test_the_band_is_the_walk_from_week_to_week(moves, weeks, depth):
    random, stages = np.random.default_rng(weeks), len(moves)
    for start in range(stages):
        chain = None
        for _ in range(2):  # a chain's buffers hold nothing of the deal before
            shared, own = (
                random.normal(-2, 0.6, (1, weeks, stages, 2)),
                random.normal(0, 0.3, (1, weeks, 2)),
            )
            fresh = np.random.default_rng(9).normal(0, 0.4, (stages, 2, depth))
            chain = chain or Chain(moves, fresh, start, weeks)
            found = chain.rolled(shared[0][:, chain.stages], own[0])
            expected = rolled(Odds(shared, own, fresh, np.array([start]), moves))
            assert np.allclose(found, [one[0] for one in expected], rtol=0, atol=NEAR)


def test_one_row_is_a_row_of_the_batch(model, others):
    rows = others.take(np.arange(0, len(others), max(len(others) // 150, 1)))
    assert farthest(model, rows.frame, rows.stage, rows.at) < NEAR


def test_what_is_missing_unusual_or_unheard_of_is_read_alike(model, others):
    random = np.random.default_rng(3)
    rows = others.take(random.permutation(len(others))[:60])
    values = np.where(random.random(rows.frame.values.shape) < 0.3, np.nan, rows.frame.values)
    numbers = [j for j, name in enumerate(rows.frame.columns) if name not in rows.frame.words]
    values[:20, numbers] *= 1e6
    frame = Frame(rows.frame.columns, values, rows.frame.words)
    assert farthest(model, frame, rows.stage, rows.at) < NEAR
    turned = {name: ("never heard of", *reversed(words)) for name, words in frame.words.items()}
    alone = frame.only(sorted(frame.columns, reverse=True), turned)
    assert farthest(model, frame, rows.stage, rows.at, alone) < NEAR


def test_a_model_read_from_its_text_and_moved_offsets_count(model, others):
    again, rows = load(model.to_text()), others.take(np.arange(10))
    assert farthest(again, rows.frame, rows.stage, rows.at) < NEAR
    again.roller_.offsets_ = again.roller_.offsets_ + 0.7
    assert farthest(again, rows.frame, rows.stage, rows.at) < NEAR


def test_threads_do_not_mix_their_rows(model, others):
    rows = others.take(np.arange(40))
    expected = [
        model.one(rows.frame.take(slice(i, i + 1)), int(rows.stage[i]), float(rows.at[i])) for i in range(40)
    ]
    wrong = []

    def ask():
        for i in [*range(40)] * 5:
            found = model.one(rows.frame.take(slice(i, i + 1)), int(rows.stage[i]), float(rows.at[i]))
            if not np.array_equal(found.won, expected[i].won):
                wrong.append(i)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []


def test_a_missing_column_is_named(model, others):
    frame = others.frame.take(slice(0, 1)).without(["age_weeks" if model.tier != "baseline" else "segment"])
    with pytest.raises(KeyError, match="no column"):
        model.one(frame, 0, 20_000.0)
