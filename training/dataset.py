"""Training sets: deals looked at weekly and at each change of stage, leads at their creation and weekly, as known then.

    panel = await deal_panel(fetch, SETS["deal_win"], as_of)
    panel.panel             # ml.panel.Panel: features, stage, what became of it within a week
    panel.frame             # the same rows as a polars frame, for a notebook

A set is named by the sha256 of its bytes: the same history gives the same name, whenever it is asked.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from features.facts import Array, moment
from features.facts import instant as at_instant
from features.labels import WON_AT_LAST, Fates, Label, converted_within, won_within
from features.offline import digest, training_set
from features.quality import described
from features.spec import Feature, FeatureSet, coded
from ml.frame import Frame
from ml.lead import LeadPanel
from ml.panel import LOST, WON, Panel
from training import judge
from training.states import (
    DAY,
    WEEK,
    States,
    fates,
    fields_filled_at,
    filled_at,
    first_close,
    leads_of,
    open_stages,
    states,
)

MONDAY = 4 * DAY
"""1970-01-05, a Monday: landmarks lie on Mondays."""
RARE = 5
"""Words of a category that occur less often are not known."""

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class DealSet:
    """Landmarks of deals with their features, as a panel for models and as a frame for people."""

    panel: Panel
    frame: pl.DataFrame
    deals: tuple[str, ...]
    stages: tuple[str, ...]
    sha256: str
    fates: Fates
    """By number of the deal."""
    amount: Array
    """By row: the amount then, NaN where not known."""
    filled_at: dict[str, Array]
    """Column → when it was filled in first, by number of the deal."""
    available: int
    """Landmarks that there were; `len(panel)` of them were taken."""
    wider: "Wider | None" = None

    def without(self, names: Sequence[str]) -> "DealSet":
        """The same rows without some features: those that the guard refused."""
        panel = replace(self.panel, frame=self.panel.frame.without(list(names)))
        wider = self.wider
        if wider is not None:
            wider = replace(wider, panel=replace(wider.panel, frame=wider.panel.frame.without(list(names))))
        return replace(self, panel=panel, wider=wider)

    def known_by(self, cut: float) -> Panel:
        """What there was to learn from at an origin (days)."""
        return self.wider.known_by(cut) if self.wider else self.panel.known_by(cut)

    @property
    def row_closed_at(self) -> Array:
        """When each row's deal was closed, in days; inf where it is open."""
        closed = self.fates.closed_at[self.panel.deal] / DAY
        return np.where(np.isnan(closed), np.inf, closed)

    def label(self, label: Label) -> tuple[Array, Array]:
        """The label of each row (0 where it is not known), and whether it is known by now."""
        return _labeled(label, self.fates.take(self.panel.deal), self.panel.at, self.panel.end)

    def won_within(self, days: float) -> tuple[Array, Array]:
        """Whether each row's deal was won within `days` of the landmark (1 or 0), and whether that is known by now."""
        return self.label(won_within(days))

    def at_last(self) -> tuple[Array, Array]:
        """Whether each row's deal was won at last, and whether that is known."""
        return self.label(WON_AT_LAST)


def _labeled(label: Label, fates: Fates, at: Array, end: float) -> tuple[Array, Array]:
    found = label.of(fates, at * DAY, end * DAY)
    return np.nan_to_num(found, nan=0.0), np.isfinite(found)


@dataclass(frozen=True)
class LeadSet:
    """Landmarks of leads as a panel for models and as a frame for people."""

    panel: LeadPanel
    frame: pl.DataFrame
    sha256: str
    available: int
    fates: Fates
    """By number of the lead."""

    def converted_within(self, days: float) -> tuple[Array, Array]:
        """Whether each row's lead converted within `days` of the look (1 or 0), and whether that is known by now."""
        label = converted_within(days)
        return _labeled(label, self.fates.take(self.panel.lead), self.panel.at, self.panel.known_to)

    def without(self, names: Sequence[str]) -> "LeadSet":
        """The same rows without some features: those that the guard refused."""
        return replace(self, panel=replace(self.panel, frame=self.panel.frame.without(list(names))))


def landmarks(history: States, as_of: float) -> tuple[Array, Array]:
    """(deal, instant) pairs: every Monday on which a deal was open, and each instant at which it entered a stage."""
    opened = np.flatnonzero(history.status == "open")
    first = history.from_at[opened]
    last = np.minimum(np.where(np.isnan(history.to_at[opened]), as_of, history.to_at[opened]), as_of)
    begin = np.ceil((first - MONDAY) / WEEK)
    count = np.maximum(np.ceil((last - MONDAY) / WEEK) - begin, 0).astype(np.int64)
    span = np.repeat(np.arange(len(opened)), count)
    step = np.arange(len(span)) - np.repeat(np.cumsum(count) - count, count)
    mondays = (begin[span] + step) * WEEK + MONDAY
    entered = _entries(history, opened)
    deal = np.concatenate([history.deal[opened][span], history.deal[entered]])
    instant = np.concatenate([mondays, history.from_at[entered]])
    pairs = np.unique(np.column_stack([deal.astype(np.float64), instant]), axis=0)
    return pairs[:, 0].astype(np.int64), pairs[:, 1]


