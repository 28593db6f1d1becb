"""The operator's commands. Exit codes: 0 done, 1 our error, 2 usage, 3 partial failure, 4 a server is down."""

from __future__ import annotations

import io
import signal
import sys
from typing import Annotated, Any, Final

import typer

from fintrack_tasks.cli.command_groups import SETTINGS, Commands, LazyGroup
from fintrack_tasks.errors import FinTrackError, OutageError

__all__ = ["COMMANDS", "app", "main"]

COMMANDS: Final = {
    "demo": ("demo:demo", "Start everything, run the three jobs once, show what came of it, stop everything."),
    "up": ("stack:up", "Start the servers, the workers, beat and Flower, and keep the pipeline on schedule."),
    "down": ("stack:down", "Stop everything that belongs to the local stack; the data stays."),
    "status": (
        "status:status",
        "What of the local stack runs, since when and where; exit code 4 when a part of it does not.",
    ),
    "logs": ("logs:logs", "Show what the servers and processes of the local stack have said."),
    "env": ("stack:env", 'Print export NAME=value lines: eval "$(fintrack env)" points a shell at the running stack.'),
    "run": ("run:run", "Run a job once on the running workers and wait for it."),
    "health": (
        "health:health",
        "Ask servers, workers and beat whether they are well; exit code 4 when one is not.",
    ),
    "providers": (
        "health:list_providers",
        "Who serves what, routes, keys, what is used and left of the quotas, what bars them.",
    ),
    "runs": ("runs:app", "Runs and their items."),
    "backfill": ("backfill:app", "Deep history, within what the quotas leave."),
    "instruments": ("instruments:app", "Registered instruments."),
    "quality": ("quality:quality", "The newest quality metrics of each instrument and their trend, worst first."),
    "quarantine": ("quarantine:app", "Rows that a check kept out, and the marks on those it let in."),
    "chart": ("chart:chart", "Write stored bars as candles with their volume; more than 500 as a line of closes."),
    "aggregate": (
        "aggregate:aggregate",
        "Put stored bars together, each class by its own days: sessions, UTC, 17:00 New York.",
    ),
    "explain": ("explain:explain", "Where a stored value is from, what it was before, and the actions that adjust it."),
    "fx": ("fx:app", "Exchange rates."),
    "db": ("database:app", "The database's schema."),
    "sandbox": ("stack:sandbox", "Serve the local market alone, until Ctrl-C: it answers as the providers do."),
}
"""Each command: where it is, and its line in the list, which is the first of its own help."""


class _Root(LazyGroup):
    """All commands, each imported when it is called."""

    places = {name: place for name, (place, _) in COMMANDS.items()}  # noqa: RUF012  never changed
    lines = {name: line for name, (_, line) in COMMANDS.items()}  # noqa: RUF012  never changed


app = Commands(
    name="fintrack",
    help="Market-data ETL on Celery workers.",
    cls=_Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415  for this alone

        sys.stdout.write(f"fintrack {version('fintrack-tasks')}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of ``fintrack`` itself; the help is the application's."""


UsageProblem: Final[type[Exception]] = typer.BadParameter.__mro__[2]
"""What Typer raises about a command line (its ClickException), whether it brings its own Click along or not."""


def main() -> None:
    """Run a command; what goes wrong is one line on stderr and an exit code, never a stack trace."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as the entry point left it
            signal.signal(signal.SIGINT, signal.default_int_handler)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a terminal without a letter gets its number, not a traceback
                stream.reconfigure(errors="backslashreplace")
        code = app(prog_name="fintrack", standalone_mode=False)
    except FinTrackError as error:
        _print_error(_message(error))
        code = error.exit_code
    except UsageProblem as error:
        code = _report_misuse(error)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except SystemExit as ended:
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        code = _UNREAD  # `fintrack ... | head -1`: no error of ours, which 1 would be
    if code == _INTERRUPTED:
        _print_error("interrupted")
    sys.exit(code if isinstance(code, int) else 0)


_INTERRUPTED: Final = 130
"""The exit code of a command that Ctrl-C ended, as a shell has it."""
_UNREAD: Final = 141
"""That of a command whose output nobody reads any more, as a shell has it (128 and SIGPIPE)."""


def _report_misuse(error: Any) -> int:
    """A command line that cannot be run; a group that was called without a command shows its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        where = error.ctx.command_path if getattr(error, "ctx", None) else "fintrack"
        text = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".?")
        _print_error(f"{text[:1].lower()}{text[1:]}; see: {where} --help")
    return int(error.exit_code)


def _message(error: FinTrackError) -> str:
    """What is wrong; where a server of ours is away, with a stack that may have been meant."""
    if error.exit_code != OutageError.exit_code:
        return str(error)
    from fintrack_tasks.cli.stack_hints import message_with_hint  # noqa: PLC0415  the stack's libraries, for this alone

    try:
        return message_with_hint(error)
    except FinTrackError:
        return str(error)  # a setting is wrong as well, or the folder cannot be read: one thing after the other


def _print_error(text: str) -> None:
    from fintrack_tasks.cli.output import errors  # noqa: PLC0415  the console's libraries, for a complaint alone

    errors.print(f"fintrack: {text}", style="red", markup=False, highlight=False, soft_wrap=True)
