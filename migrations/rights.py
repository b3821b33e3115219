"""What the application's role may do: work with the tables, add to history's ledger, and never rewrite the past."""

import sqlalchemy as sa

_GRANTS = """
GRANT USAGE ON SCHEMA public, history, ledger, known, registry TO {role};
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA registry TO {role};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA history, known TO {role};
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA ledger TO {role};
REVOKE ALL ON alembic_version FROM {role};
GRANT SELECT ON alembic_version TO {role};
"""


def grant(connection: sa.Connection, role: str) -> None:
    """Grants again after each migration, so that a new table needs no line of its own."""
    quoted = '"' + role.replace('"', '""') + '"'
    for statement in _GRANTS.format(role=quoted).strip().split(";"):
        if statement.strip():
            connection.execute(sa.text(statement))
    for table in _rewritable(connection):
        connection.execute(sa.text(f'GRANT DELETE ON "{table}" TO {quoted}'))


def _rewritable(connection: sa.Connection) -> list[str]:
    """Tables without a history: keys, jobs, sessions, derived values. Rows of all others are only marked as deleted."""
    rows = connection.execute(
        sa.text(
            "SELECT tablename FROM pg_tables p WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
            " AND NOT EXISTS (SELECT 1 FROM pg_tables h WHERE h.schemaname = 'history' AND h.tablename = p.tablename)"
        )
    )
    return [row[0] for row in rows]
