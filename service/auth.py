"""Who is asking: access tokens, API keys and session cookies, each turned into an `Actor` once per request.

Access tokens are JWTs (`tokens.py`). Refresh tokens, cookies and API keys are random strings of which only the sha256
is stored; they are no JWTs, so none of them can pass as an access token.
A path is open to all only by its own handler's word, `opt={"public": True}`; with `opt={"optional": True}` a handler
takes whoever comes and finds `scope["actor"]` None for a stranger. Never by a pattern of paths.
"""

import asyncio
import base64
import hmac
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import msgspec
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPReceiveMessage, Receive, Scope, Send

from service.access import NOTHING, Actor, Limits, Reach, array_text
from service.db import Database, Tx, table_named
from service.errors import Forbidden, TooLarge, Unauthorized
from service.tokens import MOST_KEPT, Tokens, derived, digest, refused

ACTOR_SECONDS = 3.0
COOKIE = "sales_session"
CSRF_HEADER, CSRF_FIELD = b"x-csrf-token", "csrf_token"
MOST_FORM_BYTES = 64 * 1024
CSRF_WITHIN = 4096
"""In a form with a file the token is among the first so many bytes: its field stands first."""
_CSRF_PART = re.compile(rb'form-data; name="csrf_token"\r\n\r\n([\w-]+)\r\n')
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
WIDE_ROLES = frozenset({"ops", "admin", "data_scientist", "integration"})
NEWS_OF_PEOPLE = (
    "/users",
    "/teams",
    "/roles",
    "/shares",
    "/territor",
    "/api-keys",
    "/fields",
    "/undo",
    "/auth",
)
"""After a change under one of these the kept actors are asked anew."""


_WHO = """
WITH RECURSIVE managed AS (
    SELECT id FROM teams WHERE manager_id = $1 AND deleted_at IS NULL
    UNION
    SELECT t.id FROM teams t JOIN managed m ON t.parent_id = m.id WHERE t.deleted_at IS NULL
),
reports AS (
    SELECT id FROM users WHERE manager_id = $1 OR team_id IN (SELECT id FROM managed)
    UNION
    SELECT u.id FROM users u JOIN reports r ON u.manager_id = r.id
),
people AS (
    SELECT $1::uuid AS id UNION SELECT id FROM reports WHERE (SELECT role FROM users WHERE id = $1) = 'manager'
),
groups AS (
    SELECT id FROM managed
    UNION
    SELECT u.team_id FROM users u WHERE u.id = $1 AND u.team_id IS NOT NULL
    UNION
    SELECT t.parent_id FROM teams t JOIN groups g ON t.id = g.id WHERE t.parent_id IS NOT NULL
),
places AS (
    SELECT t.id FROM territories t JOIN territory_models m ON m.id = t.model_id AND m.status = 'active'
    WHERE t.deleted_at IS NULL AND m.deleted_at IS NULL
      AND (t.owner_id IN (SELECT id FROM people) OR t.member_ids && ARRAY(SELECT id FROM people))
    UNION
    SELECT t.id FROM territories t JOIN places p ON t.parent_id = p.id WHERE t.deleted_at IS NULL
)
SELECT u.id, u.role, u.email, u.name, u.team_id,
    ARRAY(SELECT id FROM reports) AS owners, ARRAY(SELECT id FROM managed) AS teams,
    ARRAY(SELECT id FROM groups) AS groups, ARRAY(SELECT id FROM places) AS places,
    ARRAY(SELECT s.resource || ' ' || s.record_id || ' ' || s.level FROM shares s WHERE s.deleted_at IS NULL
        AND (s.expires_at IS NULL OR s.expires_at > now())
        AND (s.user_id IN (SELECT id FROM people) OR s.team_id IN (SELECT id FROM groups))
        /* access:shares */) AS shares,
    ARRAY(SELECT f.entity || ' cf.' || f.key FROM fields f
          WHERE u.role = ANY(f.hidden_from) AND (f.deleted_at IS NULL OR f.is_feature AND NOT EXISTS (
              SELECT 1 FROM fields n WHERE n.entity = f.entity AND n.key = f.key AND n.deleted_at IS NULL
          )) /* access:fields */) AS secrets,
    r.name AS role_name, r.removed_permissions, r.hidden_fields, r.read_only_fields
FROM users u LEFT JOIN roles r ON r.id = u.role_id AND r.deleted_at IS NULL
WHERE u.id = $1 AND u.is_active AND u.deleted_at IS NULL
    AND ($2::uuid IS NULL OR EXISTS (
        SELECT 1 FROM sessions s WHERE s.id = $2 AND s.ended_at IS NULL AND s.expires_at > now()))"""

_COOKIE = """
SELECT id, user_id FROM sessions WHERE kind = 'web' AND secret_hash = $1 AND ended_at IS NULL AND expires_at > now()"""

_KEY = """
SELECT k.id, k.user_id, k.scopes FROM api_key_secrets s JOIN api_keys k ON k.id = s.api_key_id
WHERE s.key_hash = $1 AND k.deleted_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())"""

