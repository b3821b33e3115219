"""Forecasts of past periods as they would have been made then: for the league, and for what bands have been worth.

    past = await backtest.replay(fetch, feature_set, as_of, periods=8)
    past.origins            # ml.shocks.Origin: every four weeks, with what came of each
    league(past)            # rows: method × node × days before the end

At each origin only versions known then are looked at; the win model is the logistic one, learned anew for each quarter
from the weeks that had ended by its start; pace, odds and amounts of new business are learned anew at each origin.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from features.facts import Array
from features.offline import training_set
from features.reading import read_calendar
from features.spec import FeatureSet
from ml import forecast
from ml.arrivals import Ahead, Arrivals, Deals, selling_since, week_of_quarter
from ml.forecast import NewBusiness, OpenDeals, Shocks
from ml.frame import Floats, Ints
from ml.panel import Panel
from ml.shocks import LEAST_ORIGINS, Origin, tune
from ml.shocks import judge as judge_bands
from ml.win import WinModel
from training import judge
from training.dataset import DealSet, as_features, deal_panel
from training.past import Past, Quarter, days, moment, quarters, read

BEFORE = (90, 60, 30, 14, 7, 1)
"""Days before the end of a period at which the league looks."""
ROLLING = (84, 56, 28)
"""Days before the end at which shocks are measured: every four weeks."""
LEAST_HISTORY = 150
"""Days of history before the first period that is forecast."""
LAST_DAY = 1.0
"""A quarter counts as ended on its last day: files of dates have no later instant."""
LEAST_WON, LEAST_CLOSED = 20, 60
MOST_ROWS = 4_000
WEEKS = 26
AMOUNT_LEVELS = (0.1, 0.5, 0.9)

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Look:
    """One past forecast: the origin with its draws' ingredients, and what naive methods would have said."""

    quarter: Quarter
    before: int
    origin: Origin
    owners: list[str]
    closed: Floats
    """(leaves,) won in the period by then."""
    naive: dict[str, Floats]
    """Method → (leaves,) forecast of the whole period."""

    @property
    def actual(self) -> Floats:
        """(leaves,) what the whole period brought."""
        return np.asarray(self.closed + self.origin.actual)


@dataclass
class Replay:
    """All looks, oldest first, and the past that they were taken from."""

    past: Past
    as_of: float
    looks: list[Look] = field(default_factory=list)

    @property
    def origins(self) -> list[Origin]:
        """The four-weekly origins, of which shocks and coverage are measured."""
        return [look.origin for look in self.looks if look.before in ROLLING]


async def replay(
    fetch: Any,
    feature_set: FeatureSet,
    as_of: datetime,
    *,
    periods: int = 8,
    without: tuple[str, ...] = (),
    panel: DealSet | None = None,
    before: tuple[int, ...] = (*BEFORE, *ROLLING),
    workers: int = 1,
    tell: Tell | None = None,
) -> Replay:
    """Forecasts the last `periods` quarters that ended by `as_of`, `before` days ahead of their ends.

    `panel`: landmarks that have been read already.
    """
    past = await read(fetch, await read_calendar(fetch))
    found = Replay(past, days(as_of))
    wanted = quarters(past.first + LEAST_HISTORY, found.as_of + LAST_DAY, past.calendar)[-periods:]
    if not wanted:
        return found
    panel = panel or await deal_panel(fetch, feature_set, as_of, without=without, tell=tell)
    tasks = [(panel.stages, learned_from(panel.known_by(quarter.start), quarter.start)) for quarter in wanted]
    models = judge.side_by_side(fitted, tasks, tell, "models of past periods", workers)
    for number, (quarter, model) in enumerate(zip(wanted, models, strict=True)):
        for ahead in sorted(set(before), reverse=True):
            found.looks.append(await look(fetch, feature_set, without, past, panel, model, quarter, ahead))
        if tell:
            tell("past periods", number + 1, len(wanted))
    return found


