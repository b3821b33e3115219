"""Competitors: who else is in the running, and the names by which they are found in text."""

from msgspec import UNSET

from service import columns as c
from service.crud import crud
from service.db import business_table
from service.resource import Resource
from service.shapes import Draft, Given, Line, Maybe, Name, Text, Words, item_of, patch_of

# Tables --------------------------------------------------------------------------------------------

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

# Shapes --------------------------------------------------------------------------------------------


class CompetitorDraft(Draft, kw_only=True):
    name: Name
    aliases: Given[Words] = UNSET
    domain: Maybe[Line] = UNSET
    strengths: Maybe[Text] = UNSET
    weaknesses: Maybe[Text] = UNSET
    is_active: Given[bool] = UNSET


CompetitorPatch = patch_of(CompetitorDraft)
Competitor = item_of(competitors, CompetitorDraft)

# Rules ---------------------------------------------------------------------------------------------
# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/competitors",
    name="competitor",
    table=competitors,
    draft=CompetitorDraft,
    patch=CompetitorPatch,
    item=Competitor,
    text=("name", "domain"),
)

routes = crud(resource)
