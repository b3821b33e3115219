"""Model cards: what one should know before trusting a version, as data and as Markdown."""

from collections.abc import Mapping
from typing import Any

import msgspec

from training.trained import Trained

PURPOSE = {
    "win": "The chance that an open deal is won, by when, and at last.",
    "lead": "The chance that a lead converts within 30, 60 and 90 days.",
    "amount": "What a deal will be worth if it is won: P10, P50 and P90.",
    "arrivals": "Business that does not exist yet: how many deals come, how many of them are won, and for how much.",
}
TIERS = {
    "baseline": "beta-binomial rates by stage and segment",
    "logistic": "regularised logistic regression",
    "gbm": "gradient boosted trees (LightGBM)",
}
LIMITS = (
    "Learned from this company's own history; it says nothing about another's.",
    "Reasons are attributions: they say what moved the number, not what would change the outcome.",
    "A change of how people work or record shows first as a worse calibration: look at it after reorganisations.",
)


def card(one: Trained, version: int, sha256: str, code_version: str = "") -> dict[str, Any]:
    """The card as it is stored with the version; `code_version` is the commit that trained it."""
    return {
        "model": one.model, "version": version, "tier": one.tier, "purpose": PURPOSE[one.model],
        "method": TIERS[one.tier], "training_as_of": one.as_of.isoformat(), "feature_set": one.feature_set.name,
        "fingerprint": one.feature_set.fingerprint, "code_version": code_version,
        "definitions": {name: one.feature_set.definitions[name] for name in one.features},
        "window": [at.isoformat() for at in one.window or ()],
        "features": list(one.features), "data": {"sha256": one.data_sha256, "rows": one.rows, "available": one.available},
        "sha256": sha256, "evidence": one.evidence.document(), "verdict": one.verdict.document(),
        "metrics": dict(one.metrics), "naive": dict(one.naive), "segments": dict(one.segments),
        "reliability": [msgspec.to_builtins(line) for line in one.reliability],
        "refused_features": [{"feature": r.column, "check": r.check, "figure": r.figure, "reason": r.reason} for r in one.refusals],
        "notes": list(one.notes), "limits": list(LIMITS), "statistics": dict(one.statistics), "promotions": [],
    }  # fmt: skip


def markdown(found: Mapping[str, Any]) -> str:
    """A card for people."""
    parts = [
        f"# {found['model']} version {found['version']} ({found['tier']})",
        found["purpose"],
        f"Method: {found['method']}. Learned as of {found['training_as_of']} on {found['data']['rows']:,} rows of"
        f" {found['data']['available']:,} (sha256 `{found['data']['sha256'][:16]}`), {len(found['features'])} features of the set"
        f" `{found['feature_set']}`.",
        f"Feature set `{found['fingerprint'][:16]}`, code `{found['code_version'][:12] or 'unknown'}`, data from"
        f" {' to '.join(found['window']) or 'not stated'}.",
        "## May it serve?",
        *(
            f"- {'yes' if gate['passed'] else 'NO'}: {gate['name']}: {gate['words']}"
            for gate in found["verdict"]["gates"]
        ),
        *(
            f"- promoted by {one['by']} at {one['at']}: {one['override'] or one['reason'] or 'no reason given'}"
            + (" (against its gates)" if one["override"] else "")
            for one in found.get("promotions", ())
        ),
        "## Figures on later time",
        table(found["metrics"]),
        *(f"Beside it, {name.replace('_', ' ')}:\n\n{table(of)}" for name, of in found["naive"].items()),
        "## Features that were refused",
        *([f"- `{one['feature']}`: {one['reason']}" for one in found["refused_features"]] or ["none"]),
        "## By segment",
        *(_segment(name, of) for name, of in found["segments"].items()),
        "## Limits",
        *(f"- {line}" for line in found["limits"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(figures: Mapping[str, Any]) -> str:
    """Figures with their intervals and n."""
    lines = [
        f"| {name} | {number(of.get('value'))} | {number(of.get('low'))} – {number(of.get('high'))} | {of.get('n', '')} |"
        for name, of in figures.items()
        if isinstance(of, Mapping)
    ]
    return "\n".join(["| figure | value | 95 % | n |", "|---|---|---|---|", *lines])


def number(value: Any) -> str:
    return "" if value is None else f"{value:.4f}"


def _segment(name: str, of: Mapping[str, Any]) -> str:
    lines = [
        f"| {label} | {number(one['log_loss']['value'])} | {number(one['ece']['value'])} | {one['log_loss']['n']} |"
        for label, one in of.items()
    ]
    return "\n".join([f"| {name} | log loss | ece | n |", "|---|---|---|---|", *lines])
