"""What a deal is when it is created: account, owner, lines, amount, first close date, hidden fit."""

from dataclasses import dataclass

import numpy as np

from training.simulated.accounts import Accounts
from training.simulated.clock import DAY, Array, Clock
from training.simulated.dynamics import Columns
from training.simulated.leads import Leads, arrival_instants, route
from training.simulated.names import LEAD_SOURCES, PRODUCTS
from training.simulated.people import Sellers

NEW_BUSINESS, EXPANSION, RENEWAL = range(3)
OTHER_SOURCE = len(LEAD_SOURCES)
FIT = np.array([[-0.30, 0.05, 0.30], [0.00, 0.25, -0.20], [0.40, -0.15, -0.10]])
"""How well a family (platform, analytics, automation) suits a segment (smb, mid-market, enterprise): rows segments."""
SOURCE_EFFECT = np.array([-0.05, 0.1, 0.35, -0.1, 0.25, -0.3, -0.1, 0.0])
MAIN_PRODUCT = np.array([[0, 3, 6], [1, 4, 6], [2, 5, 7]])
SERVICE_LINE = np.array([8, 9, 10])
DISCOUNTS = np.array([0.0, 5.0, 10.0, 15.0, 20.0, 25.0])
DISCOUNT_ODDS = np.array(
    [
        [0.55, 0.2, 0.15, 0.06, 0.03, 0.01],
        [0.35, 0.2, 0.22, 0.12, 0.08, 0.03],
        [0.2, 0.15, 0.25, 0.2, 0.13, 0.07],
    ]
)
UP, DOWN = 0.85, 1.9
"""How strongly what is visible at creation shifts the log odds to advance, and to be lost."""
MEAN, START = 0.10, 0.50
"""Spread of the hidden fit of a deal, and of its health at creation around it."""
LIST_PRICE = np.array([product[3] for product in PRODUCTS])


@dataclass
class Deals:
    """All deals: what is fixed at creation, and `state`, the part that lives on."""

    at: Array
    lead: Array
    account: Array
    owner: Array
    kind: Array
    source: Array
    rival: Array
    rivals: Array
    discount: Array
    products: Array
    quantity: Array
    amount: Array
    close_day: Array
    closed_at: Array
    state: Columns

    @property
    def count(self) -> int:
        """How many deals there are."""
        return int(self.at.size)