def _entries(history: States, opened: Array) -> Array:
    """Spans of open deals with which a stage begins."""
    before = opened - 1
    same = (before >= 0) & (history.deal[before] == history.deal[opened])
    moved = ~same | (history.stage[before] != history.stage[opened])
    found: Array = opened[moved]
    return found


def outcomes(history: States, deal: Array, instant: Array, stages: tuple[str, ...]) -> Array:
    """The state seven days after each landmark: an open stage's index, WON or LOST."""
    place = history.at(deal, instant + WEEK)
    status, stage = history.status[place], history.stage[place]
    index = np.array([stages.index(key) if key in stages else 0 for key in stage], dtype=np.int64)
    found: Array = np.where(status == "won", WON, np.where(status == "lost", LOST, index))
    return found


async def deal_panel(
    fetch: Any,
    feature_set: FeatureSet,
    as_of: datetime,
    *,
    without: tuple[str, ...] = (),
    most: int | None = None,
    tell: Tell | None = None,
) -> DealSet:
    """The panel of deals as known at `as_of`; `without` names features that the leak guard refused, `most` bounds the
    rows (`sampled`)."""
    until = at_instant(as_of)
    history = await states(fetch, as_of)
    seen = set(history.stage[history.status == "open"])
    stages = tuple(key for key in await open_stages(fetch) if key in seen)
    deal, instant = landmarks(history, until)
    now = history.at(deal, instant)
    usable = (instant + WEEK <= until) & (now >= 0) & np.isin(history.stage[now], stages)
    usable &= instant + WEEK >= first_close(history)
    deal, instant, now = deal[usable], instant[usable], now[usable]
    available = len(deal)
    share = Shares.of(instant / DAY, until / DAY, most)
    order = np.array([_fraction(name) for name in history.names])
    kept = share.kept(order[deal], instant / DAY)
    deal, instant, now = deal[kept], instant[kept], now[kept]
    spine = _spine([history.names[i] for i in deal], instant)
    total = len(spine)
    frame = await training_set(
        fetch, feature_set, spine, progress=(lambda done: tell("features", done, total)) if tell else None
    )
    features = as_features(frame, feature_set, without)
    stage = np.array([stages.index(key) for key in history.stage[now]], dtype=np.int64)
    outcome = outcomes(history, deal, instant, stages)
    whole = Panel(deal, instant / DAY, stage, features, outcome, until / DAY)
    taken = order[deal] < share.now
    keys = {
        name: field.key for name, field in feature_set.declared.items() if field.entity == feature_set.entity
    }
    frame, outcome = frame.filter(pl.Series(taken)), outcome[taken]
    return DealSet(
        whole.take(taken), frame.with_columns(pl.Series("outcome", outcome)), history.names, stages,
        digest(frame, outcome), fates(history), history.amount[now][taken],
        filled_at(history) | await fields_filled_at(fetch, as_of, history.names, keys), available,
        Wider(whole, order, share),
    )  # fmt: skip


SELDOM = ("deal_room", "deal_notes")
"""Lists that many companies keep none of."""


def idle(found: DealSet | LeadSet, feature_set: FeatureSet) -> list[str]:
    """Features of custom fields and of seldom lists of which every row says the same: there is nothing to learn from."""
    wider = found.wider if isinstance(found, DealSet) else None
    frame = (wider.panel if wider else found.panel).frame
    return [
        name for name in frame.columns if _is_seldom(feature_set[name]) and _is_constant(frame.column(name))
    ]


def _is_seldom(one: Feature) -> bool:
    return one.declared is not None or any(name in one.columns for name in SELDOM)


def _is_constant(column: Array) -> bool:
    known = column[np.isfinite(column)]
    return not len(known) or (len(known) == len(column) and bool(known.min() == known.max()))


def window(at: Array) -> tuple[datetime, datetime] | None:
    """The first and the last of instants in days."""
    return (moment(float(at.min()) * DAY), moment(float(at.max()) * DAY)) if len(at) else None


def statistics_of(frame: pl.DataFrame, feature_set: FeatureSet, names: Sequence[str]) -> dict[str, Any]:
    """What the features of a training set are like, in few numbers each."""
    columns = {
        name: frame[name].fill_null("").to_numpy().astype(np.str_)
        if name in feature_set.categories
        else frame[name].fill_null(np.nan).to_numpy()
        for name in names
    }
    return described(columns, feature_set.categories)


