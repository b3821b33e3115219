"""Shares, saved views, validation rules, roles."""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"

TEXT = Path(__file__).with_suffix(".sql")


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(TEXT.read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
