"""Who works at the simulated company: teams, users, the reps' hidden skills, and quotas."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from training.simulated.clock import Array, Clock, quarter_key, quarter_of, shift_quarter
from training.simulated.names import FIRST_NAMES, LAST_NAMES

MANAGER, REP, REP_TWO = "manager@demo.example", "rep@demo.example", "rep2@demo.example"
SIGN_INS = (
    ("admin@demo.example", "Ada Lindqvist", "Sales systems administrator", "admin"),
    (MANAGER, "Marcus Webb", "Sales manager", "manager"),
    (REP, "Rosa Delgado", "Account executive", "rep"),
    (REP_TWO, "Owen Carter", "Account executive", "rep"),
    ("ops@demo.example", "Priya Raman", "Revenue operations lead", "ops"),
    ("data@demo.example", "Daniel Osei", "Data scientist", "data_scientist"),
)
TEAM_NAMES = ("Mid-market", "Enterprise", "Growth")
TEAM_SEGMENT = (1, 2, 0)
ZONES = ("Europe/London", "America/New_York", "Europe/Berlin", "America/Chicago")


@dataclass(frozen=True)
class Sellers:
    """The reps, one value each: hidden skill by segment, habits, capacity, and their team."""

    users: list[dict[str, object]]
    teams: list[dict[str, object]]
    rep_ids: list[str]
    team: Array
    skill: Array
    energy: Array
    plays: Array
    reply_hours: Array
    optimism: Array
    start_week: Array
    segment_of_team: Array

    @property
    def count(self) -> int:
        """How many reps there are."""
        return len(self.rep_ids)


def hire(clock: Clock, reps: int, rng: np.random.Generator) -> Sellers:
    """Hire managers and reps; the first two reps of the first team own the demo sign-ins."""
    size = max(3, reps // 5)
    team = np.arange(reps) % size
    team[:2] = 0
    segment = np.array([TEAM_SEGMENT[t % 3] for t in range(size)])
    strong = segment[team]
    skill = rng.normal(0, 0.30, reps)[:, None] + rng.normal(0, 0.15, (reps, 3))
    skill[np.arange(reps), strong] += 0.15
    start_week = np.where(rng.random(reps) < 0.2, rng.integers(10, max(11, clock.weeks // 2), reps), 0)
    start_week[: min(2 * size, reps)] = 0
    skill = 0.28 * (skill - skill.mean()) / skill.std()
    users, teams, rep_ids = _roster(clock, team, start_week, size, rng)
    return Sellers(
        users,
        teams,
        rep_ids,
        team,
        skill,
        energy=rng.lognormal(0, 0.18, reps),
        plays=rng.lognormal(0, 0.45, reps),
        reply_hours=rng.lognormal(1.2, 0.6, reps),
        optimism=rng.normal(0, 0.6, reps),
        start_week=start_week,
        segment_of_team=segment,
    )


def _roster(
    clock: Clock, team: Array, start_week: Array, size: int, rng: np.random.Generator
) -> tuple[list[dict[str, object]], list[dict[str, object]], list[str]]:
    """The rows of users.csv and teams.csv, and the reps' ids in order."""
    names = _unique_names(size + len(team) + 1, rng)
    begin = date.fromordinal(clock.first.toordinal() - 200).isoformat()
    root = "TEAM-0"
    users = [
        _user("USR-VP", names[0], _email(names[0]), "Vice president of sales", "manager", root, None, begin)
    ]
    for n, (email, name, title, role) in enumerate(SIGN_INS):
        if role not in ("rep", "manager"):
            users.append(_user(f"USR-S{n}", name, email, title, role, root, None, begin))
    teams: list[dict[str, object]] = [{"id": root, "name": "Sales", "parent": None, "manager": "USR-VP"}]
    for t in range(size):
        label = TEAM_NAMES[t % 3] + ("" if t < 3 else f" {t // 3 + 1}")
        name, email = (SIGN_INS[1][1], MANAGER) if t == 0 else (names[1 + t], _email(names[1 + t]))
        key = f"TEAM-{t + 1}"
        users.append(_user(f"USR-M{t + 1}", name, email, "Sales manager", "manager", key, "USR-VP", begin))
        teams.append({"id": key, "name": label, "parent": root, "manager": f"USR-M{t + 1}"})
    rep_ids = [f"USR-R{n + 1}" for n in range(len(team))]
    for n, key in enumerate(rep_ids):
        name, email = SIGN_INS[2 + n][1::-1] if n < 2 else (names[1 + size + n], _email(names[1 + size + n]))
        later = date.fromordinal(clock.first.toordinal() + 7 * int(start_week[n])).isoformat()
        started = later if start_week[n] else begin
        place = f"TEAM-{team[n] + 1}"
        users.append(
            _user(
                key,
                name,
                email,
                "Account executive",
                "rep",
                place,
                f"USR-M{team[n] + 1}",
                started,
                ZONES[n % len(ZONES)],
            )
        )
    return users, teams, rep_ids


