"""The board: the deals of one pipeline by stage or another choice, each column with its count, sums and first cards."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency

from service import grouping, query, saved
from service.access import Actor, guard, require, visible
from service.db import Database, Params
from service.domains.opportunities import IS_ROTTING
from service.domains.opportunities import resource as opportunities
from service.errors import BadRequest, NotFound
from service.query import prepared
from service.wire import answer

# --- shapes ------------------------------------------------------------------------------------------------------


class Owner(msgspec.Struct, kw_only=True):
    id: UUID
    name: str


class CardScore(msgspec.Struct, kw_only=True):
    """What a card shows of the deal's newest score."""

    score: int
    win_probability: float | None
    trend: str
    grade: str
    scored_at: datetime


class Card(msgspec.Struct, kw_only=True):
    """A deal on the board. `next_action` is the title of its first open recommendation."""

    id: UUID
    version: int
    name: str
    pipeline_id: UUID
    stage: str
    status: str
    account_id: UUID | None
    account_name: str | None
    amount: Decimal | None
    currency: str | None
    amount_home: Decimal | None
    close_date: date | None
    closed_on: date | None
    is_rotting: bool
    owner: Owner | None
    score: CardScore | None
    next_action: str | None


class Column(msgspec.Struct, kw_only=True):
    """A stage, or another value (`none` without one; null `status`). Sums are in home currency; `weighted_sum` counts each amount by the
    chance of its stage."""

    key: str
    name: str
    status: str | None
    position: int
    count: int = 0
    sum: Decimal = Decimal(0)
    weighted_sum: Decimal = Decimal(0)
    items: list[Card] = []
    next: str | None = None


class Pipeline(msgspec.Struct, kw_only=True):
    id: UUID
    key: str
    name: str


class Board(msgspec.Struct, kw_only=True):
    pipeline: Pipeline | None
    columns: list[Column]


# --- rules -------------------------------------------------------------------------------------------------------

CARDS = 25
"""Cards of a column that come at first, unless `limit` asks for others."""

_OPEN_FIRST = "CASE WHEN t.status = 'open' THEN t.close_date END"
_ORDER = [
    (_OPEN_FIRST, "date", False, True),
    ("t.closed_at", "instant", True, True),
    ("t.id", "uuid", False, False),
]
"""Open deals by close date, those without one last; closed ones newest first."""

_BY = f"{_OPEN_FIRST} ASC NULLS LAST, t.closed_at DESC NULLS LAST, t.id"
_SUMS = (
    "count(*) AS count, coalesce(sum(t.amount_home), 0) AS sum,"
    " coalesce(sum(round(t.amount_home * t.probability::numeric, 4)), 0) AS weighted_sum"
)

_CARD = f"""
t.id, t.version, t.name, t.pipeline_id, t.stage, t.status, t.account_id, t.amount, t.currency, t.amount_home,
t.close_date, t.closed_at, t.closed_on, t.owner_id, ({IS_ROTTING}) AS is_rotting"""


_SHOWN = """
(SELECT row_to_json(c) FROM (SELECT d.id, d.version, d.name, d.pipeline_id, d.stage, d.status, d.account_id,
    a.name AS account_name, d.amount::text, d.currency, d.amount_home::text, d.close_date, d.closed_on, d.is_rotting,
    CASE WHEN u.name <> '' THEN json_build_object('id', u.id, 'name', u.name) END AS owner,
    CASE WHEN s.scored_at IS NOT NULL AND d.status = 'open' THEN json_build_object('score', s.score,
        'win_probability', s.win_probability, 'trend', s.trend, 'grade', s.grade, 'scored_at', s.scored_at) END AS score,
    n.title AS next_action) c)::text"""
"""A card as JSON: read at once by its shape, which costs a fifth of putting it together field by field."""

_read_card, _read_cards = msgspec.json.Decoder(Card).decode, msgspec.json.Decoder(list[Card]).decode


class Asked(msgspec.Struct, frozen=True):
    """The board's own parameters: the pipeline's key, the field to group by, and the column of the cursor."""

    pipeline: str | None
    group: str
    column: str | None


def split(request: query.Request) -> Asked:
    """Takes the board's own parameters out of the filters.

    Raises `BadRequest` for parameters that a board has no use for.
    """
    own = {"pipeline": ""}
    for name, operator, value in request.filters:
        if name in own and operator == "eq":
            own[name] = value
    request.filters = [item for item in request.filters if item[0] not in own]
    own["group"] = ",".join(request.group or ())
    request.group = None
    if request.figures:
        raise BadRequest("A board adds up the amounts by itself.")
    if request.sort or request.fields is not None or request.expand or request.as_of or request.count:
        raise BadRequest("A board takes pipeline, group, view, limit, cursor, q and filters.")
    column = None
    if request.cursor is not None:
        if len(request.cursor) != len(_ORDER) + 1:
            raise BadRequest("cursor: this is not a cursor of a board.")
        column, *request.cursor = request.cursor
    return Asked(own["pipeline"] or None, own["group"] or "stage", column)


