"""What lies between two scores of a deal or lead: two stored attributions set against each other, in words."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from service import difference
from service.access import Actor, require
from service.db import Database
from service.domains.scores import Grade, Tier, record_of
from service.errors import BadRequest, NotFound
from service.settings import Settings
from service.wire import answer

# Shapes --------------------------------------------------------------------------------------------

Since = Annotated[str | None, QueryParameter(name="from")]
Until = Annotated[str | None, QueryParameter(name="to")]


class End(msgspec.Struct, kw_only=True):
    """A score at one end of a difference. `chance`: to win, or to convert within 90 days."""

    id: UUID
    scored_at: datetime
    as_of: datetime
    score: int
    grade: Grade
    model: str
    model_version: int | None
    tier: Tier
    chance: float


class Part(msgspec.Struct, kw_only=True):
    """What one reason adds to the change (or takes, below 0), in its words now and before."""

    key: str
    text: str
    effect: float
    direction: Literal["up", "down"]
    value: Any = None
    before: str = ""


class Difference(msgspec.Struct, kw_only=True, rename={"from_": "from"}):
    """`change` is the chance at `to` less that at `from`; all `parts` sum to it. `text` says it in a sentence."""

    from_: End
    to: End
    change: float
    parts: list[Part]
    text: str
    is_same_model: bool


# Rules ---------------------------------------------------------------------------------------------

WEEK = timedelta(days=7)


def parsed(name: str, end: str) -> UUID | datetime:
    """An end of a difference: the id of a score, or an instant with its zone. Raises 400."""
    for read in (UUID, datetime.fromisoformat):
        try:
            found: Any = read(end.replace(" ", "+"))  # a plus of a query that nobody escaped
        except ValueError:
            continue
        if isinstance(found, UUID) or found.tzinfo is not None:
            return found  # type: ignore[no-any-return]  # one of the two
    raise BadRequest(f"{name}: an instant with its zone such as 2026-01-31T00:00:00Z, or the id of a score.")


async def at(
    database: Database,
    column: str,
    record_id: UUID,
    name: str,
    end: UUID | datetime,
    *,
    or_first: bool = False,
) -> Any:
    """The score that an end means: by id, or the newest at an instant; `or_first`: of a younger record its first one.
    Raises 404 where there is none."""
    found = f"SELECT s.id, s.scored_at FROM scores s WHERE s.{column} = $1 /* access:scores */ AND "
    if isinstance(end, UUID):
        row = await database.fetchrow(found + "s.id = $2", record_id, end)
    else:
        last = "s.scored_at <= $2 ORDER BY s.scored_at DESC, s.id DESC LIMIT 1"
        row = await database.fetchrow(found + last, record_id, end)
    if row is None and or_first:
        row = await database.fetchrow(found + "TRUE ORDER BY s.scored_at, s.id LIMIT 1", record_id)
    if row is None:
        raise NotFound(f"{name}: there is no such score, or none had been made by then.")
    return row


async def _answer(
    database: Database,
    settings: Settings,
    actor: Actor,
    table: str,
    record_id: UUID,
    ends: tuple[str | None, str | None],
) -> Response[bytes]:
    require(actor, "scores", "read")
    await record_of(database, actor, table, record_id)
    column = "lead_id" if table == "leads" else "opportunity_id"
    since, until = ends
    last = parsed("to", until) if until else datetime.now(UTC)
    newer = await at(database, column, record_id, "to", last)
    first = parsed("from", since) if since else newer["scored_at"] - WEEK
    older = await at(database, column, record_id, "from", first, or_first=since is None)
    return answer(await difference.between(database, settings, actor, older["id"], newer["id"]))


# Routes --------------------------------------------------------------------------------------------


@get(
    "/opportunities/{record_id:uuid}/score/diff",
    opt={"answer": Difference, "query": ("from", "to"), "statuses": (400, 404)},
)
async def of_deal(
    record_id: FromPath[UUID],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
    since: Since = None,
    until: Until = None,
) -> Response[bytes]:
    """What lies between two scores of the deal, each an id or an instant: by default the newest, and that of a week ago."""
    return await _answer(database, settings, actor, "opportunities", record_id, (since, until))


@get(
    "/leads/{record_id:uuid}/score/diff",
    opt={"answer": Difference, "query": ("from", "to"), "statuses": (400, 404)},
)
async def of_lead(
    record_id: FromPath[UUID],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    actor: NamedDependency[Actor],
    since: Since = None,
    until: Until = None,
) -> Response[bytes]:
    """What lies between two scores of the lead, each an id or an instant: by default the newest, and that of a week ago."""
    return await _answer(database, settings, actor, "leads", record_id, (since, until))


routes: list[Any] = [of_deal, of_lead]
