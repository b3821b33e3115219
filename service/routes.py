"""Every route of the product, listed."""

from typing import Any

from service.domains import (
    accounts,
    activities,
    api_keys,
    battle_cards,
    board,
    changes,
    company,
    competitors,
    contacts,
    events,
    exchange_rates,
    forecasts,
    health,
    jobs,
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
from service.web import pages

ROUTES: tuple[Any, ...] = (
    *sessions.routes,
    *api_keys.routes,
    *users.routes,
    *teams.routes,
    *accounts.routes,
    *contacts.routes,
    *products.routes,
    *leads.routes,
    *pipelines.routes,
    *opportunities.routes,
    *board.routes,
    *lines.routes,
    *stakeholders.routes,
    *activities.routes,
    *notes.routes,
    *territories.routes,
    *quotas.routes,
    *forecasts.routes,
    *periods.routes,
    *competitors.routes,
    *battle_cards.routes,
    *playbooks.routes,
    *company.routes,
    *exchange_rates.routes,
    *webhooks.routes,
    *events.routes,
    *jobs.routes,
    *changes.routes,
)
"""Under `/api/v1`."""

PAGES: tuple[Any, ...] = (*health.routes, *pages.pages)
"""Under `/`: health, metrics, the document of the API, the web pages."""