def learned_from(panel: Panel, day: float) -> Panel:
    """The weeks that had ended by `day`; of many rows a part, whole deals drawn at random: there is a model to fit for
    every quarter."""
    known = panel.known_by(day)
    if len(known) > MOST_ROWS:
        share = MOST_ROWS / len(known)
        drawn = np.random.default_rng(0).random(int(known.deal.max()) + 1) < share
        known = known.take(drawn[known.deal])
    return known


def fitted(stages: tuple[str, ...], known: Panel) -> WinModel | None:
    """The logistic model of what was known; None where that was too little."""
    if int(np.sum(known.outcome == -1)) < LEAST_WON or int(np.sum(known.outcome < 0)) < LEAST_CLOSED:
        return None
    return WinModel(stages, "logistic", weeks=WEEKS).fit(known)


async def look(
    fetch: Any,
    feature_set: FeatureSet,
    without: tuple[str, ...],
    past: Past,
    panel: DealSet,
    model: WinModel | None,
    quarter: Quarter,
    before: int,
) -> Look:
    """One forecast at `before` days ahead of the quarter's end."""
    now = max(quarter.end - before, quarter.start)
    known = past.at(now)
    opened = {name: column[known["status"] == "open"] for name, column in known.items()}
    won_later, won_before = past.won(now, quarter.end), past.won(quarter.start, now)
    owners = sorted({*known["owner"], *won_later["owner"], *won_before["owner"]})
    place = {owner: index for index, owner in enumerate(owners)}
    names = sorted({past.team(owner) for owner in owners})
    team = np.array([names.index(past.team(owner)) for owner in owners], np.int64)
    won_by = await curves(fetch, feature_set, without, panel, model, opened, now)
    deals = OpenDeals(_places(opened["owner"], place), won_by, amounts(past, opened, now))
    history = history_of(known, place, team, past)
    ahead = Ahead(np.array([quarter.end - now]), (now - quarter.start) / 7)
    arrivals = Arrivals().fit(history, now)
    age = (now - opened["created_at"].astype(float)) / 7
    origin = Origin(
        at=now, known=quarter.end, period=quarter.key, team=team, deals=deals,
        business=to_come(arrivals, past, owners, team, history, now, ahead), ends=ahead.ends,
        actual=_by_leaf(won_later, place), by_age=arrivals.won_by_age(age, ahead),
    )  # fmt: skip
    closed = _by_leaf(won_before, place)
    return Look(quarter, before, origin, owners, closed, naive(past, opened, closed, quarter, now, place))


async def curves(
    fetch: Any,
    feature_set: FeatureSet,
    without: tuple[str, ...],
    panel: DealSet,
    model: WinModel | None,
    opened: dict[str, Array],
    now: float,
) -> Floats:
    """P(won by week) of the open deals; the stage's chance spread over half a year where there was no model yet."""
    if model is None or not len(opened["id"]):
        return np.outer(opened["probability"], np.minimum(np.arange(1, WEEKS + 1) / WEEKS, 1.0))
    at = pl.Series([moment(now)] * len(opened["id"]), dtype=pl.Datetime("us", "UTC"))
    spine = pl.DataFrame({"entity_id": pl.Series(opened["id"].tolist(), dtype=pl.String), "as_of": at})
    frame = as_features(await training_set(fetch, feature_set, spine), feature_set, without)
    known = np.array([key in panel.stages for key in opened["stage"]])
    stage = np.array(
        [panel.stages.index(key) if key in panel.stages else 0 for key in opened["stage"]], np.int64
    )
    won = model.curves(frame, stage, np.full(len(stage), now)).won
    return np.asarray(won * known[:, None])


