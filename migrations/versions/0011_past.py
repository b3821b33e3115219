"""An import's past is kept at one cost a row, however much history there is already."""

from alembic import op

revision = "0011"
down_revision = "0010"

_BY_INDEX = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin")
"""Each version is looked up by its record. In the midst of an import no statistics say how large history has become, and
a plan that reads it whole is chosen for every chunk anew."""


def upgrade() -> None:
    for option in _BY_INDEX:
        op.execute(f"ALTER FUNCTION history.keep_past(anyarray) SET {option} = off")


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
