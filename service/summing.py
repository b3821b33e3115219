"""What the activities of a span add up to: counts, time until a reply, touches of deals by the stage they stood in.

Built as SQL around the activities that an actor sees; bounded in what it reads and in what it answers.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from service import calendar
from service.access import Actor, visible
from service.calendar import Company
from service.db import Database, Params

GROUPS = ("rep", "team", "type", "direction", "outcome", "source", "period", "stage")
COLUMNS = {"rep": "owner_id", "team": "owner_id", "period": "occurred_at", "stage": "opportunity_id"}
"""What a group is made of, where it is not the column of its own name."""
INTERVALS = ("day", "week", "month", "quarter")
TYPES = ("email", "call", "meeting", "demo", "task", "note")
STATUSES = ("completed", "planned", "canceled", "no_show")
MOST_READ = 1_000_000
MOST_PLACED = 200_000
"""Activities that are read at most, and that are looked up in the past of their deals, for touches by stage."""
MOST_GROUPS = 500

Row = dict[str, Any]


class Wish(NamedTuple):
    """By what to group, in which span, in intervals of which length."""

    groups: Sequence[str]
    interval: str
    start: datetime
    end: datetime


def _keys(wish: Wish, company: Company, at: str) -> list[str]:
    """The SQL of each key, over the alias `a` and the user `u`."""
    zone = company.time_zone.replace("'", "''")
    local = f"({at} AT TIME ZONE '{zone}')"
    months = (company.fiscal_year_start - 1) % 3
    span = {
        "week": f"interval '{company.week_start - 1} days'",
        "quarter": f"interval '{months} months'",
    }.get(wish.interval, "interval '0'")
    known = {
        "rep": "a.owner_id::text",
        "team": "u.team_id::text",
        "period": f"(date_trunc('{wish.interval}', {local} - {span}) + {span})::date::text",
        "stage": "s.pipeline_id::text || '/' || s.stage",
    }
    return [known.get(group, f"a.{group}") for group in wish.groups]


def _read(where: str, params: Params, wish: Wish, most: int) -> str:
    start, end = params.add(wish.start), params.add(wish.end)
    return (
        "WITH a AS MATERIALIZED (SELECT t.id, t.type, t.direction, t.status, t.outcome, t.source, t.owner_id,"
        " t.occurred_at, t.duration_seconds, t.opportunity_id, t.account_id,"
        " coalesce(t.thread_id, t.lead_id::text, t.opportunity_id::text) AS thread"
        f" FROM activities t WHERE {where} AND t.occurred_at >= {start}::timestamptz"
        f" AND t.occurred_at < {end}::timestamptz LIMIT {most + 1})"
    )


def _stages(actor: Actor, params: Params) -> str:
    """Where the deal of an activity stood at that instant, as was known then; for deals that the actor sees."""
    seen = visible(actor, "opportunities", "o", params)
    return (
        " JOIN LATERAL (SELECT h.pipeline_id, h.stage FROM history.opportunities h"
        " WHERE h.id = a.opportunity_id AND h.known_from <= a.occurred_at"
        " ORDER BY h.known_from DESC, h.version DESC LIMIT 1) s ON TRUE"
        f" JOIN opportunities o ON o.id = a.opportunity_id AND {seen}"
    )


def _grouped(keys: Sequence[str]) -> tuple[str, str, str]:
    """Select list, GROUP BY and the flag of the line of totals."""
    shown = "".join(f"{key} AS k{index}, " for index, key in enumerate(keys))
    if not keys:
        return "", "", "1"
    flags = f"grouping({', '.join(keys)})"
    return shown, f" GROUP BY GROUPING SETS (({', '.join(keys)}), ())", f"({flags} > 0)::int"


async def counts(
    database: Database, actor: Actor, where: str, params: Params, wish: Wish, company: Company
) -> list[Row]:
    """A row for each group and one for all, with `is_total`; `n_read` says how many activities were looked at."""
    most = MOST_PLACED if "stage" in wish.groups else MOST_READ
    read = _read(where, params, wish, most)
    stages = _stages(actor, params) if "stage" in wish.groups else ""
    shown, grouped, flag = _grouped(_keys(wish, company, "a.occurred_at"))
    by = "".join(
        f", count(*) FILTER (WHERE a.{column} = '{value}') AS {prefix}{value}"
        for column, prefix, values in (
            ("type", "type_", TYPES),
            ("status", "", STATUSES),
            ("direction", "", ("inbound", "outbound")),
        )
        for value in values
    )
    rows = await database.fetch(
        f"{read} SELECT {shown}{flag} AS is_total, count(*) AS count{by},"
        " coalesce(sum(a.duration_seconds) FILTER (WHERE a.status = 'completed'), 0) AS duration_seconds,"
        " count(DISTINCT a.opportunity_id) AS deals, count(DISTINCT a.account_id) AS accounts,"
        " (SELECT count(*) FROM a) AS n_read"
        f" FROM a LEFT JOIN users u ON u.id = a.owner_id{stages}{grouped}"
        f" ORDER BY is_total DESC, count DESC LIMIT {MOST_GROUPS + 2}",
        *params,
    )
    return [dict(row) for row in rows]


async def replies(
    database: Database, actor: Actor, where: str, params: Params, wish: Wish, company: Company
) -> list[Row]:
    """How long mails waited: from the first unanswered one in a thread to the next that went out, for who answered."""
    read = _read(where, params, wish, MOST_READ)
    shown, grouped, flag = _grouped(_keys(wish, company, "a.occurred_at"))
    seconds = "extract(epoch FROM a.occurred_at - a.asked)"
    rows = await database.fetch(
        f"{read}, turns AS (SELECT a.*, count(*) FILTER (WHERE direction = 'outbound') OVER"
        " (PARTITION BY thread ORDER BY occurred_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS turn"
        " FROM a WHERE type = 'email' AND status = 'completed' AND direction IS NOT NULL AND thread IS NOT NULL),"
        " asked AS (SELECT turns.*, min(occurred_at) FILTER (WHERE direction = 'inbound') OVER"
        " (PARTITION BY thread, turn) AS asked FROM turns)"
        f" SELECT {shown}{flag} AS is_total, count(*) AS n, avg({seconds})::float8 AS mean_seconds,"
        f" (percentile_cont(0.5) WITHIN GROUP (ORDER BY {seconds}))::float8 AS median_seconds"
        " FROM asked a LEFT JOIN users u ON u.id = a.owner_id"
        f" WHERE a.direction = 'outbound' AND a.asked IS NOT NULL{grouped}",
        *params,
    )
    return [dict(row) for row in rows]


def period_key(company: Company, interval: str, day: str) -> str:
    """`2026-11-01` as the company's own key of that month or quarter; days and weeks are called by their first day."""
    if interval == "month":
        return calendar.period_of(company, date.fromisoformat(day), "month").key
    if interval == "quarter":
        return calendar.period_of(company, date.fromisoformat(day), "quarter").key
    return day
