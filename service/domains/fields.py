"""Custom fields: what a company adds to its records, typed; their values lie in `cf` and are judged in `service/custom.py`.

A field is usable in filters, sorts, groups, expand-free lists, imports and rules from the moment it is defined.
`POST /fields/{id}/index` builds an index on it without locking writes; a unique field gets its index by itself.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import UNSET, Meta
from sqlalchemy.dialects.postgresql import JSONB

from service import columns as c
from service import custom, jobs
from service.access import ROLES, Actor, require
from service.crud import crud
from service.custom import FieldType
from service.db import Database, Tx, business_table, metadata, table_named
from service.errors import Conflict, Invalid, Pointer
from service.jobs import Job
from service.resource import Resource, Row
from service.rules import fault, refuse
from service.settings import Settings
from service.shapes import CustomText, Draft, Given, Key, Maybe, Name, Text, Words, item_of, patch_of
from service.wire import answer
from service.worker import Handler
from service.writes import locked

KnownAt = Literal["always", "at_close"]
Choice = Annotated[list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(max_length=500)]
RoleNames = Annotated[list[Literal[ROLES]], Meta(max_length=len(ROLES))]  # type: ignore[valid-type]
Unit = Annotated[str, Meta(min_length=1, max_length=40)]
MOST_CHECKED = 100_000
"""Distinct values that are there before their definition and are judged when it comes."""

# Tables --------------------------------------------------------------------------------------------

fields = business_table(
    "fields",
    c.text("entity", required=True),
    c.text("key", required=True),
    c.text("label", required=True),
    c.word("type", FieldType, required=True),
    c.texts("options"),
    c.text("reference_to"),
    c.text("description"),
    c.flag("is_required"),
    c.flag("is_unique"),
    c.flag("is_filterable", default=True),
    c.flag("is_feature"),
    c.flag("is_sensitive"),
    c.word("known_at", KnownAt, default="always"),
    sa.Column("default_value", JSONB),
    c.texts("read_only_for"),
    c.texts("hidden_from"),
    c.whole("position"),
    c.text("unit"),
    c.number("minimum"),
    c.number("maximum"),
    c.index("uq_fields_key", "entity", "key", unique=True),
    c.external("fields"),
)

# Shapes --------------------------------------------------------------------------------------------

Default = CustomText | bool | int | float | Words | None


class FieldDraft(Draft, kw_only=True):
    """`entity` is a business noun such as `opportunity`; `reference_to` another one, for fields of type `reference`.

    `known_at` says when a value can be known: one that is only known at the close is no feature of open deals.
    With `is_feature` models learn from it at their next training. `unit`, `minimum` and `maximum` are of numbers.
    """

    entity: Key
    key: Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[a-z][a-z0-9_]*$")]
    label: Name
    type: FieldType
    options: Given[Choice] = UNSET
    reference_to: Maybe[Key] = UNSET
    description: Maybe[Text] = UNSET
    is_required: Given[bool] = UNSET
    is_unique: Given[bool] = UNSET
    is_filterable: Given[bool] = UNSET
    is_feature: Given[bool] = UNSET
    is_sensitive: Given[bool] = UNSET
    known_at: Given[KnownAt] = UNSET
    default_value: Maybe[Default] = UNSET
    read_only_for: Given[RoleNames] = UNSET
    hidden_from: Given[RoleNames] = UNSET
    position: Maybe[int] = UNSET
    unit: Maybe[Unit] = UNSET
    minimum: Maybe[float] = UNSET
    maximum: Maybe[float] = UNSET


FieldPatch = patch_of(FieldDraft, "entity", "key", "type", "reference_to")
FieldItem = item_of(fields, FieldDraft, is_indexed=bool)

# Rules ---------------------------------------------------------------------------------------------

CHOICES = frozenset({"select", "multi_select"})
NUMBERS = frozenset({"number", "integer", "currency"})
LEARNED = frozenset({"opportunity", "account", "contact", "user", "team", "lead"})
"""Nouns whose fields can be features."""


def index_name(entity: str, key: str) -> str:
    return f"ix_cf_{entity}_{key}"


def _carries(entity: str) -> bool:
    """Whether records of this noun can have custom fields."""
    table = table_named(entity)
    return table is not None and "cf" in metadata.tables[table].c and table != "fields"


def check(new: Row, old: Row | None) -> None:
    """The noun exists, choices have options and nothing else has, the default is a value of the field."""
    faults = []
    options, kind = new.get("options") or [], new["type"]
    if not _carries(new["entity"]):
        faults.append(fault("entity", "is no record that takes custom fields, such as opportunity"))
    if (kind in CHOICES) != bool(options):
        faults.append(fault("options", "belong to select and multi_select, and there to at least one"))
    if len(set(options)) != len(options):
        faults.append(fault("options", "hold an option twice"))
    if (kind == "reference") != bool(new.get("reference_to")):
        faults.append(fault("reference_to", "belongs to fields of type reference, and to these always"))
    elif new.get("reference_to") and not _carries(new["reference_to"]):
        faults.append(fault("reference_to", "is no record that one can point at, such as account"))
    if new.get("is_unique") and kind in ("multi_select", "boolean"):
        faults.append(fault("is_unique", f"makes no sense for {kind}"))
    refuse([*faults, *_of_models(new, old), *_of_numbers(new)])
    if new.get("default_value") is not None:
        _judge(new, new["default_value"], "default_value")


def _of_models(new: Row, old: Row | None) -> Iterator[Pointer]:
    """A feature belongs to a noun that models look at, and is known while its record is open."""
    if not new.get("is_feature") or (old and old["is_feature"] and old["known_at"] == new["known_at"]):
        return
    if new["entity"] not in LEARNED:
        yield fault("is_feature", f"is for fields of {', '.join(sorted(LEARNED))}")
    if new.get("known_at") == "at_close":
        yield fault(
            "is_feature", "is not for what is only known at the close: a model would learn the outcome"
        )


def _of_numbers(new: Row) -> Iterator[Pointer]:
    for name in ("unit", "minimum", "maximum"):
        if new.get(name) is not None and new["type"] not in NUMBERS:
            yield fault(name, f"belongs to {', '.join(sorted(NUMBERS))}")
    low, high = new.get("minimum"), new.get("maximum")
    if low is not None and high is not None and low > high:
        yield fault("maximum", "lies below the minimum")


def _judge(row: Row, value: Any, member: str) -> None:
    try:
        custom.READ[row["type"]](custom.definition(row), value)
    except ValueError as error:
        raise Invalid.at(f"/{member}", str(error)) from None


async def prepare(run: Tx, actor: Actor, new: Row, old: Row | None) -> None:
    """What records hold under this key already must be values of the field, and single where it is unique."""
    if old is None:
        await _check_kept(run, new)
    if new.get("is_unique") and not (old and old["is_unique"]):
        await _check_single(run, new)


async def _check_kept(run: Tx | Database, new: Row) -> None:
    """Values from before the definition, or of a deleted one, deleted records' too: they may come back."""
    table = table_named(new["entity"])
    rows = await run.fetch(
        f"SELECT DISTINCT t.cf -> $1 AS value FROM {table} t WHERE jsonb_exists(t.cf, $1)"
        f" LIMIT {MOST_CHECKED} /* access:{table} */",  # whether a value fits, of whichever record
        new["key"],
    )
    for row in rows:
        try:
            kept = custom.READ[new["type"]](custom.definition(new), row["value"])
        except ValueError as error:
            kept = error
        if kept != row["value"]:
            raise Conflict(
                f"Records hold values under this key that are not of this type, for instance {row['value']!r}.",
                errors=[fault("type", "does not fit the values that are there")],
            )


