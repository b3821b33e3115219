"""Nodes: a person, a team, a territory or the whole company, as forecasts and quotas are asked for (`team:ID`).

A team holds its sub-teams and its members; a manager's own deals are a member like any other. Who belongs to no team
stands under the root, so that the root's figures are the company's. Where there are several roots, the company itself
is the node above them.
"""

from collections.abc import Iterable
from typing import Literal, get_args
from uuid import UUID

import msgspec

from service.access import Actor
from service.db import Database, Tx
from service.errors import BadRequest, NotFound

Leaf = tuple[UUID, UUID | None]
"""Owner and territory: the smallest piece that figures are kept of."""

Kind = Literal["user", "team", "territory", "company"]


class Node(msgspec.Struct, frozen=True):
    """`id` is None for the company only."""

    type: Kind
    id: UUID | None = None

    def __str__(self) -> str:
        return self.type if self.id is None else f"{self.type}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Node":
        """`user:ID`, `team:ID`, `territory:ID` or `company`. Raises `BadRequest`."""
        kind, _, rest = text.partition(":")
        if text == "company":
            return COMPANY
        if kind not in get_args(Kind) or kind == "company":
            raise BadRequest("A node is user:ID, team:ID, territory:ID or company.")
        try:
            return cls(kind, UUID(rest))  # type: ignore[arg-type]  # judged above
        except ValueError:
            raise BadRequest(f"{rest!r} in the node is not an id.") from None


COMPANY = Node("company")


class Person(msgspec.Struct, frozen=True):
    id: UUID
    name: str
    team_id: UUID | None
    sells: bool
    """An active rep or manager: shown even without a deal."""


class Place(msgspec.Struct, frozen=True):
    """A team, or a territory, with its parent (None: a root)."""

    id: UUID
    name: str
    parent_id: UUID | None
    lead_id: UUID | None
    """The team's manager or the territory's owner."""


class Tree(msgspec.Struct, kw_only=True):
    """Everybody's place, as it is now."""

    people: dict[UUID, Person]
    teams: dict[UUID, Place]
    territories: dict[UUID, Place]

    @property
    def root(self) -> Node:
        """The root team, or the company where there is none or more than one."""
        roots = [team.id for team in self.teams.values() if team.parent_id is None]
        return Node("team", roots[0]) if len(roots) == 1 else COMPANY

    def name(self, node: Node) -> str:
        found = self._record(node)
        return found.name if found else "Company"

    def _record(self, node: Node) -> Person | Place | None:
        if node.id is None:
            return None
        if node.type == "user":
            return self.people.get(node.id)
        return (self.teams if node.type == "team" else self.territories).get(node.id)

    def default(self, actor: Actor) -> Node:
        """A manager's highest team, the root for who sees all, one's own for everybody else."""
        if actor.sees_all:
            return self.root
        led = [team for team in self.teams.values() if actor.teams and team.id in actor.teams]
        tops = [team for team in led if team.parent_id not in {other.id for other in led}]
        own = sorted(tops, key=lambda team: (team.lead_id != actor.id, team.name))
        return Node("team", own[0].id) if own and actor.role == "manager" else Node("user", actor.id)

    def check(self, actor: Actor, node: Node) -> None:
        """Raises `NotFound` for what does not exist, and for what this actor may not see."""
        exists = node == COMPANY or self._record(node) is not None
        if not exists or not self.shows(actor, node):
            raise NotFound(f"There is no {node.type} of this id.")

    def shows(self, actor: Actor, node: Node) -> bool:
        """Whether the actor may see the node's figures."""
        if actor.sees_all:
            return True
        if node.type == "user":
            return node.id in (actor.owners or ())
        if node.type == "team":
            return node.id in (actor.teams or ())
        place = self._record(node)
        return isinstance(place, Place) and place.lead_id in (actor.owners or ())

    def children(self, node: Node) -> list[Node]:
        """Sub-teams and members, or sub-territories; nothing below a person."""
        if node.type == "territory":
            return [
                Node("territory", place.id)
                for place in self.territories.values()
                if place.parent_id == node.id
            ]
        if node.type == "user":
            return []
        parent = None if node.type == "company" else node.id
        teams = [Node("team", team.id) for team in self.teams.values() if team.parent_id == parent]
        return teams + [Node("user", person.id) for person in self.members(node)]

    def members(self, node: Node) -> list[Person]:
        """The people directly in a team; at the root also those who are in none."""
        lost = node == self.root
        return [
            person
            for person in self.people.values()
            if (person.team_id == node.id and node.type == "team")
            or (lost and person.team_id not in self.teams)
        ]

    def owners(self, node: Node) -> set[UUID]:
        """Everybody below a user, team or company node, at any depth."""
        if node.type == "user":
            return {node.id} if node.id else set()
        found = {person.id for person in self.members(node)}
        for child in self.children(node):
            if child.type == "team":
                found |= self.owners(child)
        return found

    def within(self, node: Node) -> set[UUID]:
        """A territory and those below it."""
        found = {node.id} if node.id else set()
        for child in self.children(node):
            found |= self.within(child)
        return found

    def leaves(self, node: Node, among: Iterable[Leaf]) -> list[Leaf]:
        """Those of the pairs (owner, territory) that lie below the node."""
        if node.type == "territory":
            inside = self.within(node)
            return [leaf for leaf in among if leaf[1] in inside]
        owners = self.owners(node)
        return [leaf for leaf in among if leaf[0] in owners]

    def team_of(self, person_id: UUID) -> UUID | None:
        person = self.people.get(person_id)
        return person.team_id if person and person.team_id in self.teams else None


_PEOPLE = """
SELECT id, name, team_id, is_active AND role IN ('rep', 'manager') AND deleted_at IS NULL AS sells FROM users"""

_TEAMS = """
SELECT t.id, t.name, p.id AS parent_id, t.manager_id AS lead_id
FROM teams t LEFT JOIN teams p ON p.id = t.parent_id AND p.deleted_at IS NULL
WHERE t.deleted_at IS NULL ORDER BY lower(t.name) COLLATE "C", t.id"""

_TERRITORIES = """
SELECT t.id, t.name, p.id AS parent_id, t.owner_id AS lead_id
FROM territories t LEFT JOIN territories p ON p.id = t.parent_id AND p.deleted_at IS NULL
WHERE t.deleted_at IS NULL ORDER BY lower(t.name) COLLATE "C", t.id"""


async def load(database: Database | Tx) -> Tree:
    """The tree as it is now; people who left stay in it, for what they closed counts."""
    people = await database.fetch(f'{_PEOPLE} ORDER BY lower(name) COLLATE "C", id')
    teams, territories = await database.fetch(_TEAMS), await database.fetch(_TERRITORIES)
    return Tree(
        people={row["id"]: Person(**dict(row)) for row in people},
        teams={row["id"]: Place(**dict(row)) for row in teams},
        territories={row["id"]: Place(**dict(row)) for row in territories},
    )
