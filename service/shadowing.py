"""Silent scores: what the challenger and the shadow would have said where the champion's scores were stored.

Nothing that goes wrong here may cost anybody a score: it is logged, and the champion's stands.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import structlog

from features.catalogue import Gone
from features.facts import Array, Facts
from features.reading import Spine
from ml.forecast import chance_by
from registry import silent
from registry.bundle import Bundle
from registry.serving import set_of
from service.store import Store, links_of
from service.voices import Voice, Voices, reads

log = structlog.get_logger()

DAYS = (30, 60, 90)

Row = dict[str, Any]


def by_days(voice: Voice, columns: dict[str, Array], facts: Facts) -> Array:
    """The chances within 30, 60 and 90 days, (n, 3)."""
    if voice.model == "lead":
        return voice.chances_of_leads(columns)
    won = voice.won_by_week(columns, facts)
    return chance_by(won, np.array(DAYS, dtype=np.float64))


async def shadow(
    store: Store,
    voices: Voices,
    voice: Voice,
    spine: Spine,
    columns: dict[str, Array],
    facts: Facts,
    rows: Sequence[Mapping[str, Any]],
    made: Sequence[Row],
) -> None:
    """Scores the same deals or leads by each silent version, and keeps both sides; `made` are the stored scores."""
    if voice.version is None:
        return
    try:
        for alias in await silent.aliases(store.database, voice.model):
            if alias["version"] != voice.version:
                await _one(store, voices, voice, spine, columns, facts, rows, made, alias["version"])
    except Exception:  # a silent version must not cost anybody the score
        log.exception("a silent version did not score", model=voice.model)


async def _one(
    store: Store,
    voices: Voices,
    voice: Voice,
    spine: Spine,
    columns: dict[str, Array],
    facts: Facts,
    rows: Sequence[Mapping[str, Any]],
    made: Sequence[Row],
    version: int,
) -> None:
    bundle = await voices.version(voice.model, version)
    if not isinstance(bundle, Bundle):
        log.warning("a silent version is refused", model=voice.model, version=version, reason=bundle)
        return
    if not reads(bundle, voice.feature_set):
        try:
            wanted = set_of(bundle)
        except Gone as error:
            log.warning(
                "a silent version cannot be asked", model=voice.model, version=version, reason=str(error)
            )
            return
        columns, _ = await store.online.values(wanted, spine, links_of(dict(row) for row in rows), facts)
    else:
        wanted = voice.feature_set
    other = voice.spoken_by(bundle, wanted)
    theirs, ours = by_days(other, columns, facts), by_days(voice, columns, facts)
    scores = [(row["id"], row["opportunity_id"] or row["lead_id"], row["as_of"]) for row in made]
    chances = [
        {"champion_version": voice.version, "champion": mine.tolist(), "silent": his.tolist()}
        for mine, his in zip(ours, theirs, strict=True)
    ]
    await silent.keep(store.database, voice.model, version, scores, chances)
