"""Web hooks at work: who hears what, signatures, the schedule of attempts, and the sending.

Messages follow Standard Webhooks: `webhook-id` stays the same over retries and replays, `webhook-timestamp` is the
attempt's, `webhook-signature` lists one signature for each secret that is valid. What is sent is what the endpoint's
creator may see, at the instant of the event's fan-out; it is stored, so that each attempt sends the same bytes.
Order holds per record: a later message waits for an earlier one of the same record. Each endpoint has lanes of its
own, so a dead one delays nobody else.
"""

import asyncio
import base64
import random
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from standardwebhooks import Webhook as Signer

from service import criteria, jobs, ledger, outbound, sight
from service.access import SYSTEM
from service.auth import actor_of_user
from service.db import Database, Tx, table_named, to_json
from service.errors import Unauthorized
from service.ids import new_id
from service.jobs import Job
from service.settings import Settings
from service.tokens import derived, signing_key

log = structlog.get_logger()

Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "starts", "is_null"]
JOB, TEST = "webhook.deliver", "webhook.test"
MARK = "whsec_"
LEASE = timedelta(seconds=30)
LANES, ENDPOINTS = 4, 32
TURN_SECONDS = 5.0
"""A turn of the dispatcher ends after this, so that it does not keep other work from the worker."""
DELAYS = tuple(timedelta(seconds=s) for s in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400))
"""Pauses between the ten attempts: 75 h 35 min in all. Each is jittered by a tenth either way."""
JITTER = 0.1
MOST_PAUSE = timedelta(hours=24)
TRIES = len(DELAYS) + 1

# Secrets -------------------------------------------------------------------------------------------


def _cipher(settings: Settings) -> AESGCM:
    return AESGCM(derived(signing_key(settings), "web hook secrets"))


def seal(settings: Settings, webhook_id: UUID, secret: str) -> bytes:
    """Nonce and ciphertext; bound to the web hook, so it opens in no other row."""
    nonce = secrets.token_bytes(12)
    return nonce + _cipher(settings).encrypt(nonce, secret.encode(), webhook_id.bytes)


def unseal(settings: Settings, webhook_id: UUID, sealed: bytes) -> str:
    return _cipher(settings).decrypt(sealed[:12], sealed[12:], webhook_id.bytes).decode()


async def add_secret(tx: Tx, settings: Settings, webhook_id: UUID) -> str:
    """Makes, stores and returns a secret: 24 random bytes behind the mark of Standard Webhooks."""
    secret = MARK + base64.b64encode(secrets.token_bytes(24)).decode()
    await tx.execute(
        "INSERT INTO webhook_secrets (id, webhook_id, sealed) VALUES ($1, $2, $3)",
        new_id(),
        webhook_id,
        seal(settings, webhook_id, secret),
    )
    return secret


def headers(message_id: str, moment: datetime, payload: str, keys: list[str]) -> dict[str, str]:
    """The three headers of Standard Webhooks, with a signature by each secret."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(Signer(key).sign(message_id, moment, payload) for key in keys),
        "content-type": "application/json",
        "user-agent": "sales-intelligence-webhooks/1",
    }


# Who hears what ------------------------------------------------------------------------------------


def hears(patterns: list[str], kind: str) -> bool:
    """Whether an endpoint's `events` cover a kind: by name, by family (`deal.*`) or all (`*`)."""
    return kind in patterns or "*" in patterns or f"{kind.split('.', 1)[0]}.*" in patterns


_EVENTS = """
SELECT id, kind, entity_type, entity_id, entity_version, actor_id, door, change_id, data, occurred_at
FROM ledger.events WHERE id = ANY($1::uuid[]) ORDER BY position"""

_HOOKS = """
SELECT id, events, filter, created_by_id FROM webhooks /* access:webhooks */
WHERE deleted_at IS NULL AND is_active AND status = 'active' AND ($1::uuid IS NULL OR id = $1)"""

_PUT = """
INSERT INTO deliveries AS d (id, webhook_id, event_id, kind, entity_id, payload)
SELECT i, $2, e, k, n, p FROM unnest($1::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::text[]) AS x(i, e, k, n, p)
ON CONFLICT (webhook_id, event_id) DO {conflict}"""
_AGAIN = "status = 'pending', attempt = 0, next_attempt_at = now(), lease_until = NULL, delivered_at = NULL"


async def fan_out(tx: Tx, event_ids: list[UUID], *, only: UUID | None = None, again: bool = False) -> int:
    """Makes a delivery for each event and each endpoint that hears it; with `again` those made before are sent anew."""
    hooks = await tx.fetch(_HOOKS, only)
    if not hooks:
        return 0
    events = await tx.fetch(_EVENTS, event_ids)
    count = 0
    for hook in hooks:
        heard = [e for e in events if hears(hook["events"], e["kind"]) or (e["kind"] == TEST and only)]
        messages = await _messages(tx, hook, heard) if heard else []
        if messages:
            await tx.execute(
                _PUT.format(conflict=f"UPDATE SET {_AGAIN}" if again else "NOTHING"),
                [new_id() for _ in messages],
                hook["id"],
                *[list(column) for column in zip(*messages, strict=True)],
            )
            count += len(messages)
    return count


