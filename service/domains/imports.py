"""Imports: files of others go in, as a job that can be watched, paused, resumed after a kill, and undone."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from litestar import Request, Response, get, post
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Stream
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from service import objects
from service.access import Actor, require
from service.db import Database, Tx, metadata, to_json
from service.domains import jobs as job_routes
from service.errors import BadRequest, Invalid, TooLarge
from service.exporting.writing import csv_line
from service.idempotency import idempotent
from service.ids import new_id
from service.importing import matching, sheets
from service.importing.lines import Sheet
from service.importing.matching import Match, Wanted
from service.importing.targets import Target, check_keys, custom_targets, targets
from service.resource import Resource
from service.resources import RESOURCES
from service.settings import Settings
from service.wire import answer

# Tables ------------------------------------------------------------------------------------------------------------

faults = sa.Table(
    "import_faults",
    metadata,
    sa.Column("job_id", sa.Uuid, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("line", sa.BigInteger, nullable=False),
    sa.Column("column", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)

rows = sa.Table(
    "import_rows",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("file", sa.Text, primary_key=True),
    sa.Column("external_id", sa.Text, primary_key=True),
    sa.Column("resource", sa.Text, nullable=False),
    sa.Column("record_id", sa.Uuid, nullable=False),
    sa.Column("version", sa.Integer),
    sa.Column("line", sa.BigInteger, nullable=False),
    sa.Column("cells", JSONB, nullable=False, server_default=sa.text("'{}'")),
    sa.Index("ix_import_rows_record_id", "record_id"),
)

files = sa.Table(
    "import_files",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("file", sa.Text, primary_key=True),
    sa.Column("columns", ARRAY(sa.Text), nullable=False),
)

# Shapes ------------------------------------------------------------------------------------------------------------

MOST_BYTES = 200 * 1024 * 1024
PREVIEWED = 10


class Form(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Multipart. `mapping` is JSON, column → field, or → `{"field", "format"}`; without it the sure guesses are taken.

    `key`: fields by which rows are those of records that are here (`email`, or `name,account_id`); without it the
    record's id in its `source`, and what the resource itself is unique by. `clear_empty`: an empty cell of a column that
    goes into a field empties it in a record that is here; without it an empty cell says nothing.
    """

    file: bytes
    resource: str
    mapping: str = ""
    key: str = ""
    source: str = "import"
    dry_run: bool = False
    strict: bool = False
    clear_empty: bool = False


class PreviewForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Multipart."""

    file: bytes
    resource: str


class Accepted(msgspec.Struct, kw_only=True):
    job: UUID


class Choice(msgspec.Struct, kw_only=True):
    """A field that a column may go into."""

    name: str
    kind: str
    label: str


class Preview(msgspec.Struct, kw_only=True):
    """What was made of a file: where each column would go, the first rows, what is wrong with them, what else there is."""

    format: str
    encoding: str | None
    delimiter: str | None
    columns: list[Match]
    rows: list[dict[str, Any]]
    errors: list[dict[str, Any]]
    fields: list[Choice]


# Rules -------------------------------------------------------------------------------------------------------------


class Asked(msgspec.Struct, kw_only=True):
    """A form, read: the file as text members say it is to be taken."""

    file: IO[bytes]
    name: str
    resource: Resource
    members: dict[str, str]


async def read_form(request: Request[Any, Any, Any], actor: Actor, shape: type[msgspec.Struct]) -> Asked:
    """The members of a multipart body; each that is missing, unknown or wrong is named."""
    if request.content_type[0] != "multipart/form-data":
        raise BadRequest("Send the file as multipart/form-data.")
    form = await request.form()
    known = set(shape.__struct_fields__)
    for name in form:
        if name not in known:
            raise Invalid.at(f"/{name}", "Object contains unknown field")
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise Invalid.at("/file", "is missing")
    members = {name: value for name, value in form.items() if isinstance(value, str)}
    resource = RESOURCES.get(members.get("resource", "").replace("-", "_"))
    if resource is None:
        raise Invalid.at("/resource", f"is one of {', '.join(sorted(RESOURCES))}")
    require(actor, resource.key, "create")
    require(actor, resource.key, "update")
    return Asked(file=file.file, name=_plain(file.filename), resource=resource, members=members)


def _plain(name: str) -> str:
    """A file's name without its folder, fit to be shown."""
    return re.sub(r"[^\w .()+-]", "_", Path(name).name)[:120] or "file"


@asynccontextmanager
async def on_disk(file: IO[bytes]) -> AsyncIterator[Path]:
    """The upload as a file of its own, for the readers that seek in it."""
    with tempfile.NamedTemporaryFile(prefix="sales-import-") as copy:
        file.seek(0)
        await asyncio.to_thread(shutil.copyfileobj, file, copy)
        copy.flush()
        if copy.tell() > MOST_BYTES:
            raise TooLarge(f"A file may have {MOST_BYTES:,} bytes.")
        yield Path(copy.name)


def asked_mapping(text: str) -> dict[str, Wanted | str | None] | None:
    """The mapping of a form. Raises `Invalid` for what is none."""
    if text.strip() in ("", "null"):
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Wanted | str | None])
    except msgspec.MsgspecError as error:
        raise Invalid.at("/mapping", f"is no mapping of columns to fields: {error}") from None


def flag(members: dict[str, str], name: str) -> bool:
    text = members.get(name, "").lower()
    if text not in ("", "true", "false", "1", "0"):
        raise Invalid.at(f"/{name}", "is true or false")
    return text in ("true", "1")


