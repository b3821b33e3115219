"""Quotas: what a person, a team or a territory is to bring in within a period."""

from typing import Literal

import sqlalchemy as sa

from service import columns as c
from service.db import business_table

Measure = Literal["bookings", "new_business", "expansion", "renewal", "units", "meetings"]
Status = Literal["draft", "published"]

# --- tables ------------------------------------------------------------------------------------------------------

quotas = business_table(
    "quotas",
    c.reference("period_id", "periods", required=True),
    c.reference("user_id", "users"),
    c.reference("team_id", "teams"),
    c.reference("territory_id", "territories"),
    c.money("amount", required=True),
    c.currency(),
    c.word("measure", Measure, default="bookings"),
    c.number("ramp_percent"),
    c.reference("parent_id", "quotas"),
    c.word("status", Status, default="published"),
    sa.CheckConstraint("num_nonnulls(user_id, team_id, territory_id) = 1", name="node"),
    c.index("uq_quotas_user", "period_id", "user_id", "measure", unique=True, where="user_id IS NOT NULL"),
    c.index("uq_quotas_team", "period_id", "team_id", "measure", unique=True, where="team_id IS NOT NULL"),
    c.index("uq_quotas_territory", "period_id", "territory_id", "measure", unique=True, where="territory_id IS NOT NULL"),
    c.external("quotas"),
)
