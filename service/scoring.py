"""Scores of open deals and leads; `rescoring` says when they are made.

A score is made after the commit, in the worker: features as of now, the champion's word (or the baseline's, which
says so), its reasons, one row of `scores`, one of `current_scores`, and `opportunity.scored` where it tells news.

Grades, by the chance to win: a from .60, b from .35, c from .15, d below. By the chance to convert in 90 days: a from
.40, b from .20, c from .08, d below. A trend is told by the same model on what was known of the deal seven days
before: improving from +.03, declining from -.03. A score tells news when it is the first, its grade changed, or its
chance moved by .05.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Any
from uuid import UUID

import numpy as np

from features.catalogue import ENTITIES
from features.facts import DAY, EPOCH_DAY, WEEK, Array, Facts
from features.reading import Spine, loader
from ml.forecast import chance_by
from service import ledger
from service.access import SYSTEM
from service.baselines import Said, SaidOfLeads
from service.db import Database, Tx
from service.ids import new_id
from service.reasons import grouped, told
from service.shadowing import shadow
from service.store import Instants, Store, links_of
from service.voices import Voice, Voices

DEAL_GRADES = ((0.60, "a"), (0.35, "b"), (0.15, "c"), (0.0, "d"))
LEAD_GRADES = ((0.40, "a"), (0.20, "b"), (0.08, "c"), (0.0, "d"))
TREND = 0.03
NEWS = 0.05
TREND_DAYS = 7

Row = dict[str, Any]

# --- what a score says -------------------------------------------------------------------------------------------


def grade_of(chance: float, grades: tuple[tuple[float, str], ...] = DEAL_GRADES) -> str:
    """The grade of a chance."""
    return next(grade for least, grade in grades if chance >= least)


def score_of(chance: float) -> int:
    """100 times the chance, within 1 and 99."""
    return int(min(99, max(1, round(100 * chance))))


def trend_of(now: float, before: float) -> str:
    """How the chance moved in seven days; `before` NaN: the deal was not known then."""
    if np.isnan(before):
        return "not_enough_information"
    return "improving" if now - before >= TREND else "declining" if now - before <= -TREND else "steady"


def tells_news(row: Row, before: Row | None) -> bool:
    """Whether somebody waits to hear of this score."""
    if before is None or before["grade"] != row["grade"]:
        return True
    return bool(abs(row["win_probability"] - before["win_probability"]) >= NEWS)


def _common(voice: Voice, now: Instants, scored_at: datetime) -> Row:
    return {
        "model": voice.model,
        "model_version": voice.version,
        "feature_set": voice.feature_set.fingerprint,
        "tier": voice.tier,
        "as_of": now.as_of,
        "known_at": now.known_at,
        "watermark": now.watermark,
        "scored_at": scored_at,
        "gate": dict(voice.gate),
        "calibration": dict(voice.calibration),
    }


def _vectors(columns: dict[str, Array]) -> list[Row]:
    """The features of each row as they are stored: plain values, None where not known."""
    plain = [
        [value or None for value in column.tolist()]
        if column.dtype.kind == "U"
        else [None if value != value else value for value in column.tolist()]  # NaN differs from itself
        for column in columns.values()
    ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*plain, strict=True)]


def deal_rows(
    voice: Voice,
    said: Said,
    facts: Facts,
    columns: dict[str, Array],
    before: Array,
    now: Instants,
    scored_at: datetime,
) -> list[Row]:
    """The rows of `scores` for deals, all fields of the promise filled, or null with the reason in `missing`."""
    today = facts.calendar.days(facts.as_of)
    _, last = facts.calendar.quarter(today)
    into_day = facts.as_of / DAY - np.floor(facts.as_of / DAY)
    to_end = last + 1 - today - into_day
    to_close = facts["close_date"] + 1 - today - into_day
    amounts = voice.amounts(columns, facts)
    vectors, rows, fields = _vectors(columns), [], voice.feature_set.declared
    for i, name in enumerate(facts.ids):
        win = float(said.win[i])
        vector = vectors[i]
        slip, why = _slip(said, i, float(to_close[i]))
        money = _amounts(amounts, i, float(facts["amount"][i]))
        rows.append(
            _common(voice, now, scored_at)
            | {"id": new_id(), "entity_type": "opportunity", "opportunity_id": UUID(name), "lead_id": None}
            | {"score": score_of(win), "grade": grade_of(win), "win_probability": win}
            | {"win_in_period_probability": _by(said.won[i], float(to_end[i])), "slip_probability": slip}
            | {"likely_close_week": _close_week(said.won[i], float(facts.as_of[i]))}
            | money[0]
            | {"trend": trend_of(win, float(before[i])), "base_value": float(said.base[i])}
            | {
                "reasons": told(
                    "opportunity", said.names, said.effects[i], vector, float(said.base[i]), win, fields
                )
            }
            | {"effects": _whole("opportunity", said.names, said.effects[i])}
            | {
                "missing": _not_a_lead() | why | money[1],
                "won_by_week": said.won[i].tolist(),
                "features": vector,
            }
            | dict.fromkeys(ONLY_LEADS)
            | ({} if said.is_trained[i] or voice.version is None else voice.untrained(facts["stage"][i]))
        )
    return rows


def _whole(entity: str, names: Sequence[str], effects: Array) -> Row:
    return grouped(entity, dict(zip(names, effects.tolist(), strict=True)))


def _not_a_lead() -> Row:
    return dict.fromkeys(ONLY_LEADS, "only leads convert")


def _by(curve: Array, days: float) -> float:
    return float(chance_by(curve[None], np.array([max(days, 0.0)]))[0, 0])


def _slip(said: Said, i: int, days: float) -> tuple[float | None, Row]:
    """The chance to be open past the close date."""
    if np.isnan(days):
        return None, {"slip_probability": "the deal has no close date"}
    if days <= 0:
        return 1.0, {}
    gone = _by(said.won[i], days) + _by(said.lost[i], days)
    return min(1.0, max(0.0, 1.0 - gone)), {}


def _close_week(won: Array, as_of: float) -> date:
    """The Monday of the week by whose end half of the wins have come."""
    weeks = int(np.argmax(won >= won[-1] / 2))
    day = int(np.floor((as_of + weeks * WEEK) / DAY))
    return date.fromordinal(EPOCH_DAY + day - (day + 3) % 7)


def _amounts(quantiles: Array | None, i: int, amount: float) -> tuple[Row, Row]:
    names = ("amount_p10", "amount_p50", "amount_p90")
    why = "the deal has no amount" if np.isnan(amount) else "too few deals have been won to tell"
    if quantiles is None or np.isnan(amount):
        return dict.fromkeys(names), dict.fromkeys(names, why)
    return {name: round(float(value), 2) for name, value in zip(names, quantiles[i], strict=True)}, {}


ONLY_LEADS = ("convert_30d_probability", "convert_60d_probability", "convert_90d_probability")
ONLY_DEALS = (
    "win_probability",
    "win_in_period_probability",
    "slip_probability",
    "likely_close_week",
    "amount_p10",
    "amount_p50",
    "amount_p90",
)


def lead_rows(
    voice: Voice,
    said: SaidOfLeads,
    ids: Sequence[str],
    columns: dict[str, Array],
    before: Array,
    now: Instants,
    scored_at: datetime,
) -> list[Row]:
    """The rows of `scores` for leads."""
    vectors, rows, fields = _vectors(columns), [], voice.feature_set.declared
    for i, name in enumerate(ids):
        chance = float(said.chances[i, -1])
        vector = vectors[i]
        rows.append(
            _common(voice, now, scored_at)
            | {"id": new_id(), "entity_type": "lead", "opportunity_id": None, "lead_id": UUID(name)}
            | {"score": score_of(chance), "grade": grade_of(chance, LEAD_GRADES)}
            | {f"convert_{d}d_probability": float(said.chances[i, k]) for k, d in enumerate((30, 60, 90))}
            | dict.fromkeys(ONLY_DEALS)
            | {"trend": trend_of(chance, float(before[i])), "base_value": float(said.base[i])}
            | {
                "reasons": told(
                    "lead", said.names, said.effects[i], vector, float(said.base[i]), chance, fields
                )
            }
            | {"effects": _whole("lead", said.names, said.effects[i])}
            | {
                "missing": dict.fromkeys(ONLY_DEALS, "only deals have it"),
                "won_by_week": [],
                "features": vector,
            }
        )
    return rows


# --- making them -------------------------------------------------------------------------------------------------

_OPEN = """
SELECT id, owner_id, account_id FROM opportunities
WHERE id = ANY($1::uuid[]) AND status = 'open' AND deleted_at IS NULL /* access:opportunities */"""

_OPEN_LEADS = """
SELECT id, owner_id FROM leads
WHERE id = ANY($1::uuid[]) AND status NOT IN ('converted', 'unqualified') AND deleted_at IS NULL
/* access:leads */"""


async def score_deals(store: Store, voices: Voices, ids: Sequence[UUID], now: Instants) -> list[Row]:
    """Scores those of the deals that are open, and keeps the scores. Their facts, and those of their parents, are
    taken as they stand in the online store."""
    rows = await store.database.fetch(_OPEN, list(ids))
    if not rows:
        return []
    voice = await voices.voice("win", "deal_win", now.as_of)
    spine = now.spine(row["id"] for row in rows)
    facts = await store.online.facts(ENTITIES["opportunity"], spine)
    columns, _ = await store.online.values(
        voice.feature_set, spine, links_of([dict(row) for row in rows]), facts
    )
    said = voice.of_deals(columns, facts)
    before = await seven_days_before(store, voice, spine, columns)
    made = deal_rows(voice, said, facts, columns, before, now, datetime.now(UTC))
    await keep(store.database, made)
    await shadow(store, voices, voice, spine, columns, facts, rows, made)
    return made


async def seven_days_before(store: Store, voice: Voice, spine: Spine, columns: dict[str, Array]) -> Array:
    """The chance by the same model on what was known of each deal or lead seven days before, its account, owner and
    company being what they are in `columns`, today; NaN for those that were not there yet."""
    then = Spine(spine.ids, spine.as_of - TREND_DAYS * DAY, spine.known_at - TREND_DAYS * DAY)
    if (spine.known_at > spine.as_of).any():  # a clock that stands: what is known today was known then
        then = Spine(spine.ids, then.as_of, spine.known_at)
    entity = voice.feature_set.entity
    was = await loader(store.database.fetch, store.online.calendar)(ENTITIES[entity], then)
    known = was.present & (was["created_at"] <= then.as_of) & np.isin(was["status"], OPEN_STATUS)
    if not known.any():
        return np.full(len(spine), np.nan)
    own = {f.name: f.compute(was) for f in voice.feature_set.features if f.entity == entity}
    past = {name: own.get(name, column) for name, column in columns.items()}
    is_deal = voice.model == "win"
    chance = voice.chance_of_deals(past, was) if is_deal else voice.chances_of_leads(past)[:, -1]
    return np.where(known, chance, np.nan)


OPEN_STATUS = ("open", "new", "working", "nurturing", "qualified")


async def score_leads(store: Store, voices: Voices, ids: Sequence[UUID], now: Instants) -> list[Row]:
    """Scores those of the leads that are neither converted nor given up, and keeps the scores."""
    rows = await store.database.fetch(_OPEN_LEADS, list(ids))
    if not rows:
        return []
    voice = await voices.voice("lead", "lead_convert", now.as_of)
    spine = now.spine(row["id"] for row in rows)
    facts = await store.online.facts(ENTITIES["lead"], spine)
    columns, _ = await store.online.values(
        voice.feature_set, spine, links_of([dict(row) for row in rows]), facts
    )
    said = voice.of_leads(columns)
    before = await seven_days_before(store, voice, spine, columns)
    made = lead_rows(voice, said, spine.ids, columns, before, now, datetime.now(UTC))
    await keep(store.database, made)
    await shadow(store, voices, voice, spine, columns, facts, rows, made)
    return made


# --- keeping them ------------------------------------------------------------------------------------------------

_CURRENT = """
INSERT INTO current_scores AS s (entity_id, score_id, {shared})
SELECT coalesce(opportunity_id, lead_id), id, {shared} FROM scores WHERE id = ANY($1::uuid[])
ON CONFLICT (entity_id) DO UPDATE SET score_id = excluded.score_id, {updates}
WHERE s.known_at <= excluded.known_at /* access:scores */ /* access:current_scores */"""

_BEFORE = """
SELECT entity_id, score, grade, win_probability FROM current_scores
WHERE entity_id = ANY($1::uuid[]) /* access:current_scores */"""


async def keep(database: Database, rows: Sequence[Row]) -> None:
    """Appends the scores, makes them the current ones, and tells the news, in one transaction."""
    async with database.begin() as tx:
        before = {
            row["entity_id"]: dict(row)
            for row in await tx.fetch(_BEFORE, [row["opportunity_id"] or row["lead_id"] for row in rows])
        }
        columns = tuple(rows[0])
        await tx.copy_records("scores", columns, [tuple(row[name] for name in columns) for row in rows])
        await tx.execute(_current(columns), [row["id"] for row in rows])
        await _tell(tx, rows, before)


@cache
def _current(columns: tuple[str, ...]) -> str:
    shared = [name for name in columns if name not in ("id", "features", "effects")]
    return _CURRENT.format(
        shared=", ".join(shared), updates=", ".join(f"{name} = excluded.{name}" for name in shared)
    )


async def _tell(tx: Tx, rows: Sequence[Row], before: dict[UUID, Row]) -> None:
    deals = [row for row in rows if row["entity_type"] == "opportunity"]
    news = [row for row in deals if tells_news(row, before.get(row["opportunity_id"]))]
    await ledger.record_each(
        tx,
        SYSTEM,
        "opportunity.scored",
        "opportunity",
        [(row["opportunity_id"], _said(row, before.get(row["opportunity_id"]))) for row in news],
    )


def _said(row: Row, before: Row | None) -> Row:
    """What the event tells: the score, and the one before."""
    told_of = ("score", "grade", "win_probability", "trend", "as_of", "model", "model_version", "tier")
    old = {"score": None, "grade": None, "win_probability": None} if before is None else before
    return {name: row[name] for name in told_of} | {
        "score_id": row["id"],
        "previous": {name: old[name] for name in ("score", "grade", "win_probability")},
    }
