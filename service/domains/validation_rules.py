"""Validation rules: what must be true of a record when something else is, in the company's own words."""

from collections.abc import Iterator
from typing import Annotated

import sqlalchemy as sa
from msgspec import UNSET, Meta
from sqlalchemy.dialects.postgresql import JSONB

from service import columns as c
from service import query
from service.crud import crud
from service.db import business_table, table_named
from service.errors import Pointer
from service.resource import Resource, Row
from service.resources import RESOURCES
from service.rules import fault, refuse
from service.shapes import Criteria, Criterion, Draft, Given, Maybe, Name, item_of, patch_of

# Tables --------------------------------------------------------------------------------------------

validation_rules = business_table(
    "validation_rules",
    c.text("entity", required=True),
    c.text("name", required=True),
    c.items("when"),
    sa.Column("require", JSONB, nullable=False),
    c.text("field"),
    c.text("message", required=True),
    c.flag("is_active", default=True),
    c.index("uq_validation_rules_name", "entity", "lower(name)", unique=True),
    c.external("validation_rules"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------

Entity = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z_]+$")]
Message = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"\S")]
Path = Annotated[str, Meta(max_length=130, pattern=r"^[a-z_]+(\.[A-Za-z0-9_]+)?$")]


class ValidationRuleDraft(Draft, kw_only=True):
    """Where all of `when` holds (always, if it is empty), all of `require` must; `field` is what an error points at.

    `entity` is a business noun such as `opportunity`, as in custom fields.
    """

    entity: Entity
    name: Name
    when: Given[Criteria] = UNSET
    require: Annotated[list[Criterion], Meta(min_length=1, max_length=30)]
    field: Maybe[Path] = UNSET
    message: Message
    is_active: Given[bool] = UNSET


ValidationRulePatch = patch_of(ValidationRuleDraft, "entity")
ValidationRule = item_of(validation_rules, ValidationRuleDraft)

# Rules ---------------------------------------------------------------------------------------------


def _known(row: Row) -> Iterator[Pointer]:
    """A rule speaks of the record's own fields: it is judged before anything is stored."""
    table = table_named(row["entity"])
    if table not in RESOURCES:
        yield fault("entity", "is no record that rules can be about, such as opportunity")
        return
    own = query.columns(RESOURCES[table].table.name)
    named = [(f"{part}/{index}/field", each["field"]) for part in ("when", "require")
             for index, each in enumerate(row.get(part) or ())]  # fmt: skip
    if row.get("field"):
        named.append(("field", row["field"]))
    for pointer, field in named:
        if field not in own and not field.startswith("cf."):
            yield fault(pointer, f"there is no field {field} of the record itself")


def check(new: Row, old: Row | None) -> None:
    """The fields are fields of the entity."""
    refuse(_known(new))


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/validation-rules",
    name="validation_rule",
    table=validation_rules,
    draft=ValidationRuleDraft,
    patch=ValidationRulePatch,
    item=ValidationRule,
    text=("name", "message"),
    check=check,
)

routes = crud(resource)
