"""Web hooks: endpoints that hear what happens, with their secrets, tests, replays and the log of deliveries."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy.dialects.postgresql import JSONB

from service import idempotency, jobs, ledger, outbound, webhooks
from service.access import Actor, guard, require
from service.crud import crud
from service.db import INSTANT, Database, Params, Tx, business_table, metadata, to_json
from service.errors import BadRequest, Invalid, NotFound
from service.query import decode_cursor, encode_cursor
from service.resource import Resource, Row, plain
from service.settings import Settings
from service.wire import Web, answer, body, etag
from service.writes import document, insert, locked

# Tables --------------------------------------------------------------------------------------------

table = business_table(
    "webhooks",
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("events", JSONB, nullable=False),
    sa.Column("filter", JSONB, nullable=False, server_default=sa.text("'[]'")),
    sa.Column("description", sa.Text),
    sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("status", sa.Text, nullable=False, server_default="active"),
    sa.Column("disabled_reason", sa.Text),
    sa.CheckConstraint("status IN ('active', 'disabled')", name="status"),
)

webhook_secrets = sa.Table(
    "webhook_secrets",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("webhook_id", sa.Uuid, nullable=False, index=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("expires_at", INSTANT),
)
"""Encrypted with the installation's key and bound to their web hook. A rotated secret signs on for a day."""

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("sequence", sa.BigInteger, sa.Identity(always=True), nullable=False),
    sa.Column("webhook_id", sa.Uuid, nullable=False),
    sa.Column("event_id", sa.Uuid, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("entity_id", sa.Uuid),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="pending"),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("response_status", sa.Integer),
    sa.Column("duration_ms", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("attempts", JSONB, nullable=False, server_default=sa.text("'[]'")),
    sa.Column("next_attempt_at", INSTANT, server_default=sa.func.now()),
    sa.Column("lease_until", INSTANT),
    sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("delivered_at", INSTANT),
    sa.CheckConstraint("status IN ('pending', 'delivered', 'failed', 'exhausted')", name="status"),
    sa.UniqueConstraint("webhook_id", "event_id"),
    sa.Index("ix_deliveries_log", "webhook_id", "sequence"),
    sa.Index(
        "ix_deliveries_due",
        "webhook_id",
        "next_attempt_at",
        postgresql_where=sa.text("status IN ('pending', 'failed')"),
    ),
    sa.Index(
        "ix_deliveries_order",
        "webhook_id",
        "entity_id",
        "sequence",
        postgresql_where=sa.text("status IN ('pending', 'failed')"),
    ),
)
"""`failed` is tried again at `next_attempt_at`; `exhausted` is given up, but can be replayed."""

# Shapes --------------------------------------------------------------------------------------------

Url = Annotated[str, Meta(min_length=1, max_length=outbound.MOST_URL)]
Kind = Annotated[str, Meta(pattern=r"^(\*|[a-z_]{1,60}\.(\*|[a-z_]{1,60}))$", max_length=121)]
Kinds = Annotated[list[Kind], Meta(min_length=1, max_length=50)]
Text = Annotated[str, Meta(max_length=2000)]
Status = Literal["pending", "delivered", "failed", "exhausted"]


