"""The list of any resource: filters, order, columns and saved views in the one grammar, paged by key; and its doors out."""

from typing import Any
from urllib.parse import parse_qs, urlencode

import msgspec
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from service import custom, query
from service.access import may, require
from service.domains import exports, views
from service.errors import BadRequest, Invalid, NotFound, Problem
from service.resource import Resource
from service.web import catalogue, list_reads, shown, titles
from service.web.fields import OPERATORS, Field
from service.web.frame import Visit
from service.web.render import page
from service.wire import Web
from service.writes import insert

Row = dict[str, Any]
PATH = "/records/{name:str}"


def resource_of(visit: Visit, name: str) -> Resource:
    """The resource of an address that this actor may read. Raises `NotFound`, `Forbidden`."""
    found = catalogue.named(name)
    if found is None:
        raise NotFound("There is no such page.")
    require(visit.actor, found.key, "read")
    return found


async def fields_of(visit: Visit, resource: Resource) -> dict[str, Field]:
    """The fields of the resource that exist for this actor."""
    return catalogue.known(resource, visit.actor, dict(await custom.of(visit.database, resource.key)))


async def form_of(request: Web) -> dict[str, list[str]]:
    """The form that was sent, each name with all of its values."""
    return {name: [str(each) for each in values] for name, values in _multi(await request.form()).items()}


def _multi(form: Any) -> dict[str, list[Any]]:
    return {name: form.getall(name) for name in form}


async def rows(
    visit: Visit, resource: Resource, fields: dict[str, Field], request: query.Request, columns: list[str]
) -> tuple[list[Row], Row]:
    """The rows of a page as cells, and what the answer says beside them."""
    answer = msgspec.json.decode(
        (await query.run(visit.database, resource.source, visit.actor, request)).body
    )
    listed = [fields[name] for name in columns]
    wanted = [(resource.key, row["id"]) for row in answer["items"]]
    names = await titles.of(visit, [*wanted, *shown.ids(answer["items"], listed)])
    made = [
        {
            "id": row["id"],
            "href": f"{catalogue.href(resource)}/{row['id']}"
            if request.deleted
            else catalogue.record_href(resource.key, row["id"]),
            "title": names.get(row["id"]) or titles.told(resource.key, None),
            "cells": [
                (field, shown.shown(visit.say, field, shown.value(row, field.name), names, row))
                for field in listed
            ],
        }
        for row in answer["items"]
    ]
    return made, answer


async def _listed(visit: Visit, resource: Resource, pairs: list_reads.Pairs, trouble: str = "") -> Row:
    """All that the page shows; a filter that cannot be asked is told above an empty list."""
    fields = await fields_of(visit, resource)
    try:
        request, columns = await list_reads.asked(visit, resource, fields, pairs)
        found, answer = await rows(visit, resource, fields, request, columns)
    except BadRequest as error:
        trouble, request = error.detail, query.Request()
        columns, found, answer = catalogue.usual(resource, fields), [], {"next": None, "count": 0}
    following = answer["next"]
    return {
        "resource": resource, "fields": fields, "columns": columns, "rows": found, "trouble": trouble,
        "is_deleted": request.deleted, "inherited": await list_reads.inherited(visit, resource, fields, pairs, request),
        "found_by": urlencode([(f"{field}[{operator}]", value) for field, operator, value in request.filters]),
        "count": answer["count"], "first": list_reads.without(pairs) if "cursor" in dict(pairs) else None,
        "next": list_reads.address(resource, [*list_reads.without(pairs), ("cursor", following)]) if following else "",
        "title_head": list_reads.header(resource, fields[by], request, pairs)
        if (by := titles.order_field(resource.key)) in fields
        else None,
        "heads": [list_reads.header(resource, fields[name], request, pairs) for name in columns],
        "chips": await list_reads.chips(visit, resource, fields, pairs),
        "menus": await list_reads.menus(visit, resource, fields, columns, pairs),
        "views": (known := await list_reads.views(visit, resource, pairs)),
        "view": next((each.name for each in known if each.is_on), ""),
    }  # fmt: skip


@get(PATH, opt={"optional": True}, media_type=MediaType.HTML)
async def list_page(request: Web, visit: NamedDependency[Visit], name: FromPath[str]) -> Response[Any]:
    """The records of one kind that the reader sees."""
    resource = resource_of(visit, name)
    pairs = list_reads.pairs_of(request.scope)
    form = parse_qs(request.scope["query_string"].decode("utf-8", "replace"))
    if (there := list_reads.canonical(form, pairs)) is not None:
        return Redirect(list_reads.address(resource, there), status_code=303)
    return await view(visit, resource, pairs, done=form.get("done", [""])[0], undo=form.get("undo", [""])[0])