_KEY_USED = """
UPDATE api_key_secrets SET last_used_at = now()
WHERE api_key_id = $1 AND coalesce(last_used_at < now() - interval '60 seconds', TRUE)"""


class Identity(msgspec.Struct, frozen=True):
    """An actor with the session that the credential belongs to (None for an API key)."""

    actor: Actor
    session_id: UUID | None = None


async def actor_of_user(
    run: Database | Tx,
    user_id: UUID,
    session_id: UUID | None = None,
    *,
    door: str = "api",
    scopes: frozenset[str] | None = None,
) -> Actor:
    """The actor of an active user; a manager with the people below, by teams and by reporting lines.

    Raises `Unauthorized` when the user is not active or the session has ended.
    """
    row = await run.fetchrow(_WHO, user_id, session_id)
    if row is None:
        raise refused("The session has ended, or the user is not active.")
    role, all_rows = row["role"], row["role"] in WIDE_ROLES
    below, teams = (row["owners"], row["teams"]) if role == "manager" else ([], [])
    secrets = (secret.split(" ") for secret in row["secrets"])
    return Actor(
        id=row["id"],
        role=role,
        email=row["email"],
        name=row["name"],
        team_id=row["team_id"],
        owners=None if all_rows else tuple(dict.fromkeys([row["id"], *below])),
        teams=None if all_rows else tuple(teams),
        scopes=scopes,
        door="integration" if role == "integration" else door,
        reach=NOTHING if all_rows else reach_of(row["shares"], row["places"]),
        groups=tuple(row["groups"]),
        limits=limits_of(row),
        secrets=tuple((table_named(entity) or "", key) for entity, key in secrets),
    )


def reach_of(shares: list[str], places: list[UUID]) -> Reach:
    """What shares (`accounts <id> write`) and territories open."""
    if not shares and not places:
        return NOTHING
    ids: dict[str, set[UUID]] = {}
    writable: dict[str, set[UUID]] = {}
    for share in shares:
        resource, record, level = share.split(" ")
        ids.setdefault(resource, set()).add(UUID(record))
        if level == "write":
            writable.setdefault(resource, set()).add(UUID(record))
    return Reach(
        shared={name: array_text(sorted(found)) for name, found in ids.items()},
        writable={name: array_text(sorted(found)) for name, found in writable.items()},
        territories=array_text(sorted(places)) if places else "",
    )


def limits_of(row: Any) -> Limits | None:
    """What a custom role takes away; None where there is none, or a built-in one."""
    taken = (row["removed_permissions"], row["hidden_fields"], row["read_only_fields"])
    if not any(taken):
        return None
    return Limits(row["role_name"], frozenset(taken[0]), by_table(taken[1]), by_table(taken[2]))


def by_table(paths: list[str]) -> dict[str, frozenset[str]]:
    """`accounts.phone` → the fields of each table."""
    found: dict[str, set[str]] = {}
    for path in paths:
        table, _, field = path.partition(".")
        found.setdefault(table, set()).add(field)
    return {table: frozenset(fields) for table, fields in found.items()}


