"""Saved views: a filter, an order and columns of a list under a name; one's own, or shared with teams."""

from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta

from service import columns as c
from service import query, saved
from service.access import Actor
from service.crud import crud
from service.db import Tx, business_table
from service.errors import BadRequest, Pointer
from service.resource import Resource, Row
from service.resources import RESOURCES
from service.rules import exist, fault, refuse
from service.shapes import Criteria, Draft, Given, Name, item_of, patch_of

# Tables --------------------------------------------------------------------------------------------

views = business_table(
    "views",
    c.text("name", required=True),
    c.text("resource", required=True),
    c.items("filter"),
    c.texts("sort"),
    c.texts("columns"),
    c.ids("shared_team_ids"),
    c.index("ix_views_created_by_id", "created_by_id", "resource"),
    c.external("views"),
)

# Shapes --------------------------------------------------------------------------------------------

Kind = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z_]+$")]
Path = Annotated[str, Meta(min_length=1, max_length=130, pattern=r"^-?[a-z_]+(\.[A-Za-z0-9_]+)?$")]


class ViewDraft(Draft, kw_only=True):
    """`filter` in the grammar of lists, `sort` as `-amount`, `columns` by name: all judged by the resource."""

    name: Name
    resource: Kind
    filter: Given[Criteria] = UNSET
    sort: Given[Annotated[list[Path], Meta(max_length=5)]] = UNSET
    columns: Given[Annotated[list[Path], Meta(max_length=100)]] = UNSET
    shared_team_ids: Given[Annotated[list[UUID], Meta(max_length=100)]] = UNSET


ViewPatch = patch_of(ViewDraft, "resource")
View = item_of(views, ViewDraft)

# Rules ---------------------------------------------------------------------------------------------


async def _told(tx: Tx, new: Row, actor: Actor) -> list[Pointer]:
    """Each part must be one that the list itself would take from this person."""
    of = RESOURCES.get(new["resource"])
    if of is None:
        return [fault("resource", "there is no such resource")]
    faults = []
    for name, request in saved.parts(new):
        try:
            (await query.prepared(tx, of.source, actor, request)).list_sql({})
        except BadRequest as error:
            faults.append(fault(name, str(error)))
    return faults


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Filter, sort and columns are ones of the list; the teams exist."""
    refuse(await _told(tx, new, actor))
    if new.get("shared_team_ids"):
        await exist(tx, actor, "teams", "shared_team_ids", new["shared_team_ids"])


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/views",
    name="view",
    table=views,
    draft=ViewDraft,
    patch=ViewPatch,
    item=View,
    text=("name",),
    prepare=prepare,
    prepare_reads=True,
)

routes = crud(resource)
