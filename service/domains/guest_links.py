"""Guest links: how people of the customer open a deal's room; limited, revocable, and each view written down."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET, Meta

from service import columns as c
from service import idempotency
from service.access import Actor, require
from service.crud import crud
from service.db import Database, Tx, business_table, to_json
from service.errors import Conflict, Pointer
from service.guests import make_token
from service.idempotency import idempotent
from service.levels import require_write
from service.resource import Resource, Row, plain
from service.rules import exist, fault, refuse
from service.settings import Settings
from service.shapes import Draft, Email, Given, Ids, Instant, Maybe, Name, item_of, patch_of
from service.tokens import digest, signing_key
from service.wire import Web, answer, body, check_version, etag, expected_version
from service.writes import document, insert, locked, update

LASTS = timedelta(days=30)
MOST_DAYS = 366
USES = 100
MOST_VIEWS = 200

# Tables --------------------------------------------------------------------------------------------

guest_links = business_table(
    "guest_links",
    c.reference("opportunity_id", "opportunities", required=True),
    c.text("name", required=True),
    c.text("email"),
    c.reference("contact_id", "contacts"),
    c.instant("expires_at", required=True),
    sa.Column("max_uses", sa.Integer, nullable=False, server_default=str(USES)),
    c.flag("shows_plan", default=True),
    c.flag("all_documents", default=True),
    c.ids("document_ids"),
    c.flag("may_tick"),
    c.flag("may_comment"),
    c.instant("revoked_at"),
    c.index("ix_guest_links_opportunity_id", "opportunity_id"),
    c.external("guest_links"),
)

# Shapes --------------------------------------------------------------------------------------------


class GuestLinkDraft(Draft, kw_only=True):
    """`name` is whom it is for. Without `document_ids` it opens all documents that are shared, now and later."""

    opportunity_id: UUID
    name: Name
    email: Maybe[Email] = UNSET
    contact_id: Maybe[UUID] = UNSET
    expires_at: Given[Instant] = UNSET
    max_uses: Given[Annotated[int, Meta(ge=1, le=10_000)]] = UNSET
    shows_plan: Given[bool] = UNSET
    all_documents: Given[bool] = UNSET
    document_ids: Given[Ids] = UNSET
    may_tick: Given[bool] = UNSET
    may_comment: Given[bool] = UNSET


GuestLinkPatch = patch_of(GuestLinkDraft, "opportunity_id")
_DERIVED: dict[str, Any] = {
    "status": str,
    "use_count": int,
    "view_count": int,
    "last_viewed_at": datetime | None,
}
GuestLink = item_of(guest_links, GuestLinkDraft, **_DERIVED)
GuestLinkWithToken = msgspec.defstruct(
    "GuestLinkWithToken",
    [("token", str | None, None), ("url", str | None, None)],
    bases=(GuestLink,),
    kw_only=True,
    module=__name__,
)
"""The answer to its creation: token and url are shown nowhere else."""


class View(msgspec.Struct, kw_only=True):
    """One look of a guest at the room, or at one of its documents."""

    id: UUID
    kind: str
    document_id: UUID | None
    document_name: str | None
    visit_id: UUID | None
    occurred_at: datetime


class Views(msgspec.Struct, kw_only=True):
    items: list[View]
    next: str | None = None


# Rules ---------------------------------------------------------------------------------------------


def _expiry(new: Row, old: Row | None, now: datetime) -> Iterator[Pointer]:
    expires = new.get("expires_at")
    if expires is None or (old is not None and old["expires_at"] == expires):
        return
    if expires <= now:
        yield fault("expires_at", "lies in the past")
    elif expires > now + timedelta(days=MOST_DAYS):
        yield fault("expires_at", f"lies more than {MOST_DAYS} days ahead")


def check(new: Row, old: Row | None) -> None:
    """A new expiry lies ahead, and not more than a year."""
    refuse(_expiry(new, old, datetime.now(UTC)))


def defaults(draft: Row, actor: Actor, now: datetime) -> Row:
    """Thirty days; all shared documents unless some are named."""
    return {
        "expires_at": draft.get("expires_at", now + LASTS),
        "all_documents": draft.get("all_documents", not draft.get("document_ids")),
    }


async def prepare(tx: Tx | Database, actor: Actor, new: Row, old: Row | None) -> None:
    """Who may change the deal opens its room; named documents exist for them."""
    if old is None:
        await require_write(tx, actor, "opportunities", new["opportunity_id"])
    if old is None or old["document_ids"] != new["document_ids"]:
        await exist(tx, actor, "documents", "document_ids", new.get("document_ids") or [])


# Routes --------------------------------------------------------------------------------------------

_USES = "(SELECT count(*) FROM room_visits v WHERE v.guest_link_id = t.id)"

resource = Resource(
    path="/guest-links",
    name="guest_link",
    table=guest_links,
    draft=GuestLinkDraft,
    patch=GuestLinkPatch,
    item=GuestLink,
    references={"opportunity_id": "opportunities", "contact_id": "contacts"},
    text=("name", "email"),
    extra={
        "status": "CASE WHEN t.revoked_at IS NOT NULL OR NOT EXISTS"
        " (SELECT 1 FROM guest_link_secrets s WHERE s.guest_link_id = t.id) THEN 'revoked' WHEN t.expires_at <= now() THEN 'expired'"
        f" WHEN {_USES} >= t.max_uses THEN 'used_up' ELSE 'active' END",
        "use_count": _USES,
        "view_count": "SELECT count(*) FROM room_views v WHERE v.guest_link_id = t.id",
        "last_viewed_at": "SELECT max(v.occurred_at) FROM room_views v WHERE v.guest_link_id = t.id",
    },
    extra_kinds={"use_count": "integer", "view_count": "integer", "last_viewed_at": "instant"},
    check=check,
    defaults=defaults,
    prepare=prepare,
    prepare_reads=True,
)


async def make(tx: Tx, settings: Settings, actor: Actor, draft: Row) -> tuple[Row, str]:
    """The stored link, and its token, which is kept nowhere."""
    row = await insert(tx, resource, actor, draft)
    token = make_token(signing_key(settings), row["id"])
    await tx.execute(
        "INSERT INTO guest_link_secrets (guest_link_id, token_hash) VALUES ($1, $2)", row["id"], digest(token)
    )
    return row, token


@post("/guest-links", name="create /guest-links", opt={"create": resource, "answer": GuestLinkWithToken})
async def create(request: Web, settings: NamedDependency[Settings]) -> Response[bytes]:
    """A new link. A replay under the same `Idempotency-Key` comes without token and url: they are shown once."""
    actor: Actor = request.scope["actor"]  # type: ignore[typeddict-item]  # set by the middleware
    database: Database = request.app.state.database
    require(actor, "guest_links", "create")
    draft = plain(await body(request, GuestLinkDraft))
    key = await idempotency.key_of(request)
    async with database.begin() as tx:
        await idempotency.hold(tx, actor, key)
        if key and (replay := await idempotency.kept(tx, actor, key)):
            return replay
        row, token = await make(tx, settings, actor, draft)
        text, version = await document(tx, resource, actor, row["id"])
        headers = {"Location": f"/api/v1/guest-links/{row['id']}", "ETag": etag(version)}
        await idempotency.keep(tx, actor, key, answer(text, 201, headers))
    shown = to_json({"token": token, "url": f"{settings.address}/room/{token}"})
    return answer(f"{text[:-1]},{shown[1:]}", 201, headers | {"Cache-Control": "no-store"})


async def revoked(tx: Tx, actor: Actor, record_id: UUID, expected: int | None) -> None:
    """Ends a link now, and for good: its secret goes, so no undo brings it back. Raises `Conflict` the second time."""
    old = await locked(tx, resource, actor, record_id)
    check_version(expected, old["version"])
    if old["revoked_at"] is not None:
        raise Conflict("The link is revoked already.")
    await update(tx, resource, actor, old, {"revoked_at": datetime.now(UTC)}, kind="guest_link.revoked")
    await tx.execute("DELETE FROM guest_link_secrets WHERE guest_link_id = $1", record_id)


@post(
    "/guest-links/{record_id:uuid}/revoke",
    status_code=200,
    opt={"answer": GuestLink, "statuses": (409, 412)},
)
@idempotent
async def revoke(
    request: Request[Any, Any, Any],
    tx: NamedDependency[Tx],
    actor: NamedDependency[Actor],
    record_id: FromPath[UUID],
) -> Response[bytes]:
    """Ends a link at once and for good."""
    require(actor, "guest_links", "update")
    await revoked(tx, actor, record_id, expected_version(request))
    text, version = await document(tx, resource, actor, record_id)
    return answer(text, headers={"ETag": etag(version)})


_VIEWS = f"""
SELECT v.id, v.kind, v.document_id, d.name AS document_name, v.visit_id, v.occurred_at
FROM room_views v LEFT JOIN documents d ON d.id = v.document_id /* access:documents */
WHERE v.guest_link_id = $1 ORDER BY v.id DESC LIMIT {MOST_VIEWS}"""


@get("/guest-links/{record_id:uuid}/views", opt={"answer": Views})
async def views(
    database: NamedDependency[Database], actor: NamedDependency[Actor], record_id: FromPath[UUID]
) -> Response[bytes]:
    """What the guests of a link looked at, newest first."""
    require(actor, "guest_links", "read")
    await document(database, resource, actor, record_id)
    rows = await database.fetch(_VIEWS, record_id)
    return answer({"items": [dict(row) for row in rows], "next": None})


routes: list[Any] = [
    create,
    *(handler for handler in crud(resource) if handler.name != "create /guest-links"),
    revoke,
    views,
]
