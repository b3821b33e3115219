"""The company: one row with its name, home currency, time zone, fiscal year and holidays."""

import sqlalchemy as sa

from service import columns as c
from service.db import business_table

# --- tables ------------------------------------------------------------------------------------------------------

company = business_table(
    "company",
    sa.Column("name", sa.Text, nullable=False, server_default="Company"),
    sa.Column("home_currency", sa.Text, nullable=False, server_default="USD"),
    sa.Column("time_zone", sa.Text, nullable=False, server_default="UTC"),
    sa.Column("fiscal_year_start", sa.Integer, nullable=False, server_default="1"),
    sa.Column("week_start", sa.Integer, nullable=False, server_default="1"),
    c.items("holidays"),
    sa.CheckConstraint("fiscal_year_start BETWEEN 1 AND 12", name="fiscal_year_start"),
    sa.CheckConstraint("week_start BETWEEN 1 AND 7", name="week_start"),
    sa.Index("uq_company_one", sa.text("(TRUE)"), unique=True),
    guarded=False,
)
"""There is one row; `fiscal_year_start` is a month, `week_start` a weekday (1 is Monday)."""
