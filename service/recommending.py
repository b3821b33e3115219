"""Recommending: reads the situations of many deals at once, decides, and keeps what is proposed, with its propensities.

Runs in the worker after a deal was scored or changed, and each night for all. What is open and still stands keeps its
id; what no longer stands expires; what is new is told as `recommendation.created`.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from service import calendar, ledger, plays
from service.access import SYSTEM
from service.db import Database, Tx
from service.domains.opportunities import PUSHES
from service.ids import new_id
from service.jobs import Job
from service.plays import Candidate, Card, Decision, Play, Situation

LIFE = timedelta(days=14)
CHUNK = 300
POLICY = "rules-1"
UNMEASURED = "a rule proposed it; the effect of this action has not been measured"
MISSING = dict.fromkeys(("expected_lift", "lift_low", "lift_high", "expected_value"), UNMEASURED)

# Reading -------------------------------------------------------------------------------------------

_DEALS = f"""
WITH place AS (
    SELECT pipeline_id, key, name, rotting_days,
        (row_number() OVER w - 1)::float8 / greatest(1, count(*) OVER (PARTITION BY pipeline_id) - 1) AS progress
    FROM stages WHERE status = 'open' AND deleted_at IS NULL WINDOW w AS (PARTITION BY pipeline_id ORDER BY position)
)
SELECT t.*, to_jsonb(t) || jsonb_build_object('account', to_jsonb(a), 'score', s.score, 'grade', s.grade,
        'win_probability', s.win_probability) AS record,
    p.name AS stage_name, coalesce(p.progress, 0) AS progress, p.rotting_days, u.is_active AS owner_is_active,
    s.win_probability AS chance, s.trend, s.model_version, coalesce(k.email_opt_out, FALSE) AS no_mail,
    coalesce(k.do_not_call, FALSE) AS no_call, ({PUSHES}) AS pushes
FROM opportunities t
LEFT JOIN place p ON p.pipeline_id = t.pipeline_id AND p.key = t.stage
LEFT JOIN users u ON u.id = t.owner_id
LEFT JOIN accounts a ON a.id = t.account_id
LEFT JOIN contacts k ON k.id = t.primary_contact_id
LEFT JOIN current_scores s ON s.opportunity_id = t.id
WHERE t.id = ANY($1::uuid[])
/* access:opportunities */ /* access:accounts */ /* access:contacts */
/* access:scores */ /* access:current_scores */"""

_STAKEHOLDERS = """
SELECT t.opportunity_id AS deal, array_agg(DISTINCT t.role) AS roles, count(DISTINCT t.contact_id) AS people,
    bool_and(k.email_opt_out) AS no_mail, bool_and(k.do_not_call) AS no_call
FROM stakeholders t JOIN contacts k ON k.id = t.contact_id
WHERE t.opportunity_id = ANY($1::uuid[]) AND t.deleted_at IS NULL GROUP BY t.opportunity_id
/* access:stakeholders */ /* access:contacts */"""

_ACTIVITIES = """
SELECT t.opportunity_id AS deal, t.type,
    max(t.occurred_at) FILTER (WHERE t.status IN ('completed', 'no_show') AND t.occurred_at <= $2) AS last,
    bool_or(t.status = 'planned' AND t.occurred_at > $2 AND t.type IN ('meeting', 'demo', 'call')) AS ahead
