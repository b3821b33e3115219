"""Campaigns, price books, quotes, splits, pools, routing rules."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
