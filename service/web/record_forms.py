"""The forms that make and change any record: faults beside their inputs, doubles asked about, conflicts side by side."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from service import amending, past, wire, writes
from service.access import read_only, require
from service.db import to_json
from service.domains import cloning
from service.errors import Invalid, NotFound, Pointer, PreconditionFailed, Problem
from service.refusals import REFUSALS, problem
from service.resource import Resource, plain
from service.web import catalogue, forms, related, shown, titles
from service.web.fields import Field
from service.web.frame import Visit
from service.web.list_page import PATH, fields_of, form_of, resource_of
from service.web.record_page import ONE, row_of, version_of
from service.web.refused import plainly
from service.web.render import page
from service.wire import Web

Row = dict[str, Any]


def _asked(resource: Resource, fields: dict[str, Field], visit: Visit, *, new: bool) -> list[Field]:
    """The fields that a form asks for."""
    closed = read_only(visit.actor, resource.key)
    return [
        field
        for name, field in fields.items()
        if (field.given if new else field.changed) and name not in closed
    ]


def _faults(error: Problem, inputs: list[Field]) -> tuple[forms.Faults, str]:
    """A refusal as faults by input, and what belongs to none of them."""
    known = {f"f-{field.name}" for field in inputs}
    faults, rest = {}, []
    for each in error.errors:
        name = f"f-{each['pointer'].strip('/').replace('/', '.')}"
        if any(name == key or name.startswith(f"{key}.") for key in known):
            faults[name] = plainly(each["detail"])
        else:
            rest.append(each["detail"])
    return faults, error.detail if rest or not faults else ""


def _shaped(values: Row, shape: type[msgspec.Struct]) -> Row:
    """The members as the shape takes them. Raises `Invalid` with everything that is wrong, not with the first alone."""
    rest, errors = dict(values), []
    while True:
        try:
            made = plain(wire.decode(to_json(rest).encode(), shape))
        except Invalid as error:
            errors += error.errors
            member = error.errors[0]["pointer"].strip("/").partition("/")[0] if error.errors else ""
            if rest.pop(member, None) is None:
                raise Invalid(error.detail, errors=errors + _missing(values, shape, errors)) from None
            continue
        if errors:
            raise Invalid(errors[0]["detail"], errors=errors)
        return made


def _missing(values: Row, shape: type[msgspec.Struct], errors: list[Pointer]) -> list[Pointer]:
    """The members that a shape must have and that are neither given nor told already."""
    told = {each["pointer"] for each in errors}
    return [
        {"pointer": f"/{each.name}", "detail": "is required"}
        for each in msgspec.structs.fields(shape)
        if each.required and each.name not in values and f"/{each.name}" not in told
    ]


async def _form(
    visit: Visit, resource: Resource, asked: list[Field], form: forms.Form, *, status: int = 200,
    faults: forms.Faults | None = None, offers: Any = None, **more: Any,
) -> Response[Any]:  # fmt: skip
    """The page of a form; what was written stays, faults stand beside their inputs."""
    sheet = await forms.sheet(visit, asked, form, faults, offers)
    inputs = [sheet.input(field) for field in asked]
    theirs = more.pop("now", {})
    for each in inputs:
        each.now = theirs.get(each.field.name, "")
    values: Row = {
        "trouble": "", "alike": [], "parent": "", "version": "", "back": catalogue.href(resource), "heading": "",
    }  # fmt: skip
    values |= more
    return page(
        "record_form.html", visit.titled(values["heading"], catalogue.slug(resource)), visit.say, status=status,
        resource=resource, singular=catalogue.singular(resource), inputs=inputs, faults=bool(faults), **values,
    )  # fmt: skip


def _require_form(visit: Visit, resource: Resource) -> None:
    """Raises `Forbidden` for who may make no such record, `NotFound` where no form makes one."""
    require(visit.actor, resource.key, "create")
    if not catalogue.may_make(visit.actor, resource):
        raise NotFound("There is no such page.")


def _parent(resource: Resource, form: forms.Form) -> UUID | None:
    """The record under which a nested one is made. Raises `NotFound` where none is named."""
    if resource.nested is None:
        return None
    try:
        return UUID((form.get("parent") or form.get(resource.nested) or [""])[-1])
    except ValueError:
        raise NotFound("There is no such page.") from None


@get(PATH + "/new", opt={"optional": True}, media_type=MediaType.HTML)
async def new_form(request: Web, visit: NamedDependency[Visit], name: FromPath[str]) -> Response[Any]:
    """An empty form; the address may fill it, with `?account_id=…` or with another record to begin from, `?like=…`."""
    resource = resource_of(visit, name)
    _require_form(visit, resource)
    asked = _asked(resource, await fields_of(visit, resource), visit, new=True)
    given = {key: request.query_params.getall(key) for key in request.query_params}
    parent = _parent(resource, given)
    await amending.check_parent(visit.database, resource, visit.actor, parent, write=True)
    form = await _copied(visit, resource, asked, given["like"][-1]) if "like" in given else {}
    form |= {f"f-{field.name}": given[field.name] for field in asked if field.name in given}
    return await _form(visit, resource, asked, _begun(form, asked, visit), **_new(resource, parent))


async def _copied(visit: Visit, resource: Resource, asked: list[Field], text: str) -> dict[str, list[str]]:
    """The values of another record, but for what a clone does not take over."""
    try:
        row = await row_of(visit, resource, UUID(text))
    except ValueError:
        raise NotFound("There is no such page.") from None
    without = cloning.NEVER | cloning.ITS_OWN.get(resource.key, frozenset())
    return forms.of_row([field for field in asked if field.name not in without], row, visit.say.zone)


def _begun(form: dict[str, list[str]], asked: list[Field], visit: Visit) -> dict[str, list[str]]:
    """A new form with what is usual: the company's currency, oneself as the owner, now, and what is on by default."""
    usual = {"currency": visit.say.currency, "owner_id": str(visit.actor.id), "is_active": "true"}
    usual["occurred_at"] = visit.now.astimezone(visit.say.zone).strftime("%Y-%m-%dT%H:%M")
    names = {field.name for field in asked}
    return {f"f-{name}": [text] for name, text in usual.items() if name in names} | form


