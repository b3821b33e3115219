"""What a forecast is drawn from: open deals with their curves, the past for the pace of new ones, what is closed."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.facts import instant
from features.reading import Spine, facts_of, loader, read_calendar, values
from ml import forecast
from ml.arrivals import Arrivals, Deals, selling_since, week_of_quarter
from ml.forecast import OpenDeals, Shocks
from registry import serving
from service import calendar, history, nodes
from service.access import SYSTEM, visible
from service.calendar import Company, Period
from service.db import Database, Params
from service.nodes import Leaf, Tree
from service.voices import Voice

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_POINTS = 14
FALLBACK_WEEKS = 26
"""Over so many weeks the chance of a deal without a score is spread when it has no close date either."""
HISTORY_DAYS = 3 * 365
CHUNK = 1_000
"""Deals whose curves are computed at a time."""


class Evidence(msgspec.Struct, kw_only=True):
    """What the champion of `arrivals` knows of past bands: the shared shocks, and how often bands held."""

    version: int | None = None
    shocks: dict[str, float] = {}
    n_origins: int = 0
    n_periods: int = 0
    coverage: dict[str, float] = {}
    interval_score: dict[str, float] = {}
    model: Arrivals | None = None

    def sizes(self) -> Shocks:
        """Shocks as the champion measured them, or what is assumed before anything is measured."""
        return Shocks(
            company=self.shocks.get("company", 0.1),
            team=self.shocks.get("team", 0.1),
            inflation=self.shocks.get("inflation", 1.0),
            blend=self.shocks.get("blend", 0.5),
            n_origins=self.n_origins,
        )


class Inputs(msgspec.Struct, kw_only=True):
    """All that a run is drawn from; plain arrays, so that drawing can leave the event loop."""

    now: datetime
    leaves: list[Leaf]
    team: NDArray[np.int64]
    team_names: list[str]
    deals: OpenDeals
    age_weeks: NDArray[np.float64]
    """(deals,) since each open deal was created."""
    history: Deals
    since: NDArray[np.float64]
    owner_of: NDArray[np.int64]
    share: NDArray[np.float64]
    ends: NDArray[np.float64]
    """Points of time in days from now; one more in front, the period's start, while that lies ahead."""
    is_ahead: bool
    week: float
    closed: NDArray[np.int64]
    tier: str
    model_version: int | None
    evidence: Evidence


def days(instant: datetime) -> float:
    """Days since 1970."""
    return (instant - EPOCH).total_seconds() / 86_400


async def evidence(database: Database, models: Path) -> Evidence:
    """The champion of `arrivals` with what it knows of past bands; empty where none was trained yet."""
    served = await serving.speaking(database, models, "arrivals")
    if served is None:
        return Evidence()
    known = served.manifest.background
    return Evidence(
        version=served.manifest.version,
        model=served.estimator,
        shocks=known["shocks"],
        n_origins=int(known["n_origins"]),
        n_periods=int(known["n_periods"]),
        coverage=known["coverage"],
        interval_score=known["interval_score"],
    )


# --- gathering ---------------------------------------------------------------------------------------------------

_OPEN = """
SELECT t.id, t.owner_id, t.territory_id, coalesce(t.amount_home, t.amount)::float8 AS amount, t.probability,
       t.close_date, t.created_at, s.as_of, s.tier, s.model_version, s.won_by_week,
       s.amount_p10::float8 AS p10, s.amount_p50::float8 AS p50, s.amount_p90::float8 AS p90
FROM {source} t {scores}
WHERE t.status = 'open' AND t.deleted_at IS NULL AND {seen} ORDER BY t.id"""

_SCORES_NOW = "LEFT JOIN current_scores s ON s.opportunity_id = t.id /* access:current_scores */"
_SCORES_THEN = """
LEFT JOIN LATERAL (
    SELECT * FROM scores o WHERE o.opportunity_id = t.id AND o.scored_at <= $1 AND o.as_of <= $1
    ORDER BY o.as_of DESC, o.id DESC LIMIT 1
) s ON TRUE /* access:scores */"""

_HISTORY = """
SELECT t.owner_id, t.territory_id, extract(epoch FROM t.created_at)::float8 / 86400 AS created,
       extract(epoch FROM t.closed_at)::float8 / 86400 AS closed, t.status = 'won' AS won,
       coalesce(t.amount_home, t.amount)::float8 AS amount
FROM {source} t
WHERE t.created_at <= $1 AND t.created_at > $1 - make_interval(days => $2) AND t.deleted_at IS NULL AND {seen}
ORDER BY t.id"""

