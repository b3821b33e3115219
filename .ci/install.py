"""Makes `.venv` with the packages of the locks, once: `python3 .ci/install.py requirements.lock …`.

Runs under whatever Python the machine has, so it keeps to old syntax and the standard library. A stamp tells which
locks, Python and folder the environment was made for; while it fits, nothing is done and no network is needed.
"""

import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, ".installed")
OLDEST = (3, 11)
# Without a GPU nobody wants 2.7 GB of CUDA; where that index is out of reach pip takes what it has, so few retries.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def main(locks):
    os.chdir(ROOT)
    if sys.version_info < OLDEST:
        stop(
            "Python %d.%d or newer is needed, and %s is %s: name another with `make run PYTHON=python3.11`."
            % (OLDEST + (sys.executable, sys.version.split()[0]))
        )
    turn = open(".venv.lock", "w")
    fcntl.flock(
        turn, fcntl.LOCK_EX
    )  # two makes in one clone take turns; it is given back when this process ends
    wanted = {lock: fingerprint(lock) for lock in locks}
    if all(line in stamped() for line in wanted.values()):
        return
    make_environment()
    for lock in locks:
        if wanted[lock] not in stamped():
            print("Installing %s (once; some minutes) …" % lock, flush=True)
            pip("install", "--no-compile", "--requirement", lock, *extra_index(lock))
    pip("install", "--no-deps", "--no-build-isolation", "--editable", ".")
    kept = [line for line in stamped() if line.split()[0] not in locks]
    with open(STAMP + ".new", "w") as file:
        file.write("\n".join(kept + sorted(wanted.values())) + "\n")
    os.replace(STAMP + ".new", STAMP)


def fingerprint(lock):
    """One line that changes when the lock, the project's metadata, the Python or the folder does."""
    digest = hashlib.sha256()
    for name in (lock, "pyproject.toml"):
        with open(name, "rb") as file:
            digest.update(file.read())
    digest.update(repr((sys.version_info[:2], ROOT)).encode())
    return "%s %s" % (lock, digest.hexdigest())


def stamped():
    try:
        with open(STAMP) as file:
            return [line for line in file.read().splitlines() if line]
    except OSError:
        return []


def make_environment():
    """A virtual environment that works here; one that came along from another folder is made anew."""
    marker = os.path.join(VENV, ".folder")
    if os.path.exists(marker) and open(marker).read() == ROOT and works():
        return
    shutil.rmtree(VENV, ignore_errors=True)
    print("Making .venv with %s …" % sys.executable, flush=True)
    made = subprocess.run(
        [sys.executable, "-m", "venv", VENV], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        words = made.stdout.decode(errors="replace").strip().splitlines()
        if any("ensurepip" in word for word in words):
            stop(
                "Python's venv module is incomplete here: install it (Debian: apt-get install python3-venv)."
            )
        stop(
            "The virtual environment could not be made: %s" % (words[-1] if words else "no reason was given")
        )
    with open(marker, "w") as file:
        file.write(ROOT)


def works():
    python = os.path.join(VENV, "bin", "python")
    return (
        os.path.exists(python)
        and not subprocess.run([python, "-c", "import pip"], stderr=subprocess.DEVNULL).returncode
    )


def extra_index(lock):
    """On Linux the CPU build of torch, where its index answers."""
    with open(lock) as file:
        has_torch = any(line.startswith("torch==") for line in file)
    return ["--extra-index-url", CPU_INDEX] if has_torch and sys.platform == "linux" and reachable() else []


def reachable():
    try:
        socket.create_connection((CPU_INDEX.split("/")[2], 443), timeout=3).close()
    except OSError:
        return False
    return True


def pip(*arguments):
    command = [os.path.join(VENV, "bin", "python"), "-m", "pip", "--disable-pip-version-check", "-qq"]
    environment = dict(os.environ, PIP_RETRIES="2", PIP_NO_INPUT="1", PIP_ROOT_USER_ACTION="ignore")
    environment.setdefault("PIP_DEFAULT_TIMEOUT", "30")
    if subprocess.run(command + list(arguments), env=environment).returncode:
        stop("pip failed; what it said stands above. The next `make run` goes on from here.")


def stop(sentence):
    sys.stderr.write(sentence + "\n")
    raise SystemExit(1)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit(130)
