"""Where stored values come from: their item, run and raw answer, and what stood in their place before. Reading only."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

__all__ = ["adjusted", "bars", "nearest", "quotes", "versions"]

_ITEM: Final = """
       r.id AS item_id, r.run_id, n.job, r.kind, r.provider, r.attempts, r.rows_quarantined, r.window_start,
       r.window_end, r.finished_at, p.sha256, p.path, p.status, p.received_at, p.size,
       p.headers ->> 'x-fintrack-origin' AS origin
"""
_BEHIND: Final = """
LEFT JOIN fintrack.run_items r ON r.id = v.item_id
LEFT JOIN fintrack.runs n ON n.id = r.run_id
LEFT JOIN fintrack.payloads p ON p.sha256 = r.payload_sha
"""
_BARS: Final = f"""
SELECT v.interval, v.timestamp, v.open, v.high, v.low, v.close, v.adj_close, v.volume,
       coalesce(v.currency, i.currency) AS currency, v.is_final, v.source, v.adjusted_to, v.valid_from, {_ITEM}
FROM fintrack.bars v JOIN fintrack.instruments i ON i.id = v.instrument_id {_BEHIND}
WHERE v.instrument_id = %(instrument)s AND v.timestamp = %(at)s
  AND (%(interval)s::text IS NULL OR v.interval = %(interval)s)
ORDER BY array_position(ARRAY['1d', '1h', '15m'], v.interval)
"""  # noqa: S608  built from the constants above
_QUOTES: Final = f"""
SELECT v.timestamp, v.price, v.volume, coalesce(v.currency, i.currency) AS currency, v.previous_close, v.source,
       v.received_at AS known_since, x.rate AS usd_rate, x.as_of AS usd_rate_as_of, x.source AS usd_rate_source,
       x.path AS usd_rate_path, v.price * x.rate AS price_usd, {_ITEM}
FROM fintrack.quotes v JOIN fintrack.instruments i ON i.id = v.instrument_id {_BEHIND}
LEFT JOIN LATERAL fintrack.fx_as_of(coalesce(v.currency, i.currency), 'USD', v.timestamp) x ON true
WHERE v.instrument_id = %(instrument)s AND v.timestamp >= %(at)s AND v.timestamp < %(at)s + interval '1 second'
ORDER BY v.timestamp, v.source
"""  # noqa: S608  built from the constants above
_NEAREST: Final = """
SELECT timestamp FROM (
    (SELECT timestamp FROM fintrack.bars WHERE instrument_id = %(instrument)s AND timestamp <= %(at)s
     ORDER BY timestamp DESC LIMIT 1)
    UNION ALL
    (SELECT timestamp FROM fintrack.bars WHERE instrument_id = %(instrument)s AND timestamp > %(at)s
     ORDER BY timestamp LIMIT 1)
    UNION ALL
    (SELECT timestamp FROM fintrack.quotes WHERE instrument_id = %(instrument)s AND timestamp <= %(at)s
     ORDER BY timestamp DESC LIMIT 1)
    UNION ALL
    (SELECT timestamp FROM fintrack.quotes WHERE instrument_id = %(instrument)s AND timestamp > %(at)s
     ORDER BY timestamp LIMIT 1)
) found ORDER BY greatest(timestamp - %(at)s, %(at)s - timestamp) LIMIT 1
"""


def bars(conn: psycopg.Connection, instrument_id: int, at: datetime, interval: str | None) -> list[dict[str, Any]]:
    """The bars with exactly this stamp, of one interval or of each, with what is behind them."""
    values = {"instrument": instrument_id, "at": at, "interval": interval}
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_BARS, values).fetchall()


def quotes(conn: psycopg.Connection, instrument_id: int, at: datetime) -> list[dict[str, Any]]:
    """The quotes of the second that begins then, with what is behind them and what they are in dollars."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_QUOTES, {"instrument": instrument_id, "at": at}).fetchall()


def versions(conn: psycopg.Connection, instrument_id: int, interval: str, at: datetime) -> list[dict[str, Any]]:
    """What a bar was before, oldest first, with the times between which it was believed."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT open, high, low, close, adj_close, volume, currency, is_final, source, adjusted_to, item_id,"
            " valid_from, valid_to, replaced_by FROM fintrack.bar_versions"
            " WHERE instrument_id = %s AND interval = %s AND timestamp = %s ORDER BY valid_to",
            (instrument_id, interval, at),
        ).fetchall()


def adjusted(conn: psycopg.Connection, instrument_id: int, interval: str, at: datetime) -> dict[str, Any] | None:
    """A bar's factors and adjusted values."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT split_factor, dividend_factor, split_open, split_high, split_low, split_close, split_volume,"
            " total_open, total_high, total_low, total_close FROM fintrack.historical_market_data_adjusted"
            " WHERE instrument_id = %s AND interval = %s AND timestamp = %s",
            (instrument_id, interval, at),
        ).fetchone()


def nearest(conn: psycopg.Connection, instrument_id: int, at: datetime) -> datetime | None:
    """The stamp nearest to a moment at which there is a bar or a quote; ``None`` where there is none at all."""
    row = conn.execute(_NEAREST, {"instrument": instrument_id, "at": at}).fetchone()
    return row[0] if row else None
