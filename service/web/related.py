"""What hangs on a record, what else one can do with it, and which others it looks like."""

import asyncio
from typing import Any, get_args

import msgspec

from service import query
from service.access import may
from service.alike import KINDS, MOST_WARNED, candidates
from service.domains import leads
from service.errors import BadRequest
from service.ids import new_id
from service.resource import Resource
from service.web import catalogue, shown, titles
from service.web.fields import Field, fields_of
from service.web.frame import Visit

Row = dict[str, Any]
SHOWN, COLUMNS = 6, 4
FIRST = (
    "opportunities",
    "contacts",
    "leads",
    "activities",
    "notes",
    "quotes",
    "lines",
    "stages",
    "territories",
)
"""The lists that people look for first."""
NOT_RELATED = frozenset({"users"})
"""Tables that too much points at: who owns what is a filter of a list."""


class List(msgspec.Struct, kw_only=True):
    """The records that point at this one by one of their fields."""

    label: str
    href: str
    new: str
    columns: list[Field]
    rows: list[Row]
    more: bool


def pointing(resource: Resource) -> list[tuple[Resource, str]]:
    """(resource, field) of what can hang on a record of this kind."""
    if resource.key in NOT_RELATED:
        return []
    found = [
        (other, name)
        for other in catalogue.ALL.values()
        for name, table in other.references.items()
        if table == resource.key and name in fields_of(other)
    ]
    order = {key: index for index, key in enumerate(FIRST)}
    return sorted(found, key=lambda pair: (order.get(pair[0].key, len(order)), pair[0].key))


def _label(other: Resource, name: str, resource: Resource) -> str:
    """`Contacts`, or `Accounts, parent` where the field is not this one's own name."""
    label = catalogue.label(other)
    own = name in (f"{resource.name}_id", f"{resource.name.rpartition('_')[2]}_id")
    return label if own else f"{label}: {fields_of(other)[name].label.lower()}"


async def _list(visit: Visit, resource: Resource, row: Row, other: Resource, name: str) -> List | None:
    fields = catalogue.known(other, visit.actor, {})
    if name not in fields:
        return None
    columns = [fields[each] for each in catalogue.usual(other, fields) if each != name][:COLUMNS]
    asked = query.Request(
        filters=[(name, "eq", str(row["id"]))], limit=SHOWN, fields=[each.name for each in columns]
    )
    if "currency" in fields and asked.fields is not None:
        asked.fields.append("currency")
    if other.key in catalogue.ORDER:
        query.reserved(asked, "sort", catalogue.ORDER[other.key])
    try:
        answer = msgspec.json.decode((await query.run(visit.database, other.source, visit.actor, asked)).body)
    except BadRequest:
        return None
    may_begin = catalogue.may_make(visit.actor, other) and (other.nested == name or fields[name].given)
    is_own = name in (f"{resource.name}_id", other.nested)
    if not answer["items"] and not (is_own and may_begin):
        return None
    found = answer["items"]
    names = await titles.of(visit, [*((other.key, each["id"]) for each in found), *shown.ids(found, columns)])
    new = f"{catalogue.href(other)}/new?{name}={row['id']}" if may_begin else ""
    return List(
        label=_label(other, name, resource), href=f"{catalogue.href(other)}?{name}={row['id']}",
        new=new if other.nested in (None, name) else "", columns=columns, more=answer["next"] is not None,
        rows=[
            {
                "href": catalogue.record_href(other.key, each["id"]),
                "title": names.get(each["id"]) or titles.told(other.key, None),
                "cells": [
                    (field, shown.shown(visit.say, field, shown.value(each, field.name), names, each))
                    for field in columns
                ],
            }
            for each in found
        ],
    )  # fmt: skip


async def lists(visit: Visit, resource: Resource, row: Row, only: frozenset[str] = frozenset()) -> list[List]:
    """The related lists of a record: its own children even where there are none yet, others where there are some.

    `only` names the resources that are wanted; empty, all are.
    """
    wanted = [
        _list(visit, resource, row, other, name)
        for other, name in pointing(resource)
        if may(visit.actor, other.key, "read") and (not only or other.key in only)
    ]
    return [each for each in await asyncio.gather(*wanted) if each is not None]


class Verb(msgspec.Struct, kw_only=True):
    """A button of a record. With `choices` or a picker it asks for one thing more; with `href` it is a link."""

    key: str
    label: str
    href: str = ""
    choices: list[str] = []
    picks: str = ""
    """The table that one picks a record of."""
    reason: bool = False


def verbs(visit: Visit, resource: Resource, row: Row) -> list[Verb]:
    """What this actor can do with this record beside changing and deleting it."""
    actor, found = visit.actor, []
    if resource.key == "leads" and row["status"] != "converted":
        if may(actor, "leads", "status"):
            path = [to for to in get_args(leads.Status) if to in leads.PATH.get(row["status"], ())]
            found.append(Verb(key="status", label="Set status", choices=path, reason=True))
        if may(actor, "leads", "convert"):
            found.append(Verb(key="convert", label="Convert"))
    if resource.key in ("accounts", "leads", "opportunities") and may(actor, resource.key, "assign"):
        found.append(Verb(key="assign", label="Assign", picks="users", reason=True))
    if resource.key == "quotes":
        found.append(Verb(key="print", label="Print", href=f"/api/v1/quotes/{row['id']}/page"))
        if row["status"] != "draft" and may(actor, "quotes", "create"):
            found.append(Verb(key="revise", label="Revise"))
    return found


async def alike(visit: Visit, resource: Resource, draft: Row) -> list[Row]:
    """The records that a new one looks like, as its create would warn of them."""
    if resource.key not in KINDS or resource.warn is None or not may(visit.actor, "duplicates", "read"):
        return []
    row = draft | {"id": new_id()}
    found = await candidates(visit.database, visit.actor, resource.key, row, to_warn=True)
    return [
        {
            "title": each.title, "href": catalogue.record_href(resource.key, each.id), "score": each.score,
            "reasons": " ".join(reason["text"] for reason in msgspec.to_builtins(each.reasons)),
        }
        for each in found[:MOST_WARNED]
    ]  # fmt: skip
