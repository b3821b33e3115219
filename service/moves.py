"""The rules by which deals move: pure, without a session. Only `domains/opportunities.py` calls them."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from service import criteria
from service.errors import Conflict, Invalid, Pointer
from service.rules import Row, fault, refuse

WORDS = {
    "eq": "to be", "ne": "not to be", "gt": "above", "gte": "at least", "lt": "below", "lte": "at most",
    "in": "to be one of", "nin": "to be none of", "contains": "to contain", "starts": "to start with",
}  # fmt: skip


CLOSE = ("closed_at", "closed_on", "loss_reason", "competitor_id", "closed_note")
"""What is said of a deal's end, and goes with it when the deal is reopened."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Where a deal shall go, and what is said with it."""

    to: Row
    reason: str | None = None
    competitor_id: UUID | None = None
    note: str | None = None


def find(stages: Sequence[Row], key: str, member: str) -> Row:
    """The stage of this key. Raises `Invalid` that points at `member` and names those that there are."""
    for stage in stages:
        if stage["key"] == key:
            return stage
    raise Invalid.at(
        f"/{member}", f"there is no such stage; there are {', '.join(s['key'] for s in stages) or 'none'}"
    )


def first(stages: Sequence[Row]) -> Row:
    """Where a deal begins: the first open stage. Raises `Conflict` where there is none."""
    for stage in stages:
        if stage["status"] == "open":
            return stage
    raise Conflict("The pipeline has no open stage: create a pipeline with its stages first.")


def _enter(stage: Row, now: datetime) -> dict[str, Any]:
    return {
        "pipeline_id": stage["pipeline_id"],
        "stage": stage["key"],
        "status": stage["status"],
        "probability": stage["probability"],
        "forecast_category": stage["forecast_category"],
        "forecast_category_source": "stage",
        "stage_entered_at": now,
    }


def begin(stage: Row, draft: Row, now: datetime, today: date) -> dict[str, Any]:
    """What a new deal gets from the stage in which it is created."""
    status = stage["status"]
    lost_for_nothing = status == "lost" and draft.get("loss_reason") is None
    won_with_reason = status != "lost" and draft.get("loss_reason") is not None
    open_with_rival = status == "open" and draft.get("competitor_id") is not None
    refuse(
        [fault("loss_reason", "a lost deal needs its reason")] if lost_for_nothing else [],
        [fault("loss_reason", "only a lost deal has one")] if won_with_reason else [],
        [fault("competitor_id", "belongs to the close")] if open_with_rival else [],
    )
    return _enter(stage, now) | ({} if status == "open" else {"closed_at": now, "closed_on": today})


def misses(deal: Row, stages: Sequence[Row], to: Row) -> Iterator[Pointer]:
    """What a deal lacks to go on to `to`: the exit criteria of its stage and of those that it would skip."""
    here = next((stage for stage in stages if stage["key"] == deal["stage"]), None)
    if (
        here is None
        or to["status"] == "lost"
        or deal["status"] != "open"
        or to["position"] <= here["position"]
    ):
        return
    for stage in stages:
        if stage["status"] == "open" and here["position"] <= stage["position"] < to["position"]:
            for criterion in stage["exit_criteria"]:
                if not criteria.matches([criterion], deal):
                    yield fault(
                        criterion["field"].replace(".", "/"), f"{stage['name']} asks {_asks(criterion)}"
                    )


def entering(deal: Row, to: Row) -> Iterator[Pointer]:
    """What a deal lacks to come into `to`; a loss is always let in."""
    for criterion in () if to["status"] == "lost" else to["entry_criteria"]:
        if not criteria.matches([criterion], deal):
            yield fault(
                criterion["field"].replace(".", "/"), f"entering {to['name']} asks {_asks(criterion)}"
            )


def refuse_missing(lacking: Sequence[Pointer]) -> None:
    """Raises `Conflict` that names what is missing, if anything is."""
    if lacking:
        raise Conflict("; ".join(error["detail"] for error in lacking[:5]) + ".", errors=list(lacking))


