"""All entities, all features, and the sets that models learn from. The one list to look at."""

from features import accounts, leads, opportunities, pipeline, reps
from features.spec import Entity, Feature, FeatureSet

ENTITIES: dict[str, Entity] = {
    entity.name: entity
    for entity in (opportunities.DEAL, accounts.ACCOUNT, reps.REP, leads.LEAD, pipeline.COMPANY)
}

FEATURES: tuple[Feature, ...] = (
    *opportunities.FEATURES,
    *accounts.FEATURES,
    *reps.FEATURES,
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
                *opportunities.FEATURES,
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


def own_set(entity: str) -> FeatureSet:
    """All features of one entity alone."""
    return FeatureSet(entity, entity, tuple(f for f in FEATURES if f.entity == entity), ENTITIES)


RESOURCES = {
    "opportunity": "opportunities",
    "account": "accounts",
    "user": "users",
    "lead": "leads",
    "deal_activities": "activities",
    "deal_stakeholders": "stakeholders",
    "deal_lines": "lines",
    "lead_activities": "activities",
}
"""Entity or list → the resource whose fields it shows."""

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
    "has_phone": "phone",
    "has_company": "company",
    "email_domain": "email",
    "country": "address",
    "product": "product_id",
    "family": "product_id",
}
"""Column of facts → the field that it comes from, where the names differ."""


def fields_of(feature: Feature) -> frozenset[tuple[str, str]]:
    """(resource, field) of all that a feature tells something about: who may not see those may not see it."""
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
