"""The first shape: tables, typed history with its triggers, the ledger, what features may read, the registry."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

HERE = Path(__file__).parent
FILES = (HERE / "0001_initial.sql", HERE.parent / "known.sql", HERE.parent / "seed.sql")


def upgrade() -> None:
    cursor = op.get_bind().connection.cursor()
    for path in FILES:
        cursor.execute(path.read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("There is no way back to nothing: restore a dump instead.")
