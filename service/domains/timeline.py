"""The timeline of an account, a contact, a lead or a deal: what was done, written and decided, newest first."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from service import query
from service.access import SYSTEM, Actor, hidden, may, require, visible
from service.db import Database, Params
from service.domains import accounts, contacts, leads, opportunities
from service.errors import BadRequest
from service.resource import Resource
from service.wire import answer
from service.writes import document

KINDS = ("activity", "note", "event")

# Shapes --------------------------------------------------------------------------------------------


class Moment(msgspec.Struct, kw_only=True):
    """An activity, a note, or an event of the record itself (created, moved, given away); `record` holds its fields."""

    kind: str
    id: UUID
    at: datetime
    record: dict[str, Any]


class Moments(msgspec.Struct, kw_only=True):
    """Newest first."""

    items: list[Moment]
    next: str | None


# Rules ---------------------------------------------------------------------------------------------

_ACTIVITY = [
    "type",
    "subject",
    "body",
    "direction",
    "status",
    "outcome",
    "duration_seconds",
    "due_at",
    "owner_id",
    "account_id",
    "opportunity_id",
    "lead_id",
    "contact_id",
    "participants",
    "thread_id",
    "source",
]
_NOTE = ["body", "kind", "created_by_id"]
MOST_TEXT = 1_000
"""Characters of a text that a timeline shows; the record has the rest."""
_TOLD = (
    "created",
    "deleted",
    "restored",
    "stage_changed",
    "assigned",
    "status_changed",
    "converted",
    "merged",
)
_CONVERTED = "ARRAY(SELECT l.id FROM leads l WHERE l.converted_{column} = $1 /* access:leads */)"
"""The leads that became this record, which the actor sees: what was done with them belongs to it."""


def _shown(actor: Actor, table: str, names: list[str]) -> str:
    """The fields that a moment shows, without those that do not exist for this actor."""
    return ", ".join(
        f"left(t.body, {MOST_TEXT}) AS body" if name == "body" else f"t.{name}"
        for name in names
        if name not in hidden(actor, table)
    )


def _branch(kind: str, select: str, source: str, at: str, where: str, limit: int, after: str) -> str:
    """The newest of one source, as (kind, id, at, record)."""
    return (
        f"(SELECT '{kind}' AS kind, t.id, t.{at} AS at, (SELECT row_to_json(r) FROM (SELECT {select}) r) AS record"
        f" FROM {source} t WHERE {where}{after.format(at=at)} ORDER BY t.{at} DESC, t.id DESC LIMIT {limit + 1})"
    )


def _places(name: str, actor: Actor, params: Params) -> list[tuple[str, str]]:
    """Where the activities of a record are: (source, condition). What an index cannot order is gathered first.

    Who sees a deal, or a lead, sees all that was done about it; of an account or a contact it depends on the deal.
    """
    of_seen = name in ("opportunity", "lead")
    column, seen = f"{name}_id", visible(SYSTEM if of_seen else actor, "activities", "t", params, each=True)
    live = f"t.deleted_at IS NULL AND {seen}"
    found = [("activities", f"t.{column} = $1 AND {live}")]
    if name in ("contact", "lead"):
        gathered = (
            "(SELECT t.* FROM activities t WHERE t.deleted_at IS NULL AND t.participants <> '[]'"
            f" AND t.participants @> jsonb_build_array(jsonb_build_object('{column}', $1::text))"
            f" AND t.{column} IS DISTINCT FROM $1 AND {seen} OFFSET 0)"
        )
        found.append((gathered, "TRUE"))
    if name in ("contact", "opportunity"):
        leads_of = _CONVERTED.format(column=column)
        found.append(
            ("activities", f"t.lead_id = ANY({leads_of}) AND t.{column} IS DISTINCT FROM $1 AND {live}")
        )
    return found


def statement(
    resource: Resource, actor: Actor, record_id: UUID, kinds: list[str], limit: int, cursor: list[Any] | None
) -> tuple[str, Params]:
    """The statement of a page; `cursor` is the instant and the id of the last moment before it."""
    name, params = resource.name, Params([record_id])
    after = ""
    if cursor is not None:
        at, last = params.add(cursor[0]), params.add(cursor[1])
        after = f" AND (t.{{at}}, t.id) < ({at}::timestamptz, {last}::uuid)"
    parts = []
    if "activity" in kinds:
        for source, where in _places(name, actor, params):
            parts.append(
                _branch(
                    "activity",
                    _shown(actor, "activities", _ACTIVITY),
                    source,
                    "occurred_at",
                    where,
                    limit,
                    after,
                )
            )
    if "note" in kinds:
        where = (
            f"t.{name}_id = $1 AND t.deleted_at IS NULL AND {visible(actor, 'notes', 't', params, each=True)}"
        )
        parts.append(
            _branch("note", _shown(actor, "notes", _NOTE), "notes", "created_at", where, limit, after)
        )
    if "event" in kinds:
        kinds_of = params.add([f"{name}.{word}" for word in _TOLD])
        where = f"t.entity_type = '{name}' AND t.entity_id = $1 AND t.kind = ANY({kinds_of}::text[])"
        shown = "t.kind, t.actor_id, t.door, t.change_id, t.data - 'note' AS data"
        parts.append(_branch("event", shown, "ledger.events", "occurred_at", where, limit, after))
    union = " UNION ALL ".join(parts)
    return f"SELECT * FROM ({union}) x ORDER BY x.at DESC, x.id DESC LIMIT {limit + 1}", params


def asked(request: query.Request) -> tuple[list[str], list[Any] | None]:
    """The kinds that are wanted, and where to go on. Raises `BadRequest` for what a timeline has no use for."""
    kinds = list(KINDS)
    for name, operator, value in request.filters:
        if name != "kind" or operator not in ("eq", "in") or not set(value.split(",")) <= set(KINDS):
            raise BadRequest(f"A timeline takes limit, cursor and kind ({', '.join(KINDS)}).")
        kinds = value.split(",")
    if request.sort or request.fields is not None or request.expand or request.as_of or request.text:
        raise BadRequest(f"A timeline takes limit, cursor and kind ({', '.join(KINDS)}).")
    if request.cursor is None:
        return kinds, None
    try:
        at, last = request.cursor
        return kinds, [query.instant(str(at)), UUID(str(last))]
    except ValueError:
        raise BadRequest("cursor: this is not a cursor of a timeline.") from None


# Routes --------------------------------------------------------------------------------------------


def timeline(resource: Resource) -> HTTPRouteHandler:
    """`GET /{resource}/{id}/timeline`."""

    @get(
        resource.path + "/{record_id:uuid}/timeline",
        name=f"timeline {resource.path}",
        opt={"answer": Moments, "query": ("limit", "cursor", "kind")},
    )
    async def handler(
        request: Request[Any, Any, Any],
        actor: NamedDependency[Actor],
        database: NamedDependency[Database],
        record_id: FromPath[UUID],
    ) -> Response[bytes]:
        """Activities, notes and events of a record, newest first."""
        require(actor, resource.key, "read")
        require(actor, "activities", "read")
        wish = query.parse(request.scope["query_string"])
        kinds, cursor = asked(wish)
        kinds = [kind for kind in kinds if kind != "note" or may(actor, "notes", "read")]
        await document(database, resource, actor, record_id)
        sql, params = statement(resource, actor, record_id, kinds, wish.limit, cursor)
        rows = await database.fetch(sql, *params)
        following = None
        if len(rows) > wish.limit:
            last = rows[wish.limit - 1]
            following = query.encode_cursor([last["at"], last["id"]])
        items = [Moment(**dict(row)) for row in rows[: wish.limit]]
        return answer(Moments(items=items, next=following))

    return handler


routes = [timeline(module.resource) for module in (accounts, contacts, leads, opportunities)]
