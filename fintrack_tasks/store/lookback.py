"""What new bars of an index continue, and which stored indicators do not stand any more."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from fintrack_tasks.domain import Interval, from_micros, to_micros

__all__ = ["earlier_bars", "outdated"]

_CARRIED: Final = (
    "bars_seen", "rsi_gain", "rsi_loss", "macd_fast", "peak", "ema_12", "ema_26", "macd_signal", "atr_14", "obv",
)  # fmt: skip
_COLUMNS: Final = ("open", "high", "low", "close", "volume")

# A state counts when it was computed from as many bars as there are now, and none of them has changed since.
_EARLIER: Final = f"""
WITH seen AS (
    SELECT count(*) AS bars, max(timestamp) AS newest, max(valid_from) AS changed FROM fintrack.bars
    WHERE instrument_id = %(instrument)s AND interval = %(interval)s AND timestamp < %(first)s
), state AS (
    SELECT x.* FROM fintrack.index_indicators x JOIN seen ON x.timestamp = seen.newest
    WHERE x.instrument_id = %(instrument)s AND x.interval = %(interval)s
      AND x.bars_seen = seen.bars AND x.computed_at >= seen.changed
), own AS (
    SELECT timestamp, {", ".join(_COLUMNS)} FROM fintrack.bars
    WHERE instrument_id = %(instrument)s AND interval = %(interval)s AND timestamp < %(first)s
    ORDER BY timestamp DESC LIMIT (SELECT CASE WHEN EXISTS (SELECT FROM state) THEN %(limit)s::bigint END)
), market AS (
    SELECT b.timestamp, b.close AS benchmark
    FROM fintrack.bars b JOIN fintrack.instruments i ON i.id = b.instrument_id
    WHERE i.symbol = %(benchmark)s AND i.asset_class = 'index' AND b.interval = %(interval)s
      AND b.timestamp BETWEEN coalesce((SELECT min(timestamp) FROM own), %(first)s) AND %(last)s
)
SELECT timestamp, {", ".join(f"own.{name}" for name in _COLUMNS)}, market.benchmark,
       {", ".join(f"state.{name}" for name in _CARRIED)}
FROM own FULL JOIN market USING (timestamp) LEFT JOIN state USING (timestamp)
ORDER BY timestamp
"""  # noqa: S608  built from the constants above

_OUTDATED: Final = """
SELECT b.timestamp FROM (
    SELECT timestamp, row_number() OVER series AS bars, max(valid_from) OVER series AS changed
    FROM fintrack.bars WHERE instrument_id = %(instrument)s AND interval = %(interval)s
    WINDOW series AS (ORDER BY timestamp)
) b LEFT JOIN fintrack.index_indicators x
    ON x.instrument_id = %(instrument)s AND x.interval = %(interval)s AND x.timestamp = b.timestamp
WHERE x.bars_seen IS DISTINCT FROM b.bars OR x.computed_at < b.changed
"""


def earlier_bars(
    conn: psycopg.Connection, instrument_id: int, interval: Interval, span: tuple[int, int], limit: int, benchmark: str
) -> dict[str, Any]:
    """What the bars of ``span`` (its first and last stamp, microseconds) continue, as ``with_indicators`` takes it.

    ``timestamp``, ``open``, ``high``, ``low``, ``close``, ``volume`` of bars before the span, oldest first: the newest
    ``limit`` of them and in ``state`` what the newest carries, or, where that was never computed or does not stand any
    more, all of them and ``None``. ``benchmark``: the benchmark's closes by time, up to the span's end.
    """
    named = {"instrument": instrument_id, "interval": interval.value, "limit": limit, "benchmark": benchmark}
    found = conn.execute(_EARLIER, {**named, "first": from_micros(span[0]), "last": from_micros(span[1])}).fetchall()
    own = [row for row in found if row[4] is not None]
    columns = dict(zip(_COLUMNS, zip(*(row[1:6] for row in own), strict=True), strict=True)) if own else {}
    carried = dict(zip(_CARRIED, own[-1][7:], strict=True)) if own and own[-1][7] is not None else None
    return {
        "timestamp": [to_micros(row[0]) for row in own],
        **{name: list(columns.get(name, ())) for name in _COLUMNS},
        "benchmark": {to_micros(row[0]): row[6] for row in found if row[6] is not None},
        "state": carried,
    }


def outdated(conn: psycopg.Connection, instrument_id: int, interval: Interval) -> set[int]:
    """The stamps of stored bars whose indicators were never computed, or from other bars than those that are there."""
    rows = conn.execute(_OUTDATED, {"instrument": instrument_id, "interval": interval.value}).fetchall()
    return {to_micros(stamp) for (stamp,) in rows}
