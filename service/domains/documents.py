"""Documents: files of a deal or an account, with every version that was uploaded."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Request, Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import UNSET

from service import columns as c
from service import idempotency, objects, wire
from service.access import Actor, require, visible
from service.crud import crud
from service.db import Database, Params, Tx, business_table, to_json
from service.errors import BadRequest, Invalid, NotFound, Pointer
from service.guests import log_view
from service.levels import require_write
from service.resource import Resource, Row, plain
from service.rules import fault, refuse
from service.settings import Settings
from service.shapes import Draft, Given, Maybe, Name, item_of, patch_of
from service.uploads import MOST_BODY, Upload, form_of, is_form, key_of
from service.wire import answer, check_version, etag, expected_version
from service.writes import document, insert, locked, update

Type = Literal["proposal", "contract", "quote", "presentation", "other"]
MOST_VERSIONS = 200

# Tables --------------------------------------------------------------------------------------------

documents = business_table(
    "documents",
    c.text("name", required=True),
    c.word("type", Type, default="other"),
    c.reference("opportunity_id", "opportunities"),
    c.reference("account_id", "accounts"),
    c.flag("is_shared"),
    c.text("file_name"),
    c.text("content_type"),
    c.whole("size_bytes"),
    c.text("sha256"),
    sa.Column("content_version", sa.Integer, nullable=False, server_default="0"),
    c.index("ix_documents_opportunity_id", "opportunity_id", where="opportunity_id IS NOT NULL"),
    c.index("ix_documents_account_id", "account_id", where="account_id IS NOT NULL"),
    c.sorted_by("documents", "name"),
    c.external("documents"),
)
"""The content lies in the object store under the document's id and its sha256; earlier versions are in history."""

# Shapes --------------------------------------------------------------------------------------------


class DocumentDraft(Draft, kw_only=True):
    """Of a deal or of an account. `is_shared` says that guests of the deal's room may see it."""

    name: Name
    type: Given[Type] = UNSET
    opportunity_id: Maybe[UUID] = UNSET
    account_id: Maybe[UUID] = UNSET
    is_shared: Given[bool] = UNSET


DocumentPatch = patch_of(DocumentDraft)
Document = item_of(documents, DocumentDraft, url=str | None, view_count=int, guest_view_count=int)


class ContentVersion(msgspec.Struct, kw_only=True):
    content_version: int
    file_name: str
    content_type: str
    size_bytes: int
    sha256: str
    uploaded_at: datetime
    uploaded_by_id: UUID | None
    url: str


class ContentVersions(msgspec.Struct, kw_only=True):
    items: list[ContentVersion]
    next: str | None = None


# Rules ---------------------------------------------------------------------------------------------


def _about_one(row: Row) -> Iterator[Pointer]:
    if row.get("opportunity_id") is None and row.get("account_id") is None:
        yield fault("opportunity_id", "a document belongs to a deal or an account")


def check(new: Row, old: Row | None) -> None:
    """A document belongs to something."""
    refuse(_about_one(new))


async def _sent(request: Request[Any, Any, Any]) -> tuple[Row, Upload | None]:
    """What a new document is: JSON without content, or a form with its file; the name may be the file's."""
    if not is_form(request):
        return plain(await wire.body(request, DocumentDraft)), None
    members, upload = await form_of(request)
    if upload is None:
        raise Invalid.at("/file", "Object missing required field `file`")
    told = {"name": upload.name} | {name: value for name, value in members.items() if value != ""}
    try:
        return plain(msgspec.convert(told, DocumentDraft, strict=False)), upload
    except msgspec.ValidationError as error:
        raise wire.from_msgspec(str(error)) from None


async def prepare(run: Tx | Database, actor: Actor, new: Row, old: Row | None) -> None:
    """Who may change a deal or an account files its documents."""
    for name, table in (("opportunity_id", "opportunities"), ("account_id", "accounts")):
        if new.get(name) is not None and (old is None or old[name] != new[name]):
            await require_write(run, actor, table, new[name])


# Routes --------------------------------------------------------------------------------------------

