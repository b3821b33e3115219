"""The company: one row with its name, home currency, time zone, fiscal year and holidays."""

from datetime import date
from typing import Annotated, Any

import sqlalchemy as sa
from litestar import Request, Response, get, patch
from litestar.di import NamedDependency
from msgspec import UNSET, Meta

from service import columns as c
from service.access import SYSTEM, Actor, require, visible
from service.db import Database, Params, Tx, business_table
from service.errors import Conflict, NotFound
from service.resource import Resource, Row, plain
from service.rules import refuse, zone
from service.shapes import Currency, Draft, Given, Name, Zone, item_of, patch_of
from service.wire import answer, body, check_version, etag, expected_version
from service.writes import document, locked, update

# Tables --------------------------------------------------------------------------------------------

company = business_table(
    "company",
    sa.Column("name", sa.Text, nullable=False, server_default="Company"),
    sa.Column("home_currency", sa.Text, nullable=False, server_default="USD"),
    sa.Column("time_zone", sa.Text, nullable=False, server_default="UTC"),
    sa.Column("fiscal_year_start", sa.Integer, nullable=False, server_default="1"),
    sa.Column("week_start", sa.Integer, nullable=False, server_default="1"),
    c.items("holidays"),
    sa.CheckConstraint("fiscal_year_start BETWEEN 1 AND 12", name="fiscal_year_start"),
    sa.CheckConstraint("week_start BETWEEN 1 AND 7", name="week_start"),
    sa.Index("uq_company_one", sa.text("(TRUE)"), unique=True),
    guarded=False,
)
"""There is one row; `fiscal_year_start` is a month, `week_start` a weekday (1 is Monday)."""

# Shapes --------------------------------------------------------------------------------------------


class CompanyDraft(Draft, kw_only=True):
    name: Given[Name] = UNSET
    home_currency: Given[Currency] = UNSET
    time_zone: Given[Zone] = UNSET
    fiscal_year_start: Given[Annotated[int, Meta(ge=1, le=12)]] = UNSET
    week_start: Given[Annotated[int, Meta(ge=1, le=7)]] = UNSET
    holidays: Given[Annotated[list[date], Meta(max_length=1000)]] = UNSET


CompanyPatch = patch_of(CompanyDraft)
Company = item_of(company, CompanyDraft)

# Rules ---------------------------------------------------------------------------------------------


def check(new: Row, old: Row | None) -> None:
    """A known time zone."""
    refuse(zone(new))


async def prepare(tx: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """Home amounts are kept beside amounts: the home currency stays once there are any."""
    new["holidays"] = sorted({str(day) for day in new["holidays"]})
    if old and new["home_currency"] != old["home_currency"]:
        seen = visible(SYSTEM, "opportunities", "t", Params())
        if await tx.fetchval(
            f"SELECT 1 FROM opportunities t WHERE t.amount_home IS NOT NULL AND {seen} LIMIT 1"
        ):
            raise Conflict("There are amounts in the home currency already: it stays.")


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/company",
    name="company",
    table=company,
    draft=CompanyDraft,
    patch=CompanyPatch,
    item=Company,
    check=check,
    prepare=prepare,
)


async def _row(run: Database | Tx) -> Any:
    found = await run.fetchval("SELECT id FROM company LIMIT 1")
    if found is None:
        raise NotFound("The company has no settings yet.")
    return found


@get("/company", opt={"answer": Company})
async def one(database: NamedDependency[Database], actor: NamedDependency[Actor]) -> Response[bytes]:
    """The company's settings."""
    require(actor, "company", "read")
    text, version = await document(database, resource, actor, await _row(database))
    return answer(text, headers={"ETag": etag(version)})


@patch("/company", opt={"body": CompanyPatch, "answer": Company, "statuses": (409, 412)})
async def change(
    request: Request[Any, Any, Any], tx: NamedDependency[Tx], actor: NamedDependency[Actor]
) -> Response[bytes]:
    """Changes the company's settings."""
    require(actor, "company", "update")
    values = plain(await body(request, CompanyPatch))
    old = await locked(tx, resource, actor, await _row(tx))
    check_version(expected_version(request), old["version"])
    await update(tx, resource, actor, old, values)
    text, version = await document(tx, resource, actor, old["id"])
    return answer(text, headers={"ETag": etag(version)})


routes = [one, change]