class Gate:
    """Turns credentials into identities. One per process; keeps what it found for `ACTOR_SECONDS`."""

    def __init__(self, database: Database, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self.database = database
        self.tokens = Tokens(derived(key, "access tokens"), clock)
        self._csrf_key = derived(key, "csrf")
        self._kept: dict[str, tuple[float, Identity]] = {}
        self._asking: dict[str, asyncio.Future[Identity]] = {}

    def forget(self) -> None:
        """Roles, teams or sessions have changed."""
        self._kept.clear()
        self._asking.clear()

    def csrf_token(self, cookie: str) -> str:
        """What a page of this session must send with each change."""
        return (
            base64.urlsafe_b64encode(hmac.digest(self._csrf_key, cookie.encode(), "sha256"))
            .decode()
            .rstrip("=")
        )

    async def by_token(self, token: str) -> Identity:
        """The identity of a valid access token; of concurrent requests with it one asks for all."""
        claims, credential = self.tokens.read(token), "token " + token
        if found := self._recall(credential):
            return found
        asking = self._asking.get(credential)
        if asking is None:
            asking = asyncio.ensure_future(self.who(claims.user_id, claims.session_id, door=claims.door))
            self._asking[credential] = asking
            asking.add_done_callback(lambda _: self._asking.pop(credential, None))
        return self._keep(credential, await asyncio.shield(asking))

    async def by_key(self, key: str) -> Identity:
        if found := self._recall("key " + key):
            return found
        row = await self.database.fetchrow(_KEY, digest(key)) if len(key) <= 200 else None
        if row is None:
            raise refused("The API key is not valid.")
        await self.database.execute(_KEY_USED, row["id"])
        return self._keep(
            "key " + key, await self.who(row["user_id"], None, door="api", scopes=frozenset(row["scopes"]))
        )

    async def by_cookie(self, cookie: str) -> Identity:
        if found := self._recall("cookie " + cookie):
            return found
        row = await self.database.fetchrow(_COOKIE, digest(cookie)) if len(cookie) <= 200 else None
        if row is None:
            raise refused("The session has ended: sign in again.")
        return self._keep("cookie " + cookie, await self.who(row["user_id"], row["id"], door="web"))

    async def who(
        self, user_id: UUID, session_id: UUID | None, *, door: str, scopes: frozenset[str] | None = None
    ) -> Identity:
        """The identity of an active user, while the session lasts."""
        actor = await actor_of_user(self.database, user_id, session_id, door=door, scopes=scopes)
        return Identity(actor, session_id)

    # Kept under "kind value": a cookie's value sent as an API key is no API key.
    def _recall(self, credential: str) -> Identity | None:
        until, identity = self._kept.get(credential, (0.0, None))
        return identity if until > time.monotonic() else None

    def _keep(self, credential: str, identity: Identity) -> Identity:
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[credential] = (time.monotonic() + ACTOR_SECONDS, identity)
        return identity


def cookie_of(scope: Scope) -> str:
    """The session cookie's value, or the empty string."""
    for name, value in scope["headers"]:
        if name == b"cookie":
            for part in value.decode("latin-1").split(";"):
                key, _, content = part.strip().partition("=")
                if key == COOKIE:
                    return content
    return ""


def _changes(scope: Scope) -> bool:
    return scope.get("method") in UNSAFE


class Authentication(ASGIMiddleware):
    """Sets `scope["actor"]` and `scope["session_id"]`, or answers 401; 403 where the CSRF token is missing."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        opt = scope["route_handler"].opt
        scope["actor"] = scope["session_id"] = None  # type: ignore[typeddict-unknown-key]  # ours, beside ASGI's own
        if not opt.get("public"):
            try:
                identity, receive = await self._identify(scope, receive)
            except Unauthorized:
                if not opt.get("optional"):
                    raise
            else:
                scope["actor"] = identity.actor  # type: ignore[typeddict-unknown-key]
                scope["session_id"] = identity.session_id  # type: ignore[typeddict-unknown-key]
        await next_app(scope, receive, send)
        if _changes(scope) and any(word in scope["path"] for word in NEWS_OF_PEOPLE):
            self.gate.forget()

    async def _identify(self, scope: Scope, receive: Receive) -> tuple[Identity, Receive]:
        headers = dict(scope["headers"])
        if authorization := headers.get(b"authorization"):
            kind, _, token = authorization.decode("latin-1").partition(" ")
            if kind.lower() != "bearer" or not token:
                raise refused("Send the access token as `Authorization: Bearer …`.")
            return await self.gate.by_token(token.strip()), receive
        if key := headers.get(b"x-api-key"):
            return await self.gate.by_key(key.decode("latin-1")), receive
        if cookie := cookie_of(scope):
            identity = await self.gate.by_cookie(cookie)
            if _changes(scope):
                receive = await self._check_csrf(headers, receive, cookie)
            return identity, receive
        raise refused("Sign in: send a bearer token, an API key or a session cookie.")

    async def _check_csrf(self, headers: dict[bytes, bytes], receive: Receive, cookie: str) -> Receive:
        sent = headers.get(CSRF_HEADER, b"").decode("latin-1")
        if not sent and headers.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded"):
            body = await _read(receive)
            receive = _replay(body, receive)
            sent = parse_qs(body.decode("utf-8", "replace")).get(CSRF_FIELD, [""])[0]
        elif not sent and headers.get(b"content-type", b"").startswith(b"multipart/form-data"):
            head, more = await _head(receive)
            receive = _replay(head, receive, more=more)
            found = _CSRF_PART.search(head[:CSRF_WITHIN])
            sent = found[1].decode() if found else ""
        if not hmac.compare_digest(sent.encode(), self.gate.csrf_token(cookie).encode()):
            raise Forbidden(
                "The CSRF token is missing or wrong: send it as X-CSRF-Token or as the field csrf_token."
            )
        return receive


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")  # type: ignore[operator]  # a request message's body is bytes
        if len(body) > MOST_FORM_BYTES:
            raise TooLarge("The form is larger than 64 KB.")
        if not message.get("more_body"):
            return body


async def _head(receive: Receive) -> tuple[bytes, bool]:
    """The beginning of a form with a file, as far as its token may stand; and whether there is more."""
    head, more = b"", True
    while more and len(head) < CSRF_WITHIN:
        message = await receive()
        head += message.get("body", b"")  # type: ignore[operator]  # a request message's body is bytes
        more = bool(message.get("more_body"))
    return head, more


def _replay(body: bytes, receive: Receive, *, more: bool = False) -> Receive:
    """A `receive` that gives the body once more, then what else comes."""
    waiting: list[HTTPReceiveMessage] = [{"type": "http.request", "body": body, "more_body": more}]

    async def again() -> HTTPReceiveMessage | Any:
        return waiting.pop() if waiting else await receive()

    return again