_CLOSED = """
SELECT t.owner_id, t.territory_id, sum(round(coalesce(t.amount_home, t.amount, 0), 2)) AS amount
FROM {source} t
WHERE t.status = 'won' AND t.closed_at <= $1 AND t.closed_on BETWEEN $2 AND $3 AND t.deleted_at IS NULL AND {seen}
GROUP BY 1, 2"""


async def _select(database: Database, sql: str, *args: Any, then: bool = False, **parts: str) -> list[Any]:
    """Rows of the deals now, or as known at `$1`; for the product itself, which sees all."""
    params = Params(args)
    seen = visible(SYSTEM, "opportunities", "t", params)
    source = history.source("opportunities", "$1" if then else None)
    return await database.fetch(sql.format(seen=seen, source=source, **parts), *params)


async def gather(
    database: Database,
    period: Period,
    now: datetime,
    evidence: Evidence,
    *,
    then: bool = False,
    voice: Voice | None = None,
) -> Inputs:
    """Reads open deals with their curves, past deals for the pace of new ones, and what is closed.

    With `then` everything is as it was known at `now`: a deal's curve is its newest score of that time, or what the
    model of today (`voice`) says of it on what was known then.
    """
    company = await calendar.company(database)
    if then:
        found = await _select(database, _OPEN, now, then=True, scores=_SCORES_THEN)
        open_rows = [dict(row) for row in found]
        if voice is not None:
            await _score_then(database, voice, [row for row in open_rows if not row["won_by_week"]], now)
    else:
        open_rows = await _select(database, _OPEN, scores=_SCORES_NOW)
    past = await _select(database, _HISTORY, now, HISTORY_DAYS, then=then)
    closed = await _select(database, _CLOSED, now, period.start_date, period.end_date, then=then)
    tree = await nodes.load(database)
    started = {
        row["id"]: row["start_date"] for row in await database.fetch("SELECT id, start_date FROM users")
    }
    keys = {(row["owner_id"], row["territory_id"]) for rows in (open_rows, past, closed) for row in rows}
    keys |= {(person.id, None) for person in tree.people.values() if person.sells}
    leaves = sorted(keys, key=lambda key: (key[0], key[1] or UUID(int=0)))
    place = {leaf: index for index, leaf in enumerate(leaves)}
    ends, is_ahead = _ends(period, now, company)
    scored = next((row for row in open_rows if row["tier"]), None)
    team_names, team = _teams(leaves, tree)
    past_deals = _history(past, place, team, company.fiscal_year_start)
    owner_of, since, share = _pace_frame(leaves, past_deals, started, tree, now)
    cents = np.zeros(len(leaves), np.int64)
    for row in closed:
        cents[place[row["owner_id"], row["territory_id"]]] += int(row["amount"] * 100)
    return Inputs(
        now=now,
        leaves=leaves,
        team=team,
        team_names=team_names,
        deals=_open_deals(open_rows, place, now),
        age_weeks=np.array([(now - row["created_at"]).total_seconds() / 604_800 for row in open_rows], float),
        history=past_deals,
        since=since,
        owner_of=owner_of,
        share=share,
        ends=ends,
        is_ahead=is_ahead,
        week=float(week_of_quarter(np.array([days(now)]), company.fiscal_year_start)[0]),
        closed=cents,
        tier=scored["tier"] if scored else "baseline",
        model_version=scored["model_version"] if scored else None,
        evidence=evidence,
    )


async def _score_then(database: Database, voice: Voice, rows: list[dict[str, Any]], now: datetime) -> None:
    """Fills in the curves of deals that had no score yet, from their features as of then."""
    entities = voice.feature_set.entities
    load = loader(database.fetch, await read_calendar(database.fetch))
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        at = np.full(len(part), instant(now))
        spine = Spine([str(row["id"]) for row in part], at, at)
        entity, read = entities[voice.feature_set.entity], voice.feature_set.features
        facts = await facts_of(load, entities, entity, spine, read)
        columns = await values(load, voice.feature_set, spine, facts)
        curves = await asyncio.to_thread(voice.won_by_week, columns, facts)
        for row, curve in zip(part, curves, strict=True):
            row.update(won_by_week=curve.tolist(), as_of=now, tier=voice.tier, model_version=voice.version)


