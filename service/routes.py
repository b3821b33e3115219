"""Every route of the product, listed."""

from typing import Any

from service.domains import sessions

ROUTES: tuple[Any, ...] = (*sessions.routes,)
"""Under `/api/v1`."""

PAGES: tuple[Any, ...] = ()
"""Under `/`: health, metrics, the document of the API, the web pages."""
