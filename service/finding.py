"""Finding: texts by meaning and by words, fused; what a person may not see is not in the candidates either.

Dense: cosine on HNSW with iterative scans, so that filters never leave too few. Lexical: any of the question's words,
BM25 with the statistics of `search_terms`; candidates are bounded by taking rare words first. The lists are fused by
rank, the first results move the question's vector, and the dense search runs once more (`ml/rank.py`).
The question is embedded here, in a thread: 14 ms, no torch, and the weights are mapped once for all processes.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from ml import rank
from ml.embed import Embedder, Floats
from service.access import Actor, guard, may
from service.db import Database, Params, Tx

DEPTH = 100
MOST_CANDIDATES = 5_000
KEPT_QUESTIONS = 500
BEST = (rank.LEXICAL_WEIGHT + 1) / (rank.CONSTANT + 1)
"""The fused score of what both lists put first: scores are shown as a share of it."""

TABLES = {
    "battle_card": "battle_cards",
    "playbook": "playbooks",
    "note": "notes",
    "win_loss": "notes",
    "activity": "activities",
}
"""Kind of chunk → the table of its source."""

embedder = Embedder()
_questions: OrderedDict[str, Floats] = OrderedDict()


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What narrows a search. `but` is left out: the text that is itself the question."""

    kinds: tuple[str, ...] = ()
    competitor_ids: tuple[UUID, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    but: UUID | None = None
    limit: int = 20


class Hit(msgspec.Struct, kw_only=True):
    """`id` is the source's; `score` is in (0, 1], comparable within one answer only."""

    kind: str
    id: UUID
    title: str
    snippet: str
    score: float
    opportunity_id: UUID | None
    competitor_ids: list[UUID]
    written_at: datetime


@cache
def one_thread() -> None:
    """Keeps BLAS to one thread in this process: on busy cores two of them wait for each other (14 ms become 170)."""
    threadpool_limits(limits=1, user_api="blas")


async def embed(texts: Sequence[str]) -> Floats:
    """Unit vectors, computed beside the event loop."""
    one_thread()
    return await asyncio.to_thread(embedder.encode, list(texts))


async def vector_of(question: str) -> Floats:
    """The vector of a question; the last ones are kept."""
    if question in _questions:
        _questions.move_to_end(question)
        return _questions[question]
    vector: Floats = (await embed([question]))[0]
    _questions[question] = vector
    if len(_questions) > KEPT_QUESTIONS:
        _questions.popitem(last=False)
    return vector


def literal(vector: Floats) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join(f"{value:.7g}" for value in vector.tolist()) + "]"


def visible_chunks(actor: Actor, alias: str, params: Params) -> str:
    """The predicate of the chunks whose source the actor may see."""
    kinds = [kind for kind, table in TABLES.items() if may(actor, table, "read")]
    readable = f"{alias}.kind = ANY({params.add(kinds)}::text[])"
    if actor.sees_all:
        return f"({readable} OR {alias}.kind = 'document')"
    parts = [f"{alias}.kind IN ('battle_card', 'playbook')"]
    for table, listed in (("notes", "'note', 'win_loss'"), ("activities", "'activity'")):
        seen = guard(actor, table, "s", params)
        source = f"SELECT 1 FROM {table} s WHERE s.id = {alias}.entity_id AND s.deleted_at IS NULL AND {seen}"
        parts.append(f"{alias}.kind IN ({listed}) AND EXISTS ({source})")
    return f"({readable} AND ({' OR '.join(parts)}))"


def narrowed(actor: Actor, wanted: Wanted, params: Params) -> str:
    """The whole WHERE of a search over chunks `c`."""
    parts = [visible_chunks(actor, "c", params)]
    if wanted.kinds:
        parts.append(f"c.kind = ANY({params.add(list(wanted.kinds))}::text[])")
    if wanted.competitor_ids:
        parts.append(f"c.competitor_ids && {params.add(list(wanted.competitor_ids))}::uuid[]")
    if wanted.since:
        parts.append(f"c.written_at >= {params.add(wanted.since)}")
    if wanted.until:
        parts.append(f"c.written_at < {params.add(wanted.until)}")
    if wanted.but:
        parts.append(f"c.entity_id <> {params.add(wanted.but)}")
    return " AND ".join(parts)


async def dense(run: Tx, actor: Actor, vector: Floats, wanted: Wanted, depth: int = DEPTH) -> list[UUID]:
    """Chunks nearest in meaning, best first."""
    params = Params([literal(vector), embedder.version, depth])
    rows = await run.fetch(
        "SELECT v.chunk_id FROM chunk_vectors v JOIN chunks c ON c.id = v.chunk_id"
        f" WHERE v.version = $2 AND {narrowed(actor, wanted, params)}"
        " ORDER BY v.vector <=> $1::text::vector LIMIT $3",
        *params,
    )
    return [row["chunk_id"] for row in rows]


_TERMS = """
SELECT w.term, coalesce(s.documents, 0) AS documents
FROM unnest(tsvector_to_array(to_tsvector('english', $1::text))) AS w(term) LEFT JOIN search_terms s USING (term)
ORDER BY documents, term"""

_BM25 = """
WITH candidate AS (SELECT c.id, c.words, c.length FROM chunks c WHERE c.words @@ $1::text::tsquery AND {where})
SELECT k.id, sum(t.weight * f.n * {k1} / (f.n + ({k1} - 1) * (1 - {b} + {b} * k.length / $4::float8))) AS score
FROM candidate k
CROSS JOIN LATERAL (SELECT u.lexeme, cardinality(u.positions) AS n FROM unnest(k.words) u
    WHERE u.lexeme = ANY($2::text[])) f
JOIN unnest($2::text[], $3::float8[]) AS t(term, weight) ON t.term = f.lexeme
GROUP BY k.id ORDER BY score DESC, k.id LIMIT {depth}"""


def as_query(terms: Sequence[str]) -> str:
    """Lexemes as a tsquery that any of them satisfies."""
    return " | ".join("'" + term.replace("\\", "\\\\").replace("'", "''") + "'" for term in terms)


async def lexical(run: Tx, actor: Actor, question: str, wanted: Wanted) -> list[UUID]:
    """Chunks that hold any of the question's words, by BM25, best first."""
    found = [
        (row["term"], row["documents"]) for row in await run.fetch(_TERMS, question) if row["documents"] > 0
    ]
    if not found:
        return []
    total, average = await run.fetchrow("SELECT count(*), coalesce(avg(length), 1)::float8 FROM chunks")
    rare: list[str] = []
    held = 0
    for term, documents in found:
        if rare and held + documents > MOST_CANDIDATES:
            break
        rare.append(term)
        held += documents
    weights = [rank.idf(documents, total) for _, documents in found]
    params = Params([as_query(rare), [term for term, _ in found], weights, max(average, 1.0)])
    sql = _BM25.format(where=narrowed(actor, wanted, params), k1=rank.K1 + 1, b=rank.B, depth=DEPTH)
    return [row["id"] for row in await run.fetch(sql, *params)]


async def _vectors(run: Tx, ids: Sequence[UUID]) -> Floats:
    rows = await run.fetch(
        "SELECT vector::text AS v FROM chunk_vectors WHERE chunk_id = ANY($1::uuid[]) AND version = $2",
        list(ids),
        embedder.version,
    )
    return np.array([msgspec.json.decode(row["v"]) for row in rows], dtype=np.float32).reshape(
        len(rows), embedder.dimensions
    )


async def ranked(run: Tx, actor: Actor, question: str, wanted: Wanted) -> dict[UUID, float]:
    """Chunk → fused score, best first."""
    await run.execute("SET LOCAL hnsw.iterative_scan = 'strict_order'")
    await run.execute(f"SET LOCAL hnsw.ef_search = {DEPTH}")
    vector = await vector_of(question)
    by_words = await lexical(run, actor, question, wanted)
    by_meaning = await dense(run, actor, vector, wanted)
    first = list(rank.fuse([(by_words, rank.LEXICAL_WEIGHT), (by_meaning, 1.0)]))[: rank.FEEDBACK_DEPTH]
    moved = rank.feed_back(vector, await _vectors(run, first), rank.FEEDBACK_WEIGHT)
    again = await dense(run, actor, moved, wanted)
    return rank.fuse([(by_words, rank.LEXICAL_WEIGHT), (again, 1.0)])


_SHOW = """
SELECT c.id, c.kind, c.entity_id, c.title, c.opportunity_id, c.competitor_ids, c.written_at,
    ts_headline('english', c.text, $2::text::tsquery, 'MaxWords=45, MinWords=25, StartSel="", StopSel=""') AS snippet
FROM chunks c WHERE c.id = ANY($1::uuid[])"""


async def shown(run: Tx, scores: dict[UUID, float], question: str, limit: int) -> list[Hit]:
    """The best chunk of each source, with the passage that fits best."""
    terms = [row["term"] for row in await run.fetch(_TERMS, question)] if question else []
    top = list(scores)[: limit * 3]
    rows = {row["id"]: row for row in await run.fetch(_SHOW, top, as_query(terms))}
    hits: dict[UUID, Hit] = {}
    for chunk_id in top:
        row = rows.get(chunk_id)
        if row is not None and row["entity_id"] not in hits and len(hits) < limit:
            hits[row["entity_id"]] = Hit(
                kind=row["kind"],
                id=row["entity_id"],
                title=row["title"],
                snippet=" ".join(row["snippet"].split()),
                score=round(min(1.0, scores[chunk_id]), 6),
                opportunity_id=row["opportunity_id"],
                competitor_ids=list(row["competitor_ids"]),
                written_at=row["written_at"],
            )
    return list(hits.values())


async def search(database: Database, actor: Actor, question: str, wanted: Wanted) -> list[Hit]:
    """The hybrid search, for the eyes of `actor`."""
    async with database.begin() as tx:
        scores = await ranked(tx, actor, question, wanted)
        return await shown(tx, {key: score / BEST for key, score in scores.items()}, question, wanted.limit)


_OWN = """
SELECT avg(v.vector)::text AS v FROM chunks c JOIN chunk_vectors v ON v.chunk_id = c.id AND v.version = $2
WHERE c.entity_id = $1 AND {where}"""


async def similar(
    database: Database, actor: Actor, wanted: Wanted, *, text: str = "", entity_id: UUID | None = None
) -> list[Hit] | None:
    """Texts nearest in meaning to a text, or to one that is indexed; None when the actor sees no such one."""
    async with database.begin() as tx:
        await tx.execute("SET LOCAL hnsw.iterative_scan = 'strict_order'")
        if entity_id is None:
            vector = await vector_of(text)
        else:
            params = Params([entity_id, embedder.version])
            where = visible_chunks(actor, "c", params)
            own = await tx.fetchval(_OWN.format(where=where), *params)
            if own is None:
                return None
            vector = np.array(msgspec.json.decode(own), dtype=np.float32)
        ids = await dense(tx, actor, vector, wanted, wanted.limit * 3)
        stored = dict(zip(ids, await similarities(tx, vector, ids), strict=True))
        return await shown(tx, stored, text, wanted.limit)


async def similarities(run: Tx, vector: Floats, ids: Sequence[UUID]) -> list[float]:
    """The cosine of `vector` with each of the chunks, in their order."""
    rows: list[Any] = await run.fetch(
        "SELECT chunk_id, 1 - (vector <=> $1::text::vector) AS s FROM chunk_vectors"
        " WHERE chunk_id = ANY($2::uuid[]) AND version = $3",
        literal(vector),
        list(ids),
        embedder.version,
    )
    found = {row["chunk_id"]: float(row["s"]) for row in rows}
    return [max(found[key], 0.0) for key in ids]
