"""Teams: a tree of people; a manager sees what the people of their teams own."""

from service import columns as c
from service.db import business_table

# --- tables ------------------------------------------------------------------------------------------------------

teams = business_table(
    "teams",
    c.text("name", required=True),
    c.reference("parent_id", "teams"),
    c.reference("manager_id", "users", ring=True),
    c.index("ix_teams_parent_id", "parent_id"),
    c.index("ix_teams_manager_id", "manager_id"),
    c.external("teams"),
    guarded=False,
)
