"""A nightly look at each model: drift of what it was served, skew, what has matured, its challenger, whether to train anew.

Vectors are those stored with the scores, so the look is at what was served; for weeks in which nothing was served yet they
are read as they were known then. A report is kept for each model, version and day.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import structlog

from features import about
from features.catalogue import SETS, Gone
from features.facts import Array, instant
from features.labels import labels_of
from features.quality import broken, drift, stability
from features.reading import Spine, loader, values
from features.spec import FeatureSet
from ml import metrics
from registry import champion
from registry.bundle import Bundle
from registry.serving import set_of
from service.challenge import standing, take_place
from service.db import Database
from service.jobs import Job, enqueue
from service.settings import Settings
from service.store import Instants, Store, store_of
from service.voices import voices_of
from service.worker import Handler

log = structlog.get_logger()

WATCHED = {"win": "deal_win", "lead": "lead_convert"}
TOGETHER = {"win": ("win", "amount", "arrivals"), "lead": ("lead",)}
"""What is trained anew with a model: all that learn from the same deals."""
WEEKS = 10
MOST_ROWS = 1_000
"""Vectors of a week that are looked at; which ones, the hash of the ids chooses."""
SKEW_ROWS = 100
FEWEST_SERVED = 30
RETRAIN_DAYS = 7
NEW_OUTCOMES = 50
KEPT_DAYS = 400

Row = dict[str, Any]
Columns = dict[str, Array]

_SERVED = """
SELECT s.features, s.feature_set, coalesce(s.opportunity_id, s.lead_id) AS entity_id, s.as_of, s.known_at, s.watermark
FROM scores s WHERE s.id = ANY (
    SELECT newest FROM (
        SELECT DISTINCT ON (coalesce(n.opportunity_id, n.lead_id)) n.id AS newest,
               md5(coalesce(n.opportunity_id, n.lead_id)::text) AS draw
        FROM scores n WHERE n.model = $1 AND n.id >= $2 AND n.id < $3
        ORDER BY coalesce(n.opportunity_id, n.lead_id), n.id DESC
    ) one ORDER BY draw LIMIT $4
) ORDER BY s.id /* access:scores */"""
"""Ids begin with the instant at which they were made: a span of time is a range of the key."""

_OPEN_THEN = {
    "opportunity": "SELECT id FROM known.opportunities WHERE from_at <= $1 AND $1 < to_at AND status = 'open'"
    " AND NOT is_deleted ORDER BY md5(id::text) LIMIT $2 /* access:opportunities */",
    "lead": "SELECT id FROM known.leads WHERE from_at <= $1 AND $1 < to_at AND NOT is_deleted"
    " AND status NOT IN ('converted', 'unqualified') ORDER BY md5(id::text) LIMIT $2 /* access:leads */",
}
_ENDED = {
    "win": "SELECT count(*) FROM known.opportunities WHERE to_at = '9999-12-31' AND NOT is_deleted AND status <> 'open'"
    " AND from_at > $1 /* access:opportunities */",
    "lead": "SELECT count(*) FROM known.leads WHERE to_at = '9999-12-31' AND NOT is_deleted AND from_at > $1"
    " AND status IN ('converted', 'unqualified') /* access:leads */",
}
_KEEP = """
INSERT INTO registry.reports (model, version, day, report) VALUES ($1, $2, $3, $4)
ON CONFLICT (model, version, day) DO UPDATE SET report = excluded.report, created_at = now()"""


# --- vectors -----------------------------------------------------------------------------------------------------


def first_id(moment: datetime) -> UUID:
    """The smallest id that can have been made at an instant."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


async def served(database: Database, model: str, since: datetime, until: datetime) -> list[Row]:
    """The newest stored vector of each deal or lead within a span."""
    return [
        dict(row) for row in await database.fetch(_SERVED, model, first_id(since), first_id(until), MOST_ROWS)
    ]


def as_columns(vectors: Sequence[Mapping[str, Any]], wanted: FeatureSet) -> Columns:
    """Stored vectors as columns; what a vector does not have is missing."""
    return {
        name: np.array([str(one.get(name) or "") for one in vectors], dtype=np.str_)
        if name in wanted.categories
        else np.array([np.nan if one.get(name) is None else float(one[name]) for one in vectors])
        for name in wanted.names
    }