def amounts(past: Past, opened: dict[str, Array], now: float) -> Floats:
    """P10, P50, P90 of each open deal's final amount: its own times the usual ratio, or the company's without one."""
    won = past.won(now - 365, now)
    finals = won["amount"][np.isfinite(won["amount"])]
    before = [past.amount_then(deal, day - 28) for deal, day in zip(won["id"], won["closed_at"], strict=True)]
    ratios = won["amount"] / np.array(before, float)
    ratios = ratios[np.isfinite(ratios) & (ratios > 0)] if len(ratios) else np.ones(1)
    ratio = np.quantile(ratios, AMOUNT_LEVELS) if len(ratios) else np.ones(3)
    usual = np.quantile(finals, AMOUNT_LEVELS) if len(finals) else np.zeros(3)
    own = opened["amount"].astype(float)[:, None]
    return np.where(np.isfinite(own) & (own > 0), own * ratio[None, :], usual[None, :])


def history_of(known: dict[str, Array], place: dict[str, int], team: Ints, past: Past) -> Deals:
    leaf = _places(known["owner"], place)
    created = known["created_at"].astype(float)
    return Deals(
        leaf=leaf, team=team[leaf], created=created, closed=known["closed_at"].astype(float),
        won=known["status"] == "won", amount=known["amount"].astype(float),
        week_created=week_of_quarter(created, past.calendar.first_month),
    )  # fmt: skip


def to_come(
    model: Arrivals, past: Past, owners: list[str], team: Ints, history: Deals, now: float, ahead: Ahead
) -> NewBusiness | None:
    """What the owners would create from then on and win, learned from what was known then."""
    if not len(history.leaf):
        return None
    started = np.array([past.people.get(owner, ("", np.nan))[1] for owner in owners], float)
    since = selling_since(history.leaf, history.created, started, np.ones(len(owners), bool), now)
    pace, certainty = model.pace(history, now, since, team)
    return model.expected(pace, certainty, team, ahead, model.skill(history, now, len(owners)))


def naive(
    past: Past, opened: dict[str, Array], closed: Floats, quarter: Quarter, now: float, place: dict[str, int]
) -> dict[str, Floats]:
    """Stage-weighted, the last period from the same day on, and the pace of the period so far."""
    due = (opened["close_date"] >= np.floor(quarter.start)) & (opened["close_date"] < np.ceil(quarter.end))
    worth = np.nan_to_num(opened["amount"].astype(float)) * opened["probability"].astype(float) * due
    weighted = np.bincount(_places(opened["owner"], place), weights=worth, minlength=len(place))
    length = quarter.end - quarter.start
    rest_of_last = _by_leaf(past.won(now - length, quarter.start), place)
    elapsed = (now - quarter.start) / length
    run_rate = closed / elapsed if elapsed > 0.05 else rest_of_last + closed
    return {"stage_weighted": closed + weighted, "last_period": closed + rest_of_last, "run_rate": run_rate}


def _places(owners: Array, place: dict[str, int]) -> Ints:
    return np.array([place[owner] for owner in owners], np.int64)


def _by_leaf(deals: dict[str, Array], place: dict[str, int]) -> Floats:
    """Amounts by owner; an owner who is not among the leaves is left out."""
    totals = np.zeros(len(place))
    for owner, amount in zip(deals["owner"], np.nan_to_num(deals["amount"].astype(float)), strict=True):
        if owner in place:
            totals[place[owner]] += amount
    return totals


# --- what came of it -----------------------------------------------------------------------------------------------


def shocks_at(origins: list[Origin], day: float, cache: dict[int, Shocks]) -> Shocks:
    """The shocks as they were known on a day."""
    known = [origin for origin in origins if origin.known <= day]
    if len(known) not in cache:
        cache[len(known)] = tune(known, day) if len(known) >= LEAST_ORIGINS else Shocks(0.1, 0.1)
    return cache[len(known)]