def _ends(period: Period, now: datetime, company: Company) -> tuple[NDArray[np.float64], bool]:
    """Up to fourteen instants until the period's end, in days from now; none once it is over. Whether it lies ahead."""
    bounds = (period.start_date, period.end_date + timedelta(days=1))
    start, end = ((company.midnight(day) - now).total_seconds() / 86_400 for day in bounds)
    if end <= 0:
        return np.zeros(0), False
    first = max(start, 0.0)
    points = int(min(MOST_POINTS, max(1, np.ceil((end - first) / 7))))
    ends = np.asarray(end - (end - first) / points * np.arange(points)[::-1], np.float64)
    return (np.asarray(np.insert(ends, 0, start), np.float64), True) if start > 0 else (ends, False)


def _teams(leaves: list[Leaf], tree: Tree) -> tuple[list[str], NDArray[np.int64]]:
    """The ids of the teams, and each leaf's index among them; who is in none shares the team `None`."""
    teams = sorted({str(tree.team_of(owner)) for owner, _ in leaves})
    return teams, np.array([teams.index(str(tree.team_of(owner))) for owner, _ in leaves], np.int64)


def _open_deals(rows: list[Any], place: dict[Leaf, int], now: datetime) -> OpenDeals:
    weeks = max([len(row["won_by_week"]) for row in rows if row["won_by_week"]], default=FALLBACK_WEEKS)
    curves = np.zeros((len(rows), weeks))
    amounts = np.zeros((len(rows), 3))
    for index, row in enumerate(rows):
        curves[index] = _curve(row, weeks, now)
        amount = row["amount"] or 0.0
        amounts[index] = [row["p10"] or amount, row["p50"] or amount, row["p90"] or amount]
    leaf = np.array([place[row["owner_id"], row["territory_id"]] for row in rows], np.int64)
    return OpenDeals(leaf, curves, amounts)


def _curve(row: Any, weeks: int, now: datetime) -> NDArray[np.float64]:
    """The deal's chance to be won by each week from now: its score's, aged since, or its stage's chance until then."""
    if not row["won_by_week"]:
        close = row["close_date"]
        until = max((close - now.date()).days / 7, 1.0) if close else float(FALLBACK_WEEKS)
        return np.asarray(row["probability"] * np.minimum(np.arange(1, weeks + 1) / until, 1.0))
    curve = np.asarray(row["won_by_week"], float)
    curve = np.pad(curve, (0, weeks - len(curve)), mode="edge")
    age = max((now - row["as_of"]).total_seconds() / 86_400, 0.0)
    if age < 0.01:
        return curve
    steps = forecast.chance_by(curve[None], np.append(age, age + 7 * np.arange(1, weeks + 1)))[0]
    return np.asarray((steps[1:] - steps[0]) / max(1 - steps[0], 1e-9))


def _history(rows: list[Any], place: dict[Leaf, int], team: NDArray[np.int64], first_month: int) -> Deals:
    leaf = np.array([place[row["owner_id"], row["territory_id"]] for row in rows], np.int64)
    created = np.array([row["created"] for row in rows], float)
    return Deals(
        leaf=leaf, team=team[leaf], created=created,
        closed=np.array([np.nan if row["closed"] is None else row["closed"] for row in rows], float),
        won=np.array([row["won"] for row in rows], bool),
        amount=np.array([np.nan if row["amount"] is None else row["amount"] for row in rows], float),
        week_created=week_of_quarter(created, first_month),
    )  # fmt: skip


def _pace_frame(
    leaves: list[Leaf], history: Deals, started: dict[UUID, date | None], tree: Tree, now: datetime
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """For each leaf: the index of its owner, since when the owner creates deals, and the leaf's share of them."""
    owners = list(dict.fromkeys(owner for owner, _ in leaves))
    owner_of = np.array([owners.index(owner) for owner, _ in leaves], np.int64)
    counts = np.bincount(history.leaf, minlength=len(leaves)).astype(float)
    totals = np.bincount(owner_of, weights=counts, minlength=len(owners))
    starts = [started.get(owner) for owner in owners]
    first_days = np.array(
        [np.nan if day is None else float((day - EPOCH.date()).days) for day in starts], float
    )
    sells = np.array([tree.people[owner].sells for owner in owners], bool)
    since = selling_since(owner_of[history.leaf], history.created, first_days, sells, days(now))
    share = np.where(totals[owner_of] > 0, counts / np.maximum(totals[owner_of], 1), 0.0)
    for index, (owner, territory) in enumerate(leaves):
        if totals[owners.index(owner)] == 0 and territory is None:
            share[index] = 1.0
    return owner_of, since, share
