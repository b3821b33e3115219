"""Sign-in: passwords, sessions, rotating refresh tokens, the one-time link, and the brake on guessing."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from litestar import Response, get, post
from litestar.datastructures import Cookie
from msgspec import Meta

from service.access import PERMISSIONS, Actor, may
from service.auth import COOKIE, Gate, cookie_of
from service.db import INSTANT, Database, Tx, metadata
from service.errors import Forbidden, TooManyRequests
from service.ids import new_id
from service.tokens import ACCESS_SECONDS, digest, refused
from service.wire import Web, answer, body, database_of

UNCACHED = {"Cache-Control": "no-store"}

# Tables ------------------------------------------------------------------------------------------------------------

credentials = sa.Table(
    "credentials",
    metadata,
    sa.Column("user_id", sa.Uuid, primary_key=True),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("changed_at", INSTANT, nullable=False, server_default=sa.func.now()),
)
"""Apart from `users`, so that no hash ever lies in history, lists or exports."""

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("secret_hash", sa.LargeBinary, unique=True),
    sa.Column("address", sa.Text),
    sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("expires_at", INSTANT, nullable=False),
    sa.Column("ended_at", INSTANT),
    sa.Column("ended_because", sa.Text),
    sa.CheckConstraint("kind IN ('token', 'web', 'operator')", name="kind"),
)
"""One row a sign-in. For tokens it is the family of all refresh tokens that follow from it."""

refresh_tokens = sa.Table(
    "refresh_tokens",
    metadata,
    sa.Column("token_hash", sa.LargeBinary, primary_key=True),
    sa.Column(
        "session_id", sa.Uuid, sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("used_at", INSTANT),
)

sign_in_links = sa.Table(
    "sign_in_links",
    metadata,
    sa.Column("token_hash", sa.LargeBinary, primary_key=True),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("expires_at", INSTANT, nullable=False),
    sa.Column("used_at", INSTANT),
)

sign_in_failures = sa.Table(
    "sign_in_failures",
    metadata,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last_at", INSTANT, nullable=False),
    sa.Column("blocked_until", INSTANT),
)

# Shapes ------------------------------------------------------------------------------------------------------------

Password = Annotated[str, Meta(min_length=8, max_length=200)]


class SignIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    email: Annotated[str, Meta(min_length=1, max_length=320)]
    password: Annotated[str, Meta(min_length=1, max_length=200)]


class Refresh(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    refresh_token: Annotated[str, Meta(min_length=1, max_length=200)]


class NewPassword(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    current: Annotated[str, Meta(max_length=200)] = ""
    new: Password


class TokenPair(msgspec.Struct, kw_only=True):
    """`expires_in` in seconds. The refresh token serves once: each use returns the next one."""

    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105  # a word of OAuth, no secret
    expires_in: int = ACCESS_SECONDS


class BrowserSession(msgspec.Struct, kw_only=True):
    """The cookie itself goes where scripts cannot read it."""

    csrf_token: str


class Me(msgspec.Struct, kw_only=True):
    """Who is signed in, what the role allows, and for a browser the token its changes must carry."""

    id: UUID
    email: str
    name: str
    role: str
    team_id: UUID | None
    door: str
    permissions: dict[str, list[str]]
    scopes: list[str] | None
    csrf_token: str | None


# Rules -------------------------------------------------------------------------------------------------------------

SESSION_LIFE = timedelta(days=14)
LINK_LIFE = timedelta(hours=24)
ACCOUNT_LIMIT, ADDRESS_LIMIT = 10, 100

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_NOBODY = _hasher.hash(secrets.token_hex(16))
"""Verified for an unknown address, so that it takes as long as a known one."""
_verifying = asyncio.Semaphore(2)
"""Bounds the memory of argon2, and the guesses that are under way before the first is counted."""

_RESERVE = """
INSERT INTO sign_in_failures AS f (subject, failures, last_at)
SELECT s, 1, now() FROM unnest($1::text[]) AS s ORDER BY s
ON CONFLICT (subject) DO UPDATE SET last_at = now(), failures = CASE
    WHEN f.blocked_until > now() THEN f.failures
    WHEN f.last_at < now() - interval '15 minutes' THEN 1
    ELSE f.failures + 1 END
RETURNING extract(epoch FROM f.blocked_until - now())::float AS blocked"""

_BLOCK = """
UPDATE sign_in_failures SET blocked_until = now() + make_interval(secs => CASE
    WHEN subject = $1 THEN least(900, 30 * power(2, least(failures, 40) - $2)) ELSE 60 END)
