"""Judging the search: nDCG@10 and recall@100 of words, meaning and both, on any questions with graded answers.

Two kinds of files: a CSV with `query,document,grade` about what is indexed here (document: the id of a source), and the
folder of the Cranfield collection, which is indexed in a transaction that is rolled back at the end.
Comparisons are paired over questions, with a bootstrap interval.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from ml import rank
from service import finding, indexing
from service.access import SYSTEM
from service.db import Database, Tx
from service.errors import Invalid
from service.indexing import Source

WAYS = ("words", "meaning", "both")
Grades = Mapping[str, Mapping[UUID, float]]


class Measured(msgspec.Struct, kw_only=True):
    """One way of searching: means over `n` questions; `gain` is both minus this in nDCG, with its 95 % interval."""

    way: str
    n: int
    ndcg_10: float
    recall_100: float
    gain: float
    gain_low: float
    gain_high: float


class _RolledBack(Exception):
    """Ends the transaction of an evaluation."""


def cranfield(folder: Path) -> tuple[list[Source], dict[str, dict[UUID, float]]]:
    """Documents, and question → relevant documents (binary). Questions are numbered in the order of the file;
    code -1, which its source leaves unexplained, counts as not relevant."""
    sources = []
    for block in re.split(r"^\.I ", (folder / "cran.all.1400").read_text(), flags=re.M)[1:]:
        number, _, rest = block.partition("\n")
        parts = re.split(r"^\.([TABW])\s*$", rest, flags=re.M)
        fields = dict(zip(parts[1::2], (" ".join(part.split()) for part in parts[2::2]), strict=True))
        title, text = fields.get("T", ""), fields.get("W", "")
        body = text[len(title) :].strip() if text.startswith(title) else text
        sources.append(
            Source(
                id=UUID(int=int(number)),
                kind="document",
                title=title,
                body=body,
                written_at=datetime.now(UTC),
            )
        )
    questions = [
        " ".join(b.split(".W")[1].split()) for b in (folder / "cran.qry").read_text().split(".I ")[1:]
    ]
    grades: dict[str, dict[UUID, float]] = {question: {} for question in questions}
    for line in (folder / "cranqrel").read_text().splitlines():
        question, document, code = map(int, line.split()[:3])
        if code > 0:
            grades[questions[question - 1]][UUID(int=document)] = 1.0
    return sources, grades


def graded(path: Path) -> dict[str, dict[UUID, float]]:
    """A CSV with the columns `query`, `document` (id) and `grade`."""
    grades: dict[str, dict[UUID, float]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), 2):
            try:
                grades.setdefault(row["query"], {})[UUID(row["document"])] = float(row["grade"])
            except (KeyError, ValueError, TypeError) as error:
                raise Invalid(
                    f"{path.name}, line {line}: needs query, document (an id) and grade."
                ) from error
    return grades


async def measure(run: Tx, grades: Grades, wanted: finding.Wanted | None = None) -> list[Measured]:
    """All three ways over the same questions, on what is indexed in `run`."""
    asked = wanted or finding.Wanted()
    rows = await run.fetch("SELECT id, entity_id FROM chunks")
    owner = {row["id"]: row["entity_id"] for row in rows}
    gains: dict[str, list[float]] = {way: [] for way in WAYS}
    recalls: dict[str, list[float]] = {way: [] for way in WAYS}
    for question, answers in grades.items():
        vector = await finding.vector_of(question)
        found = {
            "words": await finding.lexical(run, SYSTEM, question, asked),
            "meaning": await finding.dense(run, SYSTEM, vector, asked),
            "both": list(await finding.ranked(run, SYSTEM, question, asked)),
        }
        for way, ids in found.items():
            order = list(dict.fromkeys(owner[key] for key in ids))
            gains[way].append(rank.ndcg(order, answers))
            recalls[way].append(rank.recall(order, answers))
    return [_measured(way, gains, recalls) for way in WAYS]


def _measured(
    way: str, gains: Mapping[str, Sequence[float]], recalls: Mapping[str, Sequence[float]]
) -> Measured:
    difference = np.array(gains["both"]) - np.array(gains[way])
    mean, low, high = rank.paired_interval(difference)
    return Measured(
        way=way,
        n=len(gains[way]),
        ndcg_10=float(np.mean(gains[way])),
        recall_100=float(np.mean(recalls[way])),
        gain=mean,
        gain_low=low,
        gain_high=high,
    )


async def on_collection(database: Database, sources: Sequence[Source], grades: Grades) -> list[Measured]:
    """Indexes a foreign collection alone, measures, and leaves nothing behind."""
    made: list[Measured] = []
    try:
        async with database.begin() as tx:
            await tx.execute("DELETE FROM chunks")
            await tx.execute("DELETE FROM search_terms")
            await indexing.store(
                tx, [], [piece for source in sources for piece in indexing.pieces(source, [])]
            )
            await indexing.embed_missing(tx, 10_000_000)
            made = await measure(tx, grades)
            raise _RolledBack
    except _RolledBack:
        return made


async def evaluate(database: Database, path: Path) -> list[Measured]:
    """Judges the search on a CSV of graded answers, or on the Cranfield folder."""
    if path.is_dir():  # noqa: ASYNC240  # a command line tool, with nothing else in its loop
        sources, grades = cranfield(path)
        return await on_collection(database, sources, grades)
    async with database.begin() as tx:
        return await measure(tx, graded(path))


def table(measured: Sequence[Measured]) -> str:
    """The figures for a person."""
    lines = [f"{'':10}{'nDCG@10':>9}{'recall@100':>12}{'n':>6}   both − this (95 %)"]
    for m in measured:
        interval: Any = "" if m.way == "both" else f"{m.gain:+.4f} [{m.gain_low:+.4f}, {m.gain_high:+.4f}]"
        lines.append(f"{m.way:10}{m.ndcg_10:9.4f}{m.recall_100:12.4f}{m.n:6}   {interval}")
    return "\n".join(lines)
