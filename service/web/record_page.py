"""The page of any record: its fields, what hangs on it, what happened to it; and the forms that make and change one."""

import asyncio
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from service import amending, past, query, writes
from service.access import may
from service.db import to_json
from service.errors import NotFound, Problem
from service.refusals import REFUSALS, problem
from service.resource import Resource
from service.web import catalogue, forms, related, shown, titles
from service.web.fields import SYSTEM_FIELDS, Field
from service.web.frame import Visit
from service.web.list_page import fields_of, form_of, resource_of
from service.web.render import page
from service.wire import Web

Row = dict[str, Any]
PATH = "/records/{name:str}"
ONE = PATH + "/{record_id:uuid}"
HISTORY = 12
QUIET = frozenset({"created_at", "updated_at", "created_by_id", "updated_by_id"})


# Reading -----------------------------------------------------------------------------------------------------------


async def row_of(visit: Visit, resource: Resource, record_id: UUID) -> Row:
    """The record as this actor sees it. Raises `NotFound`."""
    text, _ = await writes.document(visit.database, resource, visit.actor, record_id)
    found: Row = msgspec.json.decode(text)
    return found


async def _deleted(visit: Visit, resource: Resource, record_id: UUID) -> Row | None:
    """The record if it is deleted and was this actor's to see."""
    try:
        return await writes.seen(visit.database, resource, visit.actor, record_id, deleted=True)
    except Problem:
        return None


async def _history(
    visit: Visit, resource: Resource, fields: dict[str, Field], record_id: UUID, cursor: Any
) -> Row:
    """What each version changed, in words."""
    found = await past.timeline(visit.database, visit.actor, resource.key, record_id, HISTORY, cursor)
    told = [change for item in found["items"] for change in item["changes"] if change["field"] in fields]
    rows = [{change["field"]: change[side]} for change in told for side in ("old", "new")]
    people = [("users", item["actor_id"]) for item in found["items"]]
    names = await titles.of(visit, [*shown.ids(rows, fields.values()), *people])
    for item in found["items"]:
        item["actor"] = names.get(str(item["actor_id"])) or (
            "the product itself" if not item["actor_id"] else "somebody"
        )
        item["title"] = (item["kind"] or "").rpartition(".")[2].replace("_", " ") or "changed"
        item["changes"] = [
            (fields[change["field"]], *(
                shown.shown(visit.say, fields[change["field"]], change[side], names) for side in ("old", "new")
            ))
            for change in item["changes"]
            if change["field"] in fields
        ]  # fmt: skip
    return found


def _parts(fields: dict[str, Field], row: Row) -> tuple[list[Field], list[Field]]:
    """Those with something in them, and the names of those that are empty."""
    mine = [field for name, field in fields.items() if name not in SYSTEM_FIELDS]
    return (
        [field for field in mine if shown.value(row, field.name) not in shown.EMPTY],
        [field for field in mine if shown.value(row, field.name) in shown.EMPTY],
    )


async def _view(visit: Visit, resource: Resource, row: Row, cursor: Any = None) -> Row:
    fields = await fields_of(visit, resource)
    there, empty = _parts(fields, row)
    async with asyncio.TaskGroup() as group:
        names = group.create_task(
            titles.of(visit, [(resource.key, row["id"]), *shown.ids([row], fields.values())])
        )
        lists = group.create_task(related.lists(visit, resource, row))
        history = group.create_task(_history(visit, resource, fields, UUID(str(row["id"])), cursor))
    found = names.result()
    cells = [
        (field, shown.shown(visit.say, field, shown.value(row, field.name), found, row)) for field in there
    ]
    return {
        "title": found.get(str(row["id"])) or titles.told(resource.key, None), "row": row, "empty": empty,
        "facts": [cell for cell in cells if cell[0].kind not in ("area", "rows")],
        "texts": [cell for cell in cells if cell[0].kind in ("area", "rows")],
        "about": {name: shown.shown(visit.say, fields[name], row.get(name), found) for name in QUIET if name in fields},
        "external": row.get("external_ids") or {}, "lists": lists.result(), "history": history.result(),
    }  # fmt: skip


@get(ONE, opt={"optional": True}, media_type=MediaType.HTML)
async def record_page(
    request: Web, visit: NamedDependency[Visit], name: FromPath[str], record_id: FromPath[UUID]
) -> Response[Any]:
    """One record."""
    query_params = request.query_params
    cursor = query.decode_cursor(query_params["history"]) if "history" in query_params else None
    return await view(visit, resource_of(visit, name), record_id, cursor=cursor)