_VIEWS = "SELECT count(*) FROM room_views v WHERE v.document_id = t.id"

resource = Resource(
    path="/documents",
    name="document",
    table=documents,
    draft=DocumentDraft,
    patch=DocumentPatch,
    item=Document,
    references={"opportunity_id": "opportunities", "account_id": "accounts"},
    text=("name", "file_name"),
    extra={
        "url": "CASE WHEN t.sha256 IS NOT NULL THEN '/api/v1/documents/' || t.id || '/content' END",
        "view_count": _VIEWS,
        "guest_view_count": f"{_VIEWS} AND v.guest_link_id IS NOT NULL",
    },
    extra_kinds={"view_count": "integer", "guest_view_count": "integer"},
    check=check,
    prepare=prepare,
    prepare_reads=True,
)


async def store(tx: Tx, settings: Settings, actor: Actor, old: Row, upload: Upload) -> Row:
    """Puts the content where it belongs and gives the document its next version of it."""
    if old["sha256"] == upload.sha256 and old["file_name"] == upload.name:
        return old
    await objects.keep(settings.objects_url, key_of(old["id"], upload.sha256), upload.file)
    last = await tx.fetchval(
        "SELECT max(content_version) FROM history.documents WHERE id = $1 /* access:documents */", old["id"]
    )
    changes = upload.columns | {"content_version": (last or 0) + 1}
    return await update(tx, resource, actor, old, changes, kind="document.uploaded")


async def make(
    database: Database, settings: Settings, actor: Actor, draft: Row, upload: Upload | None,
    key: idempotency.Key | None = None,
) -> Response[bytes]:  # fmt: skip
    """A new document, with its content when there is some, in one transaction."""
    async with database.begin() as tx:
        await idempotency.hold(tx, actor, key)
        if key and (replay := await idempotency.kept(tx, actor, key)):
            return replay
        first = upload.columns | {"content_version": 1} if upload else {}
        row = await insert(tx, resource, actor, draft | first)
        if upload:
            await objects.keep(settings.objects_url, key_of(row["id"], upload.sha256), upload.file)
        text, version = await document(tx, resource, actor, row["id"])
        made = answer(text, 201, {"Location": f"/api/v1/documents/{row['id']}", "ETag": etag(version)})
        await idempotency.keep(tx, actor, key, made)
    return made


