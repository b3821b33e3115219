"""The build of the assets: once per state of its inputs, and never with an address of a registry."""

import json
import re
from pathlib import Path

import pytest

from service.web import build


@pytest.fixture
def built() -> dict[str, str]:
    """The current build; made here when it is not there yet."""
    build.build()
    files: dict[str, str] = json.loads((build.STATIC / "manifest.json").read_text())["files"]
    return files


def test_a_second_build_does_nothing(built: dict[str, str]) -> None:
    assert build.is_current()
    assert build.build() is False


def test_any_change_of_an_input_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.ts").write_text("export {};")
    first = build.fingerprint(tmp_path)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "x.js").write_text("ignored")
    assert build.fingerprint(tmp_path) == first
    (tmp_path / "src" / "app.ts").write_text("export { };")
    assert build.fingerprint(tmp_path) != first


def test_names_hold_hashes_and_nothing_comes_from_elsewhere(built: dict[str, str]) -> None:
    assert set(built) == {"app.js", "styles.css", "icon.svg"}
    for name in built.values():
        assert re.fullmatch(r"\w+-[A-Z0-9]{8}\.(js|css|svg)", name)
        text = (build.STATIC / name).read_text()
        assert not re.search(r"https?://(?!www\.w3\.org/)", text), name
        assert "@import" not in text


def test_the_lock_names_versions_only() -> None:
    lock = json.loads((build.ASSETS / "package-lock.json").read_text())
    assert all("resolved" not in package for package in lock["packages"].values())
    assert lock["packages"]["node_modules/esbuild"]["version"]
