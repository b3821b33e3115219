"""What follows from what: event kind → jobs. The whole nervous system on one screen.

`each`: one job, one event. `batch`: the worker takes all that wait at once and does them together.
A kind may end in `*`. A reaction's job gets `{"entity_type", "entity_id"}` and the event's id.
"""

from functools import cache

import msgspec


class Reaction(msgspec.Struct, frozen=True):
    job: str
    mode: str = "each"


score_deal = Reaction("score.deal", "batch")
score_lead = Reaction("score.lead", "batch")
recommend = Reaction("recommend.deal", "batch")
refresh = Reaction("features.refresh", "batch")
index_text = Reaction("search.index", "batch")
deliver = Reaction("webhook.fanout", "batch")
forecast = Reaction("forecast.touch", "batch")
notify = Reaction("inbox.notify", "batch")
look_alike = Reaction("duplicates.look", "batch")

REACTIONS: dict[str, tuple[Reaction, ...]] = {
    "opportunity.created": (score_deal, recommend, forecast, deliver),
    "opportunity.updated": (score_deal, recommend, forecast, notify, deliver),
    "opportunity.deleted": (refresh, recommend, forecast, deliver),
    "opportunity.restored": (score_deal, recommend, forecast, deliver),
    "opportunity.stage_changed": (score_deal, recommend, forecast, notify, deliver),
    "opportunity.assigned": (score_deal, recommend, forecast, notify, deliver),
    "opportunity.scored": (recommend, forecast, deliver),
    "deal.won": (refresh, recommend, forecast, deliver),
    "deal.lost": (refresh, recommend, forecast, deliver),
    "line.*": (score_deal, forecast),
    "stakeholder.*": (score_deal, recommend),
    "activity.*": (score_deal, score_lead, recommend, index_text, notify, deliver),
    "lead.created": (score_lead, look_alike, deliver),
    "lead.updated": (score_lead, look_alike, deliver),
    "lead.assigned": (score_lead, notify, deliver),
    "lead.status_changed": (score_lead, deliver),
    "lead.merged": (score_lead, look_alike, deliver),
    "lead.converted": (refresh, deliver),
    "account.assigned": (refresh, look_alike, notify, deliver),
    "account.*": (refresh, look_alike, deliver),
    "comment.*": (score_deal, notify, deliver),
    "plan_item.*": (score_deal, notify, deliver),
    "guest_link.*": (refresh, deliver),
    "room.viewed": (score_deal, notify, deliver),
    "contact.*": (look_alike, deliver),
    "user.*": (refresh, deliver),
    "note.*": (score_deal, index_text, deliver),
    "battle_card.*": (index_text, deliver),
    "playbook.*": (index_text, deliver),
    "recommendation.created": (deliver,),
    "forecast.changed": (deliver,),
    "model.alias_set": (deliver,),
    "model.promoted": (deliver,),  # the promotion itself asks for scores, once for all models
    "change.undone": (forecast, deliver),  # scores and search follow from each record's own event
    "*": (deliver,),
}

BATCHES = frozenset(r.job for reactions in REACTIONS.values() for r in reactions if r.mode == "batch")


@cache
def reactions_of(kind: str) -> tuple[Reaction, ...]:
    """The reactions to an event kind: the exact entry, else that of its family (`line.*`), else that of all."""
    if kind.endswith(
        (".imported", ".bulk_created")
    ):  # what follows is asked for once, or by each record's own event
        return ()
    family = kind.split(".", 1)[0] + ".*"
    return REACTIONS.get(kind) or REACTIONS.get(family) or REACTIONS["*"]
