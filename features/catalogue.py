"""All entities, all features, and the sets that models learn from. The one list to look at."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from features import (
    accounts,
    activities,
    contacts,
    custom,
    leads,
    lines,
    notes,
    opportunities,
    pipeline,
    reps,
    rooms,
    stakeholders,
    teams,
)
from features.custom import Declared
from features.spec import Entity, Feature, FeatureSet, definition, formerly

ENTITIES: dict[str, Entity] = {
    entity.name: entity
    for entity in (
        opportunities.DEAL,
        accounts.ACCOUNT,
        contacts.CONTACT,
        reps.REP,
        teams.TEAM,
        leads.LEAD,
        pipeline.COMPANY,
    )
}

DEALS: tuple[Feature, ...] = (
    *opportunities.FEATURES,
    *activities.FEATURES,
    *stakeholders.FEATURES,
    *lines.FEATURES,
    *rooms.FEATURES,
    *notes.FEATURES,
)
"""All that is known of a deal."""

FEATURES: tuple[Feature, ...] = (
    *DEALS,
    *accounts.FEATURES,
    *contacts.FEATURES,
    *reps.FEATURES,
    *teams.FEATURES,
    *leads.FEATURES,
    *pipeline.FEATURES,
)

LEAD_OWNER = (reps.rep_conversion_rate, reps.rep_open_leads, reps.rep_tenure_weeks, reps.rep_activities_7d)

SETS: dict[str, FeatureSet] = {
    feature_set.name: feature_set
    for feature_set in (
        FeatureSet(
            "deal_win",
            "opportunity",
            (
                *DEALS,
                *accounts.FEATURES,
                *(
                    f
                    for f in reps.FEATURES
                    if f not in LEAD_OWNER or f.name.startswith(("rep_tenure", "rep_act"))
                ),
                *(f for f in pipeline.FEATURES if f is not pipeline.company_conversion_rate),
            ),
            ENTITIES,
        ),
        FeatureSet(
            "lead_convert",
            "lead",
            (*leads.FEATURES, *LEAD_OWNER, pipeline.company_conversion_rate),
            ENTITIES,
        ),
    )
}
"""What the models `win` and `amount` look at (`deal_win`), and the model `lead` (`lead_convert`)."""


FORMER: tuple[Feature, ...] = ()
"""Definitions that have changed since, as they were: a model keeps serving on the ones that it learned on. One goes
when no version that reads it may serve any more."""


class Gone(LookupError):
    """A definition that a model learned on is no longer there; says which."""


SAME: dict[str, tuple[str, str]] = {
    "opportunity": (
        "9670b7f1fbc0672b1b6a68401575eaea454ccc4c94616f0f15d6481588ca5646",
        "998ab9fa0eb4aa3fc8100c9631d270b5723370b25b88ded355e08f1af6cf3319",
    ),
    "account": (
        "e1718849f5c7bdcac77897e25ee5d8f30accfb66d7670e21e9dceaa1edfe7bba",
        "db3dcf919fb2c4747b228211279ee9d47891605e12a740732abc0aacb3104bc4",
    ),
    "user": (
        "f05c2355d4a945351d27266c41ea0a9b5d65ee159f96aff90c70db8fe9c16bcf",
        "7ee170c0f9cf78c414b6cbb707f12c9f154328da2d9b9c76ca9b21793a1bfa6d",
    ),
    "lead": (
        "d312ae8350b7745b8534a0d10e61bbf6eae5e6fd36927d48bbe452ac810b37f5",
        "d7f4f595dde14f2d3735d1f572010cf5d6afee7e06d49c80f9dcac1710f79a7a",
    ),
    "company": (
        "982894f97e97e0aaa02332ea586a56ab71d4e5f8158966c6d30d2f9140e90aac",
        "982894f97e97e0aaa02332ea586a56ab71d4e5f8158966c6d30d2f9140e90aac",
    ),
}
"""Entity → its fingerprint when models still named definitions by it (`formerly`), and the one that means the same now."""


def is_meant(one: Feature, meant: str) -> bool:
    """Whether a definition is the one that a model wrote down, under its present or its former kind of name."""
    before, now = SAME.get(one.entity, ("", ""))
    return meant == definition(one, ENTITIES) or (
        ENTITIES[one.entity].fingerprint == now and meant == formerly(one, before)
    )


def learned_on(name: str, definitions: Mapping[str, str], fields: Sequence[Declared] = ()) -> FeatureSet:
    """The set `name` with the definitions (feature → `definition`) that a model learned on: today's where they are the
    same, else a former one; `fields` are the custom fields that it reads, as they were declared then. Features that the
    model does not read are today's. Raises `Gone`."""
    wanted = tuple(sorted(definitions.items()))
    return _learned_on(name, SETS[name].fingerprint, wanted, tuple(fields), FORMER)


