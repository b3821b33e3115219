"""A model as files: `model.json` (estimator as text, LightGBM's own text inside) and `manifest.json` beside it.

The sha256 over both stands in the registry; a bundle whose files do not match it is refused, and nothing in it is ever
run: reading a model is reading numbers.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from features.custom import Declared
from ml.estimator import load

MODEL, MANIFEST = "model.json", "manifest.json"
MOST_BYTES = 200 * 1024 * 1024
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


class Manifest(msgspec.Struct, kw_only=True, frozen=True):
    """What one must know to use a model, and to judge it."""

    model: str
    version: int
    tier: str
    feature_set: str
    """The set's name in `features.catalogue`."""
    fingerprint: str
    """The set's fingerprint when the model learned. A model serves while the definitions that it reads are there."""
    features: tuple[str, ...]
    definitions: Mapping[str, str] = {}
    """Feature → the definition that the model learned on (`features.spec.definition`)."""
    categories: tuple[str, ...] = ()
    """Those of `features` that are words."""
    declared: tuple[Declared, ...] = ()
    """The custom fields among `features`, as they were declared when the model learned."""
    training_as_of: datetime
    created_at: datetime
    metrics: Mapping[str, Any] = {}
    """Metric → {value, low, high, n}, on later time."""
    calibration: Mapping[str, Any] = {}
    """brier, log_loss, ece, n of the rows that the calibration was judged on."""
    gate: Mapping[str, Any] = {}
    """{required: {...}, present: {...}, is_met}: what data the tier needs and what there was."""
    background: Mapping[str, Any] = {}
    """What explanations and the forecast need besides: vocabularies, base rates, groups of features."""
    code_version: str = ""
    data_sha256: str = ""


@dataclass(frozen=True)
class Bundle:
    """A model that can serve."""

    manifest: Manifest
    text: str

    @cached_property
    def estimator(self) -> Any:
        """The estimator, read when first asked for."""
        return load(self.text)

    @cached_property
    def explanations(self) -> dict[bytes, Any]:
        """Explanations that were made of rows, as whoever asks for them keeps them."""
        return {}


class Refused(ValueError):
    """The files are not the model that the registry knows; says which and why."""


def folder_of(root: Path, model: str, version: int) -> Path:
    """Where a version lies. Refuses names that would lead elsewhere."""
    if not _NAME.fullmatch(model) or version < 1:
        raise Refused(f"{model!r} version {version} names no model.")
    return root / model / str(version)


def write(root: Path, manifest: Manifest, text: str) -> tuple[Path, str]:
    """Writes a bundle, each file whole and on the disk; returns its folder and its sha256. What a killed run left goes."""
    folder = folder_of(root, manifest.model, manifest.version)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*"):
        left.unlink()
    described = msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1)
    for name, content in ((MODEL, text.encode()), (MANIFEST, described)):
        draft = folder / f".{name}.{os.getpid()}"
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / name)
    return folder, checksum(folder)


def checksum(folder: Path) -> str:
    """The sha256 over the names and contents of both files."""
    digest = hashlib.sha256()
    for name in (MODEL, MANIFEST):
        content = (folder / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def read(root: Path, model: str, version: int, sha256: str) -> Bundle:
    """The bundle, if its files are the ones that were registered; else `Refused`."""
    folder = folder_of(root, model, version)
    for name in (MODEL, MANIFEST):
        path = folder / name
        if not path.is_file() or path.is_symlink():
            raise Refused(f"{model} version {version}: {name} is missing.")
        if path.stat().st_size > MOST_BYTES:
            raise Refused(f"{model} version {version}: {name} is larger than {MOST_BYTES} bytes.")
    if checksum(folder) != sha256:
        raise Refused(f"{model} version {version}: the files do not match the registered sha256.")
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except msgspec.MsgspecError as error:
        raise Refused(f"{model} version {version}: the manifest cannot be read: {error}.") from None
    if (manifest.model, manifest.version) != (model, version):
        raise Refused(
            f"{model} version {version}: the manifest is of {manifest.model} version {manifest.version}."
        )
    try:
        return Bundle(manifest, (folder / MODEL).read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise Refused(f"{model} version {version}: {MODEL} is no text.") from None
