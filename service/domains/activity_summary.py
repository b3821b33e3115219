"""What the activities add up to: `GET /activities/summary`, by rep, team, type, period, stage."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency

from service import calendar, query, summing
from service.access import Actor, hidden, require
from service.calendar import Company
from service.db import Database
from service.domains.activities import resource as activities
from service.errors import BadRequest
from service.query import prepared
from service.summing import Wish
from service.wire import answer

MOST_DAYS = 400
USUAL_DAYS = 90
OWN = {"group": "type", "interval": "month", "from": "", "to": "", "period": ""}

# Shapes --------------------------------------------------------------------------------------------


class Replies(msgspec.Struct, kw_only=True):
    """How long mails waited for an answer, in seconds; `n` of them were answered."""

    n: int
    median_seconds: float
    mean_seconds: float


class Sum(msgspec.Struct, kw_only=True):
    """One group. `key` holds the value of each thing grouped by, `name` the words for it.

    `deals` and `accounts` are how many different ones were touched; `per_deal` is touches of deals by deals.
    """

    key: dict[str, str | None]
    name: dict[str, str | None]
    count: int
    types: dict[str, int]
    statuses: dict[str, int]
    inbound: int
    outbound: int
    duration_seconds: int
    deals: int
    accounts: int
    per_deal: float | None
    replies: Replies | None


class Summary(msgspec.Struct, kw_only=True):
    """The groups with the most activities first; `is_whole` is false where there are more groups than are told."""

    start: datetime = msgspec.field(name="from")
    end: datetime = msgspec.field(name="to")
    group: list[str]
    items: list[Sum]
    total: Sum
    is_whole: bool


# Rules ---------------------------------------------------------------------------------------------


def split(request: query.Request) -> dict[str, str]:
    """Takes the summary's own parameters out of the filters. Raises `BadRequest` for what it has no use for."""
    own = OWN | {name: value for name, operator, value in request.filters if name in OWN and operator == "eq"}
    request.filters = [item for item in request.filters if item[0] not in OWN]
    if request.group is not None:
        own["group"] = ",".join(request.group)
    unfit = request.expand or request.cursor or request.as_of or request.figures
    if request.sort or request.fields is not None or unfit:
        raise BadRequest("A summary takes group, interval, from, to, period, q and filters.")
    return own


def _day(name: str, text: str, company: Company) -> datetime:
    """An instant, or the beginning of a day in the company's zone."""
    try:
        return query.instant(text) if "T" in text else company.midnight(date.fromisoformat(text))
    except ValueError:
        raise BadRequest(f"{name}: {text[:40]!r} is neither a date nor an instant.") from None


def refuse_hidden(groups: Sequence[str], unseen: frozenset[str]) -> None:
    """A group by a field that one may not see does not exist. Raises `BadRequest`."""
    for group in groups:
        if summing.COLUMNS.get(group, group) in unseen:
            raise query.unknown(group)


def span(own: dict[str, str], period: calendar.Period | None, company: Company, now: datetime) -> Wish:
    """What is asked for. Raises `BadRequest` that names the parameter that makes no sense."""
    groups = [group for group in own["group"].split(",") if group]
    for group in groups:
        if group not in summing.GROUPS:
            raise BadRequest(f"group: {group[:40]!r} is none of {', '.join(summing.GROUPS)}.")
    if len(groups) > 3 or len(set(groups)) < len(groups):
        raise BadRequest("group: up to three different ones.")
    if own["interval"] not in summing.INTERVALS:
        raise BadRequest(f"interval: one of {', '.join(summing.INTERVALS)}.")
    if period is not None:
        start, end = (
            company.midnight(period.start_date),
            company.midnight(period.end_date + timedelta(days=1)),
        )
    else:
        end = _day("to", own["to"], company) if own["to"] else now
        start = _day("from", own["from"], company) if own["from"] else end - timedelta(days=USUAL_DAYS)
    if not start < end <= start + timedelta(days=MOST_DAYS):
        raise BadRequest(f"from, to: a span of up to {MOST_DAYS} days, its start before its end.")
    return Wish(groups, own["interval"], start, end)


