"""The embedded servers: private, found again, shared, and back after every kind of death."""

import errno
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from service.embedded import Valkey, running, start_postgres, start_valkey
from service.home import Home, explain
from service.postgres import Postgres
from service.settings import ROOT, Refused, read
from service.supervisor import end_leftovers
from service.system import port_taken
from tests.servers import Servers

HOLD = """
import os, sys
from service.embedded import running
from service.settings import read
with running(read(os.environ)) as (settings, _):
    print(settings.database_url, settings.redis_url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a space in its name that PostgreSQL's user can pass through."""
    path = Path(tempfile.mkdtemp(prefix="sales home "))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def postgres(folder: Path) -> Iterator[Postgres]:
    server = hasty_postgres(folder)
    yield server
    server.stop()


@pytest.fixture
def valkey(folder: Path) -> Iterator[Valkey]:
    server = start_valkey(folder)
    yield server
    server.stop()


def hasty_postgres(folder: Path) -> Postgres:
    return start_postgres(folder, durable=False)


def postmaster(server: Postgres) -> int:
    return int((server.data / "postmaster.pid").read_text().splitlines()[0])


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=10)


def test_roles_sign_in_with_their_passwords_only(postgres: Postgres) -> None:
    for url, role in (
        (postgres.owner_url("sales"), "sales"),
        (postgres.app_url("sales"), "sales_app"),
        (postgres.mlflow_url(), "sales_mlflow"),
    ):
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (role,)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://sales:wrong@127.0.0.1:{postgres.port}/sales")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(postgres.app_url("mlflow"))


def test_postgres_listens_on_loopback_alone(postgres: Postgres) -> None:
    listening = [
        entry.laddr.ip
        for entry in psutil.Process(postmaster(postgres)).net_connections("inet")
        if entry.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]
    assert not list(postgres.data.rglob(".s.PGSQL*"))
    assert not Path(f"/tmp/.s.PGSQL.{postgres.port}").exists()


def test_text_and_vectors_work_as_the_product_needs(postgres: Postgres) -> None:
    with psycopg.connect(postgres.owner_url("sales")) as connection:
        connection.execute("CREATE EXTENSION vector")
        row = connection.execute(
            "SELECT lower('ÀÉÎ'), '[1,2]'::vector <-> '[1,4]', uuidv7() IS NOT NULL"
        ).fetchone()
    assert row == ("àéî", 2.0, True)


