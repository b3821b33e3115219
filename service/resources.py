"""Every resource of the product by its table: what an import, an export or a bulk job may name."""

from service.crud import Resource
from service.domains import (
    accounts,
    activities,
    battle_cards,
    competitors,
    contacts,
    exchange_rates,
    leads,
    lines,
    notes,
    opportunities,
    periods,
    pipelines,
    playbooks,
    products,
    quotas,
    roles,
    shares,
    stakeholders,
    teams,
    territories,
    users,
)

RESOURCES: dict[str, Resource] = {
    resource.key: resource
    for resource in (
        teams.resource,
        users.resource,
        competitors.resource,
        products.resource,
        pipelines.pipeline,
        pipelines.resource,
        periods.resource,
        exchange_rates.resource,
        accounts.resource,
        contacts.resource,
        leads.resource,
        opportunities.resource,
        lines.resource,
        stakeholders.resource,
        activities.resource,
        notes.resource,
        battle_cards.resource,
        playbooks.resource,
        quotas.resource,
        territories.models,
        territories.resource,
        roles.resource,
        shares.resource,
    )
}