async def view(
    visit: Visit, resource: Resource, pairs: list_reads.Pairs, *, trouble: str = "", status: int = 200,
    done: str = "", undo: str = "",
) -> Response[Any]:  # fmt: skip
    """The whole page."""
    values = await _listed(visit, resource, pairs, trouble)
    actor = visit.actor
    visit.frame.path = list_reads.address(resource, pairs)
    return page(
        "list.html", visit.titled(catalogue.label(resource), catalogue.slug(resource)), visit.say, status=status,
        **values, label=catalogue.label(resource), singular=catalogue.singular(resource), base=catalogue.href(resource),
        kept=list_reads.without(pairs, "q"), query=dict(pairs).get("q", ""), pairs=urlencode(pairs),
        filtered=bool(list_reads.filters_of(pairs) or dict(pairs).get("q") or dict(pairs).get("view")),
        operators=OPERATORS, has_text=bool(resource.text), done=DONE.get(done, ""), undo=undo,
        may_create=catalogue.may_make(actor, resource) and not resource.nested,
        may_export=may(actor, "exports", "create"), may_save=may(actor, "views", "create"),
        may_bulk=may(actor, "bulk", "create") and not resource.nested and may(actor, resource.key, "update"),
        first_href=list_reads.address(resource, list_reads.without(pairs)),
    )  # fmt: skip


DONE = {"deleted": "It is deleted.", "restored": "It is back."}


# Saved views -------------------------------------------------------------------------------------------------------


@post(PATH + "/views", opt={"optional": True}, status_code=303)
async def keep_view(request: Web, visit: NamedDependency[Visit], name: FromPath[str]) -> Response[Any]:
    """Keeps the filters, the order and the columns of the page under a name."""
    resource, form = resource_of(visit, name), await form_of(request)
    pairs = [(key, each) for key, values in parse_qs(form.get("pairs", [""])[0]).items() for each in values]
    require(visit.actor, "views", "create")
    fields = await fields_of(visit, resource)
    try:
        asked, _ = await list_reads.asked(visit, resource, fields, pairs)
        draft = _view_draft(visit, resource, form, pairs, asked)
        async with visit.database.begin() as tx:
            row = await insert(tx, views.resource, visit.actor, draft)
    except Problem as error:
        return await view(visit, resource, pairs, trouble=error.detail, status=error.status)
    return Redirect(list_reads.address(resource, [("view", str(row["id"]))]), status_code=303)


def _view_draft(
    visit: Visit, resource: Resource, form: Any, pairs: list_reads.Pairs, asked: query.Request
) -> Row:
    """A view as its own list takes it, the filters of the view that one looks at included."""
    name = form.get("name", [""])[0].strip()
    if not name or len(name) > 255:
        raise Invalid.at("/name", "a view needs a name")
    given = [(f"{field}[{operator}]", value) for field, operator, value in asked.filters]
    shared = [visit.actor.team_id] if form.get("shared") and visit.actor.team_id else []
    columns = dict(pairs).get("fields")
    return {
        "name": name,
        "resource": resource.key,
        "filter": list_reads.criteria(given),
        "sort": [f"{'-' if down else ''}{field}" for field, down in asked.sort],
        "columns": [each for each in columns.split(",") if each] if columns else [],
        "shared_team_ids": shared,
    }


# Files -------------------------------------------------------------------------------------------------------------


@post(PATH + "/export", opt={"optional": True}, status_code=303)
async def export(request: Web, visit: NamedDependency[Visit], name: FromPath[str]) -> Response[Any]:
    """Writes what the list shows into a file, in a job."""
    resource, form = resource_of(visit, name), await form_of(request)
    pairs = [(key, each) for key, values in parse_qs(form.get("pairs", [""])[0]).items() for each in values]
    fields = await fields_of(visit, resource)
    asked, _ = await list_reads.asked(visit, resource, fields, pairs)
    wish: Row = {"resource": resource.key, "format": form.get("format", ["csv"])[0]}
    if asked.filters:
        wish["filter"] = urlencode(
            [(f"{field}[{operator}]", value) for field, operator, value in asked.filters]
        )
    if asked.sort:
        wish["sort"] = ",".join(f"{'-' if down else ''}{field}" for field, down in asked.sort)
    try:
        wanted = msgspec.convert(wish, exports.Export)
    except msgspec.ValidationError as error:
        raise Invalid(str(error)) from None
    async with visit.database.begin() as tx:
        job = await exports.started(tx, visit.actor, wanted)
    return Redirect(f"/jobs/{job}", status_code=303)


routes: list[Any] = [list_page, keep_view, export]
