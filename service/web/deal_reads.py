"""What the deal page asks of the database, each question for the eyes of one actor."""

from typing import Any
from uuid import UUID

from service import history
from service.access import guard, hidden, visible
from service.db import Params
from service.domains.opportunities import PUSHES
from service.errors import NotFound
from service.reasons import shown
from service.web.frame import Visit

Row = dict[str, Any]

SCORES = 400
ACTIVITIES = 40
NOTES = 20
SHOWN_ACTIONS = 5


async def deal(visit: Visit, deal_id: UUID) -> Row:
    """The deal with its account and owner; `NotFound` for what the actor does not see."""
    params = Params([deal_id])
    seen = visible(visit.actor, "opportunities", "t", params)
    account = guard(visit.actor, "accounts", "a", params)
    row = await visit.database.fetchrow(
        f"SELECT t.*, ({PUSHES}) AS push_count, u.name AS owner_name, a.name AS account_name, a.industry"
        " FROM opportunities t LEFT JOIN users u ON u.id = t.owner_id"
        f" LEFT JOIN accounts a ON a.id = t.account_id AND a.deleted_at IS NULL AND {account}"
        f" WHERE t.id = $1 AND t.deleted_at IS NULL AND {seen}",
        *params,
    )
    if row is None:
        raise NotFound("There is no such deal, or it is not yours to see.")
    found = dict(row) | dict.fromkeys(hidden(visit.actor, "opportunities"))
    if "industry" in hidden(visit.actor, "accounts"):
        found["industry"] = None
    found["account"] = (
        {"name": row["account_name"], "industry": found["industry"]} if row["account_name"] else None
    )
    found["owner"] = {"name": row["owner_name"]} if row["owner_name"] else None
    return found


async def stages(visit: Visit, pipeline_id: UUID) -> list[Row]:
    rows = await visit.database.fetch(
        "SELECT key, name, status, position FROM stages WHERE pipeline_id = $1 AND deleted_at IS NULL"
        " ORDER BY position, id",
        pipeline_id,
    )
    return [dict(row) for row in rows]


async def score(visit: Visit, deal_id: UUID) -> Row | None:
    """The newest score, whole."""
    params = Params([deal_id])
    seen = visible(visit.actor, "current_scores", "s", params)
    row = await visit.database.fetchrow(
        f"SELECT s.* FROM current_scores s WHERE s.opportunity_id = $1 AND {seen}", *params
    )
    return dict(row) | {"reasons": shown(visit.actor, "opportunity", row["reasons"])} if row else None


async def past_scores(visit: Visit, deal_id: UUID) -> list[Row]:
    """Earlier scores and the newest, oldest first: instant, chance, version and reasons."""
    params = Params([deal_id])
    seen = visible(visit.actor, "scores", "s", params)
    rows = await visit.database.fetch(
        "SELECT s.id, s.as_of, s.scored_at, s.win_probability, s.model_version, s.tier, s.reasons FROM scores s"
        f" WHERE s.opportunity_id = $1 AND s.win_probability IS NOT NULL AND {seen}"
        f" ORDER BY s.scored_at DESC LIMIT {SCORES}",
        *params,
    )
    return [
        dict(row) | {"reasons": shown(visit.actor, "opportunity", row["reasons"])} for row in reversed(rows)
    ]


async def actions(visit: Visit, deal_id: UUID) -> list[Row]:
    """Open recommendations in their order."""
    params = Params([deal_id])
    seen = visible(visit.actor, "recommendations", "r", params)
    rows = await visit.database.fetch(
        "SELECT r.id, r.action, r.title, r.reason, r.source, r.expected_lift FROM recommendations r"
        f" WHERE r.opportunity_id = $1 AND r.status = 'open' AND r.deleted_at IS NULL AND {seen}"
        f" ORDER BY r.rank, r.id LIMIT {SHOWN_ACTIONS}",
        *params,
    )
    return [dict(row) for row in rows]


async def activities(visit: Visit, deal_id: UUID) -> list[Row]:
    """The newest activities, planned ones first."""
    params = Params([deal_id])
    seen = visible(visit.actor, "activities", "t", params)
    rows = await visit.database.fetch(
        "SELECT t.type, t.occurred_at, t.subject, t.direction, t.status, t.outcome, t.duration_seconds,"
        " u.name AS owner_name FROM activities t LEFT JOIN users u ON u.id = t.owner_id"
        f" WHERE t.opportunity_id = $1 AND t.deleted_at IS NULL AND {seen}"
        f" ORDER BY t.occurred_at DESC, t.id LIMIT {ACTIVITIES}",
        *params,
    )
    return [dict(row) for row in rows]


async def notes(visit: Visit, deal_id: UUID) -> list[Row]:
    params = Params([deal_id])
    seen = visible(visit.actor, "notes", "t", params)
    rows = await visit.database.fetch(
        "SELECT t.body, t.kind, t.created_at, u.name AS author FROM notes t LEFT JOIN users u ON u.id = t.created_by_id"
        f" WHERE t.opportunity_id = $1 AND t.deleted_at IS NULL AND {seen}"
        f" ORDER BY t.created_at DESC, t.id LIMIT {NOTES}",
        *params,
    )
    return [dict(row) for row in rows]


async def versions(visit: Visit, deal_id: UUID) -> list[Any]:
    """The deal's versions, newest first."""
    return await history.versions(visit.database, visit.actor, "opportunities", deal_id)


async def people(visit: Visit) -> dict[str, str]:
    """Names by id, for the actors and owners that history names."""
    rows = await visit.database.fetch("SELECT id, name FROM users")
    return {str(row["id"]): row["name"] for row in rows}


async def stakeholders(visit: Visit, deal_id: UUID) -> list[Row]:
    """Who plays which part, the primary one first."""
    params = Params([deal_id])
    seen = visible(visit.actor, "stakeholders", "t", params)
    contact = guard(visit.actor, "contacts", "c", params)
    title = "NULL::text AS title" if "title" in hidden(visit.actor, "contacts") else "c.title"
    rows = await visit.database.fetch(
        f"SELECT t.id, t.reports_to_id, t.is_primary, t.role, t.influence, t.sentiment, {title},"
        " coalesce(nullif(concat_ws(' ', c.first_name, c.last_name), ''), 'A contact') AS name"
        " FROM stakeholders t"
        f" LEFT JOIN contacts c ON c.id = t.contact_id AND c.deleted_at IS NULL AND {contact}"
        f" WHERE t.opportunity_id = $1 AND t.deleted_at IS NULL AND {seen}"
        " ORDER BY t.is_primary DESC, t.created_at, t.id LIMIT 50",
        *params,
    )
    return [dict(row) for row in rows]


async def battle_cards(visit: Visit, competitor_ids: list[UUID]) -> list[Row]:
    """Published cards on the competitors that the deal names."""
    rows = await visit.database.fetch(
        "SELECT c.name AS competitor, b.title, b.body FROM battle_cards b JOIN competitors c ON c.id = b.competitor_id"
        " WHERE b.competitor_id = ANY($1::uuid[]) AND b.status = 'published' AND b.deleted_at IS NULL"
        ' ORDER BY lower(c.name) COLLATE "C", lower(b.title) COLLATE "C" LIMIT 20',
        competitor_ids,
    )
    return [dict(row) for row in rows]
