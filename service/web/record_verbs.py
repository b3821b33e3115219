"""The verbs of records as forms, and what is done to many at once: reassign, change and delete what a list's filter finds."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import msgspec
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from service import changes
from service.access import may, require
from service.domains import bulk, conversion, jobs, leads, quotes
from service.domains.assignment import hand_over
from service.domains.changes import require_own
from service.errors import Conflict, Invalid, NotFound, Problem
from service.refusals import REFUSALS
from service.resource import Resource
from service.web import catalogue, forms, list_reads, titles
from service.web.fields import Field, fields_of, label_of
from service.web.frame import Visit
from service.web.list_page import PATH, form_of, resource_of
from service.web.record_page import ONE, refused
from service.web.render import page
from service.wire import Web, check_version
from service.writes import locked

Row = dict[str, Any]
ASSIGNED = ("accounts", "leads", "opportunities")


def _one(form: forms.Form, name: str) -> str:
    return (form.get(name) or [""])[-1].strip()


async def _picked(visit: Visit, form: dict[str, list[str]], table: str) -> UUID:
    """The record that a form names, by id or by words."""
    field = Field(name="owner_id", label="Owner", kind="reference", target=table)
    faults, _ = await forms.settle(visit, [field], form)
    if faults:
        raise Invalid.at("/owner_id", f"Owner: {next(iter(faults.values()))}.")
    try:
        return UUID(_one(form, "f-owner_id"))
    except ValueError:
        raise Invalid("Say who gets it.") from None


# Verbs of one record -----------------------------------------------------------------------------------------------


@post(ONE + "/do/{verb:str}", opt={"optional": True}, status_code=303)
async def verb(
    request: Web,
    visit: NamedDependency[Visit],
    name: FromPath[str],
    record_id: FromPath[UUID],
    verb: FromPath[str],
) -> Response[Any]:
    """Does what a verb of the API does."""
    resource, form = resource_of(visit, name), await form_of(request)
    doing = VERBS.get((resource.key if resource.key in ("leads", "quotes") else "", verb)) or VERBS.get(
        ("", verb)
    )
    if doing is None:
        raise NotFound("There is no such page.")
    try:
        where = await doing(visit, resource, record_id, form)
    except (Problem, *REFUSALS) as error:
        return await refused(visit, resource, record_id, error)
    return Redirect(where, status_code=303)


async def _assign(visit: Visit, resource: Resource, record_id: UUID, form: dict[str, list[str]]) -> str:
    require(visit.actor, resource.key, "assign")
    owner = await _picked(visit, form, "users")
    async with visit.database.begin() as tx:
        old = await locked(tx, resource, visit.actor, record_id)
        check_version(forms.figure(_one(form, "version")), old["version"])
        stamp = (
            {"assigned_at": datetime.now(UTC)} if "assigned_at" in old and owner != old["owner_id"] else {}
        )
        said: Row = {"reason": _one(form, "reason")[:255] or None, "trace": []}
        await hand_over(tx, resource, visit.actor, old, owner, said, **stamp)
    return f"{catalogue.href(resource)}/{record_id}"


async def _status(visit: Visit, resource: Resource, record_id: UUID, form: dict[str, list[str]]) -> str:
    reason = _one(form, "reason")[:255]
    wish = {"to": _one(form, "choice")} | ({"reason": reason} if reason else {})
    try:
        asked = msgspec.convert(wish, leads.StatusChange)
    except msgspec.ValidationError as error:
        raise Invalid(str(error)) from None
    async with visit.database.begin() as tx:
        await leads.set_status(tx, visit.actor, record_id, asked, forms.figure(_one(form, "version")))
    return f"{catalogue.href(resource)}/{record_id}"


async def _convert(visit: Visit, resource: Resource, record_id: UUID, form: dict[str, list[str]]) -> str:
    require(visit.actor, "leads", "convert")
    async with visit.database.begin() as tx:
        old = await locked(tx, resource, visit.actor, record_id)
        check_version(forms.figure(_one(form, "version")), old["version"])
        made = await conversion.convert_lead(tx, visit.actor, old, conversion.Conversion(), datetime.now(UTC))
    deal = made.parts["opportunity"]
    return f"/deals/{deal['id']}" if deal else f"{catalogue.href(resource)}/{record_id}"


async def _revise(visit: Visit, resource: Resource, record_id: UUID, form: dict[str, list[str]]) -> str:
    async with visit.database.begin() as tx:
        made = await quotes.revised(tx, visit.actor, record_id)
    return catalogue.record_href("quotes", made["id"])


VERBS: dict[tuple[str, str], Any] = {
    ("", "assign"): _assign,
    ("leads", "status"): _status,
    ("leads", "convert"): _convert,
    ("quotes", "revise"): _revise,
}
"""(resource, or none for any that has it, and verb) → what does it; each asks for its own permission."""


# Many at once ------------------------------------------------------------------------------------------------------


def _pairs(text: str) -> list_reads.Pairs:
    return list_reads.filters_of(parse_qsl(text, keep_blank_values=True))


def _settable(visit: Visit, resource: Resource) -> list[Field]:
    """The fields that may be set for many at once: those with few values."""
    return [
        field
        for field in catalogue.known(resource, visit.actor, {}).values()
        if field.changed and field.kind in ("choice", "flag", "date")
    ]


def _wish(resource: Resource, form: forms.Form, owner: UUID | None) -> bulk.Bulk:
    action = _one(form, "action")
    wish: Row = {"resource": resource.key, "action": action, "filter": urlencode(_pairs(_one(form, "pairs")))}
    if action == "assign":
        wish["set"] = {"owner_id": str(owner)}
    elif action == "update":
        name, text = _one(form, "field"), _one(form, "value")
        field = fields_of(resource).get(name)
        if field is None or not field.changed:
            raise Invalid("Say which field is to be set.")
        wish["set"] = {name: text == "true" if field.kind == "flag" else text or None}
    if token := _one(form, "token"):
        wish["token"] = token
    try:
        return msgspec.convert(wish, bulk.Bulk)
    except msgspec.ValidationError as error:
        raise Invalid(str(error)) from None


@get(PATH + "/many", opt={"optional": True}, media_type=MediaType.HTML)
async def many(request: Web, visit: NamedDependency[Visit], name: FromPath[str]) -> Response[Any]:
    """What can be done to all that a filter finds."""
    resource = resource_of(visit, name)
    require(visit.actor, "bulk", "create")
    return await _many(visit, resource, request.query_params.get("pairs", ""))


async def _many(
    visit: Visit, resource: Resource, text: str, *, trouble: str = "", status: int = 200, **more: Any
) -> Response[Any]:
    fields = catalogue.known(resource, visit.actor, {})
    pairs = _pairs(text)
    values: Row = {"preview": None, "asked": {}, "sample": []} | more
    actor = visit.actor
    return page(
        "many.html", visit.titled(f"Change {catalogue.label(resource).lower()}", catalogue.slug(resource)), visit.say,
        status=status, label=catalogue.label(resource), base=catalogue.href(resource), pairs=urlencode(pairs),
        chips=await list_reads.chips(visit, resource, fields, pairs), back=list_reads.address(resource, pairs),
        settable=_settable(visit, resource), trouble=trouble, **values,
        may_assign=resource.key in ASSIGNED and may(actor, resource.key, "assign"),
        may_update=may(actor, resource.key, "update"), may_delete=may(actor, resource.key, "delete"),
    )  # fmt: skip


@post(PATH + "/many", opt={"optional": True}, status_code=200, media_type=MediaType.HTML)
async def do_many(request: Web, visit: NamedDependency[Visit], name: FromPath[str]) -> Response[Any]:
    """First how many it would change; then, with the token of that count, the job."""
    resource, form = resource_of(visit, name), await form_of(request)
    text = _one(form, "pairs")
    try:
        owner = await _picked(visit, form, "users") if _one(form, "action") == "assign" else None
        asked = _wish(resource, form, owner)
        if asked.token is not msgspec.UNSET:
            async with visit.database.begin() as tx:
                job = await bulk.started(tx, visit.actor, asked)
            return Redirect(f"/jobs/{job}", status_code=303)
        preview = await bulk.foreseen(visit.database, visit.actor, asked)
    except (Problem, *REFUSALS) as error:
        if isinstance(error, Problem) and error.status in (403, 404):
            raise
        trouble = error.detail if isinstance(error, Problem) else "That cannot be done."
        return await _many(visit, resource, text, trouble=trouble, status=getattr(error, "status", 422))
    names = await titles.of(visit, [(resource.key, row["id"]) for row in preview.sample])
    owners = await titles.of(visit, [("users", owner)])
    sent = {key: _one(form, key) for key in ("action", "field", "value", "f-owner_id") if _one(form, key)}
    return await _many(
        visit, resource, text, preview=preview, asked=sent, sample=list(names.values()), says=_said(form, owners),
        owner=owners.get(str(owner), ""),
    )  # fmt: skip


def _said(form: forms.Form, owners: dict[str, str]) -> str:
    """What will be done, in words."""
    match _one(form, "action"):
        case "assign":
            return f"be given to {owners.get(_one(form, 'f-owner_id'), 'somebody')}"
        case "delete":
            return "be deleted"
        case _:
            return f"have {label_of(_one(form, 'field')).lower()} set to {_one(form, 'value') or 'nothing'}"


# Jobs --------------------------------------------------------------------------------------------------------------

KINDS = {"bulk": "A change of many records", "export": "An export", "import": "An import"}
RUNNING = ("queued", "running")


@get("/jobs/{job_id:uuid}", opt={"optional": True}, media_type=MediaType.HTML)
async def job_page(visit: NamedDependency[Visit], job_id: FromPath[UUID]) -> Response[Any]:
    """How far a job is; while it runs the page asks again by itself."""
    require(visit.actor, "jobs", "read")
    job = await jobs.find(visit.database, visit.actor, job_id)
    runs, change = job["status"] in RUNNING, job["change_id"]
    undone = change is not None and await changes.undone_by(visit.database, change) is not None
    answered = page(
        "job.html", visit.titled(KINDS.get(job["type"], "Job")), visit.say, job=job, runs=runs, undone=undone,
        heading=KINDS.get(job["type"], f"Job {job['type']}"), may_undo=change is not None and not runs and not undone,
    )  # fmt: skip
    if runs:
        answered.headers["Refresh"] = "2"
    return answered


@post("/jobs/{job_id:uuid}/undo", opt={"optional": True}, status_code=303)
async def undo_job(visit: NamedDependency[Visit], job_id: FromPath[UUID]) -> Response[Any]:
    """Takes back what a job changed."""
    require(visit.actor, "jobs", "read")
    job = await jobs.find(visit.database, visit.actor, job_id)
    if job["change_id"] is None:
        raise Conflict("This job has changed nothing.")
    await require_own(visit.database, visit.actor, job["change_id"])
    await changes.undo(visit.database, visit.actor, job["change_id"])
    return Redirect(f"/jobs/{job_id}", status_code=303)


routes: list[Any] = [verb, many, do_many, job_page, undo_job]
