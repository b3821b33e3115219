"""Roles: the six built-in ones, and custom ones that take permissions and fields away from the one they are based on."""

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import UNSET, Meta

from service import columns as c
from service import query
from service.access import PERMISSIONS, PLAIN, Actor
from service.crud import crud
from service.db import Tx, business_table, to_json
from service.domains.users import Role
from service.errors import Conflict, Pointer
from service.resource import Resource, Row
from service.rules import fault, refuse
from service.shapes import Draft, Given, Key, Maybe, Name, Text, item_of, patch_of

# Tables --------------------------------------------------------------------------------------------

roles = business_table(
    "roles",
    c.text("key", required=True),
    c.text("name", required=True),
    c.text("description"),
    c.word("base_role", Role, required=True),
    c.flag("is_built_in"),
    c.texts("removed_permissions"),
    c.texts("hidden_fields"),
    c.texts("read_only_fields"),
    c.index("uq_roles_key", "key", unique=True),
    c.external("roles"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------

Permission = Annotated[str, Meta(max_length=100, pattern=r"^[a-z_]+:[a-z_]+$")]
Field = Annotated[str, Meta(max_length=130, pattern=r"^[a-z_]+\.[a-z_]+$")]
Fields = Annotated[list[Field], Meta(max_length=200)]


class RoleDraft(Draft, kw_only=True):
    """`removed_permissions` as `opportunities:delete`, fields as `accounts.phone`: by the table and the field's name."""

    key: Key
    name: Name
    base_role: Role
    description: Maybe[Text] = UNSET
    removed_permissions: Given[Annotated[list[Permission], Meta(max_length=200)]] = UNSET
    hidden_fields: Given[Fields] = UNSET
    read_only_fields: Given[Fields] = UNSET


RolePatch = patch_of(RoleDraft, "key", "base_role")
RoleItem = item_of(roles, RoleDraft, permissions=dict[str, list[str]])

# Rules ---------------------------------------------------------------------------------------------


HIDEABLE = frozenset(("accounts", "contacts", "leads", "opportunities", "stakeholders"))
"""Whose fields a role may lose. What notes and activities say is searched as one text: it is seen whole, or not at all."""


def _removed(row: Row) -> Iterator[Pointer]:
    for index, permission in enumerate(row.get("removed_permissions") or ()):
        resource, _, action = permission.partition(":")
        if action not in PERMISSIONS[row["base_role"]].get(resource, frozenset()):
            yield fault(f"removed_permissions/{index}", f"the role {row['base_role']} has no such permission")


def _fields(row: Row, name: str, kept: frozenset[str]) -> Iterator[Pointer]:
    for index, path in enumerate(row.get(name) or ()):
        table, _, field = path.partition(".")
        if table not in HIDEABLE or field not in query.columns(table):
            yield fault(f"{name}/{index}", "there is no such field of a record")
        elif field in kept:
            yield fault(f"{name}/{index}", "cannot be hidden: lists, boards and totals are made of it")


def check(new: Row, old: Row | None) -> None:
    """Built-in roles stay as they are; a custom one takes away what is there to be taken."""
    if old is not None and old["is_built_in"]:
        raise Conflict("A built-in role stays as it is: make one that is based on it.")
    refuse(_removed(new), _fields(new, "hidden_fields", PLAIN), _fields(new, "read_only_fields", frozenset()))


async def after(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """A role that people have, and a built-in one, is not deleted."""
    if new["deleted_at"] is None:
        return
    if new["is_built_in"]:
        raise Conflict("A built-in role stays as it is.")
    if await tx.fetchval("SELECT 1 FROM users WHERE role_id = $1 AND deleted_at IS NULL LIMIT 1", new["id"]):
        raise Conflict("People have this role: give them another one first.")


# Routes --------------------------------------------------------------------------------------------


def _permissions() -> str:
    """The permission table as SQL: what the base role may do; `removed_permissions` stand beside it."""
    table: dict[str, Any] = {
        role: {resource: sorted(actions) for resource, actions in sorted(found.items())}
        for role, found in PERMISSIONS.items()
    }
    return f"('{to_json(table)}'::jsonb -> t.base_role)"


resource = Resource(
    path="/roles",
    name="role",
    table=roles,
    draft=RoleDraft,
    patch=RolePatch,
    item=RoleItem,
    text=("name", "description"),
    extra={"permissions": _permissions()},
    extra_kinds={"permissions": "json"},
    check=check,
    after=after,
)

routes = crud(resource)
