"""What the pages of records know of every resource: its words, its group in the navigation, its columns, its fields.

All of it is read from the catalogue of resources that the API has; what stands here is only what cannot be read there.
"""

from functools import cache

import msgspec

from service.access import Actor, hidden, may
from service.custom import Field as Custom
from service.domains import validation_rules
from service.resource import Resource
from service.resources import RESOURCES
from service.web.fields import Field, custom_field, fields_of

ALL: dict[str, Resource] = RESOURCES | {"validation_rules": validation_rules.resource}

GROUPS: dict[str, tuple[str, ...]] = {
    "Sell": (
        "leads", "accounts", "contacts", "opportunities", "activities", "quotes", "notes", "documents",
        "relationships", "competitors", "battle_cards", "playbooks", "campaigns",
    ),
    "Plan": ("quotas", "territory_models", "territories", "periods", "pools", "routing_rules"),
    "Set up": (
        "users", "teams", "roles", "shares", "products", "price_books", "exchange_rates", "pipelines", "stages",
        "fields", "validation_rules",
    ),
}  # fmt: skip
"""The entries of the navigation; what hangs on a deal (lines, stakeholders, splits …) is reached from there."""

MADE_ELSEWHERE = frozenset({"documents", "guest_links"})
"""What is made with more than its fields, a file or an address that is shown once: on the page of a deal."""

NAMES = {"opportunities": "Deals", "lines": "Lines", "fields": "Custom fields"}
SINGULAR = {"opportunities": "Deal", "lines": "Line", "fields": "Custom field"}

COLUMNS: dict[str, tuple[str, ...]] = {
    "accounts": ("industry", "type", "segment", "number_of_employees", "annual_revenue", "owner_id"),
    "activities": ("type", "occurred_at", "status", "account_id", "opportunity_id", "owner_id"),
    "battle_cards": ("competitor_id", "status", "owner_id", "reviewed_at"),
    "campaigns": ("type", "status", "start_date", "end_date", "cost"),
    "competitors": ("domain", "strengths", "weaknesses", "is_active"),
    "contacts": ("title", "account_id", "email", "phone", "owner_id"),
    "documents": ("type", "opportunity_id", "account_id", "size_bytes", "created_at"),
    "exchange_rates": ("currency", "date", "rate"),
    "fields": ("entity", "key", "type", "is_required", "is_filterable", "is_feature"),
    "leads": ("company", "status", "rating", "lead_source", "owner_id", "created_at"),
    "lines": ("opportunity_id", "quantity", "unit_price", "discount_percent", "total_price"),
    "notes": ("kind", "opportunity_id", "account_id", "created_at", "created_by_id"),
    "opportunities": ("account_id", "stage", "amount", "close_date", "forecast_category", "owner_id"),
    "periods": ("key", "type", "start_date", "end_date", "status"),
    "pipelines": ("key", "is_default", "is_active"),
    "playbooks": ("pipeline_id", "stage", "status"),
    "pools": ("method", "respect_working_hours", "is_active"),
    "price_books": ("currency", "is_default", "is_active"),
    "products": ("code", "family", "list_price", "billing_period", "is_active"),
    "quotas": ("period_id", "user_id", "team_id", "territory_id", "amount", "measure", "status"),
    "quotes": ("opportunity_id", "status", "total", "valid_until", "sent_at"),
    "relationships": ("contact_id", "related_contact_id", "related_account_id", "strength", "is_active"),
    "roles": ("key", "base_role", "description"),
    "routing_rules": ("position", "entity", "target", "sla_minutes", "is_active"),
    "shares": ("user_id", "team_id", "level", "expires_at"),
    "stages": ("pipeline_id", "position", "status", "probability", "forecast_category", "rotting_days"),
    "stakeholders": ("opportunity_id", "role", "influence", "sentiment"),
    "teams": ("parent_id", "manager_id"),
    "territories": ("model_id", "parent_id", "type", "owner_id", "priority"),
    "territory_models": ("status", "effective_from", "activated_at"),
    "users": ("email", "role", "title", "team_id", "manager_id", "is_active"),
    "validation_rules": ("entity", "is_active"),
}
"""The columns that a list has beside the record's title, unless one chooses others."""

MOST_COLUMNS = 6

ORDER = {
    "stages": "pipeline_id,position", "routing_rules": "position", "periods": "-start_date", "exchange_rates": "-date",
    "activities": "-occurred_at", "territories": "model_id,priority,name", "fields": "entity,position,key",
    **dict.fromkeys(
        ["users", "teams", "roles", "products", "price_books", "pipelines", "pools", "competitors", "playbooks"], "name"
    ),
}  # fmt: skip
"""The order of a list unless one chooses another; elsewhere the newest record comes first."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the navigation."""

    label: str
    href: str


def slug(resource: Resource) -> str:
    """`price_books` as it stands in an address."""
    return resource.key.replace("_", "-")


def named(text: str) -> Resource | None:
    """The resource of an address."""
    return ALL.get(text.replace("-", "_")) if "_" not in text else None


def label(resource: Resource) -> str:
    """`Price books`."""
    return NAMES.get(resource.key) or resource.key.replace("_", " ").capitalize()


def singular(resource: Resource) -> str:
    """`Price book`."""
    return SINGULAR.get(resource.key) or resource.name.replace("_", " ").capitalize()


def href(resource: Resource) -> str:
    return f"/records/{slug(resource)}"


def record_href(table: str, record_id: object) -> str:
    """Where a record is shown; empty for one without a page."""
    if table == "opportunities":
        return f"/deals/{record_id}"
    return f"/records/{slug(ALL[table])}/{record_id}" if table in ALL else ""


def may_make(actor: Actor, resource: Resource) -> bool:
    """Whether this actor makes records of this kind by their form."""
    return resource.key not in MADE_ELSEWHERE and may(actor, resource.key, "create")


def places(actor: Actor) -> list[tuple[str, list[Place]]]:
    """The navigation of this actor, by groups."""
    found = [
        (
            group,
            [Place(label=label(ALL[key]), href=href(ALL[key])) for key in keys if may(actor, key, "read")],
        )
        for group, keys in GROUPS.items()
    ]
    return [(group, entries) for group, entries in found if entries]


def known(resource: Resource, actor: Actor, customs: dict[str, Custom]) -> dict[str, Field]:
    """The fields that exist for this actor, the company's own last."""
    unseen = hidden(actor, resource.key)
    own = {name: field for name, field in fields_of(resource).items() if name not in unseen}
    more = [custom_field(each, actor) for each in customs.values() if f"cf.{each.key}" not in unseen]
    return own | {field.name: field for field in more}


@cache
def _usual(resource: Resource) -> tuple[str, ...]:
    if resource.key in COLUMNS:
        return COLUMNS[resource.key]
    return tuple(name for name, field in fields_of(resource).items() if field.is_listable)[:MOST_COLUMNS]


def usual(resource: Resource, fields: dict[str, Field]) -> list[str]:
    """The columns of a list by default, of those that this actor sees."""
    return [name for name in _usual(resource) if name in fields]
