"""What if: the score that an open deal would have with some fields changed. Nothing is stored.

The changes are laid over the deal's facts as they stand in the online store; everything else, the champion included,
is what scoring itself uses.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from features.catalogue import ENTITIES
from features.facts import EPOCH_DAY, Facts
from service import calendar, money
from service.access import SYSTEM, Actor, guard
from service.db import Database, Params
from service.errors import Invalid
from service.reasons import shown
from service.scoring import deal_rows, lead_rows, seven_days_before
from service.settings import Settings
from service.store import links_of, store_of
from service.voices import voices_of

Row = dict[str, Any]

_STAGE = """
SELECT s.probability, (SELECT count(*) FROM stages b WHERE b.pipeline_id = s.pipeline_id AND b.status = 'open'
                       AND b.position < s.position AND b.deleted_at IS NULL) AS stage_index
FROM stages s WHERE s.pipeline_id = $1 AND s.key = $2 AND s.status = 'open' AND s.deleted_at IS NULL"""

CENT = Decimal("0.01")
REFERENCES = {"owner_id": "users", "account_id": "accounts", "competitor_ids": "competitors"}


async def check(database: Database, actor: Actor, deal: Row, changes: Row) -> None:
    """Raises 422 with a pointer for a stage that is none of the pipeline's open ones, or a record that is not there."""
    if "stage" in changes and await database.fetchrow(_STAGE, deal["pipeline_id"], changes["stage"]) is None:
        raise Invalid.at("/changes/stage", f"{changes['stage']!r} is no open stage of the deal's pipeline")
    for name, table in REFERENCES.items():
        value = changes.get(name)
        ids = value if isinstance(value, list) else [value] if value else []
        if not ids:
            continue
        params = Params([ids])
        seen = guard(actor, table, "r", params)
        found = await database.fetchval(
            f"SELECT count(*) FROM {table} r WHERE r.id = ANY($1::uuid[]) AND r.deleted_at IS NULL AND {seen}",
            *params,
        )
        if found < len(set(ids)):
            raise Invalid.at(f"/changes/{name}", "there is no such record")


async def suppose(
    database: Database, settings: Settings, actor: Actor, deal: Row, changes: Row
) -> tuple[Row, Decimal]:
    """The score under the changes as this actor may read it, and by how much the quarter's expected revenue moves."""
    store, voices = store_of(database, settings.redis_url), voices_of(database, settings)
    now = await store.now()
    voice = await voices.voice("win", "deal_win", now.as_of)
    spine = now.spine([deal["id"]])
    facts = await store.online.facts(ENTITIES["opportunity"], spine)
    supposed = await _changed(database, deal, facts, changes)
    company = await calendar.company(database)
    found: list[tuple[Row, Facts]] = []
    before = np.full(1, np.nan)
    for each in (facts, supposed) if changes else (facts,):
        columns, _ = await store.online.values(voice.feature_set, spine, links_of([deal, changes]), each)
        if not found:
            before = await seven_days_before(store, voice, spine, columns)
        said = voice.of_deals(columns, each, is_kept=False)
        found.append((deal_rows(voice, said, each, columns, before, now, datetime.now(UTC))[0], each))
    effect = _expected(*found[-1]) - _expected(*found[0])
    return _answered(actor, found[-1][0], company.home_currency), effect


async def warm(database: Database, settings: Settings) -> None:
    """Asks for one score and forgets it: models are read and features found before the first deal moves."""
    deal = await database.fetchrow(
        "SELECT * FROM opportunities WHERE status = 'open' AND deleted_at IS NULL LIMIT 1 /* access:opportunities */"
    )
    if deal is not None:
        await suppose(database, settings, SYSTEM, dict(deal), {})


async def score_lead(database: Database, settings: Settings, actor: Actor, lead: Row) -> Row:
    """The lead's score as of now, unstored."""
    store, voices = store_of(database, settings.redis_url), voices_of(database, settings)
    now = await store.now()
    voice = await voices.voice("lead", "lead_convert", now.as_of)
    spine = now.spine([lead["id"]])
    columns, _ = await store.online.values(voice.feature_set, spine, links_of([lead]))
    before = await seven_days_before(store, voice, spine, columns)
    row = lead_rows(voice, voice.of_leads(columns), spine.ids, columns, before, now, datetime.now(UTC))[0]
    return _answered(actor, row, (await calendar.company(database)).home_currency)


def _answered(actor: Actor, row: Row, currency: str) -> Row:
    kept = {
        name: value
        for name, value in row.items()
        if name not in ("features", "effects", "won_by_week", "known_at", "id")
    }
    entity_id = kept.pop("opportunity_id") or kept.get("lead_id")
    kept.pop("lead_id")
    reasons = shown(actor, row["entity_type"], row["reasons"])
    return kept | {
        "id": None,
        "entity_id": entity_id,
        "currency": currency,
        "is_stale": False,
        "reasons": reasons,
    }


def _expected(row: Row, facts: Facts) -> Decimal:
    amount = row["amount_p50"] if row["amount_p50"] is not None else float(np.nan_to_num(facts["amount"][0]))
    return Decimal(float(amount) * row["win_in_period_probability"]).quantize(CENT)


async def _changed(database: Database, deal: Row, facts: Facts, changes: Row) -> Facts:
    """The deal's facts with the changes laid over them, the counts that follow included."""
    rows: dict[str, Any] = {}
    if "stage" in changes and changes["stage"] != deal["stage"]:
        stage = await database.fetchrow(_STAGE, deal["pipeline_id"], changes["stage"])
        moved_back = float(stage["stage_index"] < facts["stage_index"][0])
        rows |= {
            "stage": changes["stage"],
            "stage_index": float(stage["stage_index"]),
            "stage_probability": float(stage["probability"]),
            "stage_since": float(facts.as_of[0]),
            "stage_moves": facts["stage_moves"][0] + 1,
            "stage_regressions": facts["stage_regressions"][0] + moved_back,
        }
    if "amount" in changes:
        rows |= await _amount(database, deal, facts, changes["amount"])
    if "close_date" in changes:
        rows |= _close_date(facts, changes["close_date"])
    for name in ("type", "lead_source", "forecast_category", "owner_id", "account_id"):
        if name in changes:
            rows[name] = "" if changes[name] is None else str(changes[name])
    if "next_step" in changes:
        rows["has_next_step"] = float(bool(changes["next_step"]))
    if "competitor_ids" in changes:
        rows["competitors"] = float(len(set(changes["competitor_ids"])))
    return facts.with_rows(**{name: np.array([value]) for name, value in rows.items()})


async def _amount(database: Database, deal: Row, facts: Facts, amount: Decimal | None) -> dict[str, float]:
    company = await calendar.company(database)
    today = company.today(datetime.now(UTC))
    home = await money.at_home(database, amount, deal["currency"], today, company.home_currency)
    value = np.nan if amount is None else float(home if home is not None else amount)
    first = facts["first_amount"][0]
    return {"amount": value, "first_amount": value if np.isnan(first) else first}


def _close_date(facts: Facts, day: date | None) -> dict[str, float]:
    value = np.nan if day is None else float(day.toordinal() - EPOCH_DAY)
    old, first = facts["close_date"][0], facts["first_close_date"][0]
    changed = {"close_date": value, "first_close_date": value if np.isnan(first) else first}
    if value > old:
        changed |= {"push_count": facts["push_count"][0] + 1, "pushed_at": float(facts.as_of[0])}
    return changed