def _user(
    key: str,
    name: str,
    email: str,
    title: str,
    role: str,
    team: str,
    manager: str | None,
    start: str,
    zone: str = "Europe/London",
) -> dict[str, object]:
    return {
        "id": key,
        "email": email,
        "name": name,
        "title": title,
        "role": role,
        "team": team,
        "manager": manager,
        "time_zone": zone,
        "start_date": start,
        "end_date": None,
    }


def _email(name: str) -> str:
    return name.lower().replace(" ", ".") + "@demo.example"


def _unique_names(count: int, rng: np.random.Generator) -> list[str]:
    """Names of people, none twice: past all pairs a middle initial is added."""
    pairs = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
    order = rng.permutation(len(pairs))
    base = [pairs[order[n % len(order)]] for n in range(count)]
    initials = ["", *(f" {chr(65 + n)}" for n in range(26))]
    return [name + initials[n // len(order)] for n, name in enumerate(base)]


def signins() -> list[dict[str, object]]:
    """The demo's sign-ins: one of each human role and a second rep."""
    labels = ("admin", "manager", "rep", "rep2", "ops", "data")
    return [
        {"email": email, "password": f"demo-{label}", "role": role}
        for label, (email, _, _, role) in zip(labels, SIGN_INS, strict=True)
    ]


PLAN_WIN_RATE = np.array([0.19, 0.38, 0.25])
"""Win rates by segment that the plan reckons with."""
GROWTH = 1.006
"""Growth of arrivals a week."""
TEAM_PREFERENCE = np.array([0.5, 4.5])
"""Weights with which a deal goes to a rep of another, or of its segment's team."""


def quotas(
    clock: Clock, sellers: Sellers, deals: int, segment_share: Array, mean_amount: Array
) -> list[dict[str, object]]:
    """Quotas of every quarter, the next one included: per rep, per team (95 % of its reps' sum), for the company.

    They follow the plan (growing arrivals, mean amounts, usual win rates), not what was really won.
    """
    suited = (sellers.segment_of_team[sellers.team][:, None] == np.arange(3)).astype(int)
    weight = TEAM_PREFERENCE[suited]
    per_deal = (weight / weight.sum(axis=0)) @ (segment_share * mean_amount * PLAN_WIN_RATE)
    every = GROWTH ** np.arange(clock.weeks)
    rows: list[dict[str, object]] = []
    quarter, last = quarter_of(clock.first), shift_quarter(quarter_of(clock.until), 1)
    while quarter <= last:
        week = max(0, clock.week_of(quarter))
        arrivals = deals * float((GROWTH ** np.arange(week, week + 13)).sum() / every.sum())
        ramp = {0: 0.15, 13: 0.65, 26: 0.85}.get(week // 13 * 13, 0.95)
        started = np.where(sellers.start_week > week, 0.5, 1.0)
        amounts = np.maximum(np.round(per_deal * arrivals * ramp * started / 5000), 1) * 5000
        rows.extend(_quarter_quotas(quarter_key(quarter), sellers, amounts, sellers.start_week < week + 13))
        quarter = shift_quarter(quarter, 1)
    return rows


def _quarter_quotas(period: str, sellers: Sellers, amounts: Array, active: Array) -> list[dict[str, object]]:
    rows = [_quota(period, sellers.rep_ids[n], None, amounts[n]) for n in np.flatnonzero(active)]
    total = 0.0
    for t in range(len(sellers.teams) - 1):
        amount = float(np.round(amounts[active & (sellers.team == t)].sum() * 0.95 / 5000) * 5000)
        total += amount
        rows.append(_quota(period, None, f"TEAM-{t + 1}", amount))
    return [*rows, _quota(period, None, "TEAM-0", total)]


def _quota(period: str, user: str | None, team: str | None, amount: float) -> dict[str, object]:
    return {"period": period, "user": user, "team": team, "amount": f"{amount:.2f}", "currency": "USD"}
