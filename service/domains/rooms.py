"""The deal room: one look at the plan, the documents, the comments, the people and what happened lately."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from service import query
from service.access import Actor, require
from service.db import Database, to_json
from service.domains import comments, documents, guest_links, plan_items, stakeholders
from service.domains.opportunities import resource as opportunities
from service.resource import Resource
from service.wire import answer
from service.writes import document

MOST = 100
MOST_ACTIVITY = 50

# Shapes --------------------------------------------------------------------------------------------


class PlanPart(msgspec.Struct, kw_only=True):
    items: list[plan_items.PlanItem]  # type: ignore[valid-type]  # made from the Draft
    next: str | None


class DocumentsPart(msgspec.Struct, kw_only=True):
    items: list[documents.Document]  # type: ignore[valid-type]
    next: str | None


class CommentsPart(msgspec.Struct, kw_only=True):
    items: list[comments.Comment]  # type: ignore[valid-type]
    next: str | None


class StakeholdersPart(msgspec.Struct, kw_only=True):
    items: list[stakeholders.Stakeholder]  # type: ignore[valid-type]
    next: str | None


class GuestsPart(msgspec.Struct, kw_only=True):
    items: list[guest_links.GuestLink]  # type: ignore[valid-type]
    next: str | None


class Happening(msgspec.Struct, kw_only=True):
    """`kind` is `room_viewed`, `document_viewed`, `comment_added` or `plan_item_done`; `side` is `ours` or `theirs`."""

    kind: str
    side: str
    occurred_at: datetime
    record_id: UUID | None
    who: str | None


class Room(msgspec.Struct, kw_only=True):
    opportunity_id: UUID
    plan: PlanPart
    documents: DocumentsPart
    comments: CommentsPart
    stakeholders: StakeholdersPart
    guests: GuestsPart
    activity: list[Happening]


# Rules ---------------------------------------------------------------------------------------------

PARTS: dict[str, tuple[Resource, list[tuple[str, bool]], list[str]]] = {
    "plan": (plan_items.resource, [("position", False)], ["user", "contact"]),
    "documents": (documents.resource, [("created_at", True)], []),
    "comments": (comments.resource, [("created_at", True)], []),
    "stakeholders": (stakeholders.resource, [("created_at", False)], ["contact"]),
    "guests": (guest_links.resource, [("created_at", True)], []),
}
"""Part → what it lists, in which order, with what beside it."""

_ACTIVITY = f"""
SELECT e.kind, e.side, e.occurred_at, e.record_id, coalesce(u.name, e.guest) AS who
FROM known.room_events e LEFT JOIN users u ON u.id = e.user_id
WHERE e.opportunity_id = $1 ORDER BY e.occurred_at DESC, e.id LIMIT {MOST_ACTIVITY}"""


async def activity(database: Database, opportunity_id: UUID) -> list[dict[str, Any]]:
    """What happened in a room lately; for who has been seen to see the deal."""
    return [dict(row) for row in await database.fetch(_ACTIVITY, opportunity_id)]


# Routes --------------------------------------------------------------------------------------------


@get("/opportunities/{record_id:uuid}/room", opt={"answer": Room})
async def room(
    database: NamedDependency[Database], actor: NamedDependency[Actor], record_id: FromPath[UUID]
) -> Response[bytes]:
    """The room of a deal; each part holds its first hundred, more are in the part's own list."""
    require(actor, "opportunities", "read")
    for resource, _, _ in PARTS.values():
        require(actor, resource.key, "read")
    await document(database, opportunities, actor, record_id)
    async with asyncio.TaskGroup() as group:
        parts = {
            name: group.create_task(
                query.run(
                    database, resource.source, actor, query.Request(limit=MOST, sort=sort, expand=beside),
                    {"opportunity_id": record_id},
                )
            )
            for name, (resource, sort, beside) in PARTS.items()
        }  # fmt: skip
        happened = group.create_task(activity(database, record_id))
    texts = ",".join(f'"{name}":{task.result().body}' for name, task in parts.items())
    return answer(f'{{"opportunity_id":"{record_id}",{texts},"activity":{to_json(happened.result())}}}')


routes = [room]
