"""Playbooks: which steps to take in which situation."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from service import columns as c
from service.crud import crud
from service.db import business_table
from service.domains.battle_cards import Status
from service.resource import Resource
from service.shapes import Criteria, Draft, Given, Line, Maybe, Name, Text, item_of, patch_of

# Tables --------------------------------------------------------------------------------------------

playbooks = business_table(
    "playbooks",
    c.text("name", required=True),
    c.text("description"),
    c.reference("pipeline_id", "pipelines"),
    c.text("stage"),
    c.items("criteria"),
    c.items("steps"),
    c.word("status", Status, default="draft"),
    c.index("ix_playbooks_stage", "pipeline_id", "stage"),
    c.external("playbooks"),
    guarded=False,
)

# Shapes --------------------------------------------------------------------------------------------


Small = Annotated[int, Meta(ge=0, le=10_000)]


class Step(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`action` is one of the next best action's catalogue; `due_days` count from the day on which it is proposed."""

    action: Name
    title: Name
    position: Small = 0
    body: Text | None = None
    due_days: Small | None = None


class PlaybookDraft(Draft, kw_only=True):
    """A playbook speaks of the deals in `stage` (of any pipeline, unless one is named) that meet the criteria."""

    name: Name
    description: Maybe[Text] = UNSET
    pipeline_id: Maybe[UUID] = UNSET
    stage: Maybe[Line] = UNSET
    criteria: Given[Criteria] = UNSET
    steps: Given[Annotated[list[Step], Meta(max_length=100)]] = UNSET
    status: Given[Status] = UNSET


PlaybookPatch = patch_of(PlaybookDraft)
Playbook = item_of(playbooks, PlaybookDraft)

# Rules ---------------------------------------------------------------------------------------------
# Routes --------------------------------------------------------------------------------------------

resource = Resource(
    path="/playbooks",
    name="playbook",
    table=playbooks,
    draft=PlaybookDraft,
    patch=PlaybookPatch,
    item=Playbook,
    references={"pipeline_id": "pipelines"},
    text=("name", "description"),
)

routes = crud(resource)
