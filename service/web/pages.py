"""The pages that a browser opens, under `/`: sign-in, theme, assets, errors; and the list of all others."""

import hmac
import secrets
from functools import cache
from typing import Any
from urllib.parse import quote

import structlog
from litestar import MediaType, Response, Router, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Redirect

from service import wire
from service.auth import Gate
from service.commands.users import DEMO_SIGN_INS
from service.db import Database
from service.domains import sessions
from service.errors import NotFound, Problem, TooManyRequests, Unauthorized
from service.settings import Settings
from service.web import (
    board_page,
    day_page,
    deal_forms,
    deal_page,
    duplicates_page,
    features_page,
    find_page,
    forecast_page,
    guest_page,
    inbox_page,
    list_page,
    record_forms,
    record_page,
    record_verbs,
    room_forms,
)
from service.web.frame import THEME_COOKIE, THEMES, Elsewhere, local, plain_frame, provide_visit
from service.web.render import STATIC, page
from service.wire import Web

log = structlog.get_logger()

FORM_COOKIE = "sales_sign_in"
YEAR_SECONDS = 365 * 24 * 3600
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


def see(url: str, cookies: list[Cookie] | None = None) -> Response[Any]:
    """303: the answer to a form lies there."""
    return Redirect(url, status_code=303, cookies=cookies)


# Sign-in -----------------------------------------------------------------------------------------------------------


async def _demo(database: Database, settings: Settings) -> list[dict[str, str]]:
    """The sign-ins of the demo company, admin first; none in a home that is not a demo."""
    if not settings.demo:
        return []
    addresses = [f"{word}@demo.example" for word in DEMO_SIGN_INS]
    rows = await database.fetch(
        "SELECT email, title, role FROM users WHERE email = ANY($1::text[]) AND is_active AND deleted_at IS NULL",
        addresses,
    )
    found = {row["email"]: row for row in rows}
    return [
        {
            "email": address,
            "password": f"demo-{address.partition('@')[0]}",
            "label": found[address]["role"].replace("_", " ").capitalize(),
        }
        for address in addresses
        if address in found
    ]


async def _sign_in_page(
    request: Web, *, status: int = 200, error: str = "", email: str = "", errors: dict[str, str] | None = None,
    back: str = "/board",
) -> Response[Any]:  # fmt: skip
    """The form, with a token that must come back with it: nobody can sign a browser in from elsewhere."""
    token = request.cookies.get(FORM_COOKIE, "") or secrets.token_urlsafe(24)
    frame, say = plain_frame(request, token)
    frame.title = "Sign in · Sales"
    state = request.app.state
    found = await _demo(state.database, state.settings)
    answered = page(
        "sign_in.html", frame, say, status=status, error=error, email=email, next=back, demo=found,
        errors={"email": "", "password": ""} | (errors or {}),
    )  # fmt: skip
    secure = request.url.scheme == "https"
    answered.set_cookie(
        Cookie(
            FORM_COOKIE,
            value=token,
            path="/sign-in",
            httponly=True,
            samesite="strict",
            secure=secure,
            max_age=3600,
        )
    )
    return answered


@get("/sign-in", opt={"optional": True}, media_type=MediaType.HTML)
async def sign_in_form(request: Web) -> Response[Any]:
    """The form; who is signed in already goes on."""
    back = local(request.query_params.get("next", "/board"))
    if request.scope["actor"] is not None:  # type: ignore[typeddict-item]
        return see(back)
    return await _sign_in_page(request, back=back)


def _form_is_ours(request: Web, sent: str) -> bool:
    token = request.cookies.get(FORM_COOKIE, "")
    return bool(token) and hmac.compare_digest(token.encode(), sent.encode())


def _blanks(email: str, password: str) -> dict[str, str]:
    errors = {}
    if not email or len(email) > 320:
        errors["email"] = "Enter your e-mail address."
    if not password or len(password) > 200:
        errors["password"] = "Enter your password."  # noqa: S105 - words, not a password
    return errors