async def _check_single(run: Tx | Database, new: Row) -> None:
    table, value = table_named(new["entity"]), custom.expression(custom.definition(new))
    twice = await run.fetchval(
        f"SELECT {value}::text FROM {table} t WHERE {value} IS NOT NULL AND t.deleted_at IS NULL"
        f" GROUP BY {value} HAVING count(*) > 1 LIMIT 1 /* access:{table} */"
    )
    if twice is not None:
        raise Conflict(
            f"Several records hold {twice!r} in this field.",
            errors=[fault("is_unique", "is not so: a value stands in several records")],
        )


async def after(tx: Tx, actor: Actor, row: Row, old: Row | None) -> None:
    """A field that became unique gets its index, which alone keeps two racing writers apart."""
    if row["is_unique"] and not (old and old["is_unique"]):
        await jobs.enqueue(tx, "fields.index", {"field_id": str(row["id"])}, actor=actor)


# Routes --------------------------------------------------------------------------------------------

IS_INDEXED = (
    "EXISTS (SELECT 1 FROM pg_class k JOIN pg_index i ON i.indexrelid = k.oid"
    " WHERE k.relname = 'ix_cf_' || t.entity || '_' || t.key AND i.indisvalid)"
)

resource = Resource(
    path="/fields",
    name="field",
    table=fields,
    draft=FieldDraft,
    patch=FieldPatch,
    item=FieldItem,
    text=("key", "label"),
    extra={"is_indexed": IS_INDEXED},
    extra_kinds={"is_indexed": "boolean"},
    check=check,
    prepare=prepare,
    after=after,
)


