"""The next best actions of a deal, by rules: a catalogue, what speaks for each action, and what forbids it.

Pure: a `Situation` in, candidates out, most urgent first. The weights order the rules; they are no measured effect and
claim none. Guards come last: consent (who opted out of mail is not mailed, who must not be called is not called),
cool-down (what was just done or dismissed is not proposed again), and capacity (a long list gets only what is urgent).
"""

import random
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from service import criteria

CATALOGUE = (
    "call",
    "email",
    "meeting",
    "demo",
    "executive_sponsor",
    "add_stakeholder",
    "send_battle_card",
    "send_proposal",
    "mutual_action_plan",
    "re_engage",
    "correct_close_date",
    "offer",
    "hand_over",
    "disqualify",
)
MOST = 4
"""Actions proposed for a deal at a time."""
EXPLORED = 0.1
"""Share of decisions in which the first action is drawn at random."""
STALE_DAYS = 21
DONE_REST, DISMISSED_REST = timedelta(days=7), timedelta(days=30)
LONG_LIST, URGENT = 150, 60
JUST_NOW = timedelta(days=2)
STATE_BOUND = frozenset(
    {"correct_close_date", "re_engage", "hand_over", "disqualify", "send_battle_card", "add_stakeholder"}
)
"""Actions that make sense only where the deal's state asks for them: a playbook's step alone does not propose them."""
TOUCH = {"call": "call", "email": "email", "meeting": "meeting", "demo": "demo"}
"""Action → the type of activity that is the same thing."""


class Card(msgspec.Struct, frozen=True):
    """A published battle card on a competitor that the deal names."""

    id: UUID
    competitor: str


