"""Records that are trees (accounts, teams, who reports to whom): the whole of one, around the record that is asked for.

The tree is what the actor sees of it: a record that they do not see ends its branch. It is read level by level and is
bounded in depth and number, so a tree of any size, or a ring that an import brought, costs no more.
"""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from service import query
from service.access import Actor, guard, hidden, require
from service.db import Database, Params
from service.resource import Resource
from service.wire import answer
from service.writes import document

MOST_NODES = 1_000
MOST_DEPTH = 50


class Node(msgspec.Struct, kw_only=True):
    """A record in its tree. `depth` counts from 0 at the top; `children` how many stand below it here."""

    id: UUID
    parent_id: UUID | None
    depth: int
    children: int
    name: str
    record: dict[str, Any]


class Tree(msgspec.Struct, kw_only=True):
    """Each record before those below it, in the order of their names. `is_whole` is false where there are more."""

    root_id: UUID
    items: list[Node]
    is_whole: bool


def _sql(
    resource: Resource, actor: Actor, record_id: UUID, shown: tuple[str, ...], name: str
) -> tuple[str, Params]:
    """Up to the top as far as it is seen, then down again, nearest levels first."""
    table, column, params = resource.table.name, resource.tree, Params([record_id])
    seen = guard(actor, table, "t", params)
    fields = query.projection(query.plain(table), "t", shown)
    return (
        f"WITH RECURSIVE up AS ("
        f"SELECT t.id, t.{column} AS above, 0 AS height FROM {table} t WHERE t.id = $1"
        f" UNION SELECT t.id, t.{column}, up.height + 1 FROM {table} t JOIN up ON t.id = up.above"
        f" WHERE t.deleted_at IS NULL AND up.height < {MOST_DEPTH} AND {seen}),"
        f" top AS (SELECT id FROM up ORDER BY height DESC LIMIT 1),"
        f" down AS (SELECT id, NULL::uuid AS above, 0 AS depth, ARRAY[id] AS path FROM top"
        f" UNION ALL SELECT t.id, t.{column}, down.depth + 1, down.path || t.id FROM {table} t"
        f" JOIN down ON t.{column} = down.id"
        f" WHERE t.deleted_at IS NULL AND down.depth < {MOST_DEPTH} AND t.id <> ALL (down.path) AND {seen}),"
        f" first AS MATERIALIZED (SELECT * FROM down LIMIT {MOST_NODES + 1})"
        f" SELECT first.id, first.above, first.depth, {name} AS name,"
        f" (SELECT row_to_json(d) FROM (SELECT {fields}) d) AS record"
        f" FROM first JOIN {table} t ON t.id = first.id WHERE {seen}"
    ), params  # fmt: skip


def arranged(rows: list[dict[str, Any]]) -> list[Node]:
    """Each record before those below it, brothers by name."""
    below: dict[UUID | None, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (str(row["name"]).lower(), str(row["id"])), reverse=True):
        below.setdefault(row["above"] if row["depth"] else None, []).append(row)
    found, waiting = [], list(below.get(None, []))
    while waiting:
        row = waiting.pop()
        children = below.get(row["id"], [])
        waiting.extend(children)
        plain = {key: row[key] for key in ("id", "depth", "name", "record")}
        found.append(Node(**plain, parent_id=row["above"], children=len(children)))
    return found


def tree(resource: Resource, *fields: str, name: str = "t.name", verb: str = "tree") -> HTTPRouteHandler:
    """`GET /{resource}/{id}/tree`: the tree that a record stands in, with these fields of each."""

    @get(resource.path + "/{record_id:uuid}/" + verb, name=f"{verb} {resource.path}", opt={"answer": Tree})
    async def handler(
        database: NamedDependency[Database], actor: NamedDependency[Actor], record_id: FromPath[UUID]
    ) -> Response[bytes]:
        """The tree in which a record stands, from the top that one sees."""
        require(actor, resource.key, "read")
        await document(database, resource, actor, record_id)
        shown = tuple(field for field in ("id", *fields) if field not in hidden(actor, resource.key))
        sql, params = _sql(resource, actor, record_id, shown, name)
        rows = [dict(row) for row in await database.fetch(sql, *params)]
        items = arranged(rows[:MOST_NODES])
        whole = len(rows) <= MOST_NODES and all(item.depth < MOST_DEPTH for item in items)
        return answer(Tree(root_id=items[0].id, items=items, is_whole=whole))

    return handler
