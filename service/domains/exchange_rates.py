"""Exchange rates: what one unit of a currency is worth in the home currency, from a date on."""

import sqlalchemy as sa

from service import columns as c
from service.db import business_table

# --- tables ------------------------------------------------------------------------------------------------------

exchange_rates = business_table(
    "exchange_rates",
    sa.Column("currency", sa.Text, sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"), nullable=False),
    c.day("date", required=True),
    sa.Column("rate", sa.Numeric(20, 10), sa.CheckConstraint("rate > 0", name="rate"), nullable=False),
    c.index("uq_exchange_rates_day", "currency", "date", unique=True),
    c.external("exchange_rates"),
    guarded=False,
)
