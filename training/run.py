"""One training run: training sets, candidates, gates, the registry's rows, MLflow's mirror.

    results = await learn(connection, ("win", "lead"), as_of, models=folder, tell=tell)

Each candidate becomes a version of its own with its card and verdict; which of them should serve is said in the result
of its model, and promoting it is for the service to do, in one transaction with the event that tells of it.
"""

import os
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.catalogue import SETS, widened
from features.custom import Declared, declared
from features.reading import read_calendar
from features.spec import FeatureSet
from ml.leak import Refusal
from registry import bundle, champion, serving
from registry.bundle import Bundle, Manifest
from registry.verdict import REQUIRED_AMOUNTS, REQUIRED_DEALS, REQUIRED_LEADS
from training import amount, arrivals, cards, guard, lead, states, win
from training.dataset import DealSet, deal_panel, idle, lead_set
from training.judge import Tell
from training.trained import Evidence, Trained, best

MODELS = ("win", "lead", "amount", "arrivals")
MOST_ROWS = 12_000
"""Landmarks that a model learns from at most."""
DORMANT_DAYS = 90

_NEWEST = """
SELECT greatest(
    (SELECT max(o.closed_at) FROM known.opportunities o WHERE o.closed_at <= now()),
    (SELECT max(o.created_at) FROM known.opportunities o WHERE o.created_at <= now() AND o.status <> 'open')
) AS newest"""


@dataclass
class Training:
    """What one run shares between its models."""

    connection: Any
    as_of: datetime
    models: Path
    tell: Tell | None = None
    workers: int = field(default_factory=lambda: min(os.cpu_count() or 1, 2))
    most: int = MOST_ROWS
    by: str = "training"
    """Who registers: a person's address where one trains by hand."""
    _deals: DealSet | None = None
    _refusals: tuple[Refusal, ...] = ()
    _fields: tuple[Declared, ...] | None = None

    async def feature_set(self, name: str) -> FeatureSet:
        """A set of the catalogue with the custom fields that are declared as features; those are read once."""
        if self._fields is None:
            self._fields = await declared(self.connection.fetch)
        return widened(SETS[name], self._fields)

    async def deals(self) -> DealSet:
        """The landmarks of deals without what the guard refused, and without what never differs; read once."""
        if self._deals is None:
            feature_set = await self.feature_set("deal_win")
            found = await deal_panel(
                self.connection.fetch, feature_set, self.as_of, most=self.most, tell=self.tell
            )
            self._refusals = tuple(guard.refused(found, feature_set)) if len(found.panel) else ()
            refused = [one.column for one in self._refusals]
            self._deals = found.without([*refused, *idle(found, feature_set)])
        return self._deals

    async def win(self) -> list[Trained]:
        found = await self.deals()
        present = await states.evidence(self.connection.fetch, self.as_of)
        return win.learn(
            found, await self.feature_set("deal_win"), self.as_of,
            evidence=Evidence(REQUIRED_DEALS, present), refusals=self._refusals,
            champion=await self.champion("win"), fiscal_start=(await read_calendar(self.connection.fetch)).first_month,
            workers=self.workers, tell=self.tell,
        )  # fmt: skip

    async def amount(self) -> list[Trained]:
        found = await self.deals()
        present = await states.evidence(self.connection.fetch, self.as_of)
        return amount.learn(
            found, await self.feature_set("deal_win"), self.as_of, evidence=Evidence(REQUIRED_AMOUNTS, present), refusals=self._refusals,
            champion=await self.champion("amount"), workers=self.workers, tell=self.tell,
        )  # fmt: skip

    async def lead(self) -> list[Trained]:
        feature_set = await self.feature_set("lead_convert")
        found = await lead_set(self.connection.fetch, feature_set, self.as_of, most=self.most, tell=self.tell)
        refusals = tuple(lead.refused(found)) if len(found.panel) else ()
        present = await states.evidence(self.connection.fetch, self.as_of, of_leads=True)
        gone = [*(one.column for one in refusals), *idle(found, feature_set)]
        return lead.learn(
            found.without(gone), feature_set, self.as_of, evidence=Evidence(REQUIRED_LEADS, present), refusals=refusals,
            champion=await self.champion("lead"), workers=self.workers, tell=self.tell,
        )  # fmt: skip

    async def arrivals(self) -> list[Trained]:
        found = await self.deals()
        present = await states.evidence(self.connection.fetch, self.as_of)
        if not present["closed_won"]:
            return []
        feature_set = await self.feature_set("deal_win")
        return await arrivals.learn(
            self.connection.fetch, feature_set, self.as_of,
            without=tuple(name for name in feature_set.names if name not in found.panel.frame.columns),
            evidence=Evidence(REQUIRED_DEALS, present), panel=found, workers=self.workers, tell=self.tell,
        )  # fmt: skip

    async def champion(self, model: str) -> Bundle | None:
        """Who speaks now, if anybody can."""
        return await serving.speaking(self.connection, self.models, model)

    async def judged(self, model: str) -> list[dict[str, Any]]:
        """Trains and judges one model's candidates, with all figures; registers nothing."""
        candidates: list[Trained] = await getattr(self, model)()
        chosen = best(candidates)
        return [
            result_of(one, is_chosen=one is chosen) | {"metrics": dict(one.metrics), "naive": dict(one.naive)}
            for one in candidates
        ] or [nothing(model)]

    async def learn(self, model: str) -> list[dict[str, Any]]:
        """Trains, registers and describes one model's candidates; the chosen one says so."""
        candidates: list[Trained] = await getattr(self, model)()
        if not candidates:
            return [nothing(model)]
        chosen = best(candidates)
        return [await self.register(one, is_chosen=one is chosen) for one in candidates]

    async def register(self, one: Trained, *, is_chosen: bool) -> dict[str, Any]:
        """Writes a candidate's bundle and its row."""
        async with champion.registering(self.connection, one.model) as version:
            folder, sha256 = bundle.write(self.models, manifest_of(one, version), one.text)
            await champion.add(
                self.connection, one.model, version, tier=one.tier, feature_set=one.feature_set.fingerprint,
                metrics=dict(one.metrics) | {"naive": dict(one.naive)}, verdict=one.verdict.document(),
                card=cards.card(one, version, sha256, code_version()), folder=folder, sha256=sha256, run_id=None,
                training_as_of=one.as_of, created_by=self.by,
            )  # fmt: skip
        return result_of(one, is_chosen=is_chosen) | {"version": version, "sha256": sha256}


