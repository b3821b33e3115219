"""`sales forecast` and `sales league`: what a period will bring, and how far that was to be trusted before."""

from datetime import UTC, datetime
from typing import Any

import click

from service import outlook
from service.access import SYSTEM
from service.commands.common import json_option, show, with_database
from service.commands.imports import progress
from service.db import Database
from service.domains import league as leagues
from service.domains.forecasts import instant_of
from service.nodes import Node
from service.settings import Settings


@click.command()
@click.option("--period", default=None, help="A key such as 2026Q4; by default the current quarter.")
@click.option("--node", default=None, help="user:ID, team:ID, territory:ID or company; by default the root.")
@click.option("--as-of", default=None, help="An instant such as 2026-01-31T00:00:00Z: as it was known then.")
@json_option
def forecast(period: str | None, node: str | None, as_of: str | None, as_json: bool) -> None:
    """Show the forecast of a period: closed, by category, and the model's band."""

    async def work(database: Database, settings: Settings) -> dict[str, Any]:
        instant = instant_of(as_of, datetime.now(UTC))
        asked = Node.parse(node) if node else None
        found, meant = await outlook.read(database, settings, SYSTEM, period, asked, instant)
        return found.answer(meant)

    result = with_database(work)
    show(result, as_json, in_words(result))


def in_words(found: dict[str, Any]) -> str:
    """A forecast as a small table with its children below."""
    ai, quota = found["ai"], found["quota"]
    band = "no band" if ai["p10"] is None else f"{ai['p10']:,} to {ai['p90']:,}"
    held = (
        ""
        if ai["interval_coverage"] is None
        else f"; such bands held {ai['interval_coverage']:.0%} of the time"
    )
    head = [
        f"{found['name']}, {found['period']}, as of {found['as_of']:%Y-%m-%d %H:%M} UTC, in {found['currency']}",
        f"  closed {found['closed']:,}  commit {found['commit']:,}  best case {found['best_case']:,}"
        f"  pipeline {found['pipeline']:,}  weighted {found['weighted']:,}",
        f"  AI {ai['p50']:,} (P10 to P90: {band}{held})",
        f"    of that closed {ai['closed']:,}, open {ai['open']:,}, yet to be created {ai['to_be_created']:,}",
    ]
    if quota is not None:
        chance = (
            ""
            if found["attain_probability"] is None
            else f", chance to attain {found['attain_probability']:.0%}"
        )
        head.append(f"  quota {quota:,}{chance}")
    if ai["reason"]:
        head.append(f"  {ai['reason']}")
    rows = [f"  {row['name']:28} {row['closed']:>16,} {row['ai']['mean']:>16,}" for row in found["children"]]
    return "\n".join([*head, f"  {'':28} {'closed':>16} {'AI mean':>16}", *rows] if rows else head)


@click.command()
@click.option("--periods", default=leagues.PERIODS, show_default=True, type=click.IntRange(1, 40))
@click.option("--stored", is_flag=True, help="Show what was computed last instead of computing anew.")
@json_option
def league(periods: int, stored: bool, as_json: bool) -> None:
    """Compare ways to forecast on past periods, each with what was known then."""

    async def work(database: Database, settings: Settings) -> dict[str, Any]:
        if not stored:
            await leagues.compute(database, settings, periods, progress(as_json))
        return await leagues.read(database, SYSTEM, periods)

    result = with_database(work)
    show(result, as_json, table(result))


def table(result: dict[str, Any]) -> str:
    """Mean error of each method by days before the end, node by node."""
    if not result["items"]:
        return str(result["reason"] or "No past period could be forecast: there is too little history.")
    head = f"{'':24} {'days':>5} {'method':16} {'error':>7} {'bias':>7} {'held':>8} {'n':>3}"
    rows = [
        f"{row['name'][:24]:24} {row['days_before']:>5} {row['method']:16} {row['ape']:>7.1%} {row['bias']:>+7.1%}"
        f" {_held(row):>8} {row['n']:>3}"
        for row in result["items"]
    ]
    return "\n".join([f"periods: {', '.join(result['periods'])}", head, *rows])


def _held(row: dict[str, Any]) -> str:
    """How many bands held the outcome, of how many."""
    bands = row["n_bands"]
    return f"{round(row['coverage'] * bands)} of {bands}" if bands else ""


commands: list[click.Command] = [forecast, league]
