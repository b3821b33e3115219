"""Every route of the product, listed."""

from typing import Any

from service.domains import (
    accounts,
    activities,
    api_keys,
    battle_cards,
    company,
    competitors,
    contacts,
    exchange_rates,
    features,
    health,
    leads,
    lines,
    notes,
    opportunities,
    periods,
    pipelines,
    playbooks,
    products,
    quotas,
    sessions,
    stakeholders,
    teams,
    territories,
    users,
    webhooks,
)

ROUTES: tuple[Any, ...] = (
    *sessions.routes,
    *api_keys.routes,
    *webhooks.routes,
    *accounts.routes,
    *activities.routes,
    *battle_cards.routes,
    *company.routes,
    *competitors.routes,
    *contacts.routes,
    *exchange_rates.routes,
    *features.routes,
    *leads.routes,
    *lines.routes,
    *notes.routes,
    *opportunities.routes,
    *periods.routes,
    *pipelines.routes,
    *playbooks.routes,
    *products.routes,
    *quotas.routes,
    *stakeholders.routes,
    *teams.routes,
    *territories.routes,
    *users.routes,
)
"""Under `/api/v1`."""

PAGES: tuple[Any, ...] = (*health.routes,)
"""Under `/`: health, metrics, the document of the API, the web pages."""
