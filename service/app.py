"""The application: the one place that knows every route, dependency and part."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from litestar import Litestar, Request, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from redis.asyncio import Redis

from service import observe, relay, wire
from service.access import Actor
from service.auth import Authentication, Gate
from service.db import Database, Tx
from service.errors import Problem
from service.limits import Limiter, RateLimit
from service.refusals import REFUSALS, on_refusal
from service.routes import PAGES, ROUTES
from service.settings import Settings
from service.tokens import signing_key
from service.web import guest_page, pages

log = structlog.get_logger()


def shown(path: str) -> str:
    """A path as the log may hold it: the address of a room is a key."""
    return "/room/…" if path.startswith("/room/") else path


class Correlation(ASGIMiddleware):
    """Gives each request its id, answers with it, and writes one log line a request."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        method = str(scope.get("method"))
        request_id = uuid4().hex
        scope["request_id"] = request_id  # type: ignore[typeddict-unknown-key]
        started = time.perf_counter()

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
                elapsed = time.perf_counter() - started
                route = scope.get("path_template") or "unknown"
                observe.REQUESTS.labels(method, route, message["status"]).observe(elapsed)
                if message["status"] >= 500:
                    log.error(
                        "answered",
                        method=method,
                        path=shown(scope["path"]),
                        status=message["status"],
                        ms=round(elapsed * 1000, 1),
                        request_id=request_id,
                    )
            await send(message)

        await next_app(scope, receive, tagged)


async def strict_body(request: Request[Any, Any, Any]) -> None:
    """Judges the body of a handler with a `data` parameter strictly: the framework alone would coerce."""
    field = getattr(request.route_handler, "parsed_data_field", None)
    if (
        field is not None
        and isinstance(field.annotation, type)
        and issubclass(field.annotation, msgspec.Struct)
    ):
        await wire.body(request, field.annotation)


def on_crash(request: Request[Any, Any, Any], error: Exception) -> Any:
    """What nobody foresaw: logged with its trace, answered without it."""
    log.exception("crashed", path=shown(request.scope["path"]), request_id=request.scope.get("request_id"))
    return wire.on_problem(request, error)


async def provide_tx(request: Request[Any, Any, Any]) -> AsyncIterator[Tx]:
    """The request's transaction: begun at its first statement, committed before the answer leaves."""
    async with request.app.state.database.begin() as tx:
        yield tx


def provide_actor(request: Request[Any, Any, Any]) -> Actor:
    actor: Actor = request.scope["actor"]  # type: ignore[typeddict-item]
    return actor


def create_app(
    settings: Settings, database: Database | None = None, *, bell: Callable[[], Any] | None = None
) -> Litestar:
    """The API and the pages. Without a `database` it opens its own from the settings when it starts."""
    gate = Gate(database, signing_key(settings))  # type: ignore[arg-type]  # set in `lifespan`
    redis = Redis.from_url(settings.redis_url) if settings.redis_url else None
    limits = [RateLimit(Limiter(redis, *settings.rate_limit))] if redis else []

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        own = database is None
        opened = database or await Database.open(settings.database_app_url)
        opened.bell = bell or (relay.bell(settings.redis_url) if settings.redis_url else None)
        app.state.database = gate.database = opened
        yield
        if redis:
            await redis.aclose()
        if own:
            await opened.close()

    def provide_database() -> Database:
        return gate.database

    def provide_gate() -> Gate:
        return gate

    def provide_settings() -> Settings:
        return settings

    api = Router(path="/api/v1", route_handlers=list(ROUTES))
    return Litestar(
        route_handlers=[api, *PAGES],
        lifespan=[lifespan],
        middleware=[Correlation(), Authentication(gate), *limits],
        before_request=strict_body,
        exception_handlers={
            Problem: wire.on_problem,
            HTTPException: pages.on_http_error,
            **dict.fromkeys(REFUSALS, on_refusal),
            Exception: on_crash,
        },
        dependencies={
            "database": Provide(provide_database, sync_to_thread=False),
            "gate": Provide(provide_gate, sync_to_thread=False),
            "settings": Provide(provide_settings, sync_to_thread=False),
            "actor": Provide(provide_actor, sync_to_thread=False),
            "tx": Provide(provide_tx),
        },
        openapi_config=None,
        logging_config=None,  # `observe.configure` has set it for the whole process
        request_max_body_size=200 * 1024 * 1024,
        state=State(
            {
                "settings": settings,
                "gate": gate,
                "guest_limiter": Limiter(redis, guest_page.PER_MINUTE, 60) if redis else None,
            }
        ),
    )
