"""What stands beside a model: versions that score silently, and the daily report on what it was served."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from registry import silent
from registry.champion import NotPublishable, Unknown
from service.access import Actor, require
from service.db import Database, Tx
from service.domains.models import WATCHED, known, name_version
from service.errors import BadRequest, Conflict, Invalid, NotFound
from service.wire import Web, answer, body

# Shapes --------------------------------------------------------------------------------------------

Alias = Literal["challenger", "shadow"]


class Naming(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which version is to score silently."""

    version: Annotated[int, Meta(ge=1, le=2_000_000_000)]
    reason: Annotated[str, Meta(max_length=2000)] = ""


class Named(msgspec.Struct, kw_only=True):
    """A version that scores silently. A `challenger` takes the champion's place by itself once it is better for certain."""

    model: str
    alias: Alias
    version: int
    set_at: datetime
    set_by: str
    reason: str


class NamedList(msgspec.Struct, kw_only=True):
    items: list[Named]
    next: str | None


class Report(msgspec.Struct, kw_only=True):
    """A day's look. `features`: each with its distance from the weeks before, what is usual, and its source, the drifted
    first; `skew`: features whose served values history does not confirm; `matured`: what was said beside what came;
    `challenger`: its evidence; `why_train`: the reason for which a training was queued."""

    model: str
    version: int
    day: date
    weeks: dict[str, int]
    rows: int
    drifted: list[str]
    features: list[dict[str, Any]]
    skew: dict[str, Any]
    matured: dict[str, Any]
    challenger: dict[str, Any] | None
    why_train: str
    words: str = ""


# Rules ---------------------------------------------------------------------------------------------


def scored(name: str) -> str:
    """The name of a model that scores deals or leads; 404 for others."""
    if known(name) not in WATCHED:
        raise NotFound(f"The model {name} gives no scores: only {' and '.join(WATCHED)} are watched.")
    return name


async def report_of(database: Database, name: str, day: date | None) -> dict[str, Any]:
    """The newest report, or that of a day; 404 where there is none."""
    row = await database.fetchrow(
        "SELECT report FROM registry.reports WHERE model = $1 AND ($2::date IS NULL OR day = $2) ORDER BY day DESC,"
        " version DESC LIMIT 1",
        name,
        day,
    )
    if row is None:
        raise NotFound(
            f"There is no report on {name}" + (f" of {day}." if day else " yet: they are made each night.")
        )
    return dict(row["report"])


# Routes --------------------------------------------------------------------------------------------


@get("/models/{name:str}/aliases", opt={"answer": NamedList})
async def listed(
    database: NamedDependency[Database], actor: NamedDependency[Actor], name: FromPath[str]
) -> Response[bytes]:
    """The versions of a model that score silently."""
    require(actor, "models", "read")
    return answer({"items": await silent.aliases(database, scored(name)), "next": None})


@put("/models/{name:str}/aliases/{alias:str}", opt={"body": Naming, "answer": Named, "statuses": (409,)})
async def set_alias(
    request: Web,
    tx: NamedDependency[Tx],
    actor: NamedDependency[Actor],
    name: FromPath[str],
    alias: FromPath[str],
) -> Response[bytes]:
    """Lets a version score silently beside the champion."""
    require(actor, "models", "promote")
    given = await body(request, Naming)
    if alias not in silent.ALIASES:
        raise NotFound(f"There is no alias {alias!r}; there are {' and '.join(silent.ALIASES)}.")
    try:
        await name_version(tx, actor, scored(name), alias, given.version, given.reason)
    except Unknown as error:
        raise Invalid.at("/version", str(error)) from None
    except NotPublishable as error:
        raise Conflict(f"{error}.") from None
    found = {row["alias"]: row for row in await silent.aliases(tx, name)}
    return answer(found[alias])


@delete("/models/{name:str}/aliases/{alias:str}", status_code=204)
async def drop_alias(
    tx: NamedDependency[Tx], actor: NamedDependency[Actor], name: FromPath[str], alias: FromPath[str]
) -> None:
    """Ends the silent scoring; what was said stays."""
    require(actor, "models", "promote")
    found = {row["alias"]: row["version"] for row in await silent.aliases(tx, scored(name))}
    if alias not in found:
        raise NotFound(f"The model {name} has no {alias}.")
    await name_version(tx, actor, name, alias, None)


@get("/models/{name:str}/report", opt={"answer": Report, "query": ("day",)})
async def report(
    database: NamedDependency[Database],
    actor: NamedDependency[Actor],
    name: FromPath[str],
    day: FromQuery[str | None] = None,
) -> Response[bytes]:
    """The newest daily report on what the model was served, or that of a day."""
    require(actor, "models", "read")
    try:
        wanted = date.fromisoformat(day) if day else None
    except ValueError:
        raise BadRequest("day: a date such as 2026-01-31.") from None
    return answer(await report_of(database, scored(name), wanted))


routes: list[Any] = [listed, set_alias, drop_alias, report]
