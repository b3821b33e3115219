"""What `make report` measures inside one home: `python -m training.measure company|maven`; rows as JSON lines.

A row says: data, task, method, figure, value with its interval, n. Everything is judged on later time with what was known
then; the simulated company knows the true chances too, so there the limit is known.
"""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.catalogue import SETS
from features.facts import Array
from features.offline import training_set
from ml import metrics
from ml.frame import Floats
from ml.panel import Panel
from ml.win import WinModel
from service.settings import read
from training import backtest, ending, guard, judge, win
from training.__main__ import connected
from training.dataset import DealSet, as_features, deal_panel
from training.past import days
from training.states import DAY, States, states

MONTH, SEASON = 28.0, 84.0
MOST = 12_000
WORKERS = min(os.cpu_count() or 1, 2)
MAVEN_THEN = datetime(2017, 10, 1, tzinfo=UTC)
MAVEN_END = datetime(2017, 12, 31, 23, 59, tzinfo=UTC)
TIERS = ("baseline", "logistic", "gbm")

Row = dict[str, Any]


def row(data: str, task: str, method: str, figure: str, measure: metrics.Measure | float, n: int = 0) -> Row:
    """One line of the report."""
    if isinstance(measure, metrics.Measure):
        return {"data": data, "task": task, "method": method, "figure": figure, **measure.document()}
    return {
        "data": data,
        "task": task,
        "method": method,
        "figure": figure,
        "value": measure,
        "low": None,
        "high": None,
        "n": n,
    }


# --- the simulated company ---------------------------------------------------------------------------------------


async def company(connection: Any, home: Path) -> list[Row]:
    """Log loss against the oracle's after the change of regime; revenue of past quarters."""
    data = "simulated company"
    truth = pl.read_csv(home / "truth" / "landmarks.csv", try_parse_dates=True)
    ours = (
        "SELECT id::text AS id, external_ids ->> 'demo' AS key FROM opportunities /* access:opportunities */"
    )
    names = {line["key"]: line["id"] for line in await connection.fetch(ours)}
    now = datetime.now(UTC)
    feature_set = SETS["deal_win"]
    found = await deal_panel(connection.fetch, feature_set, now, most=MOST)
    refused = [one.column for one in guard.refused(found, feature_set)]
    found = found.without(refused)
    spine = pl.DataFrame(
        {
            "entity_id": [names[key] for key in truth["opportunity"]],
            "as_of": truth["at"].dt.cast_time_unit("us"),
        }
    )
    frame = as_features(await training_set(connection.fetch, feature_set, spine), feature_set, tuple(refused))
    stage = np.array([found.stages.index(key) for key in truth["stage"]], np.int64)
    asked = win.Ask(frame, stage, truth["at"].dt.epoch("us").to_numpy() / DAY)
    said = _rolling(found, asked)
    group = np.unique(truth["opportunity"].to_numpy(), return_inverse=True)[1]
    rows: list[Row] = []
    for task, outcome, oracle, key in (
        ("won in 13 weeks", "won13", "p13", "won_91d"), ("won at last", "won_last", "p_last", "won_at_last")
    ):  # fmt: skip
        came = truth[outcome].to_numpy().astype(float)
        limit = metrics.log_losses(truth[oracle].to_numpy(), came)
        rows.append(row(data, task, "oracle", "log loss", metrics.mean(limit, group)))
        for method, chances in said.items():
            losses = metrics.log_losses(chances[key], came)
            rows.append(row(data, task, method, "log loss", metrics.mean(losses, group)))
            rows.append(
                row(data, task, method, "log loss / oracle's", float(losses.mean() / limit.mean()), len(came))
            )
            rows.append(row(data, task, method, "ECE", metrics.ece(chances[key], came, group)))
    return rows + await _revenue(connection, data, now, periods=6)


