"""Who looks at a page, and how they read it: actor, words, frame, made once per request."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Request

from service import calendar
from service.access import Actor
from service.auth import Gate, cookie_of
from service.calendar import Company
from service.db import Database
from service.domains.notifications import unread
from service.web.catalogue import places
from service.web.render import Frame
from service.web.words import Words

THEME_COOKIE = "sales_theme"
THEMES = ("light", "dark")


class Elsewhere(Exception):
    """The page lies elsewhere: a 303 to `url`."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


class Visit(msgspec.Struct, kw_only=True):
    """One look at a page by somebody who is signed in."""

    actor: Actor
    database: Database
    company: Company
    say: Words
    frame: Frame
    now: datetime
    """The home's clock: a dormant home's stands still."""

    def titled(self, title: str, current: str = "") -> Frame:
        """The frame with the page's title and its place in the navigation."""
        self.frame.title = f"{title} · Sales"
        self.frame.current = current
        return self.frame


def theme_of(request: Request[Any, Any, Any]) -> str:
    """The theme that this browser chose; empty for that of the system."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else ""


def here(request: Request[Any, Any, Any]) -> str:
    """Path and query of this request, as a link."""
    text: str = request.scope["path"]
    raw = request.scope["query_string"].decode("latin-1")
    return f"{text}?{raw}" if raw else text


def local(path: str, otherwise: str = "/board") -> str:
    """A path of this site, or the other one: never an address elsewhere, however it is spelled."""
    good = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if good and path.isprintable() else otherwise


def plain_frame(request: Request[Any, Any, Any], csrf: str = "") -> tuple[Frame, Words]:
    """Frame and words without a look at the database: for strangers, and for errors."""
    frame = Frame(csrf=csrf, theme=theme_of(request), path=here(request))
    actor: Actor | None = request.scope.get("actor")  # type: ignore[assignment]  # ours, beside ASGI's own
    cookie = cookie_of(request.scope)
    if actor is not None and cookie and not csrf:
        frame.name, frame.email, frame.role = actor.name, actor.email, actor.role
        frame.csrf = request.app.state.gate.csrf_token(cookie)
    return frame, Words()


async def provide_visit(request: Request[Any, Any, Any]) -> Visit:
    """The visit of a signed-in person; everybody else is sent to sign in and comes back here."""
    actor: Actor | None = request.scope["actor"]  # type: ignore[typeddict-item]
    if actor is None or actor.id is None:
        back = here(request) if request.method == "GET" else "/board"
        raise Elsewhere(f"/sign-in?next={quote(back)}" if back != "/" else "/sign-in")
    database: Database = request.app.state.database
    gate: Gate = request.app.state.gate
    company = await calendar.company(database)
    reader = await database.fetchrow("SELECT locale, time_zone FROM users WHERE id = $1", actor.id)
    standing = await calendar.standing(database, datetime.now(UTC))
    now = standing or datetime.now(UTC)
    say = Words(
        locale=(reader and reader["locale"]) or "en-US",
        zone=(reader and reader["time_zone"]) or company.time_zone,
        now=now,
        currency=company.home_currency,
    )
    cookie = cookie_of(request.scope)
    frame = Frame(
        name=actor.name, email=actor.email, role=actor.role, csrf=gate.csrf_token(cookie) if cookie else "",
        theme=theme_of(request), path=here(request), as_of=standing,
        unread=await unread(database, actor), places=places(actor),
    )  # fmt: skip
    return Visit(actor=actor, database=database, company=company, say=say, frame=frame, now=now)
