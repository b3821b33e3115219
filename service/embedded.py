"""PostgreSQL and Valkey on this machine, for a home that is given no servers of its own.

Both listen on loopback only, on free ports that the home remembers, behind passwords made at the first start. They
run in sessions of their own, so that a Ctrl-C meant for us does not reach them, and are stopped by the last process
that uses them (`running`). What a `kill -9` left behind is taken over when it lives and cleared when it does not.
"""

import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil

from service.home import Home
from service.postgres import APPLICATION, Postgres
from service.settings import Refused, Settings
from service.signals import held
from service.system import free_port, plain_environment, valkey_binary

VALKEY = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
daemonize no
always-show-logo no
"""


class Valkey:
    """The embedded Redis of one home: append-only file, password, loopback."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.folder = home / "valkey"
        self._process: subprocess.Popen[bytes] | None = None
        self._state = home.read("valkey.json")

    @property
    def url(self) -> str:
        return f"redis://:{self._state['password']}@127.0.0.1:{self._state['port']}/0"

    def start(self) -> None:
        """Takes over a living server or starts one; returns when it answers."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        if self._state and self._answers():
            return
        self.stop()  # one that runs without answering would write to the same file
        for attempt in range(5):
            fresh = not self._state or attempt > 0
            password = self._state.get("password") or secrets.token_urlsafe(24)
            self._state = {"port": free_port() if fresh else self._state["port"], "password": password}
            self.home.write("valkey.json", self._state)
            if self._launch():
                return
        raise Refused(
            f"Valkey did not start: {self._last_words()} Its log is {self.home / 'logs' / 'valkey.log'}."
        )

    def alive(self) -> bool:
        """A child of ours is alive while it runs, however busy; one that was taken over, while it answers."""
        return self._process.poll() is None if self._process is not None else self._answers()

    def stop(self) -> None:
        """Writes what is left and ends; kills a server that does not within 10 seconds."""
        if not self._state:
            return
        pid = self._process.pid if self._process is not None else self._pid()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if pid is None or not self._running(pid):
                break
            with suppress(psutil.Error):
                psutil.Process(pid).send_signal(number)
            deadline = time.monotonic() + 10
            while self._running(pid) and time.monotonic() < deadline:
                time.sleep(0.02)
        self._process = None

    def _launch(self) -> bool:
        """Whether the server came up on the port in the state; not when another has the port."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        folder = str(self.folder).replace("\\", "\\\\").replace('"', '\\"')
        self.home.write_text("valkey/valkey.conf", VALKEY.format(folder=folder, **self._state))
        with held(), open(self.home.log("valkey"), "wb") as output:
            self._process = subprocess.Popen(
                [valkey_binary(), self.folder / "valkey.conf"],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=plain_environment(), start_new_session=True, umask=0o077,
            )  # fmt: skip
            self.home.write_text("valkey/pid", str(self._process.pid))
        while self._process.poll() is None:
            if self._answers():
                return True
            time.sleep(0.02)
        self._process = None
        return False

    def _pid(self) -> int | None:
        with suppress(OSError, ValueError):
            return int((self.folder / "pid").read_text(encoding="utf-8"))
        return None

    def _running(self, pid: int) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        with suppress(psutil.Error):
            title = " ".join(psutil.Process(pid).cmdline())  # it names itself and its port there
            return "valkey-server" in title and f":{self._state['port']}" in title
        return False

    def _answers(self) -> bool:
        with suppress(OSError):
            return b"PONG" in self._ask("PING")
        return False

    def _ask(self, *words: str) -> bytes:
        """One command in Redis' protocol, without a client library: it is needed before one is loaded."""
        with socket.create_connection(("127.0.0.1", int(self._state["port"])), timeout=1) as connection:
            connection.sendall(f"AUTH {self._state['password']}\r\n{' '.join(words)}\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (chunk := connection.recv(256)):
                answer += chunk
            return answer

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = (
                (self.home / "logs" / "valkey.log").read_text(encoding="utf-8", errors="replace").splitlines()
            )
            return lines[-1].strip() if lines else ""
        return ""


class Servers(msgspec.Struct):
    """The embedded servers that one home needs; a server that the operator named is not among them."""

    postgres: Postgres | None = None
    valkey: Valkey | None = None

    def start(self) -> None:
        for server in (self.postgres, self.valkey):
            if server is not None:
                server.start()

    def stop(self) -> None:
        for server in (self.valkey, self.postgres):
            if server is not None:
                server.stop()

    def fallen(self) -> list[str]:
        """Names of servers that ended by themselves."""
        parts = {"PostgreSQL": self.postgres, "Valkey": self.valkey}
        return [name for name, server in parts.items() if server is not None and not server.alive()]

    def addresses(self, settings: Settings) -> Settings:
        """`settings` with the embedded servers' URLs filled in."""
        if self.postgres is not None:
            settings = msgspec.structs.replace(
                settings,
                database_url=self.postgres.owner_url("sales"),
                database_app_url=self.postgres.app_url("sales"),
                mlflow_database_url=settings.mlflow_database_url or self.postgres.mlflow_url(),
            )
        if self.valkey is not None:
            settings = msgspec.structs.replace(settings, redis_url=self.valkey.url)
        return settings


def servers_of(settings: Settings) -> Servers:
    """The servers that `settings` leave to us, not started."""
    home = Home(settings.home)
    home.prepare()
    return Servers(
        postgres=None if settings.database_url else Postgres(home),
        valkey=None if settings.redis_url else Valkey(home),
    )


def elsewhere(home: Home, settings: Settings) -> Settings:
    """`settings` with what follows from a `DATABASE_URL` of the operator's own.

    The application's role is `sales_app`, with a password that is made once and kept in the home; MLflow's database
    is `mlflow` on the same server.
    """
    if not settings.database_url:
        return settings
    parts = urlsplit(settings.database_url)
    place = parts.netloc.rpartition("@")[2]
    app_url = settings.database_app_url
    if not app_url:
        if not (kept := home.read("application.json")):
            kept = {"password": secrets.token_urlsafe(24)}
            home.write("application.json", kept)
        app_url = parts._replace(netloc=f"{APPLICATION}:{kept['password']}@{place}").geturl()
    mlflow_url = settings.mlflow_database_url or parts._replace(path="/mlflow").geturl()
    return msgspec.structs.replace(settings, database_app_url=app_url, mlflow_database_url=mlflow_url)


@contextmanager
def running(settings: Settings) -> Iterator[tuple[Settings, Servers]]:
    """Servers for the length of a block: found where another process of this home runs them, else started.

    Yields the settings with every URL filled in. Whoever leaves last stops them.
    """
    home = Home(settings.home)
    home.prepare()
    home.make_secret(settings.secret_path)
    with home.locked("users.lock", shared=True) as users:
        servers: Servers | None = None
        try:
            with home.locked("servers.lock"):
                servers = servers_of(settings)
                servers.start()
            yield servers.addresses(elsewhere(home, settings)), servers
        finally:
            with home.locked("servers.lock"):
                if users.alone() and servers is not None:
                    servers.stop()


def start_postgres(folder: Path, version: int = 18, *, durable: bool = True) -> Postgres:
    """A PostgreSQL with its state in `folder`, started; for tests and tools that want the server alone."""
    home = Home(folder)
    home.prepare()
    server = Postgres(home, version, durable=durable)
    with ExitStack() as undo:
        undo.callback(server.stop)
        server.start()
        undo.pop_all()
    return server


def start_valkey(folder: Path) -> Valkey:
    """A Valkey with its state in `folder`, started."""
    home = Home(folder)
    home.prepare()
    server = Valkey(home)
    with ExitStack() as undo:
        undo.callback(server.stop)
        server.start()
        undo.pop_all()
    return server
