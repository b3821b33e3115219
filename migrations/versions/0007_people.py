"""Shares, saved views, validation rules, sensitive roles."""

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
