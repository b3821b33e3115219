"""Keys by which duplicates are found, what was merged into what, change sets by their first event and their maker."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"

INDEXES = (
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_events_actor ON ledger.events (actor_id, id)",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_events_set ON ledger.events (change_id, id)",
    "DROP INDEX CONCURRENTLY IF EXISTS ledger.ix_events_change",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_accounts_keys ON accounts USING gin"
    " (account_keys(name, domain, website, phone)) WITH (gin_pending_list_limit = 512) WHERE deleted_at IS NULL",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_contacts_keys ON contacts USING gin"
    " (contact_keys(first_name, last_name, email, phone, mobile_phone, account_id))"
    " WITH (gin_pending_list_limit = 512) WHERE deleted_at IS NULL",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_leads_keys ON leads USING gin"
    " (lead_keys(first_name, last_name, company, email, phone, website))"
    " WITH (gin_pending_list_limit = 512) WHERE deleted_at IS NULL",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_accounts_merged_into_id ON accounts (merged_into_id)"
    " WHERE merged_into_id IS NOT NULL",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_contacts_merged_into_id ON contacts (merged_into_id)"
    " WHERE merged_into_id IS NOT NULL",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_leads_merged_into_id ON leads (merged_into_id)"
    " WHERE merged_into_id IS NOT NULL",
)
"""On tables that grow: made beside the writes that go on."""


def upgrade() -> None:
    """May be run again after it was cut short: what is made beside other writes is in no transaction."""
    cursor = op.get_bind().connection.cursor()
    cursor.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
    with op.get_context().autocommit_block():
        for statement in INDEXES:
            op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