class Criterion(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One condition on the record or on the event's own data, as in the grammar of lists."""

    field: Annotated[str, Meta(min_length=1, max_length=120)]
    op: webhooks.Operator
    value: Any = None


class WebhookDraft(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`events` are kinds, `deal.*` for a family or `*` for all; the caller's own sight bounds what is sent."""

    url: Url
    events: Kinds
    filter: Annotated[list[Criterion], Meta(max_length=20)] = []
    description: Text | None = None
    is_active: bool = True
    external_ids: dict[str, str] | UnsetType = UNSET
    cf: dict[str, Any] | UnsetType = UNSET


class WebhookPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    url: Url | UnsetType = UNSET
    events: Kinds | UnsetType = UNSET
    filter: Annotated[list[Criterion], Meta(max_length=20)] | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET
    external_ids: dict[str, str] | UnsetType = UNSET
    cf: dict[str, Any] | UnsetType = UNSET


class Webhook(msgspec.Struct, kw_only=True):
    """`disabled_reason` says why the product itself stopped sending."""

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    created_by_id: UUID | None
    updated_by_id: UUID | None
    url: str
    events: list[str]
    filter: list[Criterion]
    description: str | None
    is_active: bool
    status: str
    disabled_reason: str | None
    external_ids: dict[str, str]
    cf: dict[str, Any]


class WebhookWithSecret(Webhook, kw_only=True):
    """The answers to creation and rotation: the secret is shown nowhere else."""

    secret: str | None = None


class Replay(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Either some deliveries, or all events of a range of instants."""

    delivery_ids: Annotated[list[UUID], Meta(max_length=1000)] = []
    since: datetime | None = None
    until: datetime | None = None


class Queued(msgspec.Struct, kw_only=True):
    """`count` deliveries wait for the job."""

    job: UUID
    count: int


class Delivery(msgspec.Struct, kw_only=True):
    """One message to one endpoint: `attempts` holds every try with its instant, answer and duration."""

    id: UUID
    webhook_id: UUID
    event_id: UUID
    kind: str
    entity_id: UUID | None
    status: str
    attempt: int
    response_status: int | None
    duration_ms: int | None
    error: str | None
    next_attempt_at: datetime | None
    created_at: datetime
    delivered_at: datetime | None
    attempts: list[dict[str, Any]]
    payload: str


class Deliveries(msgspec.Struct, kw_only=True):
    items: list[Delivery]
    next: str | None


# Rules ---------------------------------------------------------------------------------------------

OVERLAP = timedelta(hours=24)
"""How long the old secret signs beside the new one."""
MOST_REPLAYED = 10_000


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Switching an endpoint on again, or giving it another address, forgives what disabled it."""
    if old is not None and ((new["is_active"] and not old["is_active"]) or new["url"] != old["url"]):
        new |= {"status": "active", "disabled_reason": None}


WEBHOOK = Resource(
    path="/webhooks",
    name="webhook",
    table=table,
    draft=WebhookDraft,
    patch=WebhookPatch,
    item=Webhook,
    text=("url", "description"),
    prepare=prepare,
)


async def judge_url(url: str, settings: Settings) -> None:
    """422 for an address that is not public, whichever way it is written."""
    try:
        await outbound.check(url, frozenset(settings.webhook_allow))
    except outbound.Blocked as error:
        raise Invalid.at("/url", str(error)) from error


# Routes --------------------------------------------------------------------------------------------


def _context(request: Web) -> tuple[Actor, Database, Settings]:
    state = request.app.state
    return request.scope["actor"], state.database, state.settings  # type: ignore[typeddict-item]  # by middleware


@post("/webhooks", name="create /webhooks", opt={"create": WEBHOOK, "answer": WebhookWithSecret})
async def create(request: Web) -> Response[bytes]:
    """A new endpoint with its secret. A replay under the same `Idempotency-Key` comes without the secret."""
    actor, database, settings = _context(request)
    require(actor, "webhooks", "create")
    draft = plain(await body(request, WebhookDraft))
    await judge_url(draft["url"], settings)
    key = await idempotency.key_of(request)
    async with database.begin() as tx:
        await idempotency.hold(tx, actor, key)
        if key and (replay := await idempotency.kept(tx, actor, key)):
            return replay
        row = await insert(tx, WEBHOOK, actor, draft)
        secret = await webhooks.add_secret(tx, settings, row["id"])
        text, version = await document(tx, WEBHOOK, actor, row["id"])
        headers = {"Location": f"/api/v1/webhooks/{row['id']}", "ETag": etag(version)}
        await idempotency.keep(tx, actor, key, answer(text, 201, headers))
    return answer(_with_secret(text, secret), 201, headers | {"Cache-Control": "no-store"})


def _with_secret(text: str, secret: str) -> str:
    return f'{text[:-1]},"secret":{to_json(secret)}}}'


async def judge_body(request: Web) -> None:
    """Before a change: judges the URL when there is one in the body."""
    _, _, settings = _context(request)
    patch = await body(request, WebhookPatch)
    if patch.url is not UNSET:
        await judge_url(patch.url, settings)


@post("/webhooks/{record_id:uuid}/rotate", status_code=200, opt={"answer": WebhookWithSecret})
async def rotate(request: Web, record_id: FromPath[UUID]) -> Response[bytes]:
    """A new secret. For a day messages carry a signature by the old one too, so receivers lose none."""
    actor, database, settings = _context(request)
    require(actor, "webhooks", "update")
    async with database.begin() as tx:
        await locked(tx, WEBHOOK, actor, record_id)
        await tx.execute(
            "UPDATE webhook_secrets SET expires_at = $2 WHERE webhook_id = $1 AND expires_at IS NULL",
            record_id,
            datetime.now(UTC) + OVERLAP,
        )
        secret = await webhooks.add_secret(tx, settings, record_id)
        text, version = await document(tx, WEBHOOK, actor, record_id)
    return answer(_with_secret(text, secret), headers={"ETag": etag(version), "Cache-Control": "no-store"})


@post("/webhooks/{record_id:uuid}/test", status_code=202, opt={"answer": Queued})
async def test(request: Web, record_id: FromPath[UUID]) -> Response[bytes]:
    """Sends an event of kind `webhook.test` through the same queue as all others."""
    actor, database, _ = _context(request)
    require(actor, "webhooks", "update")
    async with database.begin() as tx:
        hook = await locked(tx, WEBHOOK, actor, record_id)
        event = await ledger.record(tx, actor, webhooks.TEST, "webhook", record_id, version=hook["version"])
        await webhooks.fan_out(tx, [event], only=record_id)
        job = await webhooks.ring(tx)
    return answer(Queued(job=job, count=1), 202)


@post("/webhooks/{record_id:uuid}/replay", status_code=202, opt={"body": Replay, "answer": Queued})
async def replay(request: Web, record_id: FromPath[UUID]) -> Response[bytes]:
    """Sends again, under the same ids: chosen deliveries, or all that happened in a range of instants."""
    actor, database, _ = _context(request)
    require(actor, "webhooks", "update")
    data = await body(request, Replay)
    _judge_range(data)
    async with database.begin() as tx:
        await locked(tx, WEBHOOK, actor, record_id)
        if data.delivery_ids:
            count = await webhooks.again(tx, record_id, data.delivery_ids)
        else:
            rows = await tx.fetch(
                "SELECT id FROM ledger.events WHERE recorded_at >= $1 AND recorded_at < coalesce($2, now())"
                " ORDER BY position LIMIT $3",
                data.since,
                data.until,
                MOST_REPLAYED,
            )
            count = await webhooks.fan_out(tx, [row["id"] for row in rows], only=record_id, again=True)
        job = await webhooks.ring(tx)
    return answer(Queued(job=job, count=count), 202)


def _judge_range(data: Replay) -> None:
    if bool(data.delivery_ids) == bool(data.since):
        raise Invalid("Send either delivery_ids, or since with an optional until.")
    for name in ("since", "until"):
        moment = getattr(data, name)
        if moment and moment.tzinfo is None:
            raise Invalid.at(f"/{name}", "needs its zone")
    if data.since and data.until and data.until <= data.since:
        raise Invalid.at("/until", "must lie after since")


@get(
    "/webhooks/{record_id:uuid}/deliveries",
    opt={"answer": Deliveries, "query": ("limit", "cursor", "status")},
)
async def log(
    request: Web,
    record_id: FromPath[UUID],
    limit: FromQuery[int] = 50,
    cursor: FromQuery[str | None] = None,
    status: FromQuery[str | None] = None,
) -> Response[bytes]:
    """The deliveries of an endpoint, newest first."""
    actor, database, _ = _context(request)
    require(actor, "webhooks", "read")
    params = Params([record_id])
    seen = guard(actor, "webhooks", "w", params)
    if not await database.fetchval(f"SELECT 1 FROM webhooks w WHERE w.id = $1 AND {seen}", *params):
        raise NotFound("There is no such webhook.")
    if status is not None and status not in get_args(Status):
        raise BadRequest(f"status: there are {', '.join(get_args(Status))}.")
    size = max(1, min(200, limit))
    before = _position(cursor) if cursor else None
    rows = await database.fetch(
        "SELECT * FROM deliveries WHERE webhook_id = $1 AND ($2::bigint IS NULL OR sequence < $2)"
        " AND ($3::text IS NULL OR status = $3) ORDER BY sequence DESC LIMIT $4",
        record_id,
        before,
        status,
        size + 1,
    )
    items = [msgspec.convert(dict(row), Delivery, from_attributes=False) for row in rows[:size]]
    following = encode_cursor([str(rows[size - 1]["sequence"])]) if len(rows) > size else None
    return answer(Deliveries(items=items, next=following))


def _position(cursor: str) -> int:
    try:
        return int(decode_cursor(cursor)[0])
    except (ValueError, TypeError, IndexError):
        raise BadRequest("cursor: this is not a cursor of this list.") from None


def _with_judged_url(handler: Any) -> Any:
    """PATCH and PUT judge the address too, before the record is touched."""
    if handler.name in ("patch /webhooks", "put /webhooks"):
        handler.before_request = judge_body
    return handler


routes: list[Any] = [
    create,
    rotate,
    test,
    replay,
    log,
    *(_with_judged_url(handler) for handler in crud(WEBHOOK) if handler.name != "create /webhooks"),
]

__all__ = ["deliveries", "jobs", "routes", "table", "webhook_secrets"]
