"""Guests: people of the customer who open a deal's room by a link, without an account.

A link is a signed token: the signature is judged before anything is looked up, and of the token only its sha256 is
stored. It ends by its expiry, by the number of its visits, or by being revoked; whatever the cause, a stranger gets
one and the same answer. A visit is one browser for eight hours: reloading and downloading within it use nothing up.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from service import ledger
from service.access import SYSTEM, Actor, visible
from service.db import INSTANT, Database, Params, Tx, metadata
from service.errors import NotFound
from service.ids import new_id
from service.tokens import derived, digest

PURPOSE = "guest links"
NONCE, SIGNATURE = 24, 24
MOST_TOKEN = 128
VISIT = timedelta(hours=8)
GONE = "This link is not valid, or no longer. Ask whoever sent it for a new one."

guest_link_secrets = sa.Table(
    "guest_link_secrets",
    metadata,
    sa.Column("guest_link_id", sa.Uuid, primary_key=True),
    sa.Column("token_hash", sa.LargeBinary, nullable=False),
)
"""Apart, so that the hash lies neither in lists nor in history."""

visits = sa.Table(
    "room_visits",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("guest_link_id", sa.Uuid, nullable=False),
    sa.Column("cookie_hash", sa.LargeBinary, nullable=False),
    sa.Column("opened_at", INSTANT, nullable=False),
    sa.Column("recorded_at", INSTANT, nullable=False, server_default=sa.text("clock_timestamp()")),
    sa.Index("ix_room_visits_guest_link_id", "guest_link_id", "opened_at"),
    sa.Index("uq_room_visits_cookie_hash", "cookie_hash", unique=True),
)
"""A browser that opened a link: one use of it."""

views = sa.Table(
    "room_views",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("opportunity_id", sa.Uuid),
    sa.Column("document_id", sa.Uuid),
    sa.Column("guest_link_id", sa.Uuid),
    sa.Column("visit_id", sa.Uuid),
    sa.Column("user_id", sa.Uuid),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("occurred_at", INSTANT, nullable=False),
    sa.Column("recorded_at", INSTANT, nullable=False, server_default=sa.text("clock_timestamp()")),
    sa.CheckConstraint("kind IN ('room', 'document')", name="kind"),
    sa.Index("ix_room_views_opportunity_id", "opportunity_id", "occurred_at"),
    sa.Index("ix_room_views_document_id", "document_id", postgresql_where=sa.text("document_id IS NOT NULL")),
    sa.Index(
        "ix_room_views_guest_link_id",
        "guest_link_id",
        "id",
        postgresql_where=sa.text("guest_link_id IS NOT NULL"),
    ),
)
"""Every look at a room or a document, by guests and by us. Features count visits (`known.room_visits`), of which an
event tells: what nothing tells of could not be read anew in time."""


class Guest(msgspec.Struct, kw_only=True):
    """A guest during a request: the link, its deal, what it opens, and the visit."""

    link_id: UUID
    opportunity_id: UUID
    name: str
    shows_plan: bool
    all_documents: bool
    document_ids: tuple[UUID, ...]
    may_tick: bool
    may_comment: bool
    expires_at: datetime
    visit_id: UUID
    cookie: str | None = None
    """The secret of a visit that has just begun; None where the browser sent one that is valid."""

    @property
    def actor(self) -> Actor:
        """Who writes: nobody of ours. What a guest may touch is judged by the link, in each route of the guest page."""
        return msgspec.structs.replace(SYSTEM, name=self.name, door="room")


def make_token(key: bytes, link_id: UUID) -> str:
    """A new token of a link; it is shown once."""
    content = link_id.bytes + secrets.token_bytes(NONCE)
    return _text(content + _sign(key, content))


def read_token(key: bytes, token: str) -> UUID | None:
    """The link that a token names, when its signature is ours; compared in constant time."""
    if len(token) > MOST_TOKEN:
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    content, signature = raw[: 16 + NONCE], raw[16 + NONCE :]
    if not hmac.compare_digest(signature, _sign(key, content)) or _text(raw) != token:
        return None
    return UUID(bytes=content[:16])


def _sign(key: bytes, content: bytes) -> bytes:
    return hmac.digest(derived(key, PURPOSE), content, "sha256")[:SIGNATURE]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


_LINK = """
SELECT g.id, g.opportunity_id, g.name, g.shows_plan, g.all_documents, g.document_ids, g.may_tick, g.may_comment,
       g.expires_at, g.max_uses, s.token_hash
