"""A past score made again: stored features and the version of the model give the stored chance, or something is off."""

from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from features.catalogue import SETS
from features.facts import DAY, instant
from registry import bundle, champion
from service.baselines import HORIZONS, frame_of
from service.db import Database
from service.errors import Conflict, NotFound

SAME = 1e-9
_STORED = """
SELECT entity_type, model, model_version, features, as_of, win_probability, convert_90d_probability
FROM scores WHERE id = $1 /* access:scores */"""


async def replayed(database: Database, folder: Path, score_id: UUID) -> dict[str, Any]:
    """The chance as stored and as the same model gives it again. 404 for no score; 409 for one of the baseline, which
    was fitted on the fly and is not kept."""
    row = await database.fetchrow(_STORED, score_id)
    if row is None:
        raise NotFound(f"There is no score {score_id}.")
    if row["model_version"] is None:
        raise Conflict("The baseline is fitted on the fly and not kept: its scores are not replayed.")
    version = await champion.version_row(database, row["model"], row["model_version"])
    found = bundle.read(folder, row["model"], row["model_version"], version["sha256"])
    chance = _chance(found, row)
    stored = row["win_probability"] if row["entity_type"] == "opportunity" else row["convert_90d_probability"]
    verdict = "the same" if abs(chance - stored) <= SAME else "not the same"
    return {
        "stored": stored,
        "replayed": chance,
        "model": row["model"],
        "version": row["model_version"],
        "verdict": verdict,
    }


def _chance(found: bundle.Bundle, row: Any) -> float:
    categories = SETS[found.manifest.feature_set].categories
    values = {
        name: np.array([row["features"][name] or ""])
        if name in categories
        else np.array([np.nan if row["features"][name] is None else float(row["features"][name])])
        for name in found.manifest.features
    }
    frame = frame_of(values, tuple(name for name in categories if name in values))
    if row["entity_type"] == "lead":
        return float(found.estimator.probabilities(frame)[0, HORIZONS.index(90)])
    stage = np.array([found.estimator.stages.index(row["features"]["stage"])], dtype=np.int64)
    return float(found.estimator.win_probability(frame, stage, np.array([instant(row["as_of"]) / DAY]))[0])
