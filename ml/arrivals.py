"""Business that does not exist yet: how many deals each person will create, how soon such deals are won, for how much.

Three parts, each shrunk towards the wider group where there is little to learn from:

- the pace of each leaf: recency-weighted creations per week, gamma-Poisson towards its team and the company, with a
  factor for the week of the period;
- the weekly odds of a young deal to be won or lost by its age (competing risks on the weeks that were really seen, so
  open deals are censored, neither dropped nor lost), the win odds with a factor for the week of the period;
- the amount of a won deal: recency-weighted quantiles of the team, mixed with the company's.

Time is in days on any one axis; weeks of the period count from 0 on the day that it begins.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.estimator import Estimator
from ml.forecast import NewBusiness

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WEEKS_OF_PERIOD = 13
GRID = np.linspace(0.02, 0.98, 25)
"""Quantiles kept of the amount of a won deal."""


def week_of_quarter(days: Floats, first_month: int = 1) -> Ints:
    """The week (0-12) of its fiscal quarter on each day, in days since 1970; the odd days of a 14th week join the 13th.

    `first_month` (1-12) is the month in which the fiscal year begins.
    """
    dates = np.floor(days).astype(np.int64).astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    starts = (months - (months.astype(np.int64) - (first_month - 1)) % 3).astype("datetime64[D]")
    return np.asarray(np.minimum((dates - starts).astype(np.int64) // 7, WEEKS_OF_PERIOD - 1))


@dataclass(frozen=True)
class Deals:
    """All deals created up to an instant, as known then; one row a deal.

    `leaf` and `team` are indexes, `created` and `closed` days (`closed` nan while open), `won` booleans, `amount`
    the amount at the close in units of money (nan where unknown), `week_created` the week of the period in which the
    deal was created.
    """

    leaf: Ints
    team: Ints
    created: Floats
    closed: Floats
    won: NDArray[np.bool_]
    amount: Floats
    week_created: Ints


@dataclass(frozen=True)
class Ahead:
    """The weeks to look at: `ends` are days from now, ascending, the last one the period's end.

    `week` is the week of the period in which we stand (a fraction: 2.5 is the middle of the third week).
    """

    ends: Floats
    week: float


RECENT_DAYS = 182.0


def selling_since(
    owner: Ints, created: Floats, started: Floats, sells: NDArray[np.bool_], now: float
) -> Floats:
    """The day from which each owner can have created deals; nan for who creates none now.

    `owner` and `created` (deals,) say who created when; `started` (owners,) is the first day at work (nan: unknown),
    `sells` whether the person is active in sales. Without a deal in half a year only a newcomer counts.
    """
    first, last = np.full(len(started), np.nan), np.full(len(started), -np.inf)
    np.fmin.at(first, owner, created)
    np.maximum.at(last, owner, created)
    is_recent = last > now - RECENT_DAYS
    is_new = (started > now - RECENT_DAYS) & (started <= now)
    return np.where(sells & is_recent, first, np.where(sells & is_new, started, np.nan))


@dataclass(eq=False)
class Arrivals(Estimator):
    """Learns pace, odds by age and amounts from `Deals`, and says what each leaf will yet create and win."""

    half_life_weeks: float = 39.0
    pace_half_life_weeks: float = 13.0
    longest: int = 53
    n_: int = field(init=False, repr=False)
    n_won_: int = field(init=False, repr=False)
    pace_by_week_: Floats = field(init=False, repr=False)
    win_odds_: Floats = field(init=False, repr=False)
    loss_odds_: Floats = field(init=False, repr=False)
    win_by_week_: Floats = field(init=False, repr=False)
    amounts_: Floats = field(init=False, repr=False)
    scale_by_team_: Floats = field(init=False, repr=False)
    teams_: list[str] = field(init=False, repr=False)

    def fit(self, deals: Deals, now: float) -> "Arrivals":
        """`now` is the day up to which `deals` are known."""
        self.teams_ = []
        self.n_ = len(deals.leaf)
        self.n_won_ = int(deals.won.sum())
        self.pace_by_week_ = self._pace_by_week(deals, now)
        self._fit_odds(deals, now)
        self._fit_amounts(deals, now)
        return self

    def _weight(self, age_days: Floats) -> Floats:
        return np.asarray(0.5 ** (np.maximum(age_days, 0) / 7 / self.half_life_weeks))

    def _pace_by_week(self, deals: Deals, now: float) -> Floats:
        """Creations in each week of the period over their mean, shrunk towards 1 with the weight of 30 deals a week."""
        weight = self._weight(now - deals.created)
        counts = np.bincount(deals.week_created, weights=weight, minlength=WEEKS_OF_PERIOD)[:WEEKS_OF_PERIOD]
        fair = counts.sum() / WEEKS_OF_PERIOD
        return np.asarray((counts + 30) / (fair + 30)) if fair else np.ones(WEEKS_OF_PERIOD)

    def _fit_odds(self, deals: Deals, now: float) -> None:
        """Weekly odds by age from the deal-weeks that ended by `now`, then the factor of the week of the period."""
        last = np.where(np.isnan(deals.closed), now, deals.closed)
        seen = np.minimum(np.ceil(np.maximum(last - deals.created, 1e-9) / 7).astype(int), self.longest)
        is_closed = ~np.isnan(deals.closed) & ((deals.closed - deals.created) / 7 <= self.longest)
        full = np.where(
            is_closed, seen, np.floor((last - deals.created) / 7).clip(0, self.longest).astype(int)
        )
        deal = np.repeat(np.arange(len(full)), full)
        age = np.arange(len(deal)) - np.repeat(np.cumsum(full) - full, full)
        ends_it = (age == full[deal] - 1) & is_closed[deal]
        weight = self._weight(now - (deals.created[deal] + 7 * age))
        week = (deals.week_created[deal] + age) % WEEKS_OF_PERIOD
        at_risk = np.bincount(age, weights=weight, minlength=self.longest)
        won = np.bincount(age, weights=weight * (ends_it & deals.won[deal]), minlength=self.longest)
        ended = np.bincount(age, weights=weight * ends_it, minlength=self.longest)
        self.win_odds_ = _smooth(won, at_risk)
        self.loss_odds_ = _smooth(ended - won, at_risk)
        expected = np.bincount(week, weights=weight * self.win_odds_[age], minlength=WEEKS_OF_PERIOD)
        happened = np.bincount(week, weights=weight * (ends_it & deals.won[deal]), minlength=WEEKS_OF_PERIOD)
        self.win_by_week_ = (happened + 20) / (expected + 20)

    def _fit_amounts(self, deals: Deals, now: float) -> None:
        usable = deals.won & np.isfinite(deals.amount) & (deals.amount > 0)
        amount, weight = deals.amount[usable], self._weight(now - deals.closed[usable])
        self.amounts_ = _quantiles(amount, weight)
        logs = np.log(np.maximum(amount, 0.01))
        middle = float(np.average(logs, weights=weight)) if len(logs) else 0.0
        teams = int(deals.team.max(initial=-1)) + 1
        total = np.bincount(deals.team[usable], weights=weight * (logs - middle), minlength=teams)
        count = np.bincount(deals.team[usable], weights=weight, minlength=teams)
        self.scale_by_team_ = np.exp(total / (count + 20))

    def pace(
        self, deals: Deals, now: float, since: Floats, team: Sequence[int] | Ints
    ) -> tuple[Floats, Floats]:
        """Creations per week of each leaf, deseasonalised, and the gamma shape of what is known of each.

        `since` (leaves,) is the day from which a leaf can have created deals; nan for who sells nothing (pace 0).
        """
        teams = np.asarray(team, int)
        half = self.pace_half_life_weeks
        sells = np.isfinite(since)
        weight = (
            0.5 ** (np.maximum(now - deals.created, 0) / 7 / half)
            / self.pace_by_week_[np.minimum(deals.week_created, WEEKS_OF_PERIOD - 1)]
        )
        counts = np.bincount(deals.leaf, weights=weight, minlength=len(teams))[: len(teams)] * sells
        weeks = np.maximum(now - np.where(sells, since, now), 0) / 7
        exposure = half / np.log(2) * (1 - 0.5 ** (weeks / half)) * sells
        rate = counts.sum() / (
            exposure.sum() + 8
        )  # a company of yesterday is not taken for one of a thousand a week
        team_counts, team_exposure = np.bincount(teams, weights=counts), np.bincount(teams, weights=exposure)
        team_rate = (team_counts + 8 * rate) / (team_exposure + 8)
        known = counts + 4 * team_rate[teams]
        return known / (exposure + 4) * sells, np.maximum(known, 0.5)

    def expected(
        self,
        pace: Floats,
        certainty: Floats,
        team: Sequence[int] | Ints,
        ahead: Ahead,
        skill: Floats | None = None,
    ) -> NewBusiness:
        """What leaves of this `pace` will create from now on and win by each of `ahead.ends`."""
        teams = np.asarray(team, int)
        by_end = self.wins_per_pace(ahead)
        wins = np.diff(by_end, prepend=0.0)[None, :] * pace[:, None]
        if skill is not None:
            wins = wins * skill[:, None]
        scale = np.ones(len(teams))
        inside = teams < len(self.scale_by_team_)
        scale[inside] = self.scale_by_team_[teams[inside]]
        return NewBusiness(np.maximum(wins, 0), certainty, scale[:, None] * self.amounts_[None, :])

    def wins_per_pace(self, ahead: Ahead) -> Floats:
        """Deals won by each end for one creation a week: arrivals by week, each aged week by week through the odds."""
        weeks = int(np.ceil(ahead.ends[-1] / 7)) if len(ahead.ends) else 0
        by_week = np.zeros(weeks + 1)
        for born in range(weeks):
            arrivals = self.pace_by_week_[int(ahead.week + born) % WEEKS_OF_PERIOD]
            by_week[born + 1 :] += arrivals * self._won_after_birth(ahead.week, born, weeks)
        return np.interp(np.asarray(ahead.ends, float) / 7, np.arange(weeks + 1), by_week)

    def _won_after_birth(self, week: float, born: int, weeks: int) -> Floats:
        """Cumulative chance to be won by the end of each week from birth on; half of the first week is gone then."""
        age = np.arange(weeks - born)
        inside = np.minimum(age, self.longest - 1)
        win = self.win_odds_[inside] * self.win_by_week_[(week + born + age).astype(int) % WEEKS_OF_PERIOD]
        lose = self.loss_odds_[inside]
        both = np.maximum(win + lose, 1.0)
        win, lose = win / both, lose / both
        alive = np.concatenate([[1.0], np.cumprod(1 - win - lose)[:-1]])
        by_end = np.concatenate([[0.0], np.cumsum(alive * win)])
        return np.asarray((by_end[:-1] + by_end[1:]) / 2)

    def won_by_age(self, age_weeks: Floats, ahead: Ahead) -> Floats:
        """The chance of open deals of these ages to be won by the last of `ahead.ends`, knowing only their age."""
        won, alive = np.zeros(len(age_weeks)), np.ones(len(age_weeks))
        left = float(ahead.ends[-1]) / 7
        for step in range(int(np.ceil(left))):
            share = min(1.0, left - step)
            age = np.clip(
                (age_weeks + step).astype(int), 0, self.longest - 1
            )  # entered later than a past now: 0
            win = self.win_odds_[age] * self.win_by_week_[int(ahead.week + step) % WEEKS_OF_PERIOD] * share
            won += alive * win
            alive *= np.maximum(1 - win - self.loss_odds_[age] * share, 0)
        return np.minimum(won, 1.0)

    def skill(self, deals: Deals, now: float, leaves: int, prior: float = 8.0) -> Floats:
        """Each leaf's wins over what the odds by age promised it, shrunk towards 1 by `prior` wins as promised."""
        last = np.where(np.isnan(deals.closed), now, deals.closed)
        weeks = np.clip(np.ceil(np.maximum(last - deals.created, 1e-9) / 7).astype(int), 0, self.longest)
        promised = np.concatenate([[0.0], np.cumsum(self.win_odds_)])[weeks]
        weight = self._weight(now - last)
        expected = np.bincount(deals.leaf, weights=weight * promised, minlength=leaves)[:leaves]
        happened = np.bincount(deals.leaf, weights=weight * deals.won, minlength=leaves)[:leaves]
        return np.asarray((happened + prior) / (expected + prior))

    def name_teams(self, names: Sequence[str]) -> "Arrivals":
        """Remembers what the team indexes stood for, so that another numbering can use the same model."""
        self.teams_ = list(names)
        return self

    def for_teams(self, names: Sequence[str]) -> "Arrivals":
        """The model with its teams numbered as `names`; a team that it never saw has the company's amounts."""
        known = dict(zip(self.teams_, self.scale_by_team_, strict=False))
        other = copy(self).name_teams(names)
        other.scale_by_team_ = np.array([known.get(name, 1.0) for name in names], float)
        return other


def _smooth(events: NDArray[Any], at_risk: NDArray[Any], prior: float = 15.0) -> Floats:
    """Events per deal-week by age, shrunk towards the rate of all ages, then over neighbouring weeks."""
    overall = events.sum() / max(at_risk.sum(), 1e-9)
    kernel = np.array([0.25, 0.5, 0.25])
    wide = [np.convolve(np.pad(values, 1, mode="edge"), kernel, mode="valid") for values in (events, at_risk)]
    return np.asarray((wide[0] + prior * overall) / (wide[1] + prior))


def _quantiles(values: Floats, weights: Floats) -> Floats:
    """Weighted quantiles on the grid; zeros when nothing was ever won."""
    if not len(values):
        return np.zeros(len(GRID))
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) - weights[order] / 2
    return np.asarray(np.interp(GRID, share / weights.sum(), values[order]))
