"""The folder in which an installation keeps its state: passwords, logs, data, and who is using it.

servers.json   ports and passwords of the embedded servers, mode 600
secret.key     the key that signs tokens, mode 600
up.lock        held, with its holder's name inside, while `sales up` runs
servers.lock   held for the moments in which servers are started or stopped
users.lock     held, shared, by every process that uses the embedded servers; the last one stops them
postgres-18/ valkey/ objects/ mlflow/ models/ logs/
"""

import errno
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from service.settings import Refused


class Home:
    """Paths, small private files and locks of one installation."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def prepare(self) -> None:
        """Makes the folder. Started by root, others may pass through (not look), as PostgreSQL's user must."""
        with as_sentences(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            if self.path.stat().st_uid == os.geteuid():
                self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            for name in ("logs", "objects", "mlflow", "models"):
                (self / name).mkdir(mode=0o700, exist_ok=True)

    def read(self, name: str) -> dict[str, Any]:
        """What `write` left under this name; empty when nothing did."""
        try:
            content: dict[str, Any] = json.loads((self / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise Refused(f"{self / name} is damaged: {error}.") from error
        return content

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Keeps a private file, whole or not at all."""
        self.write_text(name, json.dumps(content, indent=1) + "\n")

    def write_text(self, name: str, text: str, *, once: bool = False) -> None:
        """Keeps a private file, whole or not at all; with `once` one that exists stays as it is."""
        target, draft = self / name, self / f"{name}.{os.getpid()}.new"
        with as_sentences(target):
            try:
                with open(
                    os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
                ) as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                if once:
                    with suppress(FileExistsError):
                        os.link(draft, target)
                else:
                    draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)

    def make_secret(self, path: Path) -> None:
        """Makes the signing key at the first start."""
        if path == self / "secret.key" and not path.exists():
            self.write_text(path.name, secrets.token_urlsafe(48) + "\n", once=True)

    def log(self, name: str) -> int:
        """A descriptor that appends to a log of this home; one beyond 20 MB starts anew, the last is kept."""
        path = self / "logs" / f"{name}.log"
        with as_sentences(path):
            if path.exists() and path.stat().st_size > 20_000_000:
                path.replace(path.with_suffix(".log.1"))
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    @contextmanager
    def locked(self, name: str, *, shared: bool = False, wait: bool = True) -> Iterator["Lock"]:
        """Holds a lock file; without `wait` a held one raises `BlockingIOError`."""
        lock = Lock(self / name)
        try:
            lock.take(shared=shared, wait=wait)
            yield lock
        finally:
            lock.close()


class Lock:
    """A lock of the operating system on a small file: it goes with the process that held it, however that ended."""

    def __init__(self, path: Path) -> None:
        with as_sentences(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self, *, shared: bool, wait: bool) -> None:
        fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))

    def alone(self) -> bool:
        """Turns a shared hold into a sole one, if nobody else holds it."""
        with suppress(BlockingIOError):
            self.take(shared=False, wait=False)
            return True
        return False

    def close(self) -> None:
        os.close(self._file)


@contextmanager
def as_sentences(path: Path) -> Iterator[None]:
    """Turns what the file system says about `path` into a sentence."""
    try:
        yield
    except OSError as error:
        raise Refused(explain(error, path)) from error


def explain(error: OSError, path: Path) -> str:
    """One sentence for a failed write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk that holds {path} is full: make room and start again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path} cannot be written by this user: choose another folder with SALES_HOME, or change its rights."
    return f"{path}: {error.strerror}."
