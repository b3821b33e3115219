"""Scores: what a model says of each open deal and lead, with its reasons; the newest one, and all before."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service import calendar, supposing
from service import columns as c
from service.access import Actor, guard, hidden, require
from service.db import Database, Params, metadata
from service.errors import BadRequest, Conflict, Invalid, NotFound
from service.reasons import shown
from service.rules import amounts, refuse
from service.settings import Settings
from service.shapes import Maybe, Money
from service.wire import answer

Grade = Literal["a", "b", "c", "d"]
Tier = Literal["baseline", "logistic", "gbm"]
Trend = Literal["improving", "steady", "declining", "not_enough_information"]

# --- tables ------------------------------------------------------------------------------------------------------


def _columns() -> list[sa.Column[Any]]:
    """What a score says, in both tables."""
    return [
        c.word("entity_type", Literal["opportunity", "lead"], required=True),
        c.loose("opportunity_id"),
        c.loose("lead_id"),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("model_version", sa.Integer),
        sa.Column("feature_set", sa.Text, nullable=False),
        c.word("tier", Tier, required=True),
        c.instant("as_of", required=True),
        c.instant("known_at", required=True),
        c.instant("watermark", required=True),
        c.instant("scored_at", required=True),
        sa.Column(
            "score", sa.Integer, sa.CheckConstraint("score BETWEEN 1 AND 99", name="score"), nullable=False
        ),
        c.word("grade", Grade, required=True),
        c.number("win_probability"),
        c.number("win_in_period_probability"),
        c.number("slip_probability"),
        c.day("likely_close_week"),
        c.money("amount_p10"),
        c.money("amount_p50"),
        c.money("amount_p90"),
        c.number("convert_30d_probability"),
        c.number("convert_60d_probability"),
        c.number("convert_90d_probability"),
        c.word("trend", Trend, required=True),
        c.number("base_value", required=True),
        c.items("reasons"),
        sa.Column("gate", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("calibration", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("missing", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("won_by_week", ARRAY(sa.REAL), nullable=False, server_default=sa.text("'{}'")),
    ]


scores = sa.Table(
    "scores",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    *_columns(),
    sa.Column("features", JSONB, nullable=False),
    sa.Column("effects", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Index(
        "ix_scores_opportunity_id",
        "opportunity_id",
        "as_of",
        postgresql_where=sa.text("opportunity_id IS NOT NULL"),
    ),
    sa.Index("ix_scores_lead_id", "lead_id", "as_of", postgresql_where=sa.text("lead_id IS NOT NULL")),
    sa.CheckConstraint("num_nonnulls(opportunity_id, lead_id) = 1", name="entity"),
    info={"guarded": True},
)
"""Every score ever made, never changed. `features` is the vector that the model read (name → value): with the model's
version it replays the score. `effects` is the whole attribution by reason, `reasons` tells the largest. `missing` says
for each null field why it is null. `won_by_week[k]` is the chance to be won within k weeks of `as_of` (PostgreSQL counts
from 1). At or below `watermark` no older change was in flight."""

current_scores = sa.Table(
    "current_scores",
    metadata,
    sa.Column("entity_id", sa.Uuid, primary_key=True),
    sa.Column("score_id", sa.Uuid, nullable=False),
    *_columns(),
    sa.Index("ix_current_scores_opportunity_id", "opportunity_id", unique=True),
    sa.Index("ix_current_scores_lead_id", "lead_id", unique=True),
    sa.CheckConstraint("num_nonnulls(opportunity_id, lead_id) = 1", name="entity"),
    info={"guarded": True},
)
"""The newest score of each deal and lead."""

# --- shapes ------------------------------------------------------------------------------------------------------

Text = Annotated[str, Meta(min_length=1, max_length=200)]


class Reason(msgspec.Struct, kw_only=True):
    """`effect`: what it adds to the chance (or takes, below 0); with `base_value` all effects sum to the chance."""

    key: str
    text: str
    value: Any
    effect: float
    direction: Literal["up", "down"]


class Score(msgspec.Struct, kw_only=True):
    """A score with its reasons. A field is null only where `missing` says why. `watermark`: at or below it no older
    change was in flight. Amounts are in the home currency."""

    entity_type: str
    entity_id: UUID
    model: str
    model_version: int | None
    feature_set: str
    tier: Tier
    as_of: datetime
    watermark: datetime
    scored_at: datetime
    is_stale: bool
    score: int
    grade: Grade
    win_probability: float | None
    win_in_period_probability: float | None
    slip_probability: float | None
    likely_close_week: date | None
    amount_p10: Decimal | None
    amount_p50: Decimal | None
    amount_p90: Decimal | None
    currency: str
    convert_30d_probability: float | None
    convert_60d_probability: float | None
    convert_90d_probability: float | None
    trend: Trend
    base_value: float
    reasons: list[Reason]
    gate: dict[str, Any]
    calibration: dict[str, Any]
    missing: dict[str, str]
    id: UUID | None = None


class ScoreList(msgspec.Struct, kw_only=True):
    items: list[Score]
    next: str | None


class WhatIf(Score, kw_only=True):
    """A score that is not stored. `forecast_effect`: by how much the changes move the deal's expected revenue in the
    current quarter (chance to win in it × amount), in home currency."""

    forecast_effect: Decimal = Decimal(0)


class Changes(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is supposed; what is left out stays as it is."""

    stage: Text | UnsetType = UNSET
    amount: Maybe[Money] = UNSET
    close_date: date | UnsetType | None = UNSET
    next_step: Annotated[str, Meta(max_length=2000)] | UnsetType | None = UNSET
    forecast_category: Literal["omitted", "pipeline", "best_case", "commit"] | UnsetType = UNSET
    type: Literal["new_business", "expansion", "renewal"] | UnsetType | None = UNSET
    lead_source: Text | UnsetType | None = UNSET
    competitor_ids: Annotated[list[UUID], Meta(max_length=50)] | UnsetType = UNSET
    owner_id: UUID | UnsetType = UNSET
    account_id: UUID | UnsetType | None = UNSET


