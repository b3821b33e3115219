"""Lines of a deal: products with quantity and price. Where there are lines, their total is the deal's amount."""

import sqlalchemy as sa

from service import columns as c
from service.db import MONEY, business_table

# --- tables ------------------------------------------------------------------------------------------------------

TOTAL = "round(quantity::numeric * unit_price * (1 - coalesce(discount_percent, 0)::numeric / 100), 4)"

lines = business_table(
    "lines",
    c.reference("opportunity_id", "opportunities", required=True),
    c.reference("product_id", "products", required=True),
    c.number("quantity", required=True),
    c.money("unit_price"),
    c.number("discount_percent"),
    sa.Column("total_price", MONEY, sa.Computed(TOTAL, persisted=True), nullable=True),
    c.day("start_date"),
    c.whole("term_months"),
    c.text("description"),
    c.whole("position"),
    c.index("ix_lines_opportunity_id", "opportunity_id"),
    c.external("lines"),
)
