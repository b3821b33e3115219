"""`sales train`, `models`, `promote`, `rollback`, `backtest`: how models come to be, and which serves."""

from datetime import UTC, datetime
from typing import Any

import click

from registry import silent
from registry.champion import NotPublishable, Unknown
from service import learning, trainer, watching
from service.access import SYSTEM
from service.commands.common import json_option, show, with_database
from service.commands.imports import progress
from service.db import Database
from service.domains import models as domain
from service.settings import Refused, Settings

NAME = click.Choice(domain.NAMES)


@click.command()
@click.argument("names", nargs=-1, type=NAME)
@click.option(
    "--as-of", default=None, help="An instant such as 2026-01-31T00:00:00Z: with what was known then."
)
@json_option
def train(names: tuple[str, ...], as_of: str | None, as_json: bool) -> None:
    """Train models, judge them on later time, and promote what passed its gates. By default all of them."""
    instant = _instant(as_of)

    async def work(database: Database, settings: Settings) -> list[dict[str, Any]]:
        found = await learning.learn(
            database, settings, names or domain.NAMES, progress(as_json), as_of=instant
        )
        told = await learning.mirror(settings)
        if settings.mlflow_database_url and "reason" in told:
            click.echo(f"{told['reason']}. The versions are registered, and MLflow is told later.", err=True)
        return found

    results = with_database(work)
    show({"models": results}, as_json, "\n".join(_told(result) for result in results))


@click.command()
@json_option
def models(as_json: bool) -> None:
    """List models: what serves, what waits, what was refused and why."""

    async def work(database: Database, settings: Settings) -> list[dict[str, Any]]:
        return await domain.overview(database)

    found = with_database(work)
    show({"items": found}, as_json, "\n\n".join(_model(one) for one in found))


@click.command()
@click.argument("name", type=NAME)
@click.argument("version", type=int)
@click.option("--reason", default="", help="Why, for those who ask later.")
@click.option("--override", default="", help="The reason for which a refused version may serve all the same.")
@json_option
def promote(name: str, version: int, reason: str, override: str, as_json: bool) -> None:
    """Let a version serve, and pin it: training does not replace it until it is rolled back."""

    async def work(database: Database, settings: Settings) -> dict[str, Any]:
        promotion = domain.Promotion(version=version, reason=reason, override=override)
        async with database.begin() as tx:
            return await domain.promote(tx, SYSTEM, name, promotion, settings.home / "models", pinned=True)

    served = with_database(work)
    show(
        served,
        as_json,
        f"{name} version {served['version']} serves and is pinned; before it {_before(served)}.",
    )


@click.command()
@click.argument("name", type=NAME)
@click.option("--reason", default="", help="Why, for those who ask later.")
@json_option
def rollback(name: str, reason: str, as_json: bool) -> None:
    """Let the version before serve again, and unpin the model."""

    async def work(database: Database, settings: Settings) -> dict[str, Any]:
        async with database.begin() as tx:
            return await domain.rollback(tx, SYSTEM, name, reason, settings.home / "models")

    served = with_database(work)
    show(served, as_json, f"{name} version {served['version']} serves again; before it {_before(served)}.")


@click.command()
@click.argument("name", type=NAME)
@json_option
def backtest(name: str, as_json: bool) -> None:
    """Train and judge a model's tiers on past time beside trivial forecasts; registers nothing."""

    async def work(database: Database, settings: Settings) -> list[dict[str, Any]]:
        return await learning.backtest(database, settings, name, progress(as_json))

    results = with_database(work)
    show({"models": results}, as_json, "\n\n".join(_judged(result) for result in results))


@click.command()
@click.argument("name", type=click.Choice(sorted(watching.WATCHED)))
@json_option
def watch(name: str, as_json: bool) -> None:
    """Look at what a model was served: drift by feature, skew, outcomes that have matured, its challenger."""

    async def work(database: Database, settings: Settings) -> dict[str, Any]:
        found = await watching.watch(database, settings, name)
        if found is None:
            raise Refused(f"No trained version of {name} serves: there is nothing to watch.")
        return found

    found = with_database(work)
    show(found, as_json, _report(found))


@click.command()
@click.argument("name", type=click.Choice(sorted(watching.WATCHED)))
@click.argument("alias", type=click.Choice(silent.ALIASES))
@click.argument("version", type=int, required=False)
@click.option("--reason", default="", help="Why, for those who ask later.")
@json_option
def alias(name: str, alias: str, version: int | None, reason: str, as_json: bool) -> None:
    """Let a version score silently as challenger or shadow; without a version, no longer."""

    async def work(database: Database, settings: Settings) -> dict[str, Any]:
        try:
            async with database.begin() as tx:
                await domain.name_version(tx, SYSTEM, name, alias, version, reason)
        except (Unknown, NotPublishable) as error:
            raise Refused(f"{error}.") from None
        return {"model": name, "alias": alias, "version": version}

    told = with_database(work)
    show(told, as_json, f"{name} has {f'version {version} as' if version else 'no'} {alias}.")


