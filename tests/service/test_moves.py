"""The rules of moving, pure: whatever way a deal goes, what it says of itself fits together."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import moves
from service.errors import Conflict, Invalid

PIPELINE = UUID(int=1)
NOW, TODAY = datetime(2026, 11, 24, 12, tzinfo=UTC), date(2026, 11, 24)


def stage(key: str, position: int, status: str = "open", *criteria: dict[str, Any]) -> dict[str, Any]:
    chance, category = {"won": (1.0, "closed"), "lost": (0.0, "omitted")}.get(status, (0.5, "pipeline"))
    return {
        "pipeline_id": PIPELINE,
        "key": key,
        "name": key.title(),
        "position": position,
        "status": status,
        "probability": chance,
        "forecast_category": category,
        "entry_criteria": [],
        "exit_criteria": list(criteria),
    }


STAGES = [stage("talk", 1), stage("offer", 2), stage("won", 3, "won"), stage("lost", 4, "lost")]
NOTHING = dict.fromkeys(("closed_at", "closed_on", "loss_reason", "competitor_id", "closed_note", "amount"))


def deal(**members: Any) -> dict[str, Any]:
    return NOTHING | moves.begin(STAGES[0], {}, NOW, TODAY) | members


wishes = st.builds(
    moves.Wish,
    to=st.sampled_from(STAGES),
    reason=st.sampled_from([None, "price"]),
    competitor_id=st.sampled_from([None, UUID(int=7)]),
    note=st.sampled_from([None, "said"]),
)


@given(st.lists(wishes, max_size=8))
def test_on_any_way_a_deal_fits_together(way: list[moves.Wish]) -> None:
    now, row = NOW, deal()
    for wish in way:
        now += timedelta(hours=1)
        try:
            row |= moves.move(row, STAGES, wish, now, now.date())
        except (Conflict, Invalid):
            continue
        assert row["stage_entered_at"] == now
        assert row["stage"] == wish.to["key"]
        assert (row["status"] == "open") == (row["closed_at"] is None) == (row["closed_on"] is None)
        assert (row["status"] == "lost") == (row["loss_reason"] is not None)
        assert (row["probability"], row["status"]) in [(0.5, "open"), (1.0, "won"), (0.0, "lost")]
        assert (row["forecast_category"] == "closed") == (row["status"] == "won")
        assert row["status"] != "open" or row["competitor_id"] is None


def test_only_a_forward_move_is_asked_for_what_the_stages_on_its_way_ask() -> None:
    asks = {"field": "amount", "op": "gte", "value": 100}
    stages = [stage("talk", 1), stage("offer", 2, "open", asks), stage("end", 3), *STAGES[2:]]
    poor = deal(stage="talk", amount=99)

    def missing(row: dict[str, Any], to: int) -> list[str]:
        return [error["pointer"] for error in moves.misses(row, stages, stages[to])]

    assert missing(poor, 1) == []
    assert missing(poor, 2) == ["/amount"]
    assert missing(poor, 3) == ["/amount"]
    assert missing(poor, 4) == [], "losing asks for nothing"
    assert missing(poor | {"stage": "end"}, 1) == [], "nor does going back"
    assert missing(poor | {"amount": 100}, 3) == []


@pytest.mark.parametrize(
    ("criterion", "sentence"),
    [
        ({"field": "close_date", "op": "is_null", "value": False}, "Talk asks for close_date to be set"),
        ({"field": "amount", "op": "gte", "value": 5}, "Talk asks for amount at least 5"),
        ({"field": "type", "op": "in", "value": ["renewal", "expansion"]}, "to be one of renewal, expansion"),
    ],
)
def test_what_is_missing_is_said_in_words(criterion: dict[str, Any], sentence: str) -> None:
    stages = [stage("talk", 1, "open", criterion), stage("offer", 2)]
    with pytest.raises(Conflict, match=sentence):
        moves.move(deal(), stages, moves.Wish(to=stages[1]), NOW, TODAY)


def test_visits_follow_the_versions() -> None:
    def version(hours: int, key: str) -> dict[str, Any]:
        return {"row": {"pipeline_id": "p", "stage": key}, "known_from": NOW + timedelta(hours=hours)}

    newest_first = [version(9, "talk"), version(5, "offer"), version(4, "offer"), version(0, "talk")]
    seen = moves.visits(newest_first, {("p", "talk"): 1, ("p", "offer"): 2})
    assert [(visit["stage"], visit["seconds"], visit["direction"]) for visit in seen] == [
        ("talk", None, "back"),
        ("offer", 5 * 3600.0, "forward"),
        ("talk", 4 * 3600.0, "start"),
    ]
