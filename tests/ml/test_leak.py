import numpy as np

from ml import leak
from ml.frame import Frame

RANDOM = np.random.default_rng(0)
OUTCOME = (RANDOM.random(2000) < 0.4).astype(float)
HONEST = OUTCOME + RANDOM.normal(0, 1.0, 2000)


def test_an_honest_column_passes():
    frame = Frame.of({"x": HONEST, "kind": RANDOM.integers(0, 3, 2000)}, {"kind": ("a", "b", "c")})
    assert leak.single_features(frame, OUTCOME) == []


def test_values_and_missingness_are_tried_alike():
    gone = np.where((OUTCOME == 0) & (RANDOM.random(2000) < 0.8), np.nan, RANDOM.normal(size=2000))
    word = np.where(RANDOM.random(2000) < 0.97, OUTCOME, 1 - OUTCOME)
    frame = Frame.of(
        {"paid": OUTCOME + 0.01 * HONEST, "account": gone, "reason": word}, {"reason": ("none", "price")}
    )
    found = {(refusal.column, refusal.check) for refusal in leak.single_features(frame, OUTCOME)}
    assert found == {("paid", "value"), ("account", "missingness"), ("reason", "value")}
    sentences = [refusal.reason for refusal in leak.single_features(frame, OUTCOME)]
    assert all(sentence.endswith(".") and "AUC" in sentence for sentence in sentences)
    assert any("0% of wins and 8" in sentence for sentence in sentences)


def test_only_wins_are_discounted():
    before = RANDOM.uniform(1000, 9000, 2000)
    after = np.where(OUTCOME > 0, before * RANDOM.uniform(0.8, 0.99, 2000), before)
    (refusal,) = leak.ratio_to_earlier("amount", after, before, OUTCOME)
    assert refusal.figure > 0.99
    assert leak.ratio_to_earlier("amount", before * RANDOM.uniform(0.8, 1.0, 2000), before, OUTCOME) == []


def test_filled_at_the_close():
    closed = RANDOM.uniform(100, 200, 500)
    late, early = closed - RANDOM.uniform(0, 0.5, 500), closed - RANDOM.uniform(5, 50, 500)
    (refusal,) = leak.filled_at_close({"loss_reason": late, "industry": early}, closed)
    assert refusal.column == "loss_reason"
    assert "100%" in refusal.reason


def test_a_model_can_be_too_good():
    assert len(leak.too_good(OUTCOME + 0.01 * HONEST, OUTCOME)) == 1
    assert leak.too_good(HONEST, OUTCOME) == []


def test_few_rows_say_nothing():
    assert leak.area(OUTCOME[:20], OUTCOME[:20]) == 0.5
