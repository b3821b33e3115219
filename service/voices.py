"""Who speaks: the champion of each model, kept loaded while it serves; the baseline where none may.

A champion speaks by the definitions of features that it learned on, as long as they are kept (`catalogue.FORMER`). Where
one is gone, or its files are not what was registered, the champion before speaks in its place, else the baseline; the answer
names the reason beside the gate.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import structlog

from features.catalogue import SETS, Gone, is_meant
from features.facts import DAY, Array, Facts
from features.spec import FeatureSet
from ml.frame import Frame
from registry import champion
from registry.bundle import Bundle, Refused
from registry.serving import opened, set_of
from service.attributing import Told, explained, keys_of
from service.baselines import HORIZONS, WEEKS, DealBaseline, LeadBaseline, Said, SaidOfLeads, frame_of
from service.db import Database
from service.settings import Settings

log = structlog.get_logger()

KEEP_SECONDS = 600.0
"""How long a baseline and the counts of the gate are kept."""
KEPT_VERSIONS = 12
"""Versions whose files stay in memory, of all models together."""
LOOK_AGAIN_SECONDS = 30.0
"""How long files that were refused are not looked at again."""
REQUIRED = {"closed_won": 100, "closed_lost": 100, "months_of_history": 6, "stage_history_share": 0.5}
"""What a trained deal model needs before it is worth asking."""
REQUIRED_LEADS = {"converted": 100, "not_converted": 100, "months_of_history": 6}
NO_CALIBRATION: dict[str, Any] = {"brier": None, "log_loss": None, "ece": None, "n": 0}

_PRESENT = """
WITH closed AS (
    SELECT id, status, created_at, closed_at FROM known.opportunities
    WHERE to_at = '9999-12-31' AND status <> 'open' AND NOT is_deleted AND closed_at <= $1
), staged AS (
    SELECT DISTINCT c.id FROM closed c JOIN known.opportunities o ON o.id = c.id AND o.status = 'open'
)
SELECT count(*) FILTER (WHERE status = 'won') AS closed_won, count(*) FILTER (WHERE status = 'lost') AS closed_lost,
       coalesce(extract(epoch FROM $1 - min(created_at)) / 2629746, 0)::float8 AS months_of_history,
       coalesce((SELECT count(*) FROM staged)::float8 / nullif(count(*), 0), 0) AS stage_history_share
FROM closed /* access:opportunities */"""

_PRESENT_LEADS = """
SELECT count(*) FILTER (WHERE status = 'converted') AS converted,
       count(*) FILTER (WHERE status = 'unqualified') AS not_converted,
       coalesce(extract(epoch FROM $1 - min(created_at)) / 2629746, 0)::float8 AS months_of_history
