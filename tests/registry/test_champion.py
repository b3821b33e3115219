"""Which version serves: promoted, pinned, rolled back; a refused one only with a written reason."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from registry import champion
from registry.champion import NotPublishable, Unknown
from registry.verdict import Gate, Verdict

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def added(database, model, *, passed=True):
    version = await champion.next_version(database, model)
    gates = (
        Gate(
            "calibration",
            passed,
            "calibration error 0.090 [0.070, 0.110] on 900 later rows; the limit is 0.05",
        ),
    )
    await champion.add(
        database, model, version, tier="logistic", feature_set="f", metrics={}, verdict=Verdict(gates).document(), card={},
        folder=Path("nowhere"), sha256="0", run_id=None, training_as_of=NOW, created_by="test",
    )  # fmt: skip
    return version


async def test_versions_count_up_by_model(database):
    assert [await added(database, "win"), await added(database, "win"), await added(database, "lead")] == [
        1,
        2,
        1,
    ]


async def test_a_version_that_fails_a_gate_does_not_serve(database):
    version = await added(database, "amount", passed=False)
    with pytest.raises(NotPublishable, match=r"calibration error 0\.090"):
        await champion.promote(database, "amount", version, by="me")
    assert await champion.champion(database, "amount") is None
    served = await champion.promote(database, "amount", version, by="me", override="the board asked for it")
    assert served["version"] == version
    assert (await champion.champion(database, "amount"))["reason"] == "the board asked for it"
    card = (await champion.version_row(database, "amount", version))["card"]
    assert [(one["by"], one["override"]) for one in card["promotions"]] == [("me", "the board asked for it")]


async def test_promotion_and_rollback(database):
    one, two = await added(database, "arrivals"), await added(database, "arrivals")
    with pytest.raises(Unknown):
        await champion.rollback(database, "arrivals", by="me")
    await champion.promote(database, "arrivals", one, by="me")
    served = await champion.promote(database, "arrivals", two, by="me", pinned=True)
    assert served == {"model": "arrivals", "version": two, "previous_version": one}
    assert (await champion.champion(database, "arrivals"))["pinned"]
    back = await champion.rollback(database, "arrivals", by="me")
    assert back["version"] == one
    assert not (await champion.champion(database, "arrivals"))["pinned"]


async def test_unknown_versions_are_named(database):
    with pytest.raises(Unknown, match="version 99"):
        await champion.promote(database, "win", 99, by="me")
