"""`sales migrate`: brings the database to the shape that this version expects, and says in a sentence why it cannot."""

from urllib.parse import unquote, urlsplit

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import errors

from service.postgres import make_role
from service.settings import ROOT, Refused

OLDEST_SERVER, OLDEST_VECTOR = 16, (0, 8)
MIGRATIONS = ROOT / "migrations"


def upgrade(owner_url: str, app_url: str) -> None:
    """Runs what is missing, as the owner; makes the application's role first where it is missing.

    Raises `Refused` for a server too old, without pgvector, without the rights, or made by a newer version of ours.
    """
    try:
        with psycopg.connect(owner_url, autocommit=True, connect_timeout=10) as connection:
            _check_server(connection)
            _check_revision(connection)
            _check_application(connection, app_url)
        command.upgrade(config(owner_url, app_url), "head")
    except errors.InsufficientPrivilege as error:
        raise Refused(
            f"The role of DATABASE_URL lacks a right that migrations need: {_first_line(error)}"
        ) from error
    except psycopg.OperationalError as error:
        raise Refused(f"The database does not answer: {_first_line(error)}") from error


def config(owner_url: str, app_url: str) -> Config:
    """Alembic's configuration, made here: `migrations/env.py` finds both URLs in its `attributes`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = owner_url
    config.attributes["app_url"] = app_url
    return config


def pending(connection: "psycopg.Connection[tuple[object, ...]]") -> bool:
    """Whether migrations are missing."""
    return _revisions(connection) != set(ScriptDirectory(MIGRATIONS).get_heads())


def _check_server(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    version = connection.info.server_version // 10_000
    if version < OLDEST_SERVER:
        raise Refused(f"The database server is PostgreSQL {version}; it takes {OLDEST_SERVER} or newer.")
    found = connection.execute(
        "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
    ).fetchone()
    if found is None:
        raise Refused("The database server lacks the extension pgvector: install it there (0.8 or newer).")
    if tuple(int(part) for part in str(found[0]).split(".")[:2]) < OLDEST_VECTOR:
        raise Refused(f"The database server has pgvector {found[0]}; it takes 0.8 or newer.")


def _revisions(connection: "psycopg.Connection[tuple[object, ...]]") -> set[str]:
    if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
        return set()
    return {str(row[0]) for row in connection.execute("SELECT version_num FROM alembic_version")}


def _check_revision(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    known = {script.revision for script in ScriptDirectory(MIGRATIONS).walk_revisions()}
    unknown = _revisions(connection) - known
    if unknown:
        raise Refused(
            f"This database was used by a newer version of the product (its shape is {', '.join(sorted(unknown))}): "
            "start that version, or choose another SALES_HOME."
        )


def _check_application(connection: "psycopg.Connection[tuple[object, ...]]", app_url: str) -> None:
    """The application's role can sign in with its password; it is made where it is missing."""
    parts = urlsplit(app_url)
    role, password = unquote(parts.username or ""), unquote(parts.password or "")
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
        make_role(connection, role, password)
    name = connection.info.dbname
    statement = psycopg.sql.SQL("GRANT CONNECT ON DATABASE {} TO {}")
    connection.execute(statement.format(psycopg.sql.Identifier(name), psycopg.sql.Identifier(role)))
    try:
        psycopg.connect(app_url, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        raise Refused(
            f"The application's role {role} cannot sign in to {name}: {_first_line(error)} "
            "Give its connection as DATABASE_APP_URL."
        ) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return (text[-1] if text else type(error).__name__).removeprefix("FATAL:").strip().rstrip(".") + "."
