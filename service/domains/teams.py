"""Teams: a tree of people; a manager sees what the people of their teams own."""

from uuid import UUID

from msgspec import UNSET

from service import columns as c
from service.crud import crud
from service.db import business_table
from service.resource import Resource, Row
from service.rules import not_itself
from service.shapes import Draft, Maybe, Name, item_of, patch_of
from service.trees import tree

# Tables --------------------------------------------------------------------------------------------

teams = business_table(
    "teams",
    c.text("name", required=True),
    c.reference("parent_id", "teams"),
    c.reference("manager_id", "users", ring=True),
    c.index("ix_teams_parent_id", "parent_id"),
    c.index("ix_teams_manager_id", "manager_id"),
    c.external("teams"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------


class TeamDraft(Draft, kw_only=True):
    name: Name
    parent_id: Maybe[UUID] = UNSET
    manager_id: Maybe[UUID] = UNSET


TeamPatch = patch_of(TeamDraft)
Team = item_of(teams, TeamDraft)

# Rules ---------------------------------------------------------------------------------------------


def check(new: Row, old: Row | None) -> None:
    """A team is not its own parent."""
    not_itself(new, "parent_id")


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/teams",
    name="team",
    table=teams,
    draft=TeamDraft,
    patch=TeamPatch,
    item=Team,
    references={"parent_id": "teams", "manager_id": "users"},
    text=("name",),
    tree="parent_id",
    check=check,
)

routes = [*crud(resource), tree(resource, "manager_id")]