FROM activities t WHERE t.opportunity_id = ANY($1::uuid[]) AND t.deleted_at IS NULL GROUP BY t.opportunity_id, t.type
/* access:activities */"""

_SAID = """
SELECT opportunity_id AS deal, action, status, max(updated_at) AS at FROM recommendations
WHERE opportunity_id = ANY($1::uuid[]) AND status IN ('done', 'dismissed') AND updated_at > now() - interval '31 days'
GROUP BY opportunity_id, action, status /* access:recommendations */"""

_LISTS = """
SELECT t.owner_id, count(*) AS n FROM recommendations r JOIN opportunities t ON t.id = r.opportunity_id
WHERE r.status = 'open' GROUP BY t.owner_id /* access:recommendations */ /* access:opportunities */"""

_CARDS = """
SELECT b.id, b.competitor_id, c.name FROM battle_cards b JOIN competitors c ON c.id = b.competitor_id
WHERE b.status = 'published' AND b.deleted_at IS NULL AND c.deleted_at IS NULL
ORDER BY b.reviewed_at DESC NULLS LAST, b.id"""

_PLAYS = """
SELECT id, name, pipeline_id, stage, criteria, steps FROM playbooks
WHERE status = 'published' AND deleted_at IS NULL ORDER BY id"""

_LARGE = """
SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY amount_home) FROM opportunities
WHERE status = 'open' AND deleted_at IS NULL AND amount_home > 0 HAVING count(*) >= 20 /* access:opportunities */"""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What all deals share at one instant."""

    now: datetime
    today: Any
    large: float | None
    cards: dict[UUID, list[Card]]
    plays: tuple[Play, ...]
    lists: dict[UUID, int]


async def surroundings(database: Database) -> Surroundings:
    """The clock, the company's cards and playbooks, and how long everybody's list is."""
    now = await calendar.data_now(database, datetime.now(UTC))
    cards: dict[UUID, list[Card]] = {}
    for row in await database.fetch(_CARDS):
        cards.setdefault(row["competitor_id"], []).append(Card(row["id"], row["name"]))
    large = await database.fetchval(_LARGE)
    return Surroundings(
        now=now,
        today=(await calendar.company(database)).today(now),
        large=float(large) if large else None,
        cards=cards,
        plays=tuple(Play(**dict(row)) for row in await database.fetch(_PLAYS)),
        lists={row["owner_id"]: row["n"] for row in await database.fetch(_LISTS)},
    )


async def situations(
    database: Database, around: Surroundings, ids: Sequence[UUID]
) -> dict[UUID, tuple[Any, Situation]]:
    """Deal → its row and its situation; open deals only."""
    deals = [
        row for row in await database.fetch(_DEALS, ids) if row["status"] == "open" and not row["deleted_at"]
    ]
    people = {row["deal"]: row for row in await database.fetch(_STAKEHOLDERS, ids)}
    touches: dict[UUID, dict[str, datetime]] = {}
    ahead: set[UUID] = set()
    for row in await database.fetch(_ACTIVITIES, ids, around.now):
        if row["last"]:
            touches.setdefault(row["deal"], {})[row["type"]] = row["last"]
        if row["ahead"]:
            ahead.add(row["deal"])
    rested: dict[UUID, dict[str, datetime]] = {}
    for row in await database.fetch(_SAID, ids):
        pause = plays.DONE_REST if row["status"] == "done" else plays.DISMISSED_REST
        until = around.now - (datetime.now(UTC) - row["at"]) + pause
        mine = rested.setdefault(row["deal"], {})
        mine[row["action"]] = max(until, mine.get(row["action"], until))
    return {
        deal["id"]: (
            deal,
            _situation(
                deal,
                around,
                people.get(deal["id"]),
                touches.get(deal["id"], {}),
                deal["id"] in ahead,
                rested.get(deal["id"], {}),
            ),
        )
        for deal in deals
    }


def _situation(
    deal: Any,
    around: Surroundings,
    known: Any,
    touches: dict[str, datetime],
    ahead: bool,
    rested: dict[str, datetime],
) -> Situation:
    rivals = [*(deal["competitor_ids"] or ()), *([deal["competitor_id"]] if deal["competitor_id"] else ())]
    return Situation(
        id=deal["id"],
        record=deal["record"] | {"pipeline_id": deal["pipeline_id"]},
        now=around.now,
        today=around.today,
        stage=deal["stage"],
        stage_name=deal["stage_name"] or deal["stage"],
        progress=deal["progress"],
        stage_since=deal["stage_entered_at"],
        rotting_days=deal["rotting_days"],
        close_date=deal["close_date"],
        amount=float(deal["amount_home"]) if deal["amount_home"] is not None else None,
        large=around.large,
        chance=deal["chance"],
        trend=deal["trend"],
        pushes=deal["pushes"],
        last_touch=max(touches.values(), default=None),
        last_of_type=touches,
        has_meeting_ahead=ahead,
        roles=frozenset(known["roles"]) if known else frozenset(),
        people=known["people"] if known else int(deal["primary_contact_id"] is not None),
        may_mail=not (deal["no_mail"] or (known and known["no_mail"])),
        may_call=not (deal["no_call"] or (known and known["no_call"])),
        owner_is_active=bool(deal["owner_is_active"]),
        owner_has_open=around.lists.get(deal["owner_id"], 0),
        cards=tuple(card for rival in dict.fromkeys(rivals) for card in around.cards.get(rival, [])),
        plays=around.plays,
        rested=rested,
    )


