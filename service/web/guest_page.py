"""The guest page: what a deal's room shows to who opens it by a link. It needs no script and no account.

It holds what is shared and nothing else: neither the deal's name nor its amount, stage or chance.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from litestar import MediaType, Response, Router, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Redirect

from service import calendar, guests
from service.access import visible
from service.db import Database, Params
from service.domains import comments, documents, plan_items
from service.domains.sessions import address_of
from service.errors import Forbidden, Invalid, NotFound, Problem, TooManyRequests
from service.guests import Guest
from service.settings import Settings
from service.tokens import signing_key
from service.web.render import HEADERS, Frame, page
from service.web.words import Words
from service.wire import Web
from service.writes import insert, locked, update

log = structlog.get_logger()

Row = dict[str, Any]
COOKIE = "sales_visit"
PER_MINUTE = 60
"""Requests of one link, or of one address that sends no link of ours."""
MOST = 200
MOST_COMMENT = 4_000
SAFE = HEADERS | {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}
"""No script at all, and the address, which is the key, is told to nobody."""


async def entered(request: Web, settings: Settings, database: Database, token: str) -> Guest:
    """The guest of this request. Raises `TooManyRequests`, and `NotFound` for a link that is not valid."""
    key = signing_key(settings)
    link_id = guests.read_token(key, token)
    if limiter := request.app.state.guest_limiter:
        verdict = await limiter.take(f"room:{link_id or address_of(request)}")
        if not verdict.allowed:
            wait = str(max(1, int(verdict.wait + 0.999)))
            raise TooManyRequests("Too many requests: wait a moment.", headers={"Retry-After": wait})
    return await guests.enter(database, key, token, request.cookies.get(COOKIE, ""), datetime.now(UTC))


def with_visit(request: Web, answered: Response[Any], guest: Guest, token: str) -> Response[Any]:
    """The answer, with the visit's cookie when it has just begun; the cookie goes to this link's pages only."""
    if guest.cookie:
        cookie = Cookie(
            COOKIE, value=guest.cookie, path=f"/room/{token}", httponly=True, samesite="strict",
            secure=request.url.scheme == "https", max_age=int(guests.VISIT.total_seconds()),
        )  # fmt: skip
        answered.set_cookie(cookie)
    return answered


# What is shared ----------------------------------------------------------------------------------------------------


async def plan(database: Database, guest: Guest) -> list[Row]:
    """The shared items of the plan with their owners' names."""
    if not guest.shows_plan:
        return []
    seen = visible(guest.actor, "plan_items", "t", Params())
    contact = visible(guest.actor, "contacts", "c", Params())
    rows = await database.fetch(
        "SELECT t.id, t.title, t.description, t.due_date, t.status, t.completed_at, t.completed_side,"
        " coalesce(u.name, nullif(concat_ws(' ', c.first_name, c.last_name), '')) AS owner,"
        " t.user_id IS NOT NULL AS is_ours"
        " FROM plan_items t LEFT JOIN users u ON u.id = t.user_id"
        f" LEFT JOIN contacts c ON c.id = t.contact_id AND c.deleted_at IS NULL AND {contact}"
        f" WHERE t.opportunity_id = $1 AND t.is_shared AND t.deleted_at IS NULL AND {seen}"
        f" ORDER BY t.position, t.id LIMIT {MOST}",
        guest.opportunity_id,
    )
    return [dict(row) for row in rows]


async def shared_documents(database: Database, guest: Guest) -> list[Row]:
    """The shared documents that the link opens and that have a content."""
    seen = visible(guest.actor, "documents", "t", Params())
    rows = await database.fetch(
        "SELECT t.id, t.name, t.type, t.file_name, t.size_bytes, t.content_version, t.updated_at FROM documents t"
        " WHERE t.opportunity_id = $1 AND t.is_shared AND t.sha256 IS NOT NULL AND t.deleted_at IS NULL"
        f" AND {seen} ORDER BY t.created_at DESC, t.id LIMIT {MOST}",
        guest.opportunity_id,
    )
    opened = set(guests.opens(guest, [row["id"] for row in rows]))
    return [dict(row) for row in rows if row["id"] in opened]


async def conversation(database: Database, guest: Guest, items: list[Row], files: list[Row]) -> list[Row]:
    """The shared comments on the deal, and on what the link opens; oldest first."""
    seen = visible(guest.actor, "comments", "t", Params())
    rows = await database.fetch(
        "SELECT t.body, t.author_name, t.side, t.created_at, t.plan_item_id, t.document_id FROM comments t"
        " WHERE t.opportunity_id = $1 AND t.is_shared AND t.deleted_at IS NULL"
        " AND (t.plan_item_id IS NULL OR t.plan_item_id = ANY($2::uuid[]))"
        " AND (t.document_id IS NULL OR t.document_id = ANY($3::uuid[]))"
        f" AND {seen} ORDER BY t.created_at DESC, t.id LIMIT {MOST}",
        guest.opportunity_id,
        [item["id"] for item in items],
        [file["id"] for file in files],
    )
    names = {item["id"]: item["title"] for item in items} | {file["id"]: file["name"] for file in files}
    return [
        dict(row) | {"on": names.get(row["plan_item_id"] or row["document_id"])} for row in reversed(rows)
    ]


# Routes ------------------------------------------------------------------------------------------------------------


