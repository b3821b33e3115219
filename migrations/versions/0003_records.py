"""Campaigns, price books, quotes, splits, pools, routing rules, relationships."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = Path(__file__).with_name("0003_records.sql")

INDEXES = (
    *(
        f"ix_leads_converted_{what}_id ON leads (converted_{what}_id)"
        f" WHERE deleted_at IS NULL AND converted_{what}_id IS NOT NULL"
        for what in ("account", "contact", "opportunity")
    ),
    "ix_opportunities_campaign_id ON opportunities (campaign_id)"
    " WHERE deleted_at IS NULL AND campaign_id IS NOT NULL",
    "ix_leads_campaign_id ON leads (campaign_id) WHERE deleted_at IS NULL AND campaign_id IS NOT NULL",
    "ix_leads_response_due_at ON leads (response_due_at)"
    " WHERE deleted_at IS NULL AND first_response_at IS NULL",
    "ix_activities_contact_id ON activities (contact_id, occurred_at)"
    " WHERE deleted_at IS NULL AND contact_id IS NOT NULL",
    "ix_activities_occurred_at ON activities (occurred_at) WHERE deleted_at IS NULL",
    "ix_activities_participants ON activities USING gin (participants jsonb_path_ops)"
    " WITH (fastupdate = off)"
    " WHERE deleted_at IS NULL AND participants <> '[]'",
)
"""On tables that may be large: made beside the work that goes on, so outside a
transaction and first: what is cut short here is done again."""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for index in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index.split()[0]}")
            op.execute(f"CREATE INDEX CONCURRENTLY {index}")
    op.get_bind().connection.cursor().execute(TABLES.read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