async def _messages(tx: Tx, hook: Any, events: list[Any]) -> list[tuple[UUID, str, UUID | None, str]]:
    """(event id, kind, entity id, payload) of what the endpoint's creator may see and the filter lets through."""
    try:
        actor = await actor_of_user(tx, hook["created_by_id"])
    except Unauthorized:
        return []
    found: dict[str, dict[UUID, dict[str, Any]]] = {}
    for entity_type in {event["entity_type"] for event in events}:
        ids = [
            event["entity_id"]
            for event in events
            if event["entity_type"] == entity_type and event["entity_id"]
        ]
        found[entity_type] = await sight.records(tx, actor, entity_type, ids)
    messages = []
    for event in events:
        record = found[event["entity_type"]].get(event["entity_id"])
        if record is None and not (table_named(event["entity_type"]) is None and actor.sees_all):
            continue
        if criteria.matches(hook["filter"], (record or {}) | event["data"]):
            messages.append((event["id"], event["kind"], event["entity_id"], payload(event, record)))
    return messages


def payload(event: Any, record: dict[str, Any] | None) -> str:
    """The body as Standard Webhooks has it: type, timestamp, data."""
    names = ("entity_type", "entity_id", "entity_version", "actor_id", "door", "change_id")
    return to_json(
        {
            "type": event["kind"],
            "timestamp": event["occurred_at"],
            "data": {"event_id": event["id"]}
            | {name: event[name] for name in names}
            | event["data"]
            | {"record": record},
        }
    )


async def again(tx: Tx, webhook_id: UUID, delivery_ids: list[UUID]) -> int:
    """Puts chosen deliveries back into the queue."""
    rows = await tx.fetch(
        f"UPDATE deliveries SET {_AGAIN} WHERE webhook_id = $1 AND id = ANY($2::uuid[]) RETURNING id",
        webhook_id,
        delivery_ids,
    )
    return len(rows)


async def ring(tx: Tx | Database, run_at: datetime | None = None) -> UUID:
    """One job for all that is due: at most one waits at a time."""
    return await jobs.enqueue(tx, JOB, run_at=run_at, key="all")


# Sending -------------------------------------------------------------------------------------------

_CLAIM = """
WITH due AS (
    SELECT d.id FROM deliveries d
    WHERE d.webhook_id = $1 AND d.status IN ('pending', 'failed') AND d.next_attempt_at <= now()
        AND (d.lease_until IS NULL OR d.lease_until < now())
        AND NOT EXISTS (
            SELECT 1 FROM deliveries e WHERE e.webhook_id = d.webhook_id AND e.entity_id = d.entity_id
                AND e.status IN ('pending', 'failed') AND e.sequence < d.sequence)
    ORDER BY d.sequence LIMIT $2 FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries d SET lease_until = now() + $3::interval, attempt = attempt + 1 FROM due WHERE d.id = due.id
RETURNING d.id, d.event_id, d.payload, d.attempt"""

_WAITING = """
SELECT w.id, min(d.next_attempt_at) <= now() AS due, min(greatest(d.next_attempt_at, d.lease_until)) AS at
FROM deliveries d JOIN webhooks w /* access:webhooks */ ON w.id = d.webhook_id
WHERE d.status IN ('pending', 'failed') AND w.deleted_at IS NULL AND w.is_active AND w.status = 'active'
GROUP BY w.id ORDER BY 3"""

_SETTLE = """
UPDATE deliveries SET status = $2, response_status = $3, duration_ms = $4, error = $5, next_attempt_at = $6,
    lease_until = NULL, delivered_at = CASE WHEN $2 = 'delivered' THEN now() END,
    attempts = attempts || jsonb_build_array(jsonb_build_object(
        'attempt', attempt, 'at', now(), 'response_status', $3::int, 'duration_ms', $4::int, 'error', $5::text))
WHERE id = $1"""


def next_attempt(attempt: int, now: datetime, answer: outbound.Answer) -> datetime | None:
    """When to try again after attempt number `attempt`; None when there is no further one. Honours Retry-After."""
    if attempt >= TRIES:
        return None
    pause = DELAYS[attempt - 1] * random.uniform(1 - JITTER, 1 + JITTER)
    return now + max(pause, min(retry_after(answer.headers.get("retry-after", ""), now), MOST_PAUSE))


def retry_after(text: str, now: datetime) -> timedelta:
    """The pause that a Retry-After header asks for, in seconds or as an HTTP date; none when it is neither."""
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text), 10**6))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return timedelta()
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now


