"""Recommendations: the next best actions of a deal, each with its reason, and what people say to them."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar, get_args
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from msgspec import Meta
from sqlalchemy.dialects.postgresql import JSONB

from service import columns as c
from service import query
from service.access import Actor, guard, require
from service.db import INSTANT, Database, Params, Tx, metadata
from service.errors import BadRequest, Conflict, Invalid, NotFound
from service.idempotency import idempotent
from service.ledger import record
from service.query import Source as Listed
from service.querystring import MOST, ROWS
from service.wire import Web, answer, body, check_version, etag, expected_version, raw_body

T = TypeVar("T")

Action = Literal[
    "call",
    "email",
    "meeting",
    "demo",
    "executive_sponsor",
    "add_stakeholder",
    "send_battle_card",
    "send_proposal",
    "mutual_action_plan",
    "re_engage",
    "correct_close_date",
    "offer",
    "hand_over",
    "disqualify",
]
Source = Literal["model", "rule", "exploration"]
Status = Literal["open", "done", "dismissed", "snoozed", "expired"]

# Tables --------------------------------------------------------------------------------------------

recommendations = sa.Table(
    "recommendations",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", INSTANT, nullable=False, server_default=sa.func.now()),
    c.instant("deleted_at"),
    c.loose("opportunity_id"),
    c.loose("lead_id"),
    c.word("action", Action, required=True),
    c.text("title", required=True),
    c.text("reason", required=True),
    c.word("source", Source, required=True),
    c.text("rule"),
    sa.Column("rank", sa.Integer, nullable=False),
    c.number("expected_lift"),
    c.number("lift_low"),
    c.number("lift_high"),
    c.money("expected_value"),
    sa.Column("missing", JSONB, nullable=False, server_default=sa.text("'{}'")),
    c.word("status", Status, default="open"),
    c.instant("snoozed_until"),
    c.text("feedback_reason"),
    c.loose("battle_card_id"),
    sa.Column("model_version", sa.Integer),
    c.instant("expires_at", required=True),
    sa.Index("ix_recommendations_opportunity_id", "opportunity_id", "status", "rank"),
    sa.Index(
        "uq_recommendations_open",
        "opportunity_id",
        "action",
        unique=True,
        postgresql_where=sa.text("status IN ('open', 'snoozed')"),
    ),
    sa.CheckConstraint("num_nonnulls(opportunity_id, lead_id) = 1", name="entity"),
    info={"guarded": True},
)
"""`missing` says for each null figure why it is null."""

action_log = sa.Table(
    "action_log",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("recommendation_id", sa.Uuid, nullable=False, index=True),
    sa.Column("opportunity_id", sa.Uuid, nullable=False),
    sa.Column("logged_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Column("policy", sa.Text, nullable=False),
    c.word("action", Action, required=True),
    sa.Column("propensity", sa.Double, nullable=False),
    sa.Column("candidates", JSONB, nullable=False),
    sa.Column("context", JSONB, nullable=False),
    sa.CheckConstraint("propensity > 0 AND propensity <= 1", name="propensity"),
)
"""Which action the policy put first, with what chance among which candidates: what off-policy evaluation needs."""

# Shapes --------------------------------------------------------------------------------------------

Reason = Annotated[str, Meta(max_length=2000)]


class Feedback(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Why it was done or is dismissed, in the rep's words."""

    reason: Reason | None = None
    feedback_reason: Reason | None = None

    @property
    def said(self) -> str | None:
        return self.reason or self.feedback_reason


