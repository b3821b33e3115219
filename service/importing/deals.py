"""What follows from a deal's entering a stage at an instant, for files that tell the past: what the stage verb would set."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo


def entered(stage: dict[str, Any], at: datetime | None, now: datetime, zone: str) -> dict[str, Any]:
    """The columns of a deal that came into `stage` at `at` (None: now); `zone` is the company's."""
    moment = at or now
    closed = stage["status"] != "open"
    return {
        "stage": stage["key"],
        "status": stage["status"],
        "probability": float(stage["probability"]),
        "stage_entered_at": moment,
        "closed_at": moment if closed else None,
        "closed_on": moment.astimezone(ZoneInfo(zone)).date() if closed else None,
    }