def _new(resource: Resource, parent: UUID | None) -> Row:
    where = catalogue.href(resource)
    if parent and resource.nested:
        where = catalogue.record_href(resource.references[resource.nested], parent)
    return {
        "heading": f"New {catalogue.singular(resource).lower()}", "action": catalogue.href(resource), "back": where,
        "parent": str(parent or ""),
    }  # fmt: skip


async def _read(
    visit: Visit, asked: list[Field], form: dict[str, list[str]], old: Row | None
) -> tuple[Row, forms.Faults, Any]:
    """What a form says, with what could not be understood."""
    faults, offers = await forms.settle(visit, asked, form)
    forms.gather(asked, form)
    found, unread = forms.members(asked, form, visit.say.zone, old)
    return found, faults | unread, offers


@post(PATH, opt={"optional": True}, status_code=303)
async def create(request: Web, visit: NamedDependency[Visit], name: FromPath[str]) -> Response[Any]:
    """Makes a record; one that looks like others is asked about first."""
    resource, form = resource_of(visit, name), await form_of(request)
    actor = visit.actor
    _require_form(visit, resource)
    asked = _asked(resource, await fields_of(visit, resource), visit, new=True)
    parent = _parent(resource, form)
    words = _new(resource, parent)
    found, faults, offers = await _read(visit, asked, form, None)
    if faults:
        return await _form(visit, resource, asked, form, faults=faults, offers=offers, status=422, **words)
    try:
        draft = _shaped(found, resource.draft)
        draft |= await amending.check_parent(visit.database, resource, actor, parent, write=True)
        if "sure" not in form and (like := await related.alike(visit, resource, draft)):
            return await _form(visit, resource, asked, form, alike=like, status=409, **words)
        async with visit.database.begin() as tx:
            row = await writes.insert(tx, resource, actor, draft)
    except (Problem, *REFUSALS) as error:
        said = error if isinstance(error, Problem) else problem(error)
        faults, trouble = _faults(said, asked)
        return await _form(
            visit, resource, asked, form, faults=faults, trouble=trouble, status=said.status, **words
        )
    where = words["back"] if resource.nested else catalogue.record_href(resource.key, row["id"])
    return Redirect(where, status_code=303)


@get(ONE + "/edit", opt={"optional": True}, media_type=MediaType.HTML)
async def edit_form(
    visit: NamedDependency[Visit], name: FromPath[str], record_id: FromPath[UUID]
) -> Response[Any]:
    """The record as a form."""
    resource = resource_of(visit, name)
    require(visit.actor, resource.key, "update")
    row = await row_of(visit, resource, record_id)
    asked = _asked(resource, await fields_of(visit, resource), visit, new=False)
    form = forms.of_row(asked, row, visit.say.zone)
    return await _form(visit, resource, asked, form, **await _edit(visit, resource, row))


