"""How a challenger stands against the champion, and its taking the champion's place once it is better for certain."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from features.facts import instant
from features.labels import labels_of
from features.reading import Spine
from ml import sequential
from registry import champion, silent
from service.access import SYSTEM
from service.db import Database
from service.domains import models
from service.errors import Conflict

log = structlog.get_logger()

DAYS = 30
LABEL = {"win": ("won_30d", "opportunity"), "lead": ("converted_30d", "lead")}
FEWEST_OUTCOMES = 30

Row = dict[str, Any]


async def standing(database: Database, model: str, serving: int, until: datetime) -> Row | None:
    """The challenger's evidence: Brier losses of both on the same first looks, in the order in which their outcomes became
    known. None where there is no challenger."""
    named = {row["alias"]: row["version"] for row in await silent.aliases(database, model)}
    version = named.get("challenger")
    if version is None or version == serving:
        return None
    looks = await silent.first_looks(database, model, version, serving)
    gains = await gains_of(database, model, looks, until)
    path = sequential.wealth(gains)
    evidence = float(path.max()) if len(path) else 1.0
    limit = 1 / sequential.ALPHA
    is_better = evidence >= limit and len(gains) >= FEWEST_OUTCOMES
    words = (
        f"version {version} against {serving}: wealth {evidence:.2f} of {limit:.0f} after {len(gains)} outcomes"
        f" of {DAYS} days (testing by betting, Waudby-Smith & Ramdas 2024; {sequential.ALPHA:.0%} false promotions at most)"
    )
    mean = float(gains.mean()) if len(gains) else None
    return {
        "version": version, "n": len(gains), "waiting": len(looks) - len(gains), "wealth": evidence, "limit": limit,
        "mean_gain": mean, "is_better": is_better, "words": words,
    }  # fmt: skip


async def gains_of(database: Database, model: str, looks: list[Row], until: datetime) -> Any:
    """The champion's Brier losses less the challenger's, of looks whose outcome is known, the oldest first."""
    if not looks:
        return np.zeros(0)
    looks = sorted(looks, key=lambda row: (row["as_of"], row["entity_id"]))
    label, entity = LABEL[model]
    at = np.array([instant(row["as_of"]) for row in looks])
    spine = Spine([str(row["entity_id"]) for row in looks], at, at)
    came = (await labels_of(database.fetch, (label,), entity, spine, instant(until)))[label]
    ours, theirs = (np.array([row["chances"][who][0] for row in looks]) for who in ("champion", "silent"))
    known = np.isfinite(came)
    return ((ours - came) ** 2 - (theirs - came) ** 2)[known]


async def take_place(database: Database, model: str, challenger: Row | None, folder: Path) -> bool:
    """Promotes a challenger that is better, and takes its alias away. A pinned champion stays, and so does one whose
    challenger's files in `folder` are refused."""
    if not challenger or not challenger["is_better"]:
        return False
    serving = await champion.champion(database, model)
    if serving is None or serving["pinned"]:
        return False
    promotion = models.Promotion(version=challenger["version"], reason=challenger["words"])
    try:
        async with database.begin() as tx:
            await models.promote(tx, SYSTEM, model, promotion, folder, pinned=False)
            await silent.unname(tx, model, "challenger")
    except Conflict as error:
        log.error("a better challenger cannot serve", model=model, reason=error.detail)
        return False
    return True
