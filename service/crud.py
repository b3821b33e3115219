"""Resources, and the ordinary routes that each earns: list, one, create, put, patch, delete, restore, history, revert.

`crud(resource)` returns plain Litestar handlers made in one closure; nothing is inherited and nothing registers itself.
A create is one statement: event, reactions, row, idempotency key and the answer's JSON in a single trip.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import msgspec
import sqlalchemy as sa
from litestar import Request, Response, delete, get, patch, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from sqlalchemy.dialects.postgresql import JSONB

from service import aggregates, capture, custom, idempotency, ledger, past, query, saved, single, validation
from service.access import Actor, guard, hidden, may, read_only, require, writable
from service.changes import fields_of
from service.db import Database, Params, Tx
from service.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, Pointer, Problem
from service.ids import new_id
from service.levels import require_write
from service.query import Source, sql_type
from service.rules import in_turn, no_ring
from service.shapes import Given, Name
from service.wire import answer, body, check_version, etag, expected_version, header

Row = dict[str, Any]
Web = Request[Any, Any, Any]

QUICK_TRIES = 3
"""How often a change is tried without a lock before it waits for its turn."""

SYSTEM_FIELDS = frozenset(
    ["id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id"]
)


class Reversion(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`fields` names those to take back; left out, all of them."""

    version: Annotated[int, msgspec.Meta(ge=1, le=2_000_000_000)]
    fields: Given[Annotated[list[Name], msgspec.Meta(min_length=1, max_length=200)]] = msgspec.UNSET


class Resource(msgspec.Struct, kw_only=True, eq=False):
    """A business noun: where it lives, its three shapes, and the rules that are its own.

    `check(new, old)` judges the merged row and raises `Invalid` or `Conflict`; `old` is None at create.
    `prepare(tx, actor, new, old)` may fill derived columns (home amounts, the first stage) with the transaction at
    hand, and look things up; `after(tx, actor, new, old)` runs behind the write, in the same transaction.
    A resource with an `after`, or with a `prepare` that writes, does so in a transaction; all others in one statement.
    """

    path: str
    name: str
    table: sa.Table
    draft: type[msgspec.Struct]
    patch: type[msgspec.Struct]
    item: type[msgspec.Struct]
    references: dict[str, str] = {}
    text: tuple[str, ...] = ()
    extra: dict[str, str] = {}
    extra_kinds: dict[str, str] = {}
    home: dict[str, str] = {}
    tree: str = ""
    """The column by which the records are a tree (a parent, a manager): what would close a ring is a 409."""
    once: tuple[str, ...] = ()
    """The columns that name a record elsewhere: a second create with the same ones answers the first record."""
    nested: str | None = None
    """The column that the URL's parent fills: `opportunity_id` under `/opportunities/{parent_id}/lines`."""
    check: Callable[[Row, Row | None], None] | None = None
    defaults: Callable[[Row, Actor, datetime], Row] | None = None
    prepare: Callable[[Any, Actor, Row, Row | None], Any] | None = None
    prepare_reads: bool = False
    """`prepare` only looks things up: the write stays one statement, and `prepare` gets the database itself."""
    free: frozenset[str] = frozenset()
    """Columns at which neither `check` nor `prepare` looks: a change of these alone needs no look at the row first."""
    rereads: frozenset[str] = frozenset()
    """Columns by whose change a derived field changes too: the answer is then read after the write."""
    after: Callable[[Tx, Actor, Row, Row | None], Any] | None = None
    timeline: type[msgspec.Struct] = past.Timeline
    """The shape of `…/history`."""
    beside: Callable[[Database, Actor, UUID], Awaitable[Row]] | None = None
    """What `…/history` tells beside the changes, such as a deal's way through the stages."""
    warn: Callable[[Tx | Database, Actor, Row], Awaitable[dict[str, str]]] | None = None
    """Headers that warn of what a new record looks like; the record is created all the same."""
    source: Any = None

    def __post_init__(self) -> None:
        self.source = Source(
            table=self.table.name,
            references=self.references,
            text=self.text,
            extra=self.extra,
            extra_kinds=self.extra_kinds,
            home=self.home,
        )

    @property
    def is_single(self) -> bool:
        """Whether its writes are one statement each."""
        return self.after is None and (self.prepare is None or self.prepare_reads)

    @property
    def key(self) -> str:
        """The resource's name in the permission table: its table's."""
        return self.table.name


