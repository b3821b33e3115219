"""Runs migrations as the owner, then gives the application's role what it may do, and no more.

The only place that knows the tables of all rooms. `service.commands.migrate` hands over both URLs in `attributes`.
"""

from urllib.parse import unquote, urlsplit

import sqlalchemy as sa
from alembic import context

from migrations import rights
from registry.tables import metadata as registry_metadata
from service.tables import metadata as service_metadata

config = context.config
target_metadata = [service_metadata, registry_metadata]

LOCK_TIMEOUT = "10s"
"""A migration that cannot get its lock gives up rather than queue everybody behind it."""


def run() -> None:
    url = config.attributes["url"].replace("postgresql://", "postgresql+psycopg://", 1)
    role = unquote(urlsplit(config.attributes["app_url"]).username or "")
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=target_metadata,
            include_schemas=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()  # reading the revision has begun a transaction, also where nothing was to run
        with connection.begin():
            rights.grant(connection, role)


run()