def reopening(deal: Row, rule: Row, to: Row, role: str, now: datetime) -> None:
    """Whether a closed deal may leave its end, by the rule of its pipeline. Raises `Conflict` that says why not."""
    if rule["reopen_roles"] and role not in rule["reopen_roles"]:
        raise Conflict(f"Closed deals of this pipeline are reopened by {', '.join(rule['reopen_roles'])}.")
    days = rule["reopen_within_days"]
    if days is not None and now - deal["closed_at"] > timedelta(days=days):
        closed = deal["closed_on"] or deal["closed_at"].date()
        raise Conflict(f"The deal closed on {closed}; it could be reopened for {days} days.")
    wanted = rule["reopen_stage"]
    if wanted is not None and to["status"] == "open" and to["key"] != wanted:
        raise Conflict(
            f"A closed deal of this pipeline is reopened into {wanted}.",
            errors=[fault("to", f"must be {wanted}")],
        )


def _asks(criterion: Row) -> str:
    field, op, value = criterion["field"], criterion["op"], criterion.get("value")
    if op == "is_null":
        return f"for {field} to be {'empty' if value in (True, 'true', None) else 'set'}"
    shown = ", ".join(map(str, value)) if isinstance(value, list) else value
    return f"for {field} {WORDS[op]} {shown}"


def _said(wish: Wish) -> Iterator[Pointer]:
    """A loss has its reason, nothing else has one; a competitor belongs to the close."""
    status = wish.to["status"]
    if status == "lost" and wish.reason is None:
        yield fault("reason", "a lost deal needs its reason")
    if status != "lost" and wish.reason is not None:
        yield fault("reason", "only a lost deal has one")
    if status == "open" and wish.competitor_id is not None:
        yield fault("competitor_id", "belongs to the close")


def move(deal: Row, stages: Sequence[Row], wish: Wish, now: datetime, today: date) -> dict[str, Any]:
    """The changes of a move, in the pipeline that `stages` are of.

    Raises `Invalid` for a wish that makes no sense, `Conflict` when the deal is there already or when criteria of exit
    and entry are not met; the latter names each in `errors`.
    """
    refuse(_said(wish))
    to = wish.to
    if (deal["pipeline_id"], deal["stage"]) == (to["pipeline_id"], to["key"]):
        raise Conflict(f"The deal is in {to['name']} already.")
    refuse_missing([*misses(deal, stages, to), *entering(deal, to)])
    changes = _enter(to, now)
    if to["status"] != "open":
        return changes | {
            "closed_at": now,
            "closed_on": today,
            "loss_reason": wish.reason,
            "competitor_id": wish.competitor_id or deal["competitor_id"],
            "closed_note": wish.note or deal["closed_note"],
        }
    if deal["status"] != "open":
        changes |= dict.fromkeys(CLOSE)
    elif deal["forecast_category_source"] == "user":
        changes |= {name: deal[name] for name in ("forecast_category", "forecast_category_source")}
    return changes


def visits(versions: Sequence[Any], order: dict[tuple[str, str], int]) -> list[dict[str, Any]]:
    """A deal's way through the stages, newest first: entered, left, seconds, and whether it went forward or back."""
    found: list[dict[str, Any]] = []
    for version in reversed(versions):
        place = (version["row"]["pipeline_id"], version["row"]["stage"])
        if found and place == (found[-1]["pipeline_id"], found[-1]["stage"]):
            continue
        direction = "start"
        if found:
            last = found[-1]
            last["left_at"] = version["known_from"]
            last["seconds"] = (version["known_from"] - last["entered_at"]).total_seconds()
            before = order.get((last["pipeline_id"], last["stage"]), 0)
            direction = "forward" if order.get(place, 0) >= before else "back"
        found.append(
            {"pipeline_id": place[0], "stage": place[1], "entered_at": version["known_from"], "left_at": None}
            | {"seconds": None, "direction": direction}
        )
    return found[::-1]
