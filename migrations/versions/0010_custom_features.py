"""Custom fields as features: their unit and range, and their values as they were known."""

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"

TEXT = Path(__file__).with_suffix(".sql")


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(TEXT.read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
