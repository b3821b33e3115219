"""The board as a page, its cards as fragments, and the form that moves a deal where no script runs."""

import asyncio
from datetime import UTC, datetime
from typing import Any, get_args
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import msgspec
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from service import calendar, custom, grouping, query
from service.access import hidden, require, visible
from service.db import Params
from service.domains import board, opportunities
from service.errors import BadRequest, Conflict, Invalid, PreconditionFailed, Problem
from service.web.fields import label_of
from service.web.frame import Visit, local
from service.web.render import page
from service.wire import Web, check_version
from service.writes import locked

Pairs = list[tuple[str, str]]

LOSS_REASONS: tuple[str, ...] = get_args(opportunities.LossReason)
OURS = ("focus",)
"""Parameters of the address that mean nothing to the list grammar."""
OWNERS, VIEWS = 80, 6


# What the page shows -----------------------------------------------------------------------------------------------


def _pairs(request: Web) -> Pairs:
    """The filters of the address, without what belongs to the page alone."""
    text = request.scope["query_string"].decode("utf-8", "replace")
    return [pair for pair in parse_qsl(text) if pair[0] not in OURS]


def _address(pairs: Pairs, path: str = "/board") -> str:
    return f"{path}?{urlencode(pairs)}" if pairs else path


def _toggled(pairs: Pairs, added: Pairs) -> tuple[str, bool]:
    """The address with these filters added, or taken away when they are all there; and whether they are."""
    there = all(pair in pairs for pair in added)
    names = {name for name, _ in added}
    kept = [pair for pair in pairs if pair[0] not in names and pair[0] != "cursor"]
    return _address(kept if there else kept + added), there


async def _chips(visit: Visit, pairs: Pairs) -> list[dict[str, Any]]:
    """The filters that people reach for first."""
    today = visit.company.today(visit.now)
    period = await calendar.period(visit.database, None, visit.now)
    span = [("close_date[gte]", str(period.start_date)), ("close_date[lte]", str(period.end_date))]
    chips = [
        (f"Closing in {period.key[:4]} {period.key[4:]}", [*span, ("status", "open")]),
        ("Close date passed", [("close_date[lt]", str(today)), ("status", "open")]),
        ("Commit", [("forecast_category", "commit")]),
    ]
    if visit.actor.owners is None or len(visit.actor.owners) > 1:
        chips.insert(0, ("Mine", [("owner_id", str(visit.actor.id))]))
    chips += [(name, [("view", str(view))]) for view, name in await _views(visit)]
    made = []
    for label, added in chips:
        href, on = _toggled(pairs, added)
        made.append({"label": label, "href": href, "on": on, "removable": True})
    return made


async def _views(visit: Visit) -> list[tuple[UUID, str]]:
    """The saved views of deals that one has made or been given, by name."""
    params = Params()
    seen = visible(visit.actor, "views", "v", params)
    rows = await visit.database.fetch(
        "SELECT v.id, v.name FROM views v WHERE v.resource = 'opportunities' AND v.deleted_at IS NULL"
        f" AND {seen} ORDER BY v.created_by_id IS DISTINCT FROM {params.add(visit.actor.id)}::uuid, lower(v.name), v.id"
        f" LIMIT {VIEWS}",
        *params,
    )
    return [(row["id"], row["name"]) for row in rows]


async def _owners(visit: Visit, pairs: Pairs) -> list[dict[str, Any]]:
    """Whose deals one may look at, each with the address that does; nothing where there is one owner only."""
    params = Params()
    seen = visible(visit.actor, "opportunities", "t", params)
    rows = await visit.database.fetch(
        "SELECT u.id, u.name FROM users u WHERE EXISTS (SELECT 1 FROM opportunities t"
        f" WHERE t.owner_id = u.id AND t.status = 'open' AND t.deleted_at IS NULL AND {seen})"
        f' ORDER BY lower(u.name) COLLATE "C", u.id LIMIT {OWNERS}',
        *params,
    )
    kept = [pair for pair in pairs if pair[0] not in ("owner_id", "cursor")]
    everyone = [{"id": None, "name": "Everyone", "href": _address(kept)}]
    return everyone + [
        {"id": str(row["id"]), "name": row["name"], "href": _address([*kept, ("owner_id", str(row["id"]))])}
        for row in rows
    ]


