"""Turns the counts of each lived week into dated activities: who, when, recorded when, with which outcome."""

import numpy as np

from training.simulated.clock import DAY, Array, Clock, next_working, working_instants
from training.simulated.deals import Deals
from training.simulated.dynamics import ENTERPRISE, OUTBOUND, Columns
from training.simulated.people import Sellers
from training.simulated.pipeline import Record

KINDS = (
    "inbound",
    "reply",
    "outbound",
    "call",
    "meeting",
    "demo",
    "executive_sponsor",
    "add_stakeholder",
    "send_battle_card",
    "send_proposal",
    "mutual_action_plan",
    "re_engage",
    "offer",
    "first_response",
    "planned",
    "farewell",
)
KIND = {name: number for number, name in enumerate(KINDS)}
TYPES = np.array(
    [
        "email",
        "email",
        "email",
        "call",
        "meeting",
        "demo",
        "meeting",
        "email",
        "email",
        "email",
        "email",
        "email",
        "email",
        "call",
        "meeting",
        "email",
    ]
)
DONE, PLANNED, CANCELED, NO_SHOW = range(4)
STATUS = np.array(["completed", "planned", "canceled", "no_show"])
NO_OUTCOME, REPLIED, CONNECTED, VOICEMAIL, NO_ANSWER, HELD, RESCHEDULED, BOUNCED = range(8)
OUTCOME = np.array(["", "replied", "connected", "voicemail", "no_answer", "held", "rescheduled", "bounced"])


def deal_activities(
    clock: Clock, deals: Deals, sellers: Sellers, weeks: Columns, rng: np.random.Generator
) -> Columns:
    """All activities on deals, in no order: kind, deal, rep, occurred, at, status, outcome, duration, warmth."""
    record = Record()
    monday = clock.start_of(weeks["week"])
    _emails(record, clock, sellers, weeks, monday, rng)
    _calls(record, weeks, monday, rng)
    _meetings(record, weeks, monday, rng)
    for name in (
        "executive_sponsor",
        "add_stakeholder",
        "send_battle_card",
        "send_proposal",
        "mutual_action_plan",
        "re_engage",
        "offer",
    ):
        rows = np.flatnonzero(weeks[name])
        held = HELD if name == "executive_sponsor" else NO_OUTCOME
        _add(record, KIND[name], weeks, rows, working_instants(rng, monday[rows]), DONE, held)
    rows = np.flatnonzero(weeks["champion_left"])
    _add(record, KIND["farewell"], weeks, rows, working_instants(rng, monday[rows]), DONE, NO_OUTCOME)
    columns = record.joined()
    close = deals.closed_at[columns["deal"]]
    columns = _kept(columns, (close == 0) | (close >= clock.end) | (columns["occurred"] <= close))
    columns["at"] = _recorded(columns, deals.at[columns["deal"]], rng)
    columns["duration"] = _duration(columns, rng)
    return _as_known(columns, deals.at[columns["deal"]], clock, rng)


def _add(
    record: Record, kind: int, weeks: Columns, rows: Array, occurred: Array, status: object, outcome: object
) -> None:
    record.add(
        kind=np.asarray(kind),
        deal=weeks["deal"][rows],
        rep=weeks["rep"][rows],
        occurred=occurred,
        status=np.asarray(status),
        outcome=np.asarray(outcome),
        health=weeks["health"][rows],
    )


def _emails(
    record: Record, clock: Clock, sellers: Sellers, weeks: Columns, monday: Array, rng: np.random.Generator
) -> None:
    """Inbound mails, the reps' replies after their usual hours, and mails of their own accord."""
    rows = np.repeat(np.arange(monday.size), weeks["inbound"])
    occurred = working_instants(rng, monday[rows])
    _add(record, KIND["inbound"], weeks, rows, occurred, DONE, NO_OUTCOME)
    answered = rng.random(rows.size) < 0.55
    hours = rng.lognormal(0, 0.7, rows.size) * sellers.reply_hours[weeks["rep"][rows]]
    replied = next_working(occurred + (hours * 3600).astype(np.int64), rng)
    _add(record, KIND["reply"], weeks, rows[answered], replied[answered], DONE, NO_OUTCOME)
    calm = np.where(clock.holiday[weeks["week"]], 0.2, 1.0)
    rows = np.repeat(np.arange(monday.size), rng.poisson(OUTBOUND[weeks["stage"]] * calm))
    outcome = np.where(rng.random(rows.size) < 0.02, BOUNCED, NO_OUTCOME)
    _add(record, KIND["outbound"], weeks, rows, working_instants(rng, monday[rows]), DONE, outcome)


def _calls(record: Record, weeks: Columns, monday: Array, rng: np.random.Generator) -> None:
    rows = np.repeat(np.arange(monday.size), weeks["connected"])
    _add(record, KIND["call"], weeks, rows, working_instants(rng, monday[rows]), DONE, CONNECTED)
    rows = np.repeat(np.arange(monday.size), weeks["calls"] - weeks["connected"])
    outcome = np.where(rng.random(rows.size) < 0.4, VOICEMAIL, NO_ANSWER)
    _add(record, KIND["call"], weeks, rows, working_instants(rng, monday[rows]), DONE, outcome)