# Keeping -------------------------------------------------------------------------------------------

_PRESENT = """
SELECT id, opportunity_id, action, status, snoozed_until, rank, title, reason, source FROM recommendations
WHERE opportunity_id = ANY($1::uuid[]) AND status IN ('open', 'snoozed') FOR UPDATE /* access:recommendations */"""

_EXPIRE = """
UPDATE recommendations SET status = 'expired', version = version + 1, updated_at = now()
WHERE id = ANY($1::uuid[]) /* access:recommendations */"""

_REFRESH = """
UPDATE recommendations r SET rank = x.rank, title = x.title, reason = x.reason, status = 'open', snoozed_until = NULL,
    expires_at = $5, version = version + 1, updated_at = now()
FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[]) AS x(id, rank, title, reason)
WHERE r.id = x.id /* access:recommendations */"""

_RECOMMENDATION = (
    "id", "opportunity_id", "action", "title", "reason", "source", "rule", "rank", "missing", "battle_card_id",
    "model_version", "expires_at", "status",
)  # fmt: skip
_LOG = (
    "id",
    "recommendation_id",
    "opportunity_id",
    "policy",
    "action",
    "propensity",
    "candidates",
    "context",
)


def rng_of(deal_id: UUID, now: datetime) -> random.Random:
    """The same draw for a deal within a week: looking again does not roll the dice again."""
    year, week, _ = now.isocalendar()
    seed = hashlib.sha256(f"{POLICY}:{deal_id}:{year}-{week}".encode()).digest()
    return random.Random(int.from_bytes(seed[:8], "big"))


def decision(s: Situation, snoozed: set[str]) -> Decision:
    """What to propose; actions that the rep has put off until later are left alone."""
    found = [c for c in plays.candidates(s) if c.action not in snoozed]
    return plays.decide(found, rng_of(s.id, s.now))


class Changes(msgspec.Struct):
    """What a turn writes, over all its deals."""

    gone: list[UUID] = []
    again: list[tuple[UUID, int, str, str]] = []
    new: list[dict[str, Any]] = []
    logged: list[dict[str, Any]] = []


async def keep(database: Database, around: Surroundings, ids: Sequence[UUID]) -> int:
    """Brings the recommendations of these deals up to date; returns how many are new."""
    known = await situations(database, around, ids)
    real = datetime.now(UTC)
    made = Changes()
    async with database.begin() as tx:
        await tx.execute("SELECT pg_advisory_xact_lock(hashtext('recommendations'))")
        present: dict[UUID, list[Any]] = {}
        for row in await tx.fetch(_PRESENT, ids):
            present.setdefault(row["opportunity_id"], []).append(row)
        for deal_id in ids:
            if deal_id not in known:
                made.gone += [row["id"] for row in present.get(deal_id, [])]
            else:
                _compare(made, *known[deal_id], present.get(deal_id, []), real)
        await _write(tx, made, real)
    return len(made.new)


def _compare(made: Changes, deal: Any, s: Situation, present: list[Any], real: datetime) -> None:
    snoozed = {row["action"] for row in present if row["status"] == "snoozed" and row["snoozed_until"] > real}
    chosen = decision(s, snoozed)
    ranks = {candidate.action: rank for rank, candidate in enumerate(chosen.chosen, 1)}
    standing = {row["action"]: row for row in present if row["action"] not in snoozed}
    made.gone += [row["id"] for action, row in standing.items() if action not in ranks]
    for candidate in chosen.chosen:
        rank = ranks[candidate.action]
        row = standing.get(candidate.action)
        if row is None:
            made.new.append(_row(deal, candidate, rank, chosen.explored and rank == 1, real))
            if rank == 1:
                made.logged.append(_logged(made.new[-1]["id"], s, candidate, chosen))
        elif (row["rank"], row["title"], row["reason"], row["status"]) != (
            rank,
            candidate.title,
            candidate.reason,
            "open",
        ):
            made.again.append((row["id"], rank, candidate.title, candidate.reason))


