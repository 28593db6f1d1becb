"""The table of instruments: registered ones are fetched by the schedule, ad hoc ones are only known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import psycopg

from fintrack_tasks.domain import AssetClass, Instrument

__all__ = [
    "Registered",
    "State",
    "active",
    "add",
    "beginning_with",
    "describe",
    "edit",
    "ensure",
    "find",
    "known_as",
    "none_known",
    "registered",
    "set_state",
]

_SELECT: Final = "SELECT id, symbol, asset_class, currency, calendar, name FROM fintrack.instruments"


class State(StrEnum):
    """What the schedule does with an instrument."""

    ACTIVE = "active"
    """It fetches it."""
    PAUSED = "paused"
    """It does not, until it is resumed; the instrument stays registered."""
    KNOWN = "known"
    """It was never registered, or is no longer: what is stored of it stays."""


class Registered(NamedTuple):
    """An instrument as the table has it."""

    number: int
    instrument: Instrument
    state: State


_SELECT_STATE: Final = """
SELECT id, symbol, asset_class, currency, calendar, name,
       CASE WHEN is_active THEN 'active' WHEN paused THEN 'paused' ELSE 'known' END
FROM fintrack.instruments
"""


def _row(row: Sequence[object]) -> tuple[int, Instrument]:
    number, symbol, asset_class, currency, calendar, name = row
    return int(str(number)), Instrument(
        str(symbol),
        AssetClass(str(asset_class)),
        *(None if value is None else str(value) for value in (currency, calendar, name)),
    )


_REGISTER: Final = """
INSERT INTO fintrack.instruments AS known (symbol, asset_class, currency, calendar, name)
VALUES (%s, %s, %s, %s, %s) ON CONFLICT (symbol, asset_class) DO UPDATE SET
is_active = true, paused = false,
currency = coalesce(excluded.currency, known.currency),
calendar = coalesce(excluded.calendar, known.calendar), name = coalesce(excluded.name, known.name)
"""


def add(conn: psycopg.Connection, instruments: Iterable[Instrument]) -> None:
    """Register instruments, all or none; known or paused ones are activated, and given facts replace older ones."""
    rows = [(i.symbol, i.asset_class.value, i.currency, i.calendar, i.name) for i in instruments]
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            _REGISTER,
            rows,
        )


_ENSURE: Final = """
INSERT INTO fintrack.instruments (symbol, asset_class, is_active)
SELECT DISTINCT symbol, class, false FROM unnest(%s::text[], %s::text[]) AS given(symbol, class)
WHERE NOT EXISTS (SELECT FROM fintrack.instruments k WHERE k.symbol = given.symbol AND k.asset_class = class)
ON CONFLICT DO NOTHING
"""


_NAMED: Final = f"""
{_SELECT} WHERE (symbol, asset_class) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""  # noqa: S608  built from a constant


def ensure(conn: psycopg.Connection, instruments: Sequence[Instrument]) -> dict[str, tuple[int, Instrument]]:
    """Each symbol's id and instrument; unknown symbols are added as known, not for the schedule."""
    symbols = [i.symbol for i in instruments]
    classes = [i.asset_class.value for i in instruments]
    conn.execute(
        _ENSURE,
        (symbols, classes),
    )
    found = conn.execute(
        _NAMED,
        (symbols, classes),
    ).fetchall()
    return {instrument.symbol: (number, instrument) for number, instrument in map(_row, found)}


_FIND: Final = f"{_SELECT} WHERE symbol = %s ORDER BY asset_class <> %s, id LIMIT 1"


def find(conn: psycopg.Connection, instrument: Instrument) -> tuple[int, Instrument] | None:
    """The instrument under a symbol, of the given class before any other; ``None`` when there is none."""
    row = conn.execute(
        _FIND,
        (instrument.symbol, instrument.asset_class.value),
    ).fetchone()
    return _row(row) if row else None


def describe(conn: psycopg.Connection, described: Iterable[tuple[int, Instrument]]) -> None:
    """Set the names and currencies of known instruments; ``None`` leaves a fact as it is."""
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            "UPDATE fintrack.instruments SET name = coalesce(%s, name), currency = coalesce(%s, currency)"
            " WHERE id = %s",
            [(instrument.name, instrument.currency, number) for number, instrument in described],
        )


_ACTIVE: Final = f"{_SELECT} WHERE is_active AND asset_class = ANY(%s) ORDER BY asset_class, symbol"


def active(conn: psycopg.Connection, classes: Sequence[AssetClass] | None = None) -> list[tuple[int, Instrument]]:
    """The registered instruments, by class and symbol."""
    chosen = [c.value for c in (classes or AssetClass)]
    rows = conn.execute(
        _ACTIVE,
        (chosen,),
    ).fetchall()
    return [_row(row) for row in rows]


_REGISTERED: Final = f"{_SELECT_STATE} WHERE is_active OR paused ORDER BY asset_class, symbol"


def registered(conn: psycopg.Connection) -> list[Registered]:
    """The registered instruments, paused ones among them, by class and symbol."""
    rows = conn.execute(_REGISTERED).fetchall()
    return [Registered(*_row(row[:-1]), State(row[-1])) for row in rows]


def none_known(conn: psycopg.Connection) -> bool:
    """Whether the table is empty: removed instruments stay known, so that removing all of them does not count."""
    return conn.execute("SELECT 1 FROM fintrack.instruments LIMIT 1").fetchone() is None


_KNOWN_AS: Final = f"""
{_SELECT_STATE} WHERE symbol = ANY(%s) AND asset_class = coalesce(%s::text, asset_class)
ORDER BY array_position(%s::text[], symbol), asset_class FOR UPDATE
"""


def known_as(
    conn: psycopg.Connection, symbols: Sequence[str], asset_class: AssetClass | None = None
) -> list[Registered]:
    """The instruments under these symbols, of one class or of all, in their order; their rows are locked."""
    rows = conn.execute(
        _KNOWN_AS,
        (list(symbols), asset_class.value if asset_class else None, list(symbols)),
    ).fetchall()
    return [Registered(*_row(row[:-1]), State(row[-1])) for row in rows]


def set_state(conn: psycopg.Connection, numbers: Sequence[int], state: State) -> None:
    """Set what the schedule does with instruments; their data stays."""
    conn.execute(
        "UPDATE fintrack.instruments SET is_active = %s, paused = %s WHERE id = ANY(%s)",
        (state is State.ACTIVE, state is State.PAUSED, list(numbers)),
    )


_EDIT: Final = {
    "currency": "UPDATE fintrack.instruments SET currency = %s WHERE id = ANY(%s)",
    "calendar": "UPDATE fintrack.instruments SET calendar = %s WHERE id = ANY(%s)",
    "name": "UPDATE fintrack.instruments SET name = %s WHERE id = ANY(%s)",
}


def edit(conn: psycopg.Connection, numbers: Sequence[int], facts: Mapping[str, str | None]) -> None:
    """Replace facts of instruments: ``currency``, ``calendar``, ``name``; ``None`` clears one."""
    for name, value in facts.items():
        conn.execute(_EDIT[name], (value, list(numbers)))


def beginning_with(conn: psycopg.Connection, prefix: str, limit: int) -> list[str]:
    """The symbols with this prefix, in order."""
    rows = conn.execute(
        "SELECT DISTINCT symbol FROM fintrack.instruments WHERE starts_with(symbol, %s) ORDER BY symbol LIMIT %s",
        (prefix, limit),
    ).fetchall()
    return [symbol for (symbol,) in rows]