def league(replayed: Replay, before: tuple[int, ...] = BEFORE) -> list[dict[str, Any]]:
    """A row for each look, node (company, teams) and method, in units of money; bands need four origins behind them."""
    rows: list[dict[str, Any]] = []
    cache: dict[int, Shocks] = {}
    for one in (look for look in replayed.looks if look.before in before):
        shocks = shocks_at(replayed.origins, one.origin.at, cache)
        draws = one.origin.draw(shocks, draws=1000)
        for node, inside in _nodes(one, replayed.past):
            closed = float(one.closed[inside].sum())
            band = forecast.band(draws[inside].sum(axis=0))
            shown = sum(origin.known <= one.origin.at for origin in replayed.origins) >= LEAST_ORIGINS
            said = {"ai": closed + band.p50 / 100} | {
                name: float(v[inside].sum()) for name, v in one.naive.items()
            }
            for method, amount in said.items():
                is_banded = shown and method == "ai"
                rows.append({
                    "period": one.quarter.key, "node_type": node[0], "node_id": node[1], "method": method,
                    "days_before": one.before, "as_of": moment(one.origin.at).isoformat(),
                    "forecast": round(amount, 2), "actual": round(float(one.actual[inside].sum()), 2),
                    "low": round(closed + band.p10 / 100, 2) if is_banded else None,
                    "high": round(closed + band.p90 / 100, 2) if is_banded else None,
                })  # fmt: skip
    return rows


def _nodes(look: Look, past: Past) -> list[tuple[tuple[str, str | None], Array]]:
    """The company and its teams, each with the leaves inside."""
    teams = np.array([past.team(owner) for owner in look.owners], dtype=object)
    everybody = np.ones(len(teams), bool)
    return [(("company", None), everybody)] + [
        (("team", team), teams == team) for team in sorted(set(teams)) if team != "None"
    ]


@dataclass(frozen=True)
class Learned:
    """The model `arrivals` with what the past says of bands."""

    model: Arrivals
    background: dict[str, Any]
    metrics: dict[str, Any]
    n_won: int


async def learn_arrivals(
    fetch: Any,
    feature_set: FeatureSet,
    as_of: datetime,
    *,
    periods: int = 8,
    without: tuple[str, ...] = (),
    panel: DealSet | None = None,
    before: tuple[int, ...] = ROLLING,
    workers: int = 1,
    tell: Tell | None = None,
) -> Learned:
    """The arrivals of business as of an instant, with the shocks and the coverage of past forecasts beside them."""
    replayed = await replay(
        fetch, feature_set, as_of, periods=periods, without=without, panel=panel, before=before, workers=workers,
        tell=tell,
    )  # fmt: skip
    past, now = replayed.past, days(as_of)
    known = past.at(now)
    owners = sorted(set(known["owner"]))
    names = sorted({past.team(owner) for owner in owners})
    team = np.array([names.index(past.team(owner)) for owner in owners], np.int64)
    history = history_of(known, {owner: index for index, owner in enumerate(owners)}, team, past)
    model = Arrivals().fit(history, now).name_teams(names)
    origins = replayed.origins
    shocks = tune(origins, now) if len(origins) >= LEAST_ORIGINS else Shocks(0.1, 0.1)
    judged = judge_bands(origins)
    background = {
        "shocks": {name: getattr(shocks, name) for name in ("company", "team", "inflation", "blend")},
        "n_origins": len(origins),
        "n_periods": judged.n_periods if judged else 0,
        "coverage": judged.coverage if judged else {},
        "interval_score": judged.interval_score if judged else {},
        "n_bands": judged.n if judged else {},
    }
    return Learned(model, background, compared(replayed), model.n_won_)


def compared(replayed: Replay) -> dict[str, Any]:
    """Mean absolute error of the company's total, relative to what came, by method and days before the end."""
    before_end = tuple(sorted({look.before for look in replayed.looks}, reverse=True))
    rows = [
        row for row in league(replayed, before_end) if row["node_type"] == "company" and row["actual"] > 0
    ]
    found: dict[str, Any] = {}
    for method in sorted({row["method"] for row in rows}):
        for before in before_end:
            misses = [
                abs(row["forecast"] - row["actual"]) / row["actual"]
                for row in rows
                if row["method"] == method and row["days_before"] == before
            ]
            if misses:
                found[f"ape_{method}_{before}d"] = {"value": float(np.mean(misses)), "n": len(misses)}
    return found


__all__ = ["Learned", "Look", "Panel", "Replay", "compared", "league", "learn_arrivals", "replay"]