def _meetings(record: Record, weeks: Columns, monday: Array, rng: np.random.Generator) -> None:
    """Held meetings (the first one of a week may be a demo), and those that did not take place."""
    held = weeks["held"] - weeks["demo"]
    rows = np.repeat(np.arange(monday.size), np.maximum(held, 0))
    _add(record, KIND["meeting"], weeks, rows, _half_hours(rng, monday[rows]), DONE, HELD)
    rows = np.flatnonzero(weeks["demo"])
    _add(record, KIND["demo"], weeks, rows, _half_hours(rng, monday[rows]), DONE, HELD)
    rows = np.repeat(np.arange(monday.size), weeks["meetings"] - weeks["held"])
    missed = rng.random(rows.size)
    status = np.where(missed < 0.6, NO_SHOW, np.where(missed < 0.9, CANCELED, PLANNED))
    outcome = np.where(status == CANCELED, RESCHEDULED, NO_OUTCOME)
    _add(record, KIND["meeting"], weeks, rows, _half_hours(rng, monday[rows]), status, outcome)


def _half_hours(rng: np.random.Generator, monday: Array) -> Array:
    """Meetings start on half hours between 8:30 and 17:30, so equal instants are common."""
    day, slot = rng.integers(0, 5, monday.size), rng.integers(0, 19, monday.size)
    return np.asarray(monday + day * DAY + 8 * 3600 + 1800 + slot * 1800)


def _recorded(columns: Columns, created: Array, rng: np.random.Generator) -> Array:
    """When each became known: mails within seconds, calls within the hour, one in ten days late, some on Friday."""
    size = columns["kind"].size
    kind, occurred, draw = columns["kind"], columns["occurred"], rng.random(size)
    mail = TYPES[kind] == "email"
    soon = np.where(mail, rng.integers(0, 40, size), rng.integers(300, 5400, size))
    late = rng.integers(1, 10, size) * DAY + rng.integers(0, 7200, size)
    friday = (occurred // DAY - (occurred // DAY + 3) % 7 + 4) * DAY + 17 * 3600
    at = occurred + np.where(~mail & (draw < 0.10), late, soon)
    at = np.where(~mail & (draw > 0.88) & (friday > occurred), friday, at)
    early = columns["status"] == PLANNED
    return np.where(early, _booked(occurred, created, rng), at)


def _booked(occurred: Array, created: Array, rng: np.random.Generator) -> Array:
    """When a meeting was put into the calendar: days before, on a weekday, but not before its deal existed."""
    before = occurred - rng.integers(1, 12, occurred.size) * DAY
    weekend = np.maximum((before // DAY + 3) % 7 - 4, 0)
    shifted = before - weekend * DAY + rng.integers(0, 1800, occurred.size)
    return np.asarray(np.maximum(shifted, created + 900))


def _duration(columns: Columns, rng: np.random.Generator) -> Array:
    """Seconds: calls that connected and meetings that were held; 0 means not known."""
    size, kind = columns["kind"].size, TYPES[columns["kind"]]
    call = (rng.lognormal(5.9, 0.6, size)).astype(int)
    meeting = np.array([1800, 2700, 3600])[rng.integers(0, 3, size)]
    talked = (columns["outcome"] == CONNECTED) & (kind == "call")
    return np.where(talked, call, np.where(columns["outcome"] == HELD, meeting, 0))


def _as_known(columns: Columns, created: Array, clock: Clock, rng: np.random.Generator) -> Columns:
    """Only what was known by the end; coming meetings that were booked before stay, as planned."""
    size = columns["kind"].size
    coming = np.isin(TYPES[columns["kind"]], ("meeting", "demo")) & (columns["occurred"] >= clock.end)
    booked = _booked(columns["occurred"], created, rng)
    coming &= (booked < clock.end) & (rng.random(size) < 0.7)
    columns["at"] = np.where(coming, booked, columns["at"])
    columns["status"] = np.where(coming, PLANNED, columns["status"])
    columns["outcome"] = np.where(coming, NO_OUTCOME, columns["outcome"])
    columns["duration"] = np.where(coming, 0, columns["duration"])
    columns["kind"] = np.where(coming, KIND["planned"], columns["kind"])
    known = (columns["at"] < clock.end) & (
        coming | (columns["occurred"] < clock.end) | (columns["status"] == PLANNED)
    )
    return _kept(columns, known)


def _kept(columns: Columns, rows: Array) -> Columns:
    return {name: column[rows] for name, column in columns.items()}


__all__ = ["ENTERPRISE", "KIND", "KINDS", "OUTCOME", "STATUS", "TYPES", "deal_activities"]