WHERE subject = $1 AND failures >= $2 OR subject = $3 AND failures >= $4"""

_CLEAR = """
UPDATE sign_in_failures SET failures = CASE WHEN subject = $1 THEN 0 ELSE greatest(0, failures - 1) END
WHERE subject IN ($1, $2)"""

_CREDENTIAL = """
SELECT u.id, c.password_hash FROM users u JOIN credentials c ON c.user_id = u.id
WHERE lower(u.email) = lower($1) AND u.is_active AND u.deleted_at IS NULL"""

_ROTATE = """
UPDATE refresh_tokens r SET used_at = now() FROM sessions s
WHERE r.token_hash = $1 AND r.used_at IS NULL AND s.id = r.session_id AND s.ended_at IS NULL AND s.expires_at > now()
RETURNING s.id, s.user_id"""

_END_FAMILY = """
UPDATE sessions SET ended_at = now(), ended_because = 'a refresh token was used twice'
WHERE ended_at IS NULL AND id = (SELECT session_id FROM refresh_tokens WHERE token_hash = $1 AND used_at IS NOT NULL)"""


def hash_password(password: str) -> str:
    """argon2id with 19 MiB and two passes (OWASP's first choice). About 25 ms: run it in a thread on a server."""
    return _hasher.hash(password)


def matches(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


async def set_password(tx: Tx | Database, user_id: UUID, password: str) -> None:
    """Stores the hash; the rule on length stands in `Password`."""
    hashed = await asyncio.to_thread(hash_password, password)
    await tx.execute(
        "INSERT INTO credentials (user_id, password_hash) VALUES ($1, $2)"
        " ON CONFLICT (user_id) DO UPDATE SET password_hash = excluded.password_hash, changed_at = now()",
        user_id,
        hashed,
    )


async def check_password(database: Database, email: str, password: str, address: str) -> UUID:
    """The user's id; `Unauthorized` for a wrong pair, `TooManyRequests` after too many of them.

    The attempt is counted before the password is looked at: concurrent guesses cannot slip past the brake.
    """
    account, place = f"account:{email.lower()[:320]}", f"address:{address}"
    async with _verifying:
        waits = [row["blocked"] or 0 for row in await database.fetch(_RESERVE, [account, place])]
        if (wait := max(waits)) > 0:
            raise TooManyRequests("Too many failed sign-ins.", headers={"Retry-After": str(int(wait) + 1)})
        row = await database.fetchrow(_CREDENTIAL, email)
        hashed = row["password_hash"] if row else _NOBODY
        if not await asyncio.to_thread(matches, hashed, password) or row is None:
            await database.execute(_BLOCK, account, ACCOUNT_LIMIT, place, ADDRESS_LIMIT)
            raise refused("The address or the password is wrong.")
        await database.execute(_CLEAR, account, place)
        return row["id"]  # type: ignore[no-any-return]


async def open_session(
    tx: Tx | Database, user_id: UUID, kind: str, *, address: str = "", life: timedelta = SESSION_LIFE
) -> tuple[UUID, str]:
    """A new session: its id and the secret that stands for it (a web session's cookie; unused by the other kinds)."""
    session_id, secret = new_id(), secrets.token_urlsafe(32)
    await tx.execute(
        "INSERT INTO sessions (id, user_id, kind, secret_hash, address, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
        session_id,
        user_id,
        kind,
        digest(secret) if kind == "web" else None,
        address,
        datetime.now(UTC) + life,
    )
    return session_id, secret


async def end_session(tx: Tx | Database, session_id: UUID, reason: str = "signed out") -> None:
    await tx.execute(
        "UPDATE sessions SET ended_at = now(), ended_because = $2 WHERE id = $1 AND ended_at IS NULL",
        session_id,
        reason,
    )


async def issue_pair(tx: Tx | Database, gate: Gate, user_id: UUID, session_id: UUID) -> TokenPair:
    """An access token, and the next refresh token of the family."""
    refresh = secrets.token_urlsafe(32)
    await tx.execute(
        "INSERT INTO refresh_tokens (token_hash, session_id) VALUES ($1, $2)", digest(refresh), session_id
    )
    return TokenPair(access_token=gate.tokens.issue(user_id, session_id), refresh_token=refresh)


async def rotate(database: Database, gate: Gate, refresh: str) -> TokenPair:
    """Uses a refresh token up. Of many concurrent uses one wins; any use after the first ends the whole family,
    for then a thief or the owner holds a copy (RFC 9700, 4.14)."""
    row = await database.fetchrow(_ROTATE, digest(refresh))
    if row is None:
        await database.execute(_END_FAMILY, digest(refresh))
        gate.forget()
        raise refused("The refresh token is not valid.")
    return await issue_pair(database, gate, row["user_id"], row["id"])


async def make_link(tx: Tx | Database, user_id: UUID) -> str:
    """A secret that signs `user_id` in once within a day."""
    secret = secrets.token_urlsafe(32)
    await tx.execute(
        "INSERT INTO sign_in_links (token_hash, user_id, expires_at) VALUES ($1, $2, $3)",
        digest(secret),
        user_id,
        datetime.now(UTC) + LINK_LIFE,
    )
    return secret


async def redeem_link(tx: Tx | Database, secret: str) -> UUID:
    """The user of an unused link, which is used up by this."""
    user_id = await tx.fetchval(
        "UPDATE sign_in_links SET used_at = now() WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now()"
        " RETURNING user_id",
        digest(secret),
    )
    if user_id is None:
        raise refused("The sign-in link has been used or has expired.")
    return user_id  # type: ignore[no-any-return]


def session_cookie(secret: str, *, secure: bool = False) -> Cookie:
    """Unreadable to scripts, not sent along by other sites' forms."""
    seconds = int(SESSION_LIFE.total_seconds())
    return Cookie(
        COOKIE, value=secret, max_age=seconds, path="/", httponly=True, samesite="lax", secure=secure
    )


def no_cookie() -> Cookie:
    """Takes the session cookie back."""
    return Cookie(COOKIE, value="", max_age=0, path="/", httponly=True, samesite="lax")


def address_of(request: Web) -> str:
    """The peer's address. Forwarded headers are not believed: anyone can send them."""
    return request.client.host if request.client else "unknown"


def actor_of(request: Web) -> Actor:
    return request.scope["actor"]  # type: ignore[typeddict-item,no-any-return]  # set by the middleware


def _session_id(request: Web) -> UUID | None:
    return request.scope["session_id"]  # type: ignore[typeddict-item,no-any-return]  # set by the middleware


def _gate(request: Web) -> Gate:
    return request.app.state.gate  # type: ignore[no-any-return]


# Routes ------------------------------------------------------------------------------------------------------------


@post("/auth/token", status_code=200, opt={"public": True, "body": SignIn, "answer": TokenPair})
async def sign_in(request: Web) -> Response[bytes]:
    """An access token for 15 minutes and a refresh token; the session lasts 14 days."""
    data, database, address = await body(request, SignIn), database_of(request), address_of(request)
    user_id = await check_password(database, data.email, data.password, address)
    async with database.begin() as tx:
        session_id, _ = await open_session(tx, user_id, "token", address=address)
        pair = await issue_pair(tx, _gate(request), user_id, session_id)
    return answer(pair, headers=UNCACHED)


@post("/auth/refresh", status_code=200, opt={"public": True, "body": Refresh, "answer": TokenPair})
async def refresh_pair(request: Web) -> Response[bytes]:
    """The next pair. The token sent is used up; sending it again ends the session."""
    data = await body(request, Refresh)
    return answer(await rotate(database_of(request), _gate(request), data.refresh_token), headers=UNCACHED)


@post("/auth/session", status_code=200, opt={"public": True, "body": SignIn, "answer": BrowserSession})
async def sign_in_browser(request: Web) -> Response[bytes]:
    """Signs a browser in: sets the session cookie and returns the CSRF token that its changes must carry."""
    data, database, address = await body(request, SignIn), database_of(request), address_of(request)
    user_id = await check_password(database, data.email, data.password, address)
    _, secret = await open_session(database, user_id, "web", address=address)
    made = answer(BrowserSession(csrf_token=_gate(request).csrf_token(secret)), headers=UNCACHED)
    made.set_cookie(session_cookie(secret, secure=request.url.scheme == "https"))
    return made


@post("/auth/logout", status_code=204)
async def sign_out(request: Web) -> Response[None]:
    """Ends the session: its access token, refresh tokens and cookie are void at once."""
    if session_id := _session_id(request):
        await end_session(database_of(request), session_id)
    return Response(None, status_code=204, cookies=[no_cookie()])


@post("/auth/password", status_code=204, opt={"body": NewPassword})
async def change_password(request: Web) -> None:
    """Sets one's own password; every other session of the user ends. Without a password so far, none is asked."""
    data, actor, database = await body(request, NewPassword), actor_of(request), database_of(request)
    if actor.id is None or actor.scopes is not None:
        raise Forbidden("A password is changed from a person's own session.")
    hashed = await database.fetchval("SELECT password_hash FROM credentials WHERE user_id = $1", actor.id)
    if hashed:
        await check_password(database, actor.email, data.current, address_of(request))
    await set_password(database, actor.id, data.new)
    await database.execute(
        "UPDATE sessions SET ended_at = now(), ended_because = 'the password was changed'"
        " WHERE user_id = $1 AND ended_at IS NULL AND id <> $2",
        actor.id,
        _session_id(request),
    )


@get("/me", opt={"answer": Me})
async def me(request: Web) -> Response[bytes]:
    """Who is signed in and what they may do."""
    actor = actor_of(request)
    cookie = cookie_of(request.scope) if actor.door == "web" else ""
    assert actor.id is not None
    found = Me(
        id=actor.id,
        email=actor.email,
        name=actor.name,
        role=actor.role,
        team_id=actor.team_id,
        door=actor.door,
        permissions={
            resource: [action for action in sorted(actions) if may(actor, resource, action)]
            for resource, actions in PERMISSIONS[actor.role].items()
        },
        scopes=None if actor.scopes is None else sorted(actor.scopes),
        csrf_token=_gate(request).csrf_token(cookie) if cookie else None,
    )
    return answer(found)


routes: list[Any] = [sign_in, refresh_pair, sign_in_browser, sign_out, change_password, me]
