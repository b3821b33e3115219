"""“My day”: what is late, due and planned, whom to answer, what to do next; and its forms."""

from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from service.access import may, require
from service.domains import activities, day, plan_items
from service.web.frame import Visit
from service.web.render import page
from service.wire import Web
from service.writes import insert, locked, update

AT = time(17, 0)
"""The hour at which a task is due whose day alone is named."""
KINDS = {"task": activities.resource, "plan_item": plan_items.resource}

ADVICES = 8
"""Recommendations that are shown: the most valuable ones."""
PARTS = (("overdue", "Overdue"), ("due", "Due today"))


async def _page(visit: Visit, *, trouble: str = "", status: int = 200) -> Response[Any]:
    found = await day.day(visit.database, visit.actor, visit.now)
    visit.frame.path = "/day"
    return page(
        "day.html", visit.titled("My day", "day"), visit.say, status=status, day=found, trouble=trouble,
        may_add=may(visit.actor, "activities", "create"), may_act=may(visit.actor, "recommendations", "done"),
        advices=ADVICES, parts=[(label, found[key]) for key, label in PARTS], today=visit.say.now.date(),
    )  # fmt: skip


@get("/day", opt={"optional": True}, media_type=MediaType.HTML)
async def my_day(visit: NamedDependency[Visit]) -> Response[Any]:
    """The reader's day."""
    return await _page(visit)


@post("/day/tasks", opt={"optional": True}, status_code=303)
async def add_task(request: Web, visit: NamedDependency[Visit]) -> Response[Any]:
    """A task for oneself, due at the end of a day."""
    require(visit.actor, "activities", "create")
    form = {name: str(value) for name, value in (await request.form()).items()}
    subject = form.get("subject", "").strip()[:1000]
    try:
        due = datetime.combine(date.fromisoformat(form.get("due", "")), AT, visit.say.zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return await _page(visit, trouble="Say by which day.", status=422)
    if not subject or "\0" in subject:
        return await _page(visit, trouble="Say what is to be done.", status=422)
    async with visit.database.begin() as tx:
        await insert(
            tx, activities.resource, visit.actor, {"type": "task", "subject": subject, "due_at": due}
        )
    return Redirect("/day", status_code=303)


@post("/day/{kind:str}/{record_id:uuid}/done", opt={"optional": True}, status_code=303)
async def done(
    visit: NamedDependency[Visit], kind: FromPath[str], record_id: FromPath[UUID]
) -> Response[Any]:
    """A task, or an item of a plan, is done."""
    resource = KINDS.get(kind, activities.resource)
    require(visit.actor, resource.key, "update")
    async with visit.database.begin() as tx:
        old = await locked(tx, resource, visit.actor, record_id)
        status = "done" if resource is plan_items.resource else "completed"
        await update(tx, resource, visit.actor, old, {"status": status})
    return Redirect("/day", status_code=303)


routes: list[Any] = [my_day, add_task, done]
