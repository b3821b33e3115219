"""`python -m training`: the room's own command line. Progress and results are JSON, one object a line, on standard output."""

import argparse
import asyncio
import json
import os
import sys
import traceback
from datetime import datetime
from typing import Any

import asyncpg

from service.settings import Settings, read
from training import ending, run


def main() -> None:
    """`learn`, `judge`, `mirror`, `report`; each with `--help`."""
    ending.with_the_reader()
    arguments = parsed()
    settings = read(os.environ)
    asyncio.run(arguments.work(arguments, settings))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, words, registers in (
        ("learn", "train, judge and register models", True),
        ("judge", "train and judge", False),
    ):
        learn = commands.add_parser(name, help=words)
        learn.add_argument("--models", default=",".join(run.MODELS))
        learn.add_argument("--as-of", type=datetime.fromisoformat)
        learn.add_argument("--most", type=int, default=run.MOST_ROWS, help="landmarks to learn from at most")
        learn.set_defaults(work=learn_models, registers=registers)
    commands.add_parser("mirror", help="show MLflow what the registry holds").set_defaults(work=mirror)
    return parser.parse_args()


async def learn_models(arguments: argparse.Namespace, settings: Settings) -> None:
    """Trains the models that are asked for; each candidate is one line."""
    connection = await connected(settings)
    failed: list[str] = []
    try:
        training = run.Training(
            connection,
            arguments.as_of or await run.instant_of(connection),
            settings.home / "models",
            tell,
            most=arguments.most,
        )
        for model in arguments.models.split(","):
            if model not in run.MODELS:
                sys.exit(f"There is no model {model!r}; there are {', '.join(run.MODELS)}.")
            try:
                for result in await (
                    training.learn(model) if arguments.registers else training.judged(model)
                ):
                    say({"result": result})
            except Exception as error:  # one model's fault must not cost the others their versions
                failed.append(f"{model}: {type(error).__name__}: {error}")
                traceback.print_exc()
    finally:
        await connection.close()
    if failed:
        sys.exit("; ".join(failed))


async def mirror(arguments: argparse.Namespace, settings: Settings) -> None:
    """Mirrors the registry in MLflow; an unreachable one is said, and harms nothing."""
    from training import tracking  # noqa: PLC0415  # MLflow takes seconds to read: only who mirrors waits for it

    connection = await connected(settings)
    try:
        models = settings.home / "models"
        told = await tracking.mirror(connection, settings.tracking_uri, settings.artifacts_url, models)
        say({"result": told})
    except tracking.Unreachable as error:
        say({"result": {"runs": 0, "champions": {}, "reason": f"MLflow cannot be reached: {error}"}})
    finally:
        await connection.close()


async def connected(settings: Settings) -> asyncpg.Connection:
    """A connection of the application's role, in which jsonb is Python's own."""
    if not settings.database_app_url:
        sys.exit("DATABASE_APP_URL is not set: `sales train` starts this with the home's own servers.")
    connection = await asyncpg.connect(settings.database_app_url, server_settings={"timezone": "UTC"})
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    return connection


def tell(stage: str, done: int, total: int) -> None:
    """One line of progress."""
    say({"progress": {"what": stage, "done": done, "total": total}})


def say(value: dict[str, Any]) -> None:
    print(json.dumps(value, default=str), flush=True)


if __name__ == "__main__":
    main()
