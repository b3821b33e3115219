"""Opportunities: deals, from the first talk to won or lost. Only the stage verb moves one."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET, Meta

from service import calendar, history, ledger, money, moves, past
from service import columns as c
from service.access import SYSTEM, Actor, require, visible
from service.crud import crud
from service.db import MONEY, Database, Params, Tx, business_table
from service.domains.assignment import assign
from service.domains.pipelines import Category, Status, reopening_rule, stages_of
from service.errors import Conflict, Invalid, Pointer
from service.idempotency import idempotent
from service.resource import Resource, Row
from service.rules import amounts, exist, fault, owned, refuse
from service.shapes import Currency, Draft, Given, Ids, Line, Maybe, Money, Name, Text, item_of, patch_of
from service.wire import answer, body, check_version, etag, expected_version
from service.writes import document, locked, update

Type = Literal["new_business", "expansion", "renewal"]
LossReason = Literal[
    "price",
    "product",
    "competitor",
    "no_budget",
    "no_decision",
    "timing",
    "relationship",
    "disqualified",
    "other",
]
CategorySource = Literal["stage", "user"]

# Tables --------------------------------------------------------------------------------------------

opportunities = business_table(
    "opportunities",
    c.text("name", required=True),
    c.reference("account_id", "accounts"),
    c.reference("owner_id", "users", required=True),
    c.reference("pipeline_id", "pipelines", required=True),
    c.text("stage", required=True),
    c.word("status", Status, default="open"),
    c.reference("primary_contact_id", "contacts"),
    c.money("amount"),
    c.currency(),
    c.money("amount_home"),
    sa.Column(
        "expected_revenue",
        MONEY,
        sa.Computed("round(amount * probability::numeric, 4)", persisted=True),
        nullable=True,
    ),
    c.day("close_date"),
    c.text("next_step"),
    c.day("next_step_due"),
    c.instant("closed_at"),
    c.day("closed_on"),
    c.word("forecast_category", Category, required=True),
    c.word("forecast_category_source", CategorySource, default="stage"),
    sa.Column(
        "probability",
        sa.Double,
        sa.CheckConstraint("probability BETWEEN 0 AND 1", name="probability"),
        nullable=False,
    ),
    c.word("type", Type),
    c.text("lead_source"),
    c.reference("campaign_id", "campaigns"),
    c.reference("price_book_id", "price_books"),
    c.text("description"),
    c.word("loss_reason", LossReason),
    c.text("closed_note"),
    c.reference("competitor_id", "competitors"),
    c.ids("competitor_ids", "competitors"),
    c.reference("territory_id", "territories"),
    c.instant("stage_entered_at", required=True),
    sa.CheckConstraint("(status = 'open') = (closed_at IS NULL)", name="closed_at"),
    c.index("ix_opportunities_owner_id", "owner_id", "status"),
    c.index("ix_opportunities_owner_id_id", "owner_id", "id"),
    c.index("ix_opportunities_owner_id_amount_home", "owner_id", "amount_home", "id"),
    c.index("ix_opportunities_owner_id_close_date", "owner_id", "close_date", "id"),
    c.index("ix_opportunities_close_date_id", "close_date", "id"),
    c.index("ix_opportunities_account_id", "account_id"),
    c.index("ix_opportunities_board", "pipeline_id", "stage", "id"),
    c.index("ix_opportunities_close_date", "close_date", where="status = 'open'"),
    c.index("ix_opportunities_closed_at", "closed_at", where="closed_at IS NOT NULL"),
    c.index("ix_opportunities_amount_home", "amount_home", "id"),
    c.index("ix_opportunities_territory_id", "territory_id", where="territory_id IS NOT NULL"),
    c.index("ix_opportunities_campaign_id", "campaign_id", where="campaign_id IS NOT NULL"),
    c.sorted_by("opportunities", "name"),
    c.external("opportunities"),
)

# Shapes --------------------------------------------------------------------------------------------


StageKey = Annotated[str, Meta(min_length=1, max_length=64)]


class OpportunityDraft(Draft, kw_only=True):
    """A deal begins with its creator, in the first stage of the default pipeline, unless it says otherwise."""

    name: Name
    account_id: Maybe[UUID] = UNSET
    owner_id: Given[UUID] = UNSET
    pipeline_id: Given[UUID] = UNSET
    stage: Given[StageKey] = UNSET
    primary_contact_id: Maybe[UUID] = UNSET
    amount: Maybe[Money] = UNSET
    currency: Maybe[Currency] = UNSET
    close_date: Maybe[date] = UNSET
    next_step: Maybe[Text] = UNSET
    next_step_due: Maybe[date] = UNSET
    forecast_category: Maybe[Category] = UNSET
    type: Maybe[Type] = UNSET
    lead_source: Maybe[Line] = UNSET
    campaign_id: Maybe[UUID] = UNSET
    price_book_id: Maybe[UUID] = UNSET
    description: Maybe[Text] = UNSET
    loss_reason: Maybe[LossReason] = UNSET
    closed_note: Maybe[Text] = UNSET
    competitor_id: Maybe[UUID] = UNSET
    competitor_ids: Given[Ids] = UNSET


OpportunityPatch = patch_of(
    OpportunityDraft, "owner_id", "pipeline_id", "stage", "loss_reason", "competitor_id"
)
Opportunity = item_of(
    opportunities, OpportunityDraft, last_activity_at=datetime | None, push_count=int, is_rotting=bool
)


class StageMove(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`to` is a stage's key; `reason` a loss reason; `pipeline_id` another pipeline to go to."""

    to: StageKey
    reason: Given[LossReason] = UNSET
    competitor_id: Given[UUID] = UNSET
    note: Given[Text] = UNSET
    pipeline_id: Given[UUID] = UNSET


