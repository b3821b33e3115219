"""Stakeholders: which contact plays which part in a deal."""

from typing import Literal
from uuid import UUID

from msgspec import UNSET

from service import columns as c
from service.access import SYSTEM, Actor, visible
from service.crud import crud
from service.db import Database, Params, Tx, business_table
from service.errors import Invalid
from service.resource import Resource, Row
from service.rules import not_itself
from service.shapes import Draft, Given, Maybe, Text, item_of, patch_of

Part = Literal[
    "economic_buyer",
    "decision_maker",
    "champion",
    "influencer",
    "technical_evaluator",
    "end_user",
    "executive_sponsor",
    "procurement",
    "legal",
    "other",
]
Influence = Literal["low", "medium", "high"]
Sentiment = Literal["supporter", "neutral", "opponent", "unknown"]

# Tables --------------------------------------------------------------------------------------------

stakeholders = business_table(
    "stakeholders",
    c.reference("opportunity_id", "opportunities", required=True),
    c.reference("contact_id", "contacts", required=True),
    c.word("role", Part, required=True),
    c.flag("is_primary"),
    c.word("influence", Influence),
    c.word("sentiment", Sentiment),
    c.reference("reports_to_id", "stakeholders"),
    c.text("notes"),
    c.index("ix_stakeholders_opportunity_id", "opportunity_id"),
    c.index("ix_stakeholders_contact_id", "contact_id"),
    c.external("stakeholders"),
)

# Shapes --------------------------------------------------------------------------------------------


class StakeholderDraft(Draft, kw_only=True):
    contact_id: UUID
    role: Part
    is_primary: Given[bool] = UNSET
    influence: Maybe[Influence] = UNSET
    sentiment: Maybe[Sentiment] = UNSET
    reports_to_id: Maybe[UUID] = UNSET
    notes: Maybe[Text] = UNSET


StakeholderPatch = patch_of(StakeholderDraft)
Stakeholder = item_of(stakeholders, StakeholderDraft)

# Rules ---------------------------------------------------------------------------------------------


def check(new: Row, old: Row | None) -> None:
    """Nobody reports to themselves."""
    not_itself(new, "reports_to_id")


async def prepare(run: Tx | Database, actor: Actor, new: Row, old: Row | None) -> None:
    """The one reported to has a part in the same deal."""
    above = new.get("reports_to_id")
    if above is None or (old and above == old["reports_to_id"]):
        return
    seen = visible(SYSTEM, "stakeholders", "t", Params())
    deal = await run.fetchval(
        f"SELECT t.opportunity_id FROM stakeholders t WHERE t.id = $1 AND {seen}", above
    )
    if deal != new["opportunity_id"]:
        raise Invalid.at("/reports_to_id", "there is no such record")


# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/opportunities/{parent_id:uuid}/stakeholders",
    name="stakeholder",
    table=stakeholders,
    draft=StakeholderDraft,
    patch=StakeholderPatch,
    item=Stakeholder,
    nested="opportunity_id",
    references={"opportunity_id": "opportunities", "contact_id": "contacts", "reports_to_id": "stakeholders"},
    tree="reports_to_id",
    check=check,
    prepare=prepare,
    prepare_reads=True,
)

routes = crud(resource)
