"""Merges: several records that are one become one; `POST /merge/preview` says first what would become of them."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from msgspec import UNSET, Meta

from service import merging
from service.access import Actor, require
from service.db import Database, Tx
from service.errors import Conflict, Invalid
from service.idempotency import idempotent
from service.resource import Resource
from service.resources import RESOURCES
from service.shapes import Given, Name
from service.wire import answer, body, check_version, etag, expected_version
from service.writes import document

# Shapes --------------------------------------------------------------------------------------------

MOST_LOSERS = 20


class Merge(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`fields` chooses for a field the record whose value stays; `versions` names those that you saw, by record."""

    resource: Annotated[str, Meta(max_length=64)]
    winner_id: UUID
    loser_ids: Annotated[list[UUID], Meta(min_length=1, max_length=MOST_LOSERS)]
    fields: Given[Annotated[dict[Name, UUID], Meta(max_length=200)]] = UNSET
    versions: Given[Annotated[dict[UUID, int], Meta(max_length=MOST_LOSERS + 1)]] = UNSET


class Survivor(msgspec.Struct, kw_only=True):
    """A field that the winner takes over, and from which record."""

    field: str
    value: Any
    from_id: UUID


class Preview(msgspec.Struct, kw_only=True):
    """`children`: how many records would be re-parented, by `table.column`."""

    winner_id: UUID
    loser_ids: list[UUID]
    fields: list[Survivor]
    children: dict[str, int]


class Merged(Preview, kw_only=True):
    """`record` is the winner as it is now; the undo of `change_id` is the un-merge."""

    change_id: UUID
    record: dict[str, Any]


# Rules ---------------------------------------------------------------------------------------------

MERGEABLE: dict[str, Resource] = {
    key: resource for key, resource in RESOURCES.items() if "merged_into_id" in resource.table.c
}


def resource_of(actor: Actor, asked: Merge) -> Resource:
    if asked.resource not in MERGEABLE:
        raise Invalid.at("/resource", f"is none of {', '.join(MERGEABLE)}")
    require(actor, asked.resource, "merge")
    return MERGEABLE[asked.resource]


def check_versions(asked: Merge, rows: list[dict[str, Any]]) -> None:
    """Raises `Conflict` that lists who has another version by now."""
    seen = {} if asked.versions is UNSET else asked.versions
    stale = [row for row in rows if seen.get(row["id"], row["version"]) != row["version"]]
    if stale:
        raise Conflict(
            "Some of these records were changed meanwhile.",
            conflicts=[
                {"id": str(row["id"]), "expected": seen[row["id"]], "version": row["version"]}
                for row in stale
            ],
        )


def told(asked: Merge, kept: dict[str, tuple[Any, UUID]], children: dict[str, int]) -> dict[str, Any]:
    fields = [{"field": name, "value": value, "from_id": source} for name, (value, source) in kept.items()]
    return {
        "winner_id": asked.winner_id,
        "loser_ids": asked.loser_ids,
        "fields": fields,
        "children": children,
    }


# Routes --------------------------------------------------------------------------------------------


@post("/merge/preview", status_code=200, opt={"body": Merge, "answer": Preview, "statuses": (409,)})
async def preview(
    request: Request[Any, Any, Any], database: NamedDependency[Database], actor: NamedDependency[Actor]
) -> Response[bytes]:
    """Which values would stay, and what would be re-parented; nothing is changed."""
    asked = await body(request, Merge)
    resource = resource_of(actor, asked)
    winner, losers = await merging.rows(
        database, resource, actor, asked.winner_id, asked.loser_ids, lock=False
    )
    check_versions(asked, [winner, *losers])
    kept = merging.judge(resource, actor, winner, losers, asked.fields or {})
    return answer(told(asked, kept, await merging.children(database, resource, losers)))


@post("/merge", status_code=200, opt={"body": Merge, "answer": Merged, "statuses": (409, 412)})
@idempotent
async def merge(
    request: Request[Any, Any, Any], tx: NamedDependency[Tx], actor: NamedDependency[Actor]
) -> Response[bytes]:
    """Makes several records one: the losers are deleted, and whatever pointed at them points at the winner."""
    asked = await body(request, Merge)
    resource = resource_of(actor, asked)
    winner, losers = await merging.rows(tx, resource, actor, asked.winner_id, asked.loser_ids, lock=True)
    check_version(expected_version(request), winner["version"])
    check_versions(asked, [winner, *losers])
    kept = merging.judge(resource, actor, winner, losers, asked.fields or {})
    counts = await merging.merge(tx, resource, actor, winner, losers, kept)
    text, version = await document(tx, resource, actor, winner["id"])
    whole = told(asked, kept, counts) | {"change_id": tx.change_id, "record": msgspec.Raw(text.encode())}
    return answer(whole, headers={"ETag": etag(version)})


routes: list[Any] = [preview, merge]
