"""The writes of the ordinary routes: in one statement where the rules allow it, else in a transaction."""

from uuid import UUID

from litestar import Response

from service import capture, custom, idempotency, single, validation
from service.access import writable
from service.db import Params
from service.errors import Conflict, Problem
from service.resource import Resource, Row
from service.wire import Web, actor_of, answer, check_version, database_of, etag, parent_of
from service.writes import (
    check_references,
    document,
    drafted,
    insert,
    judged,
    pointed_at,
    reference_tests,
    seen,
)

QUICK_TRIES = 3
"""How often a change is tried without a lock before it waits for its turn."""


def created_headers(request: Web, resource: Resource, record_id: UUID, version: int) -> dict[str, str]:
    """`Location` and `ETag`; a nested record lives under the parent of this very URL."""
    where = request.scope["path"].rstrip("/") if resource.nested else f"/api/v1{resource.path}"
    return {"Location": f"{where}/{record_id}", "ETag": etag(version)}


async def create_at_once(
    request: Web, resource: Resource, draft: Row, key: idempotency.Key | None
) -> Response[bytes]:
    """Event, reactions, row, key and answer in one statement."""
    actor, database = actor_of(request), database_of(request)
    row = drafted(resource, actor, draft)
    await custom.settle(database, resource.key, actor, row, None)
    if resource.prepare:
        try:
            await resource.prepare(database, actor, row, None)
        except Problem:
            await check_references(database, resource, actor, row)  # the cause, where one is missing
            raise
    await validation.judge(database, resource.key, row)
    wanted, headers = pointed_at(resource, actor, row), created_headers(request, resource, row["id"], 1)
    if resource.warn:
        headers |= await resource.warn(database, actor, row)
    text = await single.create(
        database, resource.source, resource.name, actor, row, key, headers,
        lambda params: " AND ".join(reference_tests(actor, wanted, params)),
    )  # fmt: skip
    if text is None:
        await check_references(database, resource, actor, row)
        raise Conflict("A record that this one points at has just come back: try again.")
    database.forget((resource.name,))
    await database.ring()
    return answer(text, 201, headers)


async def create_in_turn(
    request: Web, resource: Resource, draft: Row, key: idempotency.Key | None
) -> Response[bytes]:
    """A create whose rules write too; 200 with the record that is there where it was captured before."""
    actor = actor_of(request)
    async with database_of(request).begin() as tx:
        await idempotency.hold(tx, actor, key)
        if key and (kept := await idempotency.kept(tx, actor, key)):
            return kept
        found = await capture.known(tx, actor, resource.key, resource.once, draft)
        row = {"id": found} if found else await insert(tx, resource, actor, draft)
        text, version = await document(tx, resource, actor, row["id"])
        warned = await resource.warn(tx, actor, row) if resource.warn and not found else {}
        headers = created_headers(request, resource, row["id"], version) | warned
        made = answer(text, 200 if found else 201, headers)
        await idempotency.keep(tx, actor, key, made)
    return made


async def _change_unread(
    request: Web, resource: Resource, record_id: UUID, values: Row, expected: int | None
) -> Response[bytes] | None:
    """Writes what no rule looks at, in one statement; None where there is more to say than that it is done."""
    actor, database = actor_of(request), database_of(request)
    if not values or not values.keys() <= resource.free or await validation.rules_of(database, resource.key):
        return None
    within = parent_of(request) if resource.nested else None

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


async def change_at_once(
    request: Web, resource: Resource, record_id: UUID, values: Row, expected: int | None
) -> Response[bytes] | None:
    """Reads, judges, writes where nobody else wrote meanwhile; None when others were quicker several times."""
    actor, database = actor_of(request), database_of(request)
    if done := await _change_unread(request, resource, record_id, values, expected):
        return done
    for _ in range(QUICK_TRIES):
        old = await seen(database, resource, actor, record_id, parent=parent_of(request))
        check_version(expected, old["version"])
        changes = await judged(database, resource, actor, old, values)
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
