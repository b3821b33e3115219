"""The ordinary routes that each resource earns: list, one, create, put, patch, delete, restore, history, revert.

`crud(resource)` returns plain Litestar handlers made in one closure; nothing is inherited and nothing registers itself.
"""

from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import sqlalchemy as sa
from litestar import Response, delete, get, patch, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from sqlalchemy.dialects.postgresql import JSONB

from service import aggregates, custom, idempotency, past, query, saved
from service.access import hidden, read_only, require
from service.amending import Reversion, amend, check_parent, discard, go_back
from service.at_once import change_at_once, create_at_once, create_in_turn
from service.errors import BadRequest, Conflict, NotFound
from service.resource import Resource, Row, plain
from service.wire import (
    Web,
    actor_of,
    answer,
    body,
    database_of,
    etag,
    expected_version,
    header,
    parent_of,
)
from service.writes import document, refuse_hidden


async def _check_parent(request: Web, resource: Resource) -> dict[str, Any]:
    """The equality that a nested URL sets; 404 when the actor does not see the parent."""
    return await check_parent(
        database_of(request), resource, actor_of(request), parent_of(request), write=request.method != "GET"
    )


def crud(resource: Resource) -> list[HTTPRouteHandler]:
    """The nine ordinary routes of a resource."""
    return [*_readers(resource), *_writers(resource), *_removers(resource), *_timely(resource)]


def _readers(resource: Resource) -> list[HTTPRouteHandler]:
    path, source, key = resource.path, resource.source, resource.key

    @get(path, name=f"list {path}", opt={"list": resource})
    async def many(request: Web) -> Response[bytes]:
        require(actor_of(request), key, "read")
        fixed = await _check_parent(request, resource)
        asked = query.parse(request.scope["query_string"])
        asked = await saved.applied(database_of(request), actor_of(request), key, asked)
        listed = aggregates.run if asked.group or asked.figures else query.run
        page = await listed(database_of(request), source, actor_of(request), asked, fixed)
        return answer(page.body)

    @get(path + "/{record_id:uuid}", name=f"one {path}", opt={"one": resource})
    async def one(request: Web, record_id: FromPath[UUID]) -> Response[bytes]:
        require(actor_of(request), key, "read")
        asked = query.parse(request.scope["query_string"])
        if (
            asked.filters
            or asked.sort
            or asked.cursor
            or asked.text
            or asked.view
            or asked.group
            or asked.figures
        ):
            raise BadRequest("One record takes fields, expand and as_of only.")
        fixed = await _check_parent(request, resource)
        if fixed:
            asked.filters = [(name, "eq", str(value)) for name, value in fixed.items()]
        found = await query.one(database_of(request), source, actor_of(request), record_id, asked)
        if found is None:
            raise NotFound(f"There is no such {resource.name.replace('_', ' ')}.")
        tag = etag(found[1])
        if header(request, b"if-none-match") == tag:
            return Response(content=b"", status_code=304, headers={"ETag": tag})
        return answer(found[0], headers={"ETag": tag})

    return [many, one]


def _writers(resource: Resource) -> list[HTTPRouteHandler]:
    path = resource.path

    @post(path, name=f"create {path}", opt={"create": resource})
    async def create(request: Web) -> Response[bytes]:
        actor, database = actor_of(request), database_of(request)
        require(actor, resource.key, "create")
        draft = plain(await body(request, resource.draft)) | await _check_parent(request, resource)
        key = await idempotency.key_of(request)
        if resource.is_single:
            return await idempotency.guarded(
                database, actor, key, create_at_once(request, resource, draft, key)
            )
        try:
            return await create_in_turn(request, resource, draft, key)
        except asyncpg.UniqueViolationError:
            if not resource.once:
                raise
        return await create_in_turn(request, resource, draft, key)  # who was quicker is there by now

    async def write(request: Web, record_id: UUID, values: Row, *, guarded: bool) -> Response[bytes]:
        actor = actor_of(request)
        require(actor, resource.key, "update")
        refuse_hidden(resource, actor, values)
        expected = expected_version(request, required=guarded)
        if (resource.is_single and resource.tree not in values) and (
            done := await change_at_once(request, resource, record_id, values, expected)
        ):
            return done
        async with database_of(request).begin() as tx:
            await amend(tx, resource, actor, record_id, values, expected, parent_of(request))
            found = await query.one(tx, resource.source, actor, record_id)
            if found is None:
                raise Conflict("After this change you would no longer see the record.")
            text, version = found
        return answer(text, headers={"ETag": etag(version)})

    @patch(path + "/{record_id:uuid}", name=f"patch {path}", opt={"patch": resource})
    async def change(request: Web, record_id: FromPath[UUID]) -> Response[bytes]:
        return await write(request, record_id, plain(await body(request, resource.patch)), guarded=False)

    @put(path + "/{record_id:uuid}", name=f"put {path}", opt={"put": resource})
    async def replace(request: Web, record_id: FromPath[UUID]) -> Response[bytes]:
        values = plain(await body(request, resource.patch))
        missing = {
            name: _cleared(resource.table.c[name])
            for name in resource.patch.__struct_fields__
            if name not in values
            and name in resource.table.c
            and name
            not in hidden(actor_of(request), resource.key) | read_only(actor_of(request), resource.key)
        }
        kept = {name: value for name, value in missing.items() if value is not msgspec.UNSET}
        kept["cf"] = custom.Whole(values.pop("cf", {}))
        return await write(request, record_id, kept | values, guarded=True)

    return [create, change, replace]