@post("/sign-in", opt={"public": True}, status_code=303)
async def sign_in(
    request: Web, database: NamedDependency[Database], gate: NamedDependency[Gate]
) -> Response[Any]:
    """Opens a session and goes to the page that was asked for; errors stand in the form."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    email, password = form.get("email", "").strip(), form.get("password", "")
    back = local(form.get("next", "/board"))
    if not _form_is_ours(request, form.get("csrf_token", "")):
        return await _sign_in_page(
            request, status=403, error="This form is too old. Try again.", email=email, back=back
        )
    if errors := _blanks(email, password):
        return await _sign_in_page(request, status=422, errors=errors, email=email, back=back)
    address = sessions.address_of(request)
    try:
        user_id = await sessions.check_password(database, email, password, address)
    except TooManyRequests as error:
        wait = error.headers.get("Retry-After", "60")
        words = f"Too many failed sign-ins. Try again in {wait} seconds."
        return await _sign_in_page(request, status=429, error=words, email=email, back=back)
    except Unauthorized as error:
        return await _sign_in_page(request, status=401, error=error.detail, email=email, back=back)
    return await _open(request, database, user_id, back)


async def _open(request: Web, database: Database, user_id: Any, back: str) -> Response[Any]:
    """A new session for the browser, with its cookie."""
    _, secret = await sessions.open_session(database, user_id, "web", address=sessions.address_of(request))
    return see(back, [sessions.session_cookie(secret, secure=request.url.scheme == "https")])


@get("/sign-in/{token:str}", opt={"public": True}, media_type=MediaType.HTML)
async def sign_in_link(request: Web, token: FromPath[str]) -> Response[Any]:
    """The page of a one-time link. Looking at it does not use the link up: mail scanners look too."""
    form_token = request.cookies.get(FORM_COOKIE, "") or secrets.token_urlsafe(24)
    frame, say = plain_frame(request, form_token)
    frame.title = "Sign in · Sales"
    answered = page("link.html", frame, say, token=token)
    answered.set_cookie(
        Cookie(FORM_COOKIE, value=form_token, path="/sign-in", httponly=True, samesite="strict", max_age=3600)
    )
    return answered


@post("/sign-in/link", opt={"public": True}, status_code=303)
async def use_link(request: Web, database: NamedDependency[Database]) -> Response[Any]:
    """Uses a one-time link up and opens a session."""
    form = await request.form()
    if not _form_is_ours(request, str(form.get("csrf_token", ""))):
        return await _sign_in_page(request, status=403, error="This form is too old. Open the link again.")
    try:
        user_id = await sessions.redeem_link(database, str(form.get("token", ""))[:200])
    except Unauthorized as error:
        return await _sign_in_page(request, status=401, error=error.detail)
    return await _open(request, database, user_id, "/board")


@post("/sign-out", opt={"optional": True}, status_code=303)
async def sign_out(
    request: Web, database: NamedDependency[Database], gate: NamedDependency[Gate]
) -> Response[Any]:
    """Ends the session; the cookie is void at once."""
    if session_id := request.scope.get("session_id"):
        await sessions.end_session(database, session_id)  # type: ignore[arg-type]  # set by the middleware
        gate.forget()
    return see("/sign-in", [sessions.no_cookie()])


# The frame ---------------------------------------------------------------------------------------------------------


@get("/", opt={"public": True})
async def home() -> Response[Any]:
    """The board is where a day begins."""
    return see("/board")


@post("/theme", opt={"optional": True}, status_code=303)
async def theme(request: Web) -> Response[Any]:
    """Keeps the choice of light or dark in this browser."""
    form = await request.form()
    chosen = str(form.get("theme", ""))
    cookie = Cookie(
        THEME_COOKIE, value=chosen if chosen in THEMES else "", path="/", samesite="lax", max_age=YEAR_SECONDS
    )
    return see(local(str(form.get("back", ""))), [cookie])


@cache
def _asset(name: str) -> bytes:
    return (STATIC / name).read_bytes()


@get("/static/{name:str}", opt={"public": True})
async def asset(name: FromPath[str]) -> Response[bytes]:
    """A built script, stylesheet or icon. Its name holds its hash, so it may be kept for ever."""
    kind = TYPES.get("." + name.rpartition(".")[2])
    if kind is None or name.startswith(".") or not (STATIC / name).is_file():
        raise NotFound("There is no such asset.")
    headers = {
        "Cache-Control": f"public, max-age={YEAR_SECONDS}, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(_asset(name), media_type=kind, headers=headers)


# Errors ------------------------------------------------------------------------------------------------------------


def wants_html(request: Web) -> bool:
    """Whether a person's browser asks for a page, rather than a client for data."""
    return "text/html" in request.headers.get("accept", "") and not request.scope["path"].startswith("/api/")