async def weeks_of(
    store: Store, model: str, wanted: FeatureSet, now: Instants, at: datetime
) -> tuple[list[Columns], int]:
    """The vectors of the newest weeks, the newest first, and how many weeks of them were served."""
    found: list[Columns] = []
    count = 0
    for week in range(WEEKS):
        until = at - timedelta(weeks=week)
        rows = await served(store.database, model, until - timedelta(weeks=1), until)
        if len(rows) >= FEWEST_SERVED:
            found.append(as_columns([row["features"] for row in rows], wanted))
            count += 1
        else:
            found.append(await _as_known(store, wanted, now.as_of - timedelta(weeks=week)))
    return found, count


async def _as_known(store: Store, wanted: FeatureSet, moment: datetime) -> Columns:
    rows = await store.database.fetch(_OPEN_THEN[wanted.entity], moment, MOST_ROWS)
    at = np.full(len(rows), instant(moment))
    load = loader(store.database.fetch, store.online.calendar)
    return await values(load, wanted, Spine([str(row["id"]) for row in rows], at, at))


# --- what a report says --------------------------------------------------------------------------------------------


def of_features(weeks: list[Columns], wanted: FeatureSet, kept: Mapping[str, Any]) -> list[Row]:
    """Each feature: how far it moved, what is usual, its source; the drifted ones first. `kept`: statistics of training."""
    found = []
    for one in drift(weeks, wanted.categories):
        meant = wanted[one.name]
        origin = about.lineage(meant)
        found.append({
            "name": one.name, "is_drifted": one.is_drifted, "distance": round(one.distance, 4),
            "threshold": round(one.threshold, 4), "p": one.p, "missing": round(one.missing, 4),
            "missing_before": round(one.missing_before, 4), "new_words": list(one.new_words),
            "psi": round(stability(kept[one.name], weeks[0][one.name]), 4) if one.name in kept else None,
            "broken": broken(meant, weeks[0][one.name]), "source": {"tables": origin["tables"], "facts": origin["facts"]},
        })  # fmt: skip
    return sorted(found, key=lambda row: (not row["is_drifted"], row["threshold"] - row["distance"]))


async def skew(store: Store, rows: Sequence[Row], wanted: FeatureSet) -> Row:
    """Vectors as served beside the same read again from history as of the same instant."""
    usable = [
        row
        for row in rows
        if row["feature_set"] == wanted.fingerprint and row["known_at"] <= row["watermark"]
    ][:SKEW_ROWS]
    if not usable:
        return {"n": 0, "features": {}}
    at, known = (np.array([instant(row[name]) for row in usable]) for name in ("as_of", "known_at"))
    spine = Spine([str(row["entity_id"]) for row in usable], at, known)
    then = await values(loader(store.database.fetch, store.online.calendar), wanted, spine)
    told = as_columns([row["features"] for row in usable], wanted)
    differ = {name: int(np.sum(~_alike(told[name], then[name]))) for name in wanted.names}
    return {"n": len(usable), "features": {name: count for name, count in differ.items() if count}}


def _alike(one: Array, other: Array) -> Array:
    found: Array = (
        one == other if one.dtype.kind == "U" else np.isclose(one, other, rtol=1e-9, equal_nan=True)
    )
    return found


_MATURED = """
SELECT s.opportunity_id::text AS id, s.as_of, s.won_by_week FROM scores s
WHERE s.model = 'win' AND s.model_version = $1 AND s.id >= $2 AND s.id < $3 ORDER BY s.id LIMIT $4 /* access:scores */"""


async def matured(database: Database, version: int, at: datetime) -> Row:
    """What the version said four to six weeks ago of the next four, beside what came."""
    since, until = first_id(at - timedelta(days=44)), first_id(at - timedelta(days=30))
    rows = await database.fetch(_MATURED, version, since, until, MOST_ROWS)
    if not rows:
        return {"n": 0}
    looked = np.array([instant(row["as_of"]) for row in rows])
    came = (
        await labels_of(
            database.fetch,
            ("won_30d",),
            "opportunity",
            Spine([row["id"] for row in rows], looked, looked),
            instant(at),
        )
    )["won_30d"]
    said = np.array(
        [row["won_by_week"][3] + 2 / 7 * (row["won_by_week"][4] - row["won_by_week"][3]) for row in rows]
    )
    known = np.isfinite(came)
    if not known.any():
        return {"n": 0}
    group = np.unique([row["id"] for row in rows], return_inverse=True)[1][known]
    figures = {
        "log_loss": metrics.log_loss(said[known], came[known], group),
        "ece": metrics.ece(said[known], came[known], group),
    }
    return {"n": int(known.sum()), "said": float(said[known].mean()), "came": float(came[known].mean())} | {
        name: figure.document() for name, figure in figures.items()
    }


