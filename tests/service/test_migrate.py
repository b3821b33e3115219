"""Migrations at start: done once, refused where they cannot be, on the newest and the oldest server."""

from uuid import uuid4

import psycopg
import pytest
from alembic import command
from psycopg import sql

from service.commands.migrate import config, pending, upgrade
from service.settings import Refused
from tests.servers import Servers


def test_an_empty_database_is_brought_into_shape_once(servers: Servers) -> None:
    name = servers.create_database(None)
    owner, app = servers.owner_url(name), servers.app_url(name)
    assert upgrade(owner, app) != []
    assert upgrade(owner, app) == []
    with psycopg.connect(owner) as connection:
        assert not pending(connection)
    servers.drop_database(name)


@pytest.mark.parametrize(
    ("before", "after"), [("accounts", "account"), ("opportunities", "opportunity"), ("lead", "lead")]
)
def test_validation_rules_from_before_name_their_noun(servers: Servers, before: str, after: str) -> None:
    name, rule = servers.create_database(None), uuid4()
    owner, app = servers.owner_url(name), servers.app_url(name)
    command.upgrade(config(owner, app), "0008")
    with psycopg.connect(owner) as connection:
        connection.execute("SELECT set_config('sales.event', %s, TRUE)", [str(uuid4())])
        connection.execute(
            "INSERT INTO validation_rules (id, entity, name, require, message) VALUES (%s, %s, 'R', '[]', 'M')",
            [rule, before],
        )
    upgrade(owner, app)
    with psycopg.connect(owner) as connection:
        kept = connection.execute(
            "SELECT h.entity, h.version, e.kind, e.entity_id FROM history.validation_rules h"
            " LEFT JOIN ledger.events e ON e.id = h.event_id AND e.change_id = h.change_id"
            " WHERE h.id = %s ORDER BY h.version",
            [rule],
        ).fetchall()
        now = connection.execute("SELECT entity FROM validation_rules WHERE id = %s", [rule]).fetchone()
    assert now == (after,)
    changed = [] if before == after else [(after, 2, "validation_rule.updated", rule)]
    assert kept == [(before, 1, None, None), *changed]
    servers.drop_database(name)


def test_it_works_on_the_oldest_server(servers_16: Servers) -> None:
    name = servers_16.create_database(None)
    assert upgrade(servers_16.owner_url(name), servers_16.app_url(name)) != []


def test_a_database_of_a_newer_version_is_refused(servers: Servers) -> None:
    name = servers.create_database()
    with psycopg.connect(servers.owner_url(name)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_from_tomorrow'")
    with pytest.raises(Refused, match="newer version"):
        upgrade(servers.owner_url(name), servers.app_url(name))
    servers.drop_database(name)


def test_the_application_cannot_rewrite_the_past(servers: Servers) -> None:
    name = servers.create_database()
    with psycopg.connect(servers.app_url(name)) as connection:
        for statement in (
            "UPDATE ledger.events SET kind = 'x'",
            "DELETE FROM ledger.events",
            "DELETE FROM history.accounts",
            "UPDATE history.accounts SET name = 'x'",
            "ALTER TABLE accounts DISABLE TRIGGER ALL",
            "DROP TABLE accounts",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(sql.SQL(statement))
    servers.drop_database(name)


def test_missing_rights_are_a_sentence(servers: Servers) -> None:
    name = servers.create_database(None)
    with psycopg.connect(servers.owner_url(name), autocommit=True) as connection:
        connection.execute("CREATE ROLE poor LOGIN PASSWORD 'poor-but-honest'")
    poor = servers.owner_url(name).split("@")[1]
    with pytest.raises(Refused, match="lacks a right"):
        upgrade(f"postgresql://poor:poor-but-honest@{poor}", servers.app_url(name))
    servers.drop_database(name)


def test_a_wrong_application_password_is_a_sentence(servers: Servers) -> None:
    name = servers.create_database(None)
    wrong = servers.app_url(name).replace("sales_app:", "sales_app:not-")
    with pytest.raises(Refused, match="DATABASE_APP_URL"):
        upgrade(servers.owner_url(name), wrong)
    servers.drop_database(name)


def test_a_server_that_is_away_is_a_sentence() -> None:
    with pytest.raises(Refused, match="does not answer"):
        upgrade("postgresql://a:b@127.0.0.1:1/x", "postgresql://c:d@127.0.0.1:1/x")
