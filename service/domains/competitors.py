"""Competitors: who else is in the running, and the names by which they are found in text."""

from service import columns as c
from service.db import business_table

# --- tables ------------------------------------------------------------------------------------------------------

competitors = business_table(
    "competitors",
    c.text("name", required=True),
    c.texts("aliases"),
    c.text("domain"),
    c.text("strengths"),
    c.text("weaknesses"),
    c.flag("is_active", default=True),
    c.external("competitors"),
    guarded=False,
)
