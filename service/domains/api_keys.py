"""API keys: for programs. A key acts as its user, within its scopes, until it expires; it is shown once."""

import secrets
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Response, post
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy.dialects.postgresql import JSONB

from service import idempotency
from service.access import PERMISSIONS, Actor, require
from service.crud import crud
from service.db import INSTANT, Database, Tx, business_table, metadata, to_json
from service.errors import Invalid
from service.resource import Resource, Row, plain
from service.tokens import digest
from service.wire import Web, answer, body, etag
from service.writes import document, insert

# Tables --------------------------------------------------------------------------------------------

api_keys = business_table(
    "api_keys",
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", JSONB, nullable=False),
    sa.Column("expires_at", INSTANT),
    sa.Column("prefix", sa.Text, nullable=False),
    sa.Column("user_id", sa.Uuid, nullable=False),
    guarded=False,
)

api_key_secrets = sa.Table(
    "api_key_secrets",
    metadata,
    sa.Column("api_key_id", sa.Uuid, primary_key=True),
    sa.Column("key_hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("last_used_at", INSTANT),
)
"""Apart, so that neither hash nor use lies in lists and history."""

# Shapes --------------------------------------------------------------------------------------------

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Scopes = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=80)]], Meta(min_length=1, max_length=100)
]


class ApiKeyDraft(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Scopes are `resource:action`, where either may be `*`; the user is the caller unless named."""

    name: Name
    scopes: Scopes
    expires_at: datetime | None = None
    user_id: UUID | UnsetType = UNSET
    external_ids: dict[str, str] | UnsetType = UNSET
    cf: dict[str, Any] | UnsetType = UNSET


class ApiKeyPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: Name | UnsetType = UNSET
    scopes: Scopes | UnsetType = UNSET
    expires_at: datetime | UnsetType | None = UNSET
    external_ids: dict[str, str] | UnsetType = UNSET
    cf: dict[str, Any] | UnsetType = UNSET


class ApiKey(msgspec.Struct, kw_only=True):
    """`prefix` is the key's beginning: enough to know it by."""

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    created_by_id: UUID | None
    updated_by_id: UUID | None
    name: str
    scopes: list[str]
    expires_at: datetime | None
    prefix: str
    user_id: UUID
    last_used_at: datetime | None
    external_ids: dict[str, str]
    cf: dict[str, Any]


class ApiKeyWithKey(ApiKey, kw_only=True):
    """The answer to its creation: the key is shown nowhere else."""

    key: str | None = None


# Rules ---------------------------------------------------------------------------------------------

MARK = "sk_"
RESOURCES = frozenset(resource for table in PERMISSIONS.values() for resource in table)
ACTIONS = frozenset(
    action for table in PERMISSIONS.values() for actions in table.values() for action in actions
)


def check(new: Row, old: Row | None) -> None:
    """Scopes name what exists; a new expiry lies ahead."""
    for index, scope in enumerate(new["scopes"]):
        resource, colon, action = scope.partition(":")
        known = resource in RESOURCES | {"*"} and (action in ACTIONS | {"*"} if colon else resource == "*")
        if not known:
            raise Invalid.at(
                f"/scopes/{index}", "is no scope: write resource:action, resource:*, *:action or *"
            )
    expires = new.get("expires_at")
    if expires and expires.tzinfo is None:
        raise Invalid.at("/expires_at", "needs its zone")
    if expires and (old is None or old["expires_at"] != expires) and expires <= datetime.now(UTC):
        raise Invalid.at("/expires_at", "lies in the past")


def defaults(draft: Row, actor: Actor, now: datetime) -> Row:
    return {"user_id": draft.get("user_id") or actor.id}


API_KEY = Resource(
    path="/api-keys",
    name="api_key",
    table=api_keys,
    draft=ApiKeyDraft,
    patch=ApiKeyPatch,
    item=ApiKey,
    references={"user_id": "users"},
    text=("name",),
    extra={"last_used_at": "SELECT s.last_used_at FROM api_key_secrets s WHERE s.api_key_id = t.id"},
    check=check,
    defaults=defaults,
)


async def make_key(tx: Tx, actor: Actor, draft: Row) -> tuple[Row, str]:
    """The stored row, and the key itself, which is kept nowhere."""
    prefix = MARK + secrets.token_hex(4)
    key = f"{prefix}_{secrets.token_urlsafe(32)}"
    row = await insert(tx, API_KEY, actor, draft | {"prefix": prefix})
    await tx.execute(
        "INSERT INTO api_key_secrets (api_key_id, key_hash) VALUES ($1, $2)", row["id"], digest(key)
    )
    return row, key


# Routes --------------------------------------------------------------------------------------------


@post("/api-keys", name="create /api-keys", opt={"create": API_KEY, "answer": ApiKeyWithKey})
async def create(request: Web) -> Response[bytes]:
    """A new key. A replay under the same `Idempotency-Key` comes without the key: it is shown once."""
    actor: Actor = request.scope["actor"]  # type: ignore[typeddict-item]  # set by the middleware
    database: Database = request.app.state.database
    require(actor, "api_keys", "create")
    draft = plain(await body(request, ApiKeyDraft))
    idem = await idempotency.key_of(request)
    async with database.begin() as tx:
        await idempotency.hold(tx, actor, idem)
        if idem and (replay := await idempotency.kept(tx, actor, idem)):
            return replay
        row, key = await make_key(tx, actor, draft)
        text, version = await document(tx, API_KEY, actor, row["id"])
        headers = {"Location": f"/api/v1/api-keys/{row['id']}", "ETag": etag(version)}
        await idempotency.keep(tx, actor, idem, answer(text, 201, headers))
    return answer(text[:-1] + f',"key":{to_json(key)}}}', 201, headers | {"Cache-Control": "no-store"})


routes: list[Any] = [create, *(handler for handler in crud(API_KEY) if handler.name != "create /api-keys")]
