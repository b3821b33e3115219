"""Deal rooms documents, plan items, comments, guest links; notifications and reminders."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
