"""`sales migrate`: brings the database to the shape that this version expects, or says in a sentence why it cannot."""

import json
import os
from urllib.parse import unquote, urlsplit

import click
import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import errors, sql
from sqlalchemy.exc import DBAPIError

from service.embedded import running
from service.postgres import make_database, make_role
from service.settings import ROOT, Refused, read

Connection = psycopg.Connection[tuple[object, ...]]

OLDEST_SERVER, OLDEST_VECTOR = 16, (0, 8)
MIGRATIONS = ROOT / "migrations"
LOCK = 7_253_001
"""Key of the advisory lock under which migrations run: two processes that start together take turns."""


def upgrade(owner_url: str, app_url: str) -> list[str]:
    """Runs what is missing, as the owner, and returns the names of the revisions that ran.

    Makes the application's role first where it is missing. Raises `Refused` for a server too old, without pgvector or
    the rights, or used by a newer version of ours.
    """
    try:
        with psycopg.connect(owner_url, autocommit=True, connect_timeout=10) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            _check_server(connection)
            before = _known_revision(connection)
            _check_application(connection, app_url)
            command.upgrade(config(owner_url, app_url), "head")
            return [
                script.revision
                for script in ScriptDirectory(str(MIGRATIONS)).iterate_revisions("head", before)
            ]
    except (psycopg.Error, DBAPIError) as error:
        raise Refused(_why(error)) from error


def ensure_current(owner_url: str, app_url: str) -> None:
    """`upgrade` where something is missing; one short question where nothing is."""
    try:
        with psycopg.connect(owner_url, connect_timeout=10) as connection:
            if not pending(connection):
                return
    except psycopg.Error as error:
        raise Refused(_why(error)) from error
    upgrade(owner_url, app_url)


def ensure_mlflow(owner_url: str, mlflow_url: str) -> None:
    """Makes MLflow's database on a server of the operator's own, where it is missing and lies beside ours."""
    owner, mlflow = urlsplit(owner_url), urlsplit(mlflow_url)
    if owner.netloc != mlflow.netloc:
        return
    name = unquote(mlflow.path.strip("/"))
    try:
        with psycopg.connect(owner_url, autocommit=True, connect_timeout=10) as connection:
            make_database(connection, name, unquote(owner.username or ""))
    except psycopg.Error as error:
        raise Refused(
            f"MLflow's database {name} cannot be made: {_first_line(error)} "
            "Make it, or name another with SALES_MLFLOW_DATABASE."
        ) from error


def pending(connection: Connection) -> bool:
    """Whether migrations are missing."""
    return _known_revision(connection) != ScriptDirectory(str(MIGRATIONS)).get_current_head()


def config(owner_url: str, app_url: str) -> Config:
    """Alembic's configuration, made here: `migrations/env.py` finds both URLs in its `attributes`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = owner_url
    config.attributes["app_url"] = app_url
    return config


def _check_server(connection: Connection) -> None:
    version = connection.info.server_version // 10_000
    if version < OLDEST_SERVER:
        raise Refused(f"The database server is PostgreSQL {version}; it takes {OLDEST_SERVER} or newer.")
    row = connection.execute(
        "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
    ).fetchone()
    if row is None:
        raise Refused("The database server lacks the extension pgvector: install it there (0.8 or newer).")
    if tuple(int(part) for part in str(row[0]).split(".")[:2]) < OLDEST_VECTOR:
        raise Refused(f"The database server has pgvector {row[0]}; it takes 0.8 or newer.")


def _known_revision(connection: Connection) -> str | None:
    """The revision that the database is at; refuses one that only a newer version of ours can have made."""
    if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    revision = str(row[0]) if row else None
    known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    if revision is not None and revision not in known:
        raise Refused(
            f"This database was used by a newer version of the product (it is at {revision}): "
            "start that version, or choose another SALES_HOME or DATABASE_URL."
        )
    return revision


def _check_application(connection: Connection, app_url: str) -> None:
    """The application's role can sign in with its password; it is made where it is missing."""
    parts = urlsplit(app_url)
    role, password = unquote(parts.username or ""), unquote(parts.password or "")
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
        make_role(connection, role, password)
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.Identifier(role)))
    try:
        psycopg.connect(app_url, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        raise Refused(
            f"The application's role {role} cannot sign in: {_first_line(error)} "
            "Give its connection as DATABASE_APP_URL."
        ) from error


def _why(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    if isinstance(cause, errors.InsufficientPrivilege):
        return f"The role of DATABASE_URL lacks a right that migrations need: {_first_line(cause)}"
    if isinstance(cause, errors.LockNotAvailable):
        return "A migration could not get its lock within its time: end long transactions and start again."
    if isinstance(cause, psycopg.OperationalError):
        return f"The database does not answer: {_first_line(cause)}"
    return f"A migration failed: {_first_line(cause)}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    text = next(
        (line for line in reversed(lines) if "FATAL" in line), lines[0] if lines else type(error).__name__
    )
    return text.rpartition("FATAL:")[2].strip().rstrip(".") + "."


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
def migrate(as_json: bool) -> None:
    """Bring the database to the shape that this version expects."""
    with running(read(os.environ)) as (settings, servers):
        ran = upgrade(settings.database_url, settings.database_app_url)
        if servers.postgres is None:
            ensure_mlflow(settings.database_url, settings.mlflow_database_url)
    if as_json:
        click.echo(json.dumps({"ran": ran}))
    else:
        click.echo(f"{len(ran)} migrations ran." if ran else "The database is in shape.")


commands: list[click.Command] = [migrate]
