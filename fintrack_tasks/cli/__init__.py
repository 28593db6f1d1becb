"""The operator's commands. Exit codes: 0 done, 1 our error, 2 usage, 3 partial failure, 4 a server is down."""

from __future__ import annotations

import sys

import typer

from fintrack_tasks.cli.aggregate import aggregate
from fintrack_tasks.cli.backfill import app as backfill
from fintrack_tasks.cli.chart import chart
from fintrack_tasks.cli.database import app as database
from fintrack_tasks.cli.demo import demo
from fintrack_tasks.cli.describe import describe
from fintrack_tasks.cli.explain import explain
from fintrack_tasks.cli.fx import app as fx
from fintrack_tasks.cli.health import register as register_health
from fintrack_tasks.cli.instruments import app as instruments
from fintrack_tasks.cli.output import errors
from fintrack_tasks.cli.quality import quality
from fintrack_tasks.cli.quarantine import app as quarantine
from fintrack_tasks.cli.run import register as register_run
from fintrack_tasks.cli.runs import app as runs
from fintrack_tasks.cli.stack import register as register_stack
from fintrack_tasks.errors import FinTrackError

__all__ = ["app", "main"]

app = typer.Typer(
    name="fintrack",
    help="Market-data ETL on Celery workers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo)
register_stack(app)
register_run(app)
register_health(app)
app.command("quality")(quality)
app.add_typer(backfill, name="backfill")
app.add_typer(runs, name="runs")
app.add_typer(quarantine, name="quarantine")
app.command("chart")(chart)
instruments.command("describe")(describe)
app.add_typer(instruments, name="instruments")
app.add_typer(database, name="db")
app.add_typer(fx, name="fx")
app.command("aggregate")(aggregate)
app.command("explain")(explain)


def main() -> None:
    """Run a command; an error of ours is one line on stderr and an exit code, never a stack trace."""
    try:
        app()
    except FinTrackError as error:
        errors.print(f"fintrack: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        errors.print("fintrack: interrupted", markup=False)
        sys.exit(130)
