"""What an operator may set: one frozen Struct, read once from the environment, checked before anything starts.

`docs/settings.md` describes each; the house test holds the two to each other.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

ROOT = Path(__file__).resolve().parent.parent

DEFAULT_SECRETS = frozenset(
    {"", "admin", "changeme", "change-me", "default", "example", "password", "postgres", "secret", "test"}
)
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SECRET_LENGTH = 32
"""Shortest key that is taken from the environment, in characters."""


class Refused(Exception):
    """A sentence for the person at the terminal: the command prints it and ends with status 1."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. An empty URL means: the embedded server of this home (`embedded.running` fills it in)."""

    port: int = 8000
    home: Path = ROOT / ".sales"
    database_url: str = ""
    database_app_url: str = ""
    redis_url: str = ""
    demo: bool = True
    admin: str = "admin@localhost"
    webhook_allow: tuple[str, ...] = ()
    """`host:port` of receivers that web hooks may reach although their address is not public."""
    objects: str = ""
    """URL of the object store; empty: the folder `objects` of the home."""
    smtp_url: str = ""
    public_url: str = ""
    """Under which address people reach the product; empty: `http://127.0.0.1:PORT`."""
    mlflow: bool = True
    """Whether `sales up` serves MLflow's page."""
    mlflow_database_url: str = ""
    mlflow_artifacts: str = ""
    secret_file: str = ""
    """File with the key that signs tokens; empty: `secret.key` of the home, made at the first start."""
    log_level: str = "info"
    rate_limit: tuple[int, int] = (60_000, 60)
    """Requests of one user in so many seconds."""

    @property
    def address(self) -> str:
        """Where the product answers, without a slash at the end."""
        return self.public_url or f"http://127.0.0.1:{self.port}"

    @property
    def objects_url(self) -> str:
        return self.objects or (self.home / "objects").as_uri()

    @property
    def artifacts_url(self) -> str:
        """Where MLflow keeps its artifacts."""
        return self.mlflow_artifacts or (self.home / "mlflow").as_uri()

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking store, as MLflow spells it: its own database, reached by psycopg."""
        return self.mlflow_database_url.replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def secret_path(self) -> Path:
        return Path(self.secret_file) if self.secret_file else self.home / "secret.key"

    def environment(self) -> dict[str, str]:
        """The variables that give a child process these very settings."""
        return {name: _text(getattr(self, field)) for name, (field, _) in NAMES.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "/".join(map(str, value)) if value and isinstance(value[0], int) else ",".join(value)
    return str(value)


def _port(name: str, text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise Refused(f"{name} must be a port from 1 to 65535, not “{text}”.")
    return int(text)


def _yes(name: str, text: str) -> bool:
    word = text.strip().lower()
    if word in ("yes", "true", "1", "on"):
        return True
    if word in ("no", "false", "0", "off"):
        return False
    raise Refused(f"{name} must be yes or no, not “{text}”.")


def _folder(name: str, text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise Refused(f"{name} must be a folder, and “{text}” is a file.")
    return path


def _plain(name: str, text: str) -> str:
    return text.strip()


def _email(name: str, text: str) -> str:
    local, at, domain = text.strip().partition("@")
    if not (local and at and domain) or any(part.isspace() for part in text.strip()) or len(text) > 254:
        raise Refused(f"{name} must be an e-mail address, not “{text}”.")
    return text.strip().lower()


def _url(*schemes: str) -> Callable[[str, str], str]:
    def read(name: str, text: str) -> str:
        parts = urlsplit(text.strip())
        if parts.scheme not in schemes:
            raise Refused(f"{name} must be a URL that begins with {' or '.join(s + '://' for s in schemes)}.")
        return text.strip()

    return read


def _server(*schemes: str) -> Callable[[str, str], str]:
    """A URL of a server: with a host, and no password that everybody knows unless it is on this machine."""
    check = _url(*schemes)

    def read(name: str, text: str) -> str:
        url = check(name, text)
        parts = urlsplit(url)
        if not parts.hostname:
            raise Refused(f"{name} names no host.")
        if parts.password in DEFAULT_SECRETS and parts.hostname not in LOOPBACK:
            raise Refused(f"{name} uses a password that everybody knows; give that account one of its own.")
        return url

    return read


def _database(name: str, text: str) -> str:
    """A PostgreSQL URL in the one spelling that all parts understand."""
    url = _server("postgresql", "postgres")(name, text)
    parts = urlsplit(url)
    if not parts.path.strip("/"):
        raise Refused(f"{name} names no database: it must end with /NAME.")
    return parts._replace(scheme="postgresql").geturl()


def _receivers(name: str, text: str) -> tuple[str, ...]:
    receivers = tuple(part.strip() for part in text.split(",") if part.strip())
    for receiver in receivers:
        host, colon, port = receiver.rpartition(":")
        if not (host and colon and port.isdecimal()):
            raise Refused(f"{name} must list HOST:PORT with commas between, and “{receiver}” is not one.")
    return receivers


def _limit(name: str, text: str) -> tuple[int, int]:
    limit, _, seconds = text.partition("/")
    if not (limit.isdecimal() and (seconds or "60").isdecimal()) or int(limit) < 1 or int(seconds or 60) < 1:
        raise Refused(f"{name} must be REQUESTS/SECONDS such as 600/60, not “{text}”.")
    return int(limit), int(seconds or 60)


def _level(name: str, text: str) -> str:
    level = text.strip().lower()
    if level not in ("debug", "info", "warning", "error"):
        raise Refused(f"{name} must be debug, info, warning or error, not “{text}”.")
    return level


NAMES: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "PORT": ("port", _port),
    "SALES_HOME": ("home", _folder),
    "DATABASE_URL": ("database_url", _database),
    "DATABASE_APP_URL": ("database_app_url", _database),
    "REDIS_URL": ("redis_url", _server("redis", "rediss")),
    "SALES_DEMO": ("demo", _yes),
    "SALES_ADMIN": ("admin", _email),
    "SALES_WEBHOOK_ALLOW": ("webhook_allow", _receivers),
    "SALES_OBJECTS": ("objects", _url("file", "s3", "gs", "az")),
    "SMTP_URL": ("smtp_url", _url("smtp", "smtps")),
    "SALES_URL": ("public_url", _url("http", "https")),
    "SALES_MLFLOW": ("mlflow", _yes),
    "SALES_MLFLOW_DATABASE": ("mlflow_database_url", _database),
    "SALES_MLFLOW_ARTIFACTS": ("mlflow_artifacts", _url("file", "s3", "gs", "az")),
    "SALES_SECRET_FILE": ("secret_file", _plain),
    "SALES_LOG": ("log_level", _level),
    "SALES_RATE_LIMIT": ("rate_limit", _limit),
}
"""Every variable that is read, its field and its reader. An empty variable counts as not set."""


def read(environment: Mapping[str, str]) -> Settings:
    """The settings in `environment`; raises `Refused` with the variable's name when one is wrong."""
    found = {
        field: reader(name, environment[name])
        for name, (field, reader) in NAMES.items()
        if environment.get(name, "").strip()
    }
    if found.get("database_app_url") and not found.get("database_url"):
        raise Refused("DATABASE_APP_URL is set without DATABASE_URL: name the owner's connection too.")
    if "public_url" in found:
        found["public_url"] = found["public_url"].rstrip("/")
    return Settings(**found)


def unknown(environment: Mapping[str, str]) -> list[str]:
    """Variables that look like settings of this product and are none, such as a misspelt one."""
    return sorted(name for name in environment if name.startswith("SALES_") and name not in NAMES)


def read_secret(path: Path) -> bytes:
    """The key in `path`, for signing; raises `Refused` when it is missing, short or a word that everybody knows."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Refused(f"The secret key cannot be read from {path}: {error.strerror}.") from error
    if text.lower() in DEFAULT_SECRETS or len(text) < SECRET_LENGTH or len(set(text)) < 10:
        raise Refused(
            f"The secret key in {path} is too easy to guess: it needs {SECRET_LENGTH} random characters."
        )
    return text.encode()
