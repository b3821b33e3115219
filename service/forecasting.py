"""The forecast's draws: drawn once by the worker, stored by leaf, summed by whoever asks.

A run holds one row of draws a leaf; a leaf is one person's business in one territory (or in none). Every node of the
hierarchy sums the leaves below it, draw by draw, so children add up to their parent whatever the question.
"""

import asyncio
import dataclasses
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from ml import forecast
from ml.arrivals import Ahead, Arrivals
from ml.forecast import DRAWS, Draws, NewBusiness
from ml.shocks import LEAST_ORIGINS
from service import calendar, nodes
from service.access import SYSTEM
from service.calendar import Period
from service.db import Database
from service.forecast_inputs import Inputs, days, evidence, gather
from service.ids import new_id
from service.jobs import Job, enqueue
from service.ledger import record
from service.nodes import Node, Tree
from service.settings import Settings
from service.voices import voices_of
from service.worker import Handler

HINDSIGHT = (
    "Deals without a score of that time are judged by a model that learned until {day}; the league is not."
)
FEW_WON = 20
"""So many won deals give the past's rate by age half of its weight."""
NOTEWORTHY = 0.01
"""A run is news when the company's mean moved by this share."""

# --- drawing -----------------------------------------------------------------------------------------------------


def arrivals_of(inputs: Inputs) -> Arrivals:
    """The champion of `arrivals`, its teams numbered as here, or a model learned here from the same past."""
    known = inputs.evidence.model
    return known.for_teams(inputs.team_names) if known else Arrivals().fit(inputs.history, days(inputs.now))


def new_business(inputs: Inputs, model: Arrivals) -> NewBusiness:
    """What each leaf will create from now on and win by each point of time."""
    now, history = days(inputs.now), inputs.history
    owners = int(inputs.owner_of.max()) + 1
    team = np.zeros(owners, np.int64)
    team[inputs.owner_of] = inputs.team
    by_owner = dataclasses.replace(history, leaf=inputs.owner_of[history.leaf])
    pace, certainty = model.pace(by_owner, now, inputs.since, team)
    ahead, skill = Ahead(inputs.ends, inputs.week), model.skill(by_owner, now, owners)
    business = model.expected(pace, certainty, team, ahead, skill)
    wins = business.wins[inputs.owner_of] * inputs.share[:, None]
    return NewBusiness(wins, business.certainty[inputs.owner_of], business.amount[inputs.owner_of])


def draw(period: Period, inputs: Inputs) -> Draws:
    """The run's draws; the same inputs give the same draws."""
    if not len(inputs.ends) or not inputs.leaves:
        nothing = np.zeros((len(inputs.leaves), 1, DRAWS), np.int64)
        return Draws(nothing, nothing)
    model, shocks = arrivals_of(inputs), inputs.evidence.sizes()
    trust = model.n_won_ / (model.n_won_ + FEW_WON)
    by_age = model.won_by_age(inputs.age_weeks, Ahead(inputs.ends, inputs.week))
    drawn = forecast.draw_leaves(
        forecast.levelled(inputs.deals, by_age, float(inputs.ends[-1]), shocks.blend * trust),
        new_business(inputs, model),
        inputs.team,
        inputs.ends,
        shocks,
        seed=zlib.crc32(period.key.encode()),
        streams=[zlib.crc32(f"{owner}:{territory}".encode()) for owner, territory in inputs.leaves],
    )
    return drawn.since_first() if inputs.is_ahead else drawn


def fan(inputs: Inputs, draws: Draws, tree: Tree) -> dict[str, list[list[int]]]:
    """For each person, team and the company: P10, P50 and P90 in cents at each point of time, closed included."""
    total = draws.open + draws.created + inputs.closed[:, None, None]
    found: dict[str, list[list[int]]] = {}
    teams, people = (Node("team", key) for key in tree.teams), (Node("user", key) for key in tree.people)
    for node in (nodes.COMPANY, *teams, *people):
        owners = tree.owners(node)
        rows = [index for index, (owner, _) in enumerate(inputs.leaves) if owner in owners]
        if rows:
            summed = total[rows].sum(axis=0)
            levels = np.quantile(summed, (0.1, 0.5, 0.9), axis=1, method="inverted_cdf")
            found[str(node)] = levels.T.astype(int).tolist()
    return found


# --- storing -----------------------------------------------------------------------------------------------------

_RUN = """
INSERT INTO forecast_runs (id, period, as_of, tier, model_version, arrivals_version, n_origins, n_periods, coverage,
                           interval_score, shocks, point_days, fan, mean_cents)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"""

_TIDY = """
DELETE FROM forecast_runs r USING (
    SELECT id, row_number() OVER (PARTITION BY date_trunc('day', as_of) ORDER BY as_of DESC, id DESC) AS place
    FROM forecast_runs WHERE period = $1
) o WHERE o.id = r.id AND o.place > 2"""


async def refresh(database: Database, models: Path, period: Period) -> UUID:
    """Draws a new run for the period and stores it; the older ones keep their summary, not their draws."""
    now = await calendar.data_now(database, datetime.now(UTC))
    inputs = await gather(database, period, now, await evidence(database, models))
    tree = await nodes.load(database)
    draws, curves = await asyncio.to_thread(_draw_all, period, inputs, tree)
    return await _store(database, period, inputs, draws, curves)


