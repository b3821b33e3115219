"""A past score made again: stored features and the version of the model give the stored chance, bit for bit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from features.catalogue import SETS
from features.facts import DAY, Array, instant
from ml.frame import Frame
from registry import bundle, champion
from registry.bundle import Bundle
from service.baselines import HORIZONS, frame_of
from service.db import Database
from service.errors import Conflict, NotFound
from service.reasons import grouped

_STORED = "SELECT s.* FROM scores s WHERE s.id = $1 /* access:scores */"

Row = Mapping[str, Any]


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
    again = attributed(found, row)
    name = "win_probability" if row["entity_type"] == "opportunity" else "convert_90d_probability"
    told = None if again is None else again[name]
    return {
        "stored": row[name],
        "replayed": told,
        "model": row["model"],
        "version": row["model_version"],
        "verdict": "the same" if told == row[name] else "not the same",
    }


def attributed(found: Bundle, row: Row) -> dict[str, Any] | None:
    """What a version says of the features of a stored score, with its attribution; None where the score did not store
    all that it reads, or the deal stood in a stage that it never saw."""
    vector = row["features"]
    if not set(found.manifest.features) <= set(vector):
        return None
    frame, kind = asked(found, vector), row["entity_type"]
    names = tuple(found.manifest.features)
    groups = {name: (name,) for name in names}
    if kind == "lead":
        chance = found.estimator.probabilities(frame)[0, HORIZONS.index(90)]
        told = found.estimator.explain(frame, groups, HORIZONS[-1])
    else:
        if vector["stage"] not in found.estimator.stages:
            return None
        from ml.explain import explain  # noqa: PLC0415  # LightGBM takes 100 MB: only where a model speaks

        stage = np.array([found.estimator.stages.index(vector["stage"])], dtype=np.int64)
        at: Array = np.array([instant(row["as_of"]) / DAY])
        chance = found.estimator.win_probability(frame, stage, at)[0]
        told = explain(found.estimator, frame, stage, at, groups)
    by_name = dict(zip(names, told.effects[0, : len(names)].tolist(), strict=True))
    return {
        "entity_type": kind,
        "win_probability": float(chance) if kind == "opportunity" else None,
        "convert_90d_probability": float(chance) if kind == "lead" else None,
        "base_value": float(told.base_value[0]),
        "effects": grouped(kind, by_name),
    }


def asked(found: Bundle, vector: Row) -> Frame:
    """A stored vector as the version reads it."""
    known = found.manifest.categories or SETS[found.manifest.feature_set].categories
    values = {
        name: np.array([vector[name] or ""])
        if name in known
        else np.array([np.nan if vector[name] is None else float(vector[name])])
        for name in found.manifest.features
    }
    return frame_of(values, tuple(name for name in known if name in values))
