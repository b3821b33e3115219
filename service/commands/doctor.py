"""`sales doctor`: what is reachable, at which version, and what is wrong."""

import os
import shutil
from typing import Any

import click
import psycopg
from redis import Redis
from redis.exceptions import RedisError

from service.commands.common import json_option, show
from service.commands.migrate import pending
from service.embedded import running
from service.home import Home
from service.settings import Settings, read, read_secret, unknown

LOW_DISK = 2 * 1024**3
"""Bytes below which a disk is worth a warning."""


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Look at every part, and say what is wrong."""
    settings = read(os.environ)
    with running(settings) as (settings, servers):
        report: dict[str, Any] = {
            "home": str(settings.home),
            "data": str(servers.postgres.data) if servers.postgres else None,
            "holder": Home(settings.home).read("up.json") or None,
            **_database(settings),
            **_redis(settings),
        }
    report["wrong"] = [*report.pop("database_wrong"), *report.pop("redis_wrong"), *_surroundings(settings)]
    show(report, as_json, _text(report))
    if report["wrong"]:
        raise click.exceptions.Exit(1)


def _database(settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {
        "postgresql": None,
        "pgvector": None,
        "migrated": False,
        "users": 0,
        "database_wrong": [],
    }
    try:
        with psycopg.connect(settings.database_url, connect_timeout=5) as connection:
            found["postgresql"] = connection.info.parameter_status("server_version")
            row = connection.execute(
                "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
            ).fetchone()
            found["pgvector"] = row[0] if row else None
            found["migrated"] = not pending(connection)
            if found["migrated"]:
                row = connection.execute("SELECT count(*) FROM users WHERE deleted_at IS NULL").fetchone()
                found["users"] = row[0] if row else 0
            else:
                found["database_wrong"].append("Migrations are missing: sales migrate")
    except psycopg.Error as error:
        found["database_wrong"].append(f"PostgreSQL: {str(error).strip()}")
    return found


def _redis(settings: Settings) -> dict[str, Any]:
    try:
        with Redis.from_url(settings.redis_url, socket_timeout=3, socket_connect_timeout=3) as client:
            info = client.info("server")
        return {"redis": info.get("valkey_version") or info.get("redis_version"), "redis_wrong": []}
    except (RedisError, OSError) as error:
        return {"redis": None, "redis_wrong": [f"Redis: {error}"]}


def _surroundings(settings: Settings) -> list[str]:
    wrong = [f"{name} is no setting of this product." for name in unknown(os.environ)]
    free = shutil.disk_usage(settings.home).free
    if free < LOW_DISK:
        wrong.append(f"The disk that holds {settings.home} has only {free / 1024**2:.0f} MB left.")
    read_secret(settings.secret_path)
    return wrong


def _text(report: dict[str, Any]) -> str:
    lines = [f"{name:12} {value}" for name, value in report.items() if name != "wrong" and value is not None]
    lines += [f"WRONG        {sentence}" for sentence in report["wrong"]]
    return "\n".join(lines if report["wrong"] else [*lines, "Nothing is wrong."])


commands: list[click.Command] = [doctor]
