"""`make report`: the quality of the models on a simulated company and on Maven's real files, from the raw files on.

Each is imported into a home of its own, in a temporary folder, by the product's own commands, and measured there
(`training.measure`). One table, trivial forecasts beside ours, whichever way they fall.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
NOT_PASSED_ON = ("DATABASE_URL", "DATABASE_APP_URL", "REDIS_URL", "SALES_MLFLOW_DATABASE")
"""Settings of a running product: the report's homes have servers of their own."""


def main() -> None:
    """`python -m training.report [--data FOLDER] [--deals N --seed S] [--only company|maven]`."""
    options = argparse.ArgumentParser(prog="python -m training.report", description=__doc__)
    options.add_argument("--data", type=Path, default=DATA, help="the folder that holds maven_crm")
    options.add_argument("--deals", type=int, default=3000)
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--only", choices=("company", "maven"))
    chosen = options.parse_args()
    rows: list[dict[str, Any]] = []
    if chosen.only != "maven":
        rows += measured("company", ["demo", "--deals", str(chosen.deals), "--seed", str(chosen.seed)])
    folder = chosen.data / "maven_crm"
    if chosen.only != "company":
        if folder.is_dir():
            rows += measured("maven", ["import", str(folder), "--as", "maven"])
        else:
            say(f"Left out: there is no folder {folder} (--data names another).")
    sys.stdout.write(table(rows))


def measured(name: str, entry: list[str]) -> list[dict[str, Any]]:
    """The rows of one set of data, imported into a home that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="sales-report-", ignore_cleanup_errors=True) as home:
        environment = {key: value for key, value in os.environ.items() if key not in NOT_PASSED_ON}
        environment |= {
            "SALES_HOME": home,
            "SALES_DEMO": "no",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
        say(f"{name}: sales {' '.join(entry)} …")
        run([*entry, "--json"], environment)
        say(f"{name}: measuring …")
        return list(json.loads(run(["measure", name, "--json"], environment))["rows"])


def run(command: list[str], environment: dict[str, str]) -> str:
    """The output of one of our commands; ends the report where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "service", *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"`sales {' '.join(command)}` ended with status {done.returncode}.")
    return done.stdout


def table(rows: list[dict[str, Any]]) -> str:
    """All rows as one Markdown table."""
    lines = ["| data | task | method | figure | value | 95 % | n |", "|---|---|---|---|---|---|---|"]
    for one in rows:
        band = "" if one["low"] is None else f"{one['low']:.3f} – {one['high']:.3f}"
        lines.append(
            f"| {one['data']} | {one['task']} | {one['method']} | {one['figure']} | {one['value']:.3f} | {band} | {one['n']} |"
        )
    return "\n".join(lines) + "\n"


def say(words: str) -> None:
    sys.stderr.write(f"· {words}\n")


if __name__ == "__main__":
    main()
