"""`sales notebook`: JupyterLab on the data and models of this home."""

import os
import subprocess
import sys
from contextlib import suppress

import click

from service.commands.common import opened
from service.settings import ROOT, Refused
from service.signals import held

NOTEBOOKS = ROOT / "notebooks"


@click.command()
@click.option(
    "--port", default=8888, show_default=True, help="Port of JupyterLab; the next free one if it is taken."
)
def notebook(port: int) -> None:
    """Open JupyterLab, with this home's database, models and MLflow at hand."""
    with opened() as settings:
        environment = {
            **os.environ,
            **settings.environment(),
            "MLFLOW_TRACKING_URI": settings.tracking_uri,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONPATH": str(ROOT),
        }
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            f"--port={port}",
            f"--notebook-dir={NOTEBOOKS}",
        ]
        if os.geteuid() == 0:
            command.append("--allow-root")
        process: subprocess.Popen[bytes] | None = None
        try:
            with held():  # a session of its own: its Ctrl-C asks a question that nobody would see
                process = subprocess.Popen(
                    command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
                )
            status = process.wait()
        finally:
            if process is not None and process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                process.kill()
                process.wait()
    if status:
        raise Refused(f"JupyterLab ended with status {status}; `make notebook` installs what it needs.")


commands: list[click.Command] = [notebook]