def _row(deal: Any, candidate: Candidate, rank: int, explored: bool, real: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "opportunity_id": deal["id"],
        "action": candidate.action,
        "title": candidate.title,
        "reason": candidate.reason,
        "source": "exploration" if explored else "rule",
        "rule": candidate.rule,
        "rank": rank,
        "missing": MISSING,
        "battle_card_id": candidate.battle_card_id,
        "model_version": deal["model_version"],
        "expires_at": real + LIFE,
        "status": "open",
    }


def _logged(recommendation_id: UUID, s: Situation, candidate: Candidate, chosen: Decision) -> dict[str, Any]:
    context = {"stage": s.stage, "chance": s.chance, "amount": s.amount, "silent_days": s.silent_days}
    return {
        "id": new_id(),
        "recommendation_id": recommendation_id,
        "opportunity_id": s.id,
        "policy": POLICY,
        "action": candidate.action,
        "propensity": chosen.propensities[candidate.action],
        "candidates": chosen.propensities,
        "context": context,
    }


async def _write(tx: Tx, made: Changes, real: datetime) -> None:
    if made.gone:
        await tx.execute(_EXPIRE, made.gone)
    if made.again:
        await tx.execute(_REFRESH, *[list(column) for column in zip(*made.again, strict=True)], real + LIFE)
    if made.new:
        await tx.copy_records(
            "recommendations",
            _RECOMMENDATION,
            [tuple(row[name] for name in _RECOMMENDATION) for row in made.new],
        )
        told = ("opportunity_id", "action", "title", "reason", "source", "rank")
        items = [(row["id"], {name: row[name] for name in told}) for row in made.new]
        await ledger.record_each(tx, SYSTEM, "recommendation.created", "recommendation", items)
    if made.logged:
        await tx.copy_records("action_log", _LOG, [tuple(row[name] for name in _LOG) for row in made.logged])


# Jobs ----------------------------------------------------------------------------------------------

_TOUCHED = """
SELECT opportunity_id AS id FROM stakeholders WHERE id = ANY($1::uuid[])
UNION SELECT opportunity_id FROM activities WHERE id = ANY($1::uuid[]) AND opportunity_id IS NOT NULL
UNION SELECT id FROM opportunities WHERE id = ANY($1::uuid[])
/* access:stakeholders */ /* access:activities */ /* access:opportunities */"""

_ALL = """
SELECT id FROM opportunities WHERE status = 'open' AND deleted_at IS NULL
UNION SELECT opportunity_id FROM recommendations WHERE status IN ('open', 'snoozed') ORDER BY 1
/* access:opportunities */ /* access:recommendations */"""


async def deal_job(claimed: list[Job]) -> None:
    """Batch reaction to scored and changed deals."""
    database = claimed[0].database
    ids = [UUID(job.payload["entity_id"]) for job in claimed if job.payload.get("entity_id")]
    deals = sorted({row["id"] for row in await database.fetch(_TOUCHED, ids)})
    if deals:
        around = await surroundings(database)
        for start in range(0, len(deals), CHUNK):
            await keep(database, around, deals[start : start + CHUNK])


async def all_job(job: Job) -> dict[str, int]:
    """Every open deal: each night, for much depends on the calendar alone."""
    deals = [row["id"] for row in await job.database.fetch(_ALL)]
    around = await surroundings(job.database)
    new = 0
    for start in range(0, len(deals), CHUNK):
        new += await keep(job.database, around, deals[start : start + CHUNK])
        await job.progress(min(start + CHUNK, len(deals)), len(deals))
    return {"deals": len(deals), "new": new}


def handlers() -> dict[str, Callable[..., Any]]:
    """The jobs of recommendations by type."""
    return {"recommend.deal": deal_job, "recommend.all": all_job}
