"""Shares: one record opened to a person or a team beyond its owner, to read or to write, until a day if one is set."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from msgspec import UNSET

from service import columns as c
from service.access import NOTHING, Actor, visible
from service.crud import crud
from service.db import Params, Tx, business_table
from service.errors import Conflict, Forbidden, Pointer
from service.resource import Resource, Row
from service.rules import fault, refuse
from service.shapes import Draft, Given, Instant, Line, Maybe, item_of, patch_of

Shared = Literal["accounts", "contacts", "leads", "opportunities"]
Level = Literal["read", "write"]

# Tables --------------------------------------------------------------------------------------------

shares = business_table(
    "shares",
    c.word("resource", Shared, required=True),
    sa.Column("record_id", sa.Uuid, nullable=False),
    c.reference("user_id", "users"),
    c.reference("team_id", "teams"),
    c.word("level", Level, default="read"),
    c.text("reason"),
    c.instant("expires_at"),
    sa.CheckConstraint("num_nonnulls(user_id, team_id) = 1", name="grantee"),
    c.index("ix_shares_record_id", "record_id"),
    c.index("ix_shares_user_id", "user_id", where="user_id IS NOT NULL"),
    c.index("ix_shares_team_id", "team_id", where="team_id IS NOT NULL"),
    c.index("uq_shares_grantee", "record_id", "coalesce(user_id, team_id)", unique=True),
    c.external("shares"),
)

# Shapes --------------------------------------------------------------------------------------------


class ShareDraft(Draft, kw_only=True):
    """Exactly one of `user_id` and `team_id`; a team's share reaches the teams below it too."""

    resource: Shared
    record_id: UUID
    user_id: Maybe[UUID] = UNSET
    team_id: Maybe[UUID] = UNSET
    level: Given[Level] = UNSET
    reason: Maybe[Line] = UNSET
    expires_at: Maybe[Instant] = UNSET


SharePatch = patch_of(ShareDraft, "resource", "record_id", "user_id", "team_id")
Share = item_of(shares, ShareDraft)

# Rules ---------------------------------------------------------------------------------------------

MOST_SHARES = 1000
"""Live shares of one person or team: who needs to see more belongs to a territory or a team."""


def _grantee(row: Row) -> Iterator[Pointer]:
    given = [name for name in ("user_id", "team_id") if row.get(name) is not None]
    if len(given) != 1:
        yield fault(given[1] if given else "user_id", "name exactly one of user_id and team_id")


def _future(new: Row, old: Row | None, now: datetime) -> Iterator[Pointer]:
    expires = new.get("expires_at")
    if expires is not None and expires <= now and (old is None or expires != old["expires_at"]):
        yield fault("expires_at", "must lie in the future")


def check(new: Row, old: Row | None) -> None:
    """One grantee; a share begins alive."""
    refuse(_grantee(new), _future(new, old, datetime.now().astimezone()))


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Only who may change a record by themselves, not by a share, opens it to others."""
    if old is not None:
        return
    table, own = new["resource"], msgspec.structs.replace(actor, reach=NOTHING)
    params = Params([new["record_id"]])
    seen = visible(actor, table, "t", params)
    mine = visible(own, table, "t", params, write=True)
    found = await tx.fetchrow(
        f"SELECT {mine} AS mine FROM {table} t WHERE t.id = $1 AND t.deleted_at IS NULL AND {seen}", *params
    )
    if found is None:
        refuse([fault("record_id", "there is no such record")])
    if not found["mine"]:
        raise Forbidden("Only who owns a record, or those above, may share it.")
    await _bounded(tx, new)


async def _bounded(tx: Tx, new: Row) -> None:
    name = "user_id" if new.get("user_id") else "team_id"
    row = await tx.fetchrow(
        f"SELECT count(*) AS shares, coalesce(bool_or(record_id = $2), FALSE) AS known FROM shares"
        f" WHERE {name} = $1 AND deleted_at IS NULL /* access:shares */",  # only counted
        new[name],
        new["record_id"],
    )
    if row["known"]:
        raise Conflict("The record is shared with them already: change that share.")
    if row["shares"] >= MOST_SHARES:
        raise Conflict(f"{MOST_SHARES} records are shared with them already: use a territory or a team.")


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/shares",
    name="share",
    table=shares,
    draft=ShareDraft,
    patch=SharePatch,
    item=Share,
    references={"user_id": "users", "team_id": "teams"},
    text=("reason",),
    check=check,
    prepare=prepare,
    prepare_reads=True,
)

routes = crud(resource)