async def pipelines(database: Database) -> list[Pipeline]:
    """The active pipelines, the default one first."""

    async def read() -> list[Pipeline]:
        rows = await database.fetch(
            "SELECT id, key, name FROM pipelines WHERE is_active AND deleted_at IS NULL"
            " ORDER BY is_default DESC, name, id"
        )
        return [Pipeline(**dict(row)) for row in rows]

    return await database.remember("active pipelines", read)


async def stages_of(database: Database, pipeline_id: UUID) -> list[Column]:
    """The stages of a pipeline in their order, as columns without cards."""

    async def read() -> list[dict[str, Any]]:
        rows = await database.fetch(
            "SELECT key, name, status, position FROM stages WHERE pipeline_id = $1 AND deleted_at IS NULL"
            " ORDER BY position, id",
            pipeline_id,
        )
        return [dict(row) for row in rows]

    return [Column(**row, items=[]) for row in await database.remember(f"stages of {pipeline_id}", read)]


async def busiest(database: Database, actor: Actor) -> str | None:
    """The key of the default pipeline if the actor sees a deal there, else of the first with one; None: nowhere."""
    params = Params()
    seen = visible(actor, "opportunities", "t", params)
    found: str | None = await database.fetchval(
        "SELECT p.key FROM pipelines p WHERE p.is_active AND p.deleted_at IS NULL AND EXISTS"
        f" (SELECT 1 FROM opportunities t WHERE t.pipeline_id = p.id AND t.deleted_at IS NULL AND {seen})"
        " ORDER BY p.is_default DESC, p.name, p.id LIMIT 1",
        *params,
    )
    return found


async def stages(database: Database, pipeline: str | None = None) -> list[Column]:
    """All stages of the pipeline of this key, or of the default one."""
    known = await pipelines(database)
    chosen = next((each for each in known if pipeline is None or each.key == pipeline), None)
    return await stages_of(database, chosen.id) if chosen else []


async def load(
    database: Database, actor: Actor, request: query.Request, *, limit: int = CARDS, cards: bool = True
) -> Board:
    """The board as `actor` sees it. A cursor in `request` asks for the next cards of its column alone."""
    require(actor, "opportunities", "read")
    asked = split(request)
    key, only = asked.pipeline, asked.column
    request = await saved.applied(database, actor, "opportunities", request, columns=False)
    request.sort = []  # a board has an order of its own
    known = await pipelines(database)
    chosen = next((each for each in known if key is None or each.key == key), None)
    if chosen is None and key is not None:
        raise NotFound("There is no such pipeline.")
    if chosen is None:
        return Board(pipeline=None, columns=[])
    if asked.group != "stage":
        return Board(
            pipeline=chosen, columns=await _grouped(database, actor, request, chosen.id, asked, limit)
        )
    columns = [each for each in await stages_of(database, chosen.id) if only is None or each.key == only]
    await _count(database, actor, request, chosen.id, columns)
    if cards:
        await _fill(database, actor, request, chosen.id, columns, limit)
    return Board(pipeline=chosen, columns=columns)


async def _grouped(
    database: Database, actor: Actor, request: query.Request, pipeline_id: UUID, asked: Asked, limit: int
) -> list[Column]:
    """The columns of any other group: the values that there are, each counted and with its first cards."""
    builder = await prepared(database, opportunities.source, actor, request)
    group = grouping.group_of(actor, asked.group, builder.params)
    where = builder.where({"pipeline_id": pipeline_id})
    rows = await database.fetch(
        f"SELECT {group.sql} AS key, {_SUMS} FROM opportunities t WHERE {where} GROUP BY 1"
        f" ORDER BY sum DESC, key LIMIT {grouping.MOST_COLUMNS}",
        *builder.params,
    )
    found = {row["key"]: row for row in rows}
    columns = [
        Column(key=head.key, name=head.name, status=None, position=position, items=[])
        for position, head in enumerate(await grouping.heads(database, group, found), 1)
        if asked.column in (None, head.key)
    ]
    _sum_up(columns, found)
    await _deal_out(database, actor, request, pipeline_id, asked.group, columns, limit)
    return columns


async def _deal_out(
    database: Database,
    actor: Actor,
    request: query.Request,
    pipeline_id: UUID,
    field: str,
    columns: list[Column],
    limit: int,
) -> None:
    """The next cards of each column of a group, in one pass over the pipeline."""
    builder = await prepared(database, opportunities.source, actor, request)
    group = grouping.group_of(actor, field, builder.params)
    where = f"{builder.where({'pipeline_id': pipeline_id})} AND {builder.after(_ORDER)}"
    keys = builder.params.add([column.key for column in columns])
    deals = (
        f"SELECT d.* FROM (SELECT {_CARD}, {group.sql} AS heading, row_number() OVER (PARTITION BY {group.sql}"
        f" ORDER BY {_BY}) AS turn FROM opportunities t WHERE {where}) d"
        f" WHERE d.heading = ANY({keys}::text[]) AND d.turn <= {limit + 1}"
    )
    await _lay(database, _dressed(deals, actor, builder.params), builder.params, columns, limit)


