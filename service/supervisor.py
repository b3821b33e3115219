"""Keeps the product's processes: starts them, starts them again when they fall, and stops them in order.

Each child leads a session of its own: a Ctrl-C reaches the supervisor alone, which then ends the children one after
the other. What a killed supervisor left running is known by `children.json` and ended by the next one.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import psutil

from service.embedded import Servers
from service.home import Home
from service.settings import Refused
from service.signals import held

PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before a fallen process starts again; the last holds for all further falls."""
CALM = 60.0
"""After so many seconds of running a process counts as well again."""


class Child:
    """One process of the product, with its log in the home."""

    def __init__(self, home: Home, name: str, command: Sequence[str], environment: dict[str, str]) -> None:
        self.home = home
        self.name = name
        self.command = list(command)
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None
        self.falls = 0
        self.due = 0.0
        self._began = 0.0

    @property
    def log(self) -> str:
        return str(self.home / "logs" / f"{self.name}.log")

    def last_words(self) -> str:
        """The end of its log, in a sentence."""
        with suppress(OSError, IndexError):
            with open(self.log, "rb") as file:
                file.seek(max(0, os.path.getsize(self.log) - 4096))
                line = file.read().decode(errors="replace").strip().splitlines()[-1]
            return f"{line.strip().rstrip('.')[:300]}. Its log is {self.log}."
        return "It said nothing."

    def start(self) -> None:
        with held(), open(self.home.log(self.name), "wb") as output:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self.environment,
                start_new_session=True,
            )  # fmt: skip
            self._began = time.monotonic()

    def fallen(self) -> int | None:
        """The exit status, negative for a signal, of one that ended by itself."""
        return None if self.process is None else self.process.poll()

    def plan_restart(self) -> None:
        self.falls = 0 if time.monotonic() - self._began > CALM else self.falls
        self.due = time.monotonic() + PAUSES[min(self.falls, len(PAUSES) - 1)]
        self.falls += 1
        self.process = None

    def stop(self, patience: float = 15.0) -> None:
        """Asks it to end, and ends its whole group when it does not listen."""
        process, self.process = self.process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # its own children too, and it when it is still there
        process.wait()


class Supervisor:
    """The children of one `sales up`, in the order in which they start; they stop in the same order."""

    def __init__(self, home: Home, servers: Servers, say: Callable[[str], None]) -> None:
        self.home = home
        self.servers = servers
        self.say = say
        self.children: list[Child] = []

    def start(self, child: Child) -> None:
        self.children.append(child)
        child.start()
        self._note()

    def watch(self) -> None:
        """Runs until interrupted; heals what falls."""
        while True:
            time.sleep(0.5)
            self.heal()

    def heal(self) -> None:
        """One round: servers first, since everything else needs them."""
        if fallen := self.servers.fallen():
            self.say(f"{' and '.join(fallen)} ended unexpectedly; starting again")
            with self.home.locked("servers.lock"):
                self.servers.start()
        for child in self.children:
            if (status := child.fallen()) is not None:
                child.plan_restart()
                self.say(f"{child.name} ended with status {status}, its log is {child.log}; starting again")
            if child.process is None and time.monotonic() >= child.due:
                child.start()
                self._note()

    def wait_for(self, child: Child, ready: Callable[[], bool], patience: float = 120.0) -> None:
        """Returns when `ready` says so; a child that ends before is a reason to give up."""
        deadline = time.monotonic() + patience
        while not ready():
            if (status := child.fallen()) is not None:
                raise Refused(f"{child.name} ended with status {status} while starting: {child.last_words()}")
            if time.monotonic() > deadline:
                raise Refused(f"{child.name} is not ready after {patience:.0f} s; its log is {child.log}.")
            time.sleep(0.05)

    def stop(self) -> None:
        for child in self.children:
            child.stop()
        self.children.clear()
        self._note()

    def _note(self) -> None:
        running = [_identify(child.process.pid) for child in self.children if child.process is not None]
        self.home.write("children.json", {"children": [entry for entry in running if entry]})


def _identify(pid: int) -> dict[str, Any] | None:
    with suppress(psutil.Error):
        return {"pid": pid, "began": psutil.Process(pid).create_time()}
    return None


def end_leftovers(home: Home) -> int:
    """Ends the children that a killed supervisor of this home left; returns how many there were."""
    found = []
    for entry in home.read("children.json").get("children", []):
        with suppress(psutil.Error, ProcessLookupError, PermissionError):
            process = psutil.Process(entry["pid"])
            if abs(process.create_time() - entry["began"]) < 0.1:
                os.killpg(process.pid, signal.SIGKILL)
                found.append(process)
    psutil.wait_procs(found, timeout=5)
    return len(found)
