"""Indexing: texts become chunks, chunks become vectors; in the worker, after the commit that wrote the text.

First all chunks are cut (quick, and what is found by words is found at once), then those without a vector of the
present embedder are embedded, in small batches beside the event loop, so that scoring in the same worker goes on.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from ml.embed import cut
from service import finding, jobs
from service.db import Database, Tx
from service.ids import new_id
from service.jobs import Job

PAGE = 500
BATCH = 24
LEAST_CALL_NOTE = 40
"""Characters from which the body of an activity is worth an index."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A text as it stands in its own table."""

    id: UUID
    kind: str
    title: str
    body: str
    written_at: datetime
    opportunity_id: UUID | None = None
    competitor_ids: tuple[UUID, ...] = ()


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a source. `fingerprint` changes with anything that is stored of it."""

    source: Source
    position: int
    text: str
    competitor_ids: tuple[UUID, ...]

    @property
    def fingerprint(self) -> bytes:
        parts = (
            self.source.kind,
            self.source.title,
            self.text,
            self.source.opportunity_id,
            self.competitor_ids,
        )
        return hashlib.sha256(repr(parts).encode()).digest()


SOURCES = {
    "battle_card": """
        SELECT id, 'battle_card' AS kind, title, body, updated_at AS written_at, NULL::uuid AS opportunity_id,
            ARRAY[competitor_id] AS competitor_ids
        FROM battle_cards t WHERE deleted_at IS NULL AND status <> 'archived' AND {which}""",
    "playbook": """
        SELECT id, 'playbook' AS kind, name AS title, concat_ws(E'\\n\\n', description, (
                SELECT string_agg(concat_ws('. ', s ->> 'title', s ->> 'body'), E'\\n\\n')
                FROM jsonb_array_elements(steps) s)) AS body,
            updated_at AS written_at, NULL::uuid AS opportunity_id, '{{}}'::uuid[] AS competitor_ids
        FROM playbooks t WHERE deleted_at IS NULL AND status <> 'archived' AND {which}""",
    "note": """
        SELECT t.id, CASE t.kind WHEN 'win_loss' THEN 'win_loss' ELSE 'note' END AS kind,
            coalesce(o.name, a.name, 'Note') AS title, t.body, t.created_at AS written_at, t.opportunity_id,
            CASE WHEN o.competitor_id IS NULL THEN '{{}}'::uuid[] ELSE ARRAY[o.competitor_id] END AS competitor_ids
        FROM notes t LEFT JOIN opportunities o ON o.id = t.opportunity_id LEFT JOIN accounts a ON a.id = t.account_id
        WHERE t.deleted_at IS NULL AND {which} /* access:notes */ /* access:opportunities */ /* access:accounts */""",
    "activity": """
        SELECT id, 'activity' AS kind, coalesce(subject, initcap(type)) AS title, body, occurred_at AS written_at,
            opportunity_id, '{{}}'::uuid[] AS competitor_ids
        FROM activities t WHERE deleted_at IS NULL AND length(body) >= 40 AND {which} /* access:activities */""",
}
"""Entity type → its texts, where `which` says of which records."""


def pieces(source: Source, names: Sequence[tuple[UUID, re.Pattern[str]]]) -> list[Chunk]:
    """The chunks of a source, with the competitors that it is about or names."""
    made = []
    for position, text in enumerate(cut(source.body) or ([source.title] if source.title else [])):
        said = f"{source.title} {text}"
        named = {key for key, pattern in names if pattern.search(said)}
        competitors = tuple(sorted(named.union(source.competitor_ids)))
        made.append(Chunk(source=source, position=position, text=text, competitor_ids=competitors))
    return made


async def competitor_names(run: Tx | Database) -> list[tuple[UUID, re.Pattern[str]]]:
    """Each competitor with the pattern that finds its name or an alias in a text."""
    rows = await run.fetch("SELECT id, name, aliases FROM competitors WHERE deleted_at IS NULL")
    found = []
    for row in rows:
        words = [re.escape(word) for word in (row["name"], *(row["aliases"] or ())) if word and len(word) > 1]
        if words:
            found.append((row["id"], re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)))
    return found


_REMOVE = """
WITH gone AS (DELETE FROM chunks WHERE entity_id = ANY($1::uuid[]) RETURNING words),
less AS (SELECT term, count(*) AS n FROM gone, unnest(tsvector_to_array(words)) AS term GROUP BY term)
UPDATE search_terms s SET documents = s.documents - less.n FROM less WHERE s.term = less.term"""

_INSERT = """
INSERT INTO chunks (id, kind, entity_id, position, title, text, opportunity_id, competitor_ids, written_at,
    fingerprint, length)
SELECT i, k, e, p, t, x, o, string_to_array(c, ',')::uuid[], w, f,
    (SELECT coalesce(sum(cardinality(u.positions)), 0) FROM unnest(to_tsvector('english', t || ' ' || x)) u)
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::int[], $5::text[], $6::text[], $7::uuid[], $8::text[],
    $9::timestamptz[], $10::bytea[]) AS v(i, k, e, p, t, x, o, c, w, f)"""

_COUNT = """
INSERT INTO search_terms AS s (term, documents)
SELECT term, count(*) FROM chunks c, unnest(tsvector_to_array(c.words)) AS term
WHERE c.entity_id = ANY($1::uuid[]) GROUP BY term ORDER BY term
ON CONFLICT (term) DO UPDATE SET documents = s.documents + excluded.documents"""


async def store(tx: Tx, gone: list[UUID], chunks: list[Chunk]) -> None:
    """Replaces the chunks of some sources, and keeps the statistics of words right."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtext('search_terms'))")
    changed = list(dict.fromkeys([*gone, *(chunk.source.id for chunk in chunks)]))
    await tx.execute(_REMOVE, changed)
    if chunks:
        columns: list[Any] = [
            [new_id() for _ in chunks],
            [chunk.source.kind for chunk in chunks],
            [chunk.source.id for chunk in chunks],
            [chunk.position for chunk in chunks],
            [chunk.source.title for chunk in chunks],
            [chunk.text for chunk in chunks],
            [chunk.source.opportunity_id for chunk in chunks],
            [",".join(map(str, chunk.competitor_ids)) for chunk in chunks],
            [chunk.source.written_at for chunk in chunks],
            [chunk.fingerprint for chunk in chunks],
        ]
        await tx.execute(_INSERT, *columns)
        await tx.execute(_COUNT, changed)


