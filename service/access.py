"""Who may do what, and who sees which rows and fields. The one place; every select on a guarded table asks here.

Rows: a person sees what they own; a manager also what the people of their teams and their reports own; operations,
administrators, data scientists and integrations see all. Children (lines, stakeholders, scores) follow their deal.
Beyond that, a share opens one record, to read or to write, and a territory of the active model opens its accounts and
deals to its owner and members, to read.
Fields: what `HIDDEN` names does not exist for that role: not in answers, not in filters, sorts, fields or expand; what
`READ_ONLY` names it sees and does not change.
Actions: `PERMISSIONS` is one table, role by resource. A custom role takes away from the built-in one it is based on.
"""

from service.actor import NOTHING, SYSTEM, Actor, Limits, Reach, array_text
from service.db import Params
from service.errors import Forbidden
from service.permissions import HIDDEN, PERMISSIONS, PLAIN, READ_ONLY, ROLES
from service.rows import BY_THEMSELVES, PERSONAL, ROWS, SHAREABLE, TERRITORIAL, Scope, few_owners, ids_of

__all__ = [
    "BY_THEMSELVES",
    "HIDDEN",
    "NOTHING",
    "PERMISSIONS",
    "PERSONAL",
    "PLAIN",
    "READ_ONLY",
    "ROLES",
    "ROWS",
    "SHAREABLE",
    "SYSTEM",
    "TERRITORIAL",
    "Actor",
    "Limits",
    "Reach",
    "array_text",
    "few_owners",
    "guard",
    "hidden",
    "is_guarded",
    "levels",
    "may",
    "read_only",
    "require",
    "require_scope",
    "visible",
    "writable",
]


def may(actor: Actor, resource: str, action: str) -> bool:
    """Whether the role's table, and the key's scopes when there are any, allow it."""
    if action not in PERMISSIONS[actor.role].get(resource, frozenset()):
        return False
    if actor.limits is not None and f"{resource}:{action}" in actor.limits.removed:
        return False
    return _in_scope(actor, resource, action)


def _in_scope(actor: Actor, resource: str, action: str) -> bool:
    scopes = actor.scopes
    return scopes is None or not scopes.isdisjoint(
        {"*", f"*:{action}", f"{resource}:*", f"{resource}:{action}"}
    )


def require_scope(actor: Actor, resource: str, action: str) -> None:
    """For what everybody may do with what is their own: a key needs the scope for it nevertheless."""
    if not _in_scope(actor, resource, action):
        raise Forbidden(f"The key has no scope to {action} {resource}.")


def require(actor: Actor, resource: str, action: str) -> None:
    """Raises `Forbidden` with the action and the role in words."""
    if not may(actor, resource, action):
        role = actor.limits.name if actor.limits else actor.role
        raise Forbidden(f"The role {role} may not {action} {resource}.")


def hidden(actor: Actor, resource: str) -> frozenset[str]:
    """Names of the fields of `resource` that do not exist for this actor; custom ones as `cf.key`."""
    names = HIDDEN.get(resource, {}).get(actor.role, frozenset())
    if actor.limits is not None:
        names |= actor.limits.hidden.get(resource, frozenset())
    return names | actor.secrets_of[resource] if resource in actor.secrets_of else names


def read_only(actor: Actor, resource: str) -> frozenset[str]:
    """Names of the fields of `resource` that this actor sees and may not set."""
    by_role = READ_ONLY.get(resource, {}).get(actor.role, frozenset())
    return by_role if actor.limits is None else by_role | actor.limits.read_only.get(resource, frozenset())


def visible(
    actor: Actor, resource: str, alias: str, params: Params, *, write: bool = False, each: bool = False
) -> str:
    """The predicate of the rows of `resource` (aliased `alias`) that `actor` sees, with the marker the tests look for.

    With `write` only the rows that the actor may change: neither a share to read nor a territory is enough.
    With `each` for a statement that looks at few rows, such as a page of one record's activities: the rule is then asked
    for each of them, at a cost that does not grow with the tables.
    Example: `f"SELECT t.id FROM leads t WHERE {visible(actor, 'leads', 't', params)}"`.
    """
    marker = f"/* access:{resource} */"
    if resource in PERSONAL and actor.id is not None:
        return f"{alias}.{PERSONAL[resource]} = {params.add(actor.id)} {marker}"
    if resource == "fields":
        return f"{params.add(actor.role)}::text <> ALL({alias}.hidden_from) {marker}"
    if actor.sees_all and (resource != "views" or actor.id is None):
        return f"TRUE {marker}"
    if resource == "quotas":
        owners, teams = ids_of(params, actor.owners_text), ids_of(params, actor.teams_text)
        return f"({alias}.user_id = ANY({owners}) OR {alias}.team_id = ANY({teams})) {marker}"
    seen = ROWS[resource](alias, Scope(actor, params, write=write, each=each))
    if actor.sees_all and not (write and actor.role == "data_scientist"):  # personal views stay their makers'
        seen = f"({seen} OR {alias}.shared_team_ids <> '{{}}')"
    return f"{seen} {marker}"


def is_guarded(resource: str) -> bool:
    """Whether rows of `resource` are not for all eyes."""
    return resource in ROWS or resource in PERSONAL or resource in BY_THEMSELVES


def guard(actor: Actor, resource: str, alias: str, params: Params) -> str:
    """`visible` for any resource: what is open to all who are signed in has nothing to hide."""
    return visible(actor, resource, alias, params) if is_guarded(resource) else "TRUE"


def writable(actor: Actor, resource: str, alias: str, params: Params) -> str:
    """`guard` of the rows that the actor may change."""
    is_leveled = resource in ROWS or resource in BY_THEMSELVES
    return visible(actor, resource, alias, params, write=True) if is_leveled else "TRUE"


def levels(actor: Actor, resource: str) -> bool:
    """Whether this actor may see rows of `resource` that they may not change."""
    if resource in ("shares", "views"):
        return actor.id is not None
    return not actor.sees_all and actor.reach is not NOTHING and resource in ROWS
