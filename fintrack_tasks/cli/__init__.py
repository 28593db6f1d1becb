"""The operator's commands. Exit codes: 0 done, 1 our error, 2 usage, 3 partial failure, 4 a server is down."""

from __future__ import annotations

import sys

import click
import typer

from fintrack_tasks.cli import database, health, instruments, run, runs, stack
from fintrack_tasks.cli.output import errors
from fintrack_tasks.errors import FinTrackError

__all__ = ["app", "main"]

app = typer.Typer(
    name="fintrack",
    help="Market-data ETL on Celery workers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
stack.register(app)
run.register(app)
health.register(app)
app.add_typer(runs.app, name="runs")
app.add_typer(instruments.app, name="instruments")
app.add_typer(database.app, name="db")


def main() -> None:
    """Run a command; an error of ours is one line on stderr and an exit code, never a stack trace."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except FinTrackError as error:
        errors.print(f"fintrack: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        errors.print("fintrack: interrupted", markup=False)
        sys.exit(130)
    except KeyboardInterrupt:
        errors.print("fintrack: interrupted", markup=False)
        sys.exit(130)
    except click.ClickException as error:
        error.show(sys.stderr)
        sys.exit(error.exit_code)