@post(
    "/documents",
    name="create /documents",
    opt={"create": resource, "form": True},
    request_max_body_size=MOST_BODY,
)
async def create(
    request: Request[Any, Any, Any],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Uploads a document as a form with its `file`, or notes one without content as JSON."""
    require(actor, "documents", "create")
    draft, upload = await _sent(request)
    told = to_json([draft, upload.sha256]).encode() if upload else None
    return await make(database, settings, actor, draft, upload, await idempotency.key_of(request, told))


@put(
    "/documents/{record_id:uuid}/content",
    opt={"form": True, "answer": Document, "statuses": (409, 412, 413, 422, 428, 503)},
    request_max_body_size=MOST_BODY,
)
async def upload_content(
    request: Request[Any, Any, Any],
    tx: NamedDependency[Tx],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
    record_id: FromPath[UUID],
) -> Response[bytes]:
    """Uploads the next version of the content, as a form with its `file`; the earlier ones stay."""
    require(actor, "documents", "update")
    expected = expected_version(request, required=True)
    if not is_form(request):
        raise Invalid.at("/file", "send the file as multipart/form-data")
    members, upload = await form_of(request)
    for name in members:
        raise Invalid.at(f"/{name[:64]}", f"Object contains unknown field `{name[:64]}`")
    if upload is None:
        raise Invalid.at("/file", "Object missing required field `file`")
    old = await locked(tx, resource, actor, record_id)
    check_version(expected, old["version"])
    await store(tx, settings, actor, old, upload)
    text, version = await document(tx, resource, actor, record_id)
    return answer(text, headers={"ETag": etag(version)})


_VERSIONS = """
SELECT DISTINCT ON (h.content_version) h.content_version, h.file_name, h.content_type, h.size_bytes, h.sha256,
       h.updated_at AS uploaded_at, h.updated_by_id AS uploaded_by_id, h.opportunity_id
FROM history.documents h JOIN documents t ON t.id = h.id
WHERE h.id = $1 AND h.sha256 IS NOT NULL AND t.deleted_at IS NULL AND {seen}{which}
ORDER BY h.content_version DESC, h.version LIMIT {most}"""


async def contents(database: Database, actor: Actor, record_id: UUID, number: int | None = None) -> list[Row]:
    """The versions of a document's content, newest first; or the one of that number. For who sees the document."""
    params = Params([record_id])
    seen = visible(actor, "documents", "t", params)
    which = f" AND h.content_version = {params.add(number)}::int" if number is not None else ""
    rows = await database.fetch(_VERSIONS.format(seen=seen, which=which, most=MOST_VERSIONS), *params)
    return [dict(row) for row in rows]


@get("/documents/{record_id:uuid}/versions", opt={"answer": ContentVersions})
async def versions(
    database: NamedDependency[Database], actor: NamedDependency[Actor], record_id: FromPath[UUID]
) -> Response[bytes]:
    """Every version of the content that was uploaded, newest first."""
    require(actor, "documents", "read")
    await document(database, resource, actor, record_id)
    found = await contents(database, actor, record_id)
    for row in found:
        row.pop("opportunity_id")
        row["url"] = f"/api/v1/documents/{record_id}/content?content_version={row['content_version']}"
    return answer({"items": found, "next": None})


def _number(request: Request[Any, Any, Any]) -> int | None:
    text = request.query_params.get("content_version")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10):
        raise BadRequest("content_version: this is not the number of a version.")
    return int(text)


async def send(settings: Settings, document_id: UUID, found: Row) -> Response[Any]:
    """The bytes, to be saved and never run: the name is quoted, the kind is ours, and a browser must not guess."""
    content = await objects.stream(settings.objects_url, key_of(document_id, found["sha256"]))
    name = found["file_name"]
    ascii_name = "".join(
        sign if (sign.isascii() and sign.isalnum()) or sign in "._- " else "_" for sign in name
    )
    headers = {
        "Content-Disposition": f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Length": str(found["size_bytes"]),
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
        "ETag": f'"{found["sha256"]}"',
    }
    return Stream(content, media_type=found["content_type"], headers=headers)


@get(
    "/documents/{record_id:uuid}/content",
    opt={"file": True, "query": ("content_version",), "statuses": (304, 503)},
)
async def download(
    request: Request[Any, Any, Any],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
    record_id: FromPath[UUID],
) -> Response[Any]:
    """The content: the newest, or that of `?content_version=`. `ETag` is its sha256."""
    require(actor, "documents", "read")
    number = _number(request)
    if number is None:
        number = (await current(database, actor, record_id))["content_version"]
    found = await contents(database, actor, record_id, number)
    if not found:
        raise NotFound("The document has no content, or no such version of it.")
    if wire.header(request, b"if-none-match") == f'"{found[0]["sha256"]}"':
        return Response(b"", status_code=304, headers={"ETag": f'"{found[0]["sha256"]}"'})
    answered = await send(settings, record_id, found[0])
    await log_view(
        database,
        datetime.now(UTC),
        opportunity_id=found[0]["opportunity_id"],
        document_id=record_id,
        user_id=actor.id,
    )
    return answered


async def current(database: Database, actor: Actor, record_id: UUID) -> Row:
    """The document's row, for who sees it."""
    params = Params([record_id])
    seen = visible(actor, "documents", "t", params)
    row = await database.fetchrow(
        f"SELECT t.* FROM documents t WHERE t.id = $1 AND t.deleted_at IS NULL AND {seen}", *params
    )
    if row is None:
        raise NotFound("There is no such document.")
    return dict(row)


routes = [
    create,
    *(handler for handler in crud(resource) if handler.name != "create /documents"),
    upload_content,
    versions,
    download,
]
