"""The command line `sales`. Each noun has a file in `commands/`; here they are listed."""

import sys
from importlib import import_module
from pathlib import Path

import click

from service import signals
from service.errors import Problem
from service.home import explain
from service.settings import Refused

COMMANDS: dict[str, str] = {
    "up": "up",
    "serve": "serve",
    "work": "serve",
    "migrate": "migrate",
    "doctor": "doctor",
    "user": "users",
    "token": "users",
    "key": "users",
    "features": "features",
    "score": "score",
    "replay": "score",
    "welcome": "users",
    "import": "imports",
    "demo": "imports",
    "undo": "imports",
    "export": "exports",
    "notebook": "notebook",
    "train": "models",
    "models": "models",
    "promote": "models",
    "rollback": "models",
    "watch": "models",
    "alias": "models",
    "backtest": "models",
    "measure": "models",
    "forecast": "forecast",
    "league": "forecast",
    "search": "search",
}
"""Command → the module of `service.commands` whose `commands` hold it."""


class Noun(click.Group):
    """Loads the one module that a command needs: `sales up` must stay small beside what it starts."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f"service.commands.{COMMANDS[name]}")
        return next((command for command in module.commands if command.name == name), None)


@click.group(cls=Noun, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def sales() -> None:
    """Sales intelligence: every open deal with its chance to win, the reasons and the next step."""


def main() -> None:
    """Runs a command: exit status 0, or another with one sentence on standard error."""
    signals.install()
    try:
        sales.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except Refused as error:
        fail(str(error))
    except Problem as error:
        fail(error.detail)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        if error.errno is None or error.filename is None:
            raise
        fail(explain(error, Path(str(error.filename))))


def fail(sentence: str) -> None:
    click.echo(f"sales: {sentence}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
