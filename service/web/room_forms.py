"""The forms of the room on the deal page: plan, comments, documents, guest links."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from service import uploads, wire
from service.access import require
from service.domains import comments, documents, guest_links, plan_items
from service.errors import Invalid, NotFound, Problem
from service.resource import Row, plain
from service.settings import Settings
from service.web.deal_page import deal_view
from service.web.frame import Visit
from service.wire import Web
from service.writes import insert, locked, update

FORM: dict[str, Any] = {"opt": {"optional": True}, "status_code": 303}
DAYS = (7, 30, 90)


async def _fields(request: Web) -> dict[str, str]:
    return {
        name: str(value).strip() for name, value in (await request.form()).items() if name != "csrf_token"
    }


def judged(told: dict[str, Any], shape: type[msgspec.Struct]) -> Row:
    """The members of a form by the shape that the API takes, what is empty left out."""
    given = {name: value for name, value in told.items() if value not in ("", None)}
    try:
        return plain(msgspec.convert(given, shape, strict=False))
    except msgspec.ValidationError as error:
        raise wire.from_msgspec(str(error)) from None


async def _answered(
    visit: Visit, settings: Settings, deal_id: UUID, work: Callable[[], Awaitable[str]]
) -> Response[Any]:
    """Back to the room; what was wrong stands on the page, and so does the address that is shown once."""
    try:
        shown = await work()
    except NotFound:
        raise
    except Problem as problem:
        return await deal_view(visit, settings, deal_id, problem.detail, problem.status)
    if shown:
        return await deal_view(visit, settings, deal_id, link=shown)
    return Redirect(f"/deals/{deal_id}#room", status_code=303)


@post("/deals/{deal_id:uuid}/plan", **FORM)
async def plan(
    request: Web, visit: NamedDependency[Visit], settings: NamedDependency[Settings], deal_id: FromPath[UUID]
) -> Response[Any]:
    """A new step of the plan, ours or theirs."""
    require(visit.actor, "plan_items", "create")
    form = await _fields(request)

    async def work() -> str:
        owner = form.get("owner", "")
        told = {
            "opportunity_id": deal_id, "title": form.get("title", ""), "due_date": form.get("due_date", ""),
            "is_shared": "shared" in form, "user_id": visit.actor.id if owner == "me" else None,
            "contact_id": owner if owner not in ("", "me") else None,
        }  # fmt: skip
        if not told["title"]:
            raise Invalid.at("/title", "say what is to be done")
        async with visit.database.begin() as tx:
            await insert(tx, plan_items.resource, visit.actor, judged(told, plan_items.PlanItemDraft))
        return ""

    return await _answered(visit, settings, deal_id, work)


@post("/deals/{deal_id:uuid}/plan/{item_id:uuid}", **FORM)
async def tick(
    request: Web,
    visit: NamedDependency[Visit],
    settings: NamedDependency[Settings],
    deal_id: FromPath[UUID],
    item_id: FromPath[UUID],
) -> Response[Any]:
    """Ticks a step, or opens it again."""
    require(visit.actor, "plan_items", "update")
    status = (await _fields(request)).get("status", "")

    async def work() -> str:
        changes = judged({"status": status}, plan_items.PlanItemPatch)
        async with visit.database.begin() as tx:
            old = await locked(tx, plan_items.resource, visit.actor, item_id)
            await update(tx, plan_items.resource, visit.actor, old, changes)
        return ""

    return await _answered(visit, settings, deal_id, work)


@post("/deals/{deal_id:uuid}/comments", **FORM)
async def comment(
    request: Web, visit: NamedDependency[Visit], settings: NamedDependency[Settings], deal_id: FromPath[UUID]
) -> Response[Any]:
    """Says something to colleagues, or to the guests too."""
    require(visit.actor, "comments", "create")
    form = await _fields(request)

    async def work() -> str:
        said = form.get("body", "").replace("\r\n", "\n")
        if not said:
            raise Invalid.at("/body", "write something")
        told = {"opportunity_id": deal_id, "body": said, "is_shared": "shared" in form}
        draft = judged(told, comments.CommentDraft)
        async with visit.database.begin() as tx:
            await insert(tx, comments.resource, visit.actor, draft)
        return ""

    return await _answered(visit, settings, deal_id, work)


@post("/deals/{deal_id:uuid}/documents", request_max_body_size=uploads.MOST_BODY, **FORM)
async def upload(
    request: Web, visit: NamedDependency[Visit], settings: NamedDependency[Settings], deal_id: FromPath[UUID]
) -> Response[Any]:
    """Files a document."""
    require(visit.actor, "documents", "create")

    async def work() -> str:
        told, file = await uploads.form_of(request)
        if file is None:
            raise Invalid.at("/file", "choose a file")
        shared = told.pop("shared", None) is not None
        told = {"name": file.name} | told | {"opportunity_id": deal_id, "is_shared": shared}
        draft = judged(told, documents.DocumentDraft)
        await documents.make(visit.database, settings, visit.actor, draft, file)
        return ""

    return await _answered(visit, settings, deal_id, work)


@post("/deals/{deal_id:uuid}/guests", **FORM)
async def invite(
    request: Web, visit: NamedDependency[Visit], settings: NamedDependency[Settings], deal_id: FromPath[UUID]
) -> Response[Any]:
    """Makes a link; its address is shown on the page that answers, and never again."""
    require(visit.actor, "guest_links", "create")
    form = await _fields(request)

    async def work() -> str:
        days = form.get("days", "")
        lasts = int(days) if days.isascii() and days.isdigit() and int(days[:4]) in DAYS else DAYS[1]
        told = {
            "opportunity_id": deal_id, "name": form.get("name", ""), "may_tick": "may_tick" in form,
            "may_comment": "may_comment" in form, "expires_at": datetime.now(UTC) + timedelta(days=lasts),
        }  # fmt: skip
        if not told["name"]:
            raise Invalid.at("/name", "say whom the link is for")
        draft = judged(told, guest_links.GuestLinkDraft)
        async with visit.database.begin() as tx:
            _, token = await guest_links.make(tx, settings, visit.actor, draft)
        return f"{settings.address}/room/{token}"

    return await _answered(visit, settings, deal_id, work)


@post("/deals/{deal_id:uuid}/guests/{link_id:uuid}/revoke", **FORM)
async def revoke(
    visit: NamedDependency[Visit],
    settings: NamedDependency[Settings],
    deal_id: FromPath[UUID],
    link_id: FromPath[UUID],
) -> Response[Any]:
    """Ends a link at once."""
    require(visit.actor, "guest_links", "update")

    async def work() -> str:
        async with visit.database.begin() as tx:
            await guest_links.revoked(tx, visit.actor, link_id, None)
        return ""

    return await _answered(visit, settings, deal_id, work)


routes: list[Any] = [plan, tick, comment, upload, invite, revoke]
