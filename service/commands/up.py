"""`sales up`: everything, from nothing, in one terminal; Ctrl-C ends all of it."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from service.embedded import Servers, running
from service.home import Home
from service.settings import ROOT, Refused, Settings, read
from service.signals import held
from service.supervisor import Child, Supervisor, end_leftovers
from service.system import free_port, port_taken

SALES = [sys.executable, "-m", "service"]
FIRST = "first-start.json"
"""Notes which of the steps of a first start are done; an interrupted one goes on where it stopped."""

FIRST_STEPS = (
    ("demo", "The simulated company", ["demo"]),
    ("learn", "Training, promotion, scores and the search index", ["work", "--drain"]),
)
"""What happens once in a demo home: name, words for a person, command."""


@click.command()
def up() -> None:
    """Start everything: servers, migrations, the demo company at first, API, pages, worker, MLflow."""
    settings = read(os.environ)
    home = Home(settings.home)
    home.prepare()
    with _holding(home, settings):
        end_leftovers(home)
        _check_port(settings)
        began = time.monotonic()
        with running(settings) as (settings, servers):
            _say(f"PostgreSQL and Redis are up ({time.monotonic() - began:.1f} s)")
            _prepare(home, settings)
            _serve(home, settings, servers, began)


@contextlib.contextmanager
def _holding(home: Home, settings: Settings) -> Iterator[None]:
    """One `sales up` for each home: a second is told who has it."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(home.locked("up.lock", wait=False))
        except BlockingIOError:
            holder = home.read("up.json")
            raise Refused(
                f"{home.path} is in use by process {holder.get('pid', '?')} since {holder.get('since', '?')}, "
                f"which answers at {holder.get('address', 'an address not yet known')}: stop that one first, "
                "or choose another SALES_HOME and PORT."
            ) from None
        since = datetime.now(UTC).isoformat(timespec="seconds")
        home.write("up.json", {"pid": os.getpid(), "since": since, "address": settings.address})
        try:
            yield
        finally:
            (home / "up.json").unlink(missing_ok=True)


def _check_port(settings: Settings) -> None:
    if port_taken(settings.port):
        raise Refused(
            f"Port {settings.port} is taken by another program: choose another, such as PORT={settings.port + 1}."
        )


def _prepare(home: Home, settings: Settings) -> None:
    """Migrations, and in a demo home without people the steps of the first start."""
    _step("Migrations", ["migrate"], settings)
    done = home.read(FIRST)
    if not settings.demo or not (done or _is_empty(settings)):
        return
    for name, words, command in FIRST_STEPS:
        if not done.get(name):
            home.write(FIRST, done | {"begun": name})
            _step(words, command, settings)
            done[name] = True
            home.write(FIRST, done)


def _is_empty(settings: Settings) -> bool:
    """Whether nobody is in the database yet."""
    return not json.loads(_ask(["doctor", "--json"], settings))["users"]


def _serve(home: Home, settings: Settings, servers: Servers, began: float) -> None:
    supervisor = Supervisor(home, servers, _say)
    try:
        api = Child(home, "api", [*SALES, "serve"], _environment(settings))
        supervisor.start(api)
        supervisor.start(Child(home, "worker", [*SALES, "work"], _environment(settings)))
        supervisor.wait_for(api, lambda: _answers(settings.port))
        _say(f"ready after {time.monotonic() - began:.0f} s")
        page = _start_mlflow(supervisor, home, settings) if settings.mlflow else ""
        _greet(settings, page)
        supervisor.watch()
    except KeyboardInterrupt:
        _say("stopping …")
    finally:
        supervisor.stop()


def _start_mlflow(supervisor: Supervisor, home: Home, settings: Settings) -> str:
    """MLflow's page on a free port of loopback; its password goes by the environment, not the command line."""
    port = free_port()
    environment = {
        **_environment(settings),
        "MLFLOW_BACKEND_STORE_URI": settings.tracking_uri,
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": settings.artifacts_url,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--no-serve-artifacts",
    ]  # fmt: skip
    supervisor.start(Child(home, "mlflow", command, environment))
    return f"http://127.0.0.1:{port}"


def _greet(settings: Settings, page: str) -> None:
    click.echo(f"\n  The product   {settings.address}")
    click.echo(f"  API           {settings.address}/api/v1   document: {settings.address}/schema")
    if page:
        click.echo(f"  MLflow        {page}   (in half a minute)")
    entries = json.loads(_ask(["welcome", "--json"], settings))
    if entries:
        click.echo("\n  Sign in as")
        for entry in entries:
            click.echo(f"    {entry['email']:24}  {entry['secret']}")
    click.echo("\n  Ctrl-C stops everything.\n")


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _environment(settings: Settings) -> dict[str, str]:
    """Children get these very settings, and one thread each for linear algebra: the cores are few."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {"OMP_NUM_THREADS": "1", **os.environ, **settings.environment(), "PYTHONPATH": path}


def _step(words: str, command: list[str], settings: Settings) -> None:
    """Runs one of our commands, with its output here; refuses to go on when it fails."""
    began = time.monotonic()
    _say(f"{words} …")
    with _process(command, settings) as process:
        status = process.wait()
    if status:
        raise Refused(
            f"`sales {' '.join(command)}` ended with status {status}; the next start goes on from here."
        )
    _say(f"{words}: done ({time.monotonic() - began:.1f} s)")


def _ask(command: list[str], settings: Settings) -> str:
    with _process(command, settings, stdout=subprocess.PIPE) as process:
        output, _ = process.communicate()
    if process.returncode:
        raise Refused(f"`sales {' '.join(command)}` ended with status {process.returncode}.")
    return output.decode()


@contextlib.contextmanager
def _process(command: list[str], settings: Settings, **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """A command in a session of its own, which ends with the block whatever happens."""
    process: subprocess.Popen[bytes] | None = None
    try:
        with held():
            process = subprocess.Popen(
                [*SALES, *command],
                env=_environment(settings),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **options,
            )
        yield process
    finally:
        if process is not None:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Asks a command to end, then ends what is left of its session: it may have started others."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _say(words: str) -> None:
    click.echo(f"· {words}")
    sys.stdout.flush()


commands: list[click.Command] = [up]
