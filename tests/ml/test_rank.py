"""Fusion, feedback and the measures of a ranking."""

import numpy as np
import pytest

from ml import rank


def test_fusion_prefers_what_both_lists_have() -> None:
    fused = rank.fuse([(["a", "b", "c"], 1.0), (["c", "d", "a"], 1.0)])
    assert list(fused)[:2] == ["a", "c"]
    assert fused["a"] == pytest.approx(1 / 11 + 1 / 13)
    assert list(rank.fuse([([], 1.0)])) == []


def test_fusion_knows_ranks_and_weights_only() -> None:
    assert next(iter(rank.fuse([(["a", "b"], 1.0), (["b", "a"], 3.0)]))) == "b"


def test_feedback_moves_towards_the_relevant_and_keeps_the_length() -> None:
    query, relevant = np.array([1, 0], dtype=np.float32), np.array([[0, 1], [0, 1]], dtype=np.float32)
    moved = rank.feed_back(query, relevant, 1.0)
    assert moved == pytest.approx([0.5**0.5, 0.5**0.5])
    assert rank.feed_back(query, relevant[:0], 1.0) is query


def test_ndcg_of_a_worked_example() -> None:
    grades = {"a": 1.0, "b": 1.0}
    assert rank.ndcg(["a", "b", "x"], grades) == pytest.approx(1.0)
    assert rank.ndcg(["x", "a", "b"], grades) == pytest.approx((0.6309 + 0.5) / 1.6309, abs=1e-4)
    assert rank.ndcg(["x"], grades) == 0.0
    assert rank.ndcg(["x"], {}) == 0.0
    assert rank.recall(["a", "x"], grades) == 0.5


def test_rare_terms_weigh_more() -> None:
    assert rank.idf(1, 1000) > rank.idf(100, 1000) > rank.idf(1000, 1000) > 0


def test_the_interval_of_paired_differences_holds_the_mean() -> None:
    mean, low, high = rank.paired_interval(np.array([0.1, 0.2, -0.1, 0.3] * 20))
    assert low < mean < high
    assert mean == pytest.approx(0.125)