def outcome(answer: outbound.Answer, attempt: int, now: datetime) -> tuple[str, str | None, datetime | None]:
    """(status, error, next attempt). Only 2xx is success: a redirect is a failure, and 410 ends it."""
    if answer.status is not None and 200 <= answer.status < 300:
        return "delivered", None, None
    error = answer.error or f"answered {answer.status}"
    following = None if answer.status == 410 else next_attempt(attempt, now, answer)
    return ("failed" if following else "exhausted"), error, following


class Dispatcher:
    """Sends what is due, over all endpoints side by side, until nothing is."""

    def __init__(
        self, database: Database, settings: Settings, resolver: outbound.Resolve = outbound.resolve
    ) -> None:
        self.database, self.settings = database, settings
        self.allow = frozenset(settings.webhook_allow)
        self.resolver = resolver
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._until = 0.0

    async def run(self) -> None:
        """Returns when nothing is due, or after some seconds; leaves a job for the next instant at which it is."""
        self._until = time.monotonic() + TURN_SECONDS
        while True:
            waiting = await self.database.fetch(_WAITING)
            for row in waiting if time.monotonic() < self._until else ():
                if row["due"] and row["id"] not in self._running and len(self._running) < ENDPOINTS:
                    self._running[row["id"]] = asyncio.create_task(self._endpoint(row["id"]))
            if not self._running:
                break
            done, _ = await asyncio.wait(
                self._running.values(), timeout=0.5, return_when=asyncio.FIRST_COMPLETED
            )
            self._running = {key: task for key, task in self._running.items() if task not in done}
            for task in done:
                task.result()
        if waiting:
            await ring(self.database, max(waiting[0]["at"], datetime.now(UTC) + timedelta(milliseconds=200)))

    async def _endpoint(self, webhook_id: UUID) -> None:
        keys = await self._keys(webhook_id)
        url = await self.database.fetchval(
            "SELECT url FROM webhooks /* access:webhooks */ WHERE id = $1", webhook_id
        )
        lanes = asyncio.Semaphore(LANES)
        while time.monotonic() < self._until:
            claimed = await self.database.fetch(_CLAIM, webhook_id, LANES, LEASE)
            if not claimed:
                break
            async with asyncio.TaskGroup() as group:
                for row in claimed:
                    group.create_task(self._one(webhook_id, url, keys, row, lanes))

    async def _keys(self, webhook_id: UUID) -> list[str]:
        rows = await self.database.fetch(
            "SELECT sealed FROM webhook_secrets WHERE webhook_id = $1 AND (expires_at IS NULL OR expires_at > now())"
            " ORDER BY created_at DESC",
            webhook_id,
        )
        return [unseal(self.settings, webhook_id, row["sealed"]) for row in rows]

    async def _one(
        self, webhook_id: UUID, url: str, keys: list[str], row: Any, lanes: asyncio.Semaphore
    ) -> None:
        async with lanes:
            now = datetime.now(UTC)
            answer = await outbound.post(
                url,
                row["payload"].encode(),
                headers(f"msg_{row['event_id'].hex}", now, row["payload"], keys),
                allow=self.allow,
                resolver=self.resolver,
            )
        status, error, following = outcome(answer, row["attempt"], datetime.now(UTC))
        await self.database.execute(
            _SETTLE, row["id"], status, answer.status, answer.duration_ms, error, following
        )
        if answer.status == 410:
            await disable(self.database, webhook_id, "the endpoint answered 410 Gone")


async def disable(database: Database, webhook_id: UUID, reason: str) -> None:
    """Stops sending to an endpoint until a person switches it on again."""
    async with database.begin() as tx:
        version = await tx.fetchval(
            "SELECT version FROM webhooks /* access:webhooks */ WHERE id = $1 AND is_active FOR UPDATE",
            webhook_id,
        )
        if version is not None:
            await ledger.record(tx, SYSTEM, "webhook.updated", "webhook", webhook_id, version=version + 1)
            await tx.execute(
                "UPDATE webhooks /* access:webhooks */ SET is_active = FALSE, status = 'disabled',"
                " disabled_reason = $2, version = version + 1, updated_at = clock_timestamp() WHERE id = $1",
                webhook_id,
                reason,
            )


# Jobs ----------------------------------------------------------------------------------------------


async def fan_out_job(claimed: list[Job]) -> None:
    """Batch reaction to every event: deliveries for those who hear it."""
    async with claimed[0].database.begin() as tx:
        if await fan_out(tx, [job.event_id for job in claimed if job.event_id]):
            await ring(tx)


def handlers(settings: Settings) -> dict[str, Callable[..., Any]]:
    """The jobs of web hooks by type."""

    async def deliver(job: Job) -> None:
        await Dispatcher(job.database, settings).run()

    return {"webhook.fanout": fan_out_job, JOB: deliver}
