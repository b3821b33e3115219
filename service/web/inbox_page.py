"""The inbox: what happened, newest first, and where each kind of it goes."""

from typing import Any, get_args
from uuid import UUID

import msgspec
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from service.access import require, visible
from service.db import Params
from service.domains import notifications
from service.domains.notifications import Preferences
from service.errors import NotFound
from service.web.frame import Visit
from service.web.render import page
from service.wire import Web

MOST = 100
LABELS = {
    "mention": "Mentions",
    "assignment": "What becomes yours",
    "task_due": "Due tasks and plan items",
    "reminder": "Reminders",
    "room_activity": "Guests and comments in rooms",
    "deal_changed": "Changes of your deals by others",
    "follow_up": "Deals to look into again",
}
CHANNELS = {"inbox": "Inbox", "mail": "Inbox and mail", "off": "Off"}


@get("/inbox", opt={"optional": True}, media_type=MediaType.HTML)
async def inbox(request: Web, visit: NamedDependency[Visit]) -> Response[Any]:
    """The newest notifications, or the unread ones of them."""
    only_unread = request.query_params.get("show") == "unread"
    params = Params()
    seen = visible(visit.actor, "notifications", "t", params)
    unread = " AND t.read_at IS NULL" if only_unread else ""
    rows = await visit.database.fetch(
        "SELECT t.id, t.kind, t.text, t.created_at, t.read_at, t.opportunity_id FROM notifications t"
        f" WHERE t.deleted_at IS NULL AND {seen}{unread} ORDER BY t.created_at DESC, t.id DESC LIMIT {MOST}",
        *params,
    )
    chosen = await notifications.preferences_of(visit.database, visit.actor.id)  # type: ignore[arg-type]  # a person
    return page(
        "inbox.html", visit.titled("Inbox", "inbox"), visit.say, items=rows, only_unread=only_unread, most=MOST,
        chosen=msgspec.to_builtins(chosen), labels=LABELS, channels=CHANNELS,
        mails=bool(request.app.state.settings.smtp_url),
    )  # fmt: skip


@post("/inbox/{record_id:uuid}/open", opt={"optional": True}, status_code=303)
async def open_one(visit: NamedDependency[Visit], record_id: FromPath[UUID]) -> Response[Any]:
    """Marks it as read and goes to its deal."""
    require(visit.actor, "notifications", "update")
    async with visit.database.begin() as tx:
        if not await notifications.mark(tx, visit.actor, "read_at = coalesce(read_at, now())", record_id):
            raise NotFound("There is no such notification.")
        params = Params([record_id])
        deal = await tx.fetchval(
            "SELECT t.opportunity_id FROM notifications t WHERE t.id = $1"
            f" AND {visible(visit.actor, 'notifications', 't', params)}",
            *params,
        )
    return Redirect(f"/deals/{deal}" if deal else "/inbox", status_code=303)


@post("/inbox/read-all", opt={"optional": True}, status_code=303)
async def read_all(visit: NamedDependency[Visit]) -> Response[Any]:
    """Marks all as read."""
    require(visit.actor, "notifications", "update")
    async with visit.database.begin() as tx:
        await notifications.mark(tx, visit.actor, "read_at = coalesce(read_at, now())")
    return Redirect("/inbox", status_code=303)


@post("/inbox/preferences", opt={"optional": True}, status_code=303)
async def prefer(request: Web, visit: NamedDependency[Visit]) -> Response[Any]:
    """Keeps where each kind goes; what is none of the choices is the inbox."""
    require(visit.actor, "notifications", "update")
    form = await request.form()
    channels = get_args(notifications.Channel)
    wanted = {kind: str(form.get(kind, "")) for kind in notifications.KINDS}
    chosen = {kind: channel for kind, channel in wanted.items() if channel in channels}
    async with visit.database.begin() as tx:
        await notifications.prefer(tx, visit.actor.id, Preferences(**chosen))  # type: ignore[arg-type]  # judged above
    return Redirect("/inbox", status_code=303)


routes: list[Any] = [inbox, open_one, read_all, prefer]