def plan_deals(clock: Clock, count: int, leads: Leads, rivals: int, rng: np.random.Generator) -> Deals:
    """Fix the arrival of `count` deals (converted leads, and the rest found by reps), and allot their columns."""
    converted = np.flatnonzero((leads.converted_at > 0) & (leads.converted_at < clock.end))
    converted = converted[: count // 2]
    direct = arrival_instants(clock, count - converted.size, rng)
    at = np.concatenate([leads.converted_at[converted], direct])
    lead = np.concatenate([converted, np.full(direct.size, -1)])
    order = np.lexsort((lead, at))
    zero = np.zeros(count, int)
    names = (
        "stage",
        "stage_weeks",
        "segment",
        "family",
        "rep",
        "champion",
        "rival",
        "silence",
        "executive_sponsor",
        "send_proposal",
        "mutual_action_plan",
        "offer",
    )
    state: Columns = {name: zero.copy() for name in names}
    state.update({name: np.zeros(count) for name in ("health", "mean", "advance", "lose", "effort", "plays")})
    has_rival = rng.random(count) < 0.45
    return Deals(
        at[order],
        lead[order],
        zero - 1,
        zero - 1,
        zero.copy(),
        zero.copy(),
        np.where(has_rival, 1, 0),
        np.where(has_rival, rng.integers(0, rivals, count), -1),
        np.zeros(count),
        np.full((count, 3), -1),
        np.zeros((count, 3), int),
        np.zeros(count),
        zero.copy(),
        np.zeros(count, np.int64),
        state,
    )


def open_deals(
    clock: Clock,
    deals: Deals,
    rows: Array,
    accounts: Accounts,
    sellers: Sellers,
    leads: Leads,
    *,
    signal: bool,
    rng: np.random.Generator,
) -> None:
    """Give the deals that arrive this week (`rows`) their account, owner, lines and hidden start."""
    _choose_account(deals, rows, accounts, leads, rng)
    account = deals.account[rows]
    segment = accounts.segment[account]
    week = (deals.at[rows] - clock.start_of(0)) // (7 * DAY)
    new_owner = route(sellers, segment, week, rng)
    known = accounts.owner[account]
    lead = deals.lead[rows]
    owner = np.where(lead >= 0, leads.owner[np.maximum(lead, 0)], np.where(known >= 0, known, new_owner))
    deals.owner[rows] = owner
    accounts.owner[account] = np.where(known >= 0, known, owner)
    deals.source[rows] = _source(deals, rows, leads, rng)
    _price(deals, rows, segment, rng)
    _close_date(deals, rows, segment, rng)
    _hidden_start(deals, rows, segment, sellers, leads, signal, rng)


def _choose_account(
    deals: Deals, rows: Array, accounts: Accounts, leads: Leads, rng: np.random.Generator
) -> None:
    """Converted leads bring their own firm; others are customers, known firms or new ones."""
    lead, at = deals.lead[rows], deals.at[rows]
    draw, pick = rng.random(rows.size), rng.random(rows.size)
    customers = np.flatnonzero((accounts.customer_at > 0) & (accounts.customer_at < at[0] - 30 * DAY))
    known = np.flatnonzero((accounts.at > 0) & (accounts.at < at[0]))
    fresh = leads.at.size + rows
    account = np.where(lead >= 0, lead, fresh)
    if known.size:
        account = np.where((lead < 0) & (draw < 0.12), known[(pick * known.size).astype(int)], account)
    is_customer = (lead < 0) & (draw > 0.70) & (customers.size > 0)
    if customers.size:
        account = np.where(is_customer, customers[(pick * customers.size).astype(int)], account)
    deals.account[rows] = account
    deals.kind[rows] = np.where(is_customer, np.where(rng.random(rows.size) < 0.4, RENEWAL, EXPANSION), 0)
    first = accounts.at[account] == 0
    earlier = np.where((lead < 0) & (rng.random(rows.size) < 0.4), rng.integers(1, 20, rows.size), 0)
    begin = np.maximum(at - earlier * DAY, deals.at[0] - DAY)
    np.minimum.at(accounts.at, account[first], np.int64(2**62))
    accounts.at[account[first]] = begin[first]
    accounts.contact_at[account[first], 0] = begin[first]


def _source(deals: Deals, rows: Array, leads: Leads, rng: np.random.Generator) -> Array:
    lead = deals.lead[rows]
    own = rng.choice([5, 4, 2, 3], rows.size, p=[0.55, 0.18, 0.17, 0.10])
    source = np.where(lead >= 0, leads.channel[np.maximum(lead, 0)], own)
    return np.where(deals.kind[rows] == NEW_BUSINESS, source, OTHER_SOURCE)


def _price(deals: Deals, rows: Array, segment: Array, rng: np.random.Generator) -> None:
    """Lines: a main product, at times a second one and a service; the amount is their sum after discount."""
    count = rows.size
    family = (rng.random(count)[:, None] > np.array([0.45, 0.75])).sum(axis=1)
    deals.state["segment"][rows], deals.state["family"][rows] = segment, family
    seats = np.exp(rng.normal(np.array([3.2, 3.8, 4.3])[segment], 0.40))
    seats = np.maximum(np.round(seats * np.array([1.0, 0.6, 0.55])[deals.kind[rows]]), 2).astype(int)
    other = (family + rng.integers(1, 3, count)) % 3
    second, service = rng.random(count) < 0.22, rng.random(count) < 0.35
    deals.products[rows, 0] = MAIN_PRODUCT[segment, family]
    deals.products[rows, 1] = np.where(second, MAIN_PRODUCT[segment, other], -1)
    deals.products[rows, 2] = np.where(service, SERVICE_LINE[rng.integers(0, 3, count)], -1)
    deals.quantity[rows] = np.stack([seats, np.maximum(seats // 2, 1), np.ones(count, int)], axis=1)
    discount = (rng.random(count)[:, None] > np.cumsum(DISCOUNT_ODDS, axis=1)[segment, :-1]).sum(axis=1)
    deals.discount[rows] = DISCOUNTS[discount]
    price = np.where(deals.products[rows] >= 0, LIST_PRICE[deals.products[rows]], 0.0)
    rebate = 1 - DISCOUNTS[discount][:, None] / 100 * (np.arange(3) < 2)
    total = np.round(price * deals.quantity[rows] * rebate, 2).sum(axis=1)
    deals.amount[rows] = np.round(total, 2)


def _close_date(deals: Deals, rows: Array, segment: Array, rng: np.random.Generator) -> None:
    """An optimistic first close date, two in five on a month's end."""
    days = np.exp(rng.normal(np.log(np.array([38.0, 52.0, 72.0])[segment]), 0.4))
    deals.close_day[rows] = snap(deals.at[rows] // DAY + days.astype(int), rng)


def snap(days: Array, rng: np.random.Generator) -> Array:
    """Move two in five days to the end of their month, and weekends to Fridays."""
    month = days.astype("datetime64[D]").astype("datetime64[M]")
    month_end = ((month + 1).astype("datetime64[D]") - 1).astype(int)
    moved = np.where(rng.random(days.size) < 0.4, month_end, days)
    weekday = (moved + 3) % 7
    return np.asarray(moved - np.maximum(weekday - 4, 0))


def _hidden_start(
    deals: Deals,
    rows: Array,
    segment: Array,
    sellers: Sellers,
    leads: Leads,
    signal: bool,
    rng: np.random.Generator,
) -> None:
    """Initial health and the fixed shifts of the odds to advance and to be lost."""
    count, state = rows.size, deals.state
    size = np.log(deals.amount[rows]) - np.array([9.0, 9.95, 10.95])[segment]
    discount = deals.discount[rows] / 100
    kind = np.array([0.0, 0.35, 0.65])[deals.kind[rows]]
    fit = FIT[segment, state["family"][rows]] + SOURCE_EFFECT[deals.source[rows]] + kind
    curve = 2.2 * np.minimum(discount, 0.15) - 3.0 * np.maximum(discount - 0.15, 0)
    large = np.where(segment == 0, 0.35 * np.maximum(size, 0), 0.12 * size)
    speed = -0.15 * (np.log(sellers.reply_hours[deals.owner[rows]]) - 1.2)
    if signal:
        state["advance"][rows] = UP * (fit + 0.8 * curve - large + speed) - 0.12 * (segment == 2)
        state["lose"][rows] = -DOWN * (fit + 0.8 * curve - 0.7 * large + speed)
    state["mean"][rows] = MEAN * rng.standard_normal(count) + visible_mean(deals, leads)[rows]
    state["health"][rows] = state["mean"][rows] + START * rng.standard_normal(count)
    state["rep"][rows], state["rival"][rows] = deals.owner[rows], deals.rival[rows]
    state["plays"][rows] = sellers.plays[deals.owner[rows]]
    state["effort"][rows] = sellers.energy[deals.owner[rows]]
    state["champion"][rows] = rng.random(count) < 0.30


def visible_mean(deals: Deals, leads: Leads) -> Array:
    """The known part of each deal's mean health: the score of the lead that it came from."""
    score = (leads.score[np.maximum(deals.lead, 0)] - 50) / 23
    return np.where(deals.lead >= 0, 0.10 * score, 0.0)
