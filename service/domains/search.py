"""Search: battle cards, playbooks, notes and call notes by meaning and by words at once, and deals like a deal."""

from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from msgspec import Meta
from pgvector.sqlalchemy import Vector
from sqlalchemy.dialects.postgresql import TSVECTOR

from service import columns as c
from service import finding, resembling
from service.access import Actor, require
from service.db import Database, metadata
from service.errors import BadRequest, Invalid
from service.query import instant
from service.wire import Web, answer, body

Kind = Literal["battle_card", "playbook", "note", "win_loss", "activity", "document"]
DIMENSIONS = 384

# Tables --------------------------------------------------------------------------------------------

chunks = sa.Table(
    "chunks",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    c.word("kind", Kind, required=True),
    c.loose("entity_id"),
    sa.Column("position", sa.Integer, nullable=False),
    c.text("title", required=True),
    c.text("text", required=True),
    c.loose("opportunity_id"),
    c.ids("competitor_ids", "competitors"),
    c.instant("written_at", required=True),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column(
        "words",
        TSVECTOR,
        sa.Computed("to_tsvector('english'::regconfig, title || ' ' || text)", persisted=True),
        nullable=False,
    ),
    sa.Column("length", sa.Integer, nullable=False),
    sa.UniqueConstraint("entity_id", "position"),
    sa.Index("ix_chunks_words", "words", postgresql_using="gin"),
    sa.Index("ix_chunks_opportunity_id", "opportunity_id"),
)
"""Pieces of texts, at most 1,400 characters each. Who may see one is asked of its source, at each search.
`fingerprint` is the sha256 of what is embedded: an unchanged text is not embedded again."""

chunk_vectors = sa.Table(
    "chunk_vectors",
    metadata,
    sa.Column("chunk_id", sa.Uuid, sa.ForeignKey("chunks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("embedder", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("vector", Vector(DIMENSIONS), nullable=False),
    sa.Index(
        "ix_chunk_vectors_vector",
        "vector",
        postgresql_using="hnsw",
        postgresql_ops={"vector": "vector_cosine_ops"},
    ),
)
"""Apart from the chunks (an update beside an HNSW index is dear), with the embedder's name and version on each row:
while texts are embedded anew, both versions live."""

search_terms = sa.Table(
    "search_terms",
    metadata,
    sa.Column("term", sa.Text, primary_key=True),
    sa.Column("documents", sa.Integer, nullable=False),
)
"""In how many chunks a word stands: `ts_rank` knows no such weight."""

# Shapes --------------------------------------------------------------------------------------------

Question = Annotated[str, Meta(min_length=1, max_length=2000)]


class Like(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Either a text, or the id of something that is indexed."""

    text: Annotated[str, Meta(max_length=20_000)] = ""
    id: UUID | None = None
    kind: Kind | None = None
    competitor: Annotated[str, Meta(max_length=200)] = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class Hits(msgspec.Struct, kw_only=True):
    items: list[finding.Hit]


class Resemblances(msgspec.Struct, kw_only=True):
    items: list[resembling.Resemblance]


# Rules ---------------------------------------------------------------------------------------------


def kinds_of(text: str | None) -> tuple[str, ...]:
    """`battle_card,note` as kinds; raises `BadRequest` for others."""
    kinds = tuple(part for part in (text or "").split(",") if part)
    for kind in kinds:
        if kind not in get_args(Kind):
            raise BadRequest(f"kind: there are {', '.join(get_args(Kind))}.")
    return kinds


async def competitors_of(database: Database, text: str | None) -> tuple[UUID, ...]:
    """The competitor that an id, a name or an alias means; a name that nobody has matches nothing."""
    if not text:
        return ()
    if "\0" in text:
        raise BadRequest("competitor: this is no name.")
    rows = await database.fetch(
        "SELECT id FROM competitors WHERE deleted_at IS NULL AND (id::text = lower($1) OR lower(name) = lower($1)"
        " OR EXISTS (SELECT 1 FROM unnest(aliases) AS alias WHERE lower(alias) = lower($1)))",
        text.strip(),
    )
    return tuple(row["id"] for row in rows) or (UUID(int=0),)


# Routes --------------------------------------------------------------------------------------------


def _context(request: Web) -> tuple[Actor, Database]:
    return request.scope["actor"], request.app.state.database  # type: ignore[typeddict-item]  # by the middleware


@get("/search", opt={"answer": Hits, "query": ("q", "kind", "competitor", "since", "until", "limit")})
async def search(
    request: Web,
    q: FromQuery[str] = "",
    kind: FromQuery[str | None] = None,
    competitor: FromQuery[str | None] = None,
    since: FromQuery[str | None] = None,
    until: FromQuery[str | None] = None,
    limit: FromQuery[int] = 20,
) -> Response[bytes]:
    """Texts that answer a question, by meaning and by words; `kind` may name several with commas between."""
    actor, database = _context(request)
    require(actor, "search", "read")
    if not q.strip() or len(q) > 2000 or "\0" in q:
        raise BadRequest("q: ask something, in at most 2,000 characters.")
    wanted = finding.Wanted(
        kinds=kinds_of(kind),
        competitor_ids=await competitors_of(database, competitor),
        since=_moment("since", since),
        until=_moment("until", until),
        limit=max(1, min(100, limit)),
    )
    return answer(Hits(items=await finding.search(database, actor, q.strip(), wanted)))


def _moment(name: str, text: str | None) -> datetime | None:
    try:
        return instant(text) if text else None
    except ValueError:
        raise BadRequest(f"{name}: this is no instant.") from None


@post("/search/similar", status_code=200, opt={"body": Like, "answer": Hits})
async def similar(request: Web) -> Response[bytes]:
    """Texts nearest in meaning to a text, or to one that is indexed."""
    actor, database = _context(request)
    require(actor, "search", "read")
    data = await body(request, Like)
    if bool(data.text.strip()) == bool(data.id):
        raise Invalid("Send either text or id.", errors=[{"pointer": "/text", "detail": "either this or id"}])
    wanted = finding.Wanted(
        kinds=(data.kind,) if data.kind else (),
        competitor_ids=await competitors_of(database, data.competitor),
        but=data.id,
        limit=data.limit,
    )
    found = await finding.similar(database, actor, wanted, text=data.text.strip(), entity_id=data.id)
    if found is None:
        raise Invalid.at("/id", "there is no such record, or it is not indexed yet")
    return answer(Hits(items=found))


@get("/opportunities/{record_id:uuid}/similar", opt={"answer": Resemblances, "query": ("limit",)})
async def similar_deals(
    request: Web, record_id: FromPath[UUID], limit: FromQuery[int] = 10
) -> Response[bytes]:
    """Closed deals like this one, among those that the caller may see."""
    actor, database = _context(request)
    require(actor, "opportunities", "read")
    size = max(1, min(100, limit))
    return answer(Resemblances(items=await resembling.similar_deals(database, actor, record_id, size)))


routes: list[Any] = [search, similar, similar_deals]