async def cut_page(
    database: Database, entity_type: str, ids: list[UUID], names: Sequence[tuple[UUID, re.Pattern[str]]]
) -> int:
    """Brings the chunks of these records up to date; returns how many records had changed."""
    rows = await database.fetch(SOURCES[entity_type].format(which="t.id = ANY($1::uuid[])"), ids)
    wanted = {
        row["id"]: pieces(Source(**dict(row) | {"competitor_ids": tuple(row["competitor_ids"])}), names)
        for row in rows
    }
    present: dict[UUID, list[bytes]] = {}
    for row in await database.fetch(
        "SELECT entity_id, fingerprint FROM chunks WHERE entity_id = ANY($1::uuid[]) ORDER BY entity_id, position",
        ids,
    ):
        present.setdefault(row["entity_id"], []).append(row["fingerprint"])
    changed = [
        key for key in ids if [chunk.fingerprint for chunk in wanted.get(key, [])] != present.get(key, [])
    ]
    if changed:
        async with database.begin() as tx:
            await store(tx, changed, [chunk for key in changed for chunk in wanted.get(key, [])])
    return len(changed)


async def cut_all(database: Database) -> int:
    """Brings all chunks up to date, those of records that are gone included."""
    names = await competitor_names(database)
    changed = 0
    for entity_type, sql in SOURCES.items():
        kinds = ["note", "win_loss"] if entity_type == "note" else [entity_type]
        rows = await database.fetch(
            f"SELECT s.id FROM ({sql.format(which='TRUE')}) s"
            " UNION SELECT entity_id FROM chunks WHERE kind = ANY($1::text[]) ORDER BY 1",
            kinds,
        )
        ids = [row["id"] for row in rows]
        for start in range(0, len(ids), PAGE):
            changed += await cut_page(database, entity_type, ids[start : start + PAGE], names)
    return changed


_MISSING = """
SELECT c.id, c.title || '. ' || c.text AS text FROM chunks c
WHERE NOT EXISTS (SELECT 1 FROM chunk_vectors v
    WHERE v.chunk_id = c.id AND v.embedder = $1 AND v.version = $2) AND c.id > $3 ORDER BY c.id LIMIT $4"""

_KEEP = """
INSERT INTO chunk_vectors (chunk_id, embedder, version, vector)
SELECT i, $1, $2, x::vector FROM unnest($3::uuid[], $4::text[]) AS v(i, x) JOIN chunks c ON c.id = v.i
ON CONFLICT DO NOTHING"""


async def embed_missing(database: Database | Tx, most: int, job: Job | None = None) -> int:
    """Gives up to `most` chunks their vectors; equal texts are embedded once. Returns how many were done."""
    name, version = finding.embedder.name, finding.embedder.version
    known: dict[str, str] = {}
    done, last = 0, UUID(int=0)
    while done < most:
        rows = await database.fetch(_MISSING, name, version, last, min(BATCH, most - done))
        if not rows:
            break
        last = rows[-1]["id"]
        new = list(dict.fromkeys(row["text"] for row in rows if row["text"] not in known))
        vectors = await finding.embed(new)
        known |= {text: finding.literal(vector) for text, vector in zip(new, vectors, strict=True)}
        await database.execute(
            _KEEP, name, version, [row["id"] for row in rows], [known[row["text"]] for row in rows]
        )
        done += len(rows)
        if job is not None and done % (BATCH * 8) == 0:
            left = await database.fetchval(
                f"SELECT count(*) FROM ({_MISSING}) m", name, version, last, 1_000_000
            )
            await job.progress(done, done + left)
    return done


# Jobs ----------------------------------------------------------------------------------------------

AT_ONCE = 200
"""Chunks that one reaction embeds itself; more are left to a rebuild."""


async def index_job(claimed: list[Job]) -> None:
    """Batch reaction to written texts."""
    database = claimed[0].database
    names = await competitor_names(database)
    for entity_type in SOURCES:
        ids = {UUID(j.payload["entity_id"]) for j in claimed if j.payload.get("entity_type") == entity_type}
        if ids:
            await cut_page(database, entity_type, sorted(ids), names)
    if await embed_missing(database, AT_ONCE) == AT_ONCE:
        await jobs.enqueue(database, "search.rebuild", key="all")


async def rebuild_job(job: Job) -> dict[str, Any]:
    """Everything that is not up to date: after an import, or for a new embedder."""
    changed = await cut_all(job.database)
    embedded = await embed_missing(job.database, 10_000_000, job)
    return {"changed": changed, "embedded": embedded}


def handlers() -> dict[str, Callable[..., Any]]:
    """The jobs of search by type."""
    return {"search.index": index_job, "search.rebuild": rebuild_job}
