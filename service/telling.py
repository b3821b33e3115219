"""Who is told what of what happened: event kind → notices, for the inbox."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec

from service.db import Database
from service.inbox import Notice, put, quoted, seen
from service.jobs import Job

DEAL_FIELDS = ("name", "amount", "close_date", "stage", "forecast_category", "next_step", "account_id")
"""Of whose change the owner of a deal is told, in the order in which they are named."""

_EVENTS = """
SELECT e.id, e.kind, e.entity_type, e.entity_id, e.entity_version, e.actor_id, e.change_id, e.door, e.data,
       coalesce(u.name, e.data ->> 'guest', 'Somebody') AS who
FROM ledger.events e LEFT JOIN users u ON u.id = e.actor_id
WHERE e.id = ANY($1::uuid[]) ORDER BY e.position"""


async def _row(run: Database, table: str, record_id: UUID) -> Any:
    return await run.fetchrow(
        f"SELECT t.* FROM {table} t WHERE t.id = $1 AND t.deleted_at IS NULL AND {seen(table, 't')}",
        record_id,
    )


async def _deal(run: Database, deal_id: UUID | None) -> Any:
    return await _row(run, "opportunities", deal_id) if deal_id else None


async def _hosts(run: Database, deal: Any, link_id: UUID | None) -> list[UUID]:
    """Who hears of what guests do: the deal's owner, and who made the link."""
    maker = await run.fetchval(
        f"SELECT g.created_by_id FROM guest_links g WHERE g.id = $1 AND {seen('guest_links', 'g')}", link_id
    )
    return list(dict.fromkeys(each for each in (deal["owner_id"], maker) if each))


async def of_comment(run: Database, event: Any) -> list[Notice]:
    """Who is mentioned; and, for a new comment, who keeps the room."""
    row = await _row(run, "comments", event["entity_id"])
    if row is None:
        return []
    deal = await _deal(run, row["opportunity_id"])
    where = f"“{deal['name']}”" if deal else "a document"
    author, said = row["author_name"] or "Somebody", quoted(row["body"])
    about = ("opportunity", deal["id"]) if deal else ("account", row["account_id"])
    rest: dict[str, Any] = {
        "about": about,
        "opportunity_id": row["opportunity_id"],
        "actor_id": row["created_by_id"],
    }
    found = [
        Notice(
            user_id=user_id,
            kind="mention",
            text=f"{author} mentioned you on {where}: {said}",
            key=f"mention:{row['id']}",
            **rest,
        )
        for user_id in row["mention_ids"]
    ]
    if deal and event["kind"] == "comment.created":
        found += [
            Notice(
                user_id=user_id,
                kind="room_activity",
                text=f"{author} commented on {where}: {said}",
                key=f"comment:{row['id']}",
                **rest,
            )
            for user_id in await _hosts(run, deal, row["guest_link_id"])
            if user_id not in row["mention_ids"]
        ]
    return found


async def of_plan_item(run: Database, event: Any) -> list[Notice]:
    """An item was given to somebody of ours, or a guest has ticked one."""
    row = await _row(run, "plan_items", event["entity_id"])
    deal = await _deal(run, row["opportunity_id"]) if row else None
    if row is None or deal is None:
        return []
    rest: dict[str, Any] = {
        "about": ("opportunity", deal["id"]),
        "opportunity_id": deal["id"],
        "actor_id": event["actor_id"],
    }
    if event["door"] == "room":
        link_id = UUID(event["data"]["guest_link_id"]) if "guest_link_id" in event["data"] else None
        word = "done" if row["status"] == "done" else "open again"
        text = f"{event['who']} marked “{row['title']}” as {word} in the plan of “{deal['name']}”"
        return [
            Notice(user_id=user_id, kind="room_activity", text=text, key=f"event:{event['id']}", **rest)
            for user_id in await _hosts(run, deal, link_id)
        ]
    if row["user_id"] is None or row["status"] == "done":
        return []
    text = f"{event['who']} gave you “{row['title']}” in the plan of “{deal['name']}”"
    return [
        Notice(user_id=row["user_id"], kind="assignment", text=text, key=f"plan_item:{row['id']}", **rest)
    ]


async def of_room(run: Database, event: Any) -> list[Notice]:
    """A guest has come in."""
    deal = await _deal(run, event["entity_id"])
    if deal is None:
        return []
    text = f"{event['who']} opened the room of “{deal['name']}”"
    link_id = UUID(event["data"]["guest_link_id"])
    return [
        Notice(
            user_id=user_id,
            kind="room_activity",
            text=text,
            key=f"event:{event['id']}",
            about=("opportunity", deal["id"]),
            opportunity_id=deal["id"],
        )
        for user_id in await _hosts(run, deal, link_id)
    ]


_NOUNS = {
    "opportunity": ("opportunities", "the deal"),
    "lead": ("leads", "the lead"),
    "account": ("accounts", "the account"),
}


