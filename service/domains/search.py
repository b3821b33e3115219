"""Search: battle cards, playbooks, notes and call notes by meaning and by words at once, and deals like a deal."""

from typing import Literal

import sqlalchemy as sa
from pgvector.sqlalchemy import Vector
from sqlalchemy.dialects.postgresql import TSVECTOR

from service import columns as c
from service.db import metadata

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
    c.ids("competitor_ids"),
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