def _report(found: dict[str, Any]) -> str:
    """A report for people: the drifted features first, each with its source."""
    lines = [f"{found['model']} version {found['version']}, {found['rows']} rows in the newest week"]
    lines += [found["words"]] if found.get("words") else []
    lines += [
        f"  {'DRIFTED' if one['is_drifted'] else '       '} {one['name']:<28} distance {one['distance']:.3f} of"
        f" {one['threshold']:.3f}, from {', '.join(one['source']['tables'])}"
        for one in found["features"][:15]
    ]
    skewed = ", ".join(f"{name} {count}" for name, count in found["skew"]["features"].items()) or "none"
    lines.append(f"  skew between served and history, of {found['skew']['n']}: {skewed}")
    if found["challenger"]:
        lines.append(f"  challenger: {found['challenger']['words']}")
    return "\n".join([*lines, *([f"  to be trained: {found['why_train']}"] if found["why_train"] else [])])


@click.command(hidden=True)
@click.argument("name", type=click.Choice(["company", "maven"]))
@json_option
def measure(name: str, as_json: bool) -> None:
    """Measure the models on what was imported: the part of `make report` that runs inside its homes."""

    async def work(database: Database, settings: Settings) -> list[dict[str, Any]]:
        return [
            line["row"] async for line in trainer.lines(settings, "training.measure", name) if "row" in line
        ]

    rows = with_database(work)
    show(
        {"rows": rows},
        as_json,
        "\n".join(f"{row['task']}: {row['method']}: {row['figure']} {row['value']:.4f}" for row in rows),
    )


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"--as-of takes an instant such as 2026-01-31T00:00:00Z, not “{text}”.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _before(served: dict[str, Any]) -> str:
    return f"version {served['previous_version']}" if served["previous_version"] else "nothing did"


def _told(result: dict[str, Any]) -> str:
    """One line for a version: what it is, whether it serves, or why it may not."""
    if result["version"] is None:
        return f"{result['model']}: {'; '.join(result['notes'])}"
    failed = [gate["words"] for gate in result["verdict"]["gates"] if not gate["passed"]]
    serves = result.get("is_promoted")
    state = "serves" if serves else "refused: " + "; ".join(failed) if failed else "waits"
    if serves is False:
        state = "waits: another version is pinned"
    return f"{result['model']} version {result['version']} ({result['tier']}): {state}"


def _model(one: dict[str, Any]) -> str:
    pinned = ", pinned" if one["is_pinned"] else ""
    head = (
        f"{one['name']}: version {one['version']} ({one['tier']}) serves{pinned}"
        if one["version"]
        else f"{one['name']}: {one['reason']}"
    )
    lines = [head]
    for version in one["versions"]:
        mark = "*" if version["is_champion"] else " "
        lines.append(
            f"  {mark} {version['version']:>4}  {version['tier']:<9} {version['status']:<10} as of {version['training_as_of']:%Y-%m-%d %H:%M}"
        )
        lines += [
            f"          not passed: {gate['name']}: {gate['words']}"
            for gate in version["gates"]
            if not gate["passed"]
        ]
    return "\n".join(lines)


def _judged(result: dict[str, Any]) -> str:
    if not result.get("tier"):
        return f"{result['model']}: {'; '.join(result['notes'])}"
    lines = [f"{result['model']} ({result['tier']}): {'; '.join(result['notes'])}"]
    lines += [f"  {name:<28} {_figure(of)}" for name, of in result["metrics"].items() if name != "naive"]
    for name, figures in result["naive"].items():
        lines += [f"  {name.replace('_', ' ')}: {figure:<20} {_figure(of)}" for figure, of in figures.items()]
    lines += [
        f"  {'passed' if gate['passed'] else 'NOT PASSED'}: {gate['name']}: {gate['words']}"
        for gate in result["verdict"]["gates"]
    ]
    return "\n".join(lines)


def _figure(of: dict[str, Any]) -> str:
    if of.get("value") is None:
        return "not known"
    band = f" [{of['low']:.4f}, {of['high']:.4f}]" if of.get("low") is not None else ""
    return f"{of['value']:.4f}{band} (n = {of.get('n', '?')})"


commands: list[click.Command] = [train, models, promote, rollback, watch, alias, backtest, measure]