async def _count(
    database: Database, actor: Actor, request: query.Request, pipeline_id: UUID, columns: list[Column]
) -> None:
    """Counts and sums of all columns, in one statement."""
    builder = await prepared(database, opportunities.source, actor, request)
    where = builder.where({"pipeline_id": pipeline_id})
    rows = await database.fetch(
        f"SELECT t.stage, {_SUMS} FROM opportunities t WHERE {where} GROUP BY t.stage", *builder.params
    )
    _sum_up(columns, {row["stage"]: row for row in rows})


def _sum_up(columns: list[Column], found: dict[str, Any]) -> None:
    for column in columns:
        if row := found.get(column.key):
            column.count, column.sum, column.weighted_sum = row["count"], row["sum"], row["weighted_sum"]


async def _fill(
    database: Database,
    actor: Actor,
    request: query.Request,
    pipeline_id: UUID,
    columns: list[Column],
    limit: int,
) -> None:
    """The next cards of each column, in one statement; one card more than shown tells that there is a next page."""
    builder = await prepared(database, opportunities.source, actor, request)
    where = f"{builder.where({'pipeline_id': pipeline_id})} AND {builder.after(_ORDER)}"
    keys = builder.params.add([column.key for column in columns])
    deals = (
        f"SELECT d.* FROM unnest({keys}::text[]) AS k(key) CROSS JOIN LATERAL"
        f" (SELECT {_CARD}, t.stage AS heading, row_number() OVER (ORDER BY {_BY}) AS turn FROM opportunities t"
        f" WHERE t.stage = k.key AND {where} ORDER BY {_BY} LIMIT {limit + 1}) d"
    )
    await _lay(database, _dressed(deals, actor, builder.params), builder.params, columns, limit)


async def _lay(database: Database, dressed: str, params: Params, columns: list[Column], limit: int) -> None:
    """Puts the cards into their columns, with the cursor of the next; the cards of a column come as one value."""
    rows = await database.fetch(
        f"SELECT heading, string_agg(card, ',' ORDER BY turn) FILTER (WHERE turn <= {limit}) AS cards,"
        f" max(closed_at) FILTER (WHERE turn = {limit}) AS closed_at, count(*) AS found"
        f" FROM ({dressed}) x GROUP BY heading",
        *params,
    )
    dealt = {row["heading"]: row for row in rows}
    for column in columns:
        if row := dealt.get(column.key):
            column.items = _read_cards(f"[{row['cards'] or ''}]")
            if row["found"] > limit:
                last = column.items[-1]
                due = last.close_date if last.status == "open" else None
                column.next = query.encode_cursor([column.key, due, row["closed_at"], last.id])


def _dressed(deals: str, actor: Actor, params: Params) -> str:
    """The statement that puts names, score and next action beside each deal of `deals`."""
    account = guard(actor, "accounts", "a", params)
    score = visible(actor, "current_scores", "s", params)
    action = visible(actor, "recommendations", "r", params)
    return (
        f"WITH d AS MATERIALIZED ({deals})"
        f" SELECT d.heading, d.turn, d.closed_at, {_SHOWN} AS card FROM d"
        " LEFT JOIN users u ON u.id = d.owner_id"
        f" LEFT JOIN accounts a ON a.id = d.account_id AND a.deleted_at IS NULL AND {account}"
        f" LEFT JOIN current_scores s ON s.opportunity_id = d.id AND {score}"
        " LEFT JOIN LATERAL (SELECT r.title FROM recommendations r WHERE r.opportunity_id = d.id"
        f" AND r.status = 'open' AND r.deleted_at IS NULL AND {action} ORDER BY r.rank, r.id LIMIT 1) n"
        " ON d.status = 'open'"
    )


async def one_card(database: Database, actor: Actor, deal_id: UUID) -> Card:
    """The card of one deal; `NotFound` for what the actor does not see."""
    require(actor, "opportunities", "read")
    params = Params([deal_id])
    seen = visible(actor, "opportunities", "t", params)
    deal = (
        f"SELECT {_CARD}, t.stage AS heading, 1 AS turn FROM opportunities t"
        f" WHERE t.id = $1 AND t.deleted_at IS NULL AND {seen}"
    )
    row = await database.fetchrow(_dressed(deal, actor, params), *params)
    if row is None:
        raise NotFound("There is no such opportunity.")
    return _read_card(row["card"])


# --- routes ------------------------------------------------------------------------------------------------------


@get("/board", opt={"answer": Board, "query": ("pipeline", "group", "view", "q", "limit", "cursor")})
async def board(
    request: Request[Any, Any, Any], actor: NamedDependency[Actor], database: NamedDependency[Database]
) -> Response[bytes]:
    """The columns of a pipeline (`?pipeline=key`, else the default one) with `limit` cards each; takes list filters.

    `group` is a choice field of a deal (`owner_id`, `forecast_category`, `type`, `cf.region`), else its stages.
    `cursor` with a column's `next` answers that column alone.
    """
    asked = query.parse(request.scope["query_string"])
    limit = asked.limit if b"limit=" in request.scope["query_string"] else CARDS
    found = await load(database, actor, asked, limit=limit)
    return answer(found)


routes: list[Any] = [board]
