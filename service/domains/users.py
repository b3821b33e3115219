"""Users: who works with the product, in which role, team and hierarchy."""

from typing import Literal

from service import columns as c
from service.db import business_table

Role = Literal["rep", "manager", "ops", "data_scientist", "admin", "integration"]

# --- tables ------------------------------------------------------------------------------------------------------

users = business_table(
    "users",
    c.text("email", required=True),
    c.text("name", required=True),
    c.text("title"),
    c.word("role", Role, required=True),
    c.flag("is_active", default=True),
    c.reference("manager_id", "users"),
    c.reference("team_id", "teams"),
    c.text("time_zone"),
    c.text("locale"),
    c.day("start_date"),
    c.day("end_date"),
    c.whole("capacity"),
    c.texts("skills"),
    c.document("working_hours"),
    c.items("absences"),
    c.index("uq_users_email", "lower(email)", unique=True),
    c.index("ix_users_manager_id", "manager_id"),
    c.index("ix_users_team_id", "team_id"),
    c.external("users"),
    guarded=False,
)