def _cleared(column: sa.Column[Any]) -> Any:
    """What a PUT that leaves a field out sets it to: null, or the column's own default; else it stays."""
    if column.nullable:
        return None
    empty = str(getattr(column.server_default, "arg", ""))
    if isinstance(column.type, sa.ARRAY) or empty == "'[]'":
        return []
    return {} if isinstance(column.type, JSONB) else msgspec.UNSET


def _removers(resource: Resource) -> list[HTTPRouteHandler]:
    path = resource.path

    async def mark(request: Web, record_id: UUID, *, deleted: bool) -> None:
        expected, parent = expected_version(request), parent_of(request)
        async with database_of(request).begin() as tx:
            await discard(tx, resource, actor_of(request), record_id, expected, parent, deleted=deleted)

    @delete(path + "/{record_id:uuid}", name=f"delete {path}", status_code=204, opt={"delete": resource})
    async def gone(request: Web, record_id: FromPath[UUID]) -> None:
        await mark(request, record_id, deleted=True)

    @post(path + "/{record_id:uuid}/restore", name=f"restore {path}", opt={"one": resource})
    async def restore(request: Web, record_id: FromPath[UUID]) -> Response[bytes]:
        await mark(request, record_id, deleted=False)
        text, version = await document(database_of(request), resource, actor_of(request), record_id)
        return answer(text, headers={"ETag": etag(version)})

    return [gone, restore]


def _timely(resource: Resource) -> list[HTTPRouteHandler]:
    path, key = resource.path, resource.key

    @get(
        path + "/{record_id:uuid}/history",
        name=f"history {path}",
        opt={"answer": resource.timeline, "query": ("limit", "cursor")},
    )
    async def history(request: Web, record_id: FromPath[UUID]) -> Response[bytes]:
        """What each version changed, newest first; of a deleted record too."""
        actor, database = actor_of(request), database_of(request)
        require(actor, key, "read")
        asked = query.parse(request.scope["query_string"])
        if asked.filters or asked.sort or asked.fields or asked.expand or asked.text or asked.as_of:
            raise BadRequest("History takes limit and cursor only.")
        fixed = await _check_parent(request, resource)
        found = await past.timeline(database, actor, key, record_id, asked.limit, asked.cursor, fixed)
        more = await resource.beside(database, actor, record_id) if resource.beside else {}
        return answer(found | more)

    @post(
        path + "/{record_id:uuid}/revert",
        name=f"revert {path}",
        status_code=200,
        opt={"body": Reversion, "answer": resource.item, "statuses": (409, 412, 428)},
    )
    async def revert(request: Web, record_id: FromPath[UUID]) -> Response[bytes]:
        """Gives a record the values of one of its versions again, as a new version."""
        actor = actor_of(request)
        require(actor, key, "update")
        expected = expected_version(request, required=True)
        asked = await body(request, Reversion)
        async with database_of(request).begin() as tx:
            await go_back(tx, resource, actor, record_id, asked, expected, parent_of(request))
            text, version = await document(tx, resource, actor, record_id)
        return answer(text, headers={"ETag": etag(version)})

    return [history, revert]