def _rolling(found: DealSet, asked: win.Ask) -> dict[str, dict[str, Floats]]:
    """Each tier's chances, learned every twelve weeks with offsets refit every four; and those by the rate of the stage."""
    first, last = float(asked.at.min()), float(asked.at.max()) + 1
    cuts = np.arange(first, last, SEASON)
    tasks = [(found.stages, tier, found.panel, float(cut), asked) for tier in reversed(TIERS) for cut in cuts]
    results = judge.side_by_side(season, tasks, None, "", WORKERS)
    said: dict[str, dict[str, Floats]] = {}
    for task, part in zip(tasks, results, strict=True):
        for key, chances in part.items():
            mine = said.setdefault(task[1], {}).setdefault(key, np.full(len(asked.at), np.nan))
            mine[np.isfinite(chances)] = chances[np.isfinite(chances)]
    return {tier: said[tier] for tier in TIERS} | {"rate of the stage": _by_stage(found, asked, cuts)}


def season(stages: tuple[str, ...], tier: str, panel: Panel, cut: float, asked: win.Ask) -> dict[str, Floats]:
    """The chances of the rows asked within twelve weeks after a cut-off; NaN for the others."""
    model = WinModel(stages, tier).fit(panel.known_by(cut))
    found = {key: np.full(len(asked.at), np.nan) for key in ("won_91d", "won_at_last")}
    for month in np.arange(cut, cut + SEASON, MONTH):
        rows = np.flatnonzero((asked.at >= month) & (asked.at < month + MONTH))
        if len(rows):
            curves = model.refit_offsets(panel.known_by(float(month))).curves(
                asked.frame.take(rows), asked.stage[rows], asked.at[rows]
            )
            found["won_91d"][rows], found["won_at_last"][rows] = (
                curves.won_by(np.full(len(rows), 91.0)),
                curves.final,
            )
    return found


def _by_stage(found: DealSet, asked: win.Ask, cuts: Array) -> dict[str, Floats]:
    """The share that was won from each stage, by what was known at each cut-off."""
    said = {key: np.full(len(asked.at), np.nan) for key in ("won_91d", "won_at_last")}
    soon, _ = found.won_within(91.0)
    at_last, _ = found.at_last()
    for cut in cuts:
        rows = (asked.at >= cut) & (asked.at < cut + SEASON)
        for key, came, known in (
            ("won_91d", soon, found.panel.at + 91 <= cut),
            ("won_at_last", at_last, found.row_closed_at <= cut),
        ):
            for stage in range(len(found.stages)):
                then = known & (found.panel.stage == stage)
                said[key][rows & (asked.stage == stage)] = (came[then].sum() + 1) / (then.sum() + 2)
    return said


# --- Maven's file ------------------------------------------------------------------------------------------------


async def maven(connection: Any, home: Path) -> list[Row]:
    """Open deals on 1 October 2017, won in 90 days; deals at their creation; revenue of past quarters."""
    data = "maven_crm"
    history = await states(connection.fetch, MAVEN_END)
    feature_set = SETS["deal_win"]
    found = await deal_panel(connection.fetch, feature_set, MAVEN_THEN, most=MOST)
    refused = [one.column for one in guard.refused(found, feature_set)]
    found = found.without(refused)
    then = float(MAVEN_THEN.timestamp()) / 86_400
    opened = _open_at(history, then)
    rows = await _maven_task(
        connection,
        history,
        found,
        tuple(refused),
        opened,
        np.full(len(opened), then),
        "open deals on 1 October 2017, won in 90 days",
    )
    born = _born_between(history, then - 92, then)
    earlier = await deal_panel(connection.fetch, feature_set, datetime(2017, 7, 1, tzinfo=UTC), most=MOST)
    rows += await _maven_task(
        connection,
        history,
        earlier.without(refused),
        tuple(refused),
        born[0],
        born[1],
        "at creation, won in 90 days",
    )
    rows.append(
        row(data, "leak guard", "features refused", "count", float(len(refused)), len(feature_set.names))
    )
    return rows + await _revenue(connection, data, MAVEN_END, periods=3)


