"""What the centre keeps: whole attributions, aliases of models, what silent versions said, daily reports."""

from alembic import op

revision = "0008"
down_revision = "0007"

_STATEMENTS = (
    "ALTER TABLE scores ADD COLUMN effects jsonb NOT NULL DEFAULT '{}'",
    """
    CREATE TABLE registry.aliases (
        model text NOT NULL,
        alias text NOT NULL,
        version integer NOT NULL,
        set_at timestamptz NOT NULL DEFAULT now(),
        set_by text NOT NULL DEFAULT 'system',
        reason text NOT NULL DEFAULT '',
        CONSTRAINT pk_aliases PRIMARY KEY (model, alias),
        CONSTRAINT ck_aliases_alias CHECK (alias IN ('challenger', 'shadow'))
    )""",
    """
    CREATE TABLE registry.shadows (
        score_id uuid NOT NULL,
        version integer NOT NULL,
        model text NOT NULL,
        entity_id uuid NOT NULL,
        as_of timestamptz NOT NULL,
        chances jsonb NOT NULL,
        CONSTRAINT pk_shadows PRIMARY KEY (score_id, version)
    )""",
    "CREATE INDEX ix_shadows_model_version_as_of ON registry.shadows (model, version, as_of)",
    """
    CREATE TABLE registry.reports (
        model text NOT NULL,
        version integer NOT NULL,
        day date NOT NULL,
        report jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_reports PRIMARY KEY (model, version, day)
    )""",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