def _sum(row: dict[str, Any], keys: dict[str, str | None], replies: Replies | None) -> Sum:
    touched = row["count"] if keys.get("stage") else None
    return Sum(
        key=keys,
        name={},
        count=row["count"],
        types={name: row[f"type_{name}"] for name in summing.TYPES},
        statuses={name: row[name] for name in summing.STATUSES},
        replies=replies,
        per_deal=round(touched / row["deals"], 2) if touched and row["deals"] else None,
        **{name: row[name] for name in ("inbound", "outbound", "duration_seconds", "deals", "accounts")},
    )


def arranged(
    wish: Wish, counted: list[dict[str, Any]], answered: list[dict[str, Any]], company: Company
) -> list[Sum]:
    """The line of totals first, then the groups, each with its replies."""

    def keys(row: dict[str, Any]) -> tuple[str | None, ...]:
        return () if row["is_total"] else tuple(row[f"k{index}"] for index in range(len(wish.groups)))

    waited = {
        keys(row): Replies(**{name: row[name] for name in Replies.__struct_fields__})
        for row in answered
        if row["n"]
    }
    found = []
    for row in counted:
        values = dict(zip(wish.groups, keys(row), strict=False))
        if values.get("period"):
            values["period"] = summing.period_key(company, wish.interval, str(values["period"]))
        found.append(_sum(row, values, waited.get(keys(row))))
    return found


_NAMES = {
    "rep": "SELECT id::text AS key, name FROM users WHERE id::text = ANY($1)",
    "team": "SELECT id::text AS key, name FROM teams WHERE id::text = ANY($1)",
    "stage": "SELECT pipeline_id::text || '/' || key AS key, name FROM stages"
    " WHERE pipeline_id::text || '/' || key = ANY($1) AND deleted_at IS NULL",
}


async def _name(database: Database, sums: list[Sum], groups: list[str]) -> None:
    """Puts the words beside the keys."""
    for group in groups:
        wanted = list({one.key[group] for one in sums if one.key.get(group)})
        words = {}
        if group in _NAMES and wanted:
            words = {row["key"]: row["name"] for row in await database.fetch(_NAMES[group], wanted)}
        for one in sums:
            key = one.key.get(group)
            one.name[group] = words.get(key, None if group in _NAMES else key) if key else None


# Routes --------------------------------------------------------------------------------------------


@get("/activities/summary", opt={"answer": Summary, "query": (*OWN, "q")})
async def summary(
    request: Request[Any, Any, Any], actor: NamedDependency[Actor], database: NamedDependency[Database]
) -> Response[bytes]:
    """Counts, time until a reply and touches by stage of the activities that one sees; takes list filters."""
    require(actor, "activities", "read")
    asked, now = query.parse(request.scope["query_string"]), datetime.now(UTC)
    own, company = split(asked), await calendar.company(database)
    period = await calendar.period(database, own["period"], now) if own["period"] else None
    wish = span(own, period, company, now)
    refuse_hidden(wish.groups, hidden(actor, "activities"))
    builder = await prepared(database, activities.source, actor, asked)
    counted = await summing.counts(database, actor, builder.where({}), builder.params, wish, company)
    most = summing.MOST_PLACED if "stage" in wish.groups else summing.MOST_READ
    if counted[0]["n_read"] > most:
        raise BadRequest(f"from, to: there are more than {most:,} activities: ask for a shorter span.")
    answered = []
    if "stage" not in wish.groups:
        builder = await prepared(database, activities.source, actor, asked)
        answered = await summing.replies(database, actor, builder.where({}), builder.params, wish, company)
    total, *items = arranged(wish, counted, answered, company)
    await _name(database, items, list(wish.groups))
    return answer(
        Summary(
            start=wish.start,
            end=wish.end,
            group=list(wish.groups),
            items=items[: summing.MOST_GROUPS],
            total=total,
            is_whole=len(items) <= summing.MOST_GROUPS,
        )
    )


routes = [summary]
