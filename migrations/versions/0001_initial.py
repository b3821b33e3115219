"""The first shape: tables, typed history with its triggers, the ledger, what features may read, the registry."""

from pathlib import Path

from alembic import op

from registry.tables import metadata as registry_metadata
from service.history import business_tables, twin_ddl
from service.tables import metadata

revision = "0001"
down_revision = None

HOLD_KEY = """
CREATE FUNCTION hold_key(key bigint) RETURNS boolean LANGUAGE plpgsql AS $body$
BEGIN
    IF pg_try_advisory_xact_lock(key) THEN RETURN TRUE; END IF;
    RAISE EXCEPTION 'in flight' USING ERRCODE = 'lock_not_available';
END $body$"""


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    for schema in ("history", "ledger", "registry"):
        op.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    metadata.create_all(op.get_bind())
    registry_metadata.create_all(op.get_bind())
    op.execute(HOLD_KEY)
    for table in business_tables():
        for statement in twin_ddl(table):
            op.execute(statement)
    for name in ("known.sql", "seed.sql"):
        op.execute((Path(__file__).parent.parent / name).read_text())


def downgrade() -> None:
    raise RuntimeError("There is no way back to nothing: restore a dump instead.")
