"""Users: who works with the product, in which role, team and hierarchy."""

from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from service import columns as c
from service import staff
from service.access import Actor
from service.crud import crud
from service.db import Tx, business_table
from service.errors import Forbidden, Invalid, Pointer
from service.resource import Resource, Row
from service.rules import fault, in_order, not_itself, refuse, zone
from service.shapes import Count, Draft, Email, Given, Line, Maybe, Name, Words, Zone, item_of, patch_of
from service.trees import tree

Role = Literal["rep", "manager", "ops", "data_scientist", "admin", "integration"]

# Tables --------------------------------------------------------------------------------------------

users = business_table(
    "users",
    c.text("email", required=True),
    c.text("name", required=True),
    c.text("title"),
    c.word("role", Role, required=True),
    c.reference("role_id", "roles"),
    c.flag("is_active", default=True),
    c.reference("manager_id", "users"),
    c.reference("team_id", "teams"),
    c.text("time_zone"),
    c.text("locale"),
    c.day("start_date"),
    c.day("end_date"),
    c.whole("capacity"),
    c.texts("skills"),
    c.document("working_hours"),
    c.items("absences"),
    c.index("uq_users_email", "lower(email)", unique=True),
    c.index("ix_users_manager_id", "manager_id"),
    c.index("ix_users_team_id", "team_id"),
    c.external("users"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------


class Absence(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Both days included."""

    start_date: date
    end_date: date


Hours = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$", max_length=11)]


class WorkingHours(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Hours by weekday in the person's time zone, as `09:00-17:00`; null is a day off."""

    monday: Hours | None = None
    tuesday: Hours | None = None
    wednesday: Hours | None = None
    thursday: Hours | None = None
    friday: Hours | None = None
    saturday: Hours | None = None
    sunday: Hours | None = None


class UserDraft(Draft, kw_only=True):
    """`start_date` and `end_date` bound a person's time here; quotas ramp from the first.

    `role_id` is a custom role based on `role`: it takes something away.
    """

    email: Email
    name: Name
    role: Role
    role_id: Maybe[UUID] = UNSET
    title: Maybe[Line] = UNSET
    is_active: Given[bool] = UNSET
    manager_id: Maybe[UUID] = UNSET
    team_id: Maybe[UUID] = UNSET
    time_zone: Maybe[Zone] = UNSET
    locale: Maybe[Annotated[str, Meta(max_length=35)]] = UNSET
    start_date: Maybe[date] = UNSET
    end_date: Maybe[date] = UNSET
    capacity: Maybe[Count] = UNSET
    skills: Given[Words] = UNSET
    working_hours: Maybe[WorkingHours] = UNSET
    absences: Given[Annotated[list[Absence], Meta(max_length=200)]] = UNSET


UserPatch = patch_of(UserDraft)
User = item_of(users, UserDraft)

# Rules ---------------------------------------------------------------------------------------------


def _absences(row: Row) -> Iterator[Pointer]:
    """Each ends after it begins, and no two share a day."""
    absences = row.get("absences") or ()
    for number, absence in enumerate(absences):
        if str(absence["end_date"]) < str(absence["start_date"]):
            yield fault(f"absences/{number}/end_date", "must not be before start_date")
    order = sorted(range(len(absences)), key=lambda number: str(absences[number]["start_date"]))
    for earlier, later in pairwise(order):
        if str(absences[later]["start_date"]) <= str(absences[earlier]["end_date"]):
            yield fault(f"absences/{later}/start_date", f"overlaps with absence {earlier}")


def _hours(row: Row) -> Iterator[Pointer]:
    for day, hours in (row.get("working_hours") or {}).items():
        if hours is not None and hours[6:] <= hours[:5]:
            yield fault(f"working_hours/{day}", "must end after they begin")


def check(new: Row, old: Row | None) -> None:
    """Days in order, a known time zone, and nobody is their own manager."""
    refuse(
        in_order(new, "start_date", "end_date"),
        _absences(new),
        _hours(new),
        zone(new),
    )
    not_itself(new, "manager_id")


async def _fitting(tx: Tx, new: Row) -> None:
    """A custom role is based on the built-in one that the person has."""
    if new.get("role_id") is None:
        return
    base = await tx.fetchval(
        "SELECT base_role FROM roles WHERE id = $1 AND deleted_at IS NULL", new["role_id"]
    )
    if base is None:
        raise Invalid.at("/role_id", "there is no such record")
    if base != new["role"]:
        raise Invalid.at("/role_id", f"is based on the role {base}, not {new['role']}")


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Only an administrator makes, or unmakes, administrators."""
    roles = {new["role"], old["role"] if old else new["role"]}
    touched = old is None or any(new[name] != old[name] for name in ("role", "email", "is_active"))
    if "admin" in roles and touched and actor.role != "admin":
        raise Forbidden("Only an administrator may do this to an administrator.")
    await _fitting(tx, new)


async def after(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Who may not sign in any more has no session; an administrator always remains."""
    if old is None or _is_here(new):
        was_admin = old is not None and old["role"] == "admin" and new["role"] != "admin"
    else:
        await staff.end_sessions(tx, new["id"])
        was_admin = old["role"] == "admin" and _is_here(old)
    if was_admin:
        await staff.keep_an_administrator(tx, actor)


def _is_here(row: Row) -> bool:
    return bool(row["is_active"]) and row["deleted_at"] is None


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/users",
    name="user",
    table=users,
    draft=UserDraft,
    patch=UserPatch,
    item=User,
    references={"manager_id": "users", "team_id": "teams"},
    text=("name", "email"),
    tree="manager_id",
    check=check,
    prepare=prepare,
    after=after,
)

routes = [*crud(resource), tree(resource, "title", "role", "team_id", "is_active")]
