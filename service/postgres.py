"""The embedded PostgreSQL: made by initdb behind passwords, started, taken over, stopped.

Three roles: `sales` owns the cluster and migrates, `sales_app` serves requests, `sales_mlflow` keeps MLflow's store.
"""

import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from service.home import Home, as_sentences
from service.settings import Refused
from service.signals import held
from service.system import (
    OUTSIDE,
    Identity,
    free_port,
    plain_environment,
    postgres_binaries,
    postgres_identity,
)

OWNER, APPLICATION, MLFLOW = "sales", "sales_app", "sales_mlflow"
DATABASES = {"sales": OWNER, "mlflow": MLFLOW}

OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "80",
    "shared_buffers": "128MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "1GB",
    "autovacuum_max_workers": "2",
    "max_parallel_workers_per_gather": "1",
    "jit": "off",  # compiling costs more than it saves on statements of milliseconds
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "cluster_name": "sales",
}
HASTY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For tests, whose data need not outlive the power supply."""


class Postgres:
    """The embedded PostgreSQL of one home."""

    def __init__(self, home: Home, major: int = 18, *, durable: bool = True) -> None:
        self.home = home
        self.major = major
        self.durable = durable
        self._name = f"postgres-{major}"
        self._state = home.read(f"{self._name}.json")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """Where the cluster lies: in the home, unless PostgreSQL's user cannot reach it there."""
        return Path(self._state["data"])

    @property
    def port(self) -> int:
        return int(self._state["port"])

    def owner_url(self, database: str) -> str:
        return self._url(OWNER, database)

    def app_url(self, database: str) -> str:
        return self._url(APPLICATION, database)

    def mlflow_url(self) -> str:
        return self._url(MLFLOW, "mlflow")

    def _url(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{self._state['passwords'][role]}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Takes over a living server or starts one, making it at the first time; returns when it takes connections."""
        identity = postgres_identity()
        binaries = postgres_binaries(self.major, identity)
        if not self._state:
            self._plan(identity)
        if not (self.data / "PG_VERSION").exists():
            self._make(identity, binaries)
        self._check_version()
        if not self.alive():
            self._clear_stale()
            self._launch(identity, binaries)
        if not self._state.get("complete"):
            self._make_roles()
            self._keep(complete=True)

    def alive(self) -> bool:
        """Whether the server that serves this home's data is up."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        return bool(self._state) and self._pid() is not None and self._ready()

    def stop(self) -> None:
        """Ends it in PostgreSQL's fast way; within 30 seconds, or harder."""
        for number, patience in ((signal.SIGINT, 30), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            pid = self._living()
            if pid is None:
                break
            with suppress(psutil.Error):
                psutil.Process(pid).send_signal(number)
            deadline = time.monotonic() + patience
            while self._living() is not None and time.monotonic() < deadline:
                time.sleep(0.02)
        self._process = None

    def remove_outside(self) -> None:
        """Deletes a cluster that lies outside its home; for tests, which throw their homes away."""
        if self._state and not self.data.is_relative_to(self.home.path):
            shutil.rmtree(self.data, ignore_errors=True)

    def _plan(self, identity: Identity) -> None:
        """Chooses port, passwords and place, and keeps them before anything is made with them."""
        data = self.home / self._name
        if not self._passes(identity):
            data = OUTSIDE / f"{self._name}-{secrets.token_hex(6)}"
        self._state = {
            "port": free_port(),
            "data": str(data),
            "user": identity.name,
            "passwords": {role: secrets.token_urlsafe(24) for role in (OWNER, APPLICATION, MLFLOW)},
        }
        self._keep()

    def _passes(self, identity: Identity) -> bool:
        """Whether PostgreSQL's user can go through the home to a folder of its own."""
        probe = Path(tempfile.mkdtemp(dir=self.home.path))
        try:
            identity.own(probe)
            return identity.reaches(probe)
        finally:
            probe.rmdir()

    def _keep(self, **changes: int | bool) -> None:
        self._state.update(changes)
        self.home.write(f"{self._name}.json", self._state)

    def _make(self, identity: Identity, binaries: Path) -> None:
        """initdb beside the place, then one rename: an interrupted start leaves nothing half made."""
        draft = self.data.with_name(f"{self.data.name}.new")
        with as_sentences(draft):
            draft.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(mode=0o700)
            identity.own(draft)
        # 18 brings its own UTF-8 rules; 16 takes those of the system, or plain bytes where there are none.
        locale = (
            ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
            if self.major >= 17
            else []
        )
        for choice in [locale] if locale else [["--locale=C.UTF-8"], ["--locale=C"]]:
            result = self._initdb(identity, binaries, draft, choice)
            if result.returncode == 0:
                draft.rename(self.data)
                return
        shutil.rmtree(draft, ignore_errors=True)
        raise Refused(
            _sentence("PostgreSQL could not be set up", result.stdout.decode(errors="replace"), self.data)
        )

    def _initdb(
        self, identity: Identity, binaries: Path, draft: Path, locale: list[str]
    ) -> subprocess.CompletedProcess[bytes]:
        command = [
            str(binaries / "bin" / "initdb"), "-D", str(draft), "-U", OWNER, "--pwfile=/dev/stdin",
            "--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions", *locale,
            *([] if self.durable else ["--no-sync"]),
        ]  # fmt: skip
        process: subprocess.Popen[bytes] | None = None
        try:
            with held(), open(identity.pipe(self._state["passwords"][OWNER] + "\n"), "rb") as password:
                process = subprocess.Popen(
                    command, cwd=draft, stdin=password, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    env=plain_environment(), start_new_session=True, **identity.options(),
                )  # fmt: skip
            output, _ = process.communicate()
        except BaseException:
            if process is not None:
                process.terminate()
                process.wait()
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return subprocess.CompletedProcess(command, process.returncode, output)

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text(encoding="utf-8").strip()
        if found != str(self.major):
            raise Refused(
                f"{self.data} was made by PostgreSQL {found}, and this version brings {self.major}: "
                "dump it with the version that made it, or choose another SALES_HOME."
            )

    def _launch(self, identity: Identity, binaries: Path) -> None:
        """Starts the server; waits for what a killed one leaves behind, and moves when the port is taken."""
        log = self.home / "logs" / f"{self._name}.log"
        deadline = time.monotonic() + 60
        while True:
            begin = log.stat().st_size if log.exists() else 0
            if self._try(identity, binaries):
                return
            words = log.read_bytes()[begin:].decode(errors="replace")
            if "could not create any TCP/IP sockets" in words or "Address already in use" in words:
                self._keep(port=free_port())
            elif (
                "is still in use" in words or "lock file" in words
            ):  # backends of a killed server are still leaving
                time.sleep(0.3)
            else:
                raise Refused(_sentence("PostgreSQL did not start", words, self.data, log))
            if time.monotonic() > deadline:
                raise Refused(_sentence("PostgreSQL did not start", words, self.data, log))

    def _try(self, identity: Identity, binaries: Path) -> bool:
        options = {**OPTIONS, **({} if self.durable else HASTY), "port": str(self.port)}
        if self.major >= 18:
            options["io_method"] = "sync"  # three processes fewer; the data of one company lie in memory
        command = [str(binaries / "bin" / "postgres"), "-D", str(self.data)]
        command += [f"--{name}={value}" for name, value in options.items()]
        with held(), open(self.home.log(self._name), "wb") as output:
            self._process = process = subprocess.Popen(
                command, cwd=self.data, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=plain_environment(), start_new_session=True, **identity.options(),
            )  # fmt: skip
        while process.poll() is None:
            if self._ready():
                return True
            time.sleep(0.02)
        self._process = None
        return False

    def _pid_file(self) -> list[str]:
        with suppress(OSError):
            return (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return []

    def _pid(self) -> int | None:
        """The living postmaster of this data folder, and not whoever got its number after a crash."""
        lines = self._pid_file()
        if not lines or not lines[0].isdecimal():
            return None
        with suppress(psutil.Error):
            process = psutil.Process(int(lines[0]))
            if process.status() != psutil.STATUS_ZOMBIE and str(self.data) in process.cmdline():
                return int(process.pid)
        return None

    def _living(self) -> int | None:
        """The server's number: that of our own child even before it has written it down."""
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        return self._pid() if self._state else None

    def _ready(self) -> bool:
        lines = self._pid_file()
        return (
            len(lines) > 7
            and lines[7].strip() == "ready"
            and lines[3] == str(self.port)
            and self._pid() is not None
        )

    def _clear_stale(self) -> None:
        """Removes the note of a server that was killed: its number may belong to an innocent process by now."""
        pid = self._pid()
        deadline = time.monotonic() + 30
        while pid is not None and time.monotonic() < deadline:  # coming up, or going down
            if self._ready():
                return
            time.sleep(0.05)
            pid = self._pid()
        if pid is None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _make_roles(self) -> None:
        with psycopg.connect(self.owner_url("postgres"), autocommit=True) as connection:
            for role in (APPLICATION, MLFLOW):
                make_role(connection, role, self._state["passwords"][role])
            for database, owner in DATABASES.items():
                make_database(connection, database, owner)
            connection.execute(
                sql.SQL("GRANT CONNECT ON DATABASE sales TO {}").format(sql.Identifier(APPLICATION))
            )


def make_role(connection: "psycopg.Connection[tuple[object, ...]]", role: str, password: str) -> None:
    """Makes a role that may sign in and nothing else; one that exists gets the password."""
    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    verb = "ALTER" if found else "CREATE"
    statement = sql.SQL(verb + " ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}")
    connection.execute(statement.format(sql.Identifier(role), sql.Literal(password)))


def make_database(connection: "psycopg.Connection[tuple[object, ...]]", name: str, owner: str) -> None:
    """Makes a database unless it exists; nobody but its owner may connect unasked."""
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
        return
    database, role = sql.Identifier(name), sql.Identifier(owner)
    connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
    connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(database))
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, role))


def _sentence(what: str, words: str, data: Path, log: Path | None = None) -> str:
    """One sentence out of a server's last words."""
    if "No space left on device" in words or "Disk quota exceeded" in words:
        return f"The disk that holds {data} is full: make room and start again."
    if "Permission denied" in words:
        return f"{what}: its user may not read or write {data}; give it back its owner, or choose another SALES_HOME."
    errors = [
        line for line in words.splitlines() if "FATAL" in line or "error:" in line
    ] or words.splitlines()[-1:]
    reason = errors[0].partition("FATAL:")[2].strip() or errors[0] if errors else "it said nothing"
    return f"{what}: {reason}." + (f" Its log is {log}." if log else "")