FROM known.leads WHERE to_at = '9999-12-31' AND NOT is_deleted AND created_at <= $1 /* access:leads */"""


@dataclass(frozen=True)
class Voice:
    """A model that speaks: which, how good it was on later rows, and what data stand behind it."""

    model: str
    version: int | None
    tier: str
    feature_set: FeatureSet
    calibration: Mapping[str, Any]
    gate: Mapping[str, Any]
    bundle: Bundle | None
    baseline: Any
    amount: Bundle | None = None

    def spoken_by(self, bundle: Bundle, wanted: FeatureSet) -> "Voice":
        """The same question put to another version."""
        said = bundle.manifest
        return replace(self, version=said.version, tier=said.tier, feature_set=wanted, bundle=bundle)

    def of_deals(self, columns: dict[str, Array], facts: Facts, *, is_kept: bool = True) -> Said:
        """What it says of deals with these features. In stages that the model never saw the baseline speaks. What is
        kept must come out the same when it is replayed, bit for bit; what is not may take the quick way (`_curves`)."""
        if self.bundle is None:
            return self._deals().say(columns)
        known = np.isin(facts["stage"], self.bundle.estimator.stages)
        trained = partial(self._trained, is_kept=is_kept)
        parts = [(rows, speak) for rows, speak in ((known, trained), (~known, self._untrained)) if rows.any()]
        return merged(
            len(facts), self.feature_set.names, [(rows, speak(columns, facts, rows)) for rows, speak in parts]
        )

    def untrained(self, stage: str) -> dict[str, Any]:
        """What stands in a score that the baseline gave although a trained model serves."""
        reason = f"version {self.version} never saw a deal in stage {stage}"
        judged = dict(self._deals().calibration)
        return {
            "tier": "baseline",
            "model_version": None,
            "calibration": judged,
            "gate": {**self.gate, "reason": reason},
        }

    def chance_of_deals(self, columns: dict[str, Array], facts: Facts) -> Array:
        """The chance to win alone, without reasons: a tenth of the work."""
        chance = self._deals().say(columns).win
        if self.bundle is not None:
            known = np.isin(facts["stage"], self.bundle.estimator.stages)
            if known.any():
                asked = self._asked(columns, facts, known)
                chance[known] = _curves(self.bundle.estimator, *asked, is_kept=False).final
        return chance

    def won_by_week(self, columns: dict[str, Array], facts: Facts) -> Array:
        """The chances of deals to be won by the end of week 1, 2, … alone, without reasons."""
        won = self._deals().say(columns).won
        if self.bundle is not None:
            known = np.isin(facts["stage"], self.bundle.estimator.stages)
            if known.any():
                asked = self._asked(columns, facts, known)
                won[known] = self.bundle.estimator.curves(*asked).won[:, : won.shape[1]]
        return won

    def _asked(self, columns: dict[str, Array], facts: Facts, rows: Array) -> tuple[Frame, Array, Array]:
        """What the champion is asked about: features, stage and instant (days since 1970) of these rows."""
        assert self.bundle is not None
        stages = self.bundle.estimator.stages
        frame = self._frame(self.bundle, {name: column[rows] for name, column in columns.items()})
        stage = np.array([stages.index(key) for key in facts["stage"][rows]], dtype=np.int64)
        return frame, stage, facts.as_of[rows] / DAY

    def _trained(self, columns: dict[str, Array], facts: Facts, rows: Array, *, is_kept: bool) -> Said:
        """The champion's curves with its attribution."""
        assert self.bundle is not None
        from ml.explain import explain  # noqa: PLC0415  # LightGBM takes 100 MB: only where a model speaks

        (frame, stage, at), names = self._asked(columns, facts, rows), self.feature_set.names
        model, groups = self.bundle.estimator, {name: (name,) for name in names}
        curves = _curves(model, frame, stage, at, is_kept=is_kept)

        def ask(places: Array) -> Told:
            final = curves.final[places]
            found = explain(model, frame.take(places), stage[places], at[places], groups, final)
            return found.base_value, found.effects[:, : len(names)]

        base, effects = explained(self.bundle, keys_of(columns, rows, at), ask)
        is_trained = np.ones(len(curves.final), dtype=bool)
        won, lost = curves.won[:, :WEEKS], curves.lost[:, :WEEKS]
        return Said(curves.final, won, lost, base, names, effects, is_trained)

    def _untrained(self, columns: dict[str, Array], facts: Facts, rows: Array) -> Said:
        return self._deals().say({name: column[rows] for name, column in columns.items()})

    def _deals(self) -> DealBaseline:
        baseline: DealBaseline = self.baseline
        return baseline

    def of_leads(self, columns: dict[str, Array]) -> SaidOfLeads:
        """What it says of leads with these features."""
        if self.bundle is None:
            return self._leads().say(columns)
        frame, names = self._frame(self.bundle, columns), self.feature_set.names
        model = self.bundle.estimator
        found = model.explain(frame, {name: (name,) for name in names}, HORIZONS[-1])
        return SaidOfLeads(
            model.probabilities(frame), found.base_value, names, found.effects[:, : len(names)]
        )

    def chances_of_leads(self, columns: dict[str, Array]) -> Array:
        """The chances alone (n, 3), without reasons."""
        if self.bundle is None:
            return self._leads().say(columns).chances
        chances: Array = self.bundle.estimator.probabilities(self._frame(self.bundle, columns))
        return chances

    def _leads(self) -> LeadBaseline:
        baseline: LeadBaseline = self.baseline
        return baseline

    def amounts(self, columns: dict[str, Array], facts: Facts) -> Array | None:
        """The 10, 50 and 90 % quantiles of each deal's final amount (n, 3), in home currency; None if none can tell."""
        if self.amount is None:
            return self._deals().amounts(facts["amount"])
        found: Array = self.amount.estimator.amounts(self._frame(self.amount, columns), facts["amount"])
        return found

    def _frame(self, bundle: Bundle, columns: dict[str, Array]) -> Frame:
        taken = {name: columns[name] for name in bundle.manifest.features}
        return frame_of(taken, tuple(name for name in self.feature_set.categories if name in taken))


