"""`Idempotency-Key`: a POST happens once. The first answer is kept in the write's own transaction and replayed.

Another body under the same key is 422; a second call while the first is in flight is 409; a failure is not kept, so a
corrected call may use the key again. Keys belong to their actor and are kept for 48 hours.
(IETF draft "The Idempotency-Key HTTP Header Field".)
"""

import hashlib
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import asyncpg
import msgspec
import sqlalchemy as sa
from litestar import Request, Response
from sqlalchemy.dialects.postgresql import JSONB

from service.access import Actor
from service.db import INSTANT, Database, Tx, metadata
from service.errors import BadRequest, Conflict, Invalid, Problem
from service.wire import answer, header, raw_body

MOST_KEY = 255
KEEP_HOURS = 48

keys = sa.Table(
    "idempotency",
    metadata,
    sa.Column("actor_id", sa.Uuid, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("headers", JSONB, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Index("ix_idempotency_created_at", "created_at"),
)


class Key(msgspec.Struct, frozen=True):
    """The caller's key, and a digest of method, path and body to tell another request under the same key."""

    text: str
    fingerprint: str

    def lock(self, actor: Actor) -> int:
        """The number of the advisory lock that says this key is in flight."""
        digest = hashlib.sha256(f"{actor.id}:{self.text}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


async def key_of(request: Request[Any, Any, Any], told: bytes | None = None) -> Key | None:
    """The key of this request, if it sent one. `told` stands for the body where that is a stream, such as a file."""
    text = header(request, b"idempotency-key")
    if text is None:
        return None
    text = text.strip().strip('"')
    if not 1 <= len(text) <= MOST_KEY or not text.isprintable():
        raise BadRequest(f"Idempotency-Key takes 1 to {MOST_KEY} printable characters.")
    seen = hashlib.sha256(f"{request.method} {request.scope['path']}\n".encode())
    seen.update(await raw_body(request) if told is None else told)
    return Key(text, seen.hexdigest())


async def kept(run: Tx | Database, actor: Actor, key: Key) -> Response[bytes] | None:
    """The first answer under this key, byte for byte; 422 when it was to another request."""
    row = await run.fetchrow(
        "SELECT fingerprint, status, headers, body FROM idempotency WHERE actor_id = $1 AND key = $2",
        actor.id,
        key.text,
    )
    if row is None:
        return None
    if row["fingerprint"] != key.fingerprint:
        raise Invalid("This Idempotency-Key was used for another request.")
    return answer(row["body"], row["status"], row["headers"] | {"Idempotent-Replay": "true"})


def cte(first: int) -> str:
    """The key's row as one more CTE of a create's single statement, its `values` from `$first` on.

    The body is the `doc` of the CTE `shown`: without it nothing is kept. The database refuses a key that is in flight.
    """
    kinds = ("uuid", "text", "text", "int", "jsonb")
    places = ", ".join(f"${first + index}::{kind}" for index, kind in enumerate(kinds))
    return (
        f", key AS (INSERT INTO idempotency (actor_id, key, fingerprint, status, headers, body)"
        f" SELECT {places}, shown.doc FROM shown WHERE hold_key(${first + len(kinds)}::bigint))"
    )


def values(key: Key, actor: Actor, headers: dict[str, str]) -> tuple[Any, ...]:
    """What stands in the places of `cte`."""
    return (actor.id, key.text, key.fingerprint, 201, headers, key.lock(actor))


async def guarded(
    database: Database, actor: Actor, key: Key | None, work: Awaitable[Response[bytes]]
) -> Response[bytes]:
    """Runs a one-statement create; who fails under a key that has its answer already replays that answer.

    So a first call costs no look at the kept answers, and a replay is right even where the same call would be refused
    by now. The loser of a race replays the winner's answer, or hears that it is in flight.
    """
    if key is None:
        return await work
    try:
        return await work
    except (Problem, asyncpg.UniqueViolationError, asyncpg.LockNotAvailableError) as error:
        if replay := await kept(database, actor, key):
            return replay
        if (
            isinstance(error, asyncpg.LockNotAvailableError)
            or getattr(error, "table_name", "") == "idempotency"
        ):
            raise Conflict("A request with this Idempotency-Key is in flight.") from None
        raise


async def hold(tx: Tx, actor: Actor, key: Key | None) -> None:
    """Marks the key as in flight until the transaction ends."""
    if key is not None and not await tx.fetchval("SELECT pg_try_advisory_xact_lock($1)", key.lock(actor)):
        raise Conflict("A request with this Idempotency-Key is in flight.")


async def keep(tx: Tx, actor: Actor, key: Key | None, response: Response[bytes]) -> None:
    """Stores the answer beside the write."""
    if key is not None:
        await tx.execute(
            "INSERT INTO idempotency (actor_id, key, fingerprint, status, headers, body)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            actor.id,
            key.text,
            key.fingerprint,
            response.status_code,
            dict(response.headers),
            bytes(response.content).decode(),
        )


Verb = Callable[..., Awaitable[Response[bytes]]]


def idempotent(verb: Verb) -> Verb:
    """Makes a POST handler of the form `(request, tx, …)` happen once for each `Idempotency-Key`."""

    @wraps(verb)
    async def once(*args: Any, **kwargs: Any) -> Response[bytes]:
        request, tx = kwargs["request"], kwargs["tx"]
        key = await key_of(request)
        if key is None:
            return await verb(*args, **kwargs)
        actor = request.scope["actor"]
        await hold(tx, actor, key)
        if replay := await kept(tx, actor, key):
            return replay
        response = await verb(*args, **kwargs)
        await keep(tx, actor, key, response)
        return response

    return once
