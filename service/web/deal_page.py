"""The deal page, and its forms: log an activity, answer a recommendation."""

import asyncio
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from service import difference
from service.access import may, require
from service.domains import activities, documents, opportunities, recommendations
from service.resembling import similar_deals
from service.settings import Settings
from service.web import board_page, charts, deal_reads, deal_words, related, room_reads, stakeholder_map
from service.web.frame import Visit, local
from service.web.render import page
from service.wire import Web
from service.writes import insert

Row = dict[str, Any]

SOURCES = {
    "rule": "from a playbook rule, effect not measured",
    "model": "from measured effects",
    "exploration": "tried at random to learn its effect",
}
DISMISS_REASONS = ("Already done", "Not relevant here", "Wrong moment", "The customer asked us not to")
UNSEEN = 0.0005
"""An effect that would be shown as 0.0 points."""
LOGGED_TYPES = ("call", "email", "meeting", "demo", "note")
NO_SCORE = (
    "No chance yet. A changed deal is scored within seconds; where that does not happen, no model serves yet: "
    "it needs closed deals to learn from."
)
SIMILAR = 5
LISTS = frozenset({"lines", "quotes", "splits"})
"""What stands on the page as a list of its own."""
TIMELINE_FIRST = 14
"""Entries that are shown at once; the earlier ones unfold."""
NO_SIMILAR = "There is none to compare with yet: deals appear here once some are won or lost."


def _reasons(score: Row | None) -> Row:
    """Reasons with the geometry of their bars; the share without a name is called other factors."""
    if score is None:
        return {"reasons": [], "bar_start": 0.0, "bars": []}
    rows = [dict(reason) for reason in score["reasons"] if abs(reason["effect"]) >= UNSEEN]
    start, bars = charts.reason_bars(float(score["base_value"]), [float(row["effect"]) for row in rows])
    return {"reasons": rows, "bar_start": start, "bars": bars}


def _score_view(deal: Row, score: Row | None, past: list[Row], parts: list[Row], visit: Visit) -> Row:
    """All that the page says of the chance."""
    view: Row = {"score": score, "spark": None, "points": [], "changed": "", "odds": [], "evidence": ""}
    view["no_score"] = (
        NO_SCORE if deal["status"] == "open" else "The deal is closed: there is nothing left to predict."
    )
    if score is None or score["win_probability"] is None or deal["status"] != "open":
        return view | _reasons(None) | {"score": None}
    points = [(row["scored_at"], float(row["win_probability"])) for row in past]
    return (
        view
        | _reasons(score)
        | {
            "points": points,
            "spark": charts.spark(points),
            "changed": deal_words.changed(score, past, parts, visit.say),
            "odds": deal_words.odds(score, visit.say),
            "evidence": deal_words.evidence(score, visit.say),
        }
    )


async def _parts(visit: Visit, settings: Settings, score: Row | None, past: list[Row]) -> list[Row]:
    """The parts of what lies between the newest score and that of a week before."""
    old = deal_words.before(past, score["scored_at"]) if score else None
    if score is None or old is None:
        return []
    found = await difference.between(visit.database, settings, visit.actor, old["id"], score["score_id"])
    return list(found["parts"])


async def _view(visit: Visit, settings: Settings, deal: Row) -> Row:
    """Everything on the page, asked side by side."""
    deal_id = deal["id"]
    named = [*deal["competitor_ids"], *([deal["competitor_id"]] if deal["competitor_id"] else [])]
    async with asyncio.TaskGroup() as group:
        stages = group.create_task(deal_reads.stages(visit, deal["pipeline_id"]))
        score = group.create_task(deal_reads.score(visit, deal_id))
        past = group.create_task(deal_reads.past_scores(visit, deal_id))
        actions = group.create_task(deal_reads.actions(visit, deal_id))
        acts = group.create_task(deal_reads.activities(visit, deal_id))
        notes = group.create_task(deal_reads.notes(visit, deal_id))
        versions = group.create_task(deal_reads.versions(visit, deal_id))
        people = group.create_task(deal_reads.people(visit))
        sides = group.create_task(deal_reads.stakeholders(visit, deal_id))
        cards = group.create_task(deal_reads.battle_cards(visit, named))
        rivals = group.create_task(board_page.competitors(visit))
        lists = group.create_task(related.lists(visit, opportunities.resource, deal, LISTS))
    path = stages.result()
    names = {stage["key"]: stage["name"] for stage in path}
    moves = deal_words.changes(versions.result(), names, people.result(), visit.say)
    items, more = deal_words.timeline(acts.result(), notes.result(), moves, visit.say)
    parts = await _parts(visit, settings, score.result(), past.result())
    return _score_view(deal, score.result(), past.result(), parts, visit) | {
        "deal": deal, "stages": path, "stage_now": next(each for each in path if each["key"] == deal["stage"]),
        "actions": actions.result() if deal["status"] == "open" else [], "timeline": items, "timeline_more": more,
        "timeline_first": TIMELINE_FIRST,
        "stakeholders": sides.result(), "map": stakeholder_map.drawn(sides.result()), "lists": lists.result(),
        "battle_cards": cards.result(), "competitors": rivals.result(),
    }  # fmt: skip


