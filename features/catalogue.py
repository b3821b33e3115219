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