async def competitors(visit: Visit) -> list[Any]:
    """Who may have won the deal instead."""
    return await visit.database.fetch(
        "SELECT id, name FROM competitors WHERE is_active AND deleted_at IS NULL"
        ' ORDER BY lower(name) COLLATE "C" LIMIT 200'
    )


async def _groups(visit: Visit) -> list[tuple[str, str]]:
    """What the columns may stand for: (field, its name), the company's own choices last."""
    own = await custom.of(visit.database, "opportunities")
    unseen = hidden(visit.actor, "opportunities")
    fields = [(name, label_of(name)) for name in grouping.choices() if name not in unseen]
    return [
        ("stage", "Stage"),
        *fields,
        *(
            (f"cf.{each.key}", each.label)
            for each in own.values()
            if each.type == "select" and f"cf.{each.key}" not in unseen
        ),
    ]


def _more(pairs: Pairs, cursor: str, path: str) -> str:
    return _address([*(pair for pair in pairs if pair[0] != "cursor"), ("cursor", cursor)], path)


def _shown(column: board.Column, pairs: Pairs) -> dict[str, Any]:
    """A column for the template: with the addresses of its next cards, as a fragment and as a page."""
    plain = msgspec.structs.asdict(column)
    return plain | {
        "more": _more(pairs, column.next, "/board/cards") if column.next else "",
        "more_page": _more(pairs, column.next, "/board") if column.next else "",
    }


def _totals(columns: list[board.Column]) -> dict[str, Any]:
    """Of the open columns together; of all where they do not stand for stages."""
    live = [column for column in columns if column.status in ("open", None)]
    return {
        "count": sum(column.count for column in live),
        "sum": sum(column.sum for column in live),
        "weighted": sum(column.weighted_sum for column in live),
    }


def _asked(pairs: Pairs) -> query.Request:
    return query.parse(urlencode(pairs).encode())


# Pages -------------------------------------------------------------------------------------------------------------


@get("/board", opt={"optional": True}, media_type=MediaType.HTML)
async def board_page(request: Web, visit: NamedDependency[Visit]) -> Response[Any]:
    """The pipeline by stage."""
    pairs = _pairs(request)
    busiest = await board.busiest(visit.database, visit.actor)
    if busiest is None:
        return _empty(visit)
    if "pipeline" not in dict(pairs) and "cursor" not in dict(pairs):
        pairs = [("pipeline", busiest), *pairs]
    found, stages, chips, owners, rivals, known = await asyncio.gather(
        board.load(visit.database, visit.actor, _asked(pairs)),
        board.stages(visit.database, dict(pairs).get("pipeline")),
        _chips(visit, pairs),
        _owners(visit, pairs),
        competitors(visit),
        board.pipelines(visit.database),
    )
    filters = [pair for pair in pairs if pair[0] not in ("pipeline", "cursor", "group")]
    group = dict(pairs).get("group", "stage")
    owner = next((each for each in owners if ("owner_id", each["id"]) in pairs), None)
    return page(
        "board.html", visit.titled("Pipeline", "board"), visit.say,
        pipeline=found.pipeline, pipelines=known, columns=[_shown(column, pairs) for column in found.columns],
        stages=stages, totals=_totals(found.columns), chips=chips, owners=owners if len(owners) > 2 else [],
        owner=owner, query=dict(pairs).get("q", ""), group=group, groups=await _groups(visit), filtered=bool(filters), competitors=rivals,
        loss_reasons=LOSS_REASONS, kept_filters=[pair for pair in pairs if pair[0] not in ("q", "cursor", "pipeline", "group")],
    )  # fmt: skip


def _empty(visit: Visit) -> Response[Any]:
    """A home, or a rep, without deals: what to do next."""
    return page(
        "empty.html", visit.titled("Pipeline", "board"), visit.say, heading="No deals yet",
        detail="The board shows deals by stage, each with its chance to win, the reasons and the next step. "
        "You have none to see so far.",
        may_import=visit.actor.role in ("admin", "ops"),
    )  # fmt: skip


