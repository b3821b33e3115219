"""What is written about a deal: how often, how lately, how much. Private notes and win/loss notes are left out: the
first are their author's alone, the second know the outcome."""

import numpy as np

from features.facts import Array, Facts, days_between
from features.spec import Source, feature, features_in

NOTES = Source(
    "deal_notes",
    {"from_at": "instant", "to_at": "instant", "occurred_at": "instant", "length": "number"},
    is_list=True,
)


@feature("opportunity", "notes")
def notes_28d(deals: Facts) -> Array:
    """Notes written about the deal in the last 28 days."""
    return deals.known("deal_notes").count(None, 28)


@feature("opportunity", "days")
def days_since_note(deals: Facts) -> Array:
    """Days since a note was last written about the deal; missing before the first."""
    return days_between(deals.as_of, deals.known("deal_notes").latest())


@feature("opportunity", "log of characters")
def note_length_log(deals: Facts) -> Array:
    """log(1 + characters of all notes about the deal)."""
    known = deals.known("deal_notes")
    return np.log1p(known.total(deals.events["deal_notes"]["length"]))


FEATURES = features_in(globals())
