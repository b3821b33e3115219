"""What training hands to the registry: a model as text, how it was judged, and what it needs to be understood."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from features.spec import FeatureSet
from ml.leak import Refusal
from ml.metrics import Bin
from registry.verdict import Gate, Verdict


@dataclass(frozen=True)
class Evidence:
    """What data there are beside what a trained tier asks for."""

    required: Mapping[str, float]
    present: Mapping[str, float]

    @property
    def is_met(self) -> bool:
        return all(self.present.get(name, 0) >= need for name, need in self.required.items())

    def document(self) -> dict[str, Any]:
        """As it stands in each score."""
        return {"required": dict(self.required), "present": dict(self.present), "is_met": self.is_met}


@dataclass(frozen=True)
class Trained:
    """One candidate. `loss` is the rolling loss by which candidates are compared (lower is better)."""

    model: str
    tier: str
    text: str
    feature_set: FeatureSet
    features: tuple[str, ...]
    as_of: datetime
    loss: float
    gates: tuple[Gate, ...]
    evidence: Evidence
    metrics: Mapping[str, Any]
    calibration: Mapping[str, Any]
    data_sha256: str
    rows: int
    available: int
    naive: Mapping[str, Any] = field(default_factory=dict)
    """Trivial forecast → its figures on the same rows."""
    segments: Mapping[str, Any] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()
    reliability: tuple[Bin, ...] = ()
    background: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    window: tuple[datetime, datetime] | None = None
    """The first and the last instant that was learned from."""
    statistics: Mapping[str, Any] = field(default_factory=dict)
    """Feature → what its values were in training (`features.quality.described`)."""

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.gates)


def best(candidates: list[Trained]) -> Trained | None:
    """The one with the lowest rolling loss among those that may serve; the simplest where none was judged."""
    serving = [one for one in candidates if one.verdict.is_publishable]
    return min(serving, key=lambda one: one.loss) if serving else None
