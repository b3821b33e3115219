"""What happens in deal rooms, as it was known: visits of guests, comments, the plan."""

from pathlib import Path

from alembic import op

revision = "0012"
down_revision = "0011"

TEXT = Path(__file__).with_suffix(".sql")


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(TEXT.read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