def source_of(members: dict[str, str]) -> str:
    source = members.get("source") or "import"
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", source):
        raise Invalid.at("/source", "takes letters, digits, points and dashes")
    return source


async def payload_of(database: Database, asked: Asked, sheet: Sheet) -> dict[str, Any]:
    """All that the job needs to know: the mapping is settled here, so that a job that goes on goes on by the same."""
    members, resource = asked.members, asked.resource
    keys = tuple(part.strip() for part in members.get("key", "").split(",") if part.strip())
    if keys != ("external_id",):
        check_keys(resource, keys)
    fields = targets(resource, await custom_targets(database, resource))
    settled = matching.settled(sheet, fields, asked_mapping(members.get("mapping", "")))
    if not settled:
        raise Invalid.at("/mapping", "no column goes into a field: say which with mapping")
    return {
        "name": asked.name, "resource": resource.key, "key": list(keys) if keys != ("external_id",) else [],
        "source": source_of(members), "dry_run": flag(members, "dry_run"), "strict": flag(members, "strict"),
        "clear_empty": flag(members, "clear_empty"),
        "mapping": {column: {"field": target.name, "format": order} for column, (target, order) in settled.items()},
    }  # fmt: skip


def previewed(sheet: Sheet, fields: dict[str, Target]) -> Preview:
    """The guess, and the first rows."""
    rows, wrong = [], []
    for item in sheet.rows():
        if isinstance(item, tuple):
            rows.append(item[1])
        else:
            wrong.append(
                {"line": item.line, "column": item.column, "value": item.value, "detail": item.detail}
            )
        if len(rows) >= PREVIEWED or len(wrong) >= PREVIEWED:
            break
    return Preview(
        format=sheet.format, encoding=sheet.encoding, delimiter=sheet.delimiter,
        columns=matching.guess(sheet, fields), rows=rows, errors=wrong,
        fields=[Choice(name=one.name, kind=one.kind, label=one.label or one.name) for one in fields.values()],
    )  # fmt: skip


# Routes ------------------------------------------------------------------------------------------------------------

MULTIPART = "multipart/form-data"


@post(
    "/imports",
    status_code=202,
    opt={"body": Form, "media": MULTIPART, "answer": Accepted, "statuses": (409,)},
)
@idempotent
async def begin(
    request: Request[Any, Any, Any],
    tx: NamedDependency[Tx],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Takes a file, judges its form and its mapping, and imports it in a job."""
    require(actor, "imports", "create")
    asked = await read_form(request, actor, Form)
    async with on_disk(asked.file) as path:
        sheet = await asyncio.to_thread(sheets.look, path, asked.name)
        payload = await payload_of(database, asked, sheet)
    job_id, change_id = new_id(), new_id()
    payload["object"] = f"imports/{job_id}"
    await objects.keep(settings.objects_url, payload["object"], asked.file)
    await tx.execute(
        "INSERT INTO jobs (id, type, payload, actor_id, change_id) VALUES ($1, 'import', $2, $3, $4)",
        job_id, payload, actor.id, change_id,
    )  # fmt: skip
    tx.after_commit.append("import")
    return answer({"job": job_id}, 202, {"Location": f"/api/v1/jobs/{job_id}"})


@post("/imports/preview", status_code=200, opt={"body": PreviewForm, "media": MULTIPART, "answer": Preview})
async def preview(
    request: Request[Any, Any, Any], database: NamedDependency[Database], actor: NamedDependency[Actor]
) -> Response[bytes]:
    """Where each column would go, how sure that is, and the first rows; nothing is stored."""
    require(actor, "imports", "create")
    asked = await read_form(request, actor, PreviewForm)
    fields = targets(asked.resource, await custom_targets(database, asked.resource))
    async with on_disk(asked.file) as path:
        sheet = await asyncio.to_thread(sheets.look, path, asked.name)
        return answer(await asyncio.to_thread(previewed, sheet, fields))


ERRORS = ("file", "line", "column", "value", "detail")


@get("/imports/{job_id:uuid}/errors", opt={"query": ("format",), "file": True})
async def errors(
    database: NamedDependency[Database],
    actor: NamedDependency[Actor],
    job_id: FromPath[UUID],
    format: FromQuery[Literal["csv", "ndjson"]] = "csv",
) -> Stream:
    """Everything that was wrong with a file, by line, column and value, as CSV or NDJSON."""
    require(actor, "imports", "read")
    await job_routes.find(database, actor, job_id)

    async def lines() -> AsyncIterator[bytes]:
        if format == "csv":
            yield csv_line(ERRORS)
        last = 0
        while found := await database.fetch(
            'SELECT number, file, line, "column", value, detail FROM import_faults WHERE job_id = $1 AND number > $2'
            " ORDER BY number LIMIT 1000",
            job_id,
            last,
        ):
            last = found[-1]["number"]
            told = [{name: row[name] for name in ERRORS} for row in found]
            if format == "csv":
                yield b"".join(csv_line([str(cell) for cell in row.values()]) for row in told)
            else:
                yield "".join(to_json(row) + "\n" for row in told).encode()

    media = "text/csv; charset=utf-8" if format == "csv" else "application/x-ndjson"
    headers = {"Content-Disposition": f'attachment; filename="errors-{job_id}.{format}"'}
    return Stream(lines(), media_type=media, headers=headers)


routes: list[Any] = [begin, preview, errors]
