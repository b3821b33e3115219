"""Embeddings: the very vectors of sentence-transformers, whatever stands beside them in the batch; texts cut well."""

from pathlib import Path

import numpy as np
import pytest

from ml import embed
from ml.embed import Embedder, WrongWeights, cut

TEXTS = [
    "How do we answer when Acme undercuts the price?",
    "The economic buyer left the company in March; the deal is stalled.",
    "",
    "über größe 価格 test " * 60,
]
REFERENCE = [
    [-0.06447381526231766, 0.03828746825456619, -0.01008983701467514, 0.07993065565824509],
    [0.0032517423387616873, 0.00585530698299408, 0.025081703439354897, 0.009967328980565071],
    [-0.11883831769227982, 0.048298705369234085, -0.0025481265038251877, -0.01101116556674242],
    [0.019191019237041473, 0.030580680817365646, 0.013195729814469814, 0.0190829299390316],
]
"""The first components by sentence-transformers 6.2 with torch 2.13, of the same weights."""


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


def test_the_vectors_are_those_of_sentence_transformers(embedder: Embedder) -> None:
    vectors = embedder.encode(TEXTS)
    assert vectors.shape == (4, 384)
    assert np.allclose(vectors[:, :4], REFERENCE, atol=1e-5)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_batch_changes_nothing(embedder: Embedder) -> None:
    together = embedder.encode(TEXTS)
    alone = np.concatenate([embedder.encode([text]) for text in TEXTS])
    assert np.allclose(together, alone, atol=1e-5)
    assert np.array_equal(together, embedder.encode(TEXTS))
    assert embedder.encode([]).shape == (0, 384)


def test_meaning_is_near(embedder: Embedder) -> None:
    texts = [
        "The customer objects to the price",
        "Customers complain about high prices",
        "The office has a new coffee machine",
    ]
    ask, answer, other = embedder.encode(texts)
    assert ask @ answer > ask @ other + 0.1


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(WrongWeights):
        _ = Embedder(tmp_path).weights


def test_cut_keeps_every_sentence_and_the_size() -> None:
    sentences = [f"Sentence number {n} says something of its own." for n in range(200)]
    chunks = cut(" ".join(sentences), size=300, overlap=60)
    assert all(len(chunk) <= 300 for chunk in chunks)
    assert all(any(sentence in chunk for chunk in chunks) for sentence in sentences)
    assert chunks[0].split(". ")[-1].rstrip(".") in chunks[1]


@pytest.mark.parametrize(
    "text", ["", "   \n\n ", "x" * 5000, "a b " * 3000, "One.\n\nTwo!\n\nThree?", "価" * 2000]
)
def test_cut_takes_anything(text: str) -> None:
    chunks = cut(text, size=400)
    assert all(0 < len(chunk) <= 400 for chunk in chunks)
    assert "".join("".join(chunks).split()) >= "" if not text.strip() else chunks


def test_batches_hold_all_in_order_within_the_limit() -> None:
    lengths = [5, 90, 100, 3, 300, 7]
    groups = list(embed.batches(lengths, 100))
    assert [index for group in groups for index in group] == list(range(6))
    assert all(sum(lengths[i] for i in group) <= 100 or len(group) == 1 for group in groups)