def plain(value: msgspec.Struct) -> Row:
    """The members that were sent, as python values (nested Structs as plain lists and dicts)."""
    return {
        name: msgspec.to_builtins(member, builtin_types=(datetime, UUID)) if nested(member) else member
        for name in value.__struct_fields__
        if (member := getattr(value, name)) is not msgspec.UNSET
    }


def nested(member: Any) -> bool:
    """Whether a member is a shape of its own, or a list of such."""
    return isinstance(member, msgspec.Struct) or (
        isinstance(member, (list, tuple)) and bool(member) and isinstance(member[0], msgspec.Struct)
    )


# --- writing -----------------------------------------------------------------------------------------------------


def _refuse_hidden(resource: Resource, actor: Actor, values: Row) -> None:
    for name in values:
        if name in hidden(actor, resource.key):
            raise Invalid.at(f"/{name}", "Object contains unknown field")
        if name in read_only(actor, resource.key):
            raise Forbidden(f"The field {name} is read only for your role.", errors=[_kept_from(name)])


def _kept_from(name: str) -> Pointer:
    return {"pointer": f"/{name}", "detail": "is read only for your role"}


def pointed_at(resource: Resource, actor: Actor, values: Row) -> list[tuple[str, str, UUID]]:
    """(column, table, id) of what `values` points at; the URL's parent and who asks are known to be there."""
    return [
        (name, table, values[name])
        for name, table in resource.references.items()
        if values.get(name) and values[name] != actor.id and name != resource.nested
    ]


def _tests(actor: Actor, wanted: list[tuple[str, str, UUID]], params: Params) -> list[str]:
    """For each reference, whether its record exists for this actor."""
    return [
        f"EXISTS (SELECT 1 FROM {table} r WHERE r.id = {params.add(value)} AND r.deleted_at IS NULL"
        f" AND {guard(actor, table, 'r', params)})"
        for _, table, value in wanted
    ]


async def _check_references(run: Tx | Database, resource: Resource, actor: Actor, values: Row) -> None:
    """Each record that `values` points at must exist for this actor; all are asked in one statement."""
    wanted = pointed_at(resource, actor, values)
    if not wanted:
        return
    params = Params()
    found = await run.fetchrow("SELECT " + ", ".join(_tests(actor, wanted, params)), *params)
    errors = [
        {"pointer": f"/{name}", "detail": "there is no such record"}
        for (name, _, _), exists in zip(wanted, found, strict=True)
        if not exists
    ]
    if errors:
        raise Invalid(f"{errors[0]['pointer']}: there is no such record", errors=errors)


def drafted(resource: Resource, actor: Actor, draft: Row) -> Row:
    """The row of a draft: defaults and the pure rule applied."""
    _refuse_hidden(resource, actor, draft)
    row: Row = {"id": new_id()} | draft
    if resource.defaults:
        row |= resource.defaults(row, actor, datetime.now(UTC))
    row |= {"created_by_id": actor.id, "updated_by_id": actor.id}
    if resource.check:
        resource.check(row, None)
    return row


async def new_row(run: Tx | Database, resource: Resource, actor: Actor, draft: Row) -> Row:
    """The row of a draft: defaults, references and the pure rule applied; nothing is stored."""
    row = drafted(resource, actor, draft)
    await custom.settle(run, resource.key, actor, row, None)
    await _check_references(run, resource, actor, row)
    return row


async def insert(tx: Tx, resource: Resource, actor: Actor, draft: Row) -> Row:
    """Creates a record within a transaction (verbs, imports of single records, tests) and returns its row."""
    row = await new_row(tx, resource, actor, draft)
    if resource.prepare:
        await resource.prepare(tx, actor, row, None)
    await validation.judge(tx, resource.key, row)
    await ledger.record(tx, actor, f"{resource.name}.created", resource.name, row["id"], version=1)
    stored = dict(
        await tx.fetchrow(single.insert_text(resource.table, tuple(row)) + " RETURNING *", *row.values())
    )
    if resource.after:
        await resource.after(tx, actor, stored, None)
    return stored