class StageVisit(msgspec.Struct, kw_only=True):
    """`left_at` and `seconds` are null where the deal still stands."""

    pipeline_id: UUID
    stage: str
    entered_at: datetime
    left_at: datetime | None
    seconds: float | None
    direction: str


class History(msgspec.Struct, kw_only=True):
    """Newest first."""

    items: list[past.Version]
    stages: list[StageVisit]
    next: str | None


# Rules ---------------------------------------------------------------------------------------------

_WORTH = frozenset({"amount", "currency", "status", "closed_on"})
"""Where none of these changed, the home amount stays as it is."""


def _category(new: Row, old: Row | None) -> Iterator[Pointer]:
    """A person may call an open deal anything but closed; a closed deal is what its stage says."""
    category = new.get("forecast_category")
    if category is None or (old and category == old["forecast_category"]):
        return
    if new.get("status", "open") == "open" and category == "closed":
        yield fault("forecast_category", "an open deal is not closed")
    elif old and old["status"] == new["status"] != "open":
        yield fault("forecast_category", "a closed deal is what its stage says")


def check(new: Row, old: Row | None) -> None:
    """Amounts are not negative; the forecast category fits the status."""
    refuse(amounts(new, "amount"), _category(new, old))


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Fills what follows from the rest: stage, status, chance, category, currency and the home amount."""
    if old and (new["forecast_category"] is None or new["forecast_category"] != old["forecast_category"]):
        await _categorize(tx, new, old)
    if new.get("competitor_ids") and (old is None or new["competitor_ids"] != old["competitor_ids"]):
        await exist(tx, actor, "competitors", "competitor_ids", new["competitor_ids"])
    if old and new["amount"] != old["amount"]:
        await _refuse_amount(tx, new)
    if old and not any(new[name] != old[name] for name in _WORTH):
        return
    settings, now = await calendar.company(tx), datetime.now(UTC)
    today, home = settings.today(now), settings.home_currency
    if old is None:
        await _begin(tx, new, now, today)
    new["currency"] = new.get("currency") or home
    day = new.get("closed_on") or today
    new["amount_home"] = await money.at_home(tx, new.get("amount"), new["currency"], day, home)


async def _begin(tx: Tx, new: Row, now: datetime, today: date) -> None:
    """The first stage, or the one named; a deal that is created closed needs what a close needs."""
    stages = await stages_of(tx, new.get("pipeline_id"))
    stage = moves.find(stages, new["stage"], "stage") if "stage" in new else moves.first(stages)
    chosen = new.get("forecast_category")
    new |= moves.begin(stage, new, now, today)
    moves.refuse_missing(list(moves.entering(new, stage)))
    if chosen is not None and stage["status"] == "open":
        new |= {"forecast_category": chosen, "forecast_category_source": "user"}


async def _categorize(tx: Tx, new: Row, old: Row) -> None:
    """A category that a person chose stays through moves; null gives it back to the stage."""
    if new["stage"] != old["stage"] or new["pipeline_id"] != old["pipeline_id"]:
        return
    if new["forecast_category"] is not None:
        new["forecast_category_source"] = "user"
        return
    stage = moves.find(await stages_of(tx, new["pipeline_id"]), new["stage"], "stage")
    new |= {"forecast_category": stage["forecast_category"], "forecast_category_source": "stage"}


async def lines_total(tx: Tx, opportunity_id: UUID) -> Any:
    """Σ of the lines' totals; None where there is no line with a price."""
    seen = visible(SYSTEM, "lines", "t", Params())
    return await tx.fetchval(
        f"SELECT sum(t.total_price) FROM lines t WHERE t.opportunity_id = $1 AND t.deleted_at IS NULL AND {seen}",
        opportunity_id,
    )


async def _refuse_amount(tx: Tx, new: Row) -> None:
    """With lines the amount is their sum and nothing else; to leave it out is no wish to change it."""
    total = await lines_total(tx, new["id"])
    if new["amount"] is None:
        new["amount"] = total
    if total is not None and total != new["amount"]:
        raise Conflict(
            "The amount is the total of the deal's lines.",
            errors=[fault("amount", "is read only: the deal has lines")],
        )