class Suppose(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Nothing supposed: the score as it is now."""

    changes: Changes = msgspec.field(default_factory=Changes)


# --- rules -------------------------------------------------------------------------------------------------------

STALE = timedelta(hours=36)
SHOWN = tuple(
    column.name
    for column in scores.columns
    if column.name not in ("features", "effects", "won_by_week", "known_at")
)


def is_stale(row: Any, champion: int | None, updated_at: datetime | None, now: datetime) -> bool:
    """Whether the score waits to be made anew: the record changed since, another model serves, or a night was missed.

    `updated_at` None: the record is closed, and its last score stands.
    """
    if updated_at is None:
        return False
    is_old = now - row["scored_at"] > STALE
    return bool(
        updated_at > row["known_at"] or is_old or (champion is not None and champion != row["model_version"])
    )


def as_shown(actor: Actor, row: Any, currency: str, *, stale: bool) -> dict[str, Any]:
    """A row as this actor may read it: reasons of hidden fields are among the other factors."""
    kind = row["entity_type"]
    found = {name: row[name] for name in SHOWN if name not in ("opportunity_id", "lead_id")}
    return found | {
        "entity_id": row["opportunity_id"] or row["lead_id"],
        "currency": currency,
        "is_stale": stale,
        "reasons": shown(actor, kind, row["reasons"]),
    }


async def record_of(database: Database, actor: Actor, table: str, record_id: UUID) -> dict[str, Any]:
    """The deal or lead, if this actor sees it; else 404."""
    params = Params([record_id])
    seen = guard(actor, table, "t", params)
    row = await database.fetchrow(
        f"SELECT t.* FROM {table} t WHERE t.id = $1 AND t.deleted_at IS NULL AND {seen}", *params
    )
    if row is None:
        raise NotFound(f"There is no such {'lead' if table == 'leads' else 'opportunity'}.")
    return dict(row)


async def stored(
    database: Database, actor: Actor, record: dict[str, Any], table: str
) -> dict[str, Any] | None:
    """The current score of a record that the actor sees."""
    row = await database.fetchrow(
        "SELECT s.*, s.score_id AS id, c.version AS champion, now() AS now FROM current_scores s"
        " LEFT JOIN registry.champions c ON c.model = s.model WHERE s.entity_id = $1 /* access:current_scores */",
        record["id"],
    )
    if row is None:
        return None
    is_open = record["status"] not in ("won", "lost", "converted", "unqualified")
    updated_at = record["updated_at"] if is_open else None
    home = (await calendar.company(database)).home_currency
    return as_shown(actor, row, home, stale=is_stale(row, row["champion"], updated_at, row["now"]))


async def current(
    database: Database, actor: Actor, table: str, ids: list[UUID]
) -> dict[UUID, dict[str, Any]]:
    """The current scores of those of the records that the actor sees, by their ids, in one statement."""
    params = Params([ids])
    seen = guard(actor, "current_scores", "s", params)
    rows = await database.fetch(
        "SELECT s.*, s.score_id AS id, c.version AS champion, now() AS now, t.status, t.updated_at,"
        " (SELECT home_currency FROM company LIMIT 1) AS currency FROM current_scores s"
        f" LEFT JOIN registry.champions c ON c.model = s.model JOIN {table} t ON t.id = s.entity_id /* access:{table} */"
        f" WHERE s.entity_id = ANY($1::uuid[]) AND {seen}",
        *params,
    )
    finished = ("won", "lost", "converted", "unqualified")
    return {
        row["entity_id"]: as_shown(
            actor,
            row,
            row["currency"],
            stale=is_stale(
                row, row["champion"], None if row["status"] in finished else row["updated_at"], row["now"]
            ),
        )
        for row in rows
    }


# --- routes ------------------------------------------------------------------------------------------------------


@get("/opportunities/{record_id:uuid}/score", opt={"answer": Score})
async def of_deal(
    record_id: FromPath[UUID],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """The deal's current score; an open deal that waits for its first one is scored on the spot, unstored."""
    require(actor, "scores", "read")
    deal = await record_of(database, actor, "opportunities", record_id)
    found = await stored(database, actor, deal, "opportunities")
    if found is None and deal["status"] == "open":
        found = (await supposing.suppose(database, settings, actor, deal, {}))[0]
    if found is None:
        raise NotFound("The deal was closed before it was ever scored.")
    return answer(found)


@get("/leads/{record_id:uuid}/score", opt={"answer": Score})
async def of_lead(
    record_id: FromPath[UUID],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """The lead's current score; one that waits for its first is scored on the spot, unstored."""
    require(actor, "scores", "read")
    lead = await record_of(database, actor, "leads", record_id)
    found = await stored(database, actor, lead, "leads")
    if found is None and lead["status"] not in ("converted", "unqualified"):
        found = await supposing.score_lead(database, settings, actor, lead)
    if found is None:
        raise NotFound("The lead was finished before it was ever scored.")
    return answer(found)


async def _history(
    database: Database, actor: Actor, table: str, record_id: UUID, limit: int, cursor: str | None
) -> Response[bytes]:
    require(actor, "scores", "read")
    await record_of(database, actor, table, record_id)
    limit = max(1, min(200, limit))
    try:
        before = UUID(cursor) if cursor else UUID(int=2**128 - 1)
    except ValueError:
        raise BadRequest("cursor: not one of ours.") from None
    column = "lead_id" if table == "leads" else "opportunity_id"
    rows = await database.fetch(
        f"SELECT * FROM scores s WHERE s.{column} = $1 AND s.id < $2 ORDER BY s.id DESC LIMIT $3 /* access:scores */",
        record_id,
        before,
        limit + 1,
    )
    home = (await calendar.company(database)).home_currency
    items = [as_shown(actor, row, home, stale=False) for row in rows[:limit]]
    return answer({"items": items, "next": str(rows[limit - 1]["id"]) if len(rows) > limit else None})


@get("/opportunities/{record_id:uuid}/score/history", opt={"answer": ScoreList, "query": ("limit", "cursor")})
async def history_of_deal(
    record_id: FromPath[UUID],
    database: NamedDependency[Database],
    actor: NamedDependency[Actor],
    limit: FromQuery[int] = 50,
    cursor: FromQuery[str | None] = None,
) -> Response[bytes]:
    """All scores of the deal, the newest first."""
    return await _history(database, actor, "opportunities", record_id, limit, cursor)


@get("/leads/{record_id:uuid}/score/history", opt={"answer": ScoreList, "query": ("limit", "cursor")})
async def history_of_lead(
    record_id: FromPath[UUID],
    database: NamedDependency[Database],
    actor: NamedDependency[Actor],
    limit: FromQuery[int] = 50,
    cursor: FromQuery[str | None] = None,
) -> Response[bytes]:
    """All scores of the lead, the newest first."""
    return await _history(database, actor, "leads", record_id, limit, cursor)


@post(
    "/opportunities/{record_id:uuid}/whatif",
    status_code=200,
    opt={"body": Suppose, "answer": WhatIf, "statuses": (404, 409)},
)
async def what_if(
    data: JSONBody[Suppose],
    record_id: FromPath[UUID],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """The score that the deal would have with some fields changed; nothing is stored."""
    require(actor, "opportunities", "whatif")
    deal = await record_of(database, actor, "opportunities", record_id)
    if deal["status"] != "open":
        raise Conflict(f"The deal is {deal['status']}: only an open one can still be supposed to change.")
    changes = {
        name: value
        for name in Changes.__struct_fields__
        if (value := getattr(data.changes, name)) is not UNSET
    }
    for name in changes:
        if name in hidden(actor, "opportunities"):
            raise Invalid.at(f"/changes/{name}", "Object contains unknown field")
    refuse([fault | {"pointer": f"/changes{fault['pointer']}"} for fault in amounts(changes, "amount")])
    await supposing.check(database, actor, deal, changes)
    found, effect = await supposing.suppose(database, settings, actor, deal, changes)
    return answer(found | {"forecast_effect": effect})


routes: list[Any] = [of_deal, of_lead, history_of_deal, history_of_lead, what_if]