def error_page(request: Web, problem: Problem) -> Response[Any]:
    """A problem as a page: what happened and where to go on."""
    frame, say = plain_frame(request)
    frame.title = f"{problem.title} · Sales"
    links = [{"href": "/board", "label": "To the board"}]
    if problem.status >= 500:
        links.insert(0, {"href": frame.path if request.method == "GET" else "/board", "label": "Try again"})
    return page(
        "message.html", frame, say, status=problem.status, heading=problem.title, detail=problem.detail, links=links,
        request_id=request.scope.get("request_id", ""),
    )  # fmt: skip


def on_page_problem(request: Web, error: Exception) -> Response[Any]:
    """Problems of pages: the sign-in page for 401, an error page for people, JSON for scripts."""
    problem = error if isinstance(error, Problem) else Problem()
    if not isinstance(error, Problem):
        log.exception("crashed", path=request.scope["path"], request_id=request.scope.get("request_id"))
        problem.detail = "Something broke on our side. It has been written down; trying again may help."
    if not wants_html(request):
        return wire.on_problem(request, problem)
    if problem.status == 401:
        return see(f"/sign-in?next={quote(request.scope['path'])}")
    return error_page(request, problem)


def on_page_http_error(request: Web, error: HTTPException) -> Response[Any]:
    """The framework's own refusals: an unknown path, a wrong method, an id that is none."""
    problem = (
        NotFound("There is no such page.") if error.status_code in (400, 404, 405) else Problem(error.detail)
    )
    problem.status = 404 if error.status_code in (400, 404, 405) else error.status_code
    return on_page_problem(request, problem)


def on_http_error(request: Web, error: HTTPException) -> Response[Any]:
    """What no route answers: a page for a person's browser, a problem document for everything else."""
    return on_page_http_error(request, error) if wants_html(request) else wire.on_http_error(request, error)


def on_elsewhere(request: Web, error: Elsewhere) -> Response[Any]:
    return see(error.url)


web = Router(
    path="/",
    route_handlers=[
        home, sign_in_form, sign_in, sign_in_link, use_link, sign_out, theme, asset,
        *board_page.routes, *deal_page.routes, *forecast_page.routes, *features_page.routes, *day_page.routes,
        *inbox_page.routes, *duplicates_page.routes, *room_forms.routes, *deal_forms.routes,
        *list_page.routes, *record_page.routes, *record_forms.routes, *record_verbs.routes, *find_page.routes,
    ],
    dependencies={"visit": Provide(provide_visit)},
    exception_handlers={
        Elsewhere: on_elsewhere, Problem: on_page_problem, HTTPException: on_page_http_error,
        Exception: on_page_problem,
    },
    include_in_schema=False,
)  # fmt: skip
"""Not part of the API's document: what a script needs is under `/api/v1`."""

pages: list[Any] = [web, guest_page.router]
