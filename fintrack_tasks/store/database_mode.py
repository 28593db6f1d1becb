"""The mode of a database, live or simulated prices: set by the first prices, and never mixed."""

from __future__ import annotations

from typing import Final

import psycopg

from fintrack_tasks.domain import Mode
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.store.connection import Database
from fintrack_tasks.store.connection import mode_of as read

__all__ = ["admit", "claim", "is_simulated"]

_PRICES: Final = {Mode.LIVE: "real prices", Mode.SIMULATED: "simulated prices (the local market's)"}


def admit(database: Database, *, simulated: bool) -> None:
    """Check that prices of one kind may be written; the first ones set the mode. Cheap after the first call.

    :param simulated: whether they come from the local market.
    :raises ConfigurationError: the database holds prices of the other kind.
    """
    mode = Mode.SIMULATED if simulated else Mode.LIVE
    if database.mode is None:
        with database.connection() as conn:
            database.mode = claim(conn, mode)
    if database.mode is not mode:
        raise ConfigurationError(
            f"DB_NAME: {database.name} holds {_PRICES[database.mode]}, and these are {_PRICES[mode]}: give them a"
            " database of their own; FINTRACK_SANDBOX_URL and <NAME>_BASE_URL say who is asked"
        )


def is_simulated(database: Database) -> bool:
    """Whether the database holds simulated prices."""
    if database.mode is None:
        with database.connection() as conn:
            database.mode = read(conn)
    return database.mode is Mode.SIMULATED


def claim(conn: psycopg.Connection, mode: Mode) -> Mode:
    """Set the mode where there is none; returns the mode that holds."""
    conn.execute("INSERT INTO fintrack.database_mode (mode) VALUES (%s) ON CONFLICT DO NOTHING", (mode,))
    return read(conn) or mode
