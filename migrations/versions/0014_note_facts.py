"""What was written about deals, as it was known: when, and how much."""

from alembic import op

revision = "0014"
down_revision = "0013"

_NOTES = """
CREATE VIEW known.notes AS
SELECT id, version, known_from AS from_at, known_to AS to_at, opportunity_id, created_at AS occurred_at,
       length(body) AS length, deleted_at IS NOT NULL OR coalesce(is_private, FALSE) OR kind = 'win_loss' AS is_deleted
FROM history.notes"""
"""Private notes are their author's alone; a win/loss note is written at the close and knows the outcome."""


def upgrade() -> None:
    op.execute(_NOTES)


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
