"""The deal page's sentences."""

from datetime import UTC, datetime, timedelta
from typing import Any

from service.web import deal_words
from service.web.words import MINUS, Words

NOW = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)
SAY = Words(now=NOW)


def score(days_ago: float, chance: float, version: int = 4, **effects: float) -> dict[str, Any]:
    texts = {"meet": "A meeting with the buyer", "push": "Close date pushed 2 times", "crm": "CRM use"}
    return {
        "scored_at": NOW - timedelta(days=days_ago),
        "win_probability": chance,
        "model_version": version,
        "tier": "logistic",
        "reasons": [{"key": key, "text": texts[key], "effect": effect} for key, effect in effects.items()],
    }


def part(key: str, text: str, effect: float) -> dict[str, Any]:
    return {"key": key, "text": text, "effect": effect}


def test_a_change_names_its_size_its_span_and_its_largest_reasons() -> None:
    past = [
        score(20, 0.2, meet=-0.1),
        score(8, 0.3, meet=0.0, push=0.0),
        score(0, 0.38, meet=0.11, push=-0.03),
    ]
    parts = [part("meet", "A meeting with the buyer", 0.11), part("push", "Close date pushed 2 times", -0.03)]
    said = deal_words.changed(past[-1], past, parts, SAY)
    assert (
        said
        == f"Up 8 points in 8 days: a meeting with the buyer (+11); close date pushed 2 times ({MINUS}3.0)."
    )


def test_capitals_stay_and_another_model_is_named_in_short() -> None:
    past = [score(7, 0.5), score(0, 0.3)]
    parts = [
        part("model_changed", "Another model speaks since then: it …", -0.12),
        part("crm", "CRM use", -0.08),
    ]
    assert (
        deal_words.changed(past[-1], past, parts, SAY)
        == f"Down 20 points in 7 days: another model speaks ({MINUS}12); CRM use ({MINUS}8.0)."
    )


def test_a_first_score_and_a_steady_one() -> None:
    only = [score(0, 0.3) | {"trend": "improving"}]
    assert deal_words.changed(only[0], only, [], SAY) == (
        "The first score of this deal. By what was known 7 days before, its chance would have been lower."
    )
    steady = [score(9, 0.301), score(0, 0.303)]
    assert deal_words.changed(steady[-1], steady, [], SAY) == "Unchanged in 9 days."


def test_an_unmet_gate_is_counted() -> None:
    rested = score(0, 0.3) | {
        "model": "win",
        "tier": "baseline",
        "calibration": {},
        "gate": {"required": {"closed_won": 40}, "present": {"closed_won": 14}, "is_met": False},
    }
    said = deal_words.evidence(rested, SAY)
    assert "win rates by stage and segment" in said
    assert "Not enough history yet: 14 of 40 closed won." in said


def version(number: int, known: datetime, **fields: Any) -> dict[str, Any]:
    row = {"version": number, "stage": "proposal", "amount": 1000, "currency": "USD", "close_date": "2026-12-14",
           "owner_id": "1", "forecast_category": "pipeline", "next_step": None} | fields  # fmt: skip
    return {"row": row, "known_from": known, "actor_id": "1"}


def test_history_tells_each_change_once_and_the_category_only_when_somebody_chose_it() -> None:
    versions = [
        version(3, NOW, stage="negotiation", forecast_category="commit", amount=2500),
        version(2, NOW - timedelta(days=1), forecast_category="best_case"),
        version(1, NOW - timedelta(days=2)),
    ]
    stages = {"proposal": "Proposal", "negotiation": "Negotiation"}
    told = [each["text"] for each in deal_words.changes(versions, stages, {"1": "Lena Koch"}, SAY)]
    assert told == [
        "Stage: Proposal → Negotiation",
        "Amount: $1,000 → $2,500",
        "Category: Pipeline → Best case",
        "Created",
    ]
