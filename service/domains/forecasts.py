"""Forecasts: what a period will bring, by node: closed, by category, weighted, and the band of the model's draws."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery
from msgspec import UNSET, Meta
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service import calendar, figures, nodes, outlook
from service import columns as c
from service.access import Actor, require
from service.calendar import Period
from service.db import INSTANT, MONEY, Database, Tx, business_table, metadata
from service.errors import BadRequest, Conflict
from service.idempotency import idempotent
from service.ids import new_id
from service.ledger import record
from service.nodes import Node
from service.rules import amounts, refuse
from service.settings import Settings
from service.shapes import Maybe, Money, Text
from service.wire import Web, answer, body, check_version, etag, expected_version

Category = Literal["commit", "best_case", "pipeline", "omitted"]
NodeType = Literal["user", "team", "territory", "company"]

# Tables --------------------------------------------------------------------------------------------

forecast_runs = sa.Table(
    "forecast_runs",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("period", sa.Text, nullable=False),
    sa.Column("as_of", INSTANT, nullable=False),
    sa.Column("tier", sa.Text, nullable=False),
    sa.Column("model_version", sa.Integer),
    sa.Column("arrivals_version", sa.Integer),
    sa.Column("n_origins", sa.Integer, nullable=False),
    sa.Column("n_periods", sa.Integer, nullable=False),
    sa.Column("coverage", JSONB, nullable=False),
    sa.Column("interval_score", JSONB, nullable=False),
    sa.Column("shocks", JSONB, nullable=False),
    sa.Column("point_days", ARRAY(sa.Double), nullable=False),
    sa.Column("fan", JSONB, nullable=False),
    sa.Column("mean_cents", sa.BigInteger, nullable=False),
    sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Index("ix_forecast_runs_period", "period", sa.text("as_of DESC"), sa.text("id DESC")),
)
"""One row a drawing. `coverage` and `interval_score` are by level: company, team, person."""

forecast_draws = sa.Table(
    "forecast_draws",
    metadata,
    sa.Column("run_id", sa.Uuid, sa.ForeignKey("forecast_runs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("owner_id", sa.Uuid, primary_key=True),
    sa.Column("territory_id", sa.Uuid, primary_key=True),
    sa.Column("closed_cents", sa.BigInteger, nullable=False),
    sa.Column("open_cents", sa.BigInteger, nullable=False),
    sa.Column("created_cents", sa.BigInteger, nullable=False),
    sa.Column("draws", sa.LargeBinary, nullable=False),
)
"""A leaf's draws of what is not closed yet: 2,000 little-endian int64 of cents. No territory is the nil UUID."""

forecast_submissions = business_table(
    "forecast_submissions",
    c.text("period", required=True),
    c.text("node_type", required=True),
    c.loose("node_id"),
    c.money("commit", required=True),
    c.money("best_case"),
    c.text("note"),
    c.reference("submitted_by_id", "users"),
    sa.Index("ix_forecast_submissions_node", "period", "node_type", "node_id"),
    guarded=False,
)
"""What somebody stands for, each time that they say so; the newest one counts."""

forecast_overrides = business_table(
    "forecast_overrides",
    c.text("period", required=True),
    c.text("node_type", required=True),
    c.loose("node_id"),
    c.word("category", Category, required=True),
    c.money("amount", required=True),
    c.money("original", required=True),
    c.text("reason", required=True),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Index(
        "uq_forecast_overrides_place",
        "period",
        "node_type",
        sa.text("coalesce(node_id, '00000000-0000-0000-0000-000000000000'::uuid)"),
        "place",
        unique=True,
    ),
    guarded=False,
)
"""A judgement over a sum, with its reason and the sum as it was. `place` counts a node's overrides: its version."""

league_rows = sa.Table(
    "league_rows",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("period", sa.Text, nullable=False),
    c.word("node_type", NodeType, required=True),
    c.loose("node_id"),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("days_before", sa.Integer, nullable=False),
    sa.Column("as_of", INSTANT, nullable=False),
    sa.Column("forecast", MONEY, nullable=False),
    sa.Column("low", MONEY),
    sa.Column("high", MONEY),
    sa.Column("actual", MONEY, nullable=False),
    sa.Column("created_at", INSTANT, nullable=False, server_default=sa.func.now()),
    sa.Index("ix_league_rows_period", "period", "node_type", "days_before"),
)
"""A past forecast by one method, as it would have been made then, beside what came of it."""