async def _judged(run: Tx | Database, resource: Resource, actor: Actor, old: Row, changes: Row) -> Row:
    """What really changes, after the rules: derived columns included."""
    changes = {name: value for name, value in changes.items() if old.get(name) != value}
    if not changes:
        return changes
    new = old | changes
    if "cf" in changes:
        await custom.settle(run, resource.key, actor, new, old)
    if resource.check:
        resource.check(new, old)
    await _check_references(run, resource, actor, changes)
    if resource.tree in changes and isinstance(run, Tx):
        await no_ring(run, resource.table.name, resource.tree, new)
    if resource.prepare:
        await resource.prepare(run, actor, new, old)
    changes = {
        name: value for name, value in new.items() if value is not old.get(name) and value != old.get(name)
    }
    await validation.judge(run, resource.key, new)
    return changes


async def update(
    tx: Tx,
    resource: Resource,
    actor: Actor,
    old: Row,
    changes: Row,
    *,
    kind: str | None = None,
    data: Row | None = None,
) -> Row:
    """Writes `changes` over `old` (a row fetched and locked in this transaction) as one version, with its event."""
    changes = await _judged(tx, resource, actor, old, changes)
    if not changes:
        return old
    event = kind or f"{resource.name}.updated"
    await ledger.record(tx, actor, event, resource.name, old["id"], version=old["version"] + 1, data=data)
    stored = await _write(tx, resource, actor, old["id"], changes)
    if resource.after:
        await resource.after(tx, actor, stored, old)
    return stored


async def _write(tx: Tx, resource: Resource, actor: Actor, record_id: UUID, changes: Row) -> Row:
    sets = ", ".join(
        f'"{name}" = ${index}::{sql_type(resource.table.c[name])}' for index, name in enumerate(changes, 3)
    )
    return dict(
        await tx.fetchrow(
            f"UPDATE {resource.table.name} SET {sets}, version = version + 1, updated_at = clock_timestamp(),"
            f" updated_by_id = $2 WHERE id = $1 RETURNING * /* access:{resource.key} */",  # asked by `locked`
            record_id,
            actor.id,
            *changes.values(),
        )
    )


async def locked(
    tx: Tx,
    resource: Resource,
    actor: Actor,
    record_id: UUID,
    *,
    deleted: bool = False,
    parent: UUID | None = None,
) -> Row:
    """The row, locked for this transaction, if the actor sees it; else `NotFound`."""
    return await _seen(
        tx, resource, actor, record_id, deleted=deleted, parent=parent, lock=" FOR UPDATE OF t"
    )


async def _seen(
    run: Tx | Database,
    resource: Resource,
    actor: Actor,
    record_id: UUID,
    *,
    deleted: bool = False,
    parent: UUID | None = None,
    lock: str = "",
) -> Row:
    params = Params([record_id])
    seen = guard(actor, resource.key, "t", params)
    within = f' AND t."{resource.nested}" = {params.add(parent)}' if resource.nested and parent else ""
    row = await run.fetchrow(
        f"SELECT t.* FROM {resource.table.name} t WHERE t.id = $1 AND {seen}{within}"
        f" AND t.deleted_at IS {'NOT NULL' if deleted else 'NULL'}{lock}",
        *params,
    )
    if row is None:
        raise NotFound(f"There is no such {resource.name.replace('_', ' ')}.")
    await require_write(run, actor, resource.key, record_id)
    return dict(row)


def _created(request: Web, resource: Resource, record_id: UUID, version: int) -> dict[str, str]:
    """`Location` and `ETag`; a nested record lives under the parent of this very URL."""
    where = request.scope["path"].rstrip("/") if resource.nested else f"/api/v1{resource.path}"
    return {"Location": f"{where}/{record_id}", "ETag": etag(version)}


async def document(run: Tx | Database, resource: Resource, actor: Actor, record_id: UUID) -> tuple[str, int]:
    """The record as JSON text for this actor, with its version."""
    found = await query.one(run, resource.source, actor, record_id)
    if found is None:
        raise NotFound(f"There is no such {resource.name.replace('_', ' ')}.")
    return found