FROM guest_links g JOIN guest_link_secrets s ON s.guest_link_id = g.id
JOIN opportunities o ON o.id = g.opportunity_id AND o.deleted_at IS NULL
WHERE g.id = $1 AND g.deleted_at IS NULL AND g.revoked_at IS NULL AND g.expires_at > $2 AND {seen}
{lock}"""


def _link_sql(lock: str = "") -> str:
    seen = f"{visible(SYSTEM, 'guest_links', 'g', Params())} AND {visible(SYSTEM, 'opportunities', 'o', Params())}"
    return _LINK.format(seen=seen, lock=lock)


async def enter(database: Database, key: bytes, token: str, cookie: str, now: datetime) -> Guest:
    """The guest of a token; begins a visit unless `cookie` belongs to one. Raises `NotFound` for every dead link."""
    link_id = read_token(key, token)
    if link_id is None:
        raise NotFound(GONE)
    link = await database.fetchrow(_link_sql(), link_id, now)
    if link is None or not hmac.compare_digest(bytes(link["token_hash"]), digest(token)):
        raise NotFound(GONE)
    visit_id = await _known_visit(database, link_id, cookie, now)
    if visit_id is not None:
        return _guest(link, visit_id, None)
    return await _begin(database, link_id, now)


async def _known_visit(database: Database, link_id: UUID, cookie: str, now: datetime) -> UUID | None:
    if not cookie or len(cookie) > MOST_TOKEN:
        return None
    found: UUID | None = await database.fetchval(
        "SELECT id FROM room_visits WHERE cookie_hash = $1 AND guest_link_id = $2 AND opened_at > $3",
        digest(cookie),
        link_id,
        now - VISIT,
    )
    return found


async def _begin(database: Database, link_id: UUID, now: datetime) -> Guest:
    """Takes one use of the link, under its lock, so that two browsers cannot take the last one both."""
    cookie, visit_id = secrets.token_urlsafe(32), new_id()
    async with database.begin() as tx:
        link = await tx.fetchrow(_link_sql("FOR UPDATE OF g"), link_id, now)
        used = await tx.fetchval("SELECT count(*) FROM room_visits WHERE guest_link_id = $1", link_id)
        if link is None or used >= link["max_uses"]:
            raise NotFound(GONE)
        guest = _guest(link, visit_id, cookie)
        said = {"guest_link_id": str(link_id), "guest": link["name"]}
        await ledger.record(tx, guest.actor, "room.viewed", "opportunity", guest.opportunity_id, data=said)
        await tx.execute(
            "INSERT INTO room_visits (id, guest_link_id, cookie_hash, opened_at) VALUES ($1, $2, $3, $4)",
            visit_id,
            link_id,
            digest(cookie),
            now,
        )
    return guest


def _guest(link: Any, visit_id: UUID, cookie: str | None) -> Guest:
    return Guest(
        link_id=link["id"],
        opportunity_id=link["opportunity_id"],
        name=link["name"],
        shows_plan=link["shows_plan"],
        all_documents=link["all_documents"],
        document_ids=tuple(link["document_ids"]),
        may_tick=link["may_tick"],
        may_comment=link["may_comment"],
        expires_at=link["expires_at"],
        visit_id=visit_id,
        cookie=cookie,
    )


async def log_view(
    run: Tx | Database, now: datetime, *, opportunity_id: UUID | None, document_id: UUID | None = None,
    guest: Guest | None = None, user_id: UUID | None = None,
) -> None:  # fmt: skip
    """Writes down a look at a room or at one of its documents."""
    await run.execute(
        "INSERT INTO room_views (id, opportunity_id, document_id, guest_link_id, visit_id, user_id, kind, occurred_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        new_id(),
        opportunity_id,
        document_id,
        guest.link_id if guest else None,
        guest.visit_id if guest else None,
        user_id,
        "document" if document_id else "room",
        now,
    )


def opens(guest: Guest, document_ids: Iterable[UUID]) -> list[UUID]:
    """Those of the shared documents that this link opens."""
    return [each for each in document_ids if guest.all_documents or each in guest.document_ids]
