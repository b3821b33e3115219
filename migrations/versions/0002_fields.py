"""What customers add to records the definitions of custom fields."""

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