async def visits(database: Database, actor: Actor, record_id: UUID) -> Row:
    """The way of a deal through the stages, beside its changes."""
    rows = await database.fetch("SELECT pipeline_id, key, position FROM stages")
    order = {(str(row["pipeline_id"]), row["key"]): row["position"] for row in rows}
    versions = await history.versions(database, actor, "opportunities", record_id)
    return {"stages": moves.visits(versions, order)}


# Routes --------------------------------------------------------------------------------------------

LAST_ACTIVITY = (
    "SELECT max(a.occurred_at) FROM activities a WHERE a.opportunity_id = t.id AND a.deleted_at IS NULL"
    " AND a.status IN ('completed', 'no_show') AND a.occurred_at <= now() /* access:activities */"
)
IS_ROTTING = (
    "t.status = 'open' AND EXISTS (SELECT 1 FROM stages s WHERE s.pipeline_id = t.pipeline_id AND s.key = t.stage"
    " AND s.deleted_at IS NULL AND t.stage_entered_at < now() - make_interval(days => s.rotting_days)"
    " AND NOT EXISTS (SELECT 1 FROM activities a WHERE a.opportunity_id = t.id AND a.deleted_at IS NULL"
    " AND a.status IN ('completed', 'no_show') AND a.occurred_at <= now()"
    " AND a.occurred_at >= now() - make_interval(days => s.rotting_days) /* access:activities */))"
)
"""Longer in its stage than `rotting_days`, and as long without a sign of life."""
PUSHES = (
    "SELECT count(*) FROM (SELECT h.close_date, lag(h.close_date) OVER (ORDER BY h.known_from, h.version) AS earlier"
    " FROM history.opportunities h WHERE h.id = t.id AND h.known_from <= now()) p WHERE p.close_date > p.earlier"
    " /* access:opportunities */"  # the past of the very deal that is seen
)

resource = Resource(
    path="/opportunities",
    name="opportunity",
    table=opportunities,
    draft=OpportunityDraft,
    patch=OpportunityPatch,
    item=Opportunity,
    references={
        "account_id": "accounts",
        "owner_id": "users",
        "pipeline_id": "pipelines",
        "primary_contact_id": "contacts",
        "competitor_id": "competitors",
        "territory_id": "territories",
        "campaign_id": "campaigns",
        "price_book_id": "price_books",
    },
    text=("name", "description"),
    extra={"last_activity_at": LAST_ACTIVITY, "push_count": PUSHES, "is_rotting": IS_ROTTING},
    extra_kinds={"last_activity_at": "instant", "push_count": "integer", "is_rotting": "boolean"},
    home={"amount": "amount_home"},
    check=check,
    defaults=owned,
    prepare=prepare,
    prepare_reads=True,
    free=frozenset(["next_step", "next_step_due", "description", "lead_source"]),
    rereads=frozenset({"close_date"}),
    timeline=History,
    beside=visits,
)


async def move(tx: Tx, actor: Actor, old: Row, asked: StageMove, now: datetime) -> Row:
    """Moves a locked deal; the only way from one stage to another."""
    if old["status"] != "open":
        require(actor, "opportunities", "reopen")
    pipeline_id = old["pipeline_id"] if asked.pipeline_id is UNSET else asked.pipeline_id
    stages = await stages_of(tx, pipeline_id)
    if not stages:
        raise Invalid.at("/pipeline_id", "there is no such record")
    settings, to = await calendar.company(tx), moves.find(stages, asked.to, "to")
    if old["status"] != "open":
        moves.reopening(old, await reopening_rule(tx, old["pipeline_id"]), to, actor.role, now)
    wish = moves.Wish(
        to=to,
        reason=asked.reason or None,
        competitor_id=asked.competitor_id or None,
        note=asked.note or None,
    )
    changes = moves.move(old, stages, wish, now, settings.today(now))
    said = {"from": old["stage"], "to": asked.to, "note": wish.note}
    stored = await update(tx, resource, actor, old, changes, kind="opportunity.stage_changed", data=said)
    if stored["status"] != "open" and stored["status"] != old["status"]:
        await ledger.record(
            tx,
            actor,
            f"deal.{stored['status']}",
            "opportunity",
            old["id"],
            version=stored["version"],
            data=said,
        )
    return stored


@post(
    "/opportunities/{record_id:uuid}/stage",
    status_code=200,
    opt={"body": StageMove, "answer": Opportunity, "statuses": (409, 412, 428)},
)
@idempotent
async def change_stage(
    request: Request[Any, Any, Any],
    tx: NamedDependency[Tx],
    actor: NamedDependency[Actor],
    record_id: FromPath[UUID],
) -> Response[bytes]:
    """Moves a deal to another stage; 409 names what the exit criteria miss."""
    require(actor, "opportunities", "stage")
    expected = expected_version(request, required=True)
    asked = await body(request, StageMove)
    old = await locked(tx, resource, actor, record_id)
    check_version(expected, old["version"])
    await move(tx, actor, old, asked, datetime.now(UTC))
    text, version = await document(tx, resource, actor, record_id)
    return answer(text, headers={"ETag": etag(version)})


routes = [*crud(resource), assign(resource), change_stage]
