"""`sales up` as a person meets it: one command, one terminal, one Ctrl-C."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from service.settings import ROOT
from service.system import free_port
from tests.servers import Servers

PATIENCE = 120.0


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sales up "))
    folder.chmod(0o711)
    yield folder / ".sales"
    shutil.rmtree(folder)


def environment(home: Path, **more: str) -> dict[str, str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "DATABASE_APP_URL", "REDIS_URL")
    }
    return {
        **clean, "SALES_HOME": str(home), "SALES_DEMO": "no", "SALES_MLFLOW": "no", "PYTHONPATH": str(ROOT), **more
    }  # fmt: skip


def sales(home: Path, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "service", *words],
        env=environment(home, **more), text=True, capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


class Up:
    """A running `sales up` with what it has printed."""

    def __init__(self, home: Path, port: int, **more: str) -> None:
        self.port = port
        self.output = home.parent / "up.log"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service", "up"],
                env=environment(home, PORT=str(port), **more), stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def wait_for(self, words: str) -> str:
        deadline = time.monotonic() + PATIENCE
        while words not in (text := self.output.read_text()):
            assert self.process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        return text

    def interrupt(self) -> int:
        """Ctrl-C as a terminal sends it: to the whole process group, and impatiently twice."""
        for _ in range(2):
            os.killpg(self.process.pid, signal.SIGINT)
            time.sleep(0.2)
        return self.process.wait(60)


def of_home(home: Path) -> list[str]:
    """What still runs for this home, found by the environment that children are given and by its paths."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.environ().get("SALES_HOME", "")]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and str(home) in " ".join(words):
            found.append(" ".join(words))
    return found


@pytest.fixture
def up(home: Path) -> Iterator[Up]:
    running = Up(home, free_port())
    yield running
    if running.process.poll() is None:
        running.interrupt()


def test_from_nothing_to_an_answer_and_back_to_nothing(home: Path, up: Up) -> None:
    text = up.wait_for("Ctrl-C stops everything")
    with urllib.request.urlopen(f"http://127.0.0.1:{up.port}/health/live", timeout=10) as answer:
        assert json.load(answer) == {"status": "alive"}
    link = re.search(r"admin@localhost\s+(http://127\.0\.0\.1:\d+/\S+)", text)
    assert link is not None
    assert str(up.port) in link.group(1)

    second = sales(home, "up", PORT=str(free_port()))
    assert second.returncode == 1
    assert str(up.process.pid) in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1

    elsewhere = sales(home.with_name("other"), "up", PORT=str(up.port))
    assert elsewhere.returncode == 1
    assert f"Port {up.port} is taken" in elsewhere.stderr

    beside = json.loads(sales(home, "doctor", "--json").stdout)
    assert beside["holder"]["pid"] == up.process.pid
    assert (beside["migrated"], beside["users"], beside["wrong"]) == (True, 1, [])

    assert up.interrupt() == 0
    assert of_home(home) == []


def test_servers_elsewhere_work_the_same(home: Path) -> None:
    """On the oldest server: the role and MLflow's database are made, nothing of ours is started or stopped."""
    servers = Servers(16)
    name = servers.create_database(None)
    with psycopg.connect(servers.owner_url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE mlflow")
        connection.execute("DROP OWNED BY sales_app")
        connection.execute("REVOKE CONNECT ON DATABASE sales FROM sales_app")
        connection.execute("DROP ROLE sales_app")
    up = Up(home, free_port(), DATABASE_URL=servers.owner_url(name), REDIS_URL=servers.redis_url)
    up.wait_for("Ctrl-C stops everything")
    with urllib.request.urlopen(f"http://127.0.0.1:{up.port}/health/live", timeout=10) as answer:
        assert json.load(answer) == {"status": "alive"}
    assert up.interrupt() == 0
    assert not (home / "postgres-18").exists()
    with psycopg.connect(servers.owner_url("mlflow")) as connection:
        assert connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'sales_app'").fetchone() == (1,)
    servers.close()


def test_a_fallen_part_is_started_again(home: Path, up: Up) -> None:
    up.wait_for("Ctrl-C stops everything")
    children = json.loads((home / "children.json").read_text())["children"]
    os.kill(children[0]["pid"], signal.SIGKILL)
    up.wait_for("api ended with status -9")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{up.port}/health/live", timeout=10):
                break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_after_kill_9_of_the_supervisor_the_next_start_succeeds(home: Path, up: Up) -> None:
    up.wait_for("Ctrl-C stops everything")
    up.process.kill()
    up.process.wait()
    again = Up(home, up.port)
    again.wait_for("Ctrl-C stops everything")
    assert again.interrupt() == 0
    assert of_home(home) == []


@pytest.mark.parametrize("moment", [0.05, 0.4, 0.9, 1.6, 2.5])
def test_ctrl_c_at_any_moment_leaves_nothing(home: Path, moment: float) -> None:
    starting = Up(home, free_port())
    time.sleep(moment)
    status = starting.interrupt()
    # In its first tenth of a second the interpreter is not up: it dies of the signal in its own way, with status 1.
    assert status in (0, 130, -signal.SIGINT) or (moment < 0.1 and status == 1)
    assert of_home(home) == []


def test_people_and_credentials_from_the_command_line(home: Path) -> None:
    made = sales(home, "user", "add", "Ann@Example.com", "--role", "rep", "--json")
    assert json.loads(made.stdout)["email"] == "Ann@Example.com"
    assert sales(home, "token", "ann@example.com").stdout.count(".") == 2
    again = sales(home, "user", "add", "ann@example.com", "--role", "rep")
    assert (again.returncode, again.stderr) == (1, "sales: ann@example.com exists already.\n")
    assert sales(home, "token", "bob@example.com").returncode == 1
    assert sales(home, "user", "add", "bob@example.com", "--role", "king").returncode == 2
    no_admin = sales(home, "key", "create")
    assert (no_admin.returncode, "administrator" in no_admin.stderr) == (1, True)


def test_a_wrong_setting_is_one_sentence(home: Path) -> None:
    answer = sales(home, "up", PORT="eight")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("sales: PORT must be")
    assert not home.exists()
