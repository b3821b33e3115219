"""Whether the files of a version are a model that can serve: read, whole, of the right kind, and understood here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.catalogue import SETS, Gone, learned_on
from features.spec import FeatureSet
from registry import bundle, champion
from registry.bundle import Bundle, Refused
from registry.champion import Run

KINDS = {"win": "win.WinModel", "lead": "lead.LeadModel", "amount": "amount.AmountModel", "arrivals": "arrivals.Arrivals"}  # fmt: skip
"""What kind of estimator a model's text must hold."""


def opened(root: Path, model: str, version: int, sha256: str) -> Bundle:
    """The bundle with its estimator read. Raises `Refused` where the files are not those that were registered, where the
    text is no model, or is one of another kind."""
    found = bundle.read(root, model, version, sha256)
    try:
        kind = found.estimator.kind()
    except ValueError as error:
        raise Refused(f"{model} version {version}: {error}.") from None
    if kind != KINDS[model]:
        raise Refused(f"{model} version {version}: {bundle.MODEL} holds {kind}, not {KINDS[model]}.")
    return found


def set_of(found: Bundle) -> FeatureSet:
    """The features by the definitions that a version learned on. Raises `Gone`."""
    manifest = found.manifest
    if manifest.feature_set not in SETS:
        raise Gone(f"there is no set {manifest.feature_set!r}")
    whole = SETS[manifest.feature_set]
    if manifest.fingerprint != whole.fingerprint:
        if not manifest.definitions:
            raise Gone("it does not say by which definitions it learned")
        whole = learned_on(manifest.feature_set, manifest.definitions, manifest.declared)
    foreign = sorted(set(manifest.features) - set(whole.names))
    if foreign:
        raise Gone(
            f"there is no feature {', '.join(map(repr, foreign[:3]))} in the set {manifest.feature_set}"
        )
    return whole


def checked(root: Path, row: Mapping[str, Any]) -> Bundle:
    """A registered version as it would serve. Raises `Refused` with the reason for which it cannot."""
    found = opened(root, row["model"], row["version"], row["sha256"])
    try:
        set_of(found)
    except Gone as error:
        raise Refused(f"{row['model']} version {row['version']} cannot be asked: {error}.") from None
    return found


async def speaking(run: Run, root: Path, model: str) -> Bundle | None:
    """The champion's files, or those of the champion before where they are refused; None where neither can be read."""
    row = await champion.champion(run, model)
    for version in (row["version"], row["previous_version"]) if row else ():
        try:
            return checked(root, await champion.version_row(run, model, version))
        except (Refused, champion.Unknown):
            continue
    return None
