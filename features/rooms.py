"""What happens in a deal's room: the buyer's visits and comments, and who is behind with the plan.

A visit is a guest's link opened in a browser; looking again within the same visit is none of its own.
"""

import numpy as np

from features.facts import DAY, Array, Facts, days_between
from features.spec import Source, feature, features_in

ROOM = Source(
    "deal_room",
    {
        "from_at": "instant",
        "to_at": "instant",
        "occurred_at": "instant",
        "kind": "text",
        "side": "text",
        "guest": "text",
        "status": "text",
        "due_date": "date",
    },
    is_list=True,
)


def _theirs(deals: Facts, kind: str) -> Array:
    events = deals.events["deal_room"]
    mask: Array = (events["kind"] == kind) & (events["side"] == "theirs")
    return mask


@feature("opportunity", "visits")
def room_visits_14d(deals: Facts) -> Array:
    """Visits of guests to the deal's room in the last 14 days."""
    return deals.known("deal_room").count(_theirs(deals, "visit"), 14)


@feature("opportunity", "visits", low=None)
def room_visit_trend(deals: Facts) -> Array:
    """Visits of guests in the last 14 days less those of the 14 days before."""
    mask, known = _theirs(deals, "visit"), deals.known("deal_room")
    return 2 * known.count(mask, 14) - known.count(mask, 28)


@feature("opportunity", "people")
def room_guests_14d(deals: Facts) -> Array:
    """How many different guests came to the deal's room in the last 14 days."""
    known, mask = deals.known("deal_room"), _theirs(deals, "visit")
    at = known.columns["occurred_at"][known.row]
    kept = mask[known.row] & (at <= known.as_of) & (at > known.as_of - 14 * DAY)
    names = known.columns["guest"][known.row[kept]]
    _, code = np.unique(names, return_inverse=True)
    pairs = np.unique(np.column_stack([known.pair[kept], code.reshape(-1)]), axis=0)
    return np.bincount(pairs[:, 0].astype(np.int64), minlength=known.size).astype(np.float64)


@feature("opportunity", "days")
def days_since_room_visit(deals: Facts) -> Array:
    """Days since a guest last came to the deal's room; missing before the first."""
    return days_between(deals.as_of, deals.known("deal_room").latest(_theirs(deals, "visit")))


@feature("opportunity", "comments")
def guest_comments_28d(deals: Facts) -> Array:
    """Comments of guests in the last 28 days."""
    return deals.known("deal_room").count(_theirs(deals, "comment"), 28)


def _items(deals: Facts, status: str) -> Array:
    events = deals.events["deal_room"]
    mask: Array = (events["kind"] == "item") & (events["status"] == status)
    return mask


@feature("opportunity", "items")
def plan_items_open(deals: Facts) -> Array:
    """Open items of the mutual action plan."""
    return deals.known("deal_room").number(_items(deals, "open"))


@feature("opportunity", "items")
def plan_items_done(deals: Facts) -> Array:
    """Items of the mutual action plan that are done."""
    return deals.known("deal_room").number(_items(deals, "done"))


def _overdue(deals: Facts, side: str) -> Array:
    """Open items of one side whose day (the company's) has passed."""
    known, open_ = deals.known("deal_room"), _items(deals, "open")
    mine = (known.columns["side"] == side) & open_
    late = known.columns["due_date"][known.row] < deals.calendar.days(deals.as_of)[known.pair]
    return np.bincount(known.pair[mine[known.row] & late], minlength=known.size).astype(np.float64)


@feature("opportunity", "items")
def plan_items_overdue_theirs(deals: Facts) -> Array:
    """Overdue items of the plan that the buyer owes."""
    return _overdue(deals, "theirs")


@feature("opportunity", "items")
def plan_items_overdue_ours(deals: Facts) -> Array:
    """Overdue items of the plan that we owe."""
    return _overdue(deals, "ours")


FEATURES = features_in(globals())
