"""The instruments: registered ones are what the schedule fetches, ad hoc ones are only known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import psycopg

from fintrack_tasks.domain import AssetClass, Instrument

__all__ = ["active", "add", "beginning_with", "deactivate", "describe", "ensure", "find"]

_COLUMNS = "id, symbol, asset_class, currency, calendar, name"


def _row(row: Sequence[object]) -> tuple[int, Instrument]:
    number, symbol, asset_class, currency, calendar, name = row
    return int(str(number)), Instrument(
        str(symbol),
        AssetClass(str(asset_class)),
        *(None if value is None else str(value) for value in (currency, calendar, name)),
    )


def add(conn: psycopg.Connection, instruments: Iterable[Instrument]) -> None:
    """Register instruments, all or none; what is known already is activated, and given facts replace older ones."""
    rows = [(i.symbol, i.asset_class.value, i.currency, i.calendar, i.name) for i in instruments]
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO fintrack.instruments AS known (symbol, asset_class, currency, calendar, name)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (symbol, asset_class) DO UPDATE SET is_active = true,"
            " currency = coalesce(excluded.currency, known.currency),"
            " calendar = coalesce(excluded.calendar, known.calendar), name = coalesce(excluded.name, known.name)",
            rows,
        )


def ensure(conn: psycopg.Connection, instruments: Sequence[Instrument]) -> dict[str, tuple[int, Instrument]]:
    """Each symbol's number and what is known of it; unknown ones are written down, but not for the schedule."""
    symbols = [i.symbol for i in instruments]
    classes = [i.asset_class.value for i in instruments]
    conn.execute(
        "INSERT INTO fintrack.instruments (symbol, asset_class, is_active)"
        " SELECT DISTINCT symbol, class, false FROM unnest(%s::text[], %s::text[]) AS given(symbol, class)"
        " WHERE NOT EXISTS (SELECT FROM fintrack.instruments k WHERE k.symbol = given.symbol AND k.asset_class = class)"
        " ON CONFLICT DO NOTHING",
        (symbols, classes),
    )
    found = conn.execute(
        f"SELECT {_COLUMNS} FROM fintrack.instruments"  # noqa: S608  a constant
        " WHERE (symbol, asset_class) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
        (symbols, classes),
    ).fetchall()
    return {instrument.symbol: (number, instrument) for number, instrument in map(_row, found)}


def find(conn: psycopg.Connection, instrument: Instrument) -> tuple[int, Instrument] | None:
    """What is known under a symbol, of the given class before any other; ``None`` when nothing is."""
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM fintrack.instruments WHERE symbol = %s"  # noqa: S608  a constant
        " ORDER BY asset_class <> %s, id LIMIT 1",
        (instrument.symbol, instrument.asset_class.value),
    ).fetchone()
    return _row(row) if row else None


def describe(conn: psycopg.Connection, described: Iterable[tuple[int, Instrument]]) -> None:
    """Note the names and currencies of known instruments; what is not given stays as it is."""
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            "UPDATE fintrack.instruments SET name = coalesce(%s, name), currency = coalesce(%s, currency)"
            " WHERE id = %s",
            [(instrument.name, instrument.currency, number) for number, instrument in described],
        )


def active(conn: psycopg.Connection, classes: Sequence[AssetClass] | None = None) -> list[tuple[int, Instrument]]:
    """The registered instruments, by class and symbol."""
    chosen = [c.value for c in (classes or AssetClass)]
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM fintrack.instruments WHERE is_active AND asset_class = ANY(%s)"  # noqa: S608  a constant
        " ORDER BY asset_class, symbol",
        (chosen,),
    ).fetchall()
    return [_row(row) for row in rows]


def deactivate(conn: psycopg.Connection, symbol: str) -> int:
    """Take an instrument out of the schedule; its data stays. Returns how many rows carried the symbol."""
    return conn.execute("UPDATE fintrack.instruments SET is_active = false WHERE symbol = %s", (symbol,)).rowcount


def beginning_with(conn: psycopg.Connection, prefix: str, limit: int) -> list[str]:
    """The symbols that begin so, in order."""
    rows = conn.execute(
        "SELECT DISTINCT symbol FROM fintrack.instruments WHERE starts_with(symbol, %s) ORDER BY symbol LIMIT %s",
        (prefix, limit),
    ).fetchall()
    return [symbol for (symbol,) in rows]
