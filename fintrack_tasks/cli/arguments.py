"""Arguments that several commands share: a symbol that is stored, a time; and messages about them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import psycopg
import typer

from fintrack_tasks.calendars import calendar_name
from fintrack_tasks.domain import Instrument, Interval
from fintrack_tasks.errors import UsageError
from fintrack_tasks.store import instruments

__all__ = ["AsJson", "calendar_text", "find_instrument", "nothing_stored", "parse_instrument", "parse_time"]

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")]


def find_instrument(conn: psycopg.Connection, symbol: str) -> tuple[int, Instrument]:
    """The id and the instrument of a symbol that was registered or fetched before.

    :raises UsageError: for what is no symbol, and for one that nobody ever fetched.
    """
    instrument = parse_instrument(symbol)
    found = instruments.find(conn, instrument)
    if found is None:
        raise UsageError(f"nothing is known of {instrument.symbol}; see: fintrack instruments list")
    return found


def calendar_text(instrument: Instrument) -> str:
    """The calendar that an instrument is judged by, for people."""
    return calendar_name(instrument) or (
        "no calendar known: what is missing is not known, and rules of sessions are silent; name one with: fintrack"
        f" instruments edit {instrument.symbol} --calendar NAME"
    )


def parse_instrument(symbol: str) -> Instrument:
    """The instrument that a person named.

    :raises UsageError: for what is no symbol.
    """
    try:
        return Instrument.of(symbol)
    except ValueError as error:
        raise UsageError(str(error)) from None


def parse_time(name: str, text: str) -> datetime:
    """An ISO date (midnight UTC) or time; a time without a zone is UTC's.

    :raises UsageError: names what is wrong.
    """
    try:
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # in UTC the first and the last day of all may be none
        raise UsageError(f"{name} is no time: {text!r:.40}; write it as 2024-01-31 or 2024-01-31T14:30:00Z") from None


def nothing_stored(instrument: Instrument, interval: Interval, *, ranged: bool) -> str:
    """One line for a person who asks for bars that are not there. ``ranged``: a start or an end was given."""
    within = " in that time" if ranged else ""
    return (
        f"no {interval} bars of {instrument.symbol} are stored{within}; fetch them with:"
        f" fintrack run historical --symbols {instrument.symbol} --intervals {interval}"
    )