async def instant_of(connection: Any) -> datetime:
    """Up to when to learn: now, or the newest business event of a company whose data ended long ago."""
    newest = (await connection.fetch(_NEWEST))[0]["newest"]
    now = datetime.now(UTC)
    is_dormant = newest is not None and (now - newest).total_seconds() > DORMANT_DAYS * 86_400
    return newest if is_dormant else now


def manifest_of(one: Trained, version: int) -> Manifest:
    """What stands beside the model's text."""
    return Manifest(
        model=one.model, version=version, tier=one.tier, feature_set=one.feature_set.name,
        fingerprint=one.feature_set.fingerprint, features=tuple(one.features), training_as_of=one.as_of,
        definitions={name: one.feature_set.definitions[name] for name in one.features},
        declared=tuple(field for name, field in one.feature_set.declared.items() if name in one.features),
        categories=tuple(name for name in one.feature_set.categories if name in one.features),
        created_at=datetime.now(UTC), metrics=one.metrics, calibration=one.calibration, gate=one.evidence.document(),
        background=one.background, code_version=code_version(), data_sha256=one.data_sha256,
    )  # fmt: skip


def result_of(one: Trained, *, is_chosen: bool) -> dict[str, Any]:
    """What is told of a candidate."""
    return {
        "model": one.model, "tier": one.tier, "is_publishable": one.verdict.is_publishable,
        "is_chosen": is_chosen, "loss": one.loss, "verdict": one.verdict.document(),
        "calibration": dict(one.calibration), "refused_features": [refusal.reason for refusal in one.refusals],
        "notes": list(one.notes),
    }  # fmt: skip


def nothing(model: str) -> dict[str, Any]:
    """The answer where there is nothing to learn from."""
    words = f"there is too little history to learn the model {model} from; the built-in baseline speaks"
    return {
        "model": model,
        "version": None,
        "tier": None,
        "is_publishable": False,
        "is_chosen": False,
        "notes": [words],
    }


def code_version() -> str:
    """The commit of the clone that trained; empty outside one."""
    root = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