def _called(row: Any) -> str:
    """What a record is called."""
    if "name" in row:
        return str(row["name"])
    person = " ".join(filter(None, (row["first_name"], row["last_name"])))
    return person or row["company"] or "without a name"


async def of_assignment(run: Database, event: Any) -> list[Notice]:
    """A deal, a lead or an account has another owner."""
    table, noun = _NOUNS[event["entity_type"]]
    row = await _row(run, table, event["entity_id"])
    if row is None or row["owner_id"] is None:
        return []
    by = event["who"] if event["actor_id"] else "Routing"
    return [
        Notice(
            user_id=row["owner_id"],
            kind="assignment",
            text=f"{by} gave you {noun} “{_called(dict(row))}”",
            key=f"event:{event['id']}",
            about=(event["entity_type"], row["id"]),
            opportunity_id=row["id"] if table == "opportunities" else None,
            actor_id=event["actor_id"],
        )
    ]


async def of_task(run: Database, event: Any) -> list[Notice]:
    """A task was given to somebody else."""
    row = await _row(run, "activities", event["entity_id"])
    if row is None or row["type"] != "task" or row["status"] != "planned" or row["owner_id"] is None:
        return []
    return [
        Notice(
            user_id=row["owner_id"],
            kind="assignment",
            text=f"{event['who']} gave you a task: {quoted(row['subject'] or 'without a subject')}",
            key=f"task:{row['id']}",
            about=("activity", row["id"]),
            opportunity_id=row["opportunity_id"],
            actor_id=event["actor_id"],
        )
    ]


_VERSIONS = """
SELECT h.version, h.name, h.amount, h.close_date, h.stage, h.forecast_category, h.next_step, h.account_id, h.owner_id
FROM history.opportunities h WHERE h.id = $1 AND h.version IN ($2, $2 - 1) ORDER BY h.version
/* access:opportunities */"""


async def of_deal(run: Database, event: Any) -> list[Notice]:
    """Somebody changed a deal of another: which fields, and the stage by name."""
    if event["actor_id"] is None or event["entity_version"] is None:
        return []
    rows = await run.fetch(_VERSIONS, event["entity_id"], event["entity_version"])
    if len(rows) != 2 or rows[1]["owner_id"] is None:
        return []
    old, new = rows
    changed = [name.removesuffix("_id").replace("_", " ") for name in DEAL_FIELDS if old[name] != new[name]]
    if not changed:
        return []
    what = (
        f"moved “{new['name']}” to {new['stage'].replace('_', ' ')}"
        if event["kind"] == "opportunity.stage_changed"
        else f"changed {', '.join(changed)} of “{new['name']}”"
    )
    return [
        Notice(
            user_id=new["owner_id"],
            kind="deal_changed",
            text=f"{event['who']} {what}",
            key=f"event:{event['id']}",
            about=("opportunity", event["entity_id"]),
            opportunity_id=event["entity_id"],
            actor_id=event["actor_id"],
        )
    ]


RULES: dict[str, Callable[[Database, Any], Awaitable[list[Notice]]]] = {
    "comment.created": of_comment,
    "comment.updated": of_comment,
    "plan_item.created": of_plan_item,
    "plan_item.updated": of_plan_item,
    "room.viewed": of_room,
    "opportunity.assigned": of_assignment,
    "lead.assigned": of_assignment,
    "account.assigned": of_assignment,
    "activity.created": of_task,
    "activity.updated": of_task,
    "opportunity.updated": of_deal,
    "opportunity.stage_changed": of_deal,
}
"""Event kind → who is told what."""


FEW = 3
"""Beyond so many notices of one kind from one change to one reader there is one that stands for all."""


def gathered(told: list[tuple[UUID, Notice]]) -> list[Notice]:
    """(Change set, notice) → the notices: a bulk change of a thousand deals fills nobody's inbox."""
    groups: dict[tuple[UUID, UUID, str], list[Notice]] = {}
    for change_id, notice in told:
        groups.setdefault((change_id, notice.user_id, notice.kind), []).append(notice)
    found: list[Notice] = []
    for (change_id, _, kind), notices in groups.items():
        if len(notices) <= FEW:
            found += notices
            continue
        text = f"{notices[0].text}, and {len(notices) - 1} more in the same change"
        found.append(msgspec.structs.replace(notices[0], text=text, key=f"change:{change_id}:{kind}"))
    return found


async def notify(claimed: list[Job]) -> dict[str, int]:
    """`inbox.notify`: tells people of what happened."""
    database = claimed[0].database
    told: list[tuple[UUID, Notice]] = []
    for event in await database.fetch(_EVENTS, [job.event_id for job in claimed]):
        if rule := RULES.get(event["kind"]):
            told += [(event["change_id"], notice) for notice in await rule(database, event)]
    return {"created": await put(database, gathered(told))}


handlers = {"inbox.notify": notify}
