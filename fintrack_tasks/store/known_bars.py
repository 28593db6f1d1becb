"""The stored final bars that checks compare a batch with: those before it, and other providers' at its times."""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple

import psycopg

from fintrack_tasks.domain import Interval, from_micros

__all__ = ["KnownBar", "around"]


class KnownBar(NamedTuple):
    """A stored bar as floats, which are good enough to compare with; ``earlier`` says on which side it lies.

    ``adjusted_to``: the date up to which its prices are restated for splits; ``None``: as they were traded.
    """

    earlier: bool
    timestamp: int
    open: float | None
    high: float | None
    low: float | None
    close: float
    volume: float | None
    currency: str | None
    source: str
    adjusted_to: date | None


_COLUMNS: Final = (
    "(extract(epoch FROM timestamp) * 1000000)::bigint AS micros, open::float8, high::float8, low::float8,"
    " close::float8, volume::float8, currency, source, adjusted_to FROM fintrack.bars"
    " WHERE instrument_id = %(instrument)s AND interval = %(interval)s AND is_final"
)
_AROUND: Final = f"""
(SELECT true, {_COLUMNS} AND timestamp < %(first)s ORDER BY timestamp DESC LIMIT %(limit)s)
UNION ALL
(SELECT false, {_COLUMNS} AND timestamp BETWEEN %(first)s AND %(last)s AND source <> %(source)s)
ORDER BY 2
"""


def around(
    conn: psycopg.Connection, instrument_id: int, interval: Interval, span: tuple[int, int], source: str, limit: int
) -> list[KnownBar]:
    """The newest ``limit`` final bars before a span (microseconds, both ends included), and those in it that come from
    another source; oldest first."""
    named = {
        "instrument": instrument_id,
        "interval": interval.value,
        "first": from_micros(span[0]),
        "last": from_micros(span[1]),
        "source": source,
        "limit": limit,
    }
    return [KnownBar(*row) for row in conn.execute(_AROUND, named)]