def test_secrets_are_private_and_on_no_command_line(folder: Path, postgres: Postgres, valkey: Valkey) -> None:
    secret_files = [folder / "postgres-18.json", folder / "valkey.json", folder / "valkey" / "valkey.conf"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret_files} == {0o600}
    passwords = [
        *json.loads(secret_files[0].read_text())["passwords"].values(),
        valkey.url.split(":")[2].split("@")[0],
    ]
    shown = " ".join(" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    assert not [password for password in passwords if password in shown]


def test_redis_needs_its_password(valkey: Valkey) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        assert client.ping()
    port = int(valkey.url.rpartition(":")[2].split("/")[0])
    with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_after_kill_9_what_was_acknowledged_is_there(folder: Path) -> None:
    postgres = start_postgres(folder)
    with psycopg.connect(postgres.owner_url("sales"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    kill(family(postmaster(postgres)))
    assert not postgres.alive()
    again = Postgres(Home(folder))
    again.start()
    try:
        with psycopg.connect(again.owner_url("sales")) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (1,)
    finally:
        again.stop()


def test_after_kill_9_of_the_postmaster_alone_it_comes_back(postgres: Postgres) -> None:
    os.kill(postmaster(postgres), signal.SIGKILL)
    deadline = time.monotonic() + 5
    while postgres.alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    postgres.start()
    with psycopg.connect(postgres.owner_url("sales")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_stale_note_may_name_an_innocent_process(folder: Path) -> None:
    server = hasty_postgres(folder)
    note = (server.data / "postmaster.pid").read_text().splitlines()
    server.stop()
    (server.data / "postmaster.pid").write_text("\n".join([str(os.getpid()), *note[1:]]) + "\n")
    server.start()
    assert server.alive()
    server.stop()
    assert psutil.pid_exists(os.getpid())


def test_redis_comes_back_with_its_data(folder: Path, valkey: Valkey) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.set("kept", "yes")
        client.execute_command("WAITAOF", 1, 0, 2000)
        pid = client.info("server")["process_id"]
    kill([psutil.Process(pid)])
    assert not valkey.alive()
    valkey.start()
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        assert client.get("kept") == "yes"


def test_a_taken_port_is_given_up_for_another(folder: Path) -> None:
    for start, read_port in (
        (hasty_postgres, lambda server: server.port),
        (start_valkey, lambda server: int(server.url.rpartition(":")[2].split("/")[0])),
    ):
        server = start(folder)
        port = read_port(server)
        server.stop()
        with socket.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            squatter.bind(("127.0.0.1", port))
            squatter.listen()
            assert port_taken(port)
            again = start(folder)
            assert read_port(again) != port
            again.stop()


def test_data_of_another_major_version_are_refused(folder: Path) -> None:
    server = hasty_postgres(folder)
    server.stop()
    (server.data / "PG_VERSION").write_text("15\n")
    with pytest.raises(Refused, match="made by PostgreSQL 15"):
        server.start()


def test_an_interrupted_initdb_leaves_nothing_half_made(folder: Path) -> None:
    (folder / "postgres-18.new").mkdir()
    (folder / "postgres-18.new" / "rubbish").write_text("half made")
    server = hasty_postgres(folder)
    assert server.alive()
    server.stop()
    assert not (folder / "postgres-18.new").exists()


def test_the_oldest_supported_server_starts_too(servers_16: Servers) -> None:
    name = servers_16.create_database(None)
    with psycopg.connect(servers_16.owner_url(name)) as connection:
        connection.execute("CREATE EXTENSION vector")
        row = connection.execute("SELECT current_setting('server_version_num')::int / 10000").fetchone()
    assert row == (16,)


def hold(folder: Path) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "SALES_HOME": str(folder),
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def leave(holder: "subprocess.Popen[str]") -> None:
    holder.communicate("")
    assert holder.returncode == 0


def test_the_last_user_stops_the_servers(folder: Path) -> None:
    first, second = hold(folder), hold(folder)
    assert first.stdout is not None
    assert second.stdout is not None
    url, same = first.stdout.readline(), second.stdout.readline()
    assert url == same
    leave(first)
    with psycopg.connect(url.split()[0]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    leave(second)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url.split()[0])
    assert not [
        p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])
    ]


def test_servers_of_a_killed_holder_are_taken_over(folder: Path) -> None:
    holder = hold(folder)
    assert holder.stdout is not None
    url = holder.stdout.readline().split()[0]
    holder.kill()
    holder.communicate()
    with running(read({"SALES_HOME": str(folder)})) as (settings, _):
        assert settings.database_url == url
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_children_of_a_killed_supervisor_are_ended(folder: Path) -> None:
    home = Home(folder)
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    other = subprocess.Popen(["sleep", "600"], start_new_session=True)
    home.write(
        "children.json",
        {
            "children": [
                {"pid": child.pid, "began": psutil.Process(child.pid).create_time()},
                {"pid": other.pid, "began": 1.0},  # the number was given to another process since
            ]
        },
    )
    assert end_leftovers(home) == 1
    child.wait(5)
    assert not psutil.pid_exists(child.pid)
    assert other.poll() is None
    other.kill()
    other.wait()


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "is full"), (errno.EACCES, "cannot be written"), (errno.EIO, "error")],
)
def test_a_failed_write_is_a_sentence(number: int, words: str) -> None:
    assert words in explain(OSError(number, os.strerror(number)), Path("/some/home"))


def test_a_file_where_the_home_should_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="file"):
        Home(tmp_path / "file" / "home").prepare()