async def _create_at_once(
    request: Web, resource: Resource, draft: Row, key: idempotency.Key | None
) -> Response[bytes]:
    """Event, reactions, row, key and answer in one statement."""
    actor, database = _actor(request), _database(request)
    row = drafted(resource, actor, draft)
    await custom.settle(database, resource.key, actor, row, None)
    if resource.prepare:
        try:
            await resource.prepare(database, actor, row, None)
        except Problem:
            await _check_references(database, resource, actor, row)  # the cause, where one is missing
            raise
    await validation.judge(database, resource.key, row)
    wanted, headers = pointed_at(resource, actor, row), _created(request, resource, row["id"], 1)
    if resource.warn:
        headers |= await resource.warn(database, actor, row)
    text = await single.create(
        database, resource.source, resource.name, actor, row, key, headers,
        lambda params: " AND ".join(_tests(actor, wanted, params)),
    )  # fmt: skip
    if text is None:
        await _check_references(database, resource, actor, row)
        raise Conflict("A record that this one points at has just come back: try again.")
    database.forget((resource.name,))
    await database.ring()
    return answer(text, 201, headers)


async def _create_in_turn(
    request: Web, resource: Resource, draft: Row, key: idempotency.Key | None
) -> Response[bytes]:
    """A create whose rules write too; 200 with the record that is there where it was captured before."""
    actor = _actor(request)
    async with _database(request).begin() as tx:
        await idempotency.hold(tx, actor, key)
        if key and (kept := await idempotency.kept(tx, actor, key)):
            return kept
        found = await capture.known(tx, actor, resource.key, resource.once, draft)
        row = {"id": found} if found else await insert(tx, resource, actor, draft)
        text, version = await document(tx, resource, actor, row["id"])
        warned = await resource.warn(tx, actor, row) if resource.warn and not found else {}
        headers = _created(request, resource, row["id"], version) | warned
        made = answer(text, 200 if found else 201, headers)
        await idempotency.keep(tx, actor, key, made)
    return made


async def _change_unread(
    request: Web, resource: Resource, record_id: UUID, values: Row, expected: int | None
) -> Response[bytes] | None:
    """Writes what no rule looks at, in one statement; None where there is more to say than that it is done."""
    actor, database = _actor(request), _database(request)
    if not values or not values.keys() <= resource.free or await validation.rules_of(database, resource.key):
        return None
    within = _parent(request) if resource.nested else None

    def tests(params: Params) -> str:
        mine = writable(actor, resource.key, "t", params)
        return f'{mine} AND t."{resource.nested}" = {params.add(within)}' if within else mine

    found = await single.change_unread(
        database, resource.source, resource.name, actor, record_id, expected, values, tests
    )
    if found is None:
        return None
    database.forget((resource.name,))
    await database.ring()
    return answer(found[0], headers={"ETag": etag(found[1])})


async def _change_at_once(
    request: Web, resource: Resource, record_id: UUID, values: Row, expected: int | None
) -> Response[bytes] | None:
    """Reads, judges, writes where nobody else wrote meanwhile; None when others were quicker several times."""
    actor, database = _actor(request), _database(request)
    if done := await _change_unread(request, resource, record_id, values, expected):
        return done
    for _ in range(QUICK_TRIES):
        old = await _seen(database, resource, actor, record_id, parent=_parent(request))
        check_version(expected, old["version"])
        changes = await _judged(database, resource, actor, old, values)
        if not changes:
            text, version = await document(database, resource, actor, record_id)
            return answer(text, headers={"ETag": etag(version)})
        found = await single.change(database, resource.source, resource.name, actor, old, changes)
        if found is None:
            continue
        database.forget((resource.name,))
        await database.ring()
        if not resource.rereads.isdisjoint(changes):
            found = await document(database, resource, actor, record_id)
        return answer(found[0], headers={"ETag": etag(found[1])})
    return None


# --- routes ------------------------------------------------------------------------------------------------------


def _database(request: Web) -> Database:
    return request.app.state.database  # type: ignore[no-any-return]


def _actor(request: Web) -> Actor:
    return request.scope["actor"]  # type: ignore[typeddict-item,no-any-return]


