"""Who plays which part in a deal, as a tree of who reports to whom: places of boxes and lines, drawn by the template."""

from typing import Any
from uuid import UUID

import msgspec

Row = dict[str, Any]

WIDTH, HEIGHT = 172, 54
GAP_X, GAP_Y = 16, 34
LONGEST = 24


class Box(msgspec.Struct, kw_only=True):
    """One person: where the box stands, and what it says."""

    x: float
    y: float
    person: Row
    name: str
    title: str


class Map(msgspec.Struct, kw_only=True):
    """Boxes and the lines between them, in units of a viewBox of `width` × `height`."""

    width: float
    height: float
    boxes: list[Box]
    lines: list[str]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1].rstrip()}…"


def _children(people: list[Row]) -> dict[UUID | None, list[Row]]:
    """Who stands under whom; those whose superior is not here stand on top."""
    known = {person["id"] for person in people}
    found: dict[UUID | None, list[Row]] = {}
    for person in people:
        above = person["reports_to_id"]
        found.setdefault(above if above in known else None, []).append(person)
    return found


def drawn(people: list[Row]) -> Map | None:
    """The map; None where nobody reports to anybody, and a list says as much."""
    below = _children(people)
    if len(below.get(None, [])) in (0, len(people)):
        return None
    boxes: dict[UUID, Box] = {}
    width = 0.0

    def put(person: Row, depth: int) -> float:
        """Places a person behind those under them, and answers the middle of the box."""
        nonlocal width
        middles = [put(child, depth + 1) for child in below.get(person["id"], [])]
        if not middles:
            middles = [width + WIDTH / 2]
            width += WIDTH + GAP_X
        middle = (middles[0] + middles[-1]) / 2
        boxes[person["id"]] = Box(
            x=middle - WIDTH / 2, y=depth * (HEIGHT + GAP_Y) + 1, person=person,
            name=_cut(person["name"]), title=_cut(person["title"] or ""),
        )  # fmt: skip
        return middle

    for person in below[None]:
        put(person, 0)
    lines = [
        _line(boxes[above], boxes[person["id"]])
        for above, persons in below.items()
        if above is not None
        for person in persons
        if person["id"] in boxes and above in boxes
    ]
    height = max(box.y for box in boxes.values()) + HEIGHT + 1
    return Map(width=width - GAP_X, height=height, boxes=list(boxes.values()), lines=lines)


def _line(above: Box, under: Box) -> str:
    """From the middle of the upper box's foot to the middle of the lower one's head."""
    x, y = above.x + WIDTH / 2, above.y + HEIGHT
    half = y + GAP_Y / 2
    return f"M{x:g} {y:g}V{half:g}H{under.x + WIDTH / 2:g}V{under.y:g}"
