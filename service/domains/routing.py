"""Routing rules: which leads and accounts go to whom, in their order, and how soon the first answer is due."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta

from service import columns as c
from service import criteria
from service.crud import crud
from service.db import Database, Tx, business_table
from service.errors import Pointer
from service.resource import Resource, Row
from service.rules import askable, fault, refuse
from service.shapes import Criteria, Draft, Given, Maybe, Name, Text, item_of, patch_of

Entity = Literal["lead", "account"]
Match = Literal["all", "any"]
Target = Literal["pool", "user", "account_owner", "territory_owner"]
TABLES = {"lead": "leads", "account": "accounts"}

# Tables --------------------------------------------------------------------------------------------

routing_rules = business_table(
    "routing_rules",
    c.text("name", required=True),
    c.text("description"),
    c.whole("position", required=True),
    c.flag("is_active", default=True),
    c.word("entity", Entity, default="lead"),
    c.items("criteria"),
    c.word("match", Match, default="all"),
    c.word("target", Target, required=True),
    c.reference("pool_id", "pools"),
    c.reference("user_id", "users"),
    c.whole("sla_minutes"),
    c.reference("fallback_pool_id", "pools"),
    c.index("ix_routing_rules_position", "entity", "position"),
    c.external("routing_rules"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------


class RoutingRuleDraft(Draft, kw_only=True):
    """The first active rule, by `position`, whose criteria hold decides; `sla_minutes` is the time to a first answer."""

    name: Name
    position: Annotated[int, Meta(ge=0, le=100_000)]
    target: Target
    description: Maybe[Text] = UNSET
    is_active: Given[bool] = UNSET
    entity: Given[Entity] = UNSET
    criteria: Given[Criteria] = UNSET
    match: Given[Match] = UNSET
    pool_id: Maybe[UUID] = UNSET
    user_id: Maybe[UUID] = UNSET
    sla_minutes: Maybe[Annotated[int, Meta(ge=1, le=525_600)]] = UNSET
    fallback_pool_id: Maybe[UUID] = UNSET


RoutingRulePatch = patch_of(RoutingRuleDraft)
RoutingRule = item_of(routing_rules, RoutingRuleDraft)

# Rules ---------------------------------------------------------------------------------------------


def _target(row: Row) -> Iterator[Pointer]:
    """A pool, or a person, is named where the target is one, and only there."""
    for name, target in (("pool_id", "pool"), ("user_id", "user")):
        named = row.get(name) is not None
        if row["target"] == target and not named:
            yield fault(name, f"names the {target} that the rule sends to")
        if row["target"] != target and named:
            yield fault(name, f"is not asked where the target is {row['target']}")
    if row.get("sla_minutes") is not None and row.get("entity", "lead") != "lead":
        yield fault("sla_minutes", "only leads wait for a first answer")


def check(new: Row, old: Row | None) -> None:
    """The target is whole, and the criteria ask for fields that there are."""
    refuse(_target(new), askable(TABLES[new.get("entity", "lead")], new.get("criteria"), "criteria"))


async def rules_of(run: Tx | Database, entity: Entity) -> list[Row]:
    """The active rules for leads or accounts, in their order."""
    rows = await run.fetch(
        "SELECT * FROM routing_rules WHERE is_active AND deleted_at IS NULL AND entity = $1 ORDER BY position, id",
        entity,
    )
    return [dict(row) for row in rows]


def first_that_holds(rules: Sequence[Row], record: Row) -> Row | None:
    """The rule that decides about a record."""
    return next((rule for rule in rules if criteria.matches(rule["criteria"], record, rule["match"])), None)


def due(rules: Sequence[Row], lead: Row, since: datetime) -> datetime | None:
    """By when a lead should hear from its owner; None where no rule sets a time."""
    rule = first_that_holds(rules, lead)
    minutes = rule["sla_minutes"] if rule else None
    return since + timedelta(minutes=minutes) if minutes else None


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/routing-rules",
    name="routing_rule",
    table=routing_rules,
    draft=RoutingRuleDraft,
    patch=RoutingRulePatch,
    item=RoutingRule,
    references={"pool_id": "pools", "user_id": "users", "fallback_pool_id": "pools"},
    text=("name",),
    check=check,
)

routes = crud(resource)