def _parent(request: Web) -> UUID | None:
    return request.path_params.get("parent_id")


async def _check_parent(request: Web, resource: Resource) -> dict[str, Any]:
    """The equality that a nested URL sets; 404 when the actor does not see the parent."""
    if resource.nested is None:
        return {}
    parent, table = _parent(request), resource.references[resource.nested]
    params = Params([parent])
    seen = guard(_actor(request), table, "r", params)
    if not await _database(request).fetchval(
        f"SELECT 1 FROM {table} r WHERE r.id = $1 AND r.deleted_at IS NULL AND {seen}", *params
    ):
        raise NotFound()
    if parent is not None and request.method != "GET":
        await require_write(_database(request), _actor(request), table, parent)
    return {resource.nested: parent}


def crud(resource: Resource) -> list[HTTPRouteHandler]:
    """The nine ordinary routes of a resource."""
    return [*_readers(resource), *_writers(resource), *_removers(resource), *_timely(resource)]


def _path(resource: Resource) -> str:
    return resource.path


def _readers(resource: Resource) -> list[HTTPRouteHandler]:
    path, source, key = _path(resource), resource.source, resource.key

    @get(path, name=f"list {path}", opt={"list": resource})
    async def many(request: Web) -> Response[bytes]:
        require(_actor(request), key, "read")
        fixed = await _check_parent(request, resource)
        asked = query.parse(request.scope["query_string"])
        asked = await saved.applied(_database(request), _actor(request), key, asked)
        listed = aggregates.run if asked.group or asked.figures else query.run
        page = await listed(_database(request), source, _actor(request), asked, fixed)
        return answer(page.body)

    @get(path + "/{record_id:uuid}", name=f"one {path}", opt={"one": resource})
    async def one(request: Web, record_id: FromPath[UUID]) -> Response[bytes]:
        require(_actor(request), key, "read")
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
        found = await query.one(_database(request), source, _actor(request), record_id, asked)
        if found is None:
            raise NotFound(f"There is no such {resource.name.replace('_', ' ')}.")
        tag = etag(found[1])
        if header(request, b"if-none-match") == tag:
            return Response(content=b"", status_code=304, headers={"ETag": tag})
        return answer(found[0], headers={"ETag": tag})

    return [many, one]


def _writers(resource: Resource) -> list[HTTPRouteHandler]:
    path = _path(resource)

    @post(path, name=f"create {path}", opt={"create": resource})
    async def create(request: Web) -> Response[bytes]:
        actor, database = _actor(request), _database(request)
        require(actor, resource.key, "create")
        draft = plain(await body(request, resource.draft)) | await _check_parent(request, resource)
        key = await idempotency.key_of(request)
        if resource.is_single:
            return await idempotency.guarded(
                database, actor, key, _create_at_once(request, resource, draft, key)
            )
        try:
            return await _create_in_turn(request, resource, draft, key)
        except asyncpg.UniqueViolationError:
            if not resource.once:
                raise
        return await _create_in_turn(request, resource, draft, key)  # who was quicker is there by now

    async def write(request: Web, record_id: UUID, values: Row, *, guarded: bool) -> Response[bytes]:
        actor = _actor(request)
        require(actor, resource.key, "update")
        _refuse_hidden(resource, actor, values)
        expected = expected_version(request, required=guarded)
        if (resource.is_single and resource.tree not in values) and (
            done := await _change_at_once(request, resource, record_id, values, expected)
        ):
            return done
        async with _database(request).begin() as tx:
            if resource.tree in values:
                await in_turn(tx, resource.table.name, resource.tree)
            old = await locked(tx, resource, actor, record_id, parent=_parent(request))
            check_version(expected, old["version"])
            await update(tx, resource, actor, old, values)
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
            and name not in hidden(_actor(request), resource.key) | read_only(_actor(request), resource.key)
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
    path = _path(resource)

    async def mark(request: Web, record_id: UUID, *, deleted: bool) -> None:
        actor = _actor(request)
        require(actor, resource.key, "delete")
        expected = expected_version(request)
        async with _database(request).begin() as tx:
            old = await locked(tx, resource, actor, record_id, deleted=not deleted, parent=_parent(request))
            check_version(expected, old["version"])
            if not deleted and old.get("merged_into_id"):
                raise Conflict(f"It was merged into {old['merged_into_id']}: undo the merge instead.")
            await remove(tx, resource, actor, old, deleted=deleted)

    @delete(path + "/{record_id:uuid}", name=f"delete {path}", status_code=204, opt={"delete": resource})
    async def gone(request: Web, record_id: FromPath[UUID]) -> None:
        await mark(request, record_id, deleted=True)

    @post(path + "/{record_id:uuid}/restore", name=f"restore {path}", opt={"one": resource})
    async def restore(request: Web, record_id: FromPath[UUID]) -> Response[bytes]:
        await mark(request, record_id, deleted=False)
        text, version = await document(_database(request), resource, _actor(request), record_id)
        return answer(text, headers={"ETag": etag(version)})

    return [gone, restore]