def _open_at(history: States, day: float) -> Array:
    """Spans of deals that were open at an instant."""
    open_then = (history.status == "open") & (history.from_at <= day * DAY)
    spans: Array = np.flatnonzero(open_then & ~(history.to_at <= day * DAY))
    return spans


def _born_between(history: States, first: float, last: float) -> tuple[Array, Array]:
    """First spans of deals that began within, and when."""
    begins = np.append(True, history.deal[1:] != history.deal[:-1])
    spans = np.flatnonzero(
        begins
        & (history.status == "open")
        & (history.from_at >= first * DAY)
        & (history.from_at < last * DAY)
    )
    return spans, history.from_at[spans] / DAY


async def _maven_task(
    connection: Any,
    history: States,
    found: DealSet,
    refused: tuple[str, ...],
    spans: Array,
    at: Array,
    task: str,
) -> list[Row]:
    usable = np.array([key in found.stages for key in history.stage[spans]], dtype=bool)
    spans, at = spans[usable], at[usable]
    deal = history.deal[spans]
    wins = {
        int(history.deal[i]): history.from_at[i] / DAY for i in np.flatnonzero(history.status == "won")[::-1]
    }
    came = np.array(
        [wins.get(int(one), np.inf) <= day + 90 for one, day in zip(deal, at, strict=True)]
    ).astype(float)
    spine = pl.DataFrame({
        "entity_id": [history.names[one] for one in deal],
        "as_of": pl.Series((at * DAY).astype(np.int64)).cast(pl.Datetime("us", "UTC")),
    })  # fmt: skip
    frame = as_features(
        await training_set(connection.fetch, SETS["deal_win"], spine), SETS["deal_win"], refused
    )
    stage = np.array([found.stages.index(key) for key in history.stage[spans]], np.int64)
    rows: list[Row] = []
    tasks: list[tuple[Any, ...]] = [
        (found.stages, tier, {}, found.panel, win.Ask(frame, stage, at)) for tier in reversed(TIERS)
    ]
    said = {
        job[1]: part[1]["won_90d"]
        for job, part in zip(tasks, judge.side_by_side(win.fitted, tasks, None, "", WORKERS), strict=True)
    }
    outcome, _ = found.won_within(90.0)
    known = found.panel.at + 90 <= found.panel.end
    said |= judge.naive(found.panel.frame.take(known), outcome[known], found.panel.at[known], frame)
    for method, chances in said.items():
        for figure, measure in metrics.summary(chances, came, deal).items():
            if figure != "brier":
                name = {"log_loss": "log loss", "ece": "ECE", "auc": "AUC"}[figure]
                rows.append(row("maven_crm", task, method.replace("_", " "), name, measure))
    return rows


# --- both --------------------------------------------------------------------------------------------------------


async def _revenue(connection: Any, data: str, as_of: datetime, periods: int) -> list[Row]:
    """The mean relative miss of quarter revenue, by method and days before the quarter's end."""
    replayed = await backtest.replay(
        connection.fetch, SETS["deal_win"], as_of, periods=periods, before=(90, 60, 30), workers=WORKERS
    )
    assert replayed.as_of == days(as_of)
    return [
        row(data, f"quarter revenue, {name.rsplit('_', 1)[1].removesuffix('d')} days before the end",
            name.removeprefix("ape_").rsplit("_", 1)[0].replace("_", " "), "mean APE", found["value"], found["n"])
        for name, found in backtest.compared(replayed).items()
    ]  # fmt: skip


async def measured(name: str) -> list[Row]:
    settings = read(os.environ)
    connection = await connected(settings)
    try:
        return await (company if name == "company" else maven)(connection, settings.home)
    finally:
        await connection.close()


def main() -> None:
    ending.with_the_reader()
    for line in asyncio.run(measured(sys.argv[1])):
        sys.stdout.write(json.dumps({"row": line}) + "\n")


if __name__ == "__main__":
    main()