async def _edit(visit: Visit, resource: Resource, row: Row) -> Row:
    names = await titles.of(visit, [(resource.key, row["id"])])
    here = f"{catalogue.href(resource)}/{row['id']}"
    title = names.get(str(row["id"]), catalogue.singular(resource))
    return {"heading": f"Edit {title}", "action": here, "back": here, "version": str(row["version"])}


@post(ONE, opt={"optional": True}, status_code=303)
async def change(
    request: Web, visit: NamedDependency[Visit], name: FromPath[str], record_id: FromPath[UUID]
) -> Response[Any]:
    """Changes a record; where somebody was quicker, both are shown beside each other."""
    resource, form = resource_of(visit, name), await form_of(request)
    require(visit.actor, resource.key, "update")
    row = await row_of(visit, resource, record_id)
    fields = await fields_of(visit, resource)
    asked = [each for each in _asked(resource, fields, visit, new=False) if _is_sent(each, form)]
    if version_of(form) != row["version"]:
        return await _conflict(visit, resource, asked, form, row)
    found, faults, offers = await _read(visit, asked, form, row)
    words = await _edit(visit, resource, row)
    if faults:
        return await _form(visit, resource, asked, form, faults=faults, offers=offers, status=422, **words)
    try:
        values = _shaped(found, resource.patch)
        async with visit.database.begin() as tx:
            await amending.amend(tx, resource, visit.actor, record_id, values, row["version"])
    except PreconditionFailed:
        fresh = await row_of(visit, resource, record_id)
        return await _conflict(visit, resource, asked, form, fresh)
    except (Problem, *REFUSALS) as error:
        said = error if isinstance(error, Problem) else problem(error)
        faults, trouble = _faults(said, asked)
        return await _form(
            visit, resource, asked, form, faults=faults, trouble=trouble, status=said.status, **words
        )
    return Redirect(f"{catalogue.href(resource)}/{record_id}", status_code=303)


def _is_sent(field: Field, form: forms.Form) -> bool:
    name = f"f-{field.name}"
    return any(key == name or key.startswith(f"{name}.") for key in form)


async def _conflict(
    visit: Visit, resource: Resource, asked: list[Field], form: dict[str, list[str]], row: Row
) -> Response[Any]:
    """The form again, over the record as it is now: where both changed a field, one chooses."""
    await forms.settle(visit, asked, form)
    forms.gather(asked, form)
    since = await past.timeline(visit.database, visit.actor, resource.key, UUID(str(row["id"])), 50)
    theirs: dict[str, Any] = {}
    for item in since["items"]:
        if item["version"] > version_of(form):
            theirs |= {change["field"]: change["old"] for change in item["changes"]}
    names = await titles.of(visit, shown.ids([row], asked))
    zone, now = visit.say.zone, {}
    for field in asked:
        if field.name not in theirs:
            continue
        mine = forms.read(field, form, zone, {})
        fresh = forms.written(field, shown.value(row, field.name), zone)
        before = forms.read(field, forms.written(field, theirs[field.name], zone), zone, {})
        if mine == before:
            form |= fresh
        elif mine != forms.read(field, fresh, zone, {}):
            now[field.name] = (
                shown.shown(visit.say, field, shown.value(row, field.name), names, row).text or "empty"
            )
    words = await _edit(visit, resource, row)
    trouble = "Somebody changed this record meanwhile. What they changed is in the form now"
    trouble += "; where you both changed a field, yours stands and theirs is said below it." if now else "."
    return await _form(visit, resource, asked, form, now=now, trouble=trouble, status=412, **words)


# Pickers -----------------------------------------------------------------------------------------------------------


@get(PATH + "/options", opt={"optional": True}, media_type=MediaType.HTML)
async def options(request: Web, visit: NamedDependency[Visit], name: FromPath[str]) -> Response[Any]:
    """Records whose title holds what is being typed, as a fragment."""
    resource = resource_of(visit, name)
    text = request.query_params.get("q", "")[:100].strip()
    found = await titles.options(visit, resource.key, text)
    return page("options.html", visit.frame, visit.say, options=found, text=text)


routes: list[Any] = [new_form, create, edit_form, change, options]
