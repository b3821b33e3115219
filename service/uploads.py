"""Files that arrive: the form that brings them, their size, digest and kind, and where their content lies."""

import asyncio
import hashlib
from typing import IO, Any
from uuid import UUID

import msgspec
from litestar import Request
from litestar.datastructures import UploadFile

from service import content_types, wire
from service.errors import BadRequest, Invalid, TooLarge

Row = dict[str, Any]

MOST_BYTES = 50 * 1024 * 1024
MOST_BODY = MOST_BYTES + 64 * 1024


class Upload(msgspec.Struct):
    """A file that has arrived, judged."""

    file: IO[bytes]
    name: str
    content_type: str
    size: int
    sha256: str

    @property
    def columns(self) -> Row:
        return {
            "file_name": self.name,
            "content_type": self.content_type,
            "size_bytes": self.size,
            "sha256": self.sha256,
        }


def key_of(document_id: UUID, sha256: str) -> str:
    """Where the content lies: no name that people give is part of it."""
    return f"documents/{document_id}/{sha256}"


def judge(file: IO[bytes], name: str) -> Upload:
    """Size, digest and kind of an arrived file; 413 or 422 when it is not taken."""
    digest, size = hashlib.sha256(), 0
    file.seek(0)
    while chunk := file.read(1 << 20):
        size += len(chunk)
        digest.update(chunk)
    if size > MOST_BYTES:
        raise TooLarge(f"A document may have {MOST_BYTES} bytes.")
    if size == 0:
        raise Invalid.at("/file", "is empty")
    cleaned = content_types.clean_name(name)
    kind = content_types.sniff(file, cleaned)
    if kind is None:
        raise Invalid.at("/file", f"is of a kind that is not taken; taken are {content_types.KINDS}")
    return Upload(file, cleaned, kind, size, digest.hexdigest())


async def form_of(request: Request[Any, Any, Any]) -> tuple[dict[str, Any], Upload | None]:
    """The members and the file of a multipart body. Raises 400, 413 or 422."""
    length = wire.header(request, b"content-length") or "0"
    if length.isdigit() and int(length) > MOST_BODY:
        raise TooLarge(f"A document may have {MOST_BYTES} bytes.")
    try:
        sent = await request.form()
    except UnicodeDecodeError:
        raise BadRequest("A member of the form is not UTF-8.") from None
    members: dict[str, Any] = {}
    for name, value in sent.multi_items():
        if name in members:
            raise Invalid.at(f"/{name[:64]}", "is sent twice")
        members[name] = value
    members.pop("csrf_token", None)
    file = members.pop("file", None)
    if file is not None and not isinstance(file, UploadFile):
        raise Invalid.at("/file", "must be a file with a name")
    for name, value in members.items():
        if isinstance(value, UploadFile):
            raise Invalid.at(f"/{name[:64]}", "must not be a file")
        if "\0" in value:
            raise Invalid.at(f"/{name[:64]}", "must not hold the character NUL")
    return members, await asyncio.to_thread(judge, file.file, file.filename) if file else None


def is_form(request: Request[Any, Any, Any]) -> bool:
    return (wire.header(request, b"content-type") or "").lower().startswith("multipart/form-data")
