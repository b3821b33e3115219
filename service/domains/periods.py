"""Periods: months, quarters and years of the company's own calendar, by key (`2026Q4`)."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import sqlalchemy as sa
from msgspec import UNSET, Meta

from service import columns as c
from service.access import Actor
from service.crud import crud
from service.db import business_table
from service.errors import Pointer
from service.resource import Resource, Row
from service.rules import fault, in_order, not_itself, refuse
from service.shapes import Draft, Line, Maybe, item_of, patch_of

Type = Literal["month", "quarter", "year"]
Status = Literal["open", "locked"]

# Tables --------------------------------------------------------------------------------------------

periods = business_table(
    "periods",
    c.text("key", required=True),
    c.text("name"),
    c.word("type", Type, required=True),
    c.day("start_date", required=True),
    c.day("end_date", required=True),
    c.whole("fiscal_year"),
    c.reference("parent_id", "periods"),
    c.word("status", Status, default="open"),
    sa.CheckConstraint("start_date <= end_date", name="dates"),
    c.index("uq_periods_key", "key", unique=True),
    c.index("ix_periods_start_date", "start_date"),
    c.external("periods"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------


Key = Annotated[str, Meta(pattern=r"^[0-9]{4}([A-Za-z0-9-]{0,12})$", max_length=16)]
FIRST_YEAR, LAST_YEAR = 1900, 9000
Year = Annotated[int, Meta(ge=FIRST_YEAR, le=LAST_YEAR)]


class PeriodDraft(Draft, kw_only=True):
    """Both days are included."""

    key: Key
    type: Type
    start_date: date
    end_date: date
    name: Maybe[Line] = UNSET
    fiscal_year: Maybe[Year] = UNSET
    parent_id: Maybe[UUID] = UNSET


PeriodPatch = patch_of(PeriodDraft)
Period = item_of(periods, PeriodDraft)

# Rules ---------------------------------------------------------------------------------------------


def _years(row: Row) -> Iterator[Pointer]:
    """The fiscal year follows from the dates: they lie where it may."""
    for name in ("start_date", "end_date"):
        if not FIRST_YEAR <= row[name].year <= LAST_YEAR:
            yield fault(name, f"must be between the years {FIRST_YEAR} and {LAST_YEAR}")


def check(new: Row, old: Row | None) -> None:
    """A period ends on or after the day on which it starts."""
    refuse(in_order(new, "start_date", "end_date"), _years(new))
    not_itself(new, "parent_id")


def defaults(draft: Row, actor: Actor, now: datetime) -> Row:
    """A period is called by its key, and counts for the year in which it ends."""
    return {
        "name": draft.get("name") or draft["key"],
        "fiscal_year": draft.get("fiscal_year") or draft["end_date"].year,
    }


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/periods",
    name="period",
    table=periods,
    draft=PeriodDraft,
    patch=PeriodPatch,
    item=Period,
    references={"parent_id": "periods"},
    text=("key", "name"),
    tree="parent_id",
    check=check,
    defaults=defaults,
)

routes = crud(resource)
