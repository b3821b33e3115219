"""Files on their way in and out: where a job stands, what was wrong with a file, the past of what an import creates."""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = Path(__file__).with_suffix(".sql")


def upgrade() -> None:
    cursor = op.get_bind().connection.cursor()
    cursor.execute(STATEMENTS.read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
