"""Every route of the product, listed."""

from typing import Any

from service.domains import api_keys, health, sessions, webhooks

ROUTES: tuple[Any, ...] = (*sessions.routes, *api_keys.routes, *webhooks.routes)
"""Under `/api/v1`."""

PAGES: tuple[Any, ...] = (*health.routes,)
"""Under `/`: health, metrics, the document of the API, the web pages."""
