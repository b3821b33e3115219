"""`sales user`, `sales token`, `sales key`: people and credentials, for the operator of this machine."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import click

from service.access import PERMISSIONS, SYSTEM, Actor
from service.auth import Gate
from service.commands.common import json_option, show, with_database
from service.db import Database, Tx
from service.domains.api_keys import make_key
from service.domains.sessions import make_link, open_session, set_password
from service.ids import new_id
from service.ledger import record
from service.settings import Refused, Settings
from service.tokens import signing_key

ROLES = click.Choice(sorted(PERMISSIONS))
OPERATOR_HOURS = 12
DEMO_SIGN_INS = ("admin", "manager", "rep", "rep2", "ops", "data")
"""Local parts of the demo company's addresses, admin first; the password of each is `demo-` and the same word."""


@click.group()
def user() -> None:
    """People who may sign in."""


@user.command("add")
@click.argument("email")
@click.option("--role", type=ROLES, required=True, help="What the person may do.")
@click.option("--name", default="", help="Full name; by default the part of the address before the @.")
@click.option("--password", default="", help="By default a one-time sign-in link is printed instead.")
@json_option
def add_user(email: str, role: str, name: str, password: str, as_json: bool) -> None:
    """Add a person, and print a link that signs them in once."""
    if password and len(password) < 8:
        raise Refused("A password needs at least 8 characters.")

    async def work(database: Database, settings: Settings) -> dict[str, Any]:
        user_id = await add(database, email, role, name)
        if password:
            await set_password(database, user_id, password)
            return {"id": user_id, "email": email, "role": role}
        return {"id": user_id, "email": email, "role": role, "link": await link(database, settings, user_id)}

    made = with_database(work)
    show(made, as_json, "\n".join(str(made[key]) for key in ("email", "link") if key in made))


@click.command()
@click.argument("email")
@json_option
def token(email: str, as_json: bool) -> None:
    """Print a bearer token of a person."""

    async def work(database: Database, settings: Settings) -> str:
        user_id = await find(database, email)
        life = timedelta(hours=OPERATOR_HOURS)
        session_id, _ = await open_session(database, user_id, "operator", address="command line", life=life)
        tokens = Gate(database, signing_key(settings)).tokens
        return tokens.issue(user_id, session_id, door="cli", seconds=int(life.total_seconds()))

    made = with_database(work)
    show({"access_token": made, "token_type": "Bearer", "expires_in": OPERATOR_HOURS * 3600}, as_json, made)


@click.group()
def key() -> None:
    """Keys for programs."""


@key.command("create")
@click.option("--name", default="command line", show_default=True, help="What the key is for.")
@click.option("--user", "email", default="", help="As whom it acts; by default the first administrator.")
@click.option(
    "--scope", "scopes", multiple=True, default=("*",), help="Such as opportunities:read or *:read."
)
@json_option
def create_key(name: str, email: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make an API key. It is shown once."""

    async def work(database: Database, settings: Settings) -> dict[str, Any]:
        user_id = await find(database, email) if email else await first_admin(database)
        actor = Actor(id=user_id, role="admin", owners=None, teams=None, door="cli")
        async with database.begin() as tx:
            row, secret = await make_key(
                tx, actor, {"name": name, "user_id": user_id, "scopes": list(scopes)}
            )
        return {"id": row["id"], "key": secret, "scopes": list(scopes)}

    made = with_database(work)
    show(made, as_json, made["key"])


async def add(database: Database, email: str, role: str, name: str = "") -> UUID:
    """A new active user; refuses an address that is taken or is none."""
    address = email.strip().lower()
    local, at, domain = address.partition("@")
    if not (local and at and domain) or len(address) > 254 or " " in address:
        raise Refused(f"“{email}” is not an e-mail address.")
    async with database.begin() as tx:
        if await tx.fetchval("SELECT 1 FROM users WHERE lower(email) = $1 AND deleted_at IS NULL", address):
            raise Refused(f"{address} exists already.")
        return await _insert(tx, address, role, name or local)


async def _insert(tx: Tx, email: str, role: str, name: str) -> UUID:
    user_id = new_id()
    await record(tx, SYSTEM, "user.created", "user", user_id, version=1)
    await tx.execute(
        "INSERT INTO users (id, email, name, role, is_active) VALUES ($1, $2, $3, $4, true)",
        user_id,
        email,
        name,
        role,
    )
    return user_id


async def find(database: Database, email: str) -> UUID:
    user_id: UUID | None = await database.fetchval(
        "SELECT id FROM users WHERE lower(email) = $1 AND is_active AND deleted_at IS NULL",
        email.strip().lower(),
    )
    if user_id is None:
        raise Refused(f"Nobody active has the address {email}.")
    return user_id


async def first_admin(database: Database) -> UUID:
    user_id: UUID | None = await database.fetchval(
        "SELECT id FROM users WHERE role = 'admin' AND is_active AND deleted_at IS NULL ORDER BY id LIMIT 1"
    )
    if user_id is None:
        raise Refused("There is no administrator yet: sales user add EMAIL --role admin")
    return user_id


async def link(database: Database, settings: Settings, user_id: UUID) -> str:
    """An address that signs `user_id` in once."""
    return f"{settings.address}/sign-in/{await make_link(database, user_id)}"


async def welcome(database: Database, settings: Settings) -> list[tuple[str, str]]:
    """Who can sign in and how, administrators first: demo passwords, or the one-time link of a first admin.

    Makes that admin (`SALES_ADMIN`) in a home without users.
    """
    demo = [f"{word}@demo.example" for word in DEMO_SIGN_INS]
    found = {
        row[0] for row in await database.fetch("SELECT email FROM users WHERE email = ANY($1::text[])", demo)
    }
    if found:
        return [(email, f"demo-{email.partition('@')[0]}") for email in demo if email in found]
    if not await database.fetchval(
        "SELECT EXISTS (SELECT FROM users WHERE role = 'admin' AND deleted_at IS NULL)"
    ):
        await add(database, settings.admin, "admin", "Administrator")
    rows = await database.fetch(
        "SELECT id, email FROM users u WHERE role = 'admin' AND is_active AND deleted_at IS NULL"
        " AND NOT EXISTS (SELECT FROM credentials c WHERE c.user_id = u.id) ORDER BY id LIMIT 1"
    )
    return [(row["email"], await link(database, settings, row["id"])) for row in rows]


@click.command("welcome", hidden=True)
@json_option
def welcome_command(as_json: bool) -> None:
    """Print who can sign in, as `sales up` does."""
    entries = with_database(welcome)
    lines = "\n".join(f"  {email:24} {secret}" for email, secret in entries)
    show([{"email": email, "secret": secret} for email, secret in entries], as_json, lines)


commands: list[click.Command] = [user, token, key, welcome_command]
