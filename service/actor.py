"""Who asks: the actor of one request, with what lies beyond ownership and what a custom role takes away."""

from collections.abc import Iterable
from functools import cached_property
from uuid import UUID

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """What a custom role takes away from the built-in one that it is based on."""

    name: str
    removed: frozenset[str] = frozenset()
    """`opportunities:delete`, …"""
    hidden: dict[str, frozenset[str]] = {}
    read_only: dict[str, frozenset[str]] = {}


class Reach(msgspec.Struct, frozen=True):
    """What lies beyond ownership, each set as the text of an array: resource → ids of records, and territories."""

    shared: dict[str, str] = {}
    """Shared with this person or one of their teams, to read or to write."""
    writable: dict[str, str] = {}
    """Those of them shared to write."""
    territories: str = ""


NOTHING = Reach()


def array_text(ids: Iterable[UUID]) -> str:
    """Ids as one array literal."""
    return "{" + ",".join(map(str, ids)) + "}"


class Actor(msgspec.Struct, frozen=True, dict=True, kw_only=True):
    """Who asks: resolved once per request. `owners` None means that all rows are visible."""

    id: UUID | None
    role: str
    email: str = ""
    name: str = ""
    team_id: UUID | None = None
    owners: tuple[UUID, ...] | None = ()
    teams: tuple[UUID, ...] | None = ()
    """Teams whose figures one may read (None: all)."""
    scopes: frozenset[str] | None = None
    """What an API key is limited to: `opportunities:read`, `*:read`, `*`; None for a person's own session."""
    door: str = "api"
    reach: Reach = NOTHING
    groups: tuple[UUID, ...] = ()
    """The teams one belongs to or manages, those above the own one included: what is shared with them is shared."""
    limits: Limits | None = None
    secrets: tuple[tuple[str, str], ...] = ()
    """(table, `cf.key`) of the custom fields that are hidden from this role."""

    @cached_property
    def groups_text(self) -> str:
        return array_text(self.groups)

    @cached_property
    def owners_text(self) -> str:
        """The owners as one array literal: cast in SQL, four times cheaper than 300 parameters."""
        return array_text(self.owners or ())

    @cached_property
    def teams_text(self) -> str:
        return array_text(self.teams or ())

    @cached_property
    def secrets_of(self) -> dict[str, frozenset[str]]:
        tables = {table for table, _ in self.secrets}
        return {table: frozenset(key for other, key in self.secrets if other == table) for table in tables}

    @property
    def sees_all(self) -> bool:
        return self.owners is None


SYSTEM = Actor(id=None, role="admin", name="system", owners=None, teams=None, door="job")
"""The product itself, in jobs and at the command line."""
