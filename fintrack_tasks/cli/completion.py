"""What the shell offers for an argument: words of the code, and symbols and runs of the database where it answers.

A completion is asked for at a press of a key: it waits a second at most, and a server that does not answer offers
nothing instead of complaining in the middle of a command line. Each function imports what it offers and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    import psycopg

__all__ = ["instrument", "intervals", "rule", "run_id", "symbols"]

_SECONDS: Final = 1
_MOST: Final = 200

T = TypeVar("T")


def symbols(incomplete: str) -> list[str]:
    """The last symbol of a list with commas."""
    return _last_of(incomplete, instrument)


def instrument(incomplete: str) -> list[str]:
    """A symbol that is stored."""
    from fintrack_tasks.store import instruments  # noqa: PLC0415  see the module

    return _asked(lambda conn: instruments.beginning_with(conn, incomplete.upper(), _MOST))


def intervals(incomplete: str) -> list[str]:
    """The last interval of a list with commas."""
    from fintrack_tasks.domain import Interval  # noqa: PLC0415  see the module

    return _last_of(incomplete, lambda last: _those(last, (each.value for each in Interval)))


def rule(incomplete: str) -> list[str]:
    """A rule of the checks."""
    from fintrack_tasks.validate import RULES  # noqa: PLC0415  see the module

    return _those(incomplete, RULES)


def run_id(incomplete: str) -> list[tuple[str, str]]:
    """The newest runs, each with its job and when it began."""
    from fintrack_tasks.store.runs import newest  # noqa: PLC0415  see the module

    found = _asked(lambda conn: newest(conn, 20))
    return [(str(run), f"{job}, {at:%Y-%m-%d %H:%M}") for run, job, at in found if str(run).startswith(incomplete)]


def _those(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def _last_of(incomplete: str, offered: Callable[[str], list[str]]) -> list[str]:
    """The list so far, ended by each word that is offered for its last one."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{word}" for word in offered(last)]


def _asked(question: Callable[[psycopg.Connection], list[T]]) -> list[T]:
    """What the database says; nothing where it does not answer, has no schema yet or is not configured."""
    import psycopg  # noqa: PLC0415  see the module

    from fintrack_tasks.errors import ConfigurationError  # noqa: PLC0415  see the module
    from fintrack_tasks.settings import load_settings  # noqa: PLC0415  see the module

    try:
        arguments: dict[str, Any] = {**load_settings().as_reader().conninfo, "connect_timeout": _SECONDS}
        with psycopg.connect(**arguments, autocommit=True) as conn:
            conn.execute(f"SET statement_timeout = {_SECONDS * 1000}")
            return question(conn)
    except (psycopg.Error, ConfigurationError):
        return []