async def why_train(
    database: Database, model: str, trained: datetime, now: Instants, drifted: Sequence[str]
) -> str:
    """Why a model should be trained anew now; empty where it should not. Without a new outcome there is nothing to learn;
    a clock that stands brings none."""
    if now.as_of < now.known_at:
        return ""
    ended = int(await database.fetchval(_ENDED[model], trained))
    age = now.known_at - trained
    if not ended or age < timedelta(days=1):
        return ""
    if drifted:
        return f"{', '.join(drifted[:3])} drifted"
    if ended >= NEW_OUTCOMES:
        return f"{ended} outcomes are new"
    return (
        f"it is {age.days} days old and {ended} outcomes are new"
        if age >= timedelta(days=RETRAIN_DAYS)
        else ""
    )


async def _read_by(database: Database, settings: Settings, model: str, version: int) -> FeatureSet:
    """The features by the definitions that the version learned on; today's where it may not speak."""
    found = await voices_of(database, settings).version(model, version)
    try:
        return set_of(found) if isinstance(found, Bundle) else SETS[WATCHED[model]]
    except Gone:
        return SETS[WATCHED[model]]


async def watch(database: Database, settings: Settings, model: str, at: datetime | None = None) -> Row | None:
    """Looks at one model and keeps the report; None where no trained version serves."""
    serving = await champion.champion(database, model)
    if serving is None:
        return None
    store, moment = store_of(database, settings.redis_url), at or datetime.now(UTC)
    now, wanted = (
        await store.now(is_fresh=True),
        await _read_by(database, settings, model, serving["version"]),
    )
    row = await champion.version_row(database, model, serving["version"])
    weeks, count = await weeks_of(store, model, wanted, now, moment)
    features = of_features(weeks, wanted, row["card"].get("statistics", {}))
    drifted = [one["name"] for one in features if one["is_drifted"]]
    newest = await served(database, model, moment - timedelta(weeks=1), moment)
    report = {
        "model": model, "version": serving["version"], "day": moment.date().isoformat(),
        "weeks": {"looked_at": len(weeks), "served": count}, "rows": len(next(iter(weeks[0].values()), ())),
        "drifted": drifted, "features": features, "skew": await skew(store, newest, wanted),
        "matured": await matured(database, serving["version"], moment) if model == "win" else {"n": 0},
        "challenger": await standing(database, model, serving["version"], moment),
        "why_train": await why_train(database, model, row["training_as_of"], now, drifted),
    }  # fmt: skip
    if not features:
        report["words"] = "too few rows in the newest week, or too few weeks before it, to say what is usual"
    await database.execute(_KEEP, model, serving["version"], moment.date(), report)
    if drifted or report["skew"]["features"]:
        log.warning("features moved", model=model, drifted=drifted, skew=report["skew"]["features"])
    return report


def handlers(settings: Settings) -> dict[str, Handler]:
    """`models.watch`: all models; what a report asks for follows: a challenger promoted, a training queued."""

    async def run(job: Job) -> Row:
        told: Row = {}
        for done, model in enumerate(WATCHED):
            report = await watch(job.database, settings, model)
            if report is not None:
                promoted = await take_place(
                    job.database, model, report["challenger"], settings.home / "models"
                )
                if report["why_train"] and not promoted:
                    await enqueue(job.database, "models.learn", {"models": list(TOGETHER[model])}, key=model)
                told[model] = {name: report[name] for name in ("drifted", "why_train")} | {
                    "promoted": promoted
                }
            await job.progress(done + 1, len(WATCHED))
        limit = datetime.now(UTC).date() - timedelta(days=KEPT_DAYS)
        await job.database.execute("DELETE FROM registry.reports WHERE day < $1", limit)
        await job.database.execute(
            "DELETE FROM registry.shadows WHERE as_of < $1", datetime.now(UTC) - timedelta(days=KEPT_DAYS)
        )
        return told

    return {"models.watch": run}
