"""Why a person can or cannot see or change a record, or one of its fields: the chain of rules, in words.

The verdict is the one that every list gives, asked by the predicates of `access` themselves; the chain says which of
the ways led there. What the person does not see is told to nobody who does not see it either.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec

from service import query
from service.access import (
    HIDDEN,
    PERMISSIONS,
    PERSONAL,
    READ_ONLY,
    ROWS,
    SHAREABLE,
    SYSTEM,
    TERRITORIAL,
    Actor,
    guard,
    hidden,
    is_guarded,
    may,
    read_only,
    visible,
)
from service.db import Database, Params, metadata
from service.errors import BadRequest, NotFound

Row = dict[str, Any]
PARENTS = {"opportunity_id": "opportunities", "lead_id": "leads", "account_id": "accounts"}
"""Whom a row follows, the nearest first."""


class Step(msgspec.Struct, kw_only=True):
    """One rule that was asked: `allows` whether it opens something, `text` what it found."""

    rule: str
    allows: bool
    text: str


class Place(msgspec.Struct, frozen=True):
    """A record: its table, its row."""

    table: str
    row: Row


async def find(database: Database, actor: Actor, record: str) -> Place:
    """The record that `accounts:ID`, or an id alone, names; `NotFound` unless `actor`, who asks, sees it."""
    resource, _, text = record.rpartition(":")
    try:
        identity = UUID(text)
    except ValueError:
        raise BadRequest(f"record: {record[:80]!r} is not `resource:id` or an id.") from None
    tables = [resource] if resource else [*ROWS, *PERSONAL, "quotas"]
    if resource and (resource not in metadata.tables or not metadata.tables[resource].info.get("business")):
        raise BadRequest(f"record: there is no resource {resource[:80]!r}.")
    for table in tables:
        if not metadata.tables[table].info.get("business"):
            continue
        params = Params([identity])
        seen = guard(actor, table, "t", params)
        row = await database.fetchrow(
            f"SELECT t.* FROM {table} t WHERE t.id = $1 AND t.deleted_at IS NULL AND {seen}", *params
        )
        if row is not None:
            return Place(table, dict(row))
    raise NotFound("There is no such record, or none that you may see.")


async def holds(database: Database, subject: Actor, place: Place, *, write: bool) -> bool:
    """What the lists say: whether the subject sees, or may change, the row."""
    if not is_guarded(place.table):
        return True
    params = Params([place.row["id"]])
    seen = visible(subject, place.table, "t", params, write=write)
    found = await database.fetchval(f"SELECT 1 FROM {place.table} t WHERE t.id = $1 AND {seen}", *params)
    return found is not None


def role_step(subject: Actor, table: str, action: str) -> Step:
    """What the table of permissions says, and who took it away if a custom role did."""
    allows = may(subject, table, action)
    text = f"The role {subject.role} {'may' if allows else 'may not'} {action} {table}."
    in_base = action in PERMISSIONS[subject.role].get(table, frozenset())
    if not allows and in_base and subject.limits:
        text = f"The role {subject.limits.name} takes away that {subject.role} may {action} {table}."
    return Step(rule="role", allows=allows, text=text)


async def row_steps(database: Database, subject: Actor, place: Place) -> list[Step]:
    """Every way by which a row of this table can be seen, and whether it leads here."""
    if place.table in PERSONAL:
        allows = place.row[PERSONAL[place.table]] == subject.id
        return [
            Step(rule="ownership", allows=allows, text="It is for one person's eyes: theirs whom it is for.")
        ]
    if not is_guarded(place.table):
        return [Step(rule="everybody", allows=True, text=f"All who are signed in read {place.table}.")]
    if subject.sees_all and place.table != "views":
        return [Step(rule="all_records", allows=True, text=f"The role {subject.role} sees every record.")]
    steps = [await _owner_step(database, subject, place)]
    if place.table in TERRITORIAL:
        steps.append(await _territory_step(database, subject, place))
    if place.table in SHAREABLE:
        steps.append(await _share_step(database, subject, place))
    if place.table == "accounts":
        steps.append(await _deals_step(database, subject, place))
    return steps + await _parent_steps(database, subject, place)


async def _owner_step(database: Database, subject: Actor, place: Place) -> Step:
    name = next((n for n in ("owner_id", "user_id", "created_by_id") if n in place.row), "created_by_id")
    owner = place.row[name]
    word = "belongs to" if name != "created_by_id" else "was made by"
    if owner is None:
        free = place.table in ("accounts", "contacts")
        text = "Nobody owns it: such accounts and contacts are open to all." if free else "Nobody owns it."
        return Step(rule="ownership", allows=free, text=text)
    if owner == subject.id:
        return Step(rule="ownership", allows=True, text=f"It {word} {subject.name}.")
    of = await database.fetchval("SELECT name FROM users WHERE id = $1", owner) or "somebody"
    if owner not in (subject.owners or ()):
        text = f"It {word} {of}, who is not one of the people of {subject.name}."
        return Step(rule="ownership", allows=False, text=text)
    return Step(
        rule="team_hierarchy",
        allows=True,
        text=f"It {word} {of}. {await _line(database, subject, owner, of)}",
    )


_TEAM_BETWEEN = """
WITH RECURSIVE up AS (
    SELECT t.id, t.name, t.parent_id, t.manager_id, 1 AS depth FROM teams t JOIN users u ON u.team_id = t.id WHERE u.id = $1
    UNION ALL
    SELECT t.id, t.name, t.parent_id, t.manager_id, up.depth + 1 FROM teams t JOIN up ON t.id = up.parent_id
    WHERE up.depth < 50
)
SELECT name FROM up WHERE manager_id = $2 ORDER BY depth LIMIT 1"""


async def _line(database: Database, subject: Actor, owner: UUID, name: str) -> str:
    team = await database.fetchval(_TEAM_BETWEEN, owner, subject.id)
    if team:
        return f"{subject.name} manages the team {team}, to which {name} belongs."
    return f"{name} reports to {subject.name}."


async def _territory_step(database: Database, subject: Actor, place: Place) -> Step:
    territory = place.row["territory_id"]
    if territory is None:
        return Step(rule="territory", allows=False, text="It lies in no territory.")
    name = await database.fetchval("SELECT name FROM territories WHERE id = $1", territory)
    if str(territory) in subject.reach.territories:
        text = f"It lies in the territory {name}, which is one of {subject.name}'s: to read."
        return Step(rule="territory", allows=True, text=text)
    text = f"It lies in the territory {name}, of which {subject.name} is neither owner nor member."
    return Step(rule="territory", allows=False, text=text)


async def _share_step(database: Database, subject: Actor, place: Place) -> Step:
    rows = await database.fetch(
        "SELECT s.level, s.reason, s.expires_at, s.expires_at <= now() AS is_over, t.name AS team FROM shares s"
        " LEFT JOIN teams t ON t.id = s.team_id WHERE s.record_id = $1 AND s.resource = $2 AND s.deleted_at IS NULL"
        " AND (s.user_id = $3 OR s.team_id = ANY($4::uuid[])) /* access:shares */"  # with the very person asked about
        " ORDER BY coalesce(s.expires_at <= now(), FALSE), s.level DESC LIMIT 1",
        place.row["id"],
        place.table,
        subject.id,
        list(subject.groups),
    )
    if not rows:
        return Step(rule="share", allows=False, text=f"It is not shared with {subject.name}.")
    share = rows[0]
    if share["is_over"]:
        return Step(
            rule="share", allows=False, text=f"A share ended at {share['expires_at']:%Y-%m-%d %H:%M} UTC."
        )
    whom = f"the team {share['team']}" if share["team"] else subject.name
    said = f" ({share['reason']})" if share["reason"] else ""
    return Step(rule="share", allows=True, text=f"It is shared with {whom}, to {share['level']}{said}.")


async def _deals_step(database: Database, subject: Actor, place: Place) -> Step:
    params = Params([place.row["id"]])
    seen = visible(subject, "opportunities", "t", params)
    deals = await database.fetchval(
        f"SELECT count(*) FROM opportunities t WHERE t.account_id = $1 AND t.deleted_at IS NULL AND {seen}",
        *params,
    )
    text = (
        f"{subject.name} sees {deals} of its deals." if deals else f"{subject.name} sees none of its deals."
    )
    return Step(rule="deal", allows=bool(deals), text=text)


async def _parent_steps(database: Database, subject: Actor, place: Place) -> list[Step]:
    """What hangs on a deal, a lead or an account is seen by who sees that."""
    for column, table in PARENTS.items():
        parent = place.row.get(column)
        if (
            parent is None
            or table == place.table
            or (column == "account_id" and place.table == "opportunities")
        ):
            continue
        params = Params([parent])
        of = await database.fetchrow(
            f"SELECT t.* FROM {table} t WHERE t.id = $1 AND {visible(SYSTEM, table, 't', params)}", *params
        )
        if of is None:
            continue
        sees = await holds(database, subject, Place(table, dict(of)), write=False)
        noun = table[:-1].replace("ie", "y") if table == "opportunities" else table[:-1]
        text = f"{subject.name} {'sees' if sees else 'does not see'} the {noun} that it hangs on."
        return [Step(rule="parent", allows=sees, text=text)]
    return []


def field_steps(subject: Actor, table: str, field: str) -> Iterator[Step]:
    """Whether the field exists for the subject, and may be set."""
    if field in HIDDEN.get(table, {}).get(subject.role, frozenset()):
        yield Step(
            rule="hidden_field",
            allows=False,
            text=f"The field {field} is hidden from the role {subject.role}.",
        )
    elif field in hidden(subject, table):
        name = subject.limits.name if subject.limits else subject.role
        yield Step(
            rule="hidden_field", allows=False, text=f"The field {field} is hidden from the role {name}."
        )
    else:
        yield Step(
            rule="hidden_field",
            allows=True,
            text=f"The field {field} is not hidden from the role {subject.role}.",
        )
    if field in read_only(subject, table):
        custom = field not in READ_ONLY.get(table, {}).get(subject.role, frozenset()) and subject.limits
        name = subject.limits.name if custom and subject.limits else subject.role
        yield Step(
            rule="read_only_field",
            allows=False,
            text=f"The role {name} reads the field {field} and may not set it.",
        )


def known_field(asker: Actor, table: str, field: str) -> None:
    """Raises the one sentence for a field that does not exist, or not for who asks."""
    if field not in query.columns(table) or field in hidden(asker, table):
        raise query.unknown(field)