def _curves(model: Any, frame: Frame, stage: Array, at: Array, *, is_kept: bool) -> Any:
    """The curves of deals; those of one alone by the quick way, equal to 1e-12, where nobody will replay them."""
    if is_kept or len(frame) != 1:
        return model.curves(frame, stage, at)
    return model.one(frame, int(stage[0]), float(at[0]))


def merged(size: int, names: tuple[str, ...], parts: Sequence[tuple[Array, Said]]) -> Said:
    """Several answers, each about some of the rows, as one about all; effects stand under `names`."""
    win, base = np.full(size, np.nan), np.full(size, np.nan)
    won, lost, effects = np.zeros((size, WEEKS)), np.zeros((size, WEEKS)), np.zeros((size, len(names)))
    is_trained = np.zeros(size, dtype=bool)
    for rows, said in parts:
        win[rows], base[rows], won[rows], lost[rows] = said.win, said.base, said.won, said.lost
        is_trained[rows] = said.is_trained
        for place, name in enumerate(said.names):
            effects[rows, names.index(name)] = said.effects[:, place]
    return Said(win, won, lost, base, names, effects, is_trained)


class Voices:
    """The voices of one process. Champions are looked up at each `deal` and `lead`; their files are read once."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self._bundles: dict[tuple[str, int], Bundle] = {}
        self._refused: dict[tuple[str, int], tuple[float, str]] = {}
        self._reading: dict[tuple[str, int], asyncio.Task[Bundle | str]] = {}
        self._kept: dict[str, tuple[float, datetime, Any]] = {}
        self._making: dict[str, asyncio.Task[None]] = {}
        database.closing.append(self.close)

    async def voice(self, model: str, feature_set: str, as_of: datetime) -> Voice:
        """The champion of `model`, the one before where it may not speak, or the baseline."""
        bundle, why = await self.bundle(model)
        gate = await self._gate(model, as_of)
        baseline = await self._baseline(model, as_of)
        wanted = SETS[feature_set] if bundle is None else set_of(bundle)
        amount, _ = await self.bundle("amount") if model == "win" else (None, "")
        if amount is not None and not reads(amount, wanted):
            wanted = together(wanted, amount)
        if amount is None or not reads(amount, wanted):
            amount = None
        if bundle is not None:
            said = bundle.manifest
            judged = said.calibration or NO_CALIBRATION
            own = {**(said.gate or gate), **({"reason": why} if why else {})}
            return Voice(model, said.version, said.tier, wanted, judged, own, bundle, baseline, amount)
        reason = {"reason": why or _why(gate)}
        return Voice(
            model, None, "baseline", wanted, baseline.calibration, gate | reason, None, baseline, amount
        )

    async def bundle(self, model: str) -> tuple[Bundle | None, str]:
        """The files of the champion, or of the one before it where they may not speak, with the reason. None and no reason
        where there is no champion."""
        row = await champion.champion(self.database, model)
        if row is None:
            return None, ""
        found = await self._understood(model, row["version"])
        if isinstance(found, Bundle):
            return found, ""
        before = row["previous_version"]
        former = await self._understood(model, before) if before else None
        if isinstance(former, Bundle):
            return former, f"{found}; version {before}, the champion before, speaks in its place"
        return None, found

    async def _understood(self, model: str, version: int) -> Bundle | str:
        """A version whose features are known here, or the reason why it may not speak."""
        found = await self.version(model, version)
        if isinstance(found, Bundle):
            try:
                set_of(found)
            except Gone as error:
                return (
                    f"version {version} learned on features that have changed since: {error}; train it anew"
                )
        return found

    async def version(self, model: str, version: int) -> Bundle | str:
        """A version's files, or the reason why they are refused. The few asked for last are kept, so that the champion
        before is there at once when it is rolled back to."""
        which = (model, version)
        if which in self._bundles:
            found = self._bundles[which] = self._bundles.pop(which)
            return found
        at, why = self._refused.get(which, (0.0, ""))
        if why and time.monotonic() - at < LOOK_AGAIN_SECONDS:
            return why
        if which not in self._reading:
            self._reading[which] = asyncio.create_task(self._read(which))
        return await asyncio.shield(self._reading[which])

    async def _read(self, which: tuple[str, int]) -> Bundle | str:
        """Reads files once, however many ask for them, and beside the answers to others."""
        try:
            row = await champion.version_row(self.database, *which)
            found = await asyncio.to_thread(opened, self.folder, *which, row["sha256"])
        except (Refused, champion.Unknown) as error:
            log.error("version refused", model=which[0], version=which[1], reason=str(error))
            self._refused[which] = (time.monotonic(), str(error))
            return str(error)
        finally:
            del self._reading[which]
        self._bundles[which] = found
        while len(self._bundles) > KEPT_VERSIONS:
            del self._bundles[next(iter(self._bundles))]
        return found

    async def forget(self) -> None:
        """After an import: what was learned on the fly is learned anew."""
        self._kept.clear()

    async def _baseline(self, model: str, as_of: datetime) -> Any:
        kind = LeadBaseline if model == "lead" else DealBaseline
        return await self._keep(f"baseline {model}", as_of, lambda: kind.fit(self.database, as_of))

    async def _gate(self, model: str, as_of: datetime) -> dict[str, Any]:
        sql, required = (_PRESENT_LEADS, REQUIRED_LEADS) if model == "lead" else (_PRESENT, REQUIRED)

        async def look() -> dict[str, Any]:
            row = await self.database.fetchrow(sql, as_of)
            present = {name: round(float(value), 2) for name, value in dict(row).items()}
            is_met = all(present[name] >= need for name, need in required.items())
            return {"required": dict(required), "present": present, "is_met": is_met}

        found: dict[str, Any] = await self._keep(f"gate {model}", as_of, look)
        return found

    async def _keep(self, name: str, as_of: datetime, make: Callable[[], Awaitable[Any]]) -> Any:
        """What `make` gives, kept for some minutes; past them the old answer serves while a new one is made."""
        kept = self._kept.get(name)
        if kept is None or as_of < kept[1]:
            self._kept[name] = kept = (time.monotonic(), as_of, await make())
        elif time.monotonic() - kept[0] > KEEP_SECONDS and name not in self._making:
            self._making[name] = asyncio.create_task(self._make_again(name, as_of, make))
        return kept[2]

    async def _make_again(self, name: str, as_of: datetime, make: Callable[[], Awaitable[Any]]) -> None:
        try:
            self._kept[name] = (time.monotonic(), as_of, await make())
        except (OSError, asyncpg.PostgresError) as error:
            log.warning("not learned anew", what=name, error=str(error))
        finally:
            del self._making[name]

    async def close(self) -> None:
        """Ends what is being learned or read."""
        for task in [*self._making.values(), *self._reading.values()]:
            task.cancel()
            await asyncio.wait([task])


def together(wanted: FeatureSet, other: Bundle) -> FeatureSet:
    """A set with what another version reads besides, so that both can be asked about the same columns; as it is where
    the two learned on different definitions of one feature."""
    try:
        more = tuple(one for one in set_of(other).features if one.name not in wanted.names)
    except Gone:
        return wanted
    found = FeatureSet(wanted.name, wanted.entity, (*wanted.features, *more), wanted.entities)
    return found if more and reads(other, found) else wanted


def reads(bundle: Bundle, wanted: FeatureSet) -> bool:
    """Whether the columns of a set are what a version learned on."""
    manifest = bundle.manifest
    if not manifest.definitions:
        return manifest.fingerprint == wanted.fingerprint
    return all(
        name in wanted.names and is_meant(wanted[name], meant) for name, meant in manifest.definitions.items()
    )


def _why(gate: Mapping[str, Any]) -> str:
    """Why the baseline speaks when no champion was refused."""
    present, required = gate["present"], gate["required"]
    missing = [
        f"{name.replace('_', ' ')} {present[name]:g} of {need:g}"
        for name, need in required.items()
        if present[name] < need
    ]
    return "no trained model serves yet" + (f": {', '.join(missing)}" if missing else "")


def voices_of(database: Database, settings: Settings) -> Voices:
    """The voices of this process's database."""
    found: Voices | None = database.parts.get("voices")
    if found is None:
        found = database.parts["voices"] = Voices(database, settings.home / "models")
    return found
