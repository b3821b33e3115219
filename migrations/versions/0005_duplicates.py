"""Change sets found by their first event and by who made them."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Indexes on tables that grow are made beside the writes that go on."""
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_events_actor ON ledger.events (actor_id, id)")
        op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_events_set ON ledger.events (change_id, id)")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ledger.ix_events_change")


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
