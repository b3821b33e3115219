"""The firms the simulated company sells to, and the people who work there."""

from dataclasses import dataclass

import numpy as np

from training.simulated.clock import DAY, Array, next_working
from training.simulated.names import (
    COUNTRIES,
    FIRM_FIRST,
    FIRM_SECOND,
    FIRST_NAMES,
    INDUSTRIES,
    LAST_NAMES,
    TITLES,
)

CONTACTS = 5
"""Contacts known per account at most; which of them exist is decided when a deal first needs them."""


@dataclass
class Accounts:
    """Attributes of all firms that may ever appear; `at` is when one became known (0: never)."""

    name: Array
    domain: Array
    industry: Array
    segment: Array
    employees: Array
    revenue: Array
    country: Array
    city: Array
    at: Array
    owner: Array
    customer_at: Array
    title: Array
    first_name: Array
    last_name: Array
    contact_at: Array

    @property
    def count(self) -> int:
        """How many firms there may be."""
        return int(self.name.size)


def found_accounts(count: int, rng: np.random.Generator) -> Accounts:
    """Found `count` firms: names, size and place."""
    industry = rng.choice(len(INDUSTRIES), count, p=[0.18, 0.2, 0.13, 0.12, 0.12, 0.1, 0.06, 0.09])
    segment = rng.choice(3, count, p=[0.44, 0.38, 0.18])
    employees = np.exp(rng.normal(np.array([3.4, 5.7, 8.0])[segment], np.array([0.5, 0.45, 0.6])[segment]))
    employees = np.clip(employees, np.array([5, 100, 1000])[segment], np.array([99, 999, 60_000])[segment])
    revenue = employees * rng.lognormal(11.7, 0.4, count)
    names, domains = _firm_names(industry, rng)
    place = rng.choice(len(COUNTRIES), count, p=[0.38, 0.2, 0.13, 0.08, 0.07, 0.06, 0.08])
    cities = [
        COUNTRIES[p][1][int(u * len(COUNTRIES[p][1]))] for p, u in zip(place, rng.random(count), strict=True)
    ]
    people = (count, CONTACTS)
    surname = rng.integers(0, len(LAST_NAMES), (count, 1)) + 7 * np.arange(CONTACTS)
    title = np.argsort(rng.random((count, len(TITLES))), axis=1)[:, :CONTACTS]
    return Accounts(
        names,
        domains,
        industry,
        segment,
        np.round(employees).astype(int),
        np.round(revenue / 1000) * 1000,
        np.array([COUNTRIES[p][0] for p in place]),
        np.array(cities),
        at=np.zeros(count, np.int64),
        owner=np.full(count, -1),
        customer_at=np.zeros(count, np.int64),
        title=title,
        first_name=rng.integers(0, len(FIRST_NAMES), people),
        last_name=surname % len(LAST_NAMES),
        contact_at=np.zeros(people, np.int64),
    )


def _firm_names(industry: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Names of firms, none twice: a used pair of words gets a second first word."""
    seen: set[str] = set()
    names, domains = [], []
    words = rng.integers(0, len(FIRM_FIRST), (industry.size, 3))
    for n, kind in enumerate(industry):
        seconds = FIRM_SECOND[INDUSTRIES[kind]]
        one, two, second = (
            FIRM_FIRST[words[n, 0]],
            FIRM_FIRST[words[n, 1]],
            seconds[words[n, 2] % len(seconds)],
        )
        choices = (f"{one} {second}", f"{one} {two} {second}", f"{one} {two} {second} {n}")
        name = next(choice for choice in choices if choice not in seen)
        seen.add(name)
        names.append(name)
        domains.append(name.lower().replace(" ", "-") + ".example")
    return np.array(names), np.array(domains)


def add_untouched(
    accounts: Accounts, first: int, end: int, reps: int, share: float, rng: np.random.Generator
) -> None:
    """A share more firms are known that no deal has ever concerned."""
    known = int((accounts.at > 0).sum())
    rows = np.flatnonzero(accounts.at == 0)[-max(1, int(share * known)) :]
    accounts.at[rows] = next_working(rng.integers(first, end - 4 * DAY, rows.size), rng)
    accounts.owner[rows] = np.where(rng.random(rows.size) < 0.8, rng.integers(0, reps, rows.size), -1)
    accounts.contact_at[rows, 0] = accounts.at[rows]
