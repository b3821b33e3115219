"""The small forms of the deal page: a reminder for oneself, and what a manager found on looking into the deal."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from service.access import require
from service.domains import notes, reminders
from service.settings import Settings
from service.web import deal_reads
from service.web.deal_page import deal_view
from service.web.frame import Visit
from service.wire import Web
from service.writes import insert

MOST_WORD = 500
MOST_NOTE = 10_000


async def _fields(request: Web) -> dict[str, str]:
    return {name: str(value).replace("\0", "").strip() for name, value in (await request.form()).items()}


@post("/deals/{deal_id:uuid}/reminders", opt={"optional": True}, status_code=303)
async def remind(
    request: Web, visit: NamedDependency[Visit], settings: NamedDependency[Settings], deal_id: FromPath[UUID]
) -> Response[Any]:
    """A word to oneself about the deal, at a time by one's own clock."""
    require(visit.actor, "reminders", "create")
    await deal_reads.deal(visit, deal_id)
    form = await _fields(request)
    try:
        at = datetime.fromisoformat(form.get("at", "")).replace(tzinfo=visit.say.zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return await deal_view(visit, settings, deal_id, "Say when to remind you.", 422)
    text = form.get("text", "")[:MOST_WORD]
    if not text:
        return await deal_view(visit, settings, deal_id, "Say of what to remind you.", 422)
    draft = {"record_type": "opportunity", "record_id": deal_id, "remind_at": at, "text": text}
    async with visit.database.begin() as tx:
        await insert(tx, reminders.resource, visit.actor, draft)
    return Redirect(f"/deals/{deal_id}", status_code=303)


@post("/deals/{deal_id:uuid}/inspection", opt={"optional": True}, status_code=303)
async def inspect(
    request: Web, visit: NamedDependency[Visit], settings: NamedDependency[Settings], deal_id: FromPath[UUID]
) -> Response[Any]:
    """An inspection note, with a day to look again where one is named."""
    require(visit.actor, "notes", "inspect")
    await deal_reads.deal(visit, deal_id)
    form = await _fields(request)
    body = form.get("body", "").replace("\r\n", "\n")[:MOST_NOTE]
    if not body:
        return await deal_view(visit, settings, deal_id, "Say what you found.", 422)
    try:
        again = date.fromisoformat(form["follow_up_on"]) if form.get("follow_up_on") else None
    except ValueError:
        return await deal_view(visit, settings, deal_id, "Say by a date when to look again.", 422)
    draft = {
        "kind": "inspection", "opportunity_id": deal_id, "body": body, "follow_up_on": again,
        "is_private": "private" in form,
    }  # fmt: skip
    async with visit.database.begin() as tx:
        await insert(tx, notes.resource, visit.actor, draft)
    return Redirect(f"/deals/{deal_id}", status_code=303)


routes: list[Any] = [remind, inspect]
