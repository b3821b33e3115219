"""Products: what is sold, at which list price."""

from typing import Literal

from service import columns as c
from service.db import business_table

BillingPeriod = Literal["one_time", "monthly", "annual"]

# --- tables ------------------------------------------------------------------------------------------------------

products = business_table(
    "products",
    c.text("code", required=True),
    c.text("name", required=True),
    c.text("family"),
    c.text("description"),
    c.money("list_price"),
    c.currency(),
    c.word("billing_period", BillingPeriod),
    c.flag("is_active", default=True),
    c.index("uq_products_code", "lower(code)", unique=True),
    c.external("products"),
    guarded=False,
)