async def as_known(
    database: Database, settings: Settings, period: Period, as_of: datetime
) -> tuple[Inputs, Draws, str | None]:
    """A run as it would have been drawn at `as_of`, with what was known then, and a word on its hindsight.

    Nothing is stored. Pace and amounts of new business are learned from that past; the size of the shocks is today's,
    and so is the model of deals that were not scored yet.
    """
    proof = msgspec.structs.replace(await evidence(database, settings.home / "models"), model=None)
    voice = await voices_of(database, settings).voice("win", "deal_win", as_of)
    inputs = await gather(database, period, as_of, proof, then=True, voice=voice)
    trained = voice.bundle.manifest.training_as_of if voice.bundle else as_of
    note = HINDSIGHT.format(day=trained.date()) if trained > as_of else None
    return inputs, await asyncio.to_thread(draw, period, inputs), note


def _draw_all(period: Period, inputs: Inputs, tree: Tree) -> tuple[Draws, dict[str, list[list[int]]]]:
    draws = draw(period, inputs)
    return draws, fan(inputs, draws, tree)


async def _store(
    database: Database, period: Period, inputs: Inputs, draws: Draws, curves: dict[str, list[list[int]]]
) -> UUID:
    run_id, proof, total = new_id(), inputs.evidence, draws.total
    sizes = msgspec.to_builtins(proof.shocks)
    rows = [
        (
            run_id, owner, territory or UUID(int=0), int(inputs.closed[index]),
            forecast.mean_cents(draws.open[index, -1]), forecast.mean_cents(draws.created[index, -1]),
            total[index].astype("<i8").tobytes(),
        )
        for index, (owner, territory) in enumerate(inputs.leaves)
    ]  # fmt: skip
    mean = sum(row[3] + row[4] + row[5] for row in rows)
    columns = ("run_id", "owner_id", "territory_id", "closed_cents", "open_cents", "created_cents", "draws")
    async with database.begin() as tx:
        before = await tx.fetchval(
            "SELECT mean_cents FROM forecast_runs WHERE period = $1 ORDER BY as_of DESC, id DESC LIMIT 1",
            period.key,
        )
        if before is None or abs(mean - before) > NOTEWORTHY * max(abs(before), 1):
            await record(
                tx, SYSTEM, "forecast.changed", "forecast", run_id,
                data={"period": period.key, "mean": f"{mean / 100:.2f}", "was": before and f"{before / 100:.2f}"},
            )  # fmt: skip
        await tx.execute(
            _RUN, run_id, period.key, inputs.now, inputs.tier, inputs.model_version, proof.version, proof.n_origins,
            proof.n_periods, proof.coverage, proof.interval_score, sizes, [float(end) for end in inputs.ends], curves,
            mean,
        )  # fmt: skip
        await tx.copy_records("forecast_draws", columns, rows)
        await tx.execute(
            "DELETE FROM forecast_draws d USING forecast_runs r WHERE r.id = d.run_id AND r.period = $1 AND r.id <> $2",
            period.key, run_id,
        )  # fmt: skip
        await tx.execute(_TIDY, period.key)
    return run_id


def enough(n_origins: int) -> bool:
    """Whether bands rest on enough past origins to be shown."""
    return n_origins >= LEAST_ORIGINS


# --- jobs --------------------------------------------------------------------------------------------------------


async def due_periods(database: Database) -> list[Period]:
    """The quarter under way, the next one, and whatever else was asked for within the day and is not over."""
    now = await calendar.data_now(database, datetime.now(UTC))
    current = await calendar.period(database, None, now)
    after = current.end_date + timedelta(days=1)
    next_ = await calendar.period(database, None, (await calendar.company(database)).midnight(after))
    rows = await database.fetch(
        "SELECT DISTINCT period FROM forecast_runs WHERE as_of > $1 AND period <> ALL($2::text[])",
        now - timedelta(days=1), [current.key, next_.key],
    )  # fmt: skip
    asked = [await calendar.period(database, row["period"], now) for row in rows]
    return [current, next_, *(period for period in asked if period.end_date >= current.start_date)]


async def touch(jobs: list[Job]) -> dict[str, Any]:
    """Deals have changed: one refresh in a moment, however many they were."""
    database = jobs[0].database
    await enqueue(database, "forecast.refresh", key="all", run_at=datetime.now(UTC) + timedelta(seconds=2))
    return {"touched": len(jobs)}


def handlers(models: Path) -> dict[str, Handler]:
    """`forecast.touch` follows each change of a deal, `forecast.refresh` draws; `models` is the folder of bundles."""

    async def refresh_due(job: Job) -> dict[str, Any]:
        periods = await due_periods(job.database)
        for done, period in enumerate(periods):
            await refresh(job.database, models, period)
            await job.progress(done + 1, len(periods))
        return {"periods": [period.key for period in periods]}

    return {"forecast.touch": touch, "forecast.refresh": refresh_due}