@get("/board/cards", opt={"optional": True}, media_type=MediaType.HTML)
async def more_cards(request: Web, visit: NamedDependency[Visit]) -> Response[Any]:
    """The next cards of one column, as a fragment."""
    pairs = _pairs(request)
    if "cursor" not in dict(pairs):
        raise BadRequest("cursor: name the column's next cards.")
    found = await board.load(visit.database, visit.actor, _asked(pairs))
    if not found.columns:
        raise BadRequest("cursor: this is not a cursor of this board.")
    visit.frame.path = _address([pair for pair in pairs if pair[0] != "cursor"])
    return page(
        "cards.html", visit.frame, visit.say, column=_shown(found.columns[0], pairs),
        stages=await board.stages(visit.database, dict(pairs).get("pipeline")),
    )  # fmt: skip


@get("/board/cards/{deal_id:uuid}", opt={"optional": True}, media_type=MediaType.HTML)
async def one_card(visit: NamedDependency[Visit], deal_id: FromPath[UUID]) -> Response[Any]:
    """One card as it is now, as a fragment."""
    card = await board.one_card(visit.database, visit.actor, deal_id)
    visit.frame.path = "/board"
    stages = await board.stages_of(visit.database, card.pipeline_id)
    return page("one_card.html", visit.frame, visit.say, deal=card, stages=stages)


# Moving without script ---------------------------------------------------------------------------------------------


def _wish(form: dict[str, str]) -> opportunities.StageMove:
    """The form as the stage verb's body. Raises `Invalid` for what the form cannot hold."""
    given = {
        "to": form.get("to", ""),
        "reason": form.get("reason") or msgspec.UNSET,
        "competitor_id": form.get("competitor_id") or msgspec.UNSET,
        "note": form.get("note") or msgspec.UNSET,
    }
    try:
        return msgspec.convert(
            {name: value for name, value in given.items() if value is not msgspec.UNSET},
            opportunities.StageMove,
        )
    except msgspec.ValidationError as error:
        raise Invalid(str(error)) from None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


@post("/board/move", opt={"optional": True}, status_code=303)
async def move(request: Web, visit: NamedDependency[Visit]) -> Response[Any]:
    """The stage verb as a form. A stage that needs more is asked for on a page of its own."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    back = local(form.get("back", ""))
    try:
        deal_id = UUID(form.get("deal", ""))
    except ValueError:
        raise Invalid.at("/deal", "is not an id") from None
    card = await board.one_card(visit.database, visit.actor, deal_id)
    stages = await board.stages_of(visit.database, card.pipeline_id)
    stage = next((each for each in stages if each.key == form.get("to")), None)
    if stage is None:
        raise Invalid.at("/to", "is not a stage of this pipeline")
    if stage.status == "lost" and not form.get("asked"):
        return await _ask(visit, card, stage, form, back)
    try:
        await _move(visit, deal_id, _wish(form), _number(form.get("version", "")))
    except (Conflict, Invalid, PreconditionFailed) as error:
        return await _ask(visit, card, stage, form, back, error)
    return Redirect(back, status_code=303)


async def _move(visit: Visit, deal_id: UUID, wish: opportunities.StageMove, version: int) -> None:
    require(visit.actor, "opportunities", "stage")
    async with visit.database.begin() as tx:
        old = await locked(tx, opportunities.resource, visit.actor, deal_id)
        check_version(version, old["version"])
        await opportunities.move(tx, visit.actor, old, wish, datetime.now(UTC))


async def _ask(
    visit: Visit,
    card: board.Card,
    stage: board.Column,
    form: dict[str, str],
    back: str,
    error: Problem | None = None,
) -> Response[Any]:
    """What the stage still needs, with the reason of a refusal above."""
    visit.titled(f"Move {card.name}", "board")
    chosen = {"reason": form.get("reason", ""), "note": form.get("note", "")}
    return page(
        "move.html", visit.frame, visit.say, status=error.status if error else 200, deal=card, stage=stage, back=back,
        error=error.detail if error else "", chosen=chosen, competitors=await competitors(visit),
        loss_reasons=LOSS_REASONS,
    )  # fmt: skip


routes: list[Any] = [board_page, more_cards, one_card, move]