@post("/fields/{record_id:uuid}/index", status_code=202)
async def build_index(
    tx: NamedDependency[Tx], actor: NamedDependency[Actor], record_id: FromPath[UUID]
) -> Response[bytes]:
    """Builds an index on the field, as a job that locks no writes; a field that has one keeps it."""
    require(actor, "fields", "update")
    row = await locked(tx, resource, actor, record_id)
    job = await jobs.enqueue(tx, "fields.index", {"field_id": str(row["id"])}, actor=actor)
    return answer({"job": job}, 202)


routes = [*crud(resource), build_index]


# Jobs ----------------------------------------------------------------------------------------------


def _index_sql(row: Row) -> str:
    table, field = table_named(row["entity"]), custom.definition(row)
    name, value = index_name(row["entity"], row["key"]), custom.expression(field, str(table))
    if field.kind == "texts":
        return f"CREATE INDEX CONCURRENTLY {name} ON {table} USING gin ({value}) WHERE deleted_at IS NULL"
    unique = "UNIQUE " if field.is_unique else ""
    return f"CREATE {unique}INDEX CONCURRENTLY {name} ON {table} ({value}) WHERE deleted_at IS NULL"


def handlers(settings: Settings) -> dict[str, Handler]:
    """An index is the owner's to make, and outside a transaction: so it has a connection of its own."""

    async def index(job: Job) -> dict[str, Any]:
        row = await job.database.fetchrow(
            "SELECT * FROM fields WHERE id = $1 AND deleted_at IS NULL /* access:fields */",
            UUID(job.payload["field_id"]),
        )
        if row is None:
            return {"detail": "The field is gone."}
        name = index_name(row["entity"], row["key"])
        owner = await asyncpg.connect(settings.database_url)
        try:
            state = await owner.fetchrow(
                "SELECT i.indisvalid AND (i.indisunique OR NOT $2) AS fits FROM pg_class k"
                " JOIN pg_index i ON i.indexrelid = k.oid WHERE k.relname = $1",
                name,
                row["is_unique"],
            )
            if state is None or not state["fits"]:
                await owner.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
                await owner.execute(_index_sql(dict(row)))
        except asyncpg.UniqueViolationError as error:
            await owner.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            raise Conflict(f"Several records hold one value: {error.detail}") from error
        finally:
            await owner.close()
        return {"index": name}

    return {"fields.index": index}
