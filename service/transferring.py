"""When a person leaves: what they hold goes to others, as one change set.

What they hold is found from the foreign keys to users, so a new table is not forgotten; what stays is named, with the
reason. Closed business keeps its owner: it is their history.
"""

from typing import Any
from uuid import UUID

import msgspec

from service import echo, ledger, query
from service.access import Actor
from service.db import Params, Tx
from service.errors import Invalid
from service.filtering import Condition
from service.merging import Reference, references_to
from service.resource import Resource, Row
from service.rules import in_turn, no_ring
from service.writes import update

STAYS = {
    "forecast_submissions.submitted_by_id": "what they said",
    "quotas.user_id": "their own target",
    "reminders.user_id": "their own",
    "shares.user_id": "given to them, not to their place",
    "splits.user_id": "their credit",
}
"""What is not handed over, and why."""

OPEN = {
    "activities": "t.status = 'planned'",
    "leads": "t.status NOT IN ('converted', 'unqualified')",
    "opportunities": "t.status = 'open'",
    "plan_items": "t.status = 'open'",
}
"""Table → what of it is handed over; of all others whatever is not deleted."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """To whom it goes: of all tables or of one, and of that all or what the conditions find."""

    to: UUID
    table: str = ""
    conditions: tuple[Condition, ...] = ()


class Moved(msgspec.Struct, kw_only=True):
    """`to_id` is null where it is only counted."""

    resource: str
    field: str
    to_id: UUID | None
    count: int


def handed() -> list[Reference]:
    """The columns by which people hold something that can be handed over: who took part, or is spoken of, holds nothing."""
    return [
        reference
        for reference in references_to("users")
        if reference.name not in STAYS and not reference.member and not reference.only
    ]


def _held(reference: Reference, person: str) -> str:
    """The condition that a row is held, and open."""
    is_open = OPEN.get(reference.table.name, "TRUE")
    return f"{reference.points(f'ARRAY[{person}::uuid]')} AND t.deleted_at IS NULL AND {is_open} {reference.marker}"


async def holdings(tx: Tx, user_id: UUID) -> list[Moved]:
    """How much of each kind somebody holds, of what would be handed over."""
    found = []
    for reference in handed():
        count = await tx.fetchval(
            f"SELECT count(*) FROM {reference.table.name} t WHERE {_held(reference, '$1')}", user_id
        )
        if count:
            found.append(
                Moved(resource=reference.table.name, field=reference.column, to_id=None, count=count)
            )
    return found


async def transfer(
    tx: Tx, actor: Actor, resources: dict[str, Resource], leaver: Row, rules: list[Rule]
) -> list[Moved]:
    """Hands everything over: of each record the first rule that finds it says to whom."""
    await in_turn(tx, "users", "manager_id")
    for rule in rules:
        active = await tx.fetchval(
            "SELECT is_active FROM users WHERE id = $1 AND deleted_at IS NULL", rule.to
        )
        if not active or rule.to == leaver["id"]:
            raise Invalid(
                f"{rule.to} is not another active user.",
                errors=[{"pointer": "/to", "detail": "is not another active user"}],
            )
    said = {"to": [str(rule.to) for rule in rules]}
    await ledger.record(
        tx, actor, "user.transferred", "user", leaver["id"], version=leaver["version"], data=said
    )
    moved = []
    for reference in handed():
        for rule in rules:
            if rule.table in ("", reference.table.name):
                count = await _hand_over(tx, actor, resources, reference, leaver, rule)
                if count:
                    moved.append(
                        Moved(
                            resource=reference.table.name, field=reference.column, to_id=rule.to, count=count
                        )
                    )
    for rule in rules:
        row = await tx.fetchrow("SELECT id, manager_id FROM users WHERE id = $1", rule.to)
        await no_ring(tx, "users", "manager_id", dict(row))
    names = {one.resource for one in moved}
    await echo.tell(tx, actor, [one.table for one in handed() if one.table.name in names])
    return moved


async def _hand_over(
    tx: Tx, actor: Actor, resources: dict[str, Resource], reference: Reference, leaver: Row, rule: Rule
) -> int:
    table = reference.table
    where, params = "TRUE", Params()
    if rule.conditions:
        asked = query.Request(filters=list(rule.conditions))
        builder = await query.prepared(tx, resources[table.name].source, actor, asked)
        where, params = builder.where({}), builder.params
    person, to = params.add(leaver["id"]), f"{params.add(rule.to)}::uuid"
    value = to
    if reference.is_list:
        value = f"ARRAY(SELECT DISTINCT CASE WHEN x = {person}::uuid THEN {to} ELSE x END FROM unnest(t.{reference.column}) x)"
    elif table.name == "users":  # who takes over reports to whom the leaver reported to
        value = f"CASE WHEN t.id = {to} THEN {params.add(leaver['manager_id'])}::uuid ELSE {to} END"
    stamp = ", assigned_at = now()" if "assigned_at" in table.c else ""
    done = await tx.execute(
        f'UPDATE {table.name} t SET "{reference.column}" = {value}{stamp}, version = t.version + 1,'
        f" updated_at = clock_timestamp(), updated_by_id = {params.add(actor.id)}"
        f" WHERE {_held(reference, person)} AND {where}",
        *params,
    )
    return int(done.split()[-1])


async def deactivate(tx: Tx, actor: Actor, users: Resource, person: Row) -> Row:
    """From now on they do not sign in: their sessions end with it."""
    values: dict[str, Any] = {"is_active": False}
    return await update(tx, users, actor, person, values)
