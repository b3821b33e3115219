"""What the room on the deal page asks of the database, for the eyes of one actor."""

import asyncio
from typing import Any
from uuid import UUID

from service.access import guard, may, visible
from service.db import Params
from service.domains import rooms
from service.web.frame import Visit

Row = dict[str, Any]
MOST = 100
SHOWN_EVENTS = 8
SIDES = {"theirs": "guest", "ours": "us"}
HAPPENED = {
    "room_viewed": "opened the room",
    "document_viewed": "opened a document",
    "comment_added": "commented",
    "plan_item_done": "completed a plan item",
}


async def _rows(visit: Visit, table: str, sql: str, deal_id: UUID, *joined: str) -> list[Row]:
    """Rows of `table` as `t` of one deal; `{name}` in the text stands for what is seen of a `joined` table."""
    params = Params([deal_id])
    seen = {name: guard(visit.actor, name, name[0], params) for name in joined}
    where = f"t.opportunity_id = $1 AND t.deleted_at IS NULL AND {visible(visit.actor, table, 't', params)}"
    rows = await visit.database.fetch(sql.format(where=where, **seen) + f" LIMIT {MOST}", *params)
    return [dict(row) for row in rows]


async def plan(visit: Visit, deal_id: UUID) -> list[Row]:
    """The plan with its owners' names."""
    return await _rows(
        visit, "plan_items",
        "SELECT t.id, t.version, t.title, t.description, t.due_date, t.status, t.is_shared, t.completed_at,"
        " t.completed_side, t.contact_id IS NOT NULL AS is_theirs,"
        " coalesce(u.name, nullif(concat_ws(' ', c.first_name, c.last_name), '')) AS owner"
        " FROM plan_items t LEFT JOIN users u ON u.id = t.user_id"
        " LEFT JOIN contacts c ON c.id = t.contact_id AND c.deleted_at IS NULL AND {contacts}"
        " WHERE {where} ORDER BY t.position, t.id",
        deal_id, "contacts",
    )  # fmt: skip


async def documents(visit: Visit, deal_id: UUID) -> list[Row]:
    """The documents, and how often guests opened each."""
    return await _rows(
        visit, "documents",
        "SELECT t.id, t.name, t.type, t.is_shared, t.size_bytes, t.content_version, t.sha256,"
        " (SELECT count(*) FROM room_views v WHERE v.document_id = t.id AND v.guest_link_id IS NOT NULL) AS guest_views"
        " FROM documents t WHERE {where} ORDER BY t.created_at DESC, t.id",
        deal_id,
    )  # fmt: skip


async def comments(visit: Visit, deal_id: UUID) -> list[Row]:
    """The newest comments, oldest first."""
    rows = await _rows(
        visit, "comments",
        "SELECT t.body, t.author_name, t.side, t.is_shared, t.created_at FROM comments t"
        " WHERE {where} ORDER BY t.created_at DESC, t.id",
        deal_id,
    )  # fmt: skip
    return rows[::-1]


async def links(visit: Visit, deal_id: UUID) -> list[Row]:
    """The guest links with their state and use."""
    return await _rows(
        visit, "guest_links",
        "SELECT t.id, t.name, t.expires_at, t.max_uses,"
        " NOT EXISTS (SELECT 1 FROM guest_link_secrets s WHERE s.guest_link_id = t.id) AS is_revoked, t.expires_at <= now() AS is_expired,"
        " (SELECT count(*) FROM room_visits v WHERE v.guest_link_id = t.id) AS uses,"
        " (SELECT max(v.occurred_at) FROM room_views v WHERE v.guest_link_id = t.id) AS last_viewed_at"
        " FROM guest_links t WHERE {where} ORDER BY t.created_at DESC, t.id",
        deal_id,
    )  # fmt: skip


async def contacts(visit: Visit, deal_id: UUID, account_id: UUID | None) -> list[Row]:
    """People on their side: stakeholders of the deal and contacts of its account."""
    params = Params([deal_id, account_id])
    contact = guard(visit.actor, "contacts", "c", params)
    stakeholder = visible(visit.actor, "stakeholders", "s", params)
    rows = await visit.database.fetch(
        "SELECT c.id, nullif(concat_ws(' ', c.first_name, c.last_name), '') AS name FROM contacts c"
        f" WHERE c.deleted_at IS NULL AND {contact} AND (c.account_id = $2 OR c.id IN (SELECT s.contact_id"
        f" FROM stakeholders s WHERE s.opportunity_id = $1 AND s.deleted_at IS NULL AND {stakeholder}))"
        f' ORDER BY lower(c.last_name) COLLATE "C", c.id LIMIT {MOST}',
        *params,
    )
    return [dict(row) for row in rows]


async def room(visit: Visit, deal: Row) -> Row:
    """All of the room, asked side by side; None for who may not read its parts."""
    if not all(may(visit.actor, resource.key, "read") for resource, _, _ in rooms.PARTS.values()):
        return {"room": None}
    async with asyncio.TaskGroup() as group:
        asked = {
            name: group.create_task(read(visit, deal["id"]))
            for name, read in (
                ("plan", plan),
                ("documents", documents),
                ("comments", comments),
                ("links", links),
            )
        }
        people = group.create_task(contacts(visit, deal["id"], deal["account_id"]))
        happened = group.create_task(rooms.activity(visit.database, deal["id"]))
    found: Row = {name: task.result() for name, task in asked.items()}
    return {
        "room": found
        | {
            "contacts": people.result(),
            "activity": happened.result()[:SHOWN_EVENTS],
            "happened": HAPPENED,
            "may_plan": may(visit.actor, "plan_items", "create"),
            "may_comment": may(visit.actor, "comments", "create"),
            "may_file": may(visit.actor, "documents", "create"),
            "may_invite": may(visit.actor, "guest_links", "create"),
        }
    }