async def _page(
    request: Web, database: Database, guest: Guest, token: str, *, trouble: str = "", status: int = 200
) -> Response[Any]:
    company = await calendar.company(database)
    items, files = await asyncio.gather(plan(database, guest), shared_documents(database, guest))
    said = await conversation(database, guest, items, files)
    say = Words(zone=company.time_zone, now=datetime.now(UTC), currency=company.home_currency)
    name = await database.fetchval("SELECT name FROM company LIMIT 1") or "Sales"
    frame = Frame(title=f"Your room with {name}", path=f"/room/{token}")
    answered = page(
        "guest.html", frame, say, status=status, company=name, guest=guest, plan=items, documents=files, comments=said,
        token=token, trouble=trouble, most=MOST_COMMENT,
    )  # fmt: skip
    answered.headers.update(SAFE)
    return with_visit(request, answered, guest, token)


OPEN: dict[str, Any] = {"public": True}


@get("/{token:str}", opt=OPEN, media_type=MediaType.HTML)
async def room(
    request: Web,
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    token: FromPath[str],
) -> Response[Any]:
    """The room, as far as this link opens it."""
    guest = await entered(request, settings, database, token)
    await guests.log_view(database, datetime.now(UTC), opportunity_id=guest.opportunity_id, guest=guest)
    return await _page(request, database, guest, token)


@get("/{token:str}/documents/{document_id:uuid}", opt=OPEN)
async def file(
    request: Web,
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    token: FromPath[str],
    document_id: FromPath[UUID],
) -> Response[Any]:
    """One of the documents that the link opens, in its newest version."""
    guest = await entered(request, settings, database, token)
    found = await documents.current(database, guest.actor, document_id)
    shared = found["is_shared"] and found["opportunity_id"] == guest.opportunity_id and found["sha256"]
    if not shared or not guests.opens(guest, [document_id]):
        raise NotFound("There is no such document.")
    answered = await documents.send(settings, document_id, found)
    answered.headers["Referrer-Policy"] = "no-referrer"
    await guests.log_view(
        database, datetime.now(UTC), opportunity_id=guest.opportunity_id, document_id=document_id, guest=guest
    )
    return with_visit(request, answered, guest, token)


@post("/{token:str}/plan/{item_id:uuid}", opt=OPEN, status_code=303)
async def tick(
    request: Web,
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    token: FromPath[str],
    item_id: FromPath[UUID],
) -> Response[Any]:
    """Ticks an item of the plan, or opens it again; what it is already it stays."""
    guest = await entered(request, settings, database, token)
    if not guest.may_tick or not guest.shows_plan:
        raise Forbidden("This link does not allow to tick items.")
    wanted = str((await request.form()).get("status", ""))
    if wanted not in ("open", "done"):
        raise Invalid.at("/status", "is open or done")
    async with database.begin() as tx:
        old = await locked(tx, plan_items.resource, guest.actor, item_id)
        if old["opportunity_id"] != guest.opportunity_id or not old["is_shared"]:
            raise NotFound("There is no such item.")
        said = {"guest_link_id": str(guest.link_id), "guest": guest.name}
        await update(tx, plan_items.resource, guest.actor, old, {"status": wanted}, data=said)
    return with_visit(request, Redirect(f"/room/{token}", status_code=303), guest, token)


@post("/{token:str}/comments", opt=OPEN, status_code=303)
async def comment(
    request: Web,
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    token: FromPath[str],
) -> Response[Any]:
    """Says something, for all who open the room."""
    guest = await entered(request, settings, database, token)
    if not guest.may_comment:
        raise Forbidden("This link does not allow to comment.")
    said = str((await request.form()).get("body", "")).strip().replace("\r\n", "\n")
    if not said or len(said) > MOST_COMMENT or "\0" in said:
        words = f"Write something, in at most {MOST_COMMENT} characters."
        return await _page(request, database, guest, token, trouble=words, status=422)
    draft = {
        "body": said, "opportunity_id": guest.opportunity_id, "is_shared": True, "side": "theirs",
        "author_name": guest.name, "guest_link_id": guest.link_id,
    }  # fmt: skip
    async with database.begin() as tx:
        await insert(tx, comments.resource, guest.actor, draft)
    return with_visit(request, Redirect(f"/room/{token}", status_code=303), guest, token)


def on_problem(request: Web, error: Exception) -> Response[Any]:
    """A sentence for a guest: never the product's own frame, and the log does not hold the link."""
    problem = error if isinstance(error, Problem) else Problem()
    if isinstance(error, HTTPException) and error.status_code < 500:
        problem = NotFound(guests.GONE) if error.status_code in (400, 404, 405) else Problem(error.detail)
        problem.status = 404 if error.status_code in (400, 404, 405) else error.status_code
    elif not isinstance(error, Problem):
        log.exception("crashed", path="/room/…", request_id=request.scope.get("request_id"))
        problem.detail = "Something broke on our side. It has been written down; trying again may help."
    frame = Frame(title=problem.title)
    answered = page("guest_message.html", frame, Words(), status=problem.status, detail=problem.detail)
    answered.headers.update(SAFE | problem.headers)
    return answered


router = Router(
    path="/room",
    route_handlers=[room, file, tick, comment],
    exception_handlers={Problem: on_problem, HTTPException: on_problem, Exception: on_problem},
    request_max_body_size=64 * 1024,
    include_in_schema=False,
)
