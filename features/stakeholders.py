"""Who is in a deal: people of the customer, their roles, whose side they are on."""

import numpy as np

from features.facts import Array, Facts
from features.spec import Source, feature, features_in

STAKEHOLDERS = Source(
    "deal_stakeholders",
    {
        "from_at": "instant",
        "to_at": "instant",
        "role": "text",
        "influence": "text",
        "sentiment": "text",
    },
    is_list=True,
)


@feature("opportunity", "people")
def stakeholder_count(deals: Facts) -> Array:
    """How many people of the customer are named in the deal."""
    return deals.known("deal_stakeholders").number()


def _present(deals: Facts, *roles: str) -> Array:
    mask = np.isin(deals.events["deal_stakeholders"]["role"], list(roles))
    return (deals.known("deal_stakeholders").number(mask) > 0).astype(np.float64)


@feature("opportunity", "yes or no")
def champion_present(deals: Facts) -> Array:
    """Whether somebody at the customer is named as champion."""
    return _present(deals, "champion")


@feature("opportunity", "yes or no")
def buyer_present(deals: Facts) -> Array:
    """Whether an economic buyer or decision maker is named."""
    return _present(deals, "economic_buyer", "decision_maker")


@feature("opportunity", "people", low=None)
def supporters_less_opponents(deals: Facts) -> Array:
    """Supporters among the stakeholders less opponents."""
    sentiment = deals.events["deal_stakeholders"]["sentiment"]
    known = deals.known("deal_stakeholders")
    return known.number(sentiment == "supporter") - known.number(sentiment == "opponent")


FEATURES = features_in(globals())
