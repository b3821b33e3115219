"""Duplicates: pairs that may be one, and two records beside each other, to merge or to tell apart."""

from typing import Any
from uuid import UUID

from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from service import changes, merging
from service.access import require
from service.alike import KINDS
from service.changes import KEYED
from service.db import Database, Tx
from service.domains import duplicates
from service.domains.changes import require_own
from service.domains.merges import MERGEABLE
from service.errors import NotFound
from service.resource import Row
from service.web.frame import Visit
from service.web.render import page
from service.wire import Web

MOST = 50
LABELS = {"accounts": "Accounts", "contacts": "Contacts", "leads": "Leads"}


def _id(text: Any) -> UUID:
    try:
        return UUID(str(text))
    except ValueError:
        raise NotFound() from None


def _entity(text: Any) -> str:
    if str(text) not in KINDS:
        raise NotFound()
    return str(text)


def _plain(value: Any) -> str:
    """A value as it is read beside another one."""
    if isinstance(value, dict):
        return ", ".join(str(part) for part in value.values() if part)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


@get("/duplicates", opt={"optional": True}, media_type=MediaType.HTML)
async def pairs(request: Web, visit: NamedDependency[Visit]) -> Response[Any]:
    """The likeliest pairs of one entity."""
    require(visit.actor, "duplicates", "read")
    entity = _entity(request.query_params.get("entity", "accounts"))
    items, following = await duplicates.listed(visit.database, visit.actor, [entity], "open", MOST)
    merged = request.query_params.get("merged", "")
    return page(
        "duplicates.html", visit.titled("Duplicates", "duplicates"), visit.say, items=items, entity=entity,
        labels=LABELS, more=following is not None, most=MOST, merged=str(_id(merged)) if merged else "",
    )  # fmt: skip


async def _rows(
    run: Database | Tx, visit: Visit, entity: str, ids: list[UUID], *, lock: bool
) -> tuple[Row, Row]:
    winner, losers = await merging.rows(run, MERGEABLE[entity], visit.actor, ids[0], ids[1:], lock=lock)
    return winner, losers[0]


@get("/duplicates/merge", opt={"optional": True}, media_type=MediaType.HTML)
async def compare(request: Web, visit: NamedDependency[Visit]) -> Response[Any]:
    """Both records beside each other; where they differ one chooses."""
    query = request.query_params
    entity = _entity(query.get("entity"))
    require(visit.actor, entity, "merge")
    ids = [_id(query.get("first")), _id(query.get("second"))]
    first, second = await _rows(visit.database, visit, entity, ids, lock=False)
    resource = MERGEABLE[entity]
    kept = merging.judge(resource, visit.actor, first, [second], {})
    fields = [
        {
            "name": name,
            "values": [_plain(first[name]), _plain(second[name])],
            "from_id": kept[name][1] if name in kept else first["id"],
        }
        for name in merging.mergeable(resource, visit.actor)
        if name not in KEYED and first[name] != second[name]
    ]
    titles = [KINDS[entity].name(row) for row in (first, second)]
    return page(
        "merge.html", visit.titled("Merge", "duplicates"), visit.say, entity=entity, rows=[first, second],
        titles=titles, fields=fields, children=await merging.children(visit.database, resource, [second]),
    )  # fmt: skip


@post("/duplicates/merge", opt={"optional": True}, status_code=303)
async def merge(request: Web, visit: NamedDependency[Visit]) -> Response[Any]:
    """Merges the second record into the first, with the values that were chosen."""
    form = await request.form()
    entity = _entity(form.get("entity"))
    require(visit.actor, entity, "merge")
    ids = [_id(form.get("first")), _id(form.get("second"))]
    chosen = {
        name.removeprefix("field-"): _id(value) for name, value in form.items() if name.startswith("field-")
    }
    async with visit.database.begin() as tx:
        winner, loser = await _rows(tx, visit, entity, ids, lock=True)
        kept = merging.judge(MERGEABLE[entity], visit.actor, winner, [loser], chosen)
        await merging.merge(tx, MERGEABLE[entity], visit.actor, winner, [loser], kept)
    return Redirect(f"/duplicates?entity={entity}&merged={tx.change_id}", status_code=303)


@post("/duplicates/undo", opt={"optional": True}, status_code=303)
async def undo(request: Web, visit: NamedDependency[Visit]) -> Response[Any]:
    """Takes a merge back."""
    form = await request.form()
    change_id = _id(form.get("change_id"))
    await require_own(visit.database, visit.actor, change_id)
    await changes.undo(visit.database, visit.actor, change_id)
    return Redirect(f"/duplicates?entity={_entity(form.get('entity'))}", status_code=303)


@post("/duplicates/dismiss", opt={"optional": True}, status_code=303)
async def dismiss(request: Web, visit: NamedDependency[Visit]) -> Response[Any]:
    """Remembers that the two are not the same."""
    require(visit.actor, "duplicates", "update")
    form = await request.form()
    entity = _entity(form.get("entity"))
    ids = [_id(form.get("first")), _id(form.get("second"))]
    async with visit.database.begin() as tx:
        await duplicates.decide(tx, visit.actor, entity, ids, "dismissed", None)
    return Redirect(f"/duplicates?entity={entity}", status_code=303)


routes: list[Any] = [pairs, compare, merge, undo, dismiss]
