"""Periods: months, quarters and years of the company's own calendar, by key (`2026Q4`)."""

from typing import Literal

import sqlalchemy as sa

from service import columns as c
from service.db import business_table

Type = Literal["month", "quarter", "year"]
Status = Literal["open", "locked"]

# --- tables ------------------------------------------------------------------------------------------------------

periods = business_table(
    "periods",
    c.text("key", required=True),
    c.text("name"),
    c.word("type", Type, required=True),
    c.day("start_date", required=True),
    c.day("end_date", required=True),
    c.whole("fiscal_year"),
    c.reference("parent_id", "periods"),
    c.word("status", Status, default="open"),
    sa.CheckConstraint("start_date <= end_date", name="dates"),
    c.index("uq_periods_key", "key", unique=True),
    c.index("ix_periods_start_date", "start_date"),
    c.external("periods"),
    guarded=False,
)
