"""Indexes for the lists of many deals: by owner in the usual orders, and by close date. Nobody waits for them."""

from alembic import op

revision = "0013"
down_revision = "0012"

_INDEXES = (
    "ix_opportunities_owner_id_id ON opportunities (owner_id, id)",
    "ix_opportunities_owner_id_amount_home ON opportunities (owner_id, amount_home, id)",
    "ix_opportunities_owner_id_close_date ON opportunities (owner_id, close_date, id)",
    "ix_opportunities_close_date_id ON opportunities (close_date, id)",
)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for index in _INDEXES:  # one that was interrupted is there, and invalid
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index.split()[0]}")
            op.execute(f"CREATE INDEX CONCURRENTLY {index} WHERE deleted_at IS NULL")


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
