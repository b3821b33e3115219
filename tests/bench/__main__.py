"""`make bench`: one table, each figure beside its limit.

Parts: requests, maven, files, scores, scoring, promotions, features, activities, duplicates, product; by default all.
`--size` measures reads at a size alone.
"""

import argparse
import sys
from pathlib import Path

import click

from service.settings import ROOT
from tests.bench import (
    activities,
    features,
    files,
    imports,
    product,
    promotions,
    requests,
    scale,
    scoring,
    sets,
)
from tests.bench.table import Row, render

PARTS = (
    "requests",
    "maven",
    "files",
    "scores",
    "scoring",
    "promotions",
    "features",
    "activities",
    "duplicates",
    "product",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure")
    parser.add_argument("--requests", type=int, default=requests.REQUESTS, help="requests a round")
    parser.add_argument(
        "--home", type=Path, default=ROOT / ".sales" / "bench", help="home of the measured product"
    )
    parser.add_argument(
        "--idle", type=float, default=60, help="idle seconds before memory is measured (300 in full)"
    )
    parser.add_argument(
        "--rows", type=int, default=200_000, help="activities, and contacts, of the large company"
    )
    parser.add_argument(
        "--deals",
        type=int,
        default=100_000,
        help="opportunities that go in as files; ten times as many rows go out",
    )
    parser.add_argument(
        "--size", type=int, help="deals of a large company: its reads are measured, and no part"
    )
    chosen = parser.parse_args()
    found: list[Row] = scale.rows(chosen.size) if chosen.size else []
    for part in () if chosen.size else chosen.parts or PARTS:
        click.echo(f"measuring {part} …", err=True)
        if part == "requests":
            found += requests.rows(chosen.requests)
        elif part == "maven":
            found += imports.rows(ROOT.parent / "shared" / "data" / "maven_crm")
        elif part == "files":
            found += files.rows(chosen.deals, chosen.deals * 10)
        elif part == "activities":
            found += activities.rows(chosen.rows)
        elif part == "scores":
            found += imports.rescoring()
        elif part == "scoring":
            found += scoring.rows()
        elif part == "promotions":
            found += promotions.rows()
        elif part == "features":
            found += features.rows()
        elif part == "duplicates":
            found += sets.rows(chosen.rows)
        else:
            found += product.rows(chosen.home.resolve(), chosen.idle)
    click.echo(render(found))
    return any(row.is_missed for row in found)


if __name__ == "__main__":
    sys.exit(main())
