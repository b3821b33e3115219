"""Every job of the product: type → handler."""

from service import (
    backfilling,
    due,
    forecasting,
    historical,
    indexing,
    learning,
    recommending,
    rescoring,
    schedule,
    statistics,
    store,
    telling,
    watching,
    webhooks,
)
from service.domains import bulk, duplicates, exports, fields, league, quotes
from service.importing import runs
from service.settings import Settings
from service.worker import Handler


def handlers(settings: Settings) -> dict[str, Handler]:
    """What the worker can do, with the settings that some of it needs."""
    return {
        **schedule.handlers,
        **store.handlers(settings),
        **backfilling.handlers(settings),
        **historical.handlers(settings),
        **rescoring.handlers(settings),
        **forecasting.handlers(settings.home / "models"),
        **league.handlers(settings),
        **learning.handlers(settings),
        **watching.handlers(settings),
        **quotes.handlers,
        **telling.handlers,
        **due.handlers(settings),
        **fields.handlers(settings),
        **statistics.handlers(settings),
        **indexing.handlers(),
        **recommending.handlers(),
        **webhooks.handlers(settings),
        **duplicates.handlers,
        **runs.handlers(settings),
        **exports.handlers(settings),
        **bulk.handlers,
    }
