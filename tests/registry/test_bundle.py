"""A model's files: written whole, read only when they are the ones that were registered."""

import os
from datetime import UTC, datetime

import numpy as np
import pytest

from ml.baseline import Constant
from ml.frame import Frame
from registry import bundle
from registry.bundle import Manifest, Refused


@pytest.fixture
def text():
    frame = Frame.of({"x": np.arange(10.0)})
    return Constant().fit(frame, np.array([0.0, 1.0] * 5)).to_text()


def manifest(**changed):
    said = {
        "model": "win", "version": 1, "tier": "baseline", "feature_set": "deal_win", "fingerprint": "f",
        "features": ("x",), "training_as_of": datetime(2026, 1, 1, tzinfo=UTC), "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    return Manifest(**{**said, **changed})


def test_what_is_written_is_read(tmp_path, text):
    folder, sha256 = bundle.write(tmp_path, manifest(), text)
    found = bundle.read(tmp_path, "win", 1, sha256)
    assert found.manifest == manifest()
    assert found.estimator.rate_ == 0.5
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.json"]


@pytest.mark.parametrize("name", ["model.json", "manifest.json"])
def test_a_changed_file_is_refused(tmp_path, text, name):
    folder, sha256 = bundle.write(tmp_path, manifest(), text)
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(Refused, match="do not match"):
        bundle.read(tmp_path, "win", 1, sha256)


def test_a_missing_file_is_refused(tmp_path, text):
    folder, sha256 = bundle.write(tmp_path, manifest(), text)
    (folder / "model.json").unlink()
    with pytest.raises(Refused, match=r"model\.json is missing"):
        bundle.read(tmp_path, "win", 1, sha256)


def test_a_link_in_place_of_a_file_is_refused(tmp_path, text):
    folder, sha256 = bundle.write(tmp_path, manifest(), text)
    (folder / "model.json").rename(tmp_path / "elsewhere.json")
    os.symlink(tmp_path / "elsewhere.json", folder / "model.json")
    with pytest.raises(Refused, match="missing"):
        bundle.read(tmp_path, "win", 1, sha256)


def test_a_manifest_of_another_model_is_refused(tmp_path, text):
    folder, _ = bundle.write(tmp_path, manifest(model="lead"), text)
    (tmp_path / "win").mkdir()
    folder.rename(tmp_path / "win" / "1")
    with pytest.raises(Refused, match="is of lead"):
        bundle.read(tmp_path, "win", 1, bundle.checksum(tmp_path / "win" / "1"))


@pytest.mark.parametrize("name", ["../win", "Win", "", "a" * 60])
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(Refused):
        bundle.folder_of(tmp_path, name, 1)


def test_a_crafted_model_runs_nothing(tmp_path):
    crafted = '{"format":1,"estimator":"os.system","parameters":{"command":"touch /tmp/owned"},"state":{}}'
    _, sha256 = bundle.write(tmp_path, manifest(), crafted)
    with pytest.raises(ValueError, match="names no estimator"):
        _ = bundle.read(tmp_path, "win", 1, sha256).estimator