@lru_cache(maxsize=64)
def _learned_on(
    name: str,
    fingerprint: str,
    definitions: tuple[tuple[str, str], ...],
    fields: tuple[Declared, ...],
    former: tuple[Feature, ...],
) -> FeatureSet:
    whole = SETS[name]
    there: dict[str, list[Feature]] = {}
    for one in (*whole.features, *former, *map(custom.made, fields)):
        there.setdefault(one.name, []).append(one)
    read = {
        one: next((f for f in there.get(one, ()) if is_meant(f, meant)), None) for one, meant in definitions
    }
    gone = sorted(one for one, found in read.items() if found is None)
    if gone:
        raise Gone(
            f"the definition of {', '.join(gone[:3])}{' and others' if len(gone) > 3 else ''} has changed"
        )
    kept = {one: found for one, found in read.items() if found is not None}
    today = tuple(kept.pop(f.name, f) for f in whole.features)
    if today == whole.features and not kept:
        return whole
    return FeatureSet(whole.name, whole.entity, (*today, *kept.values()), whole.entities)


def widened(whole: FeatureSet, fields: Sequence[Declared]) -> FeatureSet:
    """A set with the custom fields of its entities that are declared as features."""
    entities = {whole.entity} | {one.entity for one in whole.features}
    more = tuple(one for one in custom.chosen(fields, entities) if one.name not in whole.names)
    return FeatureSet(whole.name, whole.entity, (*whole.features, *more), whole.entities) if more else whole


def own_set(entity: str, fields: Sequence[Declared] = ()) -> FeatureSet:
    """All features of one entity alone."""
    features = (*(f for f in FEATURES if f.entity == entity), *custom.chosen(fields, {entity}))
    return FeatureSet(entity, entity, features, ENTITIES)


RESOURCES = {
    "opportunity": "opportunities",
    "account": "accounts",
    "user": "users",
    "contact": "stakeholders",
    "team": "teams",
    "lead": "leads",
    "deal_activities": "activities",
    "deal_stakeholders": "stakeholders",
    "deal_lines": "lines",
    "deal_room": "plan_items",
    "deal_notes": "notes",
    "lead_activities": "activities",
}
"""Entity or list → the resource whose fields it shows."""

CARRIERS = {
    "opportunity": "opportunities", "account": "accounts", "contact": "contacts", "user": "users", "team": "teams",
    "lead": "leads",
}  # fmt: skip
"""Entity → the resource whose records carry its custom fields."""

FIELDS = {
    "first_amount": "amount",
    "amount_changes": "amount",
    "first_close_date": "close_date",
    "push_count": "close_date",
    "pushed_at": "close_date",
    "stage_index": "stage",
    "stage_probability": "probability",
    "stage_since": "stage",
    "stage_moves": "stage",
    "stage_regressions": "stage",
    "owner_changes": "owner_id",
    "has_next_step": "next_step",
    "competitors": "competitor_ids",
    "status_since": "status",
    "length": "body",
    "has_phone": "phone",
    "has_company": "company",
    "email_domain": "email",
    "country": "address",
    "product": "product_id",
    "family": "product_id",
}
"""Column of facts → the field that it comes from, where the names differ."""


@lru_cache(maxsize=4096)  # asked of every feature at every question; those of custom fields come and go
def fields_of(feature: Feature) -> frozenset[tuple[str, str]]:
    """(resource, field) of all that a feature tells something about: who may not see those may not see it."""
    if (field := custom.field_of(feature.name)) is not None:
        return frozenset({(CARRIERS[field[0]], f"cf.{field[1]}")})
    entity = ENTITIES[feature.entity]
    resource = RESOURCES.get(feature.entity)
    found = {(resource, FIELDS.get(name, name)) for name in feature.columns if name in entity.row_columns}
    for source in entity.lists:
        if source.name in feature.columns or f"'{source.name}'" in feature.code:
            found |= {
                (RESOURCES[source.name], FIELDS.get(name, name))
                for name in feature.columns & set(source.columns)
            }
    return frozenset((where, name) for where, name in found if where)