@get("/deals/{deal_id:uuid}", opt={"optional": True}, media_type=MediaType.HTML)
async def deal_page(
    visit: NamedDependency[Visit], settings: NamedDependency[Settings], deal_id: FromPath[UUID]
) -> Response[Any]:
    """One deal: its chance and why, what to do next, what happened."""
    return await deal_view(visit, settings, deal_id)


async def deal_view(
    visit: Visit, settings: Settings, deal_id: UUID, trouble: str = "", status: int = 200, link: str = ""
) -> Response[Any]:
    """The whole page; `trouble` says what was wrong with a form, `link` is a guest's address that is shown once."""
    deal = await deal_reads.deal(visit, deal_id)
    values = await _view(visit, settings, deal)
    visit.frame.path = f"/deals/{deal_id}"
    return page(
        "deal.html", visit.titled(deal["name"], "board"), visit.say, status=status, **values, trouble=trouble,
        link=link, document_types=get_args(documents.Type), **await room_reads.room(visit, deal),
        similar=await similar_deals(visit.database, visit.actor, deal_id, SIMILAR), no_similar=NO_SIMILAR,
        may_log=may(visit.actor, "activities", "create"), may_act=may(visit.actor, "recommendations", "done"),
        may_remind=may(visit.actor, "reminders", "create"), may_inspect=may(visit.actor, "notes", "inspect"),
        may_move=may(visit.actor, "opportunities", "stage"), may_edit=may(visit.actor, "opportunities", "update"),
        may_name=may(visit.actor, "stakeholders", "create"), activity_types=LOGGED_TYPES, sources=SOURCES,
        dismiss_reasons=DISMISS_REASONS, loss_reasons=board_page.LOSS_REASONS,
    )  # fmt: skip


@post("/deals/{deal_id:uuid}/activity", opt={"optional": True}, status_code=303)
async def log_activity(
    request: Web, visit: NamedDependency[Visit], settings: NamedDependency[Settings], deal_id: FromPath[UUID]
) -> Response[Any]:
    """Writes down what has just happened."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    require(visit.actor, "activities", "create")
    deal = await deal_reads.deal(visit, deal_id)
    draft = {
        "type": form.get("type", ""), "subject": form.get("subject", "").strip()[:200] or None,
        "direction": form.get("direction", ""), "occurred_at": datetime.now(UTC), "status": "completed",
        "opportunity_id": deal_id, "account_id": deal["account_id"],
    }  # fmt: skip
    if draft["type"] not in LOGGED_TYPES or draft["direction"] not in get_args(activities.Direction):
        return await deal_view(visit, settings, deal_id, "Say what happened, and who began it.", 422)
    async with visit.database.begin() as tx:
        await insert(tx, activities.resource, visit.actor, draft)
    return Redirect(f"/deals/{deal_id}", status_code=303)


# Answers to recommendations ----------------------------------------------------------------------------------------


async def _answered(
    request: Web, visit: Visit, record_id: UUID, verb: str, to: str, until: datetime | None = None
) -> Response[Any]:
    """The verb as a form: back to where it was sent from."""
    require(visit.actor, "recommendations", verb)
    form = await request.form()
    said = str(form.get("reason", "")).strip()[:2000] or None
    async with visit.database.begin() as tx:
        await recommendations.change(request, tx, record_id, to, said, until)
    return Redirect(local(str(form.get("back", ""))), status_code=303)


@post("/recommendations/{record_id:uuid}/done", opt={"optional": True}, status_code=303)
async def done(request: Web, visit: NamedDependency[Visit], record_id: FromPath[UUID]) -> Response[Any]:
    """It was done."""
    return await _answered(request, visit, record_id, "done", "done")


@post("/recommendations/{record_id:uuid}/dismiss", opt={"optional": True}, status_code=303)
async def dismiss(request: Web, visit: NamedDependency[Visit], record_id: FromPath[UUID]) -> Response[Any]:
    """It does not help here."""
    return await _answered(request, visit, record_id, "dismiss", "dismissed")


@post("/recommendations/{record_id:uuid}/snooze", opt={"optional": True}, status_code=303)
async def snooze(request: Web, visit: NamedDependency[Visit], record_id: FromPath[UUID]) -> Response[Any]:
    """Not now."""
    text = str((await request.form()).get("days", ""))
    days = int(text) if text.isascii() and text.isdigit() and 0 < int(text) <= 365 else None
    until = recommendations.wake_at(recommendations.Snooze(days=days), datetime.now(UTC))
    return await _answered(request, visit, record_id, "snooze", "snoozed", until)


routes: list[Any] = [deal_page, log_activity, done, dismiss, snooze]
