"""The tree of nodes: who stands where, what is below, who may look, and whose forecast is one's own."""

from uuid import UUID

import pytest

from service.access import SYSTEM, Actor
from service.errors import BadRequest, NotFound
from service.nodes import COMPANY, Node, Person, Place, Tree


def number(value: int) -> UUID:
    return UUID(int=value)


ROOT, EAST, WEST, LAND, SHIRE = map(number, (1, 2, 3, 4, 5))
BOSS, ANN, BEN, CY = map(number, (11, 12, 13, 14))


def tree(**changes: dict[UUID, Place]) -> Tree:
    """A root with two teams; Cy is in no team; Shire lies in Land."""
    people = (
        Person(BOSS, "Boss", EAST, True),
        Person(ANN, "Ann", EAST, True),
        Person(BEN, "Ben", WEST, True),
    )
    teams = (Place(ROOT, "All", None, None), Place(EAST, "East", ROOT, BOSS), Place(WEST, "West", ROOT, None))
    lands = (Place(LAND, "Land", None, BOSS), Place(SHIRE, "Shire", LAND, None))
    return Tree(
        people={person.id: person for person in (*people, Person(CY, "Cy", None, False))},
        teams=changes.get("teams", {team.id: team for team in teams}),
        territories={land.id: land for land in lands},
    )


def actor(of: UUID, role: str, owners: tuple[UUID, ...], teams: tuple[UUID, ...] = ()) -> Actor:
    return Actor(id=of, role=role, owners=owners, teams=teams)


REP = actor(ANN, "rep", (ANN,))
LEADER = actor(BOSS, "manager", (BOSS, ANN), (EAST,))


@pytest.mark.parametrize("text", [f"user:{ANN}", f"team:{EAST}", f"territory:{LAND}", "company"])
def test_a_node_is_read_as_it_is_written(text: str) -> None:
    assert str(Node.parse(text)) == text


@pytest.mark.parametrize("text", ["", "user", "user:", "user:x", "planet:1", "company:1", f"team {EAST}"])
def test_what_names_no_node_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        Node.parse(text)


def test_who_is_in_no_team_stands_under_the_root() -> None:
    assert tree().owners(Node("team", ROOT)) == {BOSS, ANN, BEN, CY}
    assert tree().owners(Node("team", EAST)) == {BOSS, ANN}


def test_children_hold_everybody_once() -> None:
    for node in (Node("team", ROOT), Node("team", EAST)):
        below = [owner for child in tree().children(node) for owner in tree().owners(child)]
        assert sorted(below) == sorted(tree().owners(node))


def test_with_several_roots_the_company_is_above_them() -> None:
    two = tree(teams={EAST: Place(EAST, "East", None, BOSS), WEST: Place(WEST, "West", None, None)})
    assert two.root == COMPANY
    assert two.owners(COMPANY) == {BOSS, ANN, BEN, CY}
    assert {child.type for child in two.children(COMPANY)} == {"team", "user"}
    assert tree().root == Node("team", ROOT)


def test_ones_own_forecast() -> None:
    assert tree().default(REP) == Node("user", ANN)
    assert tree().default(LEADER) == Node("team", EAST)
    assert tree().default(SYSTEM) == Node("team", ROOT)
    assert tree().default(actor(BEN, "manager", (BEN,))) == Node("user", BEN)


@pytest.mark.parametrize(
    ("who", "node", "is_seen"),
    [
        (REP, Node("user", ANN), True),
        (REP, Node("user", BEN), False),
        (REP, Node("team", EAST), False),
        (REP, Node("territory", LAND), False),
        (REP, COMPANY, False),
        (LEADER, Node("user", ANN), True),
        (LEADER, Node("team", EAST), True),
        (LEADER, Node("team", ROOT), False),
        (LEADER, Node("territory", LAND), True),
        (SYSTEM, COMPANY, True),
        (SYSTEM, Node("team", number(99)), False),
    ],
)
def test_who_may_look(who: Actor, node: Node, is_seen: bool) -> None:
    if is_seen:
        tree().check(who, node)
    else:
        with pytest.raises(NotFound):
            tree().check(who, node)


def test_leaves_below_a_territory_and_a_person() -> None:
    leaves = [(ANN, None), (ANN, SHIRE), (BEN, SHIRE), (BEN, LAND)]
    assert tree().leaves(Node("territory", LAND), leaves) == leaves[1:]
    assert tree().leaves(Node("territory", SHIRE), leaves) == leaves[1:3]
    assert tree().leaves(Node("user", ANN), leaves) == leaves[:2]
