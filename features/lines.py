"""What is sold in a deal: its lines, their discount, the product that weighs most."""

import numpy as np

from features.facts import Array, Events, Facts, zero
from features.spec import Source, feature, features_in

LINES = Source(
    "deal_lines",
    {
        "from_at": "instant",
        "to_at": "instant",
        "quantity": "number",
        "unit_price": "number",
        "discount_percent": "number",
        "product": "text",
        "family": "text",
    },
    is_list=True,
)


def _worth(lines: Events) -> Array:
    return zero(lines["quantity"]) * zero(lines["unit_price"])


@feature("opportunity", "lines")
def line_count(deals: Facts) -> Array:
    """How many lines the deal has."""
    return deals.known("deal_lines").number()


@feature("opportunity", "percent")
def discount(deals: Facts) -> Array:
    """Discount over all lines, in percent of their list value; missing without lines of a value."""
    lines = deals.events["deal_lines"]
    known = deals.known("deal_lines")
    worth = known.total(_worth(lines))
    given = known.total(_worth(lines) * zero(lines["discount_percent"]))
    return np.where(worth > 0, given / np.where(worth > 0, worth, 1.0), np.nan)


@feature("opportunity", "text", is_category=True)
def product(deals: Facts) -> Array:
    """Code of the product of the line with the largest value."""
    lines = deals.events["deal_lines"]
    return deals.known("deal_lines").of_largest(_worth(lines), lines["product"])


@feature("opportunity", "text", is_category=True)
def product_family(deals: Facts) -> Array:
    """Family of the product of the line with the largest value."""
    lines = deals.events["deal_lines"]
    return deals.known("deal_lines").of_largest(_worth(lines), lines["family"])


FEATURES = features_in(globals())
