"""Models are migrations: a migrated database is what the tables say, each twin has its table's columns, and the
application's role cannot touch the past."""

from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects.postgresql.base import ischema_names

from registry.tables import metadata as registry_metadata
from service.db import Database, Xid8
from service.history import KEEPING, business_tables
from service.tables import metadata

OURS = {None, "public", "ledger", "registry"}


def ours(kind: str, name: str | None, parents: dict[str, str | None]) -> bool:
    """Schemas that migrations alone know (`history`, `known`) and Alembic's own table are not models."""
    schema = name if kind == "schema" else parents.get("schema_name")
    return schema in OURS and not (kind == "table" and name == "alembic_version")


def comparable(item: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
    """PostgreSQL spells an index over expressions its own way: those are compared by name, below."""
    return kind != "index" or all(isinstance(part, sa.Column) for part in item.expressions)


def test_the_migrated_shape_is_what_the_tables_say(owner_url: str) -> None:
    ischema_names.setdefault("xid8", Xid8)
    engine = sa.create_engine(
        owner_url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.pool.NullPool
    )
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_schemas": True, "include_name": ours, "include_object": comparable},
        )
        differences = compare_metadata(context, [metadata, registry_metadata])  # type: ignore[arg-type]
        inspector = sa.inspect(connection)
        found = {
            index["name"]
            for schema in ("public", "ledger", "registry")
            for indexes in inspector.get_multi_indexes(schema=schema).values()
            for index in indexes
            if "duplicates_constraint" not in index
        }
    assert differences == []
    assert found == {
        str(i.name) for m in (metadata, registry_metadata) for t in m.tables.values() for i in t.indexes
    }


@pytest.mark.anyio
async def test_each_business_table_has_a_twin_with_its_columns(database: Database) -> None:
    rows = await database.fetch(
        "SELECT c.table_schema AS schema, c.table_name AS name, c.column_name AS col, c.udt_name AS kind"
        " FROM information_schema.columns c WHERE c.table_schema IN ('public', 'history')"
    )
    shapes: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        shapes.setdefault((row["schema"], row["name"]), {})[row["col"]] = row["kind"]
    for table in business_tables():
        twin = shapes["history", table.name]
        kept = {name: twin.pop(name) for name in KEEPING}
        assert twin == shapes["public", table.name], table.name
        assert kept["known_from"] == "timestamptz"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE history.accounts SET name = 'x'",
        "DELETE FROM history.accounts",
        "TRUNCATE history.accounts",
        "UPDATE ledger.events SET kind = 'x'",
        "DELETE FROM ledger.events",
        "DELETE FROM accounts",
        "ALTER TABLE accounts DISABLE TRIGGER ALL",
        "DROP TRIGGER keep_update ON accounts",
        "CREATE TABLE mine (id int)",
        "UPDATE alembic_version SET version_num = 'x'",
    ],
)
async def test_the_application_cannot_touch_the_past(database: Database, statement: str) -> None:
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidObjectDefinitionError)):
        await database.execute(f"{statement} /* access:accounts */")