class Play(msgspec.Struct, frozen=True):
    """A published playbook that may speak about the deal."""

    id: UUID
    name: str
    pipeline_id: UUID | None
    stage: str | None
    criteria: list[dict[str, Any]]
    steps: list[dict[str, Any]]


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an open deal at `now`. `progress` is the stage's place among the open ones, 0 to 1."""

    id: UUID
    record: dict[str, Any]
    now: datetime
    today: date
    stage: str
    stage_name: str
    progress: float
    stage_since: datetime
    rotting_days: int | None
    close_date: date | None
    amount: float | None
    large: float | None = None
    """Amount from which a deal is among the largest tenth of the open ones."""
    chance: float | None = None
    trend: str | None = None
    pushes: int = 0
    last_touch: datetime | None = None
    last_of_type: dict[str, datetime] = {}
    has_meeting_ahead: bool = False
    roles: frozenset[str] = frozenset()
    people: int = 0
    may_mail: bool = True
    may_call: bool = True
    owner_is_active: bool = True
    owner_has_open: int = 0
    cards: tuple[Card, ...] = ()
    plays: tuple[Play, ...] = ()
    rested: dict[str, datetime] = {}
    """Action → until when it is not to be proposed again."""

    @property
    def silent_days(self) -> int:
        """Days since anybody did anything; since the stage was entered where nobody ever did."""
        return max(0, (self.now - (self.last_touch or self.stage_since)).days)

    @property
    def percent(self) -> str:
        return f"{round(100 * (self.chance or 0))} %"


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An action that something speaks for. `weight` orders candidates and means nothing else."""

    action: str
    title: str
    reason: str
    rule: str
    weight: float
    battle_card_id: UUID | None = None


def _one(action: str, weight: float, title: str, reason: str, **more: Any) -> Candidate:
    return Candidate(
        action=action, weight=weight, title=title, reason=reason, rule=more.pop("rule", action), **more
    )


def _dates(s: Situation) -> Iterator[Candidate]:
    if s.close_date is not None and s.close_date < s.today:
        days = (s.today - s.close_date).days
        reason = f"The close date passed {days} day{'s' * (days != 1)} ago and the deal is still open."
        yield _one(
            "correct_close_date",
            100,
            "Agree on a close date that can be kept",
            reason,
            rule="close_date_passed",
        )
    elif s.close_date is None and s.progress >= 0.5:
        reason = f"The deal is in {s.stage_name} and has no close date."
        yield _one("correct_close_date", 58, "Set a close date", reason, rule="close_date_missing")


def _silence(s: Situation) -> Iterator[Candidate]:
    limit = s.rotting_days or STALE_DAYS
    if s.silent_days > limit:
        reason = (
            f"Nothing has happened for {s.silent_days} days; in {s.stage_name} {limit} are usual at most."
        )
        yield _one("re_engage", 90, "Take the conversation up again", reason, rule="silent")
    if s.silent_days > 3 * limit and (s.chance or 1.0) < 0.05:
        reason = f"Silent for {s.silent_days} days, with a chance of {s.percent}."
        yield _one("disqualify", 92, "Decide whether this is still a deal", reason, rule="hopeless")


def _people(s: Situation) -> Iterator[Candidate]:
    if not s.owner_is_active:
        yield _one(
            "hand_over", 97, "Give the deal an owner", "Its owner is no longer active.", rule="owner_left"
        )
    if s.progress >= 0.34 and not s.roles & {"economic_buyer", "decision_maker"}:
        reason = f"In {s.stage_name}, nobody who decides on the money is on the deal."
        yield _one("add_stakeholder", 76, "Find the economic buyer", reason, rule="no_economic_buyer")
    elif s.progress >= 0.34 and "champion" not in s.roles:
        reason = "Nobody on the customer's side is known to speak for us."
        yield _one("add_stakeholder", 71, "Win a champion", reason, rule="no_champion")
    elif s.people <= 1:
        yield _one(
            "add_stakeholder",
            46,
            "Know a second person there",
            "The deal hangs on one contact.",
            rule="one_contact",
        )
    if (
        s.large is not None
        and (s.amount or 0) >= s.large
        and "executive_sponsor" not in s.roles
        and s.progress >= 0.34
    ):
        reason = "Among the largest tenth of the open deals, without an executive on the customer's side."
        yield _one(
            "executive_sponsor", 64 if s.trend == "declining" else 57, "Bring the executives together", reason
        )


def _rivals(s: Situation) -> Iterator[Candidate]:
    for card in s.cards[:1]:
        reason = f"{card.competitor} is in this deal, and there is a battle card on it."
        yield _one(
            "send_battle_card",
            80,
            f"Use the battle card on {card.competitor}",
            reason,
            battle_card_id=card.id,
        )


def _late(s: Situation) -> Iterator[Candidate]:
    chance = s.chance if s.chance is not None else 0.0
    if 0.34 <= s.progress < 1 and chance >= 0.3:
        reason = f"In {s.stage_name} with a chance of {s.percent}: what the customer needs next is an offer in writing."
        yield _one("send_proposal", 66, "Send the proposal", reason, rule="ready_for_proposal")
    if s.progress >= 0.66 and chance >= 0.4:
        reason = f"Late, with a chance of {s.percent}: agree on the steps to the signature, with dates."
        yield _one(
            "mutual_action_plan",
            68,
            "Write down the way to the signature together",
            reason,
            rule="late_and_likely",
        )
        yield _one(
            "call",
            61,
            "Call to settle what is open",
            f"In {s.stage_name} with a chance of {s.percent}.",
            rule="late_and_likely",
        )
    if s.pushes >= 2 and s.progress >= 0.66:
        reason = f"The close date was pushed {s.pushes} times; an incentive within the policy may bring it forward."
        yield _one("offer", 48, "Offer a reason to sign now", reason, rule="pushed")


def _touches(s: Situation) -> Iterator[Candidate]:
    if not s.has_meeting_ahead and s.progress >= 0.34:
        yield _one(
            "meeting",
            55,
            "Put the next meeting in the calendar",
            "No meeting is planned.",
            rule="no_meeting_ahead",
        )
    if "demo" not in s.last_of_type and 0 < s.progress < 0.67:
        yield _one(
            "demo", 50, "Show the product", "The customer has seen no demonstration yet.", rule="no_demo"
        )
    if s.silent_days >= 7:
        yield _one(
            "email",
            32,
            "Follow up by e-mail",
            f"The last contact was {s.silent_days} days ago.",
            rule="follow_up",
        )
    yield _one(
        "call", 20, "Call and ask how things stand", f"The deal is in {s.stage_name}.", rule="keep_in_touch"
    )


def _playbooks(s: Situation) -> Iterator[Candidate]:
    for play in s.plays:
        fits = play.stage in (None, "", s.stage) and play.pipeline_id in (None, s.record.get("pipeline_id"))
        if not fits or not (play.stage or play.criteria) or not criteria.matches(play.criteria, s.record):
            continue
        for place, step in enumerate(sorted(play.steps, key=lambda step: step.get("position", 0))):
            if step.get("action") in CATALOGUE:
                reason = f"The playbook “{play.name}” asks for it in {s.stage_name}."
                yield _one(step["action"], 74 - place, step["title"], reason, rule=f"playbook:{play.id}")


RULES = (_dates, _silence, _people, _rivals, _late, _touches, _playbooks)


def forbidden(candidate: Candidate, s: Situation) -> str | None:
    """Why a candidate may not be proposed; None when it may."""
    action = candidate.action
    if action == "email" and not s.may_mail:
        return "consent"
    if action == "call" and not s.may_call:
        return "consent"
    if action == "re_engage" and not (s.may_mail or s.may_call):
        return "consent"
    if (until := s.rested.get(action)) and until > s.now:
        return "cool-down"
    last = s.last_of_type.get(TOUCH.get(action, ""))
    if last is not None and s.now - last < JUST_NOW:
        return "cool-down"
    if s.owner_has_open >= LONG_LIST and candidate.weight < URGENT:
        return "capacity"
    return None


def candidates(s: Situation) -> list[Candidate]:
    """All that something speaks for and nothing forbids, the most urgent first; each action once."""
    found: dict[str, Candidate] = {}
    for rule in RULES:
        for candidate in rule(s):
            best = found.get(candidate.action)
            if forbidden(candidate, s) or (
                rule is _playbooks and best is None and candidate.action in STATE_BOUND
            ):
                continue
            if best is None or candidate.weight > best.weight:
                found[candidate.action] = candidate
    return sorted(found.values(), key=lambda c: (-c.weight, c.action))


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What is proposed, in order, and the chance with which the first place fell to each candidate."""

    chosen: list[Candidate]
    explored: bool
    propensities: dict[str, float]


def decide(found: Sequence[Candidate], draw: random.Random, share: float = EXPLORED) -> Decision:
    """The most urgent first; in a `share` of the decisions the first is drawn evenly from all candidates.

    The propensity of each action for the first place is share / n, and 1 - share more for the most urgent one.
    """
    if not found:
        return Decision(chosen=[], explored=False, propensities={})
    even = share / len(found)
    propensities = {c.action: even + (1 - share) * (place == 0) for place, c in enumerate(found)}
    order = list(found)
    explored = draw.random() < share
    if explored:
        drawn = draw.choice(order)
        order.remove(drawn)
        order.insert(0, drawn)
    return Decision(
        chosen=order[:MOST], explored=explored and order[0] != found[0], propensities=propensities
    )