def _timely(resource: Resource) -> list[HTTPRouteHandler]:
    path, key = _path(resource), resource.key

    @get(
        path + "/{record_id:uuid}/history",
        name=f"history {path}",
        opt={"answer": resource.timeline, "query": ("limit", "cursor")},
    )
    async def history(request: Web, record_id: FromPath[UUID]) -> Response[bytes]:
        """What each version changed, newest first; of a deleted record too."""
        actor, database = _actor(request), _database(request)
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
        actor = _actor(request)
        require(actor, key, "update")
        expected = expected_version(request, required=True)
        asked = await body(request, Reversion)
        async with _database(request).begin() as tx:
            old = await locked(tx, resource, actor, record_id, parent=_parent(request))
            check_version(expected, old["version"])
            values = await _former(tx, resource, actor, old, asked)
            await update(tx, resource, actor, old, values, data={"reverted_to": asked.version})
            text, version = await document(tx, resource, actor, record_id)
        return answer(text, headers={"ETag": etag(version)})

    return [history, revert]


async def _former(tx: Tx, resource: Resource, actor: Actor, old: Row, asked: Reversion) -> Row:
    """The values of the version that was asked for.

    What only a verb changes (a stage, an owner) is taken back by who may undo; what follows from it comes with it, and
    follows by the rules for all others.
    """
    row = await tx.fetchrow(
        f"SELECT * FROM history.{resource.key} WHERE id = $1 AND version = $2 /* access:{resource.key} */",
        old["id"],
        asked.version,
    )
    if row is None:
        raise Invalid.at("/version", "there is no such version")
    given, patched = resource.draft.__struct_fields__, resource.patch.__struct_fields__
    known = [
        name
        for name in fields_of(resource.table)
        if name not in hidden(actor, resource.key) | read_only(actor, resource.key)
        and name not in ("deleted_at", resource.nested)
    ]
    wanted = [name for name in known if name in given] if asked.fields is msgspec.UNSET else asked.fields
    for index, name in enumerate(wanted):
        if name not in known or name not in given:
            raise Invalid.at(f"/fields/{index}", "there is no such field")
    verbs = [name for name in wanted if name not in patched and row[name] != old[name]]
    if verbs and not may(actor, "changes", "undo"):
        raise Forbidden(f"Only a verb changes {', '.join(verbs)}: name the other fields in `fields`.")
    derived = [name for name in known if name not in given] if verbs else []
    return {name: row[name] for name in [*wanted, *derived]}


async def remove(tx: Tx, resource: Resource, actor: Actor, old: Row, *, deleted: bool = True) -> Row:
    """Soft delete, or its opposite, with its event."""
    kind = f"{resource.name}.{'deleted' if deleted else 'restored'}"
    await ledger.record(tx, actor, kind, resource.name, old["id"], version=old["version"] + 1)
    stored = await _write(
        tx, resource, actor, old["id"], {"deleted_at": datetime.now(UTC) if deleted else None}
    )
    if resource.after:
        await resource.after(tx, actor, stored, old)
    return stored


def only(actor: Actor, *roles: str) -> None:
    """Raises `Forbidden` unless the actor has one of the roles."""
    if actor.role not in roles:
        raise Forbidden(f"This needs the role {' or '.join(roles)}.")