async def view(
    visit: Visit,
    resource: Resource,
    record_id: UUID,
    *,
    trouble: str = "",
    status: int = 200,
    cursor: Any = None,
) -> Response[Any]:
    """The whole page; of a deleted record what it was, and the way back."""
    gone = None
    try:
        row = await row_of(visit, resource, record_id)
    except NotFound:
        gone = await _deleted(visit, resource, record_id)
        if gone is None:
            raise
        row = msgspec.json.decode(to_json(gone))
    values = await _view(visit, resource, row, cursor)
    actor = visit.actor
    visit.frame.path = f"{catalogue.href(resource)}/{record_id}"
    return page(
        "record.html", visit.titled(values["title"], catalogue.slug(resource)), visit.say, status=status, **values,
        resource=resource, label=catalogue.label(resource), singular=catalogue.singular(resource), trouble=trouble,
        base=catalogue.href(resource), here=f"{catalogue.href(resource)}/{record_id}", is_gone=gone is not None,
        may_change=gone is None and may(actor, resource.key, "update"), may_delete=may(actor, resource.key, "delete"),
        may_clone=gone is None and catalogue.may_make(actor, resource),
        verbs=related.verbs(visit, resource, row) if gone is None else [],
        shown_at=catalogue.record_href(resource.key, record_id),
    )  # fmt: skip


# Deleting, and going back ------------------------------------------------------------------------------------------


@post(ONE + "/delete", opt={"optional": True}, status_code=303)
async def delete(
    request: Web, visit: NamedDependency[Visit], name: FromPath[str], record_id: FromPath[UUID]
) -> Response[Any]:
    """Deletes a record; the page that follows offers to take it back."""
    resource, form = resource_of(visit, name), await form_of(request)
    try:
        async with visit.database.begin() as tx:
            old = await amending.discard(tx, resource, visit.actor, record_id, version_of(form))
    except (Problem, *REFUSALS) as error:
        return await refused(visit, resource, record_id, error)
    if resource.nested:
        parent = catalogue.record_href(resource.references[resource.nested], old[resource.nested])
        return Redirect(parent, status_code=303)
    return Redirect(
        f"{catalogue.href(resource)}?{urlencode({'done': 'deleted', 'undo': record_id})}", status_code=303
    )


@post(ONE + "/restore", opt={"optional": True}, status_code=303)
async def restore(
    visit: NamedDependency[Visit], name: FromPath[str], record_id: FromPath[UUID]
) -> Response[Any]:
    """Takes a deleted record back."""
    resource = resource_of(visit, name)
    try:
        async with visit.database.begin() as tx:
            await amending.discard(tx, resource, visit.actor, record_id, deleted=False)
    except (Problem, *REFUSALS) as error:
        return await refused(visit, resource, record_id, error)
    return Redirect(catalogue.record_href(resource.key, record_id), status_code=303)


@post(ONE + "/revert", opt={"optional": True}, status_code=303)
async def revert(
    request: Web, visit: NamedDependency[Visit], name: FromPath[str], record_id: FromPath[UUID]
) -> Response[Any]:
    """Gives a record the values of one of its versions again."""
    resource, form = resource_of(visit, name), await form_of(request)
    number = forms.figure((form.get("to") or [""])[-1])
    try:
        async with visit.database.begin() as tx:
            asked = amending.Reversion(version=number)
            await amending.go_back(tx, resource, visit.actor, record_id, asked, version_of(form))
    except (Problem, *REFUSALS) as error:
        return await refused(visit, resource, record_id, error)
    return Redirect(f"{catalogue.href(resource)}/{record_id}", status_code=303)


def version_of(form: forms.Form) -> int:
    """The version that the page held; 0, which no record has, where it names none."""
    return forms.figure((form.get("version") or [""])[-1])


async def refused(visit: Visit, resource: Resource, record_id: UUID, error: Exception) -> Response[Any]:
    """The record again, with the reason above; a refusal of permission stays what it is."""
    said = error if isinstance(error, Problem) else problem(error)
    if said.status in (403, 404):
        raise said
    return await view(visit, resource, record_id, trouble=said.detail, status=said.status)


routes: list[Any] = [record_page, delete, restore, revert]
