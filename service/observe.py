"""What the product says about itself: logs as lines of JSON, and metrics for Prometheus (`docs/metrics.md`)."""

import logging
import sys
from typing import Any, TextIO

import structlog
from prometheus_client import Counter, Gauge, Histogram, generate_latest

from service.db import Database

REQUESTS = Histogram(
    "sales_http_request_seconds",
    "How long answers take, by route and status.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
JOBS_DUE = Gauge("sales_jobs_due", "Jobs that are due and that no worker holds.")
DELIVERIES_DUE = Gauge("sales_webhook_deliveries_due", "Web hook deliveries that are due and not yet made.")
LOGGED = Counter("sales_log_lines_total", "Log lines, by level: a rise of errors is worth a look.", ["level"])

_DUE = """
SELECT (SELECT count(*) FROM jobs WHERE status IN ('queued', 'running') AND run_at <= now()
            AND (lease_until IS NULL OR lease_until < now())),
    (SELECT count(*) FROM deliveries WHERE status = 'pending' AND next_attempt_at <= now())"""

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
NOISY = ("asyncio", "alembic", "arq", "httpcore", "httpx", "urllib3", "uvicorn.access")
"""Libraries whose everyday talk nobody reads; their warnings pass."""


def _count(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    LOGGED.labels(event.get("level", method)).inc()
    return event


async def metrics(database: Database) -> bytes:
    """All metrics of this process, with those that only the database knows, in Prometheus' format."""
    row = await database.fetchrow(_DUE)
    JOBS_DUE.set(row[0])
    DELIVERIES_DUE.set(row[1])
    return generate_latest()


TRACES = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
"""Errors with their frames and without the frames' values: those are people's data, and to print a page's takes long."""


def configure(level: str = "info", stream: TextIO = sys.stdout) -> None:
    """One JSON object a line on `stream`, for our own logs and for those of every library, with the request's id."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _count,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                TRACES,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    for name in NOISY:
        logging.getLogger(name).setLevel(max(LEVELS[level], logging.WARNING))