# Shapes --------------------------------------------------------------------------------------------

PeriodKey = Annotated[str, Meta(min_length=4, max_length=17)]
NodeText = Annotated[str, Meta(min_length=4, max_length=50)]


class NodeRef(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A node as answers show it; `id` is null for the company."""

    type: NodeType
    id: UUID | None = None


class SubmissionDraft(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`node` as text (`user:ID`) or as an object."""

    period: PeriodKey
    node: NodeText | NodeRef
    commit: Money
    best_case: Maybe[Money] = UNSET
    note: Maybe[Text] = UNSET


class Submission(msgspec.Struct, kw_only=True):
    id: UUID
    period: str
    node: NodeRef
    commit: Decimal
    best_case: Decimal | None
    note: str | None
    submitted_by_id: UUID | None
    created_at: datetime


class OverrideDraft(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Another amount for one category of one node, and why."""

    period: PeriodKey
    node: NodeText | NodeRef
    category: Category
    amount: Money
    reason: Annotated[str, Meta(min_length=1, max_length=2000, pattern=r"\S")]


class Override(msgspec.Struct, kw_only=True):
    """`original` is the sum of the deals when the override was made."""

    id: UUID
    period: str
    node: NodeRef
    category: str
    amount: Decimal
    original: Decimal
    reason: str
    created_by_id: UUID | None
    created_at: datetime
    version: int


class Outlook(msgspec.Struct, kw_only=True):
    """The model's view: mean = closed + open + to_be_created. Where a figure cannot be had, `reason` says why."""

    p10: Decimal | None
    p50: Decimal
    p90: Decimal | None
    mean: Decimal
    closed: Decimal
    open: Decimal
    to_be_created: Decimal
    interval_coverage: float | None
    interval_score: Decimal | None
    n_periods: int
    n_origins: int
    tier: str
    model_version: int | None
    arrivals_version: int | None
    as_of: datetime
    reason: str | None


class FanPoint(msgspec.Struct, kw_only=True):
    """The band of what is closed `days` after `ai.as_of`."""

    days: float
    p10: Decimal
    p50: Decimal
    p90: Decimal


class NodeForecast(msgspec.Struct, kw_only=True):
    """One node's figures. An overridden category shows the override, its sum stands in `overrides`."""

    period: str
    node: NodeRef
    name: str
    as_of: datetime
    currency: str
    closed: Decimal
    commit: Decimal
    best_case: Decimal
    pipeline: Decimal
    omitted: Decimal
    weighted: Decimal
    overrides: dict[str, Override]
    submission: Submission | None
    quota: Decimal | None
    attainment: float | None
    attain_probability: float | None
    ai: Outlook
    version: int


class Forecast(NodeForecast, kw_only=True):
    fan: list[FanPoint]
    children: list[NodeForecast]


# Rules ---------------------------------------------------------------------------------------------


def node_of(given: str | NodeRef) -> Node:
    return Node.parse(given) if isinstance(given, str) else Node(given.type, given.id)


async def refuse_locked(tx: Tx, period: Period) -> None:
    """A locked period takes no more judgements."""
    if (
        await tx.fetchval("SELECT status FROM periods WHERE key = $1 AND deleted_at IS NULL", period.key)
        == "locked"
    ):
        raise Conflict(f"The period {period.key} is locked.")


def instant_of(text: str | None, now: datetime) -> datetime | None:
    """`as_of` as an instant with its zone, not in the future."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"as_of: {text[:40]!r} is not an instant such as 2026-01-31T00:00:00Z.") from None
    if instant.tzinfo is None or instant > now:
        raise BadRequest("as_of: give an instant with its zone that has passed.")
    return instant.astimezone(UTC)


# Routes --------------------------------------------------------------------------------------------


@get("/forecasts", opt={"answer": Forecast, "query": ("period", "node", "as_of")})
async def one(
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
    period: FromQuery[str | None] = None,
    node: FromQuery[str | None] = None,
    as_of: FromQuery[str | None] = None,
) -> Response[bytes]:
    """The forecast of a period (the current one) for a node (your own), with one row for each of its children."""
    require(actor, "forecasts", "read")
    asked = Node.parse(node) if node else None
    instant = instant_of(as_of, datetime.now(UTC))
    found, meant = await outlook.read(database, settings, actor, period, asked, instant)
    return answer(found.answer(meant), headers={"ETag": etag(found.versions.get(meant, 0))})


def _place(period: Period, node: Node) -> str:
    """Where the judged forecast is read."""
    return f"/api/v1/forecasts?period={period.key}&node={node}"


async def _judged(tx: Tx, actor: Actor, draft: SubmissionDraft | OverrideDraft) -> tuple[Period, Node]:
    node = node_of(draft.node)
    (await nodes.load(tx)).check(actor, node)
    period = await calendar.period(tx, draft.period, await calendar.data_now(tx, datetime.now(UTC)))
    await refuse_locked(tx, period)
    return period, node


@post("/forecasts", opt={"body": SubmissionDraft, "answer": Submission, "statuses": (404, 409)})
@idempotent
async def submit(request: Web, tx: NamedDependency[Tx], actor: NamedDependency[Actor]) -> Response[bytes]:
    """Says what a node stands for in a period. Earlier submissions stay; the newest counts."""
    require(actor, "forecasts", "submit")
    draft = await body(request, SubmissionDraft)
    best_case = draft.best_case if isinstance(draft.best_case, Decimal) else None
    refuse(amounts({"commit": draft.commit, "best_case": best_case}, "commit", "best_case"))
    period, node = await _judged(tx, actor, draft)
    submission_id = new_id()
    await record(tx, actor, "forecast.submitted", "forecast_submission", submission_id, version=1)
    row = await tx.fetchrow(
        "INSERT INTO forecast_submissions (id, period, node_type, node_id, commit, best_case, note, submitted_by_id,"
        " created_by_id, updated_by_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8) RETURNING *",
        submission_id,
        period.key,
        node.type,
        node.id,
        draft.commit,
        best_case,
        draft.note if isinstance(draft.note, str) else None,
        actor.id,
    )
    return answer(outlook.submission_item(row), 201, {"Location": _place(period, node)})


@post(
    "/forecasts/override",
    opt={"body": OverrideDraft, "answer": Override, "statuses": (404, 409, 412, 428)},
)
@idempotent
async def override(request: Web, tx: NamedDependency[Tx], actor: NamedDependency[Actor]) -> Response[bytes]:
    """Puts another amount in place of a category's sum; If-Match is the ETag of the node's forecast."""
    require(actor, "forecasts", "override")
    expected = expected_version(request, required=True)
    draft = await body(request, OverrideDraft)
    refuse(amounts({"amount": draft.amount}, "amount"))
    period, node = await _judged(tx, actor, draft)
    await tx.execute("SELECT pg_advisory_xact_lock(hashtext($1))", f"forecast {period.key} {node}")
    place = await tx.fetchval(
        "SELECT coalesce(max(place), 0) FROM forecast_overrides"
        " WHERE period = $1 AND node_type = $2 AND node_id IS NOT DISTINCT FROM $3",
        period.key,
        node.type,
        node.id,
    )
    check_version(expected, place)
    tree = await nodes.load(tx)
    sums = await figures.sums_by_leaf(tx, actor, period, None)
    original = sum((sums[leaf][draft.category] for leaf in tree.leaves(node, sums)), figures.ZERO)
    override_id = new_id()
    await record(tx, actor, "forecast.overridden", "forecast_override", override_id, version=1)
    row = await tx.fetchrow(
        "INSERT INTO forecast_overrides (id, period, node_type, node_id, category, amount, original, reason, place,"
        " created_by_id, updated_by_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) RETURNING *",
        override_id,
        period.key,
        node.type,
        node.id,
        draft.category,
        draft.amount,
        original,
        draft.reason,
        place + 1,
        actor.id,
    )
    return answer(
        outlook.override_item(row), 201, {"ETag": etag(place + 1), "Location": _place(period, node)}
    )


routes: list[Any] = [one, submit, override]