@dataclass(frozen=True)
class Shares:
    """Which share of all deals is taken: `now`, and at each origin of a backtest, so that there as many rows are learned
    from as there would have been then. A young history taken by today's share would be a fraction of itself."""

    most: float
    instants: Array
    """Of all landmarks, sorted, in days."""
    cuts: tuple[float, ...]

    @classmethod
    def of(cls, instants: Array, until: float, most: int | None) -> "Shares":
        if most is None or not len(instants):
            return cls(np.inf, np.sort(instants), ())
        end = min(until, float(instants.max()) + 7.0)
        return cls(most, np.sort(instants), judge.origins(float(instants.min()), end))

    @property
    def now(self) -> float:
        return float(self.most / max(len(self.instants), 1))

    def at(self, cut: float) -> float:
        """The share at an instant, of the weeks that had ended by then."""
        return float(self.most / max(int(np.searchsorted(self.instants, cut - 7.0, side="right")), 1))

    def kept(self, order: Array, at: Array) -> Array:
        """The rows that are taken now or at an origin; `order` is each row's place in the draw of deals."""
        found = order < self.now
        for cut in self.cuts:
            found |= (at + 7.0 <= cut) & (order < self.at(cut))
        return np.flatnonzero(found)


@dataclass(frozen=True)
class Wider:
    """All rows that were read, those that only an origin takes among them."""

    panel: Panel
    order: Array
    """By number of the deal."""
    share: Shares

    def known_by(self, cut: float) -> Panel:
        """What somebody would have learned from at an origin."""
        there = (self.panel.at + 7.0 <= cut) & (self.order[self.panel.deal] < self.share.at(cut))
        return self.panel.take(there).known_by(cut)


def sampled(names: Sequence[str], deal: Array, most: int) -> Array:
    """About `most` landmarks: those of a share of all deals, which the hash of the id chooses. A deal's rows stay together,
    and the same history gives the same rows.

    Measured on a simulated company (12,000 of 30,000 rows, won in 90 days, two origins): a share of all time .430 and
    .417 (trees, logistic), the newest rows .443 and .440.
    """
    share = most / max(len(deal), 1)
    chosen = np.array([_fraction(name) < share for name in names], dtype=bool)
    found: Array = np.flatnonzero(chosen[deal])
    return found


def _fraction(name: str) -> float:
    """A number in [0, 1) that belongs to an id for ever."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48


async def lead_set(
    fetch: Any,
    feature_set: FeatureSet,
    as_of: datetime,
    *,
    without: tuple[str, ...] = (),
    weeks: tuple[int, ...] = (0, 1, 2, 4, 8),
    most: int | None = None,
    tell: Tell | None = None,
) -> LeadSet:
    """Leads some weeks after their creation while they were alive, as known then, with what came of them."""
    until = at_instant(as_of)
    leads = await leads_of(fetch, as_of)
    row = np.repeat(np.arange(len(leads.names)), len(weeks))
    instant = np.repeat(leads.created_at, len(weeks)) + np.tile(np.array(weeks) * WEEK, len(leads.names))
    alive = (instant < np.where(np.isnan(leads.ended_at), np.inf, leads.ended_at)[row]) & (instant < until)
    row, instant = row[alive], instant[alive]
    available = len(row)
    if most is not None and available > most:
        kept = sampled(leads.names, row, most)
        row, instant = row[kept], instant[kept]
    spine = _spine([leads.names[i] for i in row], instant)
    total = len(spine)
    frame = await training_set(
        fetch,
        feature_set,
        spine,
        progress=(lambda done: tell("features of leads", done, total)) if tell else None,
    )
    converted_at = np.where(leads.fates.status == "converted", leads.fates.since / DAY, np.inf)[row]
    panel = LeadPanel(row, instant / DAY, as_features(frame, feature_set, without), converted_at, until / DAY)
    return LeadSet(panel, frame, digest(frame, converted_at), available, leads.fates)


def _spine(names: list[str], instant: Array) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "entity_id": pl.Series(names, dtype=pl.String),
            "as_of": pl.Series(instant.astype(np.int64)).cast(pl.Datetime("us", "UTC")),
        }
    )


def as_features(frame: pl.DataFrame, feature_set: FeatureSet, without: tuple[str, ...] = ()) -> Frame:
    """The features of a training set as models read them: numbers, and categories as codes with their words."""
    names = [name for name in feature_set.names if name not in without]
    columns = {
        name: frame[name].fill_null("").to_numpy()
        if name in feature_set.categories
        else frame[name].to_numpy()
        for name in names
    }
    values, words = coded(columns, tuple(name for name in feature_set.categories if name in names), RARE)
    return Frame.of(values, words)