class Snooze(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Until an instant, or for some days; a week unless it says so."""

    until: datetime | None = None
    snoozed_until: datetime | None = None
    days: Annotated[int, Meta(ge=1, le=365)] | None = None
    reason: Reason | None = None


class Recommendation(msgspec.Struct, kw_only=True):
    """What to do next, and why. Figures of effect are null with the reason in `missing`: rules claim none."""

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    opportunity_id: UUID | None
    lead_id: UUID | None
    action: Action
    title: str
    reason: str
    source: Source
    rule: str | None
    rank: int
    expected_lift: float | None
    lift_low: float | None
    lift_high: float | None
    expected_value: str | None
    missing: dict[str, str]
    status: Status
    snoozed_until: datetime | None
    feedback_reason: str | None
    battle_card_id: UUID | None
    model_version: int | None
    expires_at: datetime


class Recommendations(msgspec.Struct, kw_only=True):
    items: list[Recommendation]
    next: str | None


# Rules ---------------------------------------------------------------------------------------------

SNOOZE = timedelta(days=7)
source = Listed(
    table="recommendations", references={"opportunity_id": "opportunities"}, text=("title", "reason")
)


def step(status: str, to: str) -> bool:
    """Whether a recommendation has to move; `Conflict` where it cannot. The same verb twice changes nothing."""
    if status == to and to != "snoozed":
        return False
    if status not in ("open", "snoozed"):
        raise Conflict(f"This recommendation is {status} already.")
    return True


def wake_at(asked: Snooze, now: datetime) -> datetime:
    """Until when it sleeps; raises `Invalid` for an instant that is past or has no zone."""
    if asked.days is not None:
        return now + timedelta(days=asked.days)
    until = asked.until or asked.snoozed_until
    if until is None:
        return now + SNOOZE
    if until.tzinfo is None or until <= now or until > now + timedelta(days=366):
        raise Invalid.at("/until", "must be an instant ahead, with its zone, within a year")
    return until


_CHANGE = """
UPDATE recommendations SET status = $2, feedback_reason = coalesce($3, feedback_reason), snoozed_until = $4,
    version = version + 1, updated_at = now() WHERE id = $1 /* access:recommendations */"""


async def change(
    request: Web, tx: Tx, record_id: UUID, to: str, said: str | None, until: datetime | None = None
) -> Response[bytes]:
    """Moves a recommendation that the caller sees, with its event."""
    actor: Actor = request.scope["actor"]  # type: ignore[typeddict-item]  # set by the middleware
    params = Params([record_id])
    seen = guard(actor, "recommendations", "t", params)
    row = await tx.fetchrow(
        f"SELECT t.id, t.status, t.version, t.action, t.opportunity_id FROM recommendations t"
        f" WHERE t.id = $1 AND t.deleted_at IS NULL AND {seen} FOR UPDATE",
        *params,
    )
    if row is None:
        raise NotFound("There is no such recommendation.")
    check_version(expected_version(request), row["version"])
    if step(row["status"], to):
        data = {"action": row["action"], "opportunity_id": row["opportunity_id"], "reason": said}
        await record(
            tx,
            actor,
            f"recommendation.{to}",
            "recommendation",
            record_id,
            version=row["version"] + 1,
            data=data,
        )
        await tx.execute(_CHANGE, record_id, to, said, until)
    found = await query.one(tx, source, actor, record_id)
    assert found is not None
    return answer(found[0], headers={"ETag": etag(found[1])})


async def sent(request: Web, shape: type[T]) -> T:
    """The body, or the shape's defaults where none was sent."""
    return await body(request, shape) if await raw_body(request) else shape()


# Routes --------------------------------------------------------------------------------------------

VERB = {"answer": Recommendation, "statuses": (404, 409, 412)}


@post("/recommendations/{record_id:uuid}/done", status_code=200, opt=VERB | {"body": Feedback})
@idempotent
async def done(request: Web, tx: NamedDependency[Tx], record_id: FromPath[UUID]) -> Response[bytes]:
    """It was done."""
    require(request.scope["actor"], "recommendations", "done")  # type: ignore[typeddict-item]
    return await change(request, tx, record_id, "done", (await sent(request, Feedback)).said)


@post("/recommendations/{record_id:uuid}/dismiss", status_code=200, opt=VERB | {"body": Feedback})
@idempotent
async def dismiss(request: Web, tx: NamedDependency[Tx], record_id: FromPath[UUID]) -> Response[bytes]:
    """It does not help, and why."""
    require(request.scope["actor"], "recommendations", "dismiss")  # type: ignore[typeddict-item]
    return await change(request, tx, record_id, "dismissed", (await sent(request, Feedback)).said)


@post("/recommendations/{record_id:uuid}/snooze", status_code=200, opt=VERB | {"body": Snooze})
@idempotent
async def snooze(request: Web, tx: NamedDependency[Tx], record_id: FromPath[UUID]) -> Response[bytes]:
    """Not now: it comes back when its time has come, if it still stands."""
    require(request.scope["actor"], "recommendations", "snooze")  # type: ignore[typeddict-item]
    asked = await sent(request, Snooze)
    return await change(request, tx, record_id, "snoozed", asked.reason, wake_at(asked, datetime.now(UTC)))


@get("/opportunities/{record_id:uuid}/recommendations", opt={"answer": Recommendations, "query": ("status",)})
async def of_deal(
    request: Web, record_id: FromPath[UUID], status: FromQuery[str] = "open"
) -> Response[bytes]:
    """What to do next on a deal, first things first; `status=all` shows what was said to earlier ones too."""
    actor: Actor = request.scope["actor"]  # type: ignore[typeddict-item]  # set by the middleware
    database: Database = request.app.state.database
    require(actor, "recommendations", "read")
    if status not in (*get_args(Status), "all"):
        raise BadRequest(f"status: there are {', '.join(get_args(Status))} and all.")
    params = Params([record_id])
    seen = guard(actor, "opportunities", "t", params)
    if not await database.fetchval(
        f"SELECT 1 FROM opportunities t WHERE t.id = $1 AND t.deleted_at IS NULL AND {seen}", *params
    ):
        raise NotFound("There is no such opportunity.")
    asked = query.Request(sort=[("rank", False)], limit=MOST)
    if status != "all":
        asked.filters = [("status", "eq", status)]
    page = await query.run(database, source, actor, asked, {"opportunity_id": record_id})
    return answer(page.body)


@get("/recommendations", opt={"answer": Recommendations, "query": tuple(sorted(ROWS))})
async def many(request: Web) -> Response[bytes]:
    """The recommendations of all deals that the caller sees, in the grammar of lists."""
    actor: Actor = request.scope["actor"]  # type: ignore[typeddict-item]  # set by the middleware
    require(actor, "recommendations", "read")
    asked = query.parse(request.scope["query_string"])
    return answer((await query.run(request.app.state.database, source, actor, asked)).body)


routes: list[Any] = [done, dismiss, snooze, of_deal, many]
